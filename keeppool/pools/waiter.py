"""One caller's wait for a connection, in a thread.

Waits. How long, and for what, the pool says.
"""

from __future__ import annotations

import threading


class ThreadWaiter:
    """A thread that waits for its ticket to end, and what wakes it.

    A lock is the cheapest thing a thread can wait on and another one can end the wait with. Woken while it is awake, it
    does not sleep the next time: no wake-up is lost.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def wait(self, seconds: float | None) -> bool:
        """Wait until woken; False if it took longer than `seconds`."""
        # -1 is `acquire`'s word for no limit; it refuses waits beyond TIMEOUT_MAX.
        return self._lock.acquire(timeout=-1 if seconds is None else min(seconds, threading.TIMEOUT_MAX))

    def wake(self) -> None:
        """Let the caller go on. Twice does no harm."""
        if self._lock.locked():
            self._lock.release()
