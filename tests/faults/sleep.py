"""The machine's sleep, for programs that import this before keeppool.

Of Linux' clocks CLOCK_BOOTTIME goes on while the machine sleeps, and CLOCK_MONOTONIC, which timers run by, does not.
"""

from __future__ import annotations

import time

_real = time.clock_gettime
_asleep = 0.0


def _with_sleep(which: int) -> float:
    return _real(which) + (_asleep if which == time.CLOCK_BOOTTIME else 0.0)


def sleep(seconds: float) -> None:
    """Have the clocks say what they say after the machine has slept so long."""
    global _asleep
    _asleep += seconds


time.clock_gettime = _with_sleep
