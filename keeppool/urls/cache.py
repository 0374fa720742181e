"""What was found out about a URL, remembered for the next time: many short ones, few long ones.

Decides: when so much text is held for the sake of long URLs that all of it is forgotten.
Does not know: what is found out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, Final, TypeVar, cast

#: Characters from which on a URL is long. Servers refuse URLs of more than 8000 (RFC 9110 §4.1 asks for no less), and
#: those that come again and again, as a program's endpoints do, are far shorter.
LONG: Final = 2048
#: Most characters of long URLs held at a time: 2 MiB, where two thousand URLs of 100 KB would be 200 MB.
MOST_HELD: Final = 2 * 1024 * 1024

_Function = TypeVar("_Function", bound=Callable[..., Any])


def remembered(size: int) -> Callable[[_Function], _Function]:
    """Make a function of a URL remember what it returned, as `functools.lru_cache` does, within bounds for long URLs.

    A hit costs what it costs there; what is done about long ones is done where one is not known yet.

    Args:
        size: URLs remembered at most.
    """

    def remembering(function: _Function) -> _Function:
        held = 0

        @lru_cache(size)
        @wraps(function)
        def find(url: Any, *more: Any) -> Any:
            nonlocal held
            if isinstance(url, str) and len(url) > LONG:
                # Two threads may count one of them too few: a bound for memory need not be exact.
                held += len(url)
                if held > MOST_HELD:
                    held = len(url)
                    find.cache_clear()
            return function(url, *more)

        return cast("_Function", find)

    return remembering
