"""`PoolManager`: requests over a capped pool of persistent connections, for threads.

Waits for the network, one exchange at a time in the caller's thread. Who gets which connection is `pool_threads.py`'s
and the core's; whether a request is sent again is `exchange.py`'s.
"""

from __future__ import annotations

import weakref
from types import MethodType
from typing import NoReturn

from keeppool.checks import bad
from keeppool.clock import clock
from keeppool.closing import Closing
from keeppool.config import LookUp
from keeppool.errors import ExchangeError, InvalidBody, KeepPoolError, name_call
from keeppool.net.resolver import is_awaited
from keeppool.net.stream import Stream
from keeppool.pools import janitor
from keeppool.pools.exchange import ASKS_AGAIN, Exchange
from keeppool.pools.lease import ThreadLease
from keeppool.pools.manager import ExchangeArguments, Requesting
from keeppool.pools.pool import wanted_by
from keeppool.pools.pool_threads import BlockingPool
from keeppool.pools.response import Response
from keeppool.pools.send import send

#: What a request ends with, and what lends it the connection until its body has ended.
KINDS = (Response, ThreadLease)


class PoolManager(Requesting[Response], Closing):
    """A capped pool of persistent connections to any number of hosts, for any number of threads.

    Args:
        limits: How many connections, and for how long; also a preset such as `keeppool.presets.CHROME`.
        timeout: Default waits: a `Timeout`, seconds for connecting and reading, or a pair of both.
        hosts: What is different for some hosts, by pattern; the most specific entry wins.
        defaults: What holds for all hosts unless an entry of `hosts` says otherwise.
        resolver: Asked for the addresses of names instead of the system's resolver; see `keeppool.Config`.
        fleet: A `keeppool.fleet.Fleet` or its URL, to share caps and paces with the pools of other processes.
        config: All of the above in one, as `keeppool.load_config` returns it; an argument given beside it wins.
        on_event: Called with each `keeppool.events` event, in the thread where it happened, never under a lock.
            What it raises is logged by the logger "keeppool" and goes no further.

    Pickled or copied, it becomes a new pool with the same configuration and listener, and no connections.

    Raises:
        ConfigError: An argument of the wrong type or out of range.

    Thread safety:
        Any thread may call any method at any time; a signal handler may not, as it may run inside the pool's lock.
    """

    _pool: BlockingPool

    def _open_pool(self, tell: MethodType | None) -> None:
        if self.config.resolver is not None:
            _check_blocking(self.config.resolver)
        self._pool = BlockingPool(self.config.limits, tell, self.config.resolver, wanted_by(self._on_event))
        # A manager dropped without `close` leaves its sockets to the janitor.
        self._orphaned = weakref.finalize(self, janitor.adopt, self._pool)

    # The public calls

    def _refuse(self, error: Exception) -> NoReturn:
        raise error

    def _carry(self, given: ExchangeArguments) -> Response:
        method, url, fields, body, timeout, stream, override, decode = given
        started = clock()
        try:
            if body is not None and body.is_async:
                raise InvalidBody(
                    "an async iterable can only be sent on an event loop, by an AsyncSession or AsyncPoolManager"
                )
            exchange = Exchange(self._locate(url, override), method, fields, body, timeout, started)
        except KeepPoolError as error:
            name_call(error, method, url)
            raise
        if self._before_send is not None:
            exchange = self._shown(given, started)
        elif self._pool.is_timed:
            self._pool.begin_timeline(exchange, started)
        try:
            source = self._send(exchange, started)
            response = self._respond(KINDS, exchange, source, url, stream, decode, started)
            if not stream and not response.is_whole:
                response.preload()
        except BaseException as error:
            self._give_up(exchange, error, url, started)
        return response

    def close(self) -> None:
        """Close idle connections now and busy ones when they are done; every later request gets PoolClosed."""
        self._orphaned.detach()
        self._pool.close()
        self._pool.leave_fleet()

    def _send(self, exchange: Exchange, now: float) -> Stream:
        """Send the request and read the response's head; once more on a new connection, where that is safe."""
        connection = self._pool.acquire(exchange, now)
        while True:
            stream = connection.stream
            assert isinstance(stream, Stream), "bug: lent without a socket"
            try:
                exchange.begin(connection, clock())
                head = send(exchange, stream)
                connection.read_at = clock()
                if head.status not in ASKS_AGAIN or not exchange.is_refused_unread(connection.read_at):
                    return stream
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
    if is_awaited(look_up):
        raise bad("resolver", look_up, "must be a plain function: a coroutine function is for event loops")
