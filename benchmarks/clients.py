"""The clients that are compared, each opened as its users would.

A client's own defaults hold, except where a question has wishes. `SESSIONS` have methods for any URL; `CLIENTS` are all
that can fetch one URL over and over, those by hand among them.

Knows: the clients' public interfaces. Does not know: what is measured.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import io
import json
import socket
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

Answer = TypeVar("Answer")

#: Fetches what is asked, once; gives the answer's body.
Fetch = Callable[[], bytes]

#: Requests before the first round: caches fill, and the interpreter specialises what is hot.
WARM_UP = 200


class Wishes(NamedTuple):
    """What a question asks of every client beyond its defaults.

    Attributes:
        roots: A file with the certificates to trust.
        per_host: Connections that may be kept for one host; 0 leaves it to the client.
        total: Connections that may be kept in all; 0 leaves it to the client.
        gzip: Ask for gzip and decode it. Most clients do so anyhow.
    """

    roots: str = ""
    per_host: int = 0
    total: int = 0
    gzip: bool = False


class Session(NamedTuple):
    """What a client does with any URL: fetch it, or send it JSON and parse the JSON that comes back."""

    get: Callable[[str], bytes]
    post: Callable[[str, object], Any]


Opener = Callable[[Wishes], AbstractContextManager[Session]]

PLAIN = Wishes()
JSON_FIELD = {"Content-Type": "application/json"}


@contextlib.contextmanager
def open_keeppool(wishes: Wishes = PLAIN) -> Iterator[Session]:
    """Open a session, as most programs do."""
    import keeppool

    with keeppool.Session(_limits(wishes)) as session:
        if wishes.roots:
            session.verify = wishes.roots
        yield _like_requests(session)


@contextlib.contextmanager
def open_keeppool_pool(wishes: Wishes = PLAIN) -> Iterator[Session]:
    """Open the pool alone: no cookies, no redirects."""
    import keeppool

    defaults = keeppool.HostConfig(verify=wishes.roots) if wishes.roots else None
    with keeppool.PoolManager(_limits(wishes), defaults=defaults) as pool:

        def post(url: str, data: object) -> Any:
            return pool.request("POST", url, headers=JSON_FIELD, body=json.dumps(data).encode()).json()

        yield Session(lambda url: pool.request("GET", url).data, post)


def _limits(wishes: Wishes) -> Any:
    from keeppool import Limits

    usual = Limits()
    return Limits(per_host=wishes.per_host or usual.per_host, total=wishes.total or usual.total)


@contextlib.contextmanager
def open_pycurl(wishes: Wishes = PLAIN) -> Iterator[Session]:
    """Use libcurl by pycurl, one handle for all requests."""
    import pycurl

    handle = pycurl.Curl()

    def perform(url: str) -> bytes:
        body = io.BytesIO()
        handle.setopt(pycurl.URL, url)
        handle.setopt(pycurl.WRITEDATA, body)
        handle.perform()
        return body.getvalue()

    def post(url: str, data: object) -> Any:
        handle.setopt(pycurl.HTTPHEADER, ["Content-Type: application/json"])
        handle.setopt(pycurl.POSTFIELDS, json.dumps(data))
        return json.loads(perform(url))

    for option, value in ("CAINFO", wishes.roots), ("MAXCONNECTS", wishes.total), ("ENCODING", "gzip" * wishes.gzip):
        if value:
            handle.setopt(getattr(pycurl, option), value)
    with contextlib.closing(handle):
        yield Session(perform, post)


@contextlib.contextmanager
def open_urllib3(wishes: Wishes = PLAIN) -> Iterator[Session]:
    """Open urllib3's pool."""
    import urllib3

    options: dict[str, Any] = {"ca_certs": wishes.roots} if wishes.roots else {}
    if wishes.per_host:
        options |= {"maxsize": wishes.per_host, "block": True}
    if wishes.gzip:
        options["headers"] = {"Accept-Encoding": "gzip"}
    with urllib3.PoolManager(wishes.total or 10, **options) as pool:
        yield Session(
            lambda url: pool.request("GET", url).data,
            lambda url, data: pool.request("POST", url, json=data).json(),
        )


@contextlib.contextmanager
def open_requests(wishes: Wishes = PLAIN) -> Iterator[Session]:
    """Open a session of requests, which stands on urllib3's pool."""
    import requests
    from requests.adapters import HTTPAdapter

    with requests.Session() as session:
        session.verify = wishes.roots or True
        if wishes.per_host or wishes.total:
            session.mount("http://", HTTPAdapter(wishes.total or 10, wishes.per_host or 10, pool_block=True))
        yield _like_requests(session)


@contextlib.contextmanager
def open_httpx(wishes: Wishes = PLAIN) -> Iterator[Session]:
    """Open a client of httpx, which stands on httpcore's pool."""
    import httpx

    options: dict[str, Any] = {}
    if wishes.roots:
        options["verify"] = ssl.create_default_context(cafile=wishes.roots)
    if capped := wishes.total or wishes.per_host:
        options["limits"] = httpx.Limits(max_connections=capped, max_keepalive_connections=capped)
    with httpx.Client(**options) as client:
        yield _like_requests(client)


@contextlib.contextmanager
def open_primp(wishes: Wishes = PLAIN) -> Iterator[Session]:
    """Open a client of primp, which is written in Rust."""
    import primp

    options: dict[str, Any] = {"ca_cert_file": wishes.roots} if wishes.roots else {}
    with primp.Client(**options) as client:
        yield _like_requests(client)


@contextlib.contextmanager
def open_pyreqwest(wishes: Wishes = PLAIN) -> Iterator[Session]:
    """Open a client of pyreqwest, which stands on Rust's reqwest."""
    from pyreqwest.client import SyncClientBuilder

    builder = SyncClientBuilder().http1_only()
    if wishes.roots:
        builder = builder.add_root_certificate_pem(Path(wishes.roots).read_bytes())
    if wishes.per_host:
        builder = builder.max_connections(wishes.per_host)
    with builder.build() as client:
        yield Session(
            lambda url: bytes(client.get(url).build().send().bytes()),
            lambda url, data: client.post(url).body_json(data).build().send().json(),
        )


def _like_requests(client: Any) -> Session:
    return Session(
        lambda url: client.get(url).content,
        lambda url, data: client.post(url, json=data).json(),
    )


SESSIONS: Mapping[str, Opener] = {
    "pycurl (one handle)": open_pycurl,
    "keeppool.PoolManager": open_keeppool_pool,
    "keeppool.Session": open_keeppool,
    "pyreqwest": open_pyreqwest,
    "primp": open_primp,
    "urllib3": open_urllib3,
    "httpx": open_httpx,
    "requests": open_requests,
}


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


def answer_at(url: str, request: bytes) -> tuple[int, int]:
    """Ask once; give where the answer's body starts and ends. nginx's further answers have the same length."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 80)) as sock:
        sock.sendall(request)
        return _first_answer(sock)


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
def http_client(url: str) -> Iterator[Fetch]:
    """Use the standard library's connection by hand."""
    parts = urlsplit(url)

    def fetch() -> bytes:
        connection.request("GET", parts.path)
        return connection.getresponse().read()

    with contextlib.closing(http.client.HTTPConnection(parts.netloc)) as connection:
        yield fetch


@contextlib.contextmanager
def pycurl_handle(url: str) -> Iterator[Fetch]:
    """Use libcurl by pycurl, with a handle that is told its URL once."""
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


def fetching(opener: Opener, wishes: Wishes = PLAIN) -> Callable[[str], AbstractContextManager[Fetch]]:
    """Make of a session a client for one URL."""

    @contextlib.contextmanager
    def client(url: str) -> Iterator[Fetch]:
        with opener(wishes) as session:
            yield functools.partial(session.get, url)

    return client


urllib3_pool = fetching(open_urllib3)
requests_session = fetching(open_requests)

CLIENTS: Mapping[str, Callable[[str], AbstractContextManager[Fetch]]] = {
    "bare socket loop": bare_socket,
    "http.client": http_client,
    **{name: fetching(opener) for name, opener in SESSIONS.items()},
    "pycurl (one handle)": pycurl_handle,
}
#: What every client's time is compared with: the least there is.
FLOOR = "bare socket loop"


def open_installed(
    clients: Mapping[str, Callable[..., AbstractContextManager[Any]]], stack: contextlib.ExitStack, *arguments: object
) -> dict[str, Any]:
    """Open every client that is installed; a line on standard error names each that is not."""
    opened = {}
    for name, client in clients.items():
        try:
            opened[name] = stack.enter_context(client(*arguments))
        except ImportError as error:
            print(f"left out: {name} ({error})", file=sys.stderr)
    return opened


def checked(calls: Mapping[str, Callable[[], Answer]], expected: Answer) -> Mapping[str, Callable[[], Answer]]:
    """Warm up, and see that every client gives what it is asked for.

    Raises:
        SystemExit: One does not.
    """
    for name, call in calls.items():
        for _ in range(WARM_UP):
            if call() != expected:
                raise SystemExit(f"{name} did not fetch what nginx serves")
    return calls
