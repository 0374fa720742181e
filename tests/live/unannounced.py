"""Requests around the moment at which servers and proxies close idle connections without having said so.

`python -m tests.live.unannounced --requests 2000` prints the table of docs/safety.md; the test makes fewer requests.
Eight threads, half of the requests POSTs, with pauses around the idle limit. A request that was lost counts, and apart
from it a POST that had left over a connection that looked alive: whether it was carried out, nobody can know.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from keeppool import HostConfig, Limits, PoolManager
from keeppool.errors import ExchangeError
from keeppool.testing import Answer, Request, Site
from tests.live import servers

#: Seconds of idle time after which the servers close.
IDLE = 2
THREADS = 8
#: One request in so many is followed by a pause.
PAUSES = 8


class Target(NamedTuple):
    """Where requests go: a URL, the way there, and how often each path was carried out, if that is not in the body."""

    url: str
    proxy: str | None = None
    executed: Counter[str] | None = None


class Outcome(NamedTuple):
    """What became of the requests to one server."""

    requests: int
    lost_gets: int
    #: POSTs that failed although nothing of them had been accepted, or over a connection seen to be closed.
    lost_posts: int
    #: POSTs that had been accepted by a connection that was alive when it was looked at.
    crossed: int
    twice: int
    opened: int
    learned: str


@contextlib.contextmanager
def backend() -> Iterator[tuple[Site, Counter[str]]]:
    """A server of our own behind a proxy, which counts what it carries out."""
    executed: Counter[str] = Counter()
    lock = threading.Lock()

    def carry_out(request: Request) -> Answer:
        with lock:
            executed[request.path] += 1
            return Answer(body=b"%d" % executed[request.path])

    with Site(handler=carry_out) as site:
        yield site, executed


@contextlib.contextmanager
def by_tinyproxy(folder: Path) -> Iterator[Target]:
    with backend() as (site, executed), servers.tinyproxy(folder) as proxy:
        yield Target(site.url, proxy.url, executed)


@contextlib.contextmanager
def by_squid(_: Path) -> Iterator[Target]:
    with backend() as (site, executed), servers.squid(IDLE) as proxy:
        yield Target(site.url, proxy.url, executed)


@contextlib.contextmanager
def by_haproxy(folder: Path) -> Iterator[Target]:
    with backend() as (site, executed), servers.haproxy(folder, site.port, IDLE) as proxy:
        yield Target(proxy.url, None, executed)


@contextlib.contextmanager
def by_gunicorn(folder: Path) -> Iterator[Target]:
    with servers.gunicorn(folder, IDLE) as server:
        yield Target(server.url)


@contextlib.contextmanager
def by_uvicorn(folder: Path) -> Iterator[Target]:
    with servers.uvicorn(folder, IDLE) as server:
        yield Target(server.url)


WAYS: Mapping[str, Callable[[Path], contextlib.AbstractContextManager[Target]]] = {
    "tinyproxy": by_tinyproxy,
    "squid": by_squid,
    "gunicorn gthread": by_gunicorn,
    "uvicorn": by_uvicorn,
    "HAProxy": by_haproxy,
}


def measure(target: Target, requests: int) -> Outcome:
    """Make requests in all threads, and count what became of them."""
    each = requests // THREADS
    defaults = HostConfig(proxy=target.proxy)
    with PoolManager(Limits(per_host=6), timeout=20, defaults=defaults) as pool:
        with ThreadPoolExecutor(THREADS) as threads:
            visits = [threads.submit(_visit, pool, target, seed, each) for seed in range(THREADS)]
            failed = [failure for visit in visits for failure in visit.result(600)[0]]
            twice = sum(visit.result()[1] for visit in visits)
        stats = pool.stats()
    if target.executed is not None:
        twice = sum(times > 1 for path, times in target.executed.items() if path.startswith("/POST"))
    crossed = [error for method, error in failed if method == "POST" and error.sent and not error.retry_safe]
    learned = "does not keep alive" if stats.not_kept else ", ".join(f"{s:.2g} s" for s in stats.learned.values())
    return Outcome(
        THREADS * each,
        lost_gets=sum(method == "GET" for method, _ in failed),
        lost_posts=sum(method == "POST" for method, _ in failed) - len(crossed),
        crossed=len(crossed),
        twice=twice,
        opened=stats.opened,
        learned=learned or "nothing",
    )


def _visit(pool: PoolManager, target: Target, seed: int, requests: int) -> tuple[list[tuple[str, ExchangeError]], int]:
    chance, pause = random.Random(seed), threading.Event()
    failed: list[tuple[str, ExchangeError]] = []
    twice = 0
    for number in range(requests):
        method = chance.choice(["GET", "POST"])
        try:
            response = pool.request(
                method, f"{target.url}/{method}-{seed}-{number}", body=b"x" if method == "POST" else None
            )
            twice += method == "POST" and response.data != b"1"
        except ExchangeError as error:
            failed.append((method, error))
        if not chance.randrange(PAUSES):
            pause.wait(IDLE + chance.choice([-0.5, -0.01, -0.001, 0.0, 0.001, 0.01, 0.5]))
    return failed, twice


def main() -> None:
    """Run and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--requests", type=int, default=200, help="for each server")
    requests = arguments.parse_args().requests
    print("| server | requests | GETs lost | POSTs lost | POSTs that crossed the close | twice | opened | learned |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, way in WAYS.items():
        try:
            with tempfile.TemporaryDirectory() as folder, way(Path(folder)) as target:
                cells = measure(target, requests)
            print(f"| {name} | {' | '.join(map(str, cells))} |", flush=True)
        except pytest.skip.Exception as error:
            print(f"left out: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
