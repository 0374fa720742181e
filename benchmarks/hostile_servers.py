"""Servers that end their connections in every way met in the wild, and count what clients make of it.

Knows: sockets, threads, enough HTTP to read a request with a Content-Length. Each behaviour is a function that serves
one connection. Does not know: clients.

A request carries an id in `X-Id`; the body of the right response is that id.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple, Self

#: Seconds a connection is served at the most; a client that holds on longer has its connection closed.
PATIENCE = 10.0
#: Seconds a server goes on listening after a stated end, to count late requests.
LINGER = 0.3
#: Seconds after which a silent server closes an idle connection.
IDLE = 0.1
#: The same of one that has less patience.
IMPATIENT = 0.05
#: Seconds between a stated end and the close that follows it: servers' timers are coarse, and the close has to travel.
COARSE = 0.1
TRAVEL = 0.02
#: Seconds that a request may have been on its way when the end was stated: loopback and a busy machine.
ON_ITS_WAY = 0.01
POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
LATE_408 = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Gone(Exception):
    """The client has closed, or the server gives up waiting for it."""


class Request(NamedTuple):
    """What a server needs to know of a request."""

    id: str
    method: str
    length: int
    started: bytes


class Connection:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, server: HostileServer) -> None:
        self._sock = sock
        self._server = server
        self._rest = b""
        self.answered = 0

    def head(self, seconds: float = PATIENCE) -> Request | None:
        """Read a request's head; `None` if none has begun within that many seconds.

        Raises:
            Gone: The client has closed.
        """
        self._sock.settimeout(seconds)
        data = self._rest
        while b"\r\n\r\n" not in data:
            try:
                piece = self._sock.recv(65536)
            except TimeoutError:
                return None
            if not piece:
                raise Gone
            data += piece
            self._sock.settimeout(PATIENCE)
        head, _, started = data.partition(b"\r\n\r\n")
        method, *lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self._rest = b""
        return Request(fields["x-id"], method.split()[0], int(fields.get("content-length", 0)), started)

    def request(self, seconds: float = PATIENCE) -> Request | None:
        """Read a whole request, and carry it out; as `head`."""
        request = self.head(seconds)
        if request is not None:
            left = request.length - len(request.started)
            while left > 0:
                piece = self._sock.recv(65536)
                if not piece:
                    raise Gone
                left -= len(piece)
            self._server.executed(request)
        return request

    def next(self) -> Request:
        """Read a whole request, and carry it out.

        Raises:
            Gone: The client has closed, or is silent.
        """
        request = self.request()
        if request is None:
            raise Gone
        return request

    def answer(self, request: Request, *fields: str, then: bytes = b"") -> None:
        """Answer with the request's own id."""
        self.answered += 1
        body = request.id.encode()
        head = "".join(f"{field}\r\n" for field in ("HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *fields))
        self.send(head.encode() + b"\r\n" + body + then)

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self._sock.sendall(data)

    def end(self, after: float = 0.0) -> None:
        """Close our side that long after the end was stated; count later requests, and answer none."""
        stated = time.monotonic()
        with contextlib.suppress(Gone, OSError):
            if after:
                self._listen(stated, after)
            self._sock.shutdown(socket.SHUT_WR)
            self._listen(stated, LINGER)

    def _listen(self, stated: float, seconds: float) -> None:
        while self.head(max(stated + seconds - time.monotonic(), 0.001)) is not None:
            if time.monotonic() > stated + ON_ITS_WAY:
                self._server.late()
                self.reset()
                raise Gone

    def reset(self) -> None:
        """Close with a TCP RST."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class HostileServer:
    """Serves every connection by one behaviour, in threads. A context manager.

    Attributes:
        url: Where it listens.
    """

    def __init__(self, behaviour: Callable[[Connection], None]) -> None:
        self._behaviour = behaviour
        self._lock = threading.Lock()
        self._executions: Counter[str] = Counter()
        self._late = 0
        self._threads: list[threading.Thread] = []

    @property
    def twice(self) -> int:
        """POSTs that were carried out more than once."""
        with self._lock:
            return sum(times > 1 for times in self._executions.values())

    @property
    def lateness(self) -> int:
        """Requests sent after the stated end."""
        with self._lock:
            return self._late

    def has_executed(self, name: str) -> bool:
        """Tell whether a request of this id was carried out."""
        with self._lock:
            return self._executions[name] > 0

    def executed(self, request: Request) -> None:
        """Count a POST that was carried out."""
        if request.method == "POST":
            with self._lock:
                self._executions[request.id] += 1

    def late(self) -> None:
        """Count a request after the stated end."""
        with self._lock:
            self._late += 1

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self._start(self._accept)
        return self

    def __exit__(self, *exc_info: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._start(self._serve, self._listener.accept()[0])

    def _serve(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with sock, contextlib.suppress(Gone, OSError):
            self._behaviour(Connection(sock, self))


def silent(connection: Connection, seconds: float = IDLE) -> None:
    """Close an idle connection after a tenth of a second, or as long as is said, without a word."""
    connection.answer(connection.next())
    while (request := connection.request(seconds)) is not None:
        connection.answer(request)


def impatient(connection: Connection) -> None:
    """Close an idle connection after a twentieth of a second, without a word."""
    silent(connection, IMPATIENT)


def hangs_up(connection: Connection) -> None:
    """Close right behind each answer, without a word."""
    connection.answer(connection.next())


def hinted_timeout(connection: Connection) -> None:
    """Announce a second, and keep to it."""
    request: Request | None = connection.next()
    while request is not None:
        connection.answer(request, "Connection: keep-alive", "Keep-Alive: timeout=1")
        request = connection.request(1.0)
    connection.end(COARSE)


def hinted_max_left(connection: Connection) -> None:
    """Announce how many requests are left, as Apache httpd does; the last answer does not repeat it as `close`."""
    for left in (3, 2, 1, 0):
        connection.answer(connection.next(), "Connection: keep-alive", f"Keep-Alive: timeout=5, max={left}")
    connection.end(TRAVEL)


def hinted_max_constant(connection: Connection) -> None:
    """Announce how many requests a connection carries in all, as Node does."""
    for _ in range(3):
        connection.answer(connection.next(), "Connection: keep-alive", "Keep-Alive: timeout=5, max=3")
    connection.end(TRAVEL)


def closes_on_receipt(connection: Connection) -> None:
    """Close when the third request's head is there, without carrying it out."""
    for _ in range(2):
        connection.answer(connection.next())
    connection.head()


def resets_idle(connection: Connection) -> None:
    """Reset a connection that has been idle for a tenth of a second."""
    silent(connection)
    connection.reset()


def resets_on_receipt(connection: Connection) -> None:
    """Reset when the third request's head is there."""
    closes_on_receipt(connection)
    connection.reset()


def says_408(connection: Connection) -> None:
    """Say 408 to an idle connection, and close it."""
    silent(connection)
    connection.send(LATE_408)


def poisons_at_once(connection: Connection) -> None:
    """Send another answer behind each second one, in the same piece."""
    connection.answer(connection.next())
    connection.answer(connection.next(), then=POISON)
    connection.next()


def poisons_later(seconds: float) -> Callable[[Connection], None]:
    """Send another answer that long after each second one."""

    def behaviour(connection: Connection) -> None:
        connection.answer(connection.next())
        connection.answer(connection.next())
        request = connection.request(seconds)
        if request is not None:
            connection.answer(request)  # it came first, and has its answer
        connection.send(POISON)
        connection.next()

    return behaviour


def executes_and_dies(connection: Connection) -> None:
    """Carry out the third request, and close instead of answering."""
    for _ in range(2):
        connection.answer(connection.next())
    connection.next()


def half_closes(connection: Connection) -> None:
    """Close the sending side after two answers, and listen on."""
    for _ in range(2):
        connection.answer(connection.next())
    connection.end()


def answers_early(connection: Connection) -> None:
    """Answer a large upload when its head is there, then close with bytes unread."""
    while True:
        request = connection.head()
        if request is None:
            return
        if request.length > 100_000:
            connection.answer(request)
            return
        connection.answer(request)


BEHAVIOURS: Mapping[str, Callable[[Connection], None]] = {
    "closes idle without a word": silent,
    "closes idle after 0.05 s": impatient,
    "closes behind each answer": hangs_up,
    "hint: timeout=1": hinted_timeout,
    "hint: max, what is left": hinted_max_left,
    "hint: max, the whole": hinted_max_constant,
    "closes on receipt": closes_on_receipt,
    "resets idle": resets_idle,
    "resets on receipt": resets_on_receipt,
    "408 to idle": says_408,
    "extra answer at once": poisons_at_once,
    "extra answer 5 ms later": poisons_later(0.005),
    "extra answer 50 ms later": poisons_later(0.05),
    "executes, then closes": executes_and_dies,
    "half-closes": half_closes,
    "answers early, then closes": answers_early,
}
