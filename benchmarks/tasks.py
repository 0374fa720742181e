"""Many tasks that fetch 1 KiB from nginx over six connections, by keeppool and by other asyncio clients.

64 tasks share one client, which may have 6 connections to the one host. In each round every client makes the same
number of requests, in a shuffled order; the ratios are medians of each round's own. Each client is run on asyncio's own
event loop and on uvloop, each on a loop of its own that stands still while the others run. CPU is that of this process,
threads included. A peer that is not installed is left out, and a line says so.

The floor is the least that tasks can do: they take one of six transports, write ready-made bytes, and wait for as many
bytes as the first answer had; no HTTP, no caps, no checks, no time limits.

The goals are for client and server on a core each: with 64 tasks the client always has something to do, so no exchange
waits for the other core to wake up, and on one core the server's work, the same for all, hides a third of every
difference.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import program
from benchmarks.clients import answer_at
from benchmarks.measure import compared, in_turns
from benchmarks.nginx_server import BODY, nginx
from benchmarks.program import Effort, Rows

#: Tasks that request at the same time, and the connections they share.
TASKS, CONNECTIONS = 64, 6
#: Requests of each task before the first round.
WARM_UP = 10
#: What the ratios are taken against, on the same event loop.
FLOOR = "bare transports"
PEERS = {"floor": FLOOR, "aiohttp": "aiohttp", "pyreqwest": "pyreqwest"}

Fetch = Callable[[], Awaitable[bytes]]


class Bare(asyncio.BufferedProtocol):
    """A connection that waits for so many bytes, whatever they are."""

    def __init__(self, size: int) -> None:
        self._buffer = memoryview(bytearray(65536))
        self._size = size
        self._came = 0
        self.whole: asyncio.Future[bytes]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio's protocols."""
        self.transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        """See asyncio's protocols."""
        return self._buffer[self._came :]

    def buffer_updated(self, nbytes: int) -> None:
        """See asyncio's protocols."""
        self._came += nbytes
        if self._came == self._size:
            self._came = 0
            self.whole.set_result(bytes(self._buffer[: self._size]))


@contextlib.asynccontextmanager
async def bare_transports(url: str) -> AsyncIterator[Fetch]:
    """Do the least there is, on as many connections."""
    parts = urlsplit(url)
    request = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: */*\r\n\r\n".encode()
    start, size = await asyncio.to_thread(answer_at, url, request)
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: Bare(size), parts.hostname, parts.port) for _ in range(CONNECTIONS)]
    free: deque[Bare] = deque(bare for _, bare in made)
    queue: deque[asyncio.Future[Bare]] = deque()

    async def fetch() -> bytes:
        if free:
            bare = free.popleft()
        else:
            turn = loop.create_future()
            queue.append(turn)
            bare = await turn
        bare.whole = loop.create_future()
        bare.transport.write(request)
        answer = await bare.whole
        if queue:
            queue.popleft().set_result(bare)
        else:
            free.append(bare)
        return answer[start:]

    yield fetch
    for transport, _ in made:
        transport.abort()


@contextlib.asynccontextmanager
async def keeppool_pool(url: str) -> AsyncIterator[Fetch]:
    """Open the pool alone; its default cap is six."""
    from keeppool.pools.manager_tasks import AsyncPoolManager

    async with AsyncPoolManager() as pool:

        async def fetch() -> bytes:
            return (await pool.request("GET", url)).data

        yield fetch


@contextlib.asynccontextmanager
async def keeppool_session(url: str) -> AsyncIterator[Fetch]:
    """Open a session, as most programs do; its default cap is six."""
    from keeppool import AsyncSession

    async with AsyncSession() as session:

        async def fetch() -> bytes:
            return (await session.get(url)).content

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
    FLOOR: bare_transports,
    "keeppool.AsyncPoolManager": keeppool_pool,
    "keeppool.AsyncSession": keeppool_session,
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


def ask(effort: Effort) -> Rows:
    """Measure every client that is installed, on every event loop that is."""
    with nginx() as url, contextlib.ExitStack() as stack:
        runners = open_runners(url, effort.requests, stack)
        costs = in_turns(runners, rounds=effort.rounds, each=1)
    rows: dict[str, dict[str, float | None]] = {}
    for loop in loops():
        peers = {short: f"{peer} on {loop}" for short, peer in PEERS.items()}
        of_loop = {name: own for name, own in costs.items() if name.endswith(f" on {loop}")}
        rows |= compared(of_loop, peers, each=TASKS * effort.requests)
    return rows


if __name__ == "__main__":
    program.main(ask, Effort(20, 20), about=__doc__, beside=("aiohttp", "uvloop", "pyreqwest"), one_core=False)
