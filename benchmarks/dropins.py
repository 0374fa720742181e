"""Keep-alive GETs of 1 KiB from nginx, one after the other, by urllib3 and by keeppool's drop-ins for its classes.

The drop-ins run urllib3's own code for URLs, retries, redirects and responses: they save on the pool's queue,
on writing the request, and on reading the response's head. `mount.py` does the same for requests.

In each round every client makes the same number of requests, in a shuffled order; the ratios are medians of each
round's own, a manager's against urllib3's manager and a host pool's against urllib3's host pool.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import urllib3

import keeppool.adapters.urllib3 as dropin
from benchmarks import program
from benchmarks.clients import Fetch, checked, open_installed
from benchmarks.measure import compared, in_turns
from benchmarks.nginx_server import BODY, nginx
from benchmarks.program import Effort, Rows

Opener = Callable[[str], AbstractContextManager[Fetch]]


def manager(kind: Any) -> Opener:
    """Open a manager, as most programs do."""

    @contextlib.contextmanager
    def opened(url: str) -> Iterator[Fetch]:
        with kind() as http:
            yield lambda: http.request("GET", url).data

    return opened


def host_pool(kind: Any) -> Opener:
    """Open the pool of one host, as elastic-transport and opensearch-py do."""

    @contextlib.contextmanager
    def opened(url: str) -> Iterator[Fetch]:
        parts = urlsplit(url)
        with kind(parts.hostname, parts.port, maxsize=10, block=True) as pool:
            yield lambda: pool.urlopen("GET", parts.path, retries=False).data

    return opened


#: Each kind by its name: urllib3's class first, then ours.
KINDS: Mapping[str, Mapping[str, Opener]] = {
    "PoolManager": {"urllib3": manager(urllib3.PoolManager), "keeppool": manager(dropin.PoolManager)},
    "HTTPConnectionPool": {
        "urllib3": host_pool(urllib3.HTTPConnectionPool),
        "keeppool": host_pool(dropin.HTTPConnectionPool),
    },
}


def ask(effort: Effort) -> Rows:
    """Measure each kind, both sides in the same rounds."""
    rows: dict[str, dict[str, float | None]] = {}
    with nginx() as url, contextlib.ExitStack() as stack:
        for kind, openers in KINDS.items():
            fetches = checked(open_installed(openers, stack, url), BODY)
            costs = in_turns(fetches, rounds=effort.rounds, each=effort.requests)
            rows |= {f"{side}'s {kind}": row for side, row in compared(costs, {"urllib3": "urllib3"}).items()}
    return rows


def main() -> None:
    """Measure and print."""
    program.main(ask, Effort(30, 500), about=__doc__, beside=("urllib3",))


if __name__ == "__main__":
    main()
