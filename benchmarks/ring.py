"""200 hosts visited one after the other, again and again, by clients that may keep 64 connections in all.

Least recently used goes first: when a host's turn comes again its connection has long been closed, so every visit
closes one connection and opens another. The least a client can do is in the row that never keeps a connection.

A host is a port of one nginx. In each round every client goes round the ring the same number of times; the ratios are
medians of each round's own. Clients that cannot cap their idle connections in all (pyreqwest, primp) are left out.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import program
from benchmarks.clients import SESSIONS, Wishes, open_installed
from benchmarks.measure import compared, in_turns
from benchmarks.nginx_server import BODY, sites
from benchmarks.program import Effort, Rows

BESIDE = ("urllib3", "requests", "httpx", "pycurl")
HOSTS, TOTAL = 200, 64
NONE_KEPT = "http.client, none kept"
PEERS = {"none_kept": NONE_KEPT, "pycurl": "pycurl (one handle)", "urllib3": "urllib3", "requests": "requests"}
CAPPED = {name: opener for name, opener in SESSIONS.items() if name not in ("pyreqwest", "primp")}


def fetch_once(url: str) -> bytes:
    """Open a connection, fetch, close it."""
    parts = urlsplit(url)
    with contextlib.closing(http.client.HTTPConnection(parts.netloc)) as connection:
        connection.request("GET", parts.path, headers={"Connection": "close"})
        return connection.getresponse().read()


def go_round(get: Callable[[str], bytes], urls: Sequence[str]) -> None:
    """Visit every host once."""
    for url in urls:
        if get(url) != BODY:
            raise SystemExit("what nginx serves was not fetched")


def ask(effort: Effort) -> Rows:
    """Measure every client that is installed."""
    with sites(HOSTS) as hosts, contextlib.ExitStack() as stack:
        urls = [f"{host}/1k.bin" for host in hosts]
        gets = {name: session.get for name, session in open_installed(CAPPED, stack, Wishes(total=TOTAL)).items()}
        rounds = {name: functools.partial(go_round, get, urls) for name, get in {NONE_KEPT: fetch_once, **gets}.items()}
        costs = in_turns(rounds, rounds=1 + effort.rounds, each=effort.requests)
    # The first round fills the pools.
    return compared({name: own[1:] for name, own in costs.items()}, PEERS, each=HOSTS)


if __name__ == "__main__":
    program.main(ask, Effort(15, 2), about=__doc__, beside=BESIDE)
