"""One keep-alive GET of 1 KiB after the other from nginx, by keeppool and by other clients.

In each round every client makes the same number of requests, in a shuffled order; the ratios are medians of each
round's own. CPU is that of this process: neither nginx nor waiting for it counts. A peer that is not installed is left
out, and a line says so.

Client and nginx share one core unless `--all-cores` is given. On two, each exchange waits twice for the other core to
wake up, which on a virtual machine takes longer than all but the slowest clients need for their own work: it hides what
is to be measured, and comes and goes as the scheduler likes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.clients import CLIENTS, FLOOR, PEER, Fetch
from benchmarks.measure import Cost, in_turns, machine, median_ratio, median_us, table
from benchmarks.nginx_server import BODY, nginx

#: Requests before the first round: caches fill, and the interpreter specialises what is hot.
WARM_UP = 200


def open_clients(url: str, stack: contextlib.ExitStack) -> dict[str, Fetch]:
    """Open every client that is installed, and check that it fetches what is there."""
    opened = {}
    for name, client in CLIENTS.items():
        try:
            fetch = stack.enter_context(client(url))
        except ImportError as error:
            print(f"left out: {name} ({error})", file=sys.stderr)
            continue
        for _ in range(WARM_UP):
            if fetch() != BODY:
                raise SystemExit(f"{name} did not fetch what nginx serves")
        opened[name] = fetch
    return opened


def summary(costs: Mapping[str, Sequence[Cost]]) -> dict[str, dict[str, float | None]]:
    """Take the medians, for each client."""
    return {
        name: {
            "us": median_us(own),
            "cpu_us": median(cost.cpu for cost in own),
            "thread_cpu_us": median(cost.thread for cost in own),
            "time_by_floor": median_ratio(own, costs[FLOOR]),
            "rate_by_urllib3": median_ratio(costs[PEER], own) if PEER in costs else None,
        }
        for name, own in costs.items()
    }


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=30)
    arguments.add_argument("--requests", type=int, default=500, help="requests of each client in each round")
    arguments.add_argument("--all-cores", action="store_true", help="let the scheduler place client and server")
    arguments.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = arguments.parse_args()
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    where = machine("urllib3", "requests", "httpx", "pycurl")
    if not options.all_cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        where += "; client and server on one core"
    with nginx() as url, contextlib.ExitStack() as stack:
        clients = open_clients(url, stack)
        results = summary(in_turns(clients, rounds=options.rounds, each=options.requests))
    if options.json:
        print(json.dumps({"machine": where, "rounds": options.rounds, "requests": options.requests, "rows": results}))
        return
    print(f"{where}; {options.rounds} rounds of {options.requests} requests\n")
    print(report(results))


def report(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Write the table, the fastest first."""
    header = ["client", "µs per GET", "GETs per second", "time ÷ bare loop's", "rate ÷ urllib3's", "CPU µs per GET"]
    return table(header, [_row(name, row) for name, row in sorted(results.items(), key=lambda item: item[1]["us"])])


def _row(name: str, row: Mapping[str, Any]) -> list[str]:
    rate = row["rate_by_urllib3"]
    return [
        name,
        f"{row['us']:.0f}",
        f"{1e6 / row['us']:,.0f}",
        f"{row['time_by_floor']:.2f}",
        "-" if rate is None else f"{rate:.2f}",
        f"{row['cpu_us']:.0f}",
    ]


if __name__ == "__main__":
    main()
