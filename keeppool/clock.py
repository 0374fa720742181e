"""The one clock of the house: what every deadline, age and wait is measured by.

Knows: the operating system's clocks.
Does not know: who asks. `core` and `wire` never do: they are given the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

#: Seconds since the machine started, time asleep included: a connection is as stale after a suspend as after a wait.
#: Linux has such a clock; elsewhere the monotonic one is the best there is.
clock: Callable[[], float] = partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
