"""A connection on loan while the rest of a response's body is read from it: for threads, and what tasks share.

Decides: which error a connection that failed in the middle of a body is, and how long one read may wait.
Waits for the network (`ThreadLease`).
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import TYPE_CHECKING, Final

from keeppool.clock import clock
from keeppool.deferred import Deferred
from keeppool.errors import IncompleteBody, KeepPoolError, ReadError
from keeppool.net.stream import Stream
from keeppool.net.streams import AnyStream
from keeppool.pools.exchange import Exchange
from keeppool.pools.pool import Pool
from keeppool.pools.waits import has_passed, within
from keeppool.reasons import Why
from keeppool.wire.framing import Kind
from keeppool.wire.message import BodyReader

if TYPE_CHECKING:
    import ssl
else:
    ssl = Deferred("ssl")

#: What stands between the pool and the program: whoever reads the name of a line wants one of their own.
LIBRARIES: Final = ("keeppool.", "requests.", "httpx.", "httpx2.")


class Lease:
    """What can be done with the connection without waiting.

    Args:
        pool: Whose connection it is.
        exchange: The exchange whose body is being read.
        stream: The connection's.
    """

    __slots__ = ("_deadline", "_exchange", "_place", "_pool", "_stream")

    def __init__(self, pool: Pool, exchange: Exchange, stream: AnyStream) -> None:
        self._pool = pool
        self._stream = stream
        #: When reading must be over: with the exchange, or earlier.
        self._deadline = exchange.deadline
        self._place = self._asked_at() or "an unknown place"
        exchange.connection.unread = exchange.connection.generation, self._place
        self._exchange = exchange  # Last: where an interrupt comes before, there is nothing to be left behind.

    def _asked_at(self) -> str | None:
        """Name the line of the program that asked for the response; `None` if there is none."""
        return line_outside(LIBRARIES)

    def receive_now(self, size: int) -> bytes | None:
        """Read what has arrived already, up to `size` bytes; `None` if nothing has, no bytes if the server closed."""
        return self._stream.receive_now(size)

    def finish(self, body: BodyReader) -> None:
        """Give the connection back: the body has ended as its framing said."""
        exchange = self._exchange
        exchange.connection.read_at = clock()
        self._pool.release(exchange, exchange.why_close(body))

    def discard(self) -> None:
        """Close the connection: what is left on it is not wanted."""
        is_switched = self._exchange.framing.why_close is Why.SWITCHED
        self._pool.release(self._exchange, Why.SWITCHED if is_switched else Why.BODY_UNREAD)

    def close_failed(self, error: BaseException | None) -> None:
        """Close the connection: `error` has ended the exchange on it."""
        self._pool.release(self._exchange, Why.EXCHANGE_FAILED, error)

    def drain_within(self, seconds: float) -> None:
        """Let all following reads together take this long at the most."""
        deadline = clock() + seconds
        self._deadline = deadline if self._deadline is None else min(deadline, self._deadline)

    def _wait(self) -> float | None:
        """Give the seconds the next read may take.

        Raises:
            TimeoutError: Nothing is left.
        """
        return within(self._exchange.timeout.read, self._deadline)

    def __del__(self) -> None:
        """Leave the connection of a response that was dropped unread to whoever comes by at the pool next."""
        exchange = getattr(self, "_exchange", None)
        if exchange is not None and exchange.held is not None:
            self._pool.dropped.append((exchange, self._place))
            self._pool.collect_soon()

    def _ended(self, error: OSError) -> bytes:
        """Give what is read at the end of a connection, no bytes; raise what one has failed with otherwise."""
        failure = self._explain(error)
        if failure is not None:
            raise failure from error
        return b""

    def _explain(self, error: OSError) -> KeepPoolError | None:
        """Choose the error for a connection that failed; `None` if it has ended as one may."""
        exchange = self._exchange
        if isinstance(error, (TimeoutError, BlockingIOError)):
            return exchange.timed_out(total=exchange.timeout.total if has_passed(self._deadline) else None)
        if not (self._stream.is_tls and isinstance(error, ssl.SSLEOFError)):
            return ReadError(f"the connection failed in the middle of the body: {error}")
        # Without TLS's closure alert anybody on the way may have cut the body short (RFC 9112 §9.8).
        if exchange.framing.kind is Kind.CLOSE:
            return IncompleteBody("the connection ended without TLS's close_notify", actual=exchange.received)
        return None


class ThreadLease(Lease):
    """A loan to a thread, which waits in the read itself."""

    __slots__ = ()

    _stream: Stream

    @property
    def stream(self) -> Stream:
        """What is on loan."""
        return self._stream

    def receive(self, size: int) -> bytes:
        """Read up to `size` bytes; none means the server closed."""
        try:
            if self._deadline is not None or self._exchange.is_timed:
                self._stream.set_timeout(self._wait())
            return self._stream.receive(size)
        except OSError as error:
            return self._ended(error)

    def receive_into(self, room: memoryview) -> int:
        """Read as many bytes as `room` has, or fewer, and tell how many; 0 means the server closed."""
        try:
            if self._deadline is not None or self._exchange.is_timed:
                self._stream.set_timeout(self._wait())
            return self._stream.receive_into(room)
        except OSError as error:
            return len(self._ended(error))


def line_outside(packages: tuple[str, ...], outermost: FrameType | None = None) -> str | None:
    """Name the innermost line that runs and is not in these packages; `None` if there is none.

    Args:
        packages: What their modules' names begin with.
        outermost: The last frame to look at.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith(packages):
        frame = None if frame is outermost else frame.f_back
    return None if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
