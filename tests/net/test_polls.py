"""What stands in for `select.poll` where it is missing, as with eventlet and on Windows."""

from __future__ import annotations

import select
import socket

import pytest

from keeppool import PoolManager
from keeppool.events import ConnectionClosed, Why
from keeppool.net.polls import INVALID, READABLE, WRITABLE, SelectPoll, poller
from keeppool.net.stream import Stream, gone
from keeppool.net.streams import Liveness
from keeppool.testing import RawConnection, ScriptedServer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def without_poll(monkeypatch):
    monkeypatch.delattr(select, "poll", raising=False)


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("kind", [SelectPoll, poller])
def test_it_says_what_poll_says(kind, pair):
    ours, theirs = pair
    both = kind()
    both.register(ours.fileno(), READABLE | WRITABLE)
    assert both.poll(0) == [(ours.fileno(), WRITABLE)]
    theirs.send(b"x")
    assert both.poll() == [(ours.fileno(), READABLE | WRITABLE)]


def test_nothing_in_time_is_nothing_and_a_closed_descriptor_is_told(pair):
    ours, _ = pair
    poll = SelectPoll()
    poll.register(ours.fileno(), READABLE)
    assert poll.poll(1) == []
    number = ours.fileno()
    ours.close()
    assert poll.poll(0) == [(number, INVALID)]


def test_nothing_asked_for_is_nothing_told_and_many_are_asked_in_groups(monkeypatch, pair):
    # Windows' `select` refuses three empty lists, and takes 512 sockets at once.
    ours, theirs = pair
    poll = SelectPoll()
    assert poll.poll(0) == poll.poll(1) == []
    poll.register(ours.fileno(), 0)
    assert poll.poll(0) == []
    monkeypatch.setattr("keeppool.net.polls._AT_ONCE", 1)
    for sock in pair:
        poll.register(sock.fileno(), READABLE)
    ours.send(b"x")
    theirs.send(b"x")
    assert poll.poll() == [(ours.fileno(), READABLE), (theirs.fileno(), READABLE)]


def test_a_failed_connect_is_told_where_it_is_an_exceptional_condition(monkeypatch, pair):
    # As Windows has it: no socket of a failed connect is ever writable there.
    ours, _ = pair
    poll = SelectPoll()
    poll.register(ours.fileno(), WRITABLE)
    monkeypatch.setattr(select, "select", lambda reading, writing, watched, seconds: ([], [], watched))
    assert poll.poll(0) == [(ours.fileno(), WRITABLE)]


def test_a_stream_knows_silence_data_and_the_end_without_poll(without_poll, pair):
    ours, theirs = pair
    stream = Stream(ours)
    assert (stream.probe(), gone([stream])) == (Liveness.IDLE, [])
    theirs.send(b"x")
    assert (stream.probe(), gone([stream])) == (Liveness.DATA, [(stream, Liveness.DATA)])
    assert stream.receive(1) == b"x"
    theirs.close()
    assert gone([stream]) == [(stream, Liveness.CLOSED)]
    assert stream.probe() is Liveness.CLOSED


def test_a_pool_works_without_poll(without_poll, recorder):
    one = [RawConnection.read_request, OK, RawConnection.read_request, OK]
    other = [RawConnection.read_request, OK, RawConnection.read_until_closed]
    with ScriptedServer(one, other) as server, PoolManager(timeout=10, on_event=recorder) as pool:
        for _ in range(3):
            assert pool.request("PUT", server.url, body=lambda: iter([b"some", b"thing"])).data == b"ok"
    closed = [event.why for event in recorder.events if isinstance(event, ConnectionClosed)]
    assert closed[-1] is Why.POOL_CLOSED
