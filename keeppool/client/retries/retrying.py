"""`Retrying`: how often a call is tried again.

Decides: which numbers and which `Retry` can be counted with.
Does not know: when a try has failed; `tries.py` does. Importing this does not import urllib3, whose `Retry` costs a
    program milliseconds that most do not use.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from keeppool.checks import bad
from keeppool.clock import clock as pools_clock

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
        ConfigError: `retry` is neither, or negative; or a `Retry` holds what it could not count or look up with.

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

        self.retry = _checked_policy(retry) if isinstance(retry, Retry) else Retry(_checked(retry))
        self.sleep = sleep
        self.clock = clock

    def __repr__(self) -> str:
        return f"Retrying({self.retry!r})"


def _checked(retry: object) -> int:
    if isinstance(retry, bool) or not isinstance(retry, int) or retry < 0:
        raise bad("retries", retry, "must be a whole number from 0 on, a urllib3.util.Retry, or None")
    return retry


def _checked_policy(retry: Retry) -> Retry:
    """Refuse a `Retry` that would fail with a `TypeError` once it is needed: it checks nothing itself."""
    for name in ("total", "connect", "read", "redirect", "status", "other"):
        count = getattr(retry, name)
        if count is not None and not isinstance(count, int):
            raise bad(f"Retry.{name}", count, "must be a whole number, False, or None for no count of its own")
    for name in ("backoff_factor", "backoff_max", "backoff_jitter", "retry_after_max"):
        seconds = getattr(retry, name, 0)  # The last has come with a later urllib3.
        if not isinstance(seconds, (int, float)) or seconds < 0:
            raise bad(f"Retry.{name}", seconds, "must be seconds, 0 or more")
    for name, kind in (("allowed_methods", str), ("status_forcelist", int)):
        several = getattr(retry, name)
        if several is None or isinstance(several, bool):
            continue
        if (
            isinstance(several, str)
            or not isinstance(several, Collection)
            or not all(isinstance(o, kind) for o in several)
        ):
            raise bad(
                f"Retry.{name}", several, f"must be a list of {'methods' if kind is str else 'statuses'}, or None"
            )
    return retry
