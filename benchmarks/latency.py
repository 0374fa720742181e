"""How long one GET of 1 KiB from nginx takes when requests come at a fixed rate, whatever became of the ones before.

A request's time counts from the moment at which it was due: one that is late because the one before it was slow pays
for that. Only waking up from the pause between two requests is not the client's, and does not count.

Every client meets the same schedule in every round, in a shuffled order; the percentiles are over all rounds.
"""

from __future__ import annotations

import contextlib
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import program
from benchmarks.clients import CLIENTS, Fetch, checked, open_installed
from benchmarks.nginx_server import BODY, nginx
from benchmarks.program import Effort, Rows

BESIDE = ("urllib3", "requests", "httpx", "pycurl", "pyreqwest", "primp")
#: Requests per second: a quarter of what the slowest client manages one after the other.
RATE = 500


def timed(fetch: Fetch, requests: int) -> list[float]:
    """Make so many requests at the rate; give each one's microseconds."""
    clock, times = time.perf_counter, []
    began = clock()
    for number in range(requests):
        due = began + number / RATE
        if (early := due - clock()) > 0:
            time.sleep(early)
            due = clock()
        fetch()
        times.append((clock() - due) * 1e6)
    return times


def ask(effort: Effort) -> Rows:
    """Measure every client that is installed."""
    with nginx() as url, contextlib.ExitStack() as stack:
        fetches = checked(open_installed(CLIENTS, stack, url), BODY)
        times: dict[str, list[float]] = {name: [] for name in fetches}
        order = list(fetches)
        for _ in range(effort.rounds):
            random.shuffle(order)
            for name in order:
                times[name] += timed(fetches[name], effort.requests)
    rows = {name: percentiles(own) for name, own in times.items()}
    return dict(sorted(rows.items(), key=lambda item: item[1]["p50_us"]))


def percentiles(times: Sequence[float]) -> dict[str, float]:
    """Take the median, and what one in a hundred and one in a thousand exceed."""
    cuts = quantiles(times, n=1000, method="inclusive")
    return {"p50_us": cuts[499], "p99_us": cuts[989], "p999_us": cuts[998]}


if __name__ == "__main__":
    program.main(ask, Effort(20, 500), about=__doc__, beside=BESIDE, one_core=False)
