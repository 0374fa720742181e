"""Keep-alive GETs of 1 KiB from nginx, one after the other, by keeppool and by other clients.

In each round every client makes the same number of requests, in a shuffled order; the ratios are medians of each
round's own. CPU time is that of this process; nginx, and waiting for nginx, do not count. A peer that is not installed
is left out and named.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import program
from benchmarks.clients import CLIENTS, FLOOR, checked, open_installed
from benchmarks.measure import compared, in_turns, median_ratio
from benchmarks.nginx_server import BODY, nginx
from benchmarks.program import Effort, Rows

BESIDE = ("urllib3", "requests", "httpx", "pycurl", "pyreqwest", "primp")
PEERS = {"floor": FLOOR, "pycurl": "pycurl (one handle)", "urllib3": "urllib3", "requests": "requests"}


def ask(effort: Effort) -> Rows:
    """Measure every client that is installed."""
    with nginx() as url, contextlib.ExitStack() as stack:
        fetches = checked(open_installed(CLIENTS, stack, url), BODY)
        costs = in_turns(fetches, rounds=effort.rounds, each=effort.requests)
    rows = compared(costs, PEERS)
    for name, own in costs.items():
        rows[name]["time_by_floor"] = median_ratio(own, costs[FLOOR])
    return rows


def main() -> None:
    """Measure and print."""
    program.main(ask, Effort(30, 500), about=__doc__, beside=BESIDE)


if __name__ == "__main__":
    main()
