"""`Retrying`: how often a call is tried again, read from the forms `retries=` takes.

Decides: which forms those are.
Does not know: when a try has failed; `tries.py` does. Importing this does not import urllib3, whose `Retry` costs a
    program milliseconds that most do not use.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from keeppool.clock import clock as pools_clock
from keeppool.config import bad

if TYPE_CHECKING:
    from urllib3.util import Retry


class Retrying:
    """How often a request is tried again, and who does the waiting in between.

    Args:
        retry: How many more tries, or a `urllib3.util.Retry`. Its `redirect` count is not used: the session follows
            redirects, and each request of a chain has tries of its own. Its `sleep` is not called.
        sleep: Waits for so many seconds. Whatever it raises ends the call; no connection is held meanwhile.
        clock: Tells the seconds by which a total timeout is measured.

    Raises:
        ConfigError: `retry` is neither, or negative.

    Thread safety: immutable; any number of calls may share it.
    """

    __slots__ = ("clock", "retry", "sleep")

    def __init__(
        self,
        retry: int | Retry,
        *,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = pools_clock,
    ) -> None:
        from urllib3.util import Retry

        self.retry = retry if isinstance(retry, Retry) else Retry(_checked(retry))
        self.sleep = sleep
        self.clock = clock

    def __repr__(self) -> str:
        return f"Retrying({self.retry!r})"


RetriesArgument: TypeAlias = "int | Retry | Retrying | None"


def retrying_of(retries: RetriesArgument) -> Retrying | None:
    """Read the forms `retries=` takes; `None` for none at all.

    Raises:
        ConfigError: None of these.
    """
    if retries in (None, 0):
        return None
    return retries if isinstance(retries, Retrying) else Retrying(retries)


def _checked(retry: object) -> int:
    if isinstance(retry, bool) or not isinstance(retry, int) or retry < 0:
        raise bad("retries", retry, "must be a whole number from 0 on, a urllib3.util.Retry, or None")
    return retry
