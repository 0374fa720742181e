"""What a GET of 1 KiB, and a stream of 10,000 events, cost a client of httpx or httpx2 over one transport or another.

The same client each time: over its own transport, over keeppool's, where there is one over aiohttp's, and over one that
answers from memory, which is what the client itself costs. Clients for tasks fetch one after the other on an event loop
of their own. In each round every client makes the same number of requests, in a shuffled order; the ratios are medians
of each round's own.

A round has one stream, of events that the server sends one by one, each in a chunk of its own; its figures are per
stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import multiprocessing
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import program
from benchmarks.measure import Cost, in_turns
from benchmarks.nginx_server import BODY, nginx
from benchmarks.program import Effort, Rows

MODULES = ("httpx", "httpx2")
EVENTS = 10_000
#: Requests before the first round.
WARM_UP = 50

Run = Callable[[], None]


def from_memory(module: Any, base: str) -> Any:
    """Make a transport that answers without a server: the least any can do."""

    def answer() -> Any:
        return module.Response(200, headers=[(b"Content-Length", b"1024")], stream=module.ByteStream(BODY))

    class Blocking(module.BaseTransport):  # type: ignore[misc]
        def handle_request(self, request: object) -> Any:
            return answer()

    class Tasks(module.AsyncBaseTransport):  # type: ignore[misc]
        async def handle_async_request(self, request: object) -> Any:
            return answer()

    return {"BaseTransport": Blocking, "AsyncBaseTransport": Tasks}[base]()


def transports(name: str, *, is_async: bool) -> dict[str, Callable[[], Any]]:
    """Name the transports for a module's client, its own first."""
    module: Any = importlib.import_module(name)
    door = importlib.import_module(f"keeppool.adapters.{name}")
    prefix = "Async" if is_async else ""
    found: dict[str, Callable[[], Any]] = {
        "its own": getattr(module, f"{prefix}HTTPTransport"),
        "keeppool": getattr(door, f"{prefix}KeepPoolTransport"),
        "memory": lambda: from_memory(module, f"{prefix}BaseTransport"),
    }
    if is_async and name == "httpx":
        try:
            from httpx_aiohttp import AiohttpTransport
        except ImportError as error:
            print(f"left out: httpx over aiohttp ({error})", file=sys.stderr)
        else:
            found["aiohttp"] = AiohttpTransport
    return found


def label(name: str, transport: str, *, is_async: bool) -> str:
    """Name a row."""
    return f"{name}{', tasks' if is_async else ''}, over {transport}"


class Blocking:
    """A client for threads: one GET at a time, and one stream."""

    def __init__(self, module: Any, transport: Any) -> None:
        self._client = module.Client(transport=transport)

    def get(self, url: str, count: int) -> None:
        """Fetch so often."""
        for _ in range(count):
            if self._client.get(url).content != BODY:
                raise SystemExit("what nginx serves was not fetched")

    def listen(self, url: str) -> None:
        """Read a stream of events to its end."""
        with self._client.stream("GET", url) as response:
            if sum(line.startswith("data:") for line in response.iter_lines()) != EVENTS:
                raise SystemExit("events were lost")

    def close(self) -> None:
        """Close the client."""
        self._client.close()


class Tasks:
    """The same for tasks, on an event loop that stands still while others run."""

    def __init__(self, module: Any, transport: Callable[[], Any]) -> None:
        self._loop = asyncio.new_event_loop()
        self._client = self._loop.run_until_complete(self._opened(module, transport))

    async def _opened(self, module: Any, transport: Callable[[], Any]) -> Any:
        return module.AsyncClient(transport=transport())

    def get(self, url: str, count: int) -> None:
        """Fetch so often."""
        self._loop.run_until_complete(self._get(url, count))

    async def _get(self, url: str, count: int) -> None:
        for _ in range(count):
            if (await self._client.get(url)).content != BODY:
                raise SystemExit("what nginx serves was not fetched")

    def listen(self, url: str) -> None:
        """Read a stream of events to its end."""
        self._loop.run_until_complete(self._listen(url))

    async def _listen(self, url: str) -> None:
        count = 0
        async with self._client.stream("GET", url) as response:
            async for line in response.aiter_lines():
                count += line.startswith("data:")
        if count != EVENTS:
            raise SystemExit("events were lost")

    def close(self) -> None:
        """Close the client and its loop."""
        self._loop.run_until_complete(self._client.aclose())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


def clients(stack: contextlib.ExitStack) -> dict[str, Blocking | Tasks]:
    """Open every client that is installed, over every transport."""
    opened: dict[str, Blocking | Tasks] = {}
    for name in MODULES:
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            print(f"left out: {name} ({error})", file=sys.stderr)
            continue
        for is_async in (False, True):
            for transport, make in transports(name, is_async=is_async).items():
                client = Tasks(module, make) if is_async else Blocking(module, make())
                stack.callback(client.close)
                opened[label(name, transport, is_async=is_async)] = client
    return opened


def send_events(listener: socket.socket) -> None:
    """Answer each request on each connection by a stream of events, one `send` each."""
    event = b'data: {"choices":[{"index":0,"delta":{"content":" word"}}]}\n\n'
    chunk = b"%x\r\n%b\r\n" % (len(event), event)
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, contextlib.suppress(OSError):
            while connection.recv(65536):
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
                    b"Connection: close\r\n\r\n"
                )
                for _ in range(EVENTS):
                    connection.sendall(chunk)
                connection.sendall(b"0\r\n\r\n")
                break


@contextlib.contextmanager
def event_server() -> Iterator[str]:
    """Run that server in a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = multiprocessing.get_context("fork").Process(target=send_events, args=(listener,), daemon=True)
        process.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        process.terminate()
        process.join()


def rows(costs: Mapping[str, list[Cost]], each: int, what: str) -> Rows:
    """Take the medians, and each round's ratio to the same client over its own transport."""
    found = {}
    for name, own in costs.items():
        base = costs[f"{name.rpartition(', over ')[0]}, over its own"]
        pairs = list(zip(own, base, strict=True))
        found[f"{what}: {name}"] = {
            "us": median(cost.wall for cost in own) / each,
            "cpu_us": median(cost.cpu for cost in own) / each,
            "cpu_by_own": median(cost.cpu / other.cpu for cost, other in pairs),
            "time_by_own": median(cost.wall / other.wall for cost, other in pairs),
        }
    return found


def ask(effort: Effort) -> Rows:
    """Measure every client that is installed, over every transport."""
    with event_server() as events, nginx() as url, contextlib.ExitStack() as stack:
        opened = clients(stack)
        for client in opened.values():
            client.get(url, WARM_UP)
        gets = in_turns(
            {name: lambda client=client: client.get(url, effort.requests) for name, client in opened.items()},
            rounds=effort.rounds,
            each=1,
        )
        streams = in_turns(
            {
                name: lambda client=client: client.listen(events)
                for name, client in opened.items()
                if not name.endswith("memory")
            },
            rounds=max(effort.rounds // 3, 1),
            each=1,
        )
    return rows(gets, effort.requests, "GET") | rows(streams, 1, "events")


if __name__ == "__main__":
    beside = ("httpx", "httpx2", "httpx-aiohttp", "aiohttp")
    program.main(ask, Effort(15, 200), about=__doc__, beside=beside)
