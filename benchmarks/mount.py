"""One keep-alive GET of 1 KiB after the other from nginx, by requests: as it comes, and with keeppool mounted.

In each round both make the same number of requests, in a shuffled order; the ratios are medians of each round's own.
A third session has an adapter that answers from memory: what is left is the cost of requests itself, which no adapter
can spare it.

Client and nginx share one core unless `--all-cores` is given; `sequential.py` says why.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import requests
from requests.adapters import BaseAdapter

from benchmarks.clients import Fetch, requests_session
from benchmarks.measure import Cost, in_turns, machine, median_ratio, median_us, table
from benchmarks.nginx_server import BODY, nginx
from keeppool.adapters.requests import KeepPoolAdapter

#: Requests before the first round: caches fill, and the interpreter specialises what is hot.
WARM_UP = 200
PLAIN, MOUNTED, FLOOR = "requests", "requests, keeppool mounted", "requests, answered from memory"


class FromMemory(BaseAdapter):
    """Gives the body without a server: the least an adapter can do."""

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:  # type: ignore[override]
        """Answer at once."""
        response = requests.Response()
        response.status_code, response._content, response._content_consumed = 200, BODY, True
        response.url, response.request = request.url or "", request
        return response

    def close(self) -> None:
        """Do nothing: nothing is open."""


@contextlib.contextmanager
def with_adapter(url: str, adapter: BaseAdapter) -> Iterator[Fetch]:
    """Open a session of requests with an adapter mounted."""
    with requests.Session() as session:
        session.mount("http://", adapter)
        yield lambda: session.get(url).content


CLIENTS: dict[str, Callable[[str], AbstractContextManager[Fetch]]] = {
    PLAIN: requests_session,
    MOUNTED: lambda url: with_adapter(url, KeepPoolAdapter()),
    FLOOR: lambda url: with_adapter(url, FromMemory()),
}


def summary(costs: dict[str, list[Cost]]) -> dict[str, dict[str, float]]:
    """Take the medians, for each session."""
    return {
        name: {
            "us": median_us(own),
            "cpu_us": median(cost.cpu for cost in own),
            "rate_by_requests": median_ratio(costs[PLAIN], own),
        }
        for name, own in costs.items()
    }


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=30)
    arguments.add_argument("--requests", type=int, default=300, help="requests of each session in each round")
    arguments.add_argument("--all-cores", action="store_true", help="let the scheduler place client and server")
    arguments.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = arguments.parse_args()
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    where = machine("urllib3", "requests")
    if not options.all_cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        where += "; client and server on one core"
    with nginx() as url, contextlib.ExitStack() as stack:
        clients = {name: stack.enter_context(client(url)) for name, client in CLIENTS.items()}
        for name, fetch in clients.items():
            if any(fetch() != BODY for _ in range(WARM_UP)):
                raise SystemExit(f"{name} did not fetch what nginx serves")
        rows = summary(in_turns(clients, rounds=options.rounds, each=options.requests))
    if options.json:
        print(json.dumps({"machine": where, "rounds": options.rounds, "requests": options.requests, "rows": rows}))
        return
    print(f"{where}; {options.rounds} rounds of {options.requests} requests\n")
    header = ["session", "µs per GET", "rate ÷ requests'", "CPU µs per GET"]
    print(table(header, [_row(name, row) for name, row in rows.items()]))


def _row(name: str, row: dict[str, float]) -> list[str]:
    return [name, f"{row['us']:.0f}", f"{row['rate_by_requests']:.2f}", f"{row['cpu_us']:.0f}"]


if __name__ == "__main__":
    main()
