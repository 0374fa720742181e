"""What a connection keeps in Python's memory: idle in the pool, or with an answer whose body is still to be read.

Python's own accounting (tracemalloc) counts everything allocated by Python, the client's and the standard library's
objects alike; not the kernel's buffers, nor those of a C library. Each row is measured in a process of its own, after a
first round that fills caches, and is divided by the number of connections.

A host is a port of one nginx: the rows of many hosts include what a pool remembers of each host.
"""

from __future__ import annotations

import contextlib
import gc
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import program
from benchmarks.nginx_server import sites
from benchmarks.program import Effort, Rows

BESIDE = ("urllib3", "requests", "httpx")
ROOT = Path(__file__).resolve().parent.parent

#: Opens an answer whose body is not read yet; what it gives is read and closed by the second function.
Open = Callable[[str], Any]
Finish = Callable[[Any], object]


@contextlib.contextmanager
def keeppool_session(connections: int) -> Iterator[tuple[Open, Finish]]:
    """Open a session without caps."""
    import keeppool

    with keeppool.Session(keeppool.Limits(per_host=None, total=None, idle_timeout=None)) as session:
        yield lambda url: session.get(url, stream=True), lambda response: response.content


@contextlib.contextmanager
def keeppool_pool(connections: int) -> Iterator[tuple[Open, Finish]]:
    """Open the pool alone without caps."""
    import keeppool

    with keeppool.PoolManager(keeppool.Limits(per_host=None, total=None, idle_timeout=None)) as pool:
        yield lambda url: pool.request("GET", url, stream=True), lambda response: response.data


@contextlib.contextmanager
def urllib3_pool(connections: int) -> Iterator[tuple[Open, Finish]]:
    """Open urllib3's pool with room for all."""
    import urllib3

    with urllib3.PoolManager(connections, maxsize=connections) as pool:
        yield lambda url: pool.request("GET", url, preload_content=False), lambda response: response.data


@contextlib.contextmanager
def requests_session(connections: int) -> Iterator[tuple[Open, Finish]]:
    """Open a session of requests with room for all."""
    import requests
    from requests.adapters import HTTPAdapter

    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(connections, connections))
        yield lambda url: session.get(url, stream=True), lambda response: response.content


@contextlib.contextmanager
def httpx_client(connections: int) -> Iterator[tuple[Open, Finish]]:
    """Open a client of httpx with room for all."""
    import httpx

    def finish(response: httpx.Response) -> None:
        response.read()
        response.close()

    with httpx.Client(limits=httpx.Limits(max_connections=None, max_keepalive_connections=None)) as client:
        yield lambda url: client.send(client.build_request("GET", url), stream=True), finish


CLIENTS: Mapping[str, Callable[[int], AbstractContextManager[tuple[Open, Finish]]]] = {
    "keeppool.PoolManager": keeppool_pool,
    "keeppool.Session": keeppool_session,
    "urllib3": urllib3_pool,
    "requests": requests_session,
    "httpx": httpx_client,
}


def measure(client: str, urls: Sequence[str]) -> tuple[float, float]:
    """Open one connection for each URL; give the bytes of an open answer and of an idle connection."""
    with CLIENTS[client](len(urls)) as (open_answer, finish):
        finish(open_answer(urls[0]))
        tracemalloc.start()
        before = held()
        answers = [open_answer(url) for url in urls]
        opened = held()
        for answer in answers:
            finish(answer)
        del answer, answers
        # The connection of the first request is one of those that are idle now, and was there before.
        return (opened - before) / len(urls), (held() - before) / (len(urls) - 1)


def held() -> int:
    """Give the bytes in use, garbage not counted."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def in_own_process(client: str, urls: Sequence[str]) -> Sequence[float]:
    """Measure in a fresh interpreter; nothing if the client is not installed."""
    command = [sys.executable, str(Path(__file__).resolve()), "--measure", client]
    done = subprocess.run(command, cwd=ROOT, input=json.dumps(urls), stdout=subprocess.PIPE, text=True, check=True)
    measured: list[float] = json.loads(done.stdout)
    return measured


def print_measured(client: str) -> None:
    """Be that fresh interpreter."""
    try:
        print(json.dumps(measure(client, json.load(sys.stdin))))
    except ImportError as error:
        print(f"left out: {client} ({error})", file=sys.stderr)
        print("[]")


def ask(effort: Effort) -> Rows:
    """Measure every client that is installed, with one host and with many."""
    rows: dict[str, dict[str, float | None]] = {}
    with sites(effort.requests) as hosts:
        urls = [f"{host}/100k.bin" for host in hosts]
        for client in CLIENTS:
            for where, targets in (("one host", [urls[0]] * len(urls)), (f"{len(urls)} hosts", urls)):
                if measured := in_own_process(client, targets):
                    rows[f"{client}, {where}: open answer"] = {"bytes": measured[0]}
                    rows[f"{client}, {where}: idle connection"] = {"bytes": measured[1]}
    return rows


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--measure"]:
        print_measured(sys.argv[2])
    else:
        program.main(ask, Effort(1, 200), about=__doc__, beside=BESIDE)


if __name__ == "__main__":
    main()
