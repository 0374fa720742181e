"""Connections nobody asks for again: expired, hung up on, dropped, inherited, left behind."""

import gc
import os
import threading
import warnings

import pytest

from keeppool import HostConfig, Limits, PoolManager, errors
from keeppool.events import (
    ConnectionClosed,
    ConnectionIdle,
    ConnectionOpened,
    ConnectionReused,
    RequestQueued,
    ResponseStarted,
    Why,
)
from keeppool.pools import janitor
from keeppool.testing import Behaviour, RawConnection, ScriptedServer


def janitors():
    return [thread for thread in threading.enumerate() if thread.name == "keeppool-janitor"]


def test_a_server_that_hangs_up_on_an_idle_process_is_noticed_without_another_request(sites, recorder):
    site = sites.add()
    with PoolManager(on_event=recorder) as pool:
        pool.request("GET", site.url)
        site.drop_idle()
        (closed,) = recorder.wait_for(ConnectionClosed)
        assert closed.why is Why.PEER_CLOSED
        assert pool.stats().open == 0


def test_a_connection_that_expires_is_closed_without_another_request(sites, recorder):
    site = sites.add()
    with PoolManager(Limits(idle_timeout=0.01), on_event=recorder) as pool:
        pool.request("GET", site.url)
        (closed,) = recorder.wait_for(ConnectionClosed)
        assert closed.why is Why.IDLE_TIMEOUT
        assert site.wait_for(lambda: site.open_now == 0)
        assert pool.stats().hosts == {}


def test_bytes_on_an_idle_connection_close_it_without_another_request(recorder):
    go = threading.Event()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    script = [RawConnection.read_request, answer, lambda connection: connection.wait(go), b"HTTP/1.1 200 evil\r\n"]
    with ScriptedServer([*script, RawConnection.read_until_closed]) as server, PoolManager(on_event=recorder) as pool:
        pool.request("GET", server.url)
        go.set()
        (closed,) = recorder.wait_for(ConnectionClosed)
        assert closed.why is Why.UNASKED_DATA


def test_there_is_one_janitor_for_all_pools_and_it_goes_with_the_last_connection(sites):
    site = sites.add()
    pools = [PoolManager() for _ in range(3)]
    for pool in pools:
        pool.request("GET", site.url)
    (janitor,) = janitors()
    assert janitor.daemon
    for pool in pools:
        pool.close()
    janitor.join(10)
    assert not janitor.is_alive()
    with PoolManager() as pool:
        pool.request("GET", site.url)
        assert len(janitors()) == 1


def test_a_pool_that_is_dropped_without_close_has_its_sockets_closed(sites):
    site = sites.add()
    pool = PoolManager()
    pool.request("GET", site.url)
    del pool
    gc.collect()
    assert site.wait_for(lambda: site.open_now == 0)


def test_a_response_dropped_unread_gives_its_slot_back_and_says_where_it_was_made(sites):
    site = sites.add(Behaviour(body=1_000_000))
    with PoolManager(Limits(per_host=1)) as pool:
        pool.request("GET", site.url, stream=True)
        with pytest.warns(ResourceWarning, match=rf"dropped unread; it was made at {__file__}:\d+"):
            assert pool.request("GET", site.url).status == 200
        assert pool.stats().closed_by[Why.BODY_UNREAD] == 1


@pytest.mark.parametrize("bad", [b"1\r\nazz\r\n", b"zz\r\n", b"0\r\n: no name\r\n\r\n"])
def test_a_response_dropped_unread_gives_its_slot_back_although_its_body_is_known_to_be_bad(bad):
    """What is wrong with a body is kept until it is read so far; it must not keep the response, in a cycle."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    script = [RawConnection.read_request, head + bad, RawConnection.read_until_closed]
    gc.disable()
    try:
        with ScriptedServer(script) as server, PoolManager() as pool:
            pool.request("GET", server.url, stream=True)
            with pytest.warns(ResourceWarning, match="dropped unread"):
                assert pool.stats().busy == 0
    finally:
        gc.enable()


def test_a_caller_that_waits_gets_the_slot_of_a_response_dropped_meanwhile(sites, recorder):
    site = sites.add(Behaviour(body=1_000_000))
    with PoolManager(Limits(per_host=1), on_event=recorder) as pool:
        held = [pool.request("GET", site.url, stream=True)]
        answers = []
        waiter = threading.Thread(target=lambda: answers.append(pool.request("GET", site.url).status))
        waiter.start()
        recorder.wait_for(RequestQueued)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            held.clear()
            gc.collect()
        waiter.join(10)
        assert answers == [200]


def test_finalizers_that_run_inside_the_lock_do_no_harm(sites):
    """Responses dropped unread while garbage is collected at every turn never find the lock taken (bpo-14976)."""
    site = sites.add(Behaviour(body=100_000))
    threshold = gc.get_threshold()
    with PoolManager(Limits(per_host=2)) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.set_threshold(1)
        try:
            for _ in range(200):
                response = pool.request("GET", site.url, stream=True)
                cycle = [response]
                cycle.append(cycle)
                del response, cycle
        finally:
            gc.set_threshold(*threshold)
        gc.collect()
        assert pool.stats().busy == 0


def in_child(work):
    """Fork, do the work in the child, and tell whether it went well there."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("held", [False, True], ids=["unlocked", "while another thread holds the lock"])
def test_parent_and_child_go_on_after_fork_each_with_sockets_of_its_own(sites, held):
    site = sites.add(Behaviour(body=b"right"))
    with PoolManager() as pool:
        pool.request("GET", site.url)
        streaming = pool.request("GET", f"{site.url}/bytes/300000", stream=True)

        def ask():
            assert [pool.request("GET", site.url).data for _ in range(100)] == [b"right"] * 100

        if held:
            pool._pool._lock.acquire()
        try:
            child_is_well = in_child(ask)
        finally:
            if held:
                pool._pool._lock.release()
        assert child_is_well
        ask()
        assert len(streaming.data) == 300_000
        assert pool.stats().reused >= 99


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_stream_begun_before_fork_is_an_error_in_the_child_and_whole_in_the_parent(sites):
    site = sites.add(Behaviour(body=2_000_000))
    with PoolManager() as pool:
        streaming = pool.request("GET", site.url, stream=True)

        def read():
            with pytest.raises(errors.ReadError):
                streaming.read()
            assert pool.stats().open == 0
            assert pool.request("GET", f"{site.url}/bytes/1").data == b"0"

        assert in_child(read)
        assert len(streaming.read()) == 2_000_000


def test_a_pool_whose_listener_owns_it_can_be_collected(sites):
    site = sites.add()

    class Crawler:
        def __init__(self):
            self.pool = PoolManager(on_event=self.listen)

        def listen(self, event):
            pass

    Crawler().pool.request("GET", site.url)
    gc.collect()
    assert site.wait_for(lambda: site.open_now == 0)


def test_pools_dropped_with_nothing_open_are_not_kept(sites):
    site = sites.add()
    for _ in range(50):
        PoolManager().request("GET", site.url, host=HostConfig(keep_alive=False))
    gc.collect()
    assert len(janitor._janitor.orphans) == 0


EVENTS = [RequestQueued, ConnectionOpened, ConnectionReused, ResponseStarted, ConnectionIdle, ConnectionClosed]


@pytest.mark.parametrize("kind", EVENTS)
def test_a_listener_that_fails_changes_nothing_for_anybody(sites, caplog, kind):
    site = sites.add()
    calls = []

    def listen(event):
        if isinstance(event, kind):
            calls.append(event)
            raise RuntimeError("the listener's own bug")

    with PoolManager(Limits(per_host=1), timeout=5, on_event=listen) as pool:
        with pool.request("GET", f"{site.url}/bytes/1000000", stream=True) as held:
            waiter = threading.Thread(target=pool.request, args=("GET", site.url))
            waiter.start()
            held.read(1)
            while kind is RequestQueued and not calls:
                pass
        waiter.join(10)
        for _ in range(3):
            assert pool.request("GET", site.url).status == 200
        pool.request("GET", site.url, host=HostConfig(keep_alive=False))
        assert (pool.stats().busy, pool.stats().connecting) == (0, 0)
    assert calls
    assert "the listener's own bug" in caplog.text


def test_a_listener_that_fails_does_not_end_the_janitor(sites, recorder):
    site = sites.add()

    def fail(event):
        raise RuntimeError

    with PoolManager(Limits(idle_timeout=0.01), on_event=fail) as bad, PoolManager(on_event=recorder) as good:
        bad.request("GET", site.url)
        good.request("GET", site.url)
        site.drop_idle()
        assert recorder.wait_for(ConnectionClosed)


def test_an_event_listener_may_use_the_pool(sites):
    site = sites.add()
    seen = []

    def listen(event):
        seen.append(event)
        if isinstance(event, ConnectionClosed):
            pool.stats()

    with PoolManager(on_event=listen) as pool:
        pool.request("GET", site.url, host=HostConfig(keep_alive=False))
    assert any(isinstance(event, ConnectionClosed) for event in seen)
