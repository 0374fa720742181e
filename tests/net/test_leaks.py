"""No failure leaves a socket behind."""

from __future__ import annotations

import socket
import ssl

import pytest

from keeppool.core.origin import TlsIdentity
from keeppool.errors import ConfigError, ConnectError
from keeppool.net.dial import dial
from keeppool.net.tls import TlsStore

TIMES = 50


def answer(data: bytes):
    """A handler: whatever comes, `data`."""

    def handle(conn: socket.socket) -> None:
        conn.recv(65536)
        conn.sendall(data)

    return handle


def answer_within(conn: socket.socket, context: ssl.SSLContext, data: bytes) -> None:
    """Speak TLS; answer the first two messages with `data`."""
    with context.wrap_socket(conn, server_side=True) as secured:
        for _ in range(2):
            if secured.recv(65536):
                secured.sendall(data)


class World:
    """What the cases below are made of."""

    def __init__(self, origin, proxy, serve, speak_tls, closed_port, black_hole, ca_file, context) -> None:
        self._context = context
        self.closed_port, self.black_hole_port = closed_port, black_hole[1]
        self.trusting = TlsIdentity(verify=ca_file)
        self._origin, self._proxy, self._serve, self._speak_tls = origin, proxy, serve, speak_tls

    def plain(self, port: int, timeout: float = 20, **more):
        """Nobody to wait for."""
        return self._origin(port, **more), timeout, None

    def tls(self, handle=None, timeout: float = 20, **identity):
        """A TLS server, or what `handle` does instead."""
        server = self._serve(handle or self._speak_tls)
        chosen = TlsIdentity(**identity) if identity else self.trusting
        return self._origin(server, scheme="https", tls=chosen), timeout, server

    def tunnel(self, handle=None, by: str = "http", tls: TlsIdentity | None = None):
        server = self._serve(handle or self._speak_tls)
        through = self._proxy(server, by)
        return self._origin(443, scheme="https", host="a.example", proxy=through, tls=tls), 20, server

    def within(self, data: bytes):
        """A proxy that speaks TLS and gives `data` for CONNECT and for whatever follows."""
        return self.tunnel(lambda conn: answer_within(conn, self._context, data), "https", self.trusting)


def listen(conn: socket.socket) -> None:
    """Say nothing until the client leaves."""
    while conn.recv(65536):
        pass


@pytest.fixture
def world(origin, proxy, serve, speak_tls, closed_port, black_hole, ca_file, server_context) -> World:
    return World(origin, proxy, serve, speak_tls, closed_port, black_hole, ca_file, server_context)


CASES = {
    "refused": lambda world: world.plain(world.closed_port),
    "no such name": lambda world: world.plain(80, host="a..invalid"),
    "source address of somebody else": lambda world: world.plain(80, source_address="192.0.2.1"),
    "silent address": lambda world: world.plain(world.black_hole_port, timeout=0.01),
    "silent TLS": lambda world: world.tls(listen, timeout=0.05),
    "not TLS": lambda world: world.tls(answer(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
    "untrusted": lambda world: world.tls(verify=True),
    "wrong fingerprint": lambda world: world.tls(verify=False, fingerprint="ab" * 32),
    "impossible name": lambda world: world.tls(verify=False, server_hostname="a" * 64 + ".example"),
    "no tunnel": lambda world: world.tunnel(answer(b"HTTP/1.1 407 No\r\n\r\n")),
    "closed tunnel": lambda world: world.tunnel(answer(b"HTTP/1.1 2")),
    "a proxy that speaks TLS": lambda world: world.tunnel(),
    "an https proxy nobody vouches for": lambda world: world.tunnel(by="https"),
    "no tunnel within TLS": lambda world: world.within(b"HTTP/1.1 407 No\r\n\r\n"),
    "no TLS within TLS": lambda world: world.within(b"HTTP/1.1 200 OK\r\n\r\n"),
    "no SOCKS": lambda world: world.tunnel(answer(b"HTTP/1.1 400 No\r\n\r\n"), by="socks5h"),
    "refused by SOCKS": lambda world: world.tunnel(answer(b"\0\x5b" + bytes(6)), by="socks4a"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_fifty_failures_leave_no_descriptor(world, case, open_files) -> None:
    store = TlsStore()
    wanted, timeout, server = case(world)

    def fail() -> ConnectError:
        with pytest.raises(ConnectError) as caught:
            dial(wanted, seconds=timeout, tls=store)
        if server is not None:
            server.seen()
        return caught.value

    kept = [fail()]  # The first builds contexts and imports; errors are kept, so that no collector helps.
    before = open_files()
    kept += [fail() for _ in range(TIMES)]
    assert len(kept) == TIMES + 1
    assert open_files() == before


def test_configuration_errors_open_nothing(origin, open_files) -> None:
    before = open_files()
    for _ in range(TIMES):
        with pytest.raises(ConfigError):
            dial(origin(443, scheme="https", tls=TlsIdentity(verify="/nowhere")), seconds=20, tls=TlsStore())
    assert open_files() == before
