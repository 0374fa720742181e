"""One keep-alive GET, by each client that is compared.

Each function opens a client as its users would, and gives a call that fetches the URL once and returns its body. A
client's own defaults hold, with one exception: `sequential.py` removes proxy variables from the environment.

Knows: the clients' public interfaces. Does not know: what is measured.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from urllib.parse import urlsplit

Fetch = Callable[[], bytes]


@contextlib.contextmanager
def bare_socket(url: str) -> Iterator[Fetch]:
    """Do the least there is: send, and read as many bytes as the first answer had. No parsing, no checks."""
    parts = urlsplit(url)
    request = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: */*\r\n\r\n".encode()
    with socket.create_connection((parts.hostname or "", parts.port or 80)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(request)
        start, size = _first_answer(sock)

        def fetch() -> bytes:
            sock.sendall(request)
            answer = sock.recv(65536)
            while len(answer) < size:
                answer += sock.recv(65536)
            return answer[start:]

        yield fetch


def _first_answer(sock: socket.socket) -> tuple[int, int]:
    """Read one answer; give where its body starts and ends. nginx's further answers have the same length."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += sock.recv(65536)
    head, _, _ = answer.partition(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    start = len(head) + 4
    size = start + int(length.partition(b":")[2])
    while len(answer) < size:
        answer += sock.recv(65536)
    return start, size


@contextlib.contextmanager
def keeppool_session(url: str) -> Iterator[Fetch]:
    """Open a session, as most programs do."""
    import keeppool

    with keeppool.Session() as session:
        yield lambda: session.get(url).content


@contextlib.contextmanager
def keeppool_pool(url: str) -> Iterator[Fetch]:
    """Open the pool alone: no cookies, no redirects."""
    import keeppool

    with keeppool.PoolManager() as pool:
        yield lambda: pool.request("GET", url).data


@contextlib.contextmanager
def pycurl_handle(url: str) -> Iterator[Fetch]:
    """Use libcurl by pycurl, one handle for all requests."""
    import pycurl

    handle = pycurl.Curl()
    handle.setopt(pycurl.URL, url)

    def fetch() -> bytes:
        body = io.BytesIO()
        handle.setopt(pycurl.WRITEDATA, body)
        handle.perform()
        return body.getvalue()

    with contextlib.closing(handle):
        yield fetch


@contextlib.contextmanager
def http_client(url: str) -> Iterator[Fetch]:
    """Use the standard library's connection by hand."""
    parts = urlsplit(url)

    def fetch() -> bytes:
        connection.request("GET", parts.path)
        return connection.getresponse().read()

    with contextlib.closing(http.client.HTTPConnection(parts.netloc)) as connection:
        yield fetch


@contextlib.contextmanager
def urllib3_pool(url: str) -> Iterator[Fetch]:
    """Open urllib3's pool."""
    import urllib3

    with urllib3.PoolManager() as pool:
        yield lambda: pool.request("GET", url).data


@contextlib.contextmanager
def requests_session(url: str) -> Iterator[Fetch]:
    """Open a session of requests, which stands on urllib3's pool."""
    import requests

    with requests.Session() as session:
        yield lambda: session.get(url).content


@contextlib.contextmanager
def httpx_client(url: str) -> Iterator[Fetch]:
    """Open a client of httpx, which stands on httpcore's pool."""
    import httpx

    with httpx.Client() as client:
        yield lambda: client.get(url).content


CLIENTS: Mapping[str, Callable[[str], AbstractContextManager[Fetch]]] = {
    "bare socket loop": bare_socket,
    "pycurl (one handle)": pycurl_handle,
    "keeppool.PoolManager": keeppool_pool,
    "keeppool.Session": keeppool_session,
    "http.client": http_client,
    "urllib3": urllib3_pool,
    "httpx": httpx_client,
    "requests": requests_session,
}
#: What the ratios are taken against.
FLOOR = "bare socket loop"
PEER = "urllib3"
