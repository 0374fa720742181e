"""POSTs of a small JSON document to nginx, one after the other; the JSON response of 1 KiB is parsed.

In each round every client makes the same number of requests, in a shuffled order; the ratios are medians of each
round's own. Each client renders and parses by its own means; pycurl, which has none, by the standard library's.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import program
from benchmarks.clients import SESSIONS, checked, open_installed
from benchmarks.measure import compared, in_turns
from benchmarks.nginx_server import JSON, sites
from benchmarks.program import Effort, Rows

BESIDE = ("urllib3", "requests", "httpx", "pycurl", "pyreqwest", "primp")
PEERS = {"pycurl": "pycurl (one handle)", "urllib3": "urllib3", "requests": "requests"}
DOCUMENT = {"name": "socket", "tags": ["idle", "kept"], "price": 0.125}


def ask(effort: Effort) -> Rows:
    """Measure every client that is installed."""
    with sites() as [site], contextlib.ExitStack() as stack:
        sessions = open_installed(SESSIONS, stack)
        url = f"{site}/answer"
        posts = {name: functools.partial(session.post, url, DOCUMENT) for name, session in sessions.items()}
        costs = in_turns(checked(posts, JSON), rounds=effort.rounds, each=effort.requests)
    return compared(costs, PEERS)


if __name__ == "__main__":
    program.main(ask, Effort(30, 300), about=__doc__, beside=BESIDE)
