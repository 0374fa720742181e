"""Keep-alive GETs of a gzip-coded JSON text, 100 KiB when decoded, from nginx, one after the other.

The file is compressed beforehand: nginx only sends it. In each round every client makes the same number of requests, in
a shuffled order; the ratios are medians of each round's own.
"""

from __future__ import annotations

import contextlib
import functools
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import program
from benchmarks.clients import SESSIONS, Wishes, checked, open_installed
from benchmarks.measure import compared, in_turns
from benchmarks.nginx_server import LONG_JSON, sites
from benchmarks.program import Effort, Rows

BESIDE = ("urllib3", "requests", "httpx", "pycurl", "pyreqwest", "primp")
PEERS = {"pycurl": "pycurl (one handle)", "urllib3": "urllib3", "requests": "requests"}


def ask(effort: Effort) -> Rows:
    """Measure every client that is installed."""
    text = json.dumps(LONG_JSON).encode()
    with sites() as [site], contextlib.ExitStack() as stack:
        sessions = open_installed(SESSIONS, stack, Wishes(gzip=True))
        fetches = {name: functools.partial(session.get, f"{site}/answer.gz") for name, session in sessions.items()}
        costs = in_turns(checked(fetches, text), rounds=effort.rounds, each=effort.requests)
    return compared(costs, PEERS)


if __name__ == "__main__":
    program.main(ask, Effort(30, 100), about=__doc__, beside=BESIDE)
