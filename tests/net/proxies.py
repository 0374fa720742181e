"""Real proxies on loopback that write down what they saw: `TunnelProxy` (CONNECT, also within TLS) and `SocksProxy`.

    with TunnelProxy(leads_to=("127.0.0.1", site.port)) as proxy:
        pool.request("GET", "https://a.example/", host=HostConfig(proxy=proxy.url))
        assert proxy.requests[0].target == "a.example:443"

Each connection has a thread. `leads_to` takes the place of whatever was asked for, so names need not resolve. Logs are
complete for a request as soon as its answer has come.
"""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address

#: Seconds after which a wait is given up; nothing here takes a hundredth of it.
PATIENCE = 20.0

OPENED = b"HTTP/1.1 200 Connection established\r\n\r\n"

Address = tuple[str, int]


class LoopbackProxy:
    """A listener whose connections go to `serve`, each in a thread of its own.

    Args:
        leads_to: Where every tunnel ends; `None` goes where it was asked to.
        tls: Speak TLS with the client.
        dribble: Send answers one byte at a time.

    Attributes:
        carried: What clients sent through each tunnel, in the order the tunnels were opened.
        names: The server names TLS clients asked for; `None` where one asked for none.
        certificates: The certificates TLS clients showed; `None` where one showed none.
    """

    scheme = "http"

    def __init__(
        self, *, leads_to: Address | None = None, tls: ssl.SSLContext | None = None, dribble: bool = False
    ) -> None:
        self.carried: list[bytearray] = []
        self.names: list[str | None] = []
        self.certificates: list[object] = []
        self.resumed: list[bool | None] = []
        self._leads_to = leads_to
        self._tls = tls
        self._dribble = dribble
        if tls is not None:
            tls.sni_callback = lambda _, name, __: self.names.append(name)
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    @property
    def port(self) -> int:
        return self._listener.getsockname()[1]

    @property
    def connections(self) -> int:
        """Count the connections that were accepted."""
        return len(self._threads)

    @property
    def url(self) -> str:
        return f"{self.scheme}{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    def url_for(self, user: str, scheme: str | None = None) -> str:
        """Give the URL with credentials, `user` or `user:password`, as they stand."""
        place = f"{user}@127.0.0.1:{self.port}" if user else f"127.0.0.1:{self.port}"
        return f"{scheme or self.url.partition(':')[0]}://{place}"

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join(PATIENCE)
        self._listener.close()
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def serve(self, client: socket.socket) -> None:
        raise NotImplementedError

    def answer(self, client: socket.socket, data: bytes) -> None:
        """Send what the proxy itself has to say."""
        for piece in (data[i : i + 1] for i in range(len(data))) if self._dribble else (data,):
            client.sendall(piece)

    def carry(self, client: socket.socket, asked: Address, opened: bytes) -> None:
        """Connect, say so, and pass bytes on in both directions until one side ends."""
        log = bytearray()
        self.carried.append(log)
        with socket.create_connection(self._leads_to or asked, PATIENCE) as server:
            self.answer(client, opened)
            for source, data in _pieces(client, server):
                if source is client:
                    log += data
                (server if source is client else client).sendall(data)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.settimeout(PATIENCE)
            self._open.add(client)
            self._threads.append(thread := threading.Thread(target=self._run, args=(client,)))
            thread.start()

    def _run(self, client: socket.socket) -> None:
        plain = client
        with contextlib.suppress(OSError, ValueError), plain:
            if self._tls is None:
                self.serve(client)
                return
            with self._tls.wrap_socket(client, server_side=True) as secured:
                self._open.discard(plain)
                self._open.add(secured)
                self.certificates.append(secured.getpeercert())
                self.resumed.append(secured.session_reused)
                try:
                    self.serve(secured)
                finally:
                    self._open.discard(secured)
        self._open.discard(plain)


@dataclass
class Asked:
    """A request's head, as an HTTP proxy got it."""

    method: str
    target: str
    fields: list[tuple[str, str]]

    def get(self, name: str) -> str | None:
        """Give the first field of that name."""
        return next((value for key, value in self.fields if key.lower() == name.lower()), None)

    @property
    def credentials(self) -> str | None:
        """Give `user:password`, if there are Basic credentials."""
        value = self.get("Proxy-Authorization")
        return None if value is None else base64.b64decode(value.removeprefix("Basic ")).decode()


class TunnelProxy(LoopbackProxy):
    """An HTTP proxy: opens tunnels for CONNECT, and answers any other request itself, with `ok`.

    Args:
        reply: What it says to CONNECT; unless that is a 200, it closes then.

    Attributes:
        requests: What it was asked.
    """

    def __init__(self, *, reply: bytes = OPENED, **more) -> None:
        self.requests: list[Asked] = []
        self._reply = reply
        super().__init__(**more)

    def serve(self, client: socket.socket) -> None:
        while (asked := _read_head(client)) is not None:
            self.requests.append(asked)
            if asked.method != "CONNECT":
                self.answer(client, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                continue
            if self._reply != OPENED:
                self.answer(client, self._reply)
                return
            host, _, port = asked.target.rpartition(":")
            self.carry(client, (host.strip("[]"), int(port)), OPENED)
            return


@dataclass
class SocksAsked:
    """What a SOCKS proxy was asked for, and by whom; `is_name` if it was left to resolve the host."""

    version: int
    host: str
    port: int
    is_name: bool
    user: bytes = b""
    password: bytes = field(default=b"", repr=False)


class SocksProxy(LoopbackProxy):
    """A SOCKS proxy that takes versions 4, 4A and 5.

    Args:
        code: Its reply, `None` for success: 91 to 93 in version 4, 1 to 8 in version 5.
        password: If set, version 5 clients must give it, whatever the user.
        bound: The address version 5 replies with: type byte and what follows, without the port.

    Attributes:
        requests: What it was asked.
    """

    scheme = "socks5h"

    def __init__(
        self, *, code: int | None = None, password: bytes | None = None, bound: bytes = b"\1\0\0\0\0", **more
    ) -> None:
        self.requests: list[SocksAsked] = []
        self._code = code
        self._password = password
        self._bound = bound
        super().__init__(**more)

    def serve(self, client: socket.socket) -> None:
        version = _exactly(client, 1)[0]
        asked = self._read_4(client) if version == 4 else self._read_5(client)
        if asked is None:
            return
        self.requests.append(asked)
        if version == 4:
            opened, refused = b"\0\x5a" + bytes(6), bytes([0, self._code or 0x5B]) + bytes(6)
        else:
            opened, refused = b"\5\0\0" + self._bound + b"\0\0", bytes([5, self._code or 1, 0, 1]) + bytes(6)
        if self._code is None:
            self.carry(client, (asked.host, asked.port), opened)
        else:
            self.answer(client, refused)

    def _read_4(self, client: socket.socket) -> SocksAsked:
        head = _exactly(client, 7)
        user = _until_nul(client)
        is_name = head[3:6] == b"\0\0\0" and head[6] != 0
        host = _until_nul(client).decode() if is_name else str(ip_address(head[3:7]))
        return SocksAsked(4, host, int.from_bytes(head[1:3]), is_name, user)

    def _read_5(self, client: socket.socket) -> SocksAsked | None:
        methods = _exactly(client, _exactly(client, 1)[0])
        user = password = b""
        if self._password is not None:
            if 2 not in methods:
                self.answer(client, b"\5\xff")
                return None
            self.answer(client, b"\5\2")
            user = _exactly(client, _exactly(client, 2)[1])
            password = _exactly(client, _exactly(client, 1)[0])
            self.answer(client, b"\1\0" if password == self._password else b"\1\1")
            if password != self._password:
                return None
        else:
            self.answer(client, b"\5\0")
        kind = _exactly(client, 4)[3]
        raw = _exactly(client, {1: 4, 4: 16}.get(kind) or _exactly(client, 1)[0])
        host = raw.decode() if kind == 3 else str(ip_address(raw))
        return SocksAsked(5, host, int.from_bytes(_exactly(client, 2)), kind == 3, user, password)


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise ConnectionError("the client left")
        data += piece
    return data


def _until_nul(sock: socket.socket) -> bytes:
    data = b""
    while (byte := _exactly(sock, 1)) != b"\0":
        data += byte
    return data


def _read_head(sock: socket.socket) -> Asked | None:
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte:
            return None
        data += byte
    first, *lines = data.decode("latin-1").split("\r\n")[:-2]
    method, target, _ = first.split(" ")
    return Asked(method, target, [tuple(line.split(": ", 1)) for line in lines])


def _pieces(one: socket.socket, other: socket.socket) -> Iterator[tuple[socket.socket, bytes]]:
    """Yield what either side sends until one of them ends."""
    while True:
        waiting = [sock for sock in (one, other) if isinstance(sock, ssl.SSLSocket) and sock.pending()]
        for sock in waiting or select.select([one, other], [], [], PATIENCE)[0]:
            data = sock.recv(65536)
            if not data:
                return
            yield sock, data
