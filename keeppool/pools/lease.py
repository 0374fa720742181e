"""A connection on loan while the rest of an answer's body is read from it, for threads.

Waits for the network; decides nothing.
"""

from __future__ import annotations

import ssl
import sys
from types import FrameType
from typing import TYPE_CHECKING

from keeppool.errors import IncompleteBody, ReadError
from keeppool.events import Why
from keeppool.pools.clock import clock
from keeppool.pools.converse import has_passed
from keeppool.pools.exchange import Exchange
from keeppool.wire.framing import Kind
from keeppool.wire.message import BodyReader

if TYPE_CHECKING:
    from keeppool.pools.guarded import GuardedPool


class ThreadLease:
    """See `keeppool.pools.response.Lease` for what each method promises.

    Args:
        pool: Whose connection it is.
        exchange: The exchange whose body is being read.
        deadline: When its total timeout passes, on `clock`.
    """

    __slots__ = ("_deadline", "_exchange", "_place", "_pool", "_stream")

    def __init__(self, pool: GuardedPool, exchange: Exchange, deadline: float | None) -> None:
        self._exchange = exchange
        self._pool = pool
        self._deadline = deadline
        self._stream = exchange.connection.stream
        self._place = _callers_place()

    def receive(self, size: int) -> bytes:
        """Read up to `size` bytes; none means the server closed."""
        exchange = self._exchange
        try:
            if self._deadline is not None:
                self._bound(self._deadline)
            data: bytes = self._stream.recv(size)
        except (TimeoutError, BlockingIOError) as error:
            raise exchange.timed_out(total=exchange.timeout.total if has_passed(self._deadline) else None) from error
        except ssl.SSLEOFError as error:
            # Without TLS's closure alert anybody on the way may have cut the body short (RFC 9112 §9.8).
            if exchange.framing.kind is Kind.CLOSE:
                raise IncompleteBody("the connection ended without TLS's goodbye", actual=exchange.received) from error
            return b""
        except OSError as error:
            raise ReadError(f"the connection failed in the middle of the body: {error}") from error
        exchange.received += len(data)
        return data

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
        """Let all following `receive` calls together take this long at the most."""
        deadline = clock() + seconds
        self._deadline = deadline if self._deadline is None else min(deadline, self._deadline)

    def __del__(self) -> None:
        """Leave the connection of a response that was dropped unread to whoever takes the pool's lock next."""
        if self._exchange.held is not None:
            self._pool.dropped.append((self._exchange, self._place))

    def _bound(self, deadline: float) -> None:
        left = deadline - clock()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        read = self._exchange.timeout.read
        self._stream.set_timeout(left if read is None else min(read, left))


def _callers_place() -> str:
    """Name the line outside this package that asked for the response."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("keeppool."):
        frame = frame.f_back
    return "an unknown place" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
