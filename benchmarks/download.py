"""A body of 256 MiB from nginx, handed out in pieces of 64 KiB, by keeppool and by other clients.

In each round every client makes the same number of requests, in a shuffled order; the ratios are medians of each
round's own. The peak is that of a process of its own which downloads once: Python, the client's modules, the pieces.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import program
from benchmarks.clients import FLOOR, open_installed
from benchmarks.measure import compared, in_turns
from benchmarks.nginx_server import LARGE, sites
from benchmarks.program import Effort, Rows
from benchmarks.resident import peak_mib

BESIDE = ("urllib3", "requests", "httpx", "pycurl", "pyreqwest", "primp")
PIECE = 65536
PEERS = {"floor": FLOOR, "pycurl": "pycurl", "urllib3": "urllib3", "requests": "requests"}

#: Downloads once; gives the number of bytes that came.
Drain = Callable[[], int]


@contextlib.contextmanager
def bare_socket(url: str) -> Iterator[Drain]:
    """Do the least there is: receive as many bytes as an answer has, each piece an object of its own."""
    parts = urlsplit(url)
    request = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: */*\r\n\r\n".encode()

    def drain() -> int:
        sock.sendall(request)
        piece = sock.recv(PIECE)
        came = len(piece) - piece.index(b"\r\n\r\n") - 4
        while came < LARGE:
            came += len(sock.recv(PIECE))
        return came

    with socket.create_connection((parts.hostname or "", parts.port or 80)) as sock:
        yield drain


@contextlib.contextmanager
def keeppool_session(url: str) -> Iterator[Drain]:
    """Use a session's `iter_content`."""
    import keeppool

    def drain() -> int:
        with session.get(url, stream=True) as response:
            return sum(len(piece) for piece in response.iter_content(PIECE))

    with keeppool.Session() as session:
        yield drain


@contextlib.contextmanager
def keeppool_pool(url: str) -> Iterator[Drain]:
    """Use the pool's `stream`."""
    import keeppool

    def drain() -> int:
        with pool.request("GET", url, stream=True) as response:
            return sum(len(piece) for piece in response.stream(PIECE))

    with keeppool.PoolManager() as pool:
        yield drain


@contextlib.contextmanager
def pycurl_handle(url: str) -> Iterator[Drain]:
    """Use libcurl's write function, with a buffer of the same size as the others' pieces."""
    import pycurl

    handle = pycurl.Curl()
    handle.setopt(pycurl.URL, url)
    handle.setopt(pycurl.BUFFERSIZE, PIECE)

    def drain() -> int:
        came = 0

        def write(piece: bytes) -> None:
            nonlocal came
            came += len(piece)

        handle.setopt(pycurl.WRITEFUNCTION, write)
        handle.perform()
        return came

    with contextlib.closing(handle):
        yield drain


@contextlib.contextmanager
def http_client(url: str) -> Iterator[Drain]:
    """Use the standard library's connection by hand."""
    parts = urlsplit(url)

    def drain() -> int:
        connection.request("GET", parts.path)
        response = connection.getresponse()
        return sum(len(piece) for piece in iter(lambda: response.read(PIECE), b""))

    with contextlib.closing(http.client.HTTPConnection(parts.netloc)) as connection:
        yield drain


@contextlib.contextmanager
def urllib3_pool(url: str) -> Iterator[Drain]:
    """Use urllib3's `stream`."""
    import urllib3

    def drain() -> int:
        response = pool.request("GET", url, preload_content=False)
        came = sum(len(piece) for piece in response.stream(PIECE))
        response.release_conn()
        return came

    with urllib3.PoolManager() as pool:
        yield drain


@contextlib.contextmanager
def requests_session(url: str) -> Iterator[Drain]:
    """Use requests' `iter_content`."""
    import requests

    def drain() -> int:
        with session.get(url, stream=True) as response:
            return sum(len(piece) for piece in response.iter_content(PIECE))

    with requests.Session() as session:
        yield drain


@contextlib.contextmanager
def httpx_client(url: str) -> Iterator[Drain]:
    """Use httpx' `iter_bytes`."""
    import httpx

    def drain() -> int:
        with client.stream("GET", url) as response:
            return sum(len(piece) for piece in response.iter_bytes(PIECE))

    with httpx.Client() as client:
        yield drain


@contextlib.contextmanager
def primp_client(url: str) -> Iterator[Drain]:
    """Use primp's `iter_bytes`, which chooses the pieces' size itself."""
    import primp

    def drain() -> int:
        return sum(len(piece) for piece in client.get(url, stream=True).iter_bytes())

    with primp.Client() as client:
        yield drain


@contextlib.contextmanager
def pyreqwest_client(url: str) -> Iterator[Drain]:
    """Use pyreqwest's body reader."""
    from pyreqwest.client import SyncClientBuilder

    def drain() -> int:
        with client.get(url).build_streamed() as response:
            read = response.body_reader.read
            return sum(len(piece) for piece in iter(lambda: read(PIECE) or b"", b""))

    with SyncClientBuilder().http1_only().build() as client:
        yield drain


CLIENTS: Mapping[str, Callable[[str], AbstractContextManager[Drain]]] = {
    FLOOR: bare_socket,
    "pycurl": pycurl_handle,
    "keeppool.PoolManager": keeppool_pool,
    "keeppool.Session": keeppool_session,
    "pyreqwest": pyreqwest_client,
    "primp": primp_client,
    "http.client": http_client,
    "urllib3": urllib3_pool,
    "httpx": httpx_client,
    "requests": requests_session,
}


def alone(name: str, url: str) -> None:
    """Download once with one client, and check that all of it came."""
    with CLIENTS[name](url) as drain:
        if drain() != LARGE:
            raise SystemExit(f"{name} did not fetch what nginx serves")


def ask(effort: Effort) -> Rows:
    """Measure every client that is installed."""
    with sites() as [site], contextlib.ExitStack() as stack:
        url = f"{site}/256m.bin"
        drains = open_installed(CLIENTS, stack, url)
        peaks = {name: peak_mib("benchmarks.download", name, url) for name in drains}
        costs = in_turns(drains, rounds=effort.rounds, each=effort.requests)
    rows = compared(costs, PEERS)
    return {name: streamed(row) | {"peak_mib": peaks[name]} for name, row in rows.items()}


def streamed(row: dict[str, float | None]) -> dict[str, float | None]:
    """Put the figures of a large body in the units in which one thinks of it."""
    us, cpu = row.pop("us") or 0, row.pop("cpu_us") or 0
    row.pop("per_s")
    return {"ms": us / 1000, "mib_s": LARGE / 2**20 / us * 1e6, **row, "cpu_ms": cpu / 1000}


if __name__ == "__main__":
    program.main(ask, Effort(15, 1), about=__doc__, beside=BESIDE)
