"""Connections lent to urllib3, which dials and talks by itself: what it borrows is a slot, and whatever is idle in it.

Decides: when something borrowed counts as dropped.
Knows: the blocking pool beneath, and what it must learn of a dial and of a response that others made.
Does not know: who may have a connection; the core decides. Nor urllib3's host pools, its retries and errors.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Collection
from http.client import BadStatusLine, RemoteDisconnected
from types import FrameType, MethodType
from typing import TYPE_CHECKING, Any, cast

from keeppool.clock import clock
from keeppool.config import Limits, Timeout
from keeppool.core.keepalive import NO_HINT, parse_keep_alive
from keeppool.core.origin import Origin
from keeppool.core.pace import HOLDING
from keeppool.core.records import Connection, State
from keeppool.core.resend import is_idempotent
from keeppool.core.reuse import why_not_reusable
from keeppool.events import Event, ResponseStarted, Why
from keeppool.net.laps import Laps
from keeppool.net.stream import Stream
from keeppool.net.streams import Liveness
from keeppool.pools import reports
from keeppool.pools.exchange import Exchange, number_of
from keeppool.pools.pool_threads import BlockingPool
from keeppool.pools.routes import Route
from keeppool.reasons import Step

if TYPE_CHECKING:
    import socket

    from urllib3.connection import HTTPConnection
    from urllib3.response import BaseHTTPResponse

#: Packages whose lines are not the caller's.
_BETWEEN = ("keeppool.", "urllib3.", "requests.")


class LentStream(Stream):
    """The socket of one of urllib3's connections.

    Attributes:
        conn: That connection, while nobody has borrowed it. Lent, it is its borrower's alone: what the borrower drops
            is then collected, and `Borrowing` tells the pool.
    """

    __slots__ = ("conn",)

    def __init__(self, sock: Any) -> None:
        super().__init__(cast("socket.socket", sock if hasattr(sock, "send") else _AllOrNothing(sock)))
        self.conn: HTTPConnection | None = None

    def probe(self) -> Liveness:
        """Look also whether somebody who had the connection once has closed it: its number may be another's now."""
        return Liveness.CLOSED if self.sock.fileno() < 0 else super().probe()

    def close(self) -> None:
        """Close the socket, and let urllib3's connection forget it."""
        super().close()
        if self.conn is not None:
            self.conn.close()


class _AllOrNothing:
    """A socket without `send` and `gettimeout`, such as pyOpenSSL's in urllib3."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self.send = sock.sendall
        #: Whatever was set before: a limit.
        self._seconds: float | None = 0.0

    def settimeout(self, seconds: float | None) -> None:
        """Set the seconds, and keep them: the socket does not tell them."""
        self._seconds = seconds
        self._sock.settimeout(seconds)

    def gettimeout(self) -> float | None:
        """Tell the seconds set last."""
        return self._seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class Borrowing(Exchange):
    """One request of urllib3's, and the connection it has borrowed for that.

    Attributes:
        pool: Who lends it.
        generation: Of the pool when it was lent; see `SlotPool.clear`.
        file: What the response's body is read from, once there is a response: `None` before.
        is_urlopens: True if `urlopen` gives the connection back itself, False if the response does.
        place: Line of the program that got a response it has still to read; empty while there is none.
        why: Why the connection cannot be used again whatever else is found, `None` so far.
        is_replayable: The body can be sent a second time.
        hides_credentials: Credentials for a proxy are left out where an origin reads the request; False where the
            caller's `Retry` says that no redirect is to remove them.
    """

    __slots__ = (
        "__weakref__",
        "file",
        "generation",
        "hides_credentials",
        "is_replayable",
        "is_urlopens",
        "place",
        "pool",
        "why",
    )

    def __init__(self, pool: SlotPool, route: Route, timeout: Timeout) -> None:
        # Not `Exchange.__init__`: the connection is borrowed before anything is known of the request.
        self.pool = pool
        self.generation = pool.generation
        self.route = route
        self.timeout = timeout
        self.held = None
        self.timeline = None
        self.position = 0
        self.is_asked = False
        self.turn = None
        self.method = b""
        self.body = None
        self.head = b""
        self.url = ""
        self.expects_continue = False
        self.is_unsafe = False
        self.sent = self.received = self._sent_before = 0
        self.request_sent = False
        self.answer = None
        self.file: Callable[[], Any] | None = None
        self.is_urlopens = True
        self.place = ""
        self.why: Why | None = None
        self.is_replayable = True
        self.hides_credentials = True
        self._lent_as = None
        self.deadline = None
        self._is_paced = False
        self._resent = False
        self.why_again = Why.PEER_CLOSED
        self._closes = False
        self._idempotent = route.idempotent

    @property
    def has_begun(self) -> bool:
        """True from when the connection is open and about to be used by a host pool."""
        return self._lent_as is not None

    def asks(self, method: str, target: str, body: object) -> None:
        """Take note of the request; of its header, `says` does."""
        if self.timeline is not None:
            self.timeline.url = target if "://" in target else f"{self.route.name}{target}"
        self.method = method.upper().encode("latin-1", "replace")
        self.is_replayable = _is_in_memory(body)

    def says(self, *, closes: bool, has_key: bool) -> None:
        """Take note of what the request's fields say: `Connection: close`, and whether there is an Idempotency-Key."""
        self._closes = closes
        self._idempotent = True if has_key else self.route.idempotent

    def may_resend(self, error: BaseException | int) -> bool:
        """As for any exchange; a file or an iterator has moved, and only urllib3's own retry can wind it back."""
        return self.is_replayable and super().may_resend(error)

    def answered_elsewhere(self, response: BaseHTTPResponse) -> None:
        """Take note of a response that was read by other code than ours: what is known is what its fields say."""
        hints = response.headers.get("keep-alive")
        self.connection.answered(NO_HINT if hints is None else parse_keep_alive(hints.encode("latin-1", "replace")))
        connection = response.headers.get("connection")
        value = None if connection is None else connection.encode("latin-1", "replace")
        self.received = max(1, self.received)
        self.why = self.why or why_not_reusable(
            None, response.status, response.version, value, request_sent=True, client_close=self._closes
        )

    def __del__(self) -> None:
        """Leave a connection that was dropped to the next holder of the pool's lock."""
        if self.held is not None:
            self.pool.dropped.append((self, self.place))


class SlotPool(BlockingPool):
    """A blocking pool whose borrowers dial by themselves. urllib3 logs connections and requests."""

    is_logged = False

    def __init__(self, limits: Limits, tell: MethodType | None, wants: Collection[type[Event]] | None = None) -> None:
        super().__init__(limits, tell, wants=wants)
        #: Counts the calls of `clear`.
        self.generation = 0

    def lend(self, borrowing: Borrowing) -> Connection:
        """Get a connection that is alive, or one that the borrower has to dial (then its state is CONNECTING).

        Raises:
            PoolTimeout, PoolClosed, QueueFull: Nothing was lent.
        """
        now = clock()
        if self.is_timed:
            self.begin_timeline(borrowing, now)
        try:
            return self.acquire(borrowing, now)
        except BaseException as error:
            self.give_up(borrowing, error)
            raise

    def _dial(self, exchange: Exchange, connection: Connection) -> Connection:
        """Leave it to the borrower. Orders may stand for the socket whose place this one takes: they come first."""
        self._perform()
        self.look_at_log()
        return connection

    def dialled(self, borrowing: Borrowing, sock: Any, began: float, *, is_http1: bool) -> None:
        """Take note that the borrower has dialled, since `began`.

        Args:
            borrowing: Whose connection it is.
            sock: What was dialled.
            began: On the pool's clock.
            is_http1: The server has nothing to say before it is asked. In HTTP/2 it has, and must not be read from.

        Raises:
            PoolClosed: The pool was closed meanwhile.
            RemoteDisconnected, BadStatusLine: The server closed, or spoke, before it was asked.
        """
        connection = borrowing.connection
        stream = connection.stream = LentStream(sock)
        if borrowing.timeline is not None:
            stream.laps = borrowing.timeline.laps = _laps(began)
            stream.laps.end(stream.address)
        self._enter(borrowing, connection, began)
        liveness = stream.probe() if is_http1 else Liveness.IDLE
        if liveness is Liveness.CLOSED:
            raise RemoteDisconnected("Remote end closed connection without response")
        if liveness is Liveness.DATA:
            raise BadStatusLine("the server sent bytes before the request")

    def dial_failed(self, borrowing: Borrowing, error: BaseException, began: float) -> None:
        """Report it; the slot is given back when the borrowing is given up."""
        if borrowing.timeline is not None:
            borrowing.timeline.laps = _laps(began)
        if self.is_heard:
            self.report(reports.connect_failed(borrowing.connection, error, number_of(borrowing)))

    def clear(self) -> None:
        """Close what is idle, and let what is lent be closed when it comes back."""
        self.generation += 1
        self.close_idle(None)

    def close_idle(self, origin: Origin | None) -> None:
        """Close the idle connections of an origin, or all."""
        now = clock()
        with self._lock:
            for connection in self._state.idle_connections():
                if origin is None or connection.origin == origin:
                    self._state.peer_closed(connection, Why.POOL_CLOSED, now)
        self._perform()

    def lent(self, origin: Origin) -> int:
        """Count the slots of an origin that are in somebody's hands."""
        with self._lock:
            hosts = [host for host in self._state.hosts() if host.origin == origin]
            return sum(host.open - len(host.idle) for host in hosts)

    def idle_conns(self, origin: Origin) -> list[HTTPConnection]:
        """List the idle connections of an origin, the least recently used first."""
        with self._lock:
            idle = [one.stream for one in self._state.idle_connections() if one.origin == origin]
        return [one.conn for one in idle if isinstance(one, LentStream) and one.conn is not None]

    def hold_if_told(self, borrowing: Borrowing, response: BaseHTTPResponse) -> None:
        """Take note of a response's `Retry-After`, where that holds all requests to its host."""
        paced = borrowing.route.paced
        if paced is not None and paced.obeys and response.status in HOLDING:
            told = [response.headers.get(name) for name in ("retry-after", "date")]
            self.hold(paced, *(None if value is None else value.encode("latin-1", "replace") for value in told))

    def report_answer(self, borrowing: Borrowing, status: int, after: float) -> None:
        """Report the head of a response."""
        number = number_of(borrowing)
        name, connection, method = borrowing.route.name, borrowing.connection.number, borrowing.method.decode()
        if borrowing.timeline is not None:
            borrowing.timeline.heard()
            borrowing.timeline.status = status
        self.report(ResponseStarted(name, connection, method, status, after, number))

    def sweep(self) -> bool:
        """Do as any pool, and take back what was closed without a word: urllib3's own response gives nothing back."""
        with self._lock:
            lent = [one for one in self._state.everything() if one.state is State.BUSY]
            for connection in [one for one in lent if not _is_open(one)]:
                self._state.released(connection, Why.BODY_UNREAD, clock())
        self._perform()
        return super().sweep()

    def _collect_dropped(self) -> None:
        """Take back what was dropped. It is worth a warning where a response was there to be read."""
        while self.dropped:
            borrowing, place = self.dropped.popleft()
            connection = borrowing.connection
            is_open = connection.state is State.BUSY and _is_open(connection)
            self.give_up(borrowing) if connection.state is State.CONNECTING else self.release(
                borrowing, Why.BODY_UNREAD
            )
            # urllib3's own response closes its connection before it goes, as a well-behaved caller does.
            if place and is_open:
                text = f"a streamed response from {borrowing.route.name} was dropped unread; it was made at {place}"
                warnings.warn(text, ResourceWarning, stacklevel=2)


def _laps(began: float) -> Laps:
    """Note a dial by urllib3, which does not say when it is at which step."""
    laps = Laps()
    laps.begun.append((Step.CONNECT, began))
    return laps


def may_be_repeated(method: str, body: object, idempotent: bool | None) -> bool:
    """Tell whether a request may be sent a second time; `idempotent` is what is configured for its host."""
    return _is_in_memory(body) and is_idempotent(method.upper().encode("latin-1", "replace"), idempotent)


def _is_in_memory(body: object) -> bool:
    return body is None or isinstance(body, (bytes, str, bytearray, memoryview))


def _is_open(connection: Connection) -> bool:
    return isinstance(connection.stream, LentStream) and connection.stream.sock.fileno() >= 0


def callers_place() -> str:
    """Name the line that asked for the response."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith(_BETWEEN):
        frame = frame.f_back
    return "an unknown place" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
