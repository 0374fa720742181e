"""The turn of a step, as a blocking socket takes it."""

from __future__ import annotations

import socket

import pytest

from keeppool.net.deadline import Deadline
from keeppool.net.steps import drive


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(20)
        yield ours, theirs


def test_what_is_yielded_is_sent_and_what_comes_is_returned(pair):
    ours, theirs = pair

    def steps():
        first = yield b"ask"
        assert theirs.recv(100) == b"ask"
        theirs.send(b"more")
        second = yield b""
        return first, second

    theirs.send(b"answer")
    assert drive(steps(), ours, Deadline(20)) == (b"answer", b"more")


def test_steps_that_need_nothing_touch_nothing(pair):
    ours, theirs = pair

    def steps():
        return "done"
        yield b"never"

    assert drive(steps(), ours, Deadline(20)) == "done"
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(1)


def test_a_closed_connection_is_no_bytes(pair):
    ours, theirs = pair

    def steps():
        return (yield b"")

    theirs.close()
    assert drive(steps(), ours, Deadline(20)) == b""


@pytest.mark.parametrize("sent", [b"", bytes(10_000_000)], ids=["silent", "deaf"])
def test_the_deadline_ends_reading_and_sending(pair, sent):
    ended = []

    def steps():
        try:
            yield sent
        finally:
            ended.append(True)

    with pytest.raises(TimeoutError):
        drive(steps(), pair[0], Deadline(0.05))
    assert ended == [True]


def test_one_byte_at_a_time_does_not_move_the_deadline(pair):
    """Each read finds its byte at once; what ends them is the time they took together."""
    ours, theirs = pair

    def steps():
        while True:
            theirs.send(b"x")
            yield b""

    with pytest.raises(TimeoutError):
        drive(steps(), ours, Deadline(0.05))


def test_what_the_steps_raise_is_raised(pair):
    def steps():
        yield b"x"
        raise ValueError("no")

    pair[1].send(b"y")
    with pytest.raises(ValueError, match="no"):
        drive(steps(), pair[0], Deadline(20))
