"""Which of several sockets have something to say: `select.poll`, and what stands in for it where it is missing.

Decides: nothing.
Knows: that eventlet takes `poll` out of `select`, and that Windows has none; what Windows' `select` lacks.
Does not know: what is waited for.
"""

from __future__ import annotations

import _socket
import select
import time
from typing import Final, Protocol

READABLE = getattr(select, "POLLIN", 0x001)
URGENT = getattr(select, "POLLPRI", 0x002)
WRITABLE = getattr(select, "POLLOUT", 0x004)
INVALID = getattr(select, "POLLNVAL", 0x020)
#: The peer has closed, even while its last bytes are unread: to be asked for, and only Linux tells it.
HANGUP = getattr(select, "POLLRDHUP", 0)
#: What `poll` says of a connection that is over, and what it is asked for besides.
GONE = getattr(select, "POLLERR", 0x008) | getattr(select, "POLLHUP", 0x010) | INVALID | HANGUP
WATCHED = READABLE | URGENT | HANGUP

#: Sockets that one `select` is asked about. Python is built for 512 on Windows (FD_SETSIZE in its selectmodule.c).
_AT_ONCE: Final = 512


class Poll(Protocol):
    """What is used of `select.poll`."""

    def register(self, number: int, events: int, /) -> None:
        """Ask for events of a descriptor."""

    def poll(self, milliseconds: float | None = None, /) -> list[tuple[int, int]]:
        """Wait for one of them; list descriptors with what has happened to them."""


def poller() -> Poll:
    """Make a `select.poll`, or what stands in for it."""
    return select.poll() if hasattr(select, "poll") else SelectPoll()


class SelectPoll:
    """`select.poll` by `select.select`. That a connection is over is told as READABLE: a read finds its end."""

    def __init__(self) -> None:
        self._asked: dict[int, int] = {}

    def register(self, number: int, events: int) -> None:
        """Ask for events of a descriptor."""
        self._asked[number] = events

    def poll(self, milliseconds: float | None = None) -> list[tuple[int, int]]:
        """Wait for one of them, for ever if `milliseconds` is None; list descriptors with what has happened to them.

        More than `select` takes at once are looked at group by group, without waiting.
        """
        seconds = None if milliseconds is None else max(milliseconds, 0) / 1000
        asked = [(number, events) for number, events in self._asked.items() if events & (READABLE | WRITABLE)]
        if not asked:  # Windows' `select` refuses to wait for nothing.
            time.sleep(seconds or 0)
            return []
        if len(asked) > _AT_ONCE:
            seconds = 0
        groups = [asked[at : at + _AT_ONCE] for at in range(0, len(asked), _AT_ONCE)]
        return [entry for group in groups for entry in _selected(group, seconds)]


def _selected(asked: list[tuple[int, int]], seconds: float | None) -> list[tuple[int, int]]:
    reading, writing = ([number for number, wanted in asked if wanted & event] for event in (READABLE, WRITABLE))
    try:
        # That a connect has failed, Windows tells as an exceptional condition, where others call the socket writable.
        readable, writable, failed = select.select(reading, writing, writing, seconds)
    except (OSError, ValueError):
        lost = [number for number, _ in asked if not _is_open(number)]
        if not lost:
            raise
        return [(number, INVALID) for number in lost]
    found = dict.fromkeys(readable, READABLE)
    for number in dict.fromkeys([*writable, *failed]):
        found[number] = found.get(number, 0) | WRITABLE
    return list(found.items())


def _is_open(number: int) -> bool:
    """Tell whether this is a socket; not by `os.fstat`, for which a socket of Windows' is no file."""
    try:
        _socket.socket(fileno=number).detach()
    except (OSError, ValueError):
        return False
    return True
