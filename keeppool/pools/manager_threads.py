"""`PoolManager`: requests over a capped pool of persistent connections, for threads.

Waits for the network, one exchange at a time in the caller's thread. Who gets which connection is `pool_threads.py`'s
and the core's; whether a request is sent again is `exchange.py`'s.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from keeppool.clock import clock
from keeppool.closing import Closing
from keeppool.config import INHERIT, HostConfig, Inherit, LookUp, Timeout, TimeoutArgument, bad
from keeppool.errors import ExchangeError, InvalidBody
from keeppool.events import Event
from keeppool.net.stream import Stream
from keeppool.pools import janitor
from keeppool.pools.exchange import ASKS_AGAIN, Exchange
from keeppool.pools.lease import ThreadLease
from keeppool.pools.manager import Manager
from keeppool.pools.pool_threads import BlockingPool
from keeppool.pools.request import FieldsArgument
from keeppool.pools.response import Response
from keeppool.pools.send import send

if TYPE_CHECKING:
    from keeppool.wire.body import RequestBody
    from keeppool.wire.fields import FieldBlock
    from keeppool.wire.message import BodyReader


#: What a request ends with, and what lends it the connection until its body has ended.
KINDS = (Response, ThreadLease)


class PoolManager(Manager, Closing):
    """A capped pool of persistent connections to any number of hosts, for any number of threads.

    Args:
        limits: How many connections, and for how long; also a preset such as `keeppool.presets.CHROME`.
        timeout: Default waits: a `Timeout`, seconds for connecting and reading, or a pair of both.
        hosts: What is different for some hosts, by pattern; the most specific entry wins.
        defaults: What holds for all hosts unless an entry of `hosts` says otherwise.
        resolver: Asked for the addresses of names instead of the system's resolver; see `keeppool.Config`.
        config: All of the above in one, as `keeppool.load_config` returns it; an argument given beside it wins.
        on_event: Called with each `keeppool.events` event, in the thread where it happened, never under a lock.
            What it raises is logged by the logger "keeppool" and goes no further.

    Pickled or copied, it becomes a new pool with the same configuration and listener, and no connections.

    Raises:
        ConfigError: An argument that cannot be meant.

    Thread safety:
        Any thread may call any method at any time; a signal handler may not, as it may run inside the pool's lock.
    """

    _pool: BlockingPool

    def _open_pool(self, tell: Callable[[Event], None] | None) -> None:
        if self.config.resolver is not None:
            _check_blocking(self.config.resolver)
        self._pool = BlockingPool(self.config.limits, tell, self.config.resolver)
        # A manager dropped without `close` leaves its sockets to the janitor.
        self._orphaned = weakref.finalize(self, janitor.adopt, self._pool)

    # The public calls

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: FieldsArgument = None,
        body: Any = None,
        timeout: TimeoutArgument | Inherit = INHERIT,
        host: HostConfig | None = None,
        stream: bool = False,
        decode_content: bool = True,
    ) -> Response:
        """Send one request and return its response, whatever its status. Redirects and cookies are a `Session`'s.

        Args:
            method: Any token; standard methods in any case.
            url: Absolute, http or https.
            headers: A mapping, or pairs where a name repeats or order matters.
            body: bytes, text, a binary file, an iterable of bytes (on an event loop also an async one), or a function
                that makes one of these.
            timeout: Instead of the configured one: a `Timeout`, seconds, a (connect, read) pair, or None for no limit.
            host: Configuration for this request, over what is configured for its host.
            stream: True returns as soon as the head is there; read or close the response to free its connection.
            decode_content: False leaves gzip, deflate, br and zstd bodies as they are.

        Returns:
            The response. Without `stream` its body is whole and its connection is back in the pool.

        Raises:
            InvalidRequest: URL, method, header or body that HTTP cannot carry; nothing was sent.
            PoolError: No connection came free, or the pool is closed; nothing was sent.
            ConnectError: No connection could be opened; nothing was sent.
            ExchangeError: The exchange failed; see its `sent`, `received` and `retry_safe`.
        """
        checked, fields, prepared, chosen = self._checked(method, url, headers, body, timeout, host)
        return self.exchange(checked, url, fields, prepared, chosen, stream, host, decode_content)

    def exchange(
        self,
        method: bytes,
        url: str,
        fields: FieldBlock,
        body: RequestBody | None = None,
        timeout: Timeout | None = None,
        stream: bool = False,
        override: HostConfig | None = None,
        decode: bool = True,
    ) -> Response:
        """Do what `request` does with a request that is checked and rendered already: the way of a `Session`."""
        if body is not None and body.is_async:
            raise InvalidBody("an async iterable can be sent by an AsyncPoolManager only")
        started = clock()
        exchange = Exchange(self._locate(url, override), method, fields, body, timeout, started)
        try:
            opened = self._send(exchange, started)
            response = self._respond(KINDS, exchange, opened, url, decode, started)
            if not stream:
                response.preload()
        except BaseException as error:
            self._give_up(exchange, error, url, started)
        return response

    def close(self) -> None:
        """Close idle connections now and busy ones when they are done; every later request gets PoolClosed."""
        self._orphaned.detach()
        self._pool.close()

    def _send(self, exchange: Exchange, now: float) -> tuple[BodyReader, Stream]:
        """Send the request and read the response's head; once more on a new connection, where that is safe."""
        fresh = exchange.route.wants_fresh and exchange.is_unsafe()
        connection = self._pool.acquire(exchange, now, fresh)
        while True:
            stream = connection.stream
            assert isinstance(stream, Stream), "bug: lent without a socket"
            try:
                exchange.begin(connection, clock())
                head = send(exchange, stream)
                connection.read_at = clock()
                if head.status not in ASKS_AGAIN or not exchange.is_refused_unread(connection.read_at):
                    reader = exchange.open_body()
                    if connection.served == 1 and stream.is_tls:
                        # TLS 1.3 sends the ticket after the handshake: it is there once something was read.
                        self._pool.tls.remember(connection.origin, stream.tls)
                    return reader, stream
            except ExchangeError as error:
                if not exchange.may_resend(error):
                    raise
            exchange.resend()
            connection = self._pool.redial(exchange)


def _check_blocking(look_up: LookUp) -> None:
    """Refuse a function that nobody can await here.

    Raises:
        ConfigError: It is a coroutine function.
    """
    from inspect import iscoroutinefunction  # Imported late: few pools have a function of their own.

    if iscoroutinefunction(look_up):
        raise bad("resolver", look_up, "must be a plain function: a coroutine function is for event loops")
