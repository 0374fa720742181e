"""A connection on loan while the rest of an answer's body is read from it: for threads, and what tasks share.

Decides: which error a connection that failed in the middle of a body is, and how long one read may wait.
Waits for the network (`ThreadLease`).
"""

from __future__ import annotations

import ssl
import sys
from collections import deque
from types import FrameType
from typing import Protocol

from keeppool.clock import clock
from keeppool.errors import IncompleteBody, KeepPoolError, ReadError
from keeppool.events import Why
from keeppool.pools.exchange import Exchange
from keeppool.pools.send import has_passed, left
from keeppool.wire.framing import Kind
from keeppool.wire.message import BodyReader


class LendingPool(Protocol):
    """What a lease asks of a pool."""

    dropped: deque[tuple[Exchange, str]]

    def release(self, exchange: Exchange, why: Why | None) -> None:
        """Give the exchange's connection back; `why` tells why it cannot be used again."""


class Lease:
    """See `keeppool.pools.body.Loan` for what each method promises.

    Args:
        pool: Whose connection it is.
        exchange: The exchange whose body is being read.
        deadline: When its total timeout passes, on `clock`.
    """

    __slots__ = ("_deadline", "_exchange", "_place", "_pool", "_stream")

    def __init__(self, pool: LendingPool, exchange: Exchange, deadline: float | None) -> None:
        self._exchange = exchange
        self._pool = pool
        self._deadline = deadline
        self._stream = exchange.connection.stream
        self._place = _callers_place()

    def receive_now(self, size: int) -> bytes | None:
        """Read what has arrived already, up to `size` bytes; `None` if nothing has, none means the server closed."""
        data: bytes | None = self._stream.recv_now(size)
        return data

    def finish(self, body: BodyReader) -> None:
        """Give the connection back: the body has ended as its framing said."""
        exchange = self._exchange
        exchange.connection.read_at = clock()
        self._pool.release(exchange, exchange.why_close(body))

    def discard(self) -> None:
        """Close the connection: what is left on it is not wanted."""
        self._pool.release(self._exchange, Why.BODY_UNREAD)

    def close_failed(self) -> None:
        """Close the connection: the exchange on it has failed."""
        self._pool.release(self._exchange, Why.EXCHANGE_FAILED)

    def drain_within(self, seconds: float) -> None:
        """Let all following reads together take this long at the most."""
        deadline = clock() + seconds
        self._deadline = deadline if self._deadline is None else min(deadline, self._deadline)

    def __del__(self) -> None:
        """Leave the connection of a response that was dropped unread to whoever comes by at the pool next."""
        if self._exchange.held is not None:
            self._pool.dropped.append((self._exchange, self._place))

    def _explain(self, error: OSError) -> KeepPoolError | None:
        """Choose the error for a connection that failed; `None` if it has ended as one may."""
        exchange = self._exchange
        if isinstance(error, (TimeoutError, BlockingIOError)):
            return exchange.timed_out(total=exchange.timeout.total if has_passed(self._deadline) else None)
        if not isinstance(error, ssl.SSLEOFError):
            return ReadError(f"the connection failed in the middle of the body: {error}")
        # Without TLS's closure alert anybody on the way may have cut the body short (RFC 9112 §9.8).
        if exchange.framing.kind is Kind.CLOSE:
            return IncompleteBody("the connection ended without TLS's goodbye", actual=exchange.received)
        return None


class ThreadLease(Lease):
    """A loan to a thread, which waits in the read itself."""

    __slots__ = ()

    def receive(self, size: int) -> bytes:
        """Read up to `size` bytes; none means the server closed."""
        try:
            if self._deadline is not None:
                self._stream.set_timeout(left(self._exchange, self._deadline))
            data: bytes = self._stream.recv(size)
        except OSError as error:
            failure = self._explain(error)
            if failure is None:
                return b""
            raise failure from error
        self._exchange.received += len(data)
        return data

    def receive_into(self, room: memoryview) -> int:
        """Read as many bytes as `room` has, or fewer, and tell how many; 0 means the server closed."""
        try:
            if self._deadline is not None:
                self._stream.set_timeout(left(self._exchange, self._deadline))
            size: int = self._stream.recv_into(room)
        except OSError as error:
            failure = self._explain(error)
            if failure is None:
                return 0
            raise failure from error
        self._exchange.received += size
        return size


def _callers_place() -> str:
    """Name the line outside this package that asked for the response."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("keeppool."):
        frame = frame.f_back
    return "an unknown place" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
