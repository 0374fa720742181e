"""One connection of an embedded site, as an asyncio protocol.

Decides: when to answer, when and how to end. Knows: bytes in, bytes out, the loop's timers.
Does not know: what to answer, which its `Server` is asked, nor what the fields of a response say (`Behaviour`).
Source: RFC 9112 §9.3 (persistence), §9.3.2 (pipelining: answers in order), §9.6 (closing in stages).
"""

from __future__ import annotations

import asyncio
import http
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol, cast

from keeppool.net.polls import HANGUP, poller
from keeppool.testing.behaviour import Behaviour
from keeppool.testing.messages import Answer, Head, MalformedRequest, Request, RequestReader

#: Seconds a site goes on reading after a stated end. Apache httpd's lingering close waits 2 s for each piece too.
LINGER_S = 2.0

_PHRASES = {status.value: status.phrase for status in http.HTTPStatus}
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Server(Protocol):
    """What a connection asks of the server that accepted it, and tells it."""

    @property
    def behaviour(self) -> Behaviour:
        """How the server behaves now."""

    @property
    def is_impatient(self) -> bool:
        """True if it closes connections that are idle for long."""

    def answer_to(self, request: Request) -> Answer:
        """Find the response to a request."""

    def holds(self, connection: Connection, request: Request, answer: Answer) -> bool:
        """Keep a response back for later; tell whether it did."""

    def forget(self, connection: Connection) -> None:
        """Drop a connection that is closed."""

    def note_opened(self) -> int:
        """Count a new connection; give its number."""

    def note_closed(self) -> None:
        """Count a connection as closed."""

    def note_request(self, request: Request) -> None:
        """Count a request that is going to be carried out."""

    def note_late(self) -> None:
        """Count a request that came after the stated end."""

    def note_malformed(self) -> None:
        """Count a connection on which something else than HTTP came."""


class Connection(asyncio.Protocol):
    """The server's end of one connection. Everything happens on the loop's thread."""

    __slots__ = (
        "_accepted_at",
        "_busy",
        "_counted",
        "_ended",
        "_idle_since",
        "_loop",
        "_on_the_way",
        "_reader",
        "_server",
        "_socket",
        "_timer",
        "_transport",
        "_watcher",
        "answered",
        "number",
    )

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop, accepted: socket.socket) -> None:
        self._server = server
        self._loop = loop
        self._socket = accepted
        self._reader = RequestReader()
        self._transport: asyncio.Transport | None = None
        #: The next thing to send (a delayed answer or piece); the next look at idleness, or the end of lingering.
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.TimerHandle | None = None
        self._busy = False
        self._ended = False
        self._counted = True
        self._idle_since = 0.0
        self._accepted_at = loop.time()
        #: What a client that is far away has sent, in the order of its arrival.
        self._on_the_way: deque[bytes] = deque()
        self.answered = 0
        self.number = server.note_opened()

    @property
    def is_idle(self) -> bool:
        """True between two requests, and before the first."""
        return self._transport is not None and not self._busy and self._reader.is_between

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is ready, TLS included."""
        self._transport = cast("asyncio.Transport", transport)
        self._rest()

    def connection_lost(self, _: Exception | None) -> None:
        """The connection is closed, whoever closed it."""
        self._transport = None
        self._on_the_way.clear()
        for timer in (self._timer, self._watcher):
            if timer is not None:
                timer.cancel()
        self._server.forget(self)
        self.uncount()

    def eof_received(self) -> bool:
        """The client closed its sending side; HTTP clients do that only when they are gone, so close."""
        return False

    def uncount(self) -> None:
        """Take the connection out of the open ones, once."""
        if self._counted:
            self._counted = False
            self._server.note_closed()

    def uncount_if_gone(self) -> None:
        """Do so if the client has closed it and the loop has not come to read that yet."""
        if self._counted and (number := self._socket.fileno()) >= 0:
            poll = poller()
            poll.register(number, HANGUP)
            if poll.poll(0):
                self.uncount()

    def data_received(self, data: bytes) -> None:
        """Bytes of a request, or of several."""
        away = self._server.behaviour.round_trip_s
        if away or self._on_the_way:
            self._on_the_way.append(data)
            # A client that far away could not have sent anything before the handshake had come back to it.
            sent = max(self._loop.time(), self._accepted_at + away)
            self._loop.call_at(sent + away, self._arrive)
        else:
            self._receive(data)

    def _arrive(self) -> None:
        """Take what was sent first, whichever timer comes first: their times may be the same."""
        if self._on_the_way:
            self._receive(self._on_the_way.popleft())

    def _receive(self, data: bytes) -> None:
        self._reader.feed(data)
        self._advance()

    def close(self) -> None:
        """Close without a word, after what is already written."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close now; what is not sent yet is dropped."""
        if self._transport is not None:
            self._transport.abort()

    def reset(self) -> None:
        """Close with a TCP RST: the client's next read or write fails with ECONNRESET."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()

    def _advance(self) -> None:
        """Carry out the requests that are there, one after the other."""
        while self._transport is not None and not self._busy and not self._transport.is_closing():
            try:
                taken = self._reader.take()
            except MalformedRequest:
                self._refuse()
                return
            if taken is None:
                self._encourage()
                return
            if self._ended:
                self._server.note_late()
            else:
                self._execute(*taken)

    def _encourage(self) -> None:
        if self._transport is not None and not self._ended and self._reader.wants_continue():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _refuse(self) -> None:
        self._server.note_malformed()
        if self._transport is not None and not self._ended:
            self._transport.write(_BAD_REQUEST)
        self.close()

    def _execute(self, head: Head, body: bytes) -> None:
        self._busy = True
        request = Request(*head, body, self.number, self.answered + 1, time.monotonic())
        self._server.note_request(request)
        answer = self._server.answer_to(request)
        delay = answer.delay_s + self._server.behaviour.delay_s
        if delay:
            self._later(delay, request, answer)
        else:
            self._answer(request, answer)

    def _later(self, delay: float, request: Request, answer: Answer) -> None:
        self._timer = self._loop.call_later(delay, self.answer_now, request, answer)

    def answer_now(self, request: Request, answer: Answer) -> None:
        """Give a response that was delayed or held back, then go on with what arrived meanwhile."""
        self._answer(request, answer)
        self._advance()

    def _answer(self, request: Request, answer: Answer) -> None:
        if self._server.holds(self, request, answer) or self._transport is None:
            return
        if answer.hang_up:
            self._transport.abort()
            return
        ends, written = self._render(request, answer)
        self._transport.write(next(written))
        self._write_rest(written, answer.pause_s, ends)

    def _write_rest(self, written: Iterator[bytes], pause_s: float, ends: bool) -> None:
        if self._transport is None:
            return
        for piece in written:
            self._transport.write(piece)
            if pause_s:
                self._timer = self._loop.call_later(pause_s, self._go_on, written, pause_s, ends)
                return
        self._finish(ends)

    def _go_on(self, written: Iterator[bytes], pause_s: float, ends: bool) -> None:
        self._write_rest(written, pause_s, ends)
        self._advance()

    def _finish(self, ends: bool) -> None:
        self._busy = False
        self.answered += 1
        if ends:
            self._end()
        elif self.answered == self._server.behaviour.close_after:
            self.close()
        else:
            self._rest()

    def _render(self, request: Request, answer: Answer) -> tuple[bool, Iterator[bytes]]:
        """Decide whether the response is the last, and write it: the head with the first piece, then the others."""
        behaviour = self._server.behaviour
        framing = answer.framing or behaviour.framing
        if framing == "chunked" and "1.0" in (behaviour.http_version, request.version):
            framing = "close"
        kept = behaviour.keeps(request.version, request.headers.get("connection", ""))
        ends = answer.close or not kept or framing == "close" or behaviour.is_last(self.answered + 1)
        connection = "Connection: close\r\n" if ends else behaviour.kept_fields(self.answered + 1, request.version)
        head = render_head(answer, framing, behaviour.http_version, behaviour.headers, connection)
        bodiless = request.method == "HEAD" or answer.status in (204, 304)
        return ends, iter([head]) if bodiless else render_body(head, answer, framing)

    def _end(self) -> None:
        """Close as stated: first our sending side, the rest when the client has closed or after a moment."""
        if self._transport is None:
            return
        self._ended = True
        if self._transport.can_write_eof():
            self._transport.write_eof()
            self._watch_again(LINGER_S, self.close)
        else:
            self._transport.close()

    def _rest(self) -> None:
        """Begin to be idle. One timer a connection, set again only when it fires: requests do not pay for it."""
        self._idle_since = self._loop.time()
        if self._server.is_impatient and self._watcher is None:
            self._watch()

    def _watch(self) -> None:
        limit, stated = self._idle_limit()
        if limit is None:
            return
        left = limit if self._busy else self._idle_since + limit - self._loop.time()
        if left > 0:
            self._watch_again(left, self._watch)
        elif stated:
            self._end()
        else:
            self.close()

    def _idle_limit(self) -> tuple[float | None, bool]:
        """Seconds this connection may be idle, and whether a response has stated it."""
        behaviour = self._server.behaviour
        hint = behaviour.hint_timeout if self.answered else None
        if hint is None or (behaviour.drop_idle_s is not None and behaviour.drop_idle_s < hint):
            return behaviour.drop_idle_s, False
        return float(hint), True

    def _watch_again(self, delay: float, action: Callable[[], None]) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
        self._watcher = self._loop.call_later(delay, action)


def render_head(
    answer: Answer, framing: str, version: str, extra: tuple[tuple[str, str], ...], connection: str
) -> bytes:
    """Write a response's head. No Date field: answers are the same bytes each time."""
    fields = "".join([f"{name}: {value}\r\n" for name, value in (*answer.headers, *extra)])
    if answer.status == 204:
        framed = ""
    elif framing == "length":
        framed = f"Content-Length: {sum(map(len, answer.pieces))}\r\n"
    else:
        framed = "Transfer-Encoding: chunked\r\n" if framing == "chunked" else ""
    phrase = _PHRASES.get(answer.status, "")
    return f"HTTP/{version} {answer.status} {phrase}\r\n{fields}{framed}{connection}\r\n".encode("latin-1")


def render_body(head: bytes, answer: Answer, framing: str) -> Iterator[bytes]:
    """Write head and body: in one piece where nothing asks for pauses, otherwise piece by piece."""
    pieces: list[bytes] = list(answer.pieces)
    if framing == "chunked":
        pieces = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]
        pieces.append(b"0\r\n\r\n")
    return iter([head, *pieces]) if answer.pause_s else iter([b"".join([head, *pieces])])
