"""The drop-ins' pool: caps over all hosts, eviction, hints, probes, what comes back and what is lost."""

import gc
import queue
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import urllib3
from adapters.urllib3s import OK, SERVE
from urllib3.exceptions import ClosedPoolError, EmptyPoolError, FullPoolError, ProtocolError
from urllib3.util.wait import wait_for_read

from keeppool import Config, HostConfig, Limits, Timeout, presets
from keeppool.adapters.urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from keeppool.adapters.urllib3.connection import LeanConnection
from keeppool.errors import ConfigError
from keeppool.events import ConnectionClosed, ConnectionOpened, ConnectionReused, RequestQueued, ResponseStarted, Why
from keeppool.testing import Behaviour, RawConnection, ScriptedServer


def in_threads(count, call):
    """Let `count` threads call at the same time, and give what came back."""
    start = threading.Barrier(count)

    def run(number):
        start.wait(5)
        return call(number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


# Being urllib3's


def test_managers_and_pools_are_urllib3s_own():
    assert isinstance(PoolManager(), urllib3.PoolManager)
    assert isinstance(ProxyManager("http://p.example"), urllib3.ProxyManager)
    assert isinstance(HTTPConnectionPool("a.example"), urllib3.HTTPConnectionPool)
    assert isinstance(HTTPSConnectionPool("a.example"), urllib3.HTTPSConnectionPool)


def test_responses_are_urllib3s_own(http, site):
    response = http.request("GET", f"{site.url}/echo")
    assert isinstance(response, urllib3.HTTPResponse)
    assert (response.status, response.reason, response.version, response.version_string) == (200, "OK", 11, "HTTP/1.1")
    assert response.json()["target"] == "/echo"
    assert response.headers["CONTENT-LENGTH"] == str(len(response.data))


# Caps


def test_no_more_connections_than_the_cap_of_a_host_whatever_the_number_of_threads(sites):
    site = sites.add(Behaviour(delay_s=0.005))
    with PoolManager(limits=Limits(per_host=3)) as http:
        answers = in_threads(8, lambda _: [http.request("GET", site.url).status for _ in range(5)])
    assert answers == [[200] * 5] * 8
    assert site.opened == site.peak_open == 3


def test_the_total_cap_holds_over_all_hosts_of_a_manager(sites):
    several = [sites.add(Behaviour(delay_s=0.005), host=f"127.0.0.{number}") for number in range(1, 7)]
    with PoolManager(limits=Limits(per_host=2, total=4)) as http:
        in_threads(12, lambda number: [http.request("GET", several[(number + i) % 6].url).status for i in range(6)])
        stats = http.stats()
    assert stats.peak_open == 4
    assert sum(site.requests for site in several) == 72


def test_the_least_recently_used_idle_connection_goes_first_across_hosts(sites, recorder):
    first, second, third = (sites.add(host=f"127.0.0.{number}") for number in (1, 2, 3))
    with PoolManager(limits=Limits(total=2), on_event=recorder) as http:
        for site in (first, second, first, third):
            http.request("GET", site.url)
        evicted = [event.origin for event in recorder.of(ConnectionClosed)]
        assert evicted == [second.url]
        assert (first.opened, second.opened, third.opened) == (1, 1, 1)


def test_a_manager_that_forgets_a_host_pool_still_keeps_its_connections(sites):
    """`num_pools` bounds what is remembered, not what is open; urllib3 would connect anew each time."""
    both = [sites.add(host=f"127.0.0.{number}") for number in (1, 2)]
    with PoolManager(num_pools=1) as http:
        for site in both * 3:
            http.request("GET", site.url)
        assert len(http.pools) == 1
    assert [site.opened for site in both] == [1, 1]


@pytest.mark.parametrize(
    ("arguments", "cap"),
    [
        ({}, 6),
        ({"maxsize": 10}, 10),
        ({"maxsize": 2}, 6),
        ({"maxsize": 2, "block": True}, 2),
        ({"maxsize": 300, "block": True}, 300),
        ({"maxsize": 300}, 300),
        ({"maxsize": 10, "limits": Limits(per_host=4)}, 4),
        ({"maxsize": 3, "block": True, "limits": Limits(per_host=4)}, 3),
        ({"maxsize": 10, "limits": presets.IE6}, presets.IE6.per_host),
        ({"maxsize": 10, "hosts": {"a.example": HostConfig(per_host=2)}}, 2),
        ({"maxsize": 2, "block": True, "hosts": {"a.example": HostConfig(per_host=9)}}, 2),
        ({"limits": Limits(per_host=None)}, None),
        ({"config": Config(limits=Limits(per_host=5))}, 5),
    ],
)
def test_the_cap_of_a_host_follows_from_maxsize_block_and_limits(arguments, cap):
    with PoolManager(**arguments) as http:
        pool = http.connection_from_url("http://a.example")
    assert pool._route.policy.per_host == cap
    assert HTTPConnectionPool("a.example", **arguments)._route.policy.per_host == cap


def test_a_host_pool_with_a_maxsize_of_its_own_may_have_that_many():
    with PoolManager() as http:
        pool = http.connection_from_url("http://a.example", pool_kwargs={"maxsize": 20})
    assert pool._route.policy.per_host == 20


def test_a_total_is_never_smaller_than_what_maxsize_asks_for():
    assert PoolManager(maxsize=500)._lender.limits.total == 500
    assert PoolManager()._lender.limits == Limits()


def test_plain_http_through_a_proxy_has_the_proxys_cap():
    with ProxyManager("http://127.0.0.1:3128", limits=Limits(per_host=2, per_proxy=20)) as http:
        assert http.connection_from_url("http://a.example")._route.policy.per_host == 20
        assert http.connection_from_url("https://a.example")._route.policy.per_host == 2


# Waiting


def test_a_full_pool_says_what_it_looks_like_in_urllib3s_error(site):
    with HTTPConnectionPool(site.host, site.port, maxsize=1, block=True) as pool:
        held = pool.urlopen("GET", "/bytes/300000", preload_content=False)
        with pytest.raises(EmptyPoolError, match="1/1 in use"):
            pool.urlopen("GET", "/", pool_timeout=0.01)
        held.close()
        assert pool.urlopen("GET", "/", pool_timeout=0.01).status == 200


def test_a_pool_that_does_not_block_waits_as_long_as_the_configuration_says(site):
    config = Config(limits=Limits(per_host=1), timeout=Timeout(pool=0.01))
    with PoolManager(config=config) as http:
        held = http.request("GET", f"{site.url}/bytes/300000", preload_content=False)
        with pytest.raises(EmptyPoolError):
            http.request("GET", site.url)
        held.close()


def test_a_waiting_thread_is_told_when_its_pool_is_closed(site, recorder):
    pool = HTTPConnectionPool(site.host, site.port, maxsize=1, block=True, on_event=recorder)
    held = pool.urlopen("GET", "/bytes/300000", preload_content=False)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(pool.urlopen, "GET", "/")
        assert recorder.wait_for(RequestQueued)
        pool.close()
        with pytest.raises(ClosedPoolError):
            waiting.result(5)
    held.close()


def test_a_queue_that_is_full_is_an_empty_pool(site):
    with PoolManager(limits=Limits(per_host=1, waiting=0)) as http:
        held = http.request("GET", f"{site.url}/bytes/300000", preload_content=False)
        with pytest.raises(EmptyPoolError, match=r"Limits\(waiting=\d+\) lets no more callers wait"):
            http.request("GET", site.url)
        held.close()


# Reuse


def test_requests_share_a_connection(http, site):
    for _ in range(5):
        http.request("GET", site.url)
    assert site.opened == 1
    assert http.stats().reused == 4


def test_a_connection_the_server_has_closed_is_never_used(http, site, recorder):
    http.request("GET", site.url)
    site.drop_idle()
    assert http.request("POST", site.url, retries=False).status == 200
    assert site.opened == 2
    assert [event.why for event in recorder.of(ConnectionClosed)] == [Why.PEER_CLOSED]


def test_bytes_nobody_asked_for_are_never_taken_for_an_answer(http, recorder):
    poisoned = threading.Event()
    poison = [RawConnection.read_request, OK, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"]
    with ScriptedServer([*poison, lambda _: poisoned.set(), RawConnection.read_until_closed], SERVE) as server:
        assert http.request("GET", server.url).data == b"ok"
        assert poisoned.wait(5)
        assert http.request("GET", server.url).data == b"ok"
        assert len(server.connections) == 2
    assert [event.why for event in recorder.of(ConnectionClosed)] == [Why.UNASKED_DATA]


def test_bytes_behind_an_answer_close_its_connection(http, recorder):
    with ScriptedServer([RawConnection.read_request, OK + OK, RawConnection.read_until_closed], SERVE) as server:
        assert [http.request("GET", server.url).data for _ in range(2)] == [b"ok", b"ok"]
        assert len(server.connections) == 2
    assert [event.why for event in recorder.of(ConnectionClosed)] == [Why.UNASKED_DATA]


def test_bytes_behind_the_last_chunk_close_its_connection(http, recorder):
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n"
    with ScriptedServer([RawConnection.read_request, chunks + OK, RawConnection.read_until_closed], SERVE) as server:
        response = http.request("GET", server.url, preload_content=False)
        assert list(response.stream()) == [b"one"]
        assert http.request("GET", server.url).data == b"ok"
        assert len(server.connections) == 2
    assert [event.why for event in recorder.of(ConnectionClosed)] == [Why.UNASKED_DATA]


@pytest.mark.parametrize("style", ["left", "constant"])
def test_no_request_is_sent_after_the_servers_last(sites, http, style):
    site = sites.add(Behaviour(hint_max=3, hint_style=style))
    for _ in range(10):
        assert http.request("POST", site.url, retries=False).status == 200
    assert site.late == 0
    assert http.stats().closed_by[Why.HINT_MAX] + http.stats().closed_by[Why.SERVER_CLOSE] >= 2


def test_the_servers_timeout_limits_how_long_a_connection_may_sit_idle(sites, http, recorder):
    site = sites.add(Behaviour(hint_timeout=40))
    http.request("GET", site.url)
    with http._lender.pool._lock:
        (idle,) = http._lender.pool._state.idle_connections()
    assert idle.expires_by is Why.HINT_TIMEOUT
    assert idle.expires_at - idle.read_at == 39


def test_host_entries_give_a_connection_its_limits(sites, recorder):
    site = sites.add()
    hosts = {site.host: HostConfig(max_requests=2)}
    with PoolManager(hosts=hosts, on_event=recorder) as http:
        for _ in range(4):
            http.request("GET", site.url)
    assert site.opened == 2
    assert [event.why for event in recorder.of(ConnectionClosed)] == [Why.MAX_REQUESTS] * 2


def test_a_connection_older_than_allowed_takes_no_further_request(site):
    with PoolManager(limits=Limits(max_age=0)) as http:
        for _ in range(3):
            http.request("GET", site.url)
        assert http.stats().closed_by[Why.MAX_AGE] == 3


@pytest.mark.parametrize(
    "entry", [HostConfig(verify=False), HostConfig(proxy="http://p.example"), HostConfig(headers={"a": "b"})]
)
def test_an_entry_that_would_be_ignored_is_refused(entry):
    with pytest.raises(ConfigError, match="given to urllib3"):
        PoolManager(hosts={"a.example": entry})
    with pytest.raises(ConfigError, match="given to urllib3"):
        PoolManager(config=Config(defaults=entry))


def test_a_configurations_waits_hold_where_urllib3_is_told_nothing():
    config = Config(timeout=Timeout(connect=1, read=2, total=3))
    assert repr(PoolManager(config=config).connection_pool_kw["timeout"]) == "Timeout(connect=1, read=2, total=3)"
    assert PoolManager(config=config, timeout=9).connection_pool_kw["timeout"] == 9


def test_events_tell_what_happens(http, site, recorder):
    for _ in range(2):
        http.request("GET", f"{site.url}/status/404")
    assert [event.origin for event in recorder.of(ConnectionOpened)] == [site.url]
    assert [event.served for event in recorder.of(ConnectionReused)] == [1]
    assert [(event.method, event.status) for event in recorder.of(ResponseStarted)] == [("GET", 404)] * 2


# Identity


@pytest.mark.parametrize(
    "other",
    [
        {"socket_options": [(6, 1, 1)]},
        {"source_address": ("127.0.0.1", 0)},
        {"blocksize": 1000},
        {"headers": {"a": "b"}},
    ],
    ids=lambda other: next(iter(other)),
)
def test_requests_with_other_connection_settings_never_share_a_connection(http, site, other):
    for settings in ({}, other, {}, other):
        http.connection_from_url(site.url, pool_kwargs=settings).urlopen("GET", "/")
    assert site.opened == 2


# What comes back, and what is lost


def test_a_response_that_is_read_whole_gives_its_connection_back(http, site):
    response = http.request("GET", f"{site.url}/bytes/300000", preload_content=False)
    assert http.stats().busy == 1
    assert len(response.read()) == 300000
    assert http.stats().idle == 1


def test_a_response_whose_body_has_come_gives_its_connection_back_at_once(http, site):
    response = http.request("GET", f"{site.url}/bytes/10", preload_content=False)
    assert http.stats().idle == 1
    assert len(response.read()) == 10


@pytest.mark.parametrize("end", ["close", "release_conn"])
def test_a_response_that_is_given_up_frees_its_slot_at_once(http, site, end):
    response = http.request("GET", f"{site.url}/bytes/3000000", preload_content=False)
    getattr(response, end)()
    assert http.stats().open == 0
    assert http.stats().closed_by[Why.BODY_UNREAD] == 1


def test_a_response_that_is_dropped_unread_frees_its_slot_and_is_told_of(site):
    with HTTPConnectionPool(site.host, site.port, maxsize=1, block=True) as pool:
        pool.urlopen("GET", "/bytes/3000000", preload_content=False)
        gc.collect()
        with pytest.warns(ResourceWarning, match=rf"dropped unread; it was made at {__file__}:\d+"):
            assert pool.urlopen("GET", "/", pool_timeout=1).status == 200
        assert site.opened == 2


def test_a_body_left_to_be_read_by_release_conn_true_comes_back_when_it_is(http, site):
    response = http.request("GET", f"{site.url}/bytes/300000", preload_content=False, release_conn=True)
    assert http.stats().busy == 1
    assert len(response.data) == 300000
    assert http.stats().idle == 1


def test_clear_closes_what_is_idle_now_and_what_is_busy_later(http, site):
    busy = http.request("GET", f"{site.url}/bytes/300000", preload_content=False)
    http.request("GET", site.url)
    http.clear()
    assert (http.stats().idle, http.stats().busy) == (0, 1)
    busy.read()
    assert http.stats().closed_by[Why.POOL_CLOSED] == 2
    assert http.request("GET", site.url).status == 200


def test_a_closed_host_pool_leaves_the_others_of_its_manager_alone(http, sites):
    one, other = sites.add(), sites.add(host="127.0.0.2")
    for site in (one, other):
        http.request("GET", site.url)
    pool = http.connection_from_url(one.url)
    pool.close()
    assert http.stats().idle == 1
    with pytest.raises(ClosedPoolError):
        pool.urlopen("GET", "/")


def test_a_host_pool_outlives_its_manager(site):
    pool = PoolManager().connection_from_url(site.url)
    gc.collect()
    for _ in range(2):
        assert pool.urlopen("GET", "/").status == 200
    assert site.opened == 1


def test_a_dropped_pool_leaves_no_connection_open(site):
    pool = HTTPConnectionPool(site.host, site.port)
    pool.urlopen("GET", "/")
    del pool
    gc.collect()
    assert site.wait_for(lambda: site.open_now == 0)


def test_a_stranger_is_turned_away(site):
    with HTTPConnectionPool(site.host, site.port, block=True) as pool:
        stranger = pool._new_conn()
        with pytest.raises(FullPoolError):
            pool._put_conn(stranger)


def test_a_connection_that_has_come_back_already_is_left_alone(http, site):
    pool = http.connection_from_url(site.url)
    conn = pool._get_conn()
    pool._put_conn(conn)
    assert pool._get_conn() is conn
    pool._put_conn(conn)
    pool._put_conn(conn)


def test_what_was_borrowed_and_never_used_comes_back(http, site):
    pool = http.connection_from_url(site.url)
    borrowed = pool._get_conn()
    pool._put_conn(None)
    assert http.stats().connecting == 0
    assert borrowed.sock is None


def test_the_queue_can_be_looked_at_and_taken_from(site):
    with HTTPConnectionPool(site.host, site.port, maxsize=2) as pool:
        assert (pool.pool.qsize(), pool.pool.full(), pool.pool.empty()) == (2, True, False)
        pool.urlopen("GET", "/")
        (idle,) = pool.pool.queue
        assert pool.pool.get() is idle
        assert pool.pool.qsize() == 1
        pool.pool.put(idle)
        assert pool.pool.full()
        slots = pool.pool
    with pytest.raises(queue.Empty):
        slots.get_nowait()


def test_a_program_that_closes_nothing_ends(site):
    """urllib3 empties the queues of all pools at the end of the process, until they give nothing more."""
    program = """
import sys
from keeppool.adapters.urllib3 import HTTPConnectionPool, PoolManager
url, port = sys.argv[1], int(sys.argv[2])
manager, pool, unused = PoolManager(), HTTPConnectionPool("127.0.0.1", port), HTTPConnectionPool("127.0.0.1", port)
held = manager.request("GET", url + "/bytes/3000000", preload_content=False)
print(manager.request("GET", url).status, pool.urlopen("GET", "/").status)
"""
    command = [sys.executable, "-W", "error", "-c", program, site.url, str(site.port)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout == "200 200\n"
    assert done.stderr == ""


def test_a_pool_survives_whoever_closes_an_idle_connection(http, site):
    http.request("GET", site.url)
    (idle,) = http.connection_from_url(site.url).pool.queue
    number = idle.sock.fileno()
    idle.close()
    # The number is given to the next that asks for one; what happens there says nothing about our connection.
    others = socket.socketpair()
    assert number in {other.fileno() for other in others}
    assert http.request("POST", site.url, retries=False).status == 200
    assert http.stats().closed_by[Why.PEER_CLOSED] == 1
    for other in others:
        other.close()


def test_a_failed_dial_gives_its_slot_back(http):
    with pytest.raises(urllib3.exceptions.MaxRetryError) as raised:
        http.request("GET", "http://127.0.0.1:1/", retries=2)
    assert isinstance(raised.value.reason, urllib3.exceptions.NewConnectionError)
    stats = http.stats()
    assert (stats.connecting, stats.connect_failed) == (0, 3)


def test_a_server_that_speaks_first_is_not_listened_to(recorder):
    class Patient(LeanConnection):
        def connect(self):
            super().connect()
            assert wait_for_read(self.sock, 5)

    early = [OK, RawConnection.read_until_closed]
    with ScriptedServer(early) as server, HTTPConnectionPool("127.0.0.1", server.port, on_event=recorder) as pool:
        pool.ConnectionCls = Patient
        with pytest.raises(ProtocolError, match="before the request"):
            pool.urlopen("GET", "/", retries=False)
        assert pool.stats().open == 0


@pytest.mark.parametrize("lock", ["the manager's", "the pool's"])
def test_a_forked_child_does_not_wait_for_locks_its_parent_held(http, site, in_child, lock):
    http.request("GET", site.url)
    held = http.pools.lock if lock == "the manager's" else http._lender.pool._lock
    taken, done = threading.Event(), threading.Event()

    def hold():
        with held:
            taken.set()
            done.wait(20)

    with ThreadPoolExecutor(1) as threads:
        threads.submit(hold)
        assert taken.wait(5)
        try:
            assert in_child(lambda: http.request("GET", site.url).status) == 200
        finally:
            done.set()


def test_a_forked_child_leaves_its_parents_connections_alone(http, site, in_child):
    http.request("GET", site.url)
    assert in_child(lambda: http.request("GET", f"{site.url}/child").status) == 200
    assert http.request("GET", site.url).status == 200
    assert site.opened == 2


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: PoolManager(per_host=3),
            r"PoolManager\(\) has no argument 'per_host': it is limits=Limits\(per_host=…\)",
        ),
        (lambda: HTTPConnectionPool("h", idle_timeout=3), r"it is limits=Limits\(idle_timeout=…\)"),
        (lambda: PoolManager(pace=3), r"it is hosts=.*HostConfig\(pace=…\)"),
    ],
)
def test_a_setting_of_ours_is_no_argument_of_urllib3s(make, says):
    with pytest.raises(TypeError, match=says):
        make()
