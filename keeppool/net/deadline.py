"""`Deadline`: the instant at which something must be over, however many stages it has.

Decides: how much of the caller's time is left.
Does not know: who waits, and for what.
"""

from __future__ import annotations

import errno

from keeppool.clock import clock

#: Seconds above which a wait counts as unlimited: `poll` and `settimeout` count milliseconds in a C int (24 days).
LONGEST_WAIT = 2_000_000.0


class Deadline:
    """The instant at which a whole dial must be over, made once and handed from stage to stage.

    Args:
        timeout: Seconds from now; `None` for no limit.

    Attributes:
        limit: The timeout as it was given, for messages.
    """

    __slots__ = ("_end", "limit")

    def __init__(self, timeout: float | None) -> None:
        self.limit = timeout
        self._end = None if timeout is None or timeout > LONGEST_WAIT else clock() + timeout

    def left(self) -> float | None:
        """Seconds that are left, more than 0; `None` for no limit.

        Raises:
            TimeoutError: Nothing is left.
        """
        if self._end is None:
            return None
        seconds = self._end - clock()
        if seconds <= 0:
            raise TimeoutError(errno.ETIMEDOUT, "the time is up")
        return seconds
