"""Loopback servers for the tests of keeppool.net: each does what one test needs and reports what it saw."""

from __future__ import annotations

import contextlib
import queue
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from keeppool.core.origin import Origin, Proxy, TlsIdentity

#: Seconds after which a wait in these tests is given up; nothing here takes a hundredth of it.
PATIENCE = 20.0

Handler = Callable[[socket.socket], Any]


class Server:
    """A listener whose connections go to `handle`, one after the other; `seen()` gives what it returned or raised."""

    def __init__(self, listener: socket.socket, handle: Handler) -> None:
        self._listener = listener
        self._handle = handle
        self._seen: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def port(self) -> int:
        return self._listener.getsockname()[1]

    @property
    def host(self) -> str:
        return self._listener.getsockname()[0]

    def seen(self) -> Any:
        """Wait until one more connection was handled and closed."""
        return self._seen.get(timeout=PATIENCE)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)
        self._listener.close()
        assert not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            try:
                conn, _ = self._listener.accept()
            except OSError:
                return
            conn.settimeout(PATIENCE)
            with conn:
                try:
                    result = self._handle(conn)
                except (OSError, ValueError) as error:
                    result = error
            self._seen.put(result)


def until_end(conn: socket.socket) -> bytes:
    """Read until the client closes."""
    data = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while piece := conn.recv(65536):
            data += piece
    return data


def echo_once(conn: socket.socket) -> bytes:
    """Answer the first bytes with `hello`, then wait for the end."""
    data = conn.recv(65536)
    if data:
        conn.sendall(b"hello")
    until_end(conn)
    return data


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers: `serve(handle, host="127.0.0.1")`, or `serve(handle, path=...)` for a Unix socket."""
    with contextlib.ExitStack() as stack:

        def start(handle: Handler = echo_once, host: str = "127.0.0.1", path: Path | None = None) -> Server:
            if path is not None:
                listener = socket.socket(socket.AF_UNIX)
                listener.bind(str(path))
                listener.listen()
            else:
                family = socket.AF_INET6 if ":" in host else socket.AF_INET
                listener = socket.create_server((host, 0), family=family, backlog=128)
            server = Server(listener, handle)
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def black_hole(black_hole_socket: socket.socket) -> tuple[str, int]:
    """An address that neither accepts nor refuses."""
    return black_hole_socket.getsockname()


@pytest.fixture
def black_hole_socket() -> Iterator[socket.socket]:
    """A listener whose queue is full, and that nobody serves unless the test does."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(64):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            poller = select.poll()
            poller.register(filler, select.POLLOUT)
            if not poller.poll(20):
                break
        else:
            pytest.fail("the queue never filled")
        yield listener


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port nobody listens on, kept from everybody else by a socket that is bound and no more."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture(scope="session")
def leaf(ca: trustme.CA) -> trustme.LeafCert:
    """The servers' certificate."""
    return ca.issue_cert("localhost", "127.0.0.1", "::1", "a.example")


@pytest.fixture
def server_context(leaf: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.sni_callback = _note_name
    return context


def _note_name(conn: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
    conn.noted_name = name


class Handshake:
    """What a TLS server knew of one connection."""

    def __init__(self, conn: ssl.SSLSocket, data: bytes) -> None:
        self.data = data
        self.resumed = conn.session_reused
        self.version = conn.version()
        self.alpn = conn.selected_alpn_protocol()
        self.name = getattr(conn, "noted_name", None)
        self.client = conn.getpeercert()


@pytest.fixture
def speak_tls(server_context: ssl.SSLContext) -> Handler:
    """A handler: TLS, one answer, and the `Handshake` or the error for `seen()`."""

    def handle(conn: socket.socket) -> Handshake:
        with server_context.wrap_socket(conn, server_side=True) as secured:
            data = secured.recv(65536)
            report = Handshake(secured, data)
            if data:
                secured.sendall(b"hello")
            until_end(secured)
            # Without a goodbye OpenSSL forgets the session of a server that keeps state.
            with contextlib.suppress(OSError):
                secured.unwrap()
        return report

    return handle


@pytest.fixture
def origin() -> Callable[..., Origin]:
    """Make origins: `origin(server_or_port, scheme="http", host="127.0.0.1", **fields)`."""

    def make(server: Server | int, scheme: str = "http", host: str = "127.0.0.1", **more: Any) -> Origin:
        port = server if isinstance(server, int) else server.port
        return Origin(scheme=scheme, host=host, port=port, **more)

    return make


@pytest.fixture
def trusting(ca_file: str) -> TlsIdentity:
    """An identity that trusts the servers."""
    return TlsIdentity(verify=ca_file)


@pytest.fixture
def proxy() -> Callable[..., Proxy]:
    def make(server: Server | int, scheme: str = "http", **more: Any) -> Proxy:
        return Proxy(scheme=scheme, host="127.0.0.1", port=server if isinstance(server, int) else server.port, **more)

    return make


@pytest.fixture
def open_files() -> Callable[[], int]:
    """Count this process's file descriptors."""
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("counts descriptors in /proc")
    return lambda: sum(1 for _ in folder.iterdir())
