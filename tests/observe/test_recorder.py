"""`Recorder`: what it keeps, and what it says; and what it costs a pool, which is told what it wants."""

from __future__ import annotations

import copy
import os
import threading

import pytest
from observe.made import closed, done, opened, told
from pools.on_a_loop import PoolOnALoop

from keeppool import HostLedger, Limits, PoolManager, Session, errors
from keeppool.events import ConnectionClosed, ConnectionOpened, ConnectionReused, RequestDone, Why
from keeppool.observe import Recorder
from keeppool.observe.reasons import REASONS
from keeppool.testing import Site


@pytest.mark.parametrize("manager", [PoolManager, PoolOnALoop], ids=["threads", "tasks"])
def test_requests_and_sockets_of_a_pool_are_kept(manager):
    recorder = Recorder()
    with Site() as site, manager(Limits(per_host=1), on_event=recorder) as pool:
        pool.request("GET", site.url + "/1")
        pool.request("GET", site.url + "/2")
        (socket,) = recorder.sockets
        assert (socket.connection, socket.closed_at, socket.why) == (1, None, None)
    assert [(one.url, one.served) for one in recorder.requests] == [(site.url + "/1", 0), (site.url + "/2", 1)]
    (socket,) = recorder.sockets
    assert (socket.origin, socket.why, socket.served) == (site.url, Why.POOL_CLOSED, 2)
    assert socket.opened_at <= recorder.requests[0].ended_at <= socket.closed_at
    assert repr(recorder) == "<Recorder 2 requests, 0 open and 1 closed sockets>"


def test_the_last_are_kept():
    recorder = told(Recorder(last=3), *(done(number) for number in range(5)))
    for number in range(1, 6):
        told(recorder, opened(number))
    assert [one.request for one in recorder.requests] == [3, 4, 5]
    assert [one.connection for one in recorder.sockets] == [3, 4, 5]
    for number in range(1, 6):
        told(recorder, closed(number, Why.EVICTED))
    assert [one.connection for one in recorder.sockets] == [3, 4, 5]
    assert {one.why for one in recorder.sockets} == {Why.EVICTED}
    recorder.clear()
    assert recorder.requests == recorder.sockets == []


def test_a_socket_that_was_opened_before_anybody_listened_has_its_age():
    recorder = told(Recorder(), closed(9, Why.PEER_CLOSED))
    (socket,) = recorder.sockets
    assert socket.closed_at - socket.opened_at == pytest.approx(0.5)


def test_one_listener_may_be_passed_on_to():
    events = []
    recorder = Recorder(also=events.append)
    assert recorder.wants is None, "a list takes everything"
    with Site() as site, Session(on_event=recorder) as session:
        session.get(site.url)
        session.get(site.url)
    assert [type(event) for event in events if isinstance(event, (RequestDone, ConnectionReused))] == [
        RequestDone,
        ConnectionReused,
        RequestDone,
    ]
    assert len(recorder.requests) == 2


def test_a_pool_is_asked_for_no_more_than_both_want():
    assert Recorder().wants == {RequestDone, ConnectionOpened, ConnectionClosed}
    assert Recorder(also=Recorder()).wants == Recorder().wants
    ledger = HostLedger()
    assert Recorder(also=ledger).wants is None


@pytest.mark.parametrize("last", [0, -1, 1.5, "10", True, None])
def test_how_many_are_kept_is_a_whole_number(last):
    with pytest.raises(errors.ConfigError, match="last must be a whole number above 0"):
        Recorder(last=last)


def test_threads_may_record_while_others_read():
    recorder = Recorder(last=50)
    stop = threading.Event()

    def record():
        number = 0
        while not stop.is_set():
            number += 1
            told(recorder, opened(number), done(number), closed(number, Why.EVICTED))

    threads = [threading.Thread(target=record) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(300):
            assert len(recorder.requests) <= 50
            assert len(recorder.sockets) <= 53
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_forked_child_goes_on():
    recorder = told(Recorder(), done(1))
    child = os.fork()
    if not child:
        told(recorder, done(2))
        os._exit(0 if len(recorder.requests) == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(recorder.requests) == 1


def test_it_can_be_copied_with_the_pool_it_listens_to():
    recorder = told(Recorder(), done(1))
    assert len(copy.deepcopy(recorder).requests) == 1


def test_every_reason_has_words():
    assert set(REASONS) == set(Why)
    assert {reason.side for reason in REASONS.values()} == {"us", "server", "trouble"}
