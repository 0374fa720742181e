"""A connection on loan while the rest of an answer's body is read from it, for threads.

Waits for the network; decides nothing.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from keeppool.errors import IncompleteBody, ReadError
from keeppool.events import Why
from keeppool.pools.converse import CLOCK_SLACK
from keeppool.pools.exchange import Exchange
from keeppool.wire.message import BodyReader

if TYPE_CHECKING:
    from keeppool.pools.threads import PoolManager


class ThreadLease:
    """See `keeppool.pools.response.Lease` for what each method promises.

    Args:
        manager: Whose connection it is.
        exchange: The exchange whose body is being read.
        deadline: When its total timeout passes, on the manager's clock.
    """

    __slots__ = ("_deadline", "_exchange", "_manager", "_stream")

    def __init__(self, manager: PoolManager, exchange: Exchange, deadline: float | None) -> None:
        self._manager = manager
        self._exchange = exchange
        self._deadline = deadline
        self._stream = exchange.connection.stream

    def receive(self, size: int) -> bytes:
        """Read up to `size` bytes; none means the server closed."""
        exchange = self._exchange
        try:
            if self._deadline is not None:
                self._bound(self._deadline)
            data: bytes = self._stream.recv(size)
        except (TimeoutError, BlockingIOError) as error:
            raise exchange.timed_out(total=self._total_passed()) from error
        except ssl.SSLEOFError as error:
            # Without TLS's closure alert anybody on the way may have cut the body short (RFC 9112 §9.8).
            raise IncompleteBody("the connection ended without TLS's goodbye") from error
        except OSError as error:
            raise ReadError(f"the connection failed in the middle of the body: {error}") from error
        exchange.received += len(data)
        return data

    def finish(self, body: BodyReader) -> None:
        """Give the connection back: the body has ended as its framing said."""
        exchange = self._exchange
        exchange.connection.read_at = self._manager.now()
        self._manager.release(exchange.connection, exchange.why_close(body))

    def discard(self) -> None:
        """Close the connection: what is left on it is not wanted."""
        self._manager.release(self._exchange.connection, Why.BODY_UNREAD)

    def close_failed(self) -> None:
        """Close the connection: the exchange on it has failed."""
        self._manager.release(self._exchange.connection, Why.EXCHANGE_FAILED)

    def drain_within(self, seconds: float) -> None:
        """Let all following `receive` calls together take this long at the most."""
        deadline = self._manager.now() + seconds
        self._deadline = deadline if self._deadline is None else min(deadline, self._deadline)

    def _bound(self, deadline: float) -> None:
        left = deadline - self._manager.now()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        read = self._exchange.timeout.read
        self._stream.set_timeout(left if read is None else min(read, left))

    def _total_passed(self) -> float | None:
        if self._deadline is not None and self._manager.now() >= self._deadline - CLOCK_SLACK:
            return self._exchange.timeout.total
        return None
