"""Looking and sending while the interpreter's lock is kept: what they say is what Python's own calls say."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
import threading

import pytest

from keeppool.net import kept_lock
from keeppool.net.kept_lock import FLAGS, looking_at, not_sent, sending_on
from keeppool.net.stream import Stream
from keeppool.net.streams import Liveness

#: Longer than any test: the interpreter takes the lock from nobody who keeps it.
NEVER_SWITCH = 1e6


@pytest.fixture
def pair():
    """Two ends of a TCP connection on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def stream(pair):
    stream = Stream(pair[0])
    stream.others_run = True
    assert stream.probe() is Liveness.IDLE
    return stream


@pytest.fixture
def without(monkeypatch):
    """Let the C library be loaded anew, so that a test can be in its way."""
    monkeypatch.setattr(kept_lock, "_library", None)


def arrived(sock: socket.socket) -> None:
    """Wait until something has come, or the end."""
    sock.recv(1, socket.MSG_PEEK)


def reset(sock: socket.socket) -> None:
    """End a connection with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_a_stream_among_threads_uses_these_calls(stream):
    assert stream.send_at_once is not None


def test_a_stream_of_a_lone_thread_does_not_load_them(without, pair):
    stream = Stream(pair[0])
    assert stream.probe() is Liveness.IDLE
    assert stream.send_at_once is None
    assert kept_lock._library is None


def test_bytes_nobody_asked_for_are_data_and_stay_where_they_are(pair, stream):
    pair[1].send(b"x")
    arrived(pair[0])
    assert stream.probe() is Liveness.DATA
    assert stream.receive(10) == b"x"
    assert stream.probe() is Liveness.IDLE


@pytest.mark.parametrize("last", [b"", b"bye"])
def test_a_closed_connection_is_closed_whatever_it_said_last(pair, stream, last):
    pair[1].send(last)
    pair[1].close()
    arrived(pair[0])
    assert stream.probe() is Liveness.CLOSED


def test_a_half_closed_connection_is_closed(pair, stream):
    pair[1].shutdown(socket.SHUT_WR)
    arrived(pair[0])
    assert stream.probe() is Liveness.CLOSED


def test_a_reset_connection_is_closed(pair, stream):
    reset(pair[1])
    assert stream.probe() is Liveness.CLOSED


def test_a_socket_that_was_closed_here_is_closed(pair, stream):
    pair[0].close()
    assert stream.probe() is Liveness.CLOSED


def test_what_is_sent_arrives_whole_with_any_byte_in_it(pair, stream):
    data = bytes(range(256)) * 4
    assert stream.send_at_once(data, len(data), FLAGS) == len(data)
    assert pair[1].recv(len(data), socket.MSG_WAITALL) == data


def test_no_room_in_the_kernel_is_nothing_sent_and_no_error(pair, stream):
    full = b"x" * kept_lock.AT_ONCE
    while (sent := stream.send_at_once(full, len(full), FLAGS)) >= 0:
        assert sent > 0
    assert not_sent() == 0


@pytest.mark.parametrize("again", [False, True])
def test_a_broken_connection_fails_as_with_pythons_own_send(pair, again):
    ours, theirs = pair
    with socket.create_server(("127.0.0.1", 0)) as listener:
        other = socket.create_connection(listener.getsockname())
        other_peer, _ = listener.accept()
    send = sending_on(ours)
    reset(theirs)
    reset(other_peer)
    with other:
        kinds = []
        for attempt in (lambda: send(b"x", 1, FLAGS) >= 0 or not_sent(), lambda: other.send(b"x")):
            for _ in range(2 if again else 1):
                with pytest.raises(ConnectionError) as caught:
                    attempt()
            kinds.append((type(caught.value), caught.value.errno, str(caught.value)))
    assert kinds[0] == kinds[1]


def test_a_socket_that_another_thread_has_closed_takes_nothing(pair):
    """The number of a closed socket may be another's by now: its request would go to a stranger."""
    ours, _ = pair
    send = sending_on(ours)
    number = ours.fileno()
    ours.close()
    one, other = socket.socketpair()
    with one, other:
        assert number in (one.fileno(), other.fileno())
        assert send(b"x", 1, FLAGS) < 0
        with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
            not_sent()
        for end in (one, other):
            with pytest.raises(BlockingIOError):
                end.recv(1, socket.MSG_DONTWAIT)


@pytest.mark.parametrize("call", ["look", "send"])
def test_no_other_thread_runs_meanwhile(pair, call):
    ours, _ = pair
    look, send = looking_at(ours), sending_on(ours)
    wanted, ran = threading.Lock(), threading.Event()
    wanted.acquire()

    def other() -> None:
        wanted.acquire()
        ran.set()

    thread = threading.Thread(target=other)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(NEVER_SWITCH)
    try:
        thread.start()
        wanted.release()  # From here on the other thread waits for the interpreter's lock, and for nothing else.
        for _ in range(20_000):  # A call that lets go of it gives another thread a chance, not more.
            look() if call == "look" else send(b"x", 1, FLAGS)
        kept = not ran.is_set()
    finally:
        sys.setswitchinterval(interval)
        thread.join()
    assert kept


def failing(*_: object, **__: object) -> None:
    raise RuntimeError("an audit hook forbids it")


@pytest.mark.parametrize(
    "obstacle", ["no ctypes", "forbidden", "no such function", "another interpreter", "no lock to keep"]
)
def test_where_the_calls_cannot_be_had_pythons_own_do_the_same(without, monkeypatch, pair, obstacle):
    import ctypes

    if obstacle == "no ctypes":
        monkeypatch.setitem(sys.modules, "ctypes", None)
    elif obstacle == "forbidden":
        monkeypatch.setattr(ctypes, "PyDLL", failing)
    elif obstacle == "no such function":
        monkeypatch.setattr(ctypes, "PyDLL", lambda *_, **__: object())
    elif obstacle == "another interpreter":
        monkeypatch.setattr(sys.implementation, "name", "pypy")
    else:
        monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    stream = Stream(pair[0])
    stream.others_run = True
    assert stream.probe() is Liveness.IDLE
    assert stream.send_at_once is None
    pair[1].send(b"x")
    arrived(pair[0])
    assert stream.probe() is Liveness.DATA
