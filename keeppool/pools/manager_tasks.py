"""`AsyncPoolManager`: requests over a capped pool of persistent connections, for the tasks of one event loop.

Awaits the network, one exchange at a time in the caller's task. Who gets which connection is `pool_tasks.py`'s
and the core's; whether a request is sent again is `exchange.py`'s.
"""

from __future__ import annotations

import weakref
from asyncio import get_running_loop
from collections.abc import Coroutine
from types import MethodType
from typing import Any, NoReturn

from keeppool.clock import clock
from keeppool.closing import AsyncClosing
from keeppool.core.records import Connection
from keeppool.deferred import have_urllib3
from keeppool.errors import ExchangeError, KeepPoolError, name_call
from keeppool.net.stream_tasks import Channel
from keeppool.pools.exchange import ASKS_AGAIN, Exchange
from keeppool.pools.lease_tasks import TaskLease
from keeppool.pools.manager import ExchangeArguments, Requesting
from keeppool.pools.pool import wanted_by
from keeppool.pools.pool_tasks import LoopPool
from keeppool.pools.response_tasks import AsyncResponse
from keeppool.pools.send_tasks import hear, send

#: What a request ends with, and what lends it the connection until its body has ended.
KINDS = (AsyncResponse, TaskLease)


class AsyncPoolManager(Requesting[Coroutine[Any, Any, AsyncResponse]], AsyncClosing):
    """A capped pool of persistent connections to any number of hosts, for any number of tasks on one event loop.

    Args:
        limits: How many connections, and for how long; also a preset such as `keeppool.presets.CHROME`.
        timeout: Default waits: a `Timeout`, seconds for connecting and reading, or a pair of both.
        hosts: What is different for some hosts, by pattern; the most specific entry wins.
        defaults: What holds for all hosts unless an entry of `hosts` says otherwise.
        resolver: Asked for the addresses of names instead of the system's resolver; see `keeppool.Config`.
        fleet: A `keeppool.fleet.Fleet` or its URL, to share caps and paces with the pools of other processes.
        config: All of the above in one, as `keeppool.load_config` returns it; an argument given beside it wins.
        on_event: Called with each `keeppool.events` event, on the event loop; it must not block.
            What it raises is logged by the logger "keeppool" and goes no further.

    Pickled or copied, it becomes a new pool with the same configuration and listener, and no connections.

    Raises:
        ConfigError: An argument of the wrong type or out of range.

    Thread safety:
        None. The first request binds the pool to the event loop it runs on; on any other one requests and `aclose`
        raise LoopError, as a connection cannot move. Once its loop is closed, `aclose` closes what is left, wherever
        it is called. A response dropped unread may be collected on any thread.
    """

    _pool: LoopPool
    #: Whether who asks for a body piece by piece takes each as it comes: then others may wait for the end of it.
    _reads_at_once = False

    def _open_pool(self, tell: MethodType | None) -> None:
        have_urllib3()  # An unusual URL needs it, when it would hold up the event loop for 60 ms.
        self._pool = LoopPool(self.config.limits, tell, self.config.resolver, wanted_by(self._on_event))
        # A manager dropped without `aclose` leaves its sockets to the event loop.
        self._orphaned = weakref.finalize(self, self._pool.abandon)

    # The public calls

    async def _refuse(self, error: Exception) -> NoReturn:
        raise error

    async def _carry(self, given: ExchangeArguments) -> AsyncResponse:
        method, url, fields, body, timeout, stream, override, decode = given
        pool = self._pool
        started = clock()
        try:
            if pool.loop is not get_running_loop():
                pool.bind()
            exchange = Exchange(self._locate(url, override), method, fields, body, timeout, started)
        except KeepPoolError as error:
            name_call(error, method, url)
            raise
        if self._before_send is not None:
            exchange = self._shown(given, started)
        elif pool.is_timed:
            pool.begin_timeline(exchange, started)
        if exchange.route.policy.pipelining > 1 and exchange.may_ride(fields):
            exchange.rides, exchange.streams = True, stream and not self._reads_at_once
        try:
            # Here, not in `_send`: each coroutine that waits is gone through once more when it goes on.
            connection = pool.lend(exchange, started) or await pool.obtain(exchange)
            source = await self._send(exchange, connection)
            response = self._respond(KINDS, exchange, source, url, stream, decode, started)
            if not stream and not response.is_whole:
                await response.preload()
        except BaseException as error:
            self._give_up(exchange, error, url, started)
        return response

    async def aclose(self) -> None:
        """Close idle connections now and busy ones when they are done; every later request gets PoolClosed."""
        await self._pool.aclose()
        # Not before: called on another loop, or cancelled, it leaves sockets for the finalizer to see to.
        self._orphaned.detach()

    async def _send(self, exchange: Exchange, connection: Connection) -> Channel:
        """Send the request and read the response's head; once more on a new connection, where that is safe."""
        pool = self._pool
        while True:
            stream = connection.stream
            assert isinstance(stream, Channel), "bug: lent without a socket"
            try:
                if not exchange.is_asked:
                    exchange.begin(connection, clock())
                    if exchange.rides:
                        pool.ask(exchange, stream)
                elif exchange.failure is not None:
                    raise exchange.blame(exchange.failure)
                elif exchange.request_sent and not exchange.rides:
                    hear(exchange, stream)  # Its task was woken by what came.
                if exchange.arrived is not None:
                    return stream
                head = exchange.answer or await send(exchange, stream)
                connection.read_at = clock()
                if head.status not in ASKS_AGAIN or not exchange.is_refused_unread(connection.read_at):
                    return stream
            except ExchangeError as error:
                if not exchange.may_resend(error):
                    raise
            exchange.resend()
            connection = await pool.redial(exchange)
