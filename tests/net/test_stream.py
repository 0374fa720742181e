"""One socket's questions: is it alive, is there something to read, is there room to write."""

import socket
import ssl

import pytest

from keeppool.net.stream import Stream, gone
from keeppool.net.streams import Liveness


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Stream(ours), theirs


def test_a_silent_connection_is_idle(pair):
    stream, _ = pair
    assert stream.probe() is Liveness.IDLE


def test_bytes_nobody_asked_for_are_data_and_stay_where_they_are(pair):
    stream, theirs = pair
    theirs.send(b"x")
    assert stream.probe() is Liveness.DATA
    assert stream.receive(10) == b"x"


@pytest.mark.parametrize("last", [b"", b"bye"])
def test_a_closed_connection_is_closed_whatever_it_said_last(pair, last):
    stream, theirs = pair
    theirs.send(last)
    theirs.close()
    assert stream.probe() is Liveness.CLOSED


def test_a_half_closed_connection_is_closed(pair):
    stream, theirs = pair
    theirs.shutdown(socket.SHUT_WR)
    assert stream.probe() is Liveness.CLOSED


def test_the_probe_leaves_the_timeout_as_it_was(pair):
    stream, _ = pair
    stream.set_timeout(0.01)
    stream.probe()
    with pytest.raises((BlockingIOError, TimeoutError)):
        stream.receive(1)


@pytest.mark.parametrize("seconds", [None, float("inf"), 1e12, 1e-9, 0.5])
def test_any_timeout_that_can_be_configured_can_be_set(pair, seconds):
    stream, theirs = pair
    stream.set_timeout(seconds)
    theirs.send(b"x")
    assert stream.receive(1) == b"x"


@pytest.mark.parametrize("seconds", [None, float("inf"), 1e12, 1e-9, 0.5])
def test_any_timeout_that_can_be_configured_can_be_set_over_tls(seconds):
    ours, theirs = socket.socketpair()
    context = ssl.create_default_context()
    with theirs, context.wrap_socket(ours, server_hostname="a", do_handshake_on_connect=False) as sock:
        Stream(sock).set_timeout(seconds)
        assert sock.gettimeout() == (seconds if seconds and seconds < 1e6 else None)


def test_readable_and_writable_are_told_apart(pair):
    stream, theirs = pair
    assert not stream.wait_readable(1, or_writable=True)
    theirs.send(b"x")
    assert stream.wait_readable(1, or_writable=True)
    assert stream.wait_readable(1)
    assert stream.receive_now(10) == b"x"
    assert stream.receive_now(10) is None


def test_nothing_in_time_is_a_timeout(pair):
    stream, _ = pair
    with pytest.raises(TimeoutError):
        stream.wait_readable(0.001)


def test_send_now_takes_what_fits_and_never_waits(pair):
    stream, _ = pair
    data = memoryview(bytes(10_000_000))
    taken = 0
    while count := stream.send_now(data[taken:]):
        taken += count
    assert 0 < taken < len(data)


def test_many_streams_are_looked_at_at_once():
    pairs = [socket.socketpair() for _ in range(4)]
    streams = [Stream(ours) for ours, _ in pairs]
    pairs[1][1].close()
    pairs[2][1].send(b"x")
    streams[3].close()
    try:
        assert gone(streams) == [(streams[1], Liveness.CLOSED), (streams[2], Liveness.DATA)]
    finally:
        for ours, theirs in pairs:
            ours.close()
            theirs.close()
