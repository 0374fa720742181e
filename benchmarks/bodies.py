"""Bodies as a program takes them: 256 MiB whole, a line of 16 MiB, and 16 MiB in small pieces, by several clients.

In each round every client makes the same number of requests, in a shuffled order; the ratios are medians of each
round's own. The memory of a body taken whole is what its process keeps in memory at its peak, less what it kept before:
of a process of its own, which has made a small request already. And how long an event loop's other tasks are held while
an `AsyncSession` decodes a megabyte that was packed five times.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gzip
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import keeppool
from benchmarks import program
from benchmarks.clients import open_installed
from benchmarks.measure import compared, in_turns
from benchmarks.nginx_server import LARGE, sites
from benchmarks.program import Effort, Rows
from benchmarks.resident import Growth, growth_mib

BESIDE = ("urllib3", "requests", "httpx")
PEERS = {"urllib3": "urllib3", "requests": "requests", "httpx": "httpx"}
#: Bytes of the line, and of what is handed out in small pieces. requests takes the square of it for a line.
PART = 16 << 20
RANGE = {"Range": f"bytes=0-{PART - 1}"}

#: Fetches a body in one way; gives its size.
Fetch = Callable[[], int]


class Ways:
    """The ways in which one client hands a body out; a way it does not have is `None`.

    Args:
        whole: Gives the whole body of a URL.
        line: Gives the length of the longest line of a URL's part.
        pieces: Gives the size of a URL's part, taken in pieces of this many bytes.
    """

    def __init__(
        self,
        whole: Callable[[str], int],
        line: Callable[[str], int] | None = None,
        pieces: Callable[[str, int], int] | None = None,
    ) -> None:
        self.whole, self.line, self.pieces = whole, line, pieces


@contextlib.contextmanager
def keeppool_session() -> Iterator[Ways]:
    """Use a session's `content`, `iter_lines` and `iter_content`."""
    with keeppool.Session() as session:
        yield _as_requests(session)


@contextlib.contextmanager
def requests_session() -> Iterator[Ways]:
    """Use requests' `content`, `iter_lines` and `iter_content`."""
    import requests

    with requests.Session() as session:
        yield _as_requests(session)


def _as_requests(session: Any) -> Ways:
    def line(url: str) -> int:
        with session.get(url, stream=True, headers=RANGE) as response:
            return max(map(len, response.iter_lines(65536)))

    def pieces(url: str, size: int) -> int:
        with session.get(url, stream=True, headers=RANGE) as response:
            return sum(map(len, response.iter_content(size)))

    return Ways(lambda url: len(session.get(url).content), line, pieces)


@contextlib.contextmanager
def keeppool_tasks() -> Iterator[Ways]:
    """Use an asynchronous session's `content`, `iter_lines` and `iter_content`, on one event loop."""
    with asyncio.Runner() as runner:
        session = keeppool.AsyncSession()

        async def whole(url: str) -> int:
            return len((await session.get(url)).content)

        async def line(url: str) -> int:
            async with await session.get(url, stream=True, headers=RANGE) as response:
                return max([len(line) async for line in response.iter_lines(65536)])

        async def pieces(url: str, size: int) -> int:
            total = 0
            async with await session.get(url, stream=True, headers=RANGE) as response:
                async for piece in response.iter_content(size):
                    total += len(piece)
            return total

        try:
            yield Ways(
                lambda url: runner.run(whole(url)),
                lambda url: runner.run(line(url)),
                lambda url, size: runner.run(pieces(url, size)),
            )
        finally:
            runner.run(session.aclose())


@contextlib.contextmanager
def urllib3_pool() -> Iterator[Ways]:
    """Use urllib3's `data` and `stream`; it knows no lines."""
    import urllib3

    def pieces(url: str, size: int) -> int:
        response = pool.request("GET", url, preload_content=False, headers=RANGE)
        came = sum(map(len, response.stream(size)))
        response.release_conn()
        return came

    with urllib3.PoolManager() as pool:
        yield Ways(lambda url: len(pool.request("GET", url).data), None, pieces)


@contextlib.contextmanager
def httpx_client() -> Iterator[Ways]:
    """Use httpx' `content`, `iter_lines` and `iter_bytes`."""
    import httpx

    def line(url: str) -> int:
        with client.stream("GET", url, headers=RANGE) as response:
            return max(map(len, response.iter_lines()))

    def pieces(url: str, size: int) -> int:
        with client.stream("GET", url, headers=RANGE) as response:
            return sum(map(len, response.iter_bytes(size)))

    with httpx.Client() as client:
        yield Ways(lambda url: len(client.get(url).content), line, pieces)


CLIENTS: Mapping[str, Callable[[], contextlib.AbstractContextManager[Ways]]] = {
    "keeppool.Session": keeppool_session,
    "keeppool.AsyncSession": keeppool_tasks,
    "urllib3": urllib3_pool,
    "requests": requests_session,
    "httpx": httpx_client,
}


def alone(name: str, site: str) -> float:
    """Take a large body whole with one client, and give the MiB it has taken at its peak."""
    with CLIENTS[name]() as ways:
        ways.whole(f"{site}/1k.bin")
        with Growth() as growth:
            if ways.whole(f"{site}/256m.bin") != LARGE:
                raise SystemExit(f"{name} did not fetch what nginx serves")
    return growth.mib


def ask(effort: Effort) -> Rows:
    """Measure every client that is installed."""
    rows: dict[str, dict[str, float | None]] = {}
    with sites() as [site], contextlib.ExitStack() as stack:
        url = f"{site}/256m.bin"
        clients = open_installed(CLIENTS, stack)
        asked: dict[str, tuple[int, dict[str, Fetch]]] = {
            "whole": (LARGE, {name: functools.partial(ways.whole, url) for name, ways in clients.items()}),
            "one line": (PART, {n: functools.partial(w.line, url) for n, w in clients.items() if w.line is not None}),
        }
        for size in (512, 4096, 65536):
            fetches = {n: functools.partial(w.pieces, url, size) for n, w in clients.items() if w.pieces is not None}
            asked[f"pieces of {size}"] = PART, fetches
        for what, (size, fetches) in asked.items():
            costs = in_turns(fetches, rounds=effort.rounds, each=effort.requests)
            for name, row in compared(costs, PEERS).items():
                rows[f"{what}: {name}"] = _in_units(size, row)
        for name in clients:
            rows[f"whole: {name}"]["growth_mib"] = growth_mib("benchmarks.bodies", name, site)
    rows["packed five times: keeppool.AsyncSession"] = {"held_ms": longest_hold_ms()}
    return rows


def _in_units(size: int, row: dict[str, float | None]) -> dict[str, float | None]:
    us, cpu = row.pop("us") or 0, row.pop("cpu_us") or 0
    row.pop("per_s")
    return {"ms": us / 1000, "mib_s": size / 2**20 / us * 1e6, **row, "cpu_ms": cpu / 1000}


def longest_hold_ms() -> float:
    """Give the longest time for which a task that only gives way had to wait for its next turn."""
    packed = b"content" * 1_000_000
    for _ in range(5):
        packed = gzip.compress(packed)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Encoding", ", ".join(["gzip"] * 5))
            self.send_header("Content-Length", str(len(packed)))
            self.end_headers()
            self.wfile.write(packed)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    async def main() -> float:
        longest = 0.0

        async def give_way() -> None:
            nonlocal longest
            before = time.perf_counter()
            while True:
                await asyncio.sleep(0)
                now = time.perf_counter()
                longest, before = max(longest, now - before), now

        async with keeppool.AsyncSession() as session:
            other = asyncio.create_task(give_way())
            await session.get(f"http://127.0.0.1:{server.server_port}/")
            other.cancel()
        return longest * 1000

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            return asyncio.run(main())
        finally:
            server.shutdown()
            serving.join()


if __name__ == "__main__":
    program.main(ask, Effort(7, 1), about=__doc__, beside=BESIDE)
