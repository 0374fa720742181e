"""`Deadline`: the instant at which something must be over, however many stages it has.

Decides: how much of the caller's time is left.
Does not know: who waits, and for what.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from keeppool.clock import clock
from keeppool.reasons import Step

if TYPE_CHECKING:
    from keeppool.net.laps import Laps

#: Seconds above which a wait counts as unlimited: `poll` and `settimeout` count milliseconds in a C int (24 days).
LONGEST_WAIT = 2_000_000.0


class Deadline:
    """The instant at which a whole dial must be over, made once and handed from stage to stage.

    Args:
        seconds: From now; `None` for no limit.
        laps: Told of each stage as it begins.

    Attributes:
        seconds: As given, for messages.
        laps: As given.
    """

    __slots__ = ("_end", "laps", "seconds")

    def __init__(self, seconds: float | None, laps: Laps | None = None) -> None:
        self.seconds = seconds
        self.laps = laps
        self._end = None if seconds is None or seconds > LONGEST_WAIT else clock() + seconds

    def begin(self, step: Step) -> None:
        """Take note that a stage begins."""
        if self.laps is not None:
            self.laps.begin(step)

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
