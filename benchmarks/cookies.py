"""Keep-alive GETs of 1 KiB from nginx, while the session's jar holds the cookies of many other domains.

The rows differ in the jar alone: no other domain, a cookie each of 100 and of 10,000 others, and the same with a cookie
of the host's own, which is sent. In each round all make the same number of requests, in a shuffled order; the growth is
the median of each round's own ratio of times.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import keeppool
from benchmarks import program
from benchmarks.clients import checked
from benchmarks.measure import in_turns, median_ratio, median_us
from benchmarks.nginx_server import BODY, nginx
from benchmarks.program import Effort, Rows

OTHERS = (0, 100, 10_000)


def row_of(others: int, *, own: bool) -> str:
    """Name a row by what its jar holds."""
    return f"{others:,} other domains" + (", and one of its own" if own else "")


def filled(session: keeppool.Session, others: int, *, own: bool) -> keeppool.Session:
    """Fill a session's jar as servers would have filled it."""
    if own:
        session.cookies.set("session", "0123456789abcdef", domain="127.0.0.1")
    for number in range(others):
        session.cookies.set("session", "0123456789abcdef", domain=f"www.site{number}.example")
    return session


def ask(effort: Effort) -> Rows:
    """Measure each jar; the first row of each kind is what the others are compared with."""
    with nginx() as url, contextlib.ExitStack() as stack:
        fetches = {}
        for own in (False, True):
            for others in OTHERS:
                session = filled(stack.enter_context(keeppool.Session()), others, own=own)
                fetches[row_of(others, own=own)] = functools.partial(_body, session, url)
        costs = in_turns(checked(fetches, BODY), rounds=effort.rounds, each=effort.requests)
    rows = {}
    for own in (False, True):
        base = costs[row_of(0, own=own)]
        for others in OTHERS:
            mine = costs[row_of(others, own=own)]
            rows[row_of(others, own=own)] = {"us": median_us(mine), "growth": median_ratio(mine, base)}
    return rows


def _body(session: keeppool.Session, url: str) -> bytes:
    return session.get(url).content


if __name__ == "__main__":
    program.main(ask, Effort(30, 300), about=__doc__)
