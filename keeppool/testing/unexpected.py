"""What a `Replay` says of requests that nothing is for, and of responses that nobody has asked for.

Decides: which of all candidates an error shows.
Does not know: how they were compared.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

from keeppool.errors import quoted

#: Candidates that an error shows: a screen has room for three with their differences.
_SHOWN: Final = 3


class UnexpectedRequest(AssertionError):
    """A request that no pattern and no recorded exchange is for. Nothing was sent.

    It is no error of keeppool's tree: a program that goes on after a failed request would hide it from its test. One
    that does all the same is told of at the end of the `with` block.
    """


class UnusedResponses(AssertionError):
    """Responses that a test expected to be asked for, and that were not."""


def unexpected(request: str, file: str, candidates: Iterable[tuple[list[str], str]]) -> UnexpectedRequest:
    """Build the error for a request that nothing is for, with what comes nearest.

    Args:
        request: Its method and URL.
        file: Where recorded ones were looked for; empty if nowhere.
        candidates: What the request has against each, and what that is for.
    """
    near = sorted(candidates, key=lambda one: (len(one[0]), -_likeness(request, one[1])))
    lines = [f"  - {name}: {', '.join(why)}" for why, name in near[:_SHOWN]]
    more = f" The nearest of {len(near)}:\n" if near else " There is no response at all."
    where = f" in {quoted(file)}" if file else ""
    return UnexpectedRequest(f"{request} was not expected{where}.{more}" + "\n".join(lines))


def _likeness(one: str, two: str) -> float:
    return difflib.SequenceMatcher(None, one, two).quick_ratio()
