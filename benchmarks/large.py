"""Large bodies by both fronts and by other clients: whole, in pieces, up, and gzip-coded; time, CPU and memory.

256 MiB from nginx taken whole; the same in pieces of 64 KiB; a file of 256 MiB, a hole, sent as the body of a POST to a
server that throws it away; 64 MiB of text, gzip-coded beforehand to a tenth, decoded in pieces of 64 KiB. In each round
every client makes the same number of requests, in a shuffled order; the ratios are medians of each round's own. Memory
is what a process keeps at its peak, less what it kept before: a process of its own, which has made a small request
already. aiohttp is on asyncio's own event loop; it does not decode in pieces unless it is asked to, as the others do.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gzip
import io
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import program
from benchmarks.clients import open_installed
from benchmarks.measure import Cost, compared, in_turns
from benchmarks.nginx_server import LARGE, sites
from benchmarks.program import Effort, Rows
from benchmarks.resident import Growth, growth_mib
from benchmarks.sink import sink

BESIDE = ("urllib3", "pycurl", "aiohttp", "uvloop")
PEERS = {"urllib3": "urllib3", "pycurl": "pycurl"}
PIECE = 65536
#: Bytes of the text that comes gzip-coded.
TEXT = 64 << 20


class Ways(NamedTuple):
    """What a client does with a large body; each gives how many bytes there were.

    Attributes:
        whole: Takes the body of a URL whole.
        pieces: Takes it in pieces of `PIECE` bytes, decoded.
        up: Sends a file to a URL.
    """

    whole: Callable[[str], int]
    pieces: Callable[[str], int]
    up: Callable[[str, str], int]


def text() -> bytes:
    """Make the text: lines as a log has them, which gzip makes ten times smaller."""
    line = b"2026-11-%02d %06d GET /items/%d 200 %d\n"
    lines = b"".join(line % (n % 30, n * 7919 % 999983, n, n * n) for n in range(50_000))
    return (lines * (TEXT // len(lines) + 1))[:TEXT]


@contextlib.contextmanager
def keeppool_session() -> Iterator[Ways]:
    """Use a session's `content` and `iter_content`."""
    import keeppool

    def pieces(url: str) -> int:
        with session.get(url, stream=True) as response:
            return sum(map(len, response.iter_content(PIECE)))

    def up(url: str, path: str) -> int:
        with Path(path).open("rb") as file:
            return LARGE if session.post(url, data=file).content == b"ok" else 0

    with keeppool.Session() as session:
        yield Ways(lambda url: len(session.get(url).content), pieces, up)


@contextlib.contextmanager
def keeppool_pool() -> Iterator[Ways]:
    """Use a pool's `data` and `stream`."""
    import keeppool

    coded = {"Accept-Encoding": "gzip"}

    def pieces(url: str) -> int:
        with pool.request("GET", url, stream=True, headers=coded) as response:
            return sum(map(len, response.stream(PIECE)))

    def up(url: str, path: str) -> int:
        with Path(path).open("rb") as file:
            return LARGE if pool.request("POST", url, body=file).data == b"ok" else 0

    with keeppool.PoolManager() as pool:
        yield Ways(lambda url: len(pool.request("GET", url).data), pieces, up)


@contextlib.contextmanager
def keeppool_tasks(loop_of: str) -> Iterator[Ways]:
    """Use an asynchronous session's `content` and `iter_content`, on asyncio's event loop or on uvloop."""
    import keeppool

    if loop_of == "uvloop":
        import uvloop

        make = uvloop.new_event_loop
    else:
        make = asyncio.new_event_loop
    with asyncio.Runner(loop_factory=make) as runner:
        session = keeppool.AsyncSession()

        async def whole(url: str) -> int:
            return len((await session.get(url)).content)

        async def pieces(url: str) -> int:
            came = 0
            async with await session.get(url, stream=True) as response:
                async for piece in response.iter_content(PIECE):
                    came += len(piece)
            return came

        async def up(url: str, path: str) -> int:
            with open(path, "rb") as file:  # noqa: ASYNC230, PTH123 - a hole: no disk is read
                return LARGE if (await session.post(url, data=file)).content == b"ok" else 0

        try:
            yield _on(runner, whole, pieces, up)
        finally:
            runner.run(session.aclose())


@contextlib.contextmanager
def aiohttp_session() -> Iterator[Ways]:
    """Use aiohttp's `read` and `iter_chunked`, and give it the file."""
    import aiohttp

    with asyncio.Runner() as runner:
        session = runner.run(_made(aiohttp.ClientSession))

        async def whole(url: str) -> int:
            async with session.get(url) as response:
                return len(await response.read())

        async def pieces(url: str) -> int:
            came = 0
            async with session.get(url) as response:
                async for piece in response.content.iter_chunked(PIECE):
                    came += len(piece)
            return came

        async def up(url: str, path: str) -> int:
            with open(path, "rb") as file:  # noqa: ASYNC230, PTH123 - a hole: no disk is read
                async with session.post(url, data=file) as response:
                    return LARGE if await response.read() == b"ok" else 0

        try:
            yield _on(runner, whole, pieces, up)
        finally:
            runner.run(session.close())


async def _made(make: Callable[[], Any]) -> Any:
    return make()


def _on(runner: asyncio.Runner, whole: Any, pieces: Any, up: Any) -> Ways:
    return Ways(
        lambda url: runner.run(whole(url)),
        lambda url: runner.run(pieces(url)),
        lambda url, path: runner.run(up(url, path)),
    )


@contextlib.contextmanager
def urllib3_pool() -> Iterator[Ways]:
    """Use urllib3's `data` and `stream`, and give it the file and its length."""
    import urllib3

    coded, length = {"Accept-Encoding": "gzip"}, {"Content-Length": str(LARGE)}

    def pieces(url: str) -> int:
        response = pool.request("GET", url, preload_content=False, headers=coded)
        came = sum(map(len, response.stream(PIECE)))
        response.release_conn()
        return came

    def up(url: str, path: str) -> int:
        with Path(path).open("rb") as file:
            return LARGE if pool.request("POST", url, body=file, headers=length).data == b"ok" else 0

    with urllib3.PoolManager() as pool:
        yield Ways(lambda url: len(pool.request("GET", url).data), pieces, up)


@contextlib.contextmanager
def pycurl_handle() -> Iterator[Ways]:
    """Let libcurl write into a `BytesIO`, call a function for each piece, and read the file."""
    import pycurl

    handle = pycurl.Curl()

    def perform(url: str, **options: Any) -> None:
        handle.reset()
        handle.setopt(pycurl.URL, url)
        handle.setopt(pycurl.BUFFERSIZE, PIECE)
        for name, value in options.items():
            handle.setopt(getattr(pycurl, name), value)
        handle.perform()

    def whole(url: str) -> int:
        body = io.BytesIO()
        perform(url, WRITEDATA=body)
        return len(body.getvalue())

    def pieces(url: str) -> int:
        came = 0

        def write(piece: bytes) -> None:
            nonlocal came
            came += len(piece)

        perform(url, WRITEFUNCTION=write, ACCEPT_ENCODING="gzip")
        return came

    def up(url: str, path: str) -> int:
        answer = io.BytesIO()
        with Path(path).open("rb") as file:
            sized = {"POSTFIELDSIZE_LARGE": LARGE, "UPLOAD_BUFFERSIZE": PIECE, "HTTPHEADER": ["Expect:"]}
            perform(url, POST=1, READFUNCTION=file.read, WRITEDATA=answer, **sized)
        return LARGE if answer.getvalue() == b"ok" else 0

    with contextlib.closing(handle):
        yield Ways(whole, pieces, up)


CLIENTS: Mapping[str, Callable[[], contextlib.AbstractContextManager[Ways]]] = {
    "keeppool.Session": keeppool_session,
    "keeppool.PoolManager": keeppool_pool,
    "keeppool.AsyncSession on asyncio": functools.partial(keeppool_tasks, "asyncio"),
    "keeppool.AsyncSession on uvloop": functools.partial(keeppool_tasks, "uvloop"),
    "pycurl": pycurl_handle,
    "urllib3": urllib3_pool,
    "aiohttp": aiohttp_session,
}


class Errand(NamedTuple):
    """One use of a large body.

    Attributes:
        way: The name of the `Ways` it takes.
        arguments: What that is called with.
        size: Bytes there are.
    """

    way: str
    arguments: tuple[str, ...]
    size: int

    def run(self, ways: Ways) -> None:
        """Do it once, and see that all of it was done."""
        came = getattr(ways, self.way)(*self.arguments)
        if came != self.size:
            raise SystemExit(f"{self.way}: {came} bytes instead of {self.size}")


def alone(name: str, small: str, way: str, size: str, *arguments: str) -> float:
    """Do one errand with one client, and give the MiB that were taken at the peak."""
    with CLIENTS[name]() as ways:
        ways.whole(small)
        with Growth() as growth:
            Errand(way, arguments, int(size)).run(ways)
    return growth.mib


def ask(effort: Effort) -> Rows:
    """Measure every client that is installed."""
    rows: dict[str, Mapping[str, float | None]] = {}
    packed = {"64m.gz": gzip.compress(text(), 6)}
    with (
        sites(files=packed) as [site],
        sink() as url,
        tempfile.NamedTemporaryFile(prefix="keeppool-") as file,
        contextlib.ExitStack() as stack,
    ):
        file.truncate(LARGE)
        errands = {
            "whole": Errand("whole", (f"{site}/256m.bin",), LARGE),
            "pieces": Errand("pieces", (f"{site}/256m.bin",), LARGE),
            "up": Errand("up", (url, file.name), LARGE),
            "gzip": Errand("pieces", (f"{site}/64m.gz",), TEXT),
        }
        clients = open_installed(CLIENTS, stack)
        for what, errand in errands.items():
            calls = {name: functools.partial(errand.run, ways) for name, ways in clients.items()}
            costs = in_turns(calls, rounds=effort.rounds, each=effort.requests)
            for name, row in shown(costs, errand.size).items():
                order = (f"{site}/1k.bin", errand.way, str(errand.size), *errand.arguments)
                taken = growth_mib("benchmarks.large", name, *order)
                rows[f"{what}: {name}"] = {**row, "growth_mib": taken}
    return rows


def shown(costs: Mapping[str, list[Cost]], size: int) -> dict[str, dict[str, float | None]]:
    """Put the figures of large bodies in the units in which one thinks of them."""
    rows = compared(costs, PEERS)
    curl = rows.get("pycurl", {}).get("cpu_us")
    for row in rows.values():
        us, cpu = row.pop("us") or 0, row.pop("cpu_us") or 0
        row.pop("per_s")
        row |= {"ms": us / 1000, "mib_s": size / 2**20 / us * 1e6, "cpu_ms": cpu / 1000}
        row["cpu_by_pycurl"] = cpu / curl if curl else None
    return rows


if __name__ == "__main__":
    program.main(ask, Effort(5, 1), about=__doc__, beside=BESIDE)
