"""Which of several sockets have something to say: `select.poll`, and what stands in for it where it is missing.

Decides: nothing.
Knows: that eventlet takes `poll` out of `select`, and that Windows has none; that gevent and eventlet put sockets of
    their own in the place of Python's, with which only Python's timeouts work: the kernel's are for a call that blocks,
    and theirs never do.
Does not know: what is waited for.
"""

from __future__ import annotations

import _socket
import os
import select
from typing import Protocol

READABLE = getattr(select, "POLLIN", 0x001)
URGENT = getattr(select, "POLLPRI", 0x002)
WRITABLE = getattr(select, "POLLOUT", 0x004)
INVALID = getattr(select, "POLLNVAL", 0x020)
#: What `poll` says of a connection that is over, and what it is asked for besides.
GONE = getattr(select, "POLLERR", 0x008) | getattr(select, "POLLHUP", 0x010) | INVALID | getattr(select, "POLLRDHUP", 0)
WATCHED = READABLE | URGENT | getattr(select, "POLLRDHUP", 0)


class Poll(Protocol):
    """What is used of `select.poll`."""

    def register(self, number: int, events: int, /) -> None:
        """Ask for events of a descriptor."""

    def poll(self, milliseconds: float | None = None, /) -> list[tuple[int, int]]:
        """Wait for one of them; list descriptors with what has happened to them."""


def poller() -> Poll:
    """Make a `select.poll`, or what stands in for it."""
    return select.poll() if hasattr(select, "poll") else SelectPoll()


def has_kernel_timers(sock: object) -> bool:
    """Tell whether a socket's calls block in the kernel, so that its timers and flags hold for them."""
    return isinstance(sock, _socket.socket)


class SelectPoll:
    """`select.poll` by `select.select`. That a connection is over is told as READABLE: a read finds its end."""

    def __init__(self) -> None:
        self._asked: dict[int, int] = {}

    def register(self, number: int, events: int) -> None:
        """Ask for events of a descriptor."""
        self._asked[number] = events

    def poll(self, milliseconds: float | None = None) -> list[tuple[int, int]]:
        """Wait for one of them, for ever if `milliseconds` is None; list descriptors with what has happened to them."""
        asked = {events: [n for n, wanted in self._asked.items() if wanted & events] for events in (READABLE, WRITABLE)}
        seconds = None if milliseconds is None else max(milliseconds, 0) / 1000
        try:
            readable, writable, _ = select.select(asked[READABLE], asked[WRITABLE], [], seconds)
        except (OSError, ValueError):
            lost = [number for number in self._asked if not _is_open(number)]
            if not lost:
                raise
            return [(number, INVALID) for number in lost]
        found = dict.fromkeys(readable, READABLE)
        for number in writable:
            found[number] = found.get(number, 0) | WRITABLE
        return list(found.items())


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except (OSError, ValueError):
        return False
    return True
