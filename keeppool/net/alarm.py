"""Time limits for many short waits with one timer.

Decides: when a wait has taken too long.
Knows: the event loop's timers, and that almost no limit is ever reached.
Does not know: what is waited for.

A timer made and cancelled for each wait costs as much as the wait's future. So the timer stays when a wait ends in
time, and is looked at when it rings: by then a later wait has its own deadline, for which it is set again.
"""

from __future__ import annotations

import asyncio
import errno
import math

from keeppool.clock import clock


class Alarm:
    """One connection's timer.

    Args:
        loop: On which all calls are made.
    """

    __slots__ = ("_deadline", "_loop", "_rings_at", "_timer", "_waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # All readings of `clock`: uvloop's own clock stands still while callbacks run.
        self._deadline = math.inf
        self._rings_at = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[None] | None = None

    def guard(self, waiter: asyncio.Future[None], seconds: float | None) -> None:
        """End this wait with a TimeoutError if it is not done in time. The wait before must be over.

        Args:
            waiter: What is waited for.
            seconds: The longest wait; `None` for no limit.
        """
        self._waiter = waiter
        if seconds is None:
            self._deadline = math.inf
            return
        self._deadline = clock() + seconds
        if self._deadline < self._rings_at:
            self._set(seconds)

    def prolong(self, deadline: float) -> None:
        """Let the wait that is guarded end later: at this reading of `clock`."""
        self._deadline = deadline

    def cancel(self) -> None:
        """End nothing any more."""
        self._waiter = None
        if self._timer is not None:
            self._timer.cancel()

    def _set(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = self._deadline
        self._timer = self._loop.call_later(seconds, self._ring)

    def _ring(self) -> None:
        self._timer, self._rings_at = None, math.inf
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        left = self._deadline - clock()
        if left > 0:
            self._set(left)
        else:
            self._waiter = None
            waiter.set_exception(TimeoutError(errno.ETIMEDOUT, "the time is up"))
