"""The one clock of the house: what every deadline, age and wait is measured by.

Decides: which of the operating system's clocks it is.
Knows: that Linux has one that goes on while the machine sleeps; that Windows has no `clock_gettime`.
Does not know: who asks. `core` and `wire` never do: they are given the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial


def _steadiest() -> Callable[[], float]:
    """Give the clock that nobody sets, and that counts the time asleep where the system has such a one."""
    if not hasattr(time, "clock_gettime"):
        return time.monotonic
    return partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


#: Seconds since the machine started, time asleep included: a connection is as stale after a suspend as after a wait.
#: Linux has such a clock; elsewhere the monotonic one is the best there is.
clock: Callable[[], float] = _steadiest()
