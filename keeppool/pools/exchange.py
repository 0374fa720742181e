"""One request and its response, over one connection or, if it is resent, two.

Decides: when the response's head is there, whether the connection may be used again, whether the request may be resent,
and which error the caller gets. Threads and asyncio drive the same object.
Knows: the facts of this exchange: what was sent, what came, over which kind of connection.
Does not know: sockets, locks, clocks.

Source: RFC 9110 §9.2.2, §15.2 (interim responses); RFC 9112 §9.

The file is long, because all that follows from the facts of one request stands here, for threads and tasks alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from keeppool.config import INHERIT, Timeout
from keeppool.core.keepalive import NO_HINT, parse_keep_alive, says_close, with_proxys_close
from keeppool.core.records import Connection, Ticket
from keeppool.core.resend import IDEMPOTENT, Outcome, is_idempotent, may_resend
from keeppool.core.reuse import why_not_reusable
from keeppool.errors import (
    ConnectError,
    ConnectTimeout,
    ExchangeError,
    InvalidBody,
    KeepPoolError,
    PoolError,
    ProtocolError,
    ReadError,
    ReadTimeout,
    SendError,
    ServerDisconnected,
    TotalTimeout,
    TruncatedHead,
    WriteTimeout,
    name_call,
)
from keeppool.errors import Timeout as AnyTimeout
from keeppool.pools.routes import Located
from keeppool.reasons import Why
from keeppool.wire.body import RequestBody
from keeppool.wire.fields import FieldBlock
from keeppool.wire.framing import Framing, Kind, framing_of
from keeppool.wire.head import HeadReader, ResponseHead, plain_head
from keeppool.wire.message import BodyReader, CloseBody, LengthBody, body_reader

if TYPE_CHECKING:
    from keeppool.core.pace import Turn
    from keeppool.pools.timeline import Timeline

_EXPECT = frozenset((b"expect",))

# Looked up on the way of every request; as a member of its class it would cost three times as much.
_LENGTH = Kind.LENGTH

#: Read timeouts a response's head may take from its first byte on, interim responses included. These are sent to say
#: "not yet" (102), some seconds apart: ten minutes of them by default, while one without an end is given up.
HEAD_TIMES = 10
#: Bytes of a request that every kernel takes at once on a connection on which nothing waits to be sent.
SMALL = 4096
#: Seconds after the request's first byte within which a close, or a 408, on a reused connection was meant for the
#: silence before it, not for this request.
LATE_CLOSE = 1.0
#: Methods whose requests may follow others on one connection, and be followed: safe, and answered with a body that is
#: framed for itself. Not HEAD: a server that sends a body all the same would have it taken for the next response.
RIDING = frozenset((b"GET", b"OPTIONS"))
_NOT_RIDING = frozenset((b"upgrade", b"expect"))
#: Statuses with which a server may say that it has not read a request; see `Exchange.is_refused_unread`.
ASKS_AGAIN = frozenset((408, 417))


class Arrived(NamedTuple):
    """What came of a response that was read before its caller was woken.

    Attributes:
        body: The reader; it may want more.
        first: What it has made of what came.
        at: When the head was whole.
    """

    body: BodyReader
    first: bytes
    at: float


class Exchange:
    """The facts of one request, and what follows from them.

    Attributes:
        held: What has to be given back, whatever happens: a place in the queue, or a connection. Set and cleared under
            the pool's lock, together with what the pool writes down.
        deadline: When the total timeout passes, on the house's clock; `None` without one.
        connection: What this attempt goes over.
        head: The request's head as bytes, and the body too where it is small.
        body: What is sent behind `head`; `None` if nothing.
        expects_continue: The server is asked whether it wants the body (RFC 9110 §10.1.1).
        is_timed: The wait for the response may have to be shorter than the read timeout, or was: the stream's timeout
            is to be set anew before each read, those of the body included.
        is_asked: The request was sent in this attempt, or a part of it.
        rides: It may follow others on one connection, and others may follow it unless it `streams`.
        started: When it was begun, by its caller.
        streams: Its response takes as long as its caller does.
        position: Where it stood on its connection when it was sent behind others; 0 if it was not.
        arrived: What came of the response while others were read before it; `None` where its caller reads by itself.
        failure: What was wrong with it then.
        surplus: What came behind the body, and belongs to the next request on the connection.
        is_unsafe: It could not be sent again if its connection turned out stale after it had left.
        turn: The place in the line of its host, if that has a pace; see `core/pace.py`.
        sent: Bytes the kernel has accepted in this attempt.
        request_sent: True once the whole request was accepted.
        answer: The final response's head, once it is there.
        rest: Bytes that came behind it.
        has_interim: An interim response has come; a waiting body may be sent.
        timeline: What it is told that happens; `None` where nobody listens, and once the end has been reported.
        url: As the caller wrote it, for errors.
        why_again: Why the connection of an attempt that is repeated cannot be used again.
    """

    __slots__ = (
        "_began_at",
        "_closes",
        "_has_begun",
        "_head_ends",
        "_idempotent",
        "_idle",
        "_is_paced",
        "_lent_as",
        "_plain_head",
        "_reader",
        "_resent",
        "_reused",
        "_sent_before",
        "answer",
        "arrived",
        "body",
        "connection",
        "deadline",
        "expects_continue",
        "failure",
        "framing",
        "has_interim",
        "head",
        "held",
        "is_asked",
        "is_timed",
        "is_unsafe",
        "method",
        "position",
        "received",
        "request_sent",
        "rest",
        "rides",
        "route",
        "sent",
        "started",
        "streams",
        "surplus",
        "timeline",
        "timeout",
        "turn",
        "url",
        "why_again",
    )

    def __init__(
        self,
        located: Located,
        method: bytes,
        fields: FieldBlock,
        body: RequestBody | None,
        timeout: Timeout | None,
        now: float,
    ) -> None:
        route, target, self.url = located
        self.route = route
        self.method = method
        self.timeout = timeout or route.timeout
        total = self.timeout.total
        self.deadline = None if total is None else now + total
        self._lent_as: int | None = None
        self.held: Connection | Ticket | None = None
        self.timeline: Timeline | None = None
        self.turn: Turn | None = None
        self.rides = self.streams = False
        self.started = now
        self.position = 0
        self.arrived: Arrived | None = None
        self.failure: KeepPoolError | None = None
        self.surplus = b""
        self.is_asked = False
        if body is not None and body.length is None and route.version == b"HTTP/1.0":
            raise InvalidBody("HTTP/1.0 has no chunked bodies: give the body a length, or set Content-Length")
        self._resent = False
        #: Bytes accepted in an earlier attempt, which the server may have acted on.
        self._sent_before = 0
        self.why_again = Why.PEER_CLOSED
        self.expects_continue = False
        self._idempotent = True if b"idempotency-key" in fields.names else route.idempotent
        if b"expect" in fields.names:
            fields = self._expecting(located, fields, body)
        made_for, tail, self._closes = route.kept
        if made_for is not fields:  # Asked here: a session sends the same fields with every request.
            tail, self._closes = route.tail(fields)
        if body is None:
            self.body = None
            self.head = b"%b %b%b\r\n" % (method, target, tail)
        else:
            whole = None if self.expects_continue else body.whole
            self.body = None if whole is not None else body
            self.head = b"%b %b%b%b\r\n%b" % (method, target, tail, body.framing.lines, whole or b"")
        # A small request leaves at once, however long that may take.
        self._is_paced = self.timeout.write is not INHERIT and (self.body is not None or len(self.head) > SMALL)
        # Not by `is_idempotent`: this is on the way of every request.
        is_repeatable = method in IDEMPOTENT if self._idempotent is None else self._idempotent
        self.is_unsafe = not is_repeatable or (self.body is not None and not self.body.may_replay())

    def _expecting(self, located: Located, fields: FieldBlock, body: RequestBody | None) -> FieldBlock:
        """Take note that the request asks for 100 Continue; give its fields without that where nothing would follow.

        Source: RFC 9110 §10.1.1: no expectation without content, and none in HTTP/1.0.
        """
        if (fields.get(b"expect") or b"").lower() != b"100-continue":
            return fields
        plain = fields.without(_EXPECT)
        if body is None or body.length == 0:
            return plain
        if located.route.version != b"HTTP/1.0":
            self.expects_continue = True
            tail = located.route.tail(plain)[0]
            self._plain_head = b"%b %b%b%b\r\n" % (self.method, located.target, tail, body.framing.lines)
        return fields

    def may_ride(self, fields: FieldBlock) -> bool:
        """Tell whether the request may follow others on one connection: it asks for nothing but a response.

        Args:
            fields: Its own.

        Source: RFC 9112 §9.3.2. Not through a proxy that forwards: many can do no more than one request at a time.
        """
        route = self.route
        return (
            self.method in RIDING
            and self.body is None
            and self.head.find(b"\r\n\r\n") == len(self.head) - 4  # A small body stands behind it.
            and self._idempotent is not False
            and not (self._closes or route.proxied or route.paced is not None)
            and route.version == b"HTTP/1.1"
            and _NOT_RIDING.isdisjoint(fields.names)
        )

    def begin(self, connection: Connection, now: float) -> None:
        """Start an attempt on a connection."""
        self.connection = connection
        self._lent_as = connection.generation
        self._reused = connection.served > 0
        self._idle = now - connection.read_at
        self._began_at = now
        self._reader: HeadReader | None = None
        self._has_begun = False
        self._head_ends: float | None = None
        self.is_timed = self._is_paced or self.deadline is not None
        self.has_interim = False
        self.sent = self.received = 0
        self.request_sent = False
        self.answer: ResponseHead | None = None
        self.rest = b""
        if self.timeline is not None:
            self.timeline.begun(connection, now)

    def has_turn(self, connection: Connection, now: float) -> None:
        """Take note that all responses before this one have come: the request holds the connection from here on."""
        self.held = connection
        self._lent_as = connection.generation
        self._began_at = now

    def waits_again(self, *, is_spent: bool) -> None:
        """Take note that the connection has ended before the response's turn came, and that another is waited for.

        Args:
            is_spent: The request may have been carried out; it is sent once more, and not again.
        """
        if self.timeline is not None and self.sent:
            self.timeline.repeated()
        self._resent = self._resent or is_spent
        self.rides = self.rides and not is_spent
        # Also where the server has said that it will not look at it: some have by then.
        self._sent_before = max(self._sent_before, self.sent)
        self._lent_as = None
        self.arrived = self.failure = None
        self.is_asked = False
        self.position = 0

    def answered_after(self, now: float) -> float:
        """Give the seconds since the request was sent, or since its turn came."""
        return now - self._began_at

    def is_holder(self, connection: Connection) -> bool:
        """Tell whether the connection in `held` is still lent to us.

        An interrupt may come between the pool's note that it was given back and ours; by then it may be another's.
        """
        if self._lent_as is None or connection is not self.connection:
            return True  # No attempt was begun on it yet, perhaps one on another that was dead.
        return connection.generation == self._lent_as

    def sent_whole(self) -> None:
        """Take note that the kernel has the whole request."""
        self.request_sent = True
        if self.timeline is not None:
            self.timeline.sent()

    def take(self, data: bytes) -> ResponseHead | None:
        """Take bytes of the response; the final head, once it is whole.

        Raises:
            ProtocolError: It is no HTTP.
        """
        self.received += len(data)
        if self.timeline is not None:
            self.timeline.heard()
        reader = self._reader
        if reader is None:
            route = self.route
            head = plain_head(data, 0, route.head_bytes, route.head_fields)
            if head is not None and head.status >= 200:
                self.answer = head
                self.rest = data[head.size :]
                return head
            reader = self._reader = HeadReader(route.head_bytes, route.head_fields)
        head = reader.feed(data)
        while head is not None and head.status < 200 and head.status != 101:
            self.has_interim = True
            if self.timeline is not None:
                self.timeline.heard_interim()
            head = reader.following()
        if head is None:
            self._has_begun = self.is_timed = True
        else:
            self.answer = head
            self.rest = reader.rest
            if self.timeline is not None:
                self.timeline.heard()  # Behind an interim response, perhaps in the same piece.
        return head

    def head_ends(self, now: float) -> float | None:
        """Tell until when the head has to be whole; `None` without a limit.

        That is the deadline, or, once a part of the head or an interim response has come, some read timeouts later:
        each byte may take one, and there may be thousands. A request that is still being sent has its own pace.
        """
        read, deadline = self.timeout.read, self.deadline
        if not self._has_begun or not self.request_sent or read is None:
            return deadline
        if self._head_ends is None:
            self._head_ends = now + HEAD_TIMES * read
        return self._head_ends if deadline is None else min(self._head_ends, deadline)

    def take_early(self, data: bytes | None) -> ResponseHead | None:
        """Take what came while the request is still being sent: bytes, nothing yet (`None`), or the end (none).

        Raises:
            ServerDisconnected, ProtocolError: As `closed` and `take`.
        """
        if data is None:
            return None
        if not data:
            raise self.closed()
        return self.take(data)

    def open_body(self, *, keeps: bool = False) -> BodyReader:
        """Record what the response says about its connection, and make the reader for its body.

        Args:
            keeps: The caller takes the connection if the server switches to the protocol that was asked for.
        """
        head = self.answer
        assert head is not None, "bug: no response yet"
        index = head.index
        hinted = b"keep-alive" in index
        self.connection.answered(parse_keep_alive(head.get(b"keep-alive") or b"") if hinted else NO_HINT)
        self.framing: Framing = framing_of(self.method, head)
        if keeps and self.framing.why_close is Why.SWITCHED and (head.status != 101 or self._asks_upgrade()):
            return CloseBody()  # What follows is the other protocol's, up to the connection's end.
        if self.framing.kind is _LENGTH:  # As most are: a call less on their way.
            return LengthBody(self.framing.length or 0)
        return body_reader(self.framing, head)

    def _asks_upgrade(self) -> bool:
        return b"\r\nupgrade:" in self.head.lower()

    def why_close(self, body: BodyReader) -> Why | None:
        """Tell, at the body's end, why the connection cannot carry another request; `None` if it can."""
        if body.rest:
            pipeline = self.connection.pipeline
            if pipeline is None or not pipeline.riders:
                return Why.UNASKED_DATA
            self.surplus = body.rest  # Of the next one's response.
        head = self.answer
        assert head is not None, "bug: no response yet"
        connection = head.get(b"connection") if head.repeated else head.index.get(b"connection")
        if b"proxy-connection" in head.index and self.route.origin.proxy is not None:
            connection = with_proxys_close(connection, head.get(b"proxy-connection") or b"")
        return why_not_reusable(
            self.framing.why_close, head.status, head.version, connection, self.request_sent, self._closes
        )

    def announces_close(self) -> bool:
        """Tell whether the response itself says that its connection ends with it; a 408 ends one without saying so."""
        head = self.answer
        assert head is not None, "bug: no response yet"
        return self.framing.kind is Kind.CLOSE or says_close(head.version, head.get(b"connection"))

    # Failing

    def is_late_408(self, now: float) -> bool:
        """Tell whether the response is a 408 that the server sent because the connection had been silent.

        RFC 9110 §15.5.9: the server says that it has not got the request, and closes; the request may be repeated on a
        new connection. Believed only on a connection that was used before, of a 408 that says `close`, was there
        about as soon as the request, and has no interim response before it: a server that sent 100 has begun to read.
        Any other 408 may be an application's, and is the response.
        """
        head = self.answer
        if head is None or head.status != 408 or self.has_interim or now - self._began_at > LATE_CLOSE:
            return False
        return says_close(head.version, head.get(b"connection")) and self.may_resend(408)

    def is_refused_unread(self, now: float) -> bool:
        """Tell whether a response with a status of `ASKS_AGAIN` says that the request is to be sent again."""
        return self.is_late_408(now) or self._drops_expectation()

    def _drops_expectation(self) -> bool:
        """Tell whether the response refuses the expectation; if so, the request goes out again without it, once.

        A server, or a proxy, that cannot do what `Expect` asks for says 417. It has not got the body, so this is safe
        for every method. A piece that the caller's body has given may be gone all the same, though it was not sent.

        Source: RFC 9110 §10.1.1, §15.5.18.
        """
        head = self.answer
        if head is None or head.status != 417 or not self.expects_continue or self.sent > len(self.head):
            return False
        if self._resent or (self.body is not None and not self.body.may_replay()):
            return False
        self.expects_continue = False
        self.head = self._plain_head
        self.why_again = Why.REQUEST_UNSENT
        return True

    def may_resend(self, error: BaseException | int) -> bool:
        """Tell whether the request may go out once more, on a new connection.

        Args:
            error: What ended this attempt, or 408 for a response that stands for a close.
        """
        closed = error == 408 or isinstance(error, (ServerDisconnected, SendError, ReadError))
        outcome = Outcome(
            resent=self._resent,
            reused=self._reused,
            idle=self._idle,
            closed=closed,
            received=0 if error == 408 else self.received,
            sent=0 if error == 408 else self.sent,
            replayable=self.body is None or self.body.may_replay(),
            method=self.method,
            idempotent=self._idempotent,
        )
        return may_resend(outcome)

    def why_failed(self, error: BaseException | None, now: float) -> Why:
        """Tell why a connection is closed whose exchange `error` has ended, not to be tried again.

        A reused connection that ends at once and without a byte was closed before the request came, as far as anybody
        can tell; the server's silence says so whether or not the request may be repeated.
        """
        if not isinstance(error, (ServerDisconnected, SendError)) or not self.connection.served:
            return Why.EXCHANGE_FAILED
        is_silent_close = not self.received and now - self._began_at <= LATE_CLOSE
        return Why.PEER_CLOSED if is_silent_close else Why.EXCHANGE_FAILED

    def resend(self) -> None:
        """Note that the request goes out again, and put its body back to the start."""
        self._resent = True
        if self.answer is None:  # Else the server has said itself that it has not acted on it.
            self._sent_before = self.sent
        self.rides = False
        self.arrived = self.failure = None
        self._lent_as = None
        if self.timeline is not None:
            self.timeline.repeated()
        self.is_asked = False
        self.position = 0
        if self.body is not None:
            self.body.rewind()

    def unexpected_data(self, *, closed: bool) -> ExchangeError:
        """Build the error for a server that sent something on a new connection before the request, or closed it."""
        self.sent = self.received = 0
        if closed:
            return self._about(ServerDisconnected, "the server closed the new connection before the request was sent")
        return self._about(ProtocolError, "the server sent bytes before the request")

    def asked_too_late(self) -> ExchangeError:
        """Build the error for a connection on which bytes came behind a response before this request was sent."""
        return self._about(ServerDisconnected, "the server sent bytes that nobody had asked for, before the request")

    def closed(self) -> ExchangeError:
        """Build the error for a connection that ended before the final head."""
        if not self.received:
            return self._about(ServerDisconnected, "the server closed the connection without a response")
        return self._about(TruncatedHead, "the server closed the connection in the middle of the response's head")

    def failed(self, error: OSError, *, sending: bool, total: float | None) -> ExchangeError:
        """Build the error for a socket that failed, or was too slow, before the final head.

        Args:
            error: What the operating system said.
            sending: True while the request was written.
            total: The total timeout, in seconds, if that is what has passed.
        """
        if isinstance(error, (TimeoutError, BlockingIOError)):
            return self.timed_out(sending=sending, total=total)
        reason = error.strerror or str(error)
        if sending:
            return self._about(SendError, f"the connection failed while the request was sent: {reason}")
        if not self.received:
            return self._about(ServerDisconnected, f"the connection failed before a response came: {reason}")
        return self._about(ReadError, f"the connection failed while the response was read: {reason}")

    def timed_out(self, *, sending: bool = False, total: float | None = None) -> ExchangeError:
        """Build the error for a wait that was too long."""
        if total is not None:
            return self._about(TotalTimeout, f"not done within the total timeout of {total:g} s", limit=total)
        limit = self.timeout.sending if sending else self.timeout.read
        assert limit is not None, "bug: a wait without a limit has ended"
        if sending:
            which = "read" if self.timeout.write is INHERIT else "write"
            what = f"the server took no byte of the request for {limit:g} s ({which} timeout)"
            return self._about(WriteTimeout, what, limit=limit)
        is_begun = self.answer is None and self.received
        what = "the server did not finish its response's head in" if is_begun else "the server sent nothing for"
        return self._about(ReadTimeout, f"{what} {limit:g} s (read timeout)", limit=limit)

    def blame(self, error: KeepPoolError) -> KeepPoolError:
        """Add what was asked, and this exchange's facts, to an error that was raised without them."""
        if isinstance(error, ExchangeError) and not error.origin:
            error.origin = self.route.name
            error.sent = self._sent_before + (0 if self._lent_as is None else self.sent)
            error.received = self.received
            error.retry_safe = not error.sent or is_idempotent(self.method, self._idempotent)
        if isinstance(error, ConnectTimeout) and not error.reason.endswith(" timeout)"):
            which = "connect" if error.limit == self.timeout.connect else "total"
            error.message = f"{error.message} ({which} timeout)"
        return name_call(error, self.method, self.url or self.route.name, self.route.way)

    def explained(self, error: KeepPoolError, now: float) -> KeepPoolError:
        """Give what the caller gets to see of what has ended the request.

        A `PoolError` and a `ConnectError` say that nothing was sent. Where that is true of the second attempt alone,
        the first one's end is the error, and why there was no second its cause.
        """
        self.blame(error)
        if not self._sent_before or not isinstance(error, (PoolError, ConnectError)):
            return error
        end = "the server closed the connection without a response"
        what = f"{end}, and the request could not be sent again: {error.reason}"
        is_late = isinstance(error, AnyTimeout) and self.deadline is not None and now >= self.deadline
        gone = TotalTimeout(what, limit=self.timeout.total) if is_late else ServerDisconnected(what)
        gone.__cause__ = error
        self.blame(gone)
        gone.received = 0  # Whatever was read since: it was no response to what was sent first.
        return gone

    def _about(self, kind: type[ExchangeError], what: str, **facts: object) -> ExchangeError:
        error = kind(what + self._among_others(), **facts)
        self.blame(error)
        return error

    def _among_others(self) -> str:
        """Say where the request stood, if there were others on its connection."""
        pipeline = self.connection.pipeline if self.is_asked and (self.rides or self.position) else None
        behind = 0 if pipeline is None else len(pipeline.riders)
        place = max(self.position, 1)
        # Those in front are gone where it has its turn; else they are counted too.
        number = place + behind if isinstance(self.held, Connection) else max(place, 1 + behind)
        return f" (request {place} of {number} in flight on its connection)" if number > 1 else ""


def number_of(exchange: Exchange | None) -> int:
    """Give the number of a request; 0 if it has none."""
    return 0 if exchange is None or exchange.timeline is None else exchange.timeline.number
