"""One connection asked by hand, and many of them watched while they are idle.

Decides nothing: it writes down what was answered, when something happened, and how the connection ended.
Knows: streams and the wire. Does not know: why it is done (`survey.py`), and what follows from it (`probe/habits.py`).

Source: RFC 9112 §9.5 (monitoring idle connections), §9.6 (FIN and RST), §9.8 (TLS).
"""

from __future__ import annotations

import math
import ssl

from keeppool.clock import clock
from keeppool.config import Timeout
from keeppool.core.keepalive import NO_HINT, parse_keep_alive
from keeppool.core.reuse import why_not_reusable
from keeppool.errors import (
    ExchangeError,
    ReadError,
    ReadTimeout,
    SendError,
    ServerDisconnected,
    TotalTimeout,
    TruncatedHead,
    WriteTimeout,
)
from keeppool.net.polls import READABLE, poller
from keeppool.net.stream import Stream
from keeppool.pools.request import default_fields
from keeppool.pools.routes import Located
from keeppool.pools.send import RECEIVE
from keeppool.pools.waits import has_passed, within
from keeppool.probe.habits import Hangup, IdleEnd, Reply
from keeppool.probe.pipelined import Burst
from keeppool.reasons import Why
from keeppool.wire.framing import Framing, framing_of
from keeppool.wire.head import HeadReader, ResponseHead
from keeppool.wire.message import body_reader

#: Bytes kept of what a server sends unasked: a 408's whole status line, and enough to recognise anything else.
KEPT = 100


class Line:
    """One connection: asked with GET, once or several times at once, then left idle.

    Args:
        located: Where it leads and what is asked for.
        stream: Connected; whoever opened it closes it.
        timeout: Its `read` bounds each wait, and its `total` is named when a deadline has passed.

    Attributes:
        replies: What the answers said, in order.
        hangup: How the server has ended it; `None` while it is open.
        said: The first bytes that came unasked.
    """

    __slots__ = (
        "_ahead",
        "_closes",
        "_disturbed_at",
        "_head",
        "_name",
        "_read_at",
        "_received",
        "_sent",
        "_timeout",
        "hangup",
        "replies",
        "said",
        "stream",
    )

    def __init__(self, located: Located, stream: Stream, timeout: Timeout) -> None:
        tail, self._closes = located.route.tail(default_fields())
        self._head = b"GET %b%b\r\n" % (located.target, tail)
        self._name = located.route.name
        self._timeout = timeout
        self._sent = self._received = 0
        self._ahead = b""  # what came with a response and belongs to the next one
        self._read_at = clock()
        self._disturbed_at: float | None = None
        self.stream = stream
        self.replies: list[Reply] = []
        self.hangup: Hangup | None = None
        self.said = b""

    def ask(self, deadline: float) -> Reply:
        """Send a request and read the whole response.

        Args:
            deadline: When it must be done, on `clock`.

        Raises:
            ExchangeError: It failed. The connection is of no further use.
        """
        self._sent = self._received = 0
        try:
            self._send(self._head, deadline)
            reply = self._read(deadline)
        except ExchangeError as error:
            raise self._blame(error) from error.__cause__
        self._read_at = clock()
        self.replies.append(reply)
        return reply

    def ask_together(self, count: int, patience: float, deadline: float) -> Burst:
        """Send several requests at once, each for another byte of the page, and read responses as long as they come.

        Args:
            count: How many.
            patience: Seconds for each response.
            deadline: When it must be done, on `clock`.

        Returns:
            What came. Unless all of it is whole, the connection is of no further use.
        """
        replies: list[Reply] = []
        failure = None
        self._sent = 0
        try:
            self._send(b"".join([self._head_for_byte(number) for number in range(count)]), deadline)
            while len(replies) < count and (not replies or replies[-1].why_close is None):
                until = min(deadline, clock() + patience)
                replies.append(self._read(until, is_last=len(replies) == count - 1))
        except ExchangeError as error:
            failure = error
        self._read_at = clock()
        self.replies += replies
        return Burst(asked=count, replies=tuple(replies), error=failure, is_followed=bool(self.said))

    def listen(self, at: float) -> None:
        """Take down what has happened on the idle connection; over TLS it may be nothing but a session ticket.

        Args:
            at: When it happened, or the last moment before.
        """
        try:
            data = self.stream.receive_now(RECEIVE)
        except ssl.SSLEOFError:
            data = b""
        except ConnectionResetError:
            self.hangup = Hangup.RST
        except OSError:
            self.hangup = Hangup.ERROR
        else:
            if data is None:
                return
            self.said = (self.said + data)[:KEPT]
        if self.hangup is None and not data:
            self.hangup = Hangup.FIN
        if self._disturbed_at is None:
            self._disturbed_at = max(at, self._read_at)

    def idle_s(self) -> float:
        """Give the seconds since the last byte of the last response."""
        return clock() - self._read_at

    def idle_end(self) -> IdleEnd | None:
        """Tell what became of it while it was idle; `None` if nothing happened."""
        if self._disturbed_at is None:
            return None
        idle_s = self._disturbed_at - self._read_at
        return IdleEnd(idle_s=idle_s, hangup=self.hangup, said=self.said, served=len(self.replies))

    def _head_for_byte(self, number: int) -> bytes:
        """Give the request for one byte of the page; as it is, if it asks for a range already."""
        if b"\r\nrange:" in self._head.lower():
            return self._head
        return b"%bRange: bytes=%d-%d\r\n\r\n" % (self._head.removesuffix(b"\r\n"), number, number)

    def _send(self, data: bytes, deadline: float) -> None:
        left = memoryview(data)
        try:
            while left:
                self._bound(deadline)
                sent = self.stream.send(left)
                self._sent += sent
                left = left[sent:]
        except (TimeoutError, BlockingIOError) as error:
            raise self._late(WriteTimeout, "the server took no byte of the request in time", deadline) from error
        except OSError as error:
            message = f"the connection failed while the request was sent: {error.strerror or error}"
            raise SendError(message) from error

    def _read(self, deadline: float, *, is_last: bool = True) -> Reply:
        """Read a whole response; what came behind it belongs to the next one, or to nobody."""
        self._received = len(self._ahead)
        head, rest = self._read_head(deadline)
        framing = framing_of(b"GET", head)
        body = body_reader(framing, head)
        if rest:
            body.feed(rest)
        while not body.complete:
            data = self._receive(deadline) if body.failure is None else b""
            if data:
                body.feed(data)
            else:
                body.eof()
        if is_last:
            self.said = body.rest[:KEPT]
        else:
            self._ahead = body.rest
        return self._reply(head, framing)

    def _read_head(self, deadline: float) -> tuple[ResponseHead, bytes]:
        """Read the final response's head, and what came with it (RFC 9110 §15.2: interim ones may precede it)."""
        reader = HeadReader()
        head = None
        while head is None:
            data, self._ahead = self._ahead, b""
            head = reader.feed(data or self._receive(deadline) or self._end_of_head())
            while head is not None and head.status < 200 and head.status != 101:
                head = reader.following()
        return head, reader.rest

    def _end_of_head(self) -> bytes:
        if self._received:
            raise TruncatedHead("the server closed the connection in the middle of the response's head")
        raise ServerDisconnected("the server closed the connection without a response")

    def _receive(self, deadline: float) -> bytes:
        """Read what comes next; no bytes mean that the server has closed."""
        try:
            self._bound(deadline)
            data = self.stream.receive(RECEIVE)
        except (TimeoutError, BlockingIOError) as error:
            raise self._late(ReadTimeout, "the server sent nothing in time", deadline) from error
        except ssl.SSLEOFError:
            data = b""
        except OSError as error:
            kind = ReadError if self._received else ServerDisconnected
            message = f"the connection failed while the response was awaited: {error.strerror or error}"
            raise kind(message) from error
        if not data:
            self.hangup = Hangup.FIN
        self._received += len(data)
        return data

    def _reply(self, head: ResponseHead, framing: Framing) -> Reply:
        connection, keep_alive = head.get(b"connection"), head.get(b"keep-alive")
        content_range = head.get(b"content-range")
        why = why_not_reusable(
            framing=framing.why_close,
            status=head.status,
            version=head.version,
            connection=connection,
            request_sent=True,
            client_close=self._closes,
        )
        return Reply(
            version=head.version,
            status=head.status,
            connection=None if connection is None else connection.decode("latin-1"),
            keep_alive=None if keep_alive is None else keep_alive.decode("latin-1"),
            content_range=None if content_range is None else content_range.decode("latin-1"),
            hint=NO_HINT if keep_alive is None else parse_keep_alive(keep_alive),
            why_close=Why.UNASKED_DATA if self.said else why,
        )

    def _bound(self, deadline: float) -> None:
        """Let the next wait end at the read timeout or at the deadline."""
        self.stream.set_timeout(within(self._timeout.read, deadline))

    def _late(self, kind: type[ExchangeError], what: str, deadline: float) -> ExchangeError:
        total = self._timeout.total
        if total is not None and has_passed(deadline):
            return TotalTimeout(f"not done within {total:g} s", limit=total)
        return kind(what, limit=self._timeout.read)

    def _blame(self, error: ExchangeError) -> ExchangeError:
        """Add this connection's facts to an error."""
        error.origin = self._name
        error.sent = self._sent
        error.received = self._received
        error.retry_safe = True
        error.message = f"GET {self._name}: {error.message}"
        error.args = (error.message,)
        return error


class Watch:
    """Idle connections, and when something happens on them.

    Attributes:
        lines: All that were ever put under watch.
    """

    __slots__ = ("_looked_at", "lines")

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self._looked_at = clock()

    def add(self, line: Line) -> None:
        """Leave a connection idle from now on."""
        self.lines.append(line)

    @property
    def open(self) -> list[Line]:
        """Those the server has not closed."""
        return [line for line in self.lines if line.hangup is None]

    def look(self, seconds: float, *others: Line) -> None:
        """Take down what has happened since the last look; if nothing has, wait for the next thing.

        Args:
            seconds: The longest wait.
            *others: Connections that are watched for this one look.
        """
        lines = [*self.open, *others]
        # What is there already may have come at any time since the last look; the earliest is the safe one to believe.
        happened = self._looked_at
        ready = _readable(lines, 0)
        if not ready and seconds > 0:
            ready = _readable(lines, seconds)
            happened = clock()
        for line in ready:
            line.listen(happened)
        self._looked_at = clock()


def _readable(lines: list[Line], seconds: float) -> list[Line]:
    """Wait for bytes or an end on any of the connections."""
    poll = poller()
    by_number = {line.stream.sock.fileno(): line for line in lines}
    for number in by_number:
        poll.register(number, READABLE)
    return [by_number[number] for number, _ in poll.poll(math.ceil(seconds * 1000))]
