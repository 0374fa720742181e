"""What clients make of servers that hang up: one row a server, one column a client.

A cell counts, over a number of GETs and POSTs one after the other with pauses between them:

    errors the caller saw / POSTs carried out twice / requests sent after the stated end / answers not its own

and, where there are any, errors that say that no connection was made, of requests that the server had carried out.

Errors are not all avoidable: a POST whose connection died after it was sent must not be sent again, and its caller has
to be told. The last columns say how many of keeppool's errors were of that kind, in threads and in tasks. A 408 that
the server sent to an idle connection is no answer to the request that came after it.

Every cell has a server and a client of its own; several run at a time. A peer that is not installed is left out, and a
line says so.

Read the hint rows with this in mind: their servers close a little after the end they have stated (20 ms for `max`,
100 ms for `timeout`), answer nothing that comes in between, and the pauses lie on the deadlines. Where a server's FIN
leaves exactly at the stated end, clients that look at the socket first see it and those rows are zeros for them too.
`lost` counts by keeppool's own record of what it had sent.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.hostile_servers import BEHAVIOURS, IDLE, IMPATIENT, HostileServer
from benchmarks.measure import machine, table

#: Sends one request: method, URL, id, body; gives the answer's body. Any exception is an error the caller sees.
Send = Callable[[str, str, str, bytes | None], bytes]

REQUESTS = 60
QUICK_REQUESTS = 12
#: Requests of the row whose pauses are a second long.
SLOW_REQUESTS = 16
TIMEOUT = 3.0
#: Cells that run at the same time. Nearly all of their time is pauses.
AT_ONCE = 8
#: A POST this large is still on its way when its answer comes.
UPLOAD = 2_000_000
#: Errors that say so in httpx's and requests' words.
NEVER_CONNECTED = ("ConnectError", "ConnectTimeout")
CAREFUL = "keeppool"
CAREFUL_TASKS = "keeppool.AsyncSession"


class Cell(NamedTuple):
    """What one client made of one server."""

    errors: int = 0
    twice: int = 0
    late: int = 0
    mixed: int = 0
    #: Errors of POSTs that had left: nobody can know whether they were carried out.
    lost: int = 0
    #: Errors of the class for a connection that was never made, though the server had carried the request out.
    wrong: int = 0

    def __str__(self) -> str:
        wrong = f"; {self.wrong} wrong" if self.wrong else ""
        return f"{self.errors} / {self.twice} / {self.late} / {self.mixed}{wrong}"


@contextlib.contextmanager
def keeppool_pool() -> Iterator[Send]:
    """Open keeppool's pool, with its defaults."""
    import keeppool

    with keeppool.PoolManager(timeout=TIMEOUT) as pool:
        yield lambda method, url, name, body: pool.request(method, url, headers={"X-Id": name}, body=body).data


@contextlib.contextmanager
def requests_session() -> Iterator[Send]:
    """Open a session of requests."""
    import requests

    def send(method: str, url: str, name: str, body: bytes | None) -> bytes:
        return session.request(method, url, headers={"X-Id": name}, data=body, timeout=TIMEOUT).content

    with requests.Session() as session:
        yield send


@contextlib.contextmanager
def httpx_client() -> Iterator[Send]:
    """Open a client of httpx."""
    import httpx

    with httpx.Client(timeout=TIMEOUT) as client:
        yield lambda method, url, name, body: client.request(method, url, headers={"X-Id": name}, content=body).content


@contextlib.contextmanager
def httpx_over_keeppool() -> Iterator[Send]:
    """Open a client of httpx with keeppool's transport."""
    import httpx

    from keeppool.adapters.httpx import KeepPoolTransport

    with httpx.Client(timeout=TIMEOUT, transport=KeepPoolTransport()) as client:
        yield lambda method, url, name, body: client.request(method, url, headers={"X-Id": name}, content=body).content


@contextlib.contextmanager
def httpx_tasks(make_transport: Callable[[], Any]) -> Iterator[Send]:
    """Open a client of httpx for tasks."""
    import httpx

    async def fetch(method: str, url: str, name: str, body: bytes | None) -> bytes:
        return (await client.request(method, url, headers={"X-Id": name}, content=body)).content

    async def open_client() -> httpx.AsyncClient:
        return httpx.AsyncClient(timeout=TIMEOUT, transport=make_transport())

    with running_loop() as run:
        client = run(open_client())
        try:
            yield lambda *request: run(fetch(*request))
        finally:
            run(client.aclose())


def httpx_tasks_over_keeppool() -> AbstractContextManager[Send]:
    """Open a client of httpx for tasks with keeppool's transport."""
    from keeppool.adapters.httpx import AsyncKeepPoolTransport

    return httpx_tasks(AsyncKeepPoolTransport)


def httpx_over_aiohttp() -> AbstractContextManager[Send]:
    """Open a client of httpx for tasks with the transport over aiohttp that SDKs recommend."""
    from httpx_aiohttp import AiohttpTransport

    return httpx_tasks(AiohttpTransport)


@contextlib.contextmanager
def urllib3_pool() -> Iterator[Send]:
    """Open urllib3's pool, with its default of three retries."""
    import urllib3

    with urllib3.PoolManager(timeout=TIMEOUT) as pool:
        yield lambda method, url, name, body: pool.request(method, url, headers={"X-Id": name}, body=body).data


@contextlib.contextmanager
def running_loop() -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """Run an event loop in a thread of its own, also during the pauses; give what runs a coroutine on it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(2 * TIMEOUT)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextlib.contextmanager
def keeppool_async_session() -> Iterator[Send]:
    """Open keeppool's session for tasks, with its defaults."""
    import keeppool

    async def fetch(method: str, url: str, name: str, body: bytes | None) -> bytes:
        return (await session.request(method, url, data=body, headers={"X-Id": name})).content

    with running_loop() as run:
        session = keeppool.AsyncSession(timeout=TIMEOUT)
        try:
            yield lambda *request: run(fetch(*request))
        finally:
            run(session.aclose())


@contextlib.contextmanager
def aiohttp_session() -> Iterator[Send]:
    """Open a session of aiohttp."""
    import aiohttp

    async def fetch(method: str, url: str, name: str, body: bytes | None) -> bytes:
        async with session.request(method, url, headers={"X-Id": name}, data=body) as response:
            return await response.read()

    async def open_session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT))

    with running_loop() as run:
        session = run(open_session())
        try:
            yield lambda *request: run(fetch(*request))
        finally:
            run(session.close())


@contextlib.contextmanager
def pycurl_handle() -> Iterator[Send]:
    """Use libcurl by pycurl, one handle for all requests."""
    import io

    import pycurl

    handle = pycurl.Curl()

    def send(method: str, url: str, name: str, body: bytes | None) -> bytes:
        received = io.BytesIO()
        handle.reset()
        handle.setopt(pycurl.URL, url)
        handle.setopt(pycurl.HTTPHEADER, [f"X-Id: {name}", "Expect:"])
        handle.setopt(pycurl.TIMEOUT_MS, int(TIMEOUT * 1000))
        handle.setopt(pycurl.WRITEDATA, received)
        if body is not None:
            handle.setopt(pycurl.POST, 1)
            handle.setopt(pycurl.POSTFIELDS, body)
        handle.perform()
        return received.getvalue()

    with contextlib.closing(handle):
        yield send


CLIENTS: Mapping[str, Callable[[], AbstractContextManager[Send]]] = {
    CAREFUL: keeppool_pool,
    CAREFUL_TASKS: keeppool_async_session,
    "requests": requests_session,
    "httpx": httpx_client,
    "httpx over keeppool": httpx_over_keeppool,
    "httpx over keeppool, tasks": httpx_tasks_over_keeppool,
    "httpx over aiohttp": httpx_over_aiohttp,
    "urllib3": urllib3_pool,
    "aiohttp": aiohttp_session,
    "pycurl": pycurl_handle,
}


def pauses(behaviour: str) -> tuple[float, ...]:
    """Choose pauses, in seconds, on both sides of the moment at which the server acts."""
    if behaviour == "hint: timeout=1":
        return 0.0, 0.6, 0.98, 1.03, 1.06
    if "0.05 s" in behaviour:
        return 0.0, 0.0, IMPATIENT - 0.0005, IMPATIENT, IMPATIENT + 0.0005
    if "behind" in behaviour:
        return 0.0, 0.0, 0.0001, 0.001
    if "5 ms" in behaviour or "50 ms" in behaviour:
        return 0.0, 0.01, 0.06
    if "max" in behaviour:
        return 0.0, 0.0, 0.015
    return 0.0, 0.0, IDLE - 0.0005, IDLE, IDLE + 0.0005


def run_cell(behaviour: str, client: str, count: int) -> Cell:
    """Let one client send its requests to one server; the same ones, in the same order, for every client."""
    chance = random.Random(behaviour)
    errors = mixed = lost = wrong = 0
    with HostileServer(BEHAVIOURS[behaviour]) as server, CLIENTS[client]() as send:
        for number in range(count):
            name, posts = f"{behaviour[:3]}-{number}".replace(" ", "_"), chance.random() < 0.4
            body = (b"x" * (UPLOAD if "early" in behaviour else 20)) if posts else None
            try:
                mixed += send("POST" if posts else "GET", server.url, name, body) != name.encode()
            except Exception as error:
                errors += 1
                lost += posts and getattr(error, "sent", 0) > 0
                wrong += type(error).__name__ in NEVER_CONNECTED and server.has_executed(name)
            time.sleep(chance.choice(pauses(behaviour)))
    return Cell(errors, server.twice, server.lateness, mixed, lost, wrong)


def run(requests: int) -> dict[str, dict[str, Cell]]:
    """Fill the table."""
    clients = list(installed_clients())
    # The longest first, so that the others run beside them.
    order = sorted(BEHAVIOURS, key=lambda behaviour: -max(pauses(behaviour)))
    with ThreadPoolExecutor(AT_ONCE) as threads:
        cells = {
            (behaviour, client): threads.submit(
                run_cell, behaviour, client, min(requests, SLOW_REQUESTS) if max(pauses(behaviour)) > 1 else requests
            )
            for behaviour in order
            for client in clients
        }
        return {row: {client: cells[row, client].result() for client in clients} for row in BEHAVIOURS}


def installed_clients() -> Iterator[str]:
    """Name the clients that can be imported, by opening each once."""
    for name, client in CLIENTS.items():
        try:
            with client():
                yield name
        except ImportError as error:
            print(f"left out: {name} ({error})", file=sys.stderr)


def totals(cells: Mapping[str, Mapping[str, Cell]], client: str) -> Cell:
    """Add up a client's column."""
    return Cell(*(sum(figures) for figures in zip(*(row[client] for row in cells.values()), strict=True)))


def report(cells: Mapping[str, Mapping[str, Cell]]) -> str:
    """Write the table, with its totals."""
    clients = list(next(iter(cells.values())))
    summed = {client: totals(cells, client) for client in clients}
    rows = [*cells.items(), ("total", summed)]
    careful = (CAREFUL, CAREFUL_TASKS)
    return table(
        ["server", *clients, "lost POSTs", "lost by tasks"],
        [
            [name, *(str(row[client]) for client in clients), *(str(row[client].lost) for client in careful)]
            for name, row in rows
        ],
    )


def main() -> None:
    """Run and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help=f"{QUICK_REQUESTS} requests a cell, not {REQUESTS}")
    arguments.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = arguments.parse_args()
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    requests = QUICK_REQUESTS if options.quick else REQUESTS
    cells = run(requests)
    where = machine("requests", "httpx", "httpx-aiohttp", "urllib3", "aiohttp", "pycurl")
    if options.json:
        rows = {name: {client: cell._asdict() for client, cell in row.items()} for name, row in cells.items()}
        print(json.dumps({"machine": where, "requests": requests, "rows": rows}))
        return
    print(f"{where}; {requests} requests a cell")
    print("errors / POSTs carried out twice / requests after the stated end / answers not its own\n")
    print(report(cells))


if __name__ == "__main__":
    main()
