"""A file of 256 MiB sent as the body of a POST, by keeppool and by other clients.

The file is a hole, so that no disk is read. The server throws the body away. In each round every client makes the same
number of requests, in a shuffled order; the ratios are medians of each round's own. The peak is that of a process of
its own which uploads once. primp, which takes the whole body in memory, is left out.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import program
from benchmarks.clients import open_installed
from benchmarks.download import PEERS, PIECE, streamed
from benchmarks.measure import compared, in_turns
from benchmarks.nginx_server import LARGE
from benchmarks.program import Effort, Rows
from benchmarks.resident import peak_mib
from benchmarks.sink import sink

BESIDE = ("urllib3", "requests", "httpx", "pycurl", "pyreqwest")

#: Uploads the file once; gives the answer's body.
Send = Callable[[], bytes]


@contextlib.contextmanager
def keeppool_session(url: str, path: str) -> Iterator[Send]:
    """Give a session the open file."""
    import keeppool

    with keeppool.Session() as session:
        yield lambda: with_file(path, lambda file: session.post(url, data=file).content)


@contextlib.contextmanager
def pycurl_handle(url: str, path: str) -> Iterator[Send]:
    """Let libcurl read the file by Python's `read`."""
    import io

    import pycurl

    handle = pycurl.Curl()
    handle.setopt(pycurl.URL, url)
    handle.setopt(pycurl.POST, 1)
    handle.setopt(pycurl.POSTFIELDSIZE_LARGE, LARGE)
    handle.setopt(pycurl.UPLOAD_BUFFERSIZE, PIECE)
    handle.setopt(pycurl.HTTPHEADER, ["Expect:"])

    def perform(file: io.BufferedReader) -> bytes:
        answer = io.BytesIO()
        handle.setopt(pycurl.READFUNCTION, file.read)
        handle.setopt(pycurl.WRITEDATA, answer)
        handle.perform()
        return answer.getvalue()

    with contextlib.closing(handle):
        yield lambda: with_file(path, perform)


@contextlib.contextmanager
def http_client(url: str, path: str) -> Iterator[Send]:
    """Give the standard library's connection the open file."""
    parts = urlsplit(url)

    def post(file: object) -> bytes:
        connection.request("POST", parts.path, file, {"Content-Length": str(LARGE)})  # type: ignore[arg-type]
        return connection.getresponse().read()

    with contextlib.closing(http.client.HTTPConnection(parts.netloc, blocksize=PIECE)) as connection:
        yield lambda: with_file(path, post)


@contextlib.contextmanager
def urllib3_pool(url: str, path: str) -> Iterator[Send]:
    """Give urllib3's pool the open file and its length."""
    import urllib3

    length = {"Content-Length": str(LARGE)}
    with urllib3.PoolManager() as pool:
        yield lambda: with_file(path, lambda file: pool.request("POST", url, body=file, headers=length).data)


@contextlib.contextmanager
def requests_session(url: str, path: str) -> Iterator[Send]:
    """Give requests the open file."""
    import requests

    with requests.Session() as session:
        yield lambda: with_file(path, lambda file: session.post(url, data=file).content)


@contextlib.contextmanager
def httpx_client(url: str, path: str) -> Iterator[Send]:
    """Give httpx the open file."""
    import httpx

    with httpx.Client() as client:
        yield lambda: with_file(path, lambda file: client.post(url, content=file).content)


@contextlib.contextmanager
def pyreqwest_client(url: str, path: str) -> Iterator[Send]:
    """Give pyreqwest the file's pieces."""
    from pyreqwest.client import SyncClientBuilder

    def post(file: Any) -> bytes:
        pieces = iter(functools.partial(file.read, PIECE), b"")
        request = client.post(url).header("Content-Length", str(LARGE)).body_stream(pieces)
        return bytes(request.build().send().bytes())

    with SyncClientBuilder().http1_only().build() as client:
        yield lambda: with_file(path, post)


def with_file(path: str, post: Callable[[Any], bytes]) -> bytes:
    """Open the file for one upload."""
    with Path(path).open("rb") as file:
        return post(file)


CLIENTS: Mapping[str, Callable[[str, str], AbstractContextManager[Send]]] = {
    "pycurl": pycurl_handle,
    "keeppool.Session": keeppool_session,
    "pyreqwest": pyreqwest_client,
    "http.client": http_client,
    "urllib3": urllib3_pool,
    "httpx": httpx_client,
    "requests": requests_session,
}


def alone(name: str, url: str, path: str) -> None:
    """Upload once with one client, and see that the server has read it."""
    with CLIENTS[name](url, path) as send:
        if send() != b"ok":
            raise SystemExit(f"{name} did not send what it was given")


def ask(effort: Effort) -> Rows:
    """Measure every client that is installed."""
    with sink() as url, tempfile.NamedTemporaryFile(prefix="keeppool-") as file, contextlib.ExitStack() as stack:
        file.truncate(LARGE)
        sends = open_installed(CLIENTS, stack, url, file.name)
        peaks = {name: peak_mib("benchmarks.upload", name, url, file.name) for name in sends}
        costs = in_turns(sends, rounds=effort.rounds, each=effort.requests)
    rows = compared(costs, PEERS)
    return {name: streamed(row) | {"peak_mib": peaks[name]} for name, row in rows.items()}


if __name__ == "__main__":
    program.main(ask, Effort(15, 1), about=__doc__, beside=BESIDE)
