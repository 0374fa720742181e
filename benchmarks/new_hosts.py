"""One page from each of many hosts, none of them visited before: what a broad crawl does.

A host is an address of the loopback, 127.x.y.z, all of them one nginx. One after the other: every client is opened anew
for each round, visits every host once, and closes its connections when it likes; the floor opens a socket, sends
ready-made bytes, reads as many as the first response had, and closes. With 200 tasks: every client in a process of its
own, on as many connections as it has by default, eight times as many hosts; its memory is what its peak adds to what it
has before the first page.

CPU is that of the client's process, and what a busy machine changes least. A peer that is not installed is left out
and named.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import program
from benchmarks.clients import SESSIONS, Opener, Wishes, answer_at
from benchmarks.measure import Cost, compared, in_turns
from benchmarks.nginx_server import BODY, EVERYWHERE, Certificate, certificate, sites
from benchmarks.program import Effort, Rows
from benchmarks.resident import Growth

ROOT = Path(__file__).resolve().parent.parent
BESIDE = ("urllib3", "requests", "aiohttp", "uvloop")
FLOOR = "bare sockets"
PEERS = {"floor": FLOOR, "urllib3": "urllib3", "requests": "requests"}
#: Of `SESSIONS`, those that are compared one after the other.
ONE_BY_ONE = ("keeppool.PoolManager", "keeppool.Session", "urllib3", "requests")
TASKS = 200
#: Hosts for the tasks, by hosts one after the other; and of these by those visited over TLS, where each costs a
#: handshake, and one certificate names them all.
TIMES, TLS_SHARE = 8, 10

AsyncGet = Callable[[str], Awaitable[bytes]]


def addresses(number: int) -> list[str]:
    """Name so many hosts of the loopback."""
    return [f"127.{1 + host // 62500}.{host // 250 % 250}.{host % 250 + 1}" for host in range(number)]


@contextlib.contextmanager
def pages(number: int, tls: Certificate | None = None) -> Iterator[list[str]]:
    """Serve the small file as so many hosts; give their URLs."""
    with sites(tls=tls, address=EVERYWHERE) as [site]:
        parts = urlsplit(site)
        yield [f"{parts.scheme}://{address}:{parts.port}/1k.bin" for address in addresses(number)]


# One after the other


def bare(urls: Sequence[str], size: int) -> None:
    """Visit every host once, with the least there is."""
    for url in urls:
        parts = urlsplit(url)
        with socket.create_connection((parts.hostname or "", parts.port or 80)) as sock:
            sock.sendall(f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: */*\r\n\r\n".encode())
            response = sock.recv(65536)
            while len(response) < size:
                response += sock.recv(65536)


def visit(opener: Opener, wishes: Wishes, urls: Sequence[str]) -> None:
    """Visit every host once, with a client that has seen none of them."""
    with opener(wishes) as session:
        for url in urls:
            if session.get(url) != BODY:
                raise SystemExit("what nginx serves was not fetched")


def one_by_one(effort: Effort) -> dict[str, dict[str, float | None]]:
    """Measure every client that is installed."""
    with pages(effort.requests) as urls:
        visits = dict(installed_visits(Wishes(), urls))
        _, size = answer_at(urls[0], f"GET /1k.bin HTTP/1.1\r\nHost: {urlsplit(urls[0]).netloc}\r\n\r\n".encode())
        visits[FLOOR] = functools.partial(bare, urls, size)
        costs = in_turns(visits, rounds=effort.rounds, each=1)
    rows = with_cpu_by_floor(compared(costs, PEERS, each=effort.requests), costs)
    try:
        hosts = max(effort.requests // TLS_SHARE, 1)
        with certificate(*addresses(hosts)) as made, pages(hosts, made) as urls:
            visits = dict(installed_visits(Wishes(roots=made.roots), urls))
            costs = in_turns(visits, rounds=effort.rounds, each=1)
            rows |= {f"{name}, TLS": row for name, row in compared(costs, PEERS, each=hosts).items()}
    except ImportError as error:
        print(f"left out: TLS ({error})", file=sys.stderr)
    return rows


def installed_visits(wishes: Wishes, urls: Sequence[str]) -> Iterator[tuple[str, Callable[[], None]]]:
    """Go through the clients that are installed, each with a visit to all hosts."""
    for name in ONE_BY_ONE:
        visiting = functools.partial(visit, SESSIONS[name], wishes, urls)
        try:
            visit(SESSIONS[name], wishes, urls[:1])
        except ImportError as error:
            print(f"left out: {name} ({error})", file=sys.stderr)
            continue
        yield name, visiting


def with_cpu_by_floor(
    rows: dict[str, dict[str, float | None]], costs: Mapping[str, Sequence[Cost]]
) -> dict[str, dict[str, float | None]]:
    """Add how much of the processor each client takes, by what the floor takes."""
    for name, own in costs.items():
        rows[name]["cpu_by_floor"] = median(cost.cpu / floor.cpu for cost, floor in zip(own, costs[FLOOR], strict=True))
    return rows


# With tasks


@contextlib.asynccontextmanager
async def keeppool_session() -> AsyncIterator[AsyncGet]:
    """Open a session, as most programs do."""
    from keeppool import AsyncSession

    async with AsyncSession() as session:

        async def get(url: str) -> bytes:
            return (await session.get(url)).content

        yield get


@contextlib.asynccontextmanager
async def aiohttp_session() -> AsyncIterator[AsyncGet]:
    """Open a session of aiohttp."""
    import aiohttp

    async with aiohttp.ClientSession() as session:

        async def get(url: str) -> bytes:
            async with session.get(url) as response:
                return await response.read()

        yield get


#: `TASKS` tasks, one client.
WITH_TASKS: Mapping[str, Callable[[], AbstractAsyncContextManager[AsyncGet]]] = {
    "keeppool.AsyncSession": keeppool_session,
    "aiohttp": aiohttp_session,
}


async def crawled(name: str, urls: Sequence[str]) -> dict[str, float]:
    """Visit every host once, and say what it took."""
    left = iter(urls)
    async with WITH_TASKS[name]() as get:

        async def crawl() -> None:
            for url in left:
                if await get(url) != BODY:
                    raise SystemExit("what nginx serves was not fetched")

        with Growth() as memory:
            cpu, wall = time.process_time(), time.perf_counter()
            await asyncio.gather(*(crawl() for _ in range(TASKS)))
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    each = len(urls) / 1e6
    return {"us": wall / each, "per_s": len(urls) / wall, "cpu_us": cpu / each, "growth_mib": memory.mib}


def print_crawled(name: str) -> None:
    """Be the process of one client."""
    try:
        print(json.dumps(asyncio.run(crawled(name, json.load(sys.stdin)))))
    except ImportError as error:
        print(f"left out: {name} ({error})", file=sys.stderr)
        print("{}")


def with_tasks(effort: Effort) -> Rows:
    """Measure every client that is installed, in turns, each in a fresh interpreter."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in WITH_TASKS}
    with pages(effort.requests * TIMES) as urls:
        for _ in range(effort.rounds):
            for name, rounds in found.items():
                command = [sys.executable, str(Path(__file__).resolve()), "--crawl", name]
                order = json.dumps(urls)
                done = subprocess.run(command, cwd=ROOT, input=order, stdout=subprocess.PIPE, text=True, check=True)
                rounds += filter(None, [json.loads(done.stdout)])
    peer = found["aiohttp"]
    return {
        f"{TASKS} tasks: {name}": {
            **{figure: median(own[figure] for own in rounds) for figure in rounds[0]},
            "rate_by_aiohttp": median(p["us"] / own["us"] for p, own in zip(peer, rounds, strict=True))
            if peer
            else None,
            "growth_by_aiohttp": median(
                own["growth_mib"] / p["growth_mib"] for p, own in zip(peer, rounds, strict=True)
            )
            if peer
            else None,
        }
        for name, rounds in found.items()
        if rounds
    }


def ask(effort: Effort) -> Rows:
    """Measure both."""
    return {**one_by_one(effort), **with_tasks(effort)}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--crawl"]:
        print_crawled(sys.argv[2])
    else:
        program.main(ask, Effort(5, 2500), about=__doc__, beside=BESIDE)
