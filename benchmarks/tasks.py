"""Many tasks that fetch 1 KiB from nginx over six connections, by keeppool and by other asyncio clients.

64 tasks share one client, which may have 6 connections to the one host. In each round every client makes the same
number of requests, in a shuffled order; the ratios are medians of each round's own. Each client is run on asyncio's own
event loop and on uvloop, each on a loop of its own that stands still while the others run. CPU is that of this process,
threads included. A peer that is not installed is left out, and a line says so.

Client and nginx share one core unless `--all-cores` is given; see `sequential.py` for the reason.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measure import Cost, in_turns, machine, median_ratio, median_us, table
from benchmarks.nginx_server import BODY, nginx

#: Tasks that request at the same time, and the connections they share.
TASKS, CONNECTIONS = 64, 6
#: Requests of each task before the first round.
WARM_UP = 10
#: What the ratios are taken against, on the same event loop.
PEERS = ("aiohttp", "pyreqwest")

Fetch = Callable[[], Awaitable[bytes]]


@contextlib.asynccontextmanager
async def keeppool_pool(url: str) -> AsyncIterator[Fetch]:
    """Open the pool alone; its default cap is six."""
    from keeppool.pools.tasks import AsyncPoolManager

    async with AsyncPoolManager() as pool:

        async def fetch() -> bytes:
            return (await pool.request("GET", url)).data

        yield fetch


@contextlib.asynccontextmanager
async def aiohttp_session(url: str) -> AsyncIterator[Fetch]:
    """Open a session of aiohttp with as many connections."""
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit_per_host=CONNECTIONS)) as session:

        async def fetch() -> bytes:
            async with session.get(url) as response:
                return await response.read()

        yield fetch


@contextlib.asynccontextmanager
async def pyreqwest_client(url: str) -> AsyncIterator[Fetch]:
    """Open a client of pyreqwest, which stands on Rust's reqwest, with as many requests at a time."""
    from pyreqwest.client import ClientBuilder

    async with ClientBuilder().max_connections(CONNECTIONS).http1_only().build() as client:

        async def fetch() -> bytes:
            response = await client.get(url).build().send()
            return bytes(await response.bytes())

        yield fetch


CLIENTS: Mapping[str, Callable[[str], AbstractAsyncContextManager[Fetch]]] = {
    "keeppool.AsyncPoolManager": keeppool_pool,
    "aiohttp": aiohttp_session,
    "pyreqwest": pyreqwest_client,
}


class Runner:
    """One client on one event loop, and the crowd of tasks that uses it."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, client: AbstractAsyncContextManager[Fetch], requests: int
    ) -> None:
        self._loop = loop
        self._client = client
        self._requests = requests

    def __enter__(self) -> Callable[[], None]:
        self._fetch = self._loop.run_until_complete(self._client.__aenter__())
        self._loop.run_until_complete(self._crowd(WARM_UP))
        return self.run

    def __exit__(self, *exc_info: object) -> None:
        self._loop.run_until_complete(self._client.__aexit__(None, None, None))
        self._loop.close()

    def run(self) -> None:
        """Let every task make its requests of one round."""
        self._loop.run_until_complete(self._crowd(self._requests))

    async def _crowd(self, requests: int) -> None:
        await asyncio.gather(*(self._one(requests) for _ in range(TASKS)))

    async def _one(self, requests: int) -> None:
        for _ in range(requests):
            if await self._fetch() != BODY:
                raise SystemExit("what nginx serves was not fetched")


def loops() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Name the event loops that are installed."""
    found: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    try:
        import uvloop
    except ImportError as error:
        print(f"left out: uvloop ({error})", file=sys.stderr)
    else:
        found["uvloop"] = uvloop.new_event_loop
    return found


def open_runners(url: str, requests: int, stack: contextlib.ExitStack) -> dict[str, Callable[[], None]]:
    """Open every client that is installed, on every event loop that is."""
    opened = {}
    for loop_name, make in loops().items():
        for name, client in CLIENTS.items():
            try:
                opened[f"{name} on {loop_name}"] = stack.enter_context(Runner(make(), client(url), requests))
            except ImportError as error:
                print(f"left out: {name} on {loop_name} ({error})", file=sys.stderr)
    return opened


def summary(costs: Mapping[str, Sequence[Cost]], each: int) -> dict[str, dict[str, float | None]]:
    """Take the medians, for each client; a ratio above 1 says that it is faster than the peer on the same loop."""
    rows: dict[str, dict[str, float | None]] = {}
    for name, own in costs.items():
        rows[name] = {"us": median_us(own) / each, "cpu_us": median(cost.cpu for cost in own) / each}
        for peer in PEERS:
            other = costs.get(f"{peer} on {name.rpartition(' ')[2]}")
            rows[name][f"rate_by_{peer}"] = None if other is None else median_ratio(other, own)
    return rows


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=20)
    arguments.add_argument("--requests", type=int, default=20, help="requests of each of the 64 tasks in each round")
    arguments.add_argument("--all-cores", action="store_true", help="let the scheduler place client and server")
    arguments.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = arguments.parse_args()
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    where = machine("aiohttp", "uvloop", "pyreqwest")
    if not options.all_cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        where += "; client and server on one core"
    with nginx() as url, contextlib.ExitStack() as stack:
        runners = open_runners(url, options.requests, stack)
        results = summary(in_turns(runners, rounds=options.rounds, each=1), TASKS * options.requests)
    if options.json:
        print(json.dumps({"machine": where, "rounds": options.rounds, "requests": options.requests, "rows": results}))
        return
    print(
        f"{where}; {TASKS} tasks, {CONNECTIONS} connections, {options.rounds} rounds of {options.requests} requests\n"
    )
    print(report(results))


def report(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Write the table, the fastest first."""
    header = ["client", "µs per GET", "GETs per second", "rate ÷ aiohttp's", "rate ÷ pyreqwest's", "CPU µs per GET"]
    return table(header, [_row(name, row) for name, row in sorted(results.items(), key=lambda item: item[1]["us"])])


def _row(name: str, row: Mapping[str, Any]) -> list[str]:
    ratios = ["-" if row[f"rate_by_{peer}"] is None else f"{row[f'rate_by_{peer}']:.2f}" for peer in PEERS]
    return [name, f"{row['us']:.0f}", f"{1e6 / row['us']:,.0f}", *ratios, f"{row['cpu_us']:.0f}"]


if __name__ == "__main__":
    main()
