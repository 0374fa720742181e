"""`PoolManager`: the pool for threads.

Waits: for a connection, for the network. Holds the lock, the clock and the sockets; what is decided is decided in
`core` and in `exchange.py`.

The lock guards the `PoolState` and nothing else. Under it there is no I/O, no close, no callback, no logging. What the
state orders is performed after it, by one thread at a time and in the order decided: a connection is closed before
anybody dials in its place, so that the server too never sees more sockets than the caps allow.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

from keeppool.config import INHERIT, Config, HostConfig, Inherit, Limits, Timeout, TimeoutArgument
from keeppool.core.pool import PoolState
from keeppool.core.records import Close, Connection, Order, State, Ticket
from keeppool.errors import ExchangeError, PoolClosed, PoolTimeout
from keeppool.events import Event, Why
from keeppool.net.dial import dial
from keeppool.net.stream import Liveness
from keeppool.net.tls import TlsStore
from keeppool.pools import reports
from keeppool.pools.converse import Conversation
from keeppool.pools.exchange import Exchange
from keeppool.pools.lease import ThreadLease
from keeppool.pools.locate import Locator, Route
from keeppool.pools.request import HeadersArgument, prepare_body, prepare_fields
from keeppool.pools.response import Response
from keeppool.pools.snapshot import snapshot
from keeppool.stats import Stats
from keeppool.wire.request import check_method

if TYPE_CHECKING:
    from keeppool.wire.body import RequestBody
    from keeppool.wire.fields import FieldBlock
    from keeppool.wire.head import ResponseHead
    from keeppool.wire.message import BodyReader

#: A clock that runs on while the machine sleeps: a connection is as stale after a suspend as after a wait. Linux has
#: one; elsewhere the monotonic clock is the best there is.
_CLOCK_ID = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boottime() -> float:
    """Seconds since the machine started, time asleep included."""
    return time.clock_gettime(_CLOCK_ID)


class PoolManager:
    """A capped pool of persistent connections to any number of hosts, for any number of threads.

    Args:
        limits: How many connections, and for how long; also a preset such as `keeppool.presets.CHROME`.
        timeout: Default waits: a `Timeout`, seconds for connecting and reading, or a pair of both.
        hosts: What is different for some hosts, by pattern; the most specific entry wins.
        defaults: What holds for all hosts unless an entry of `hosts` says otherwise.
        config: All of the above in one, as `keeppool.load_config` returns it; an argument given beside it wins.
        on_event: Called with each `keeppool.events` event, in the thread where it happened, never under a lock.
            What it raises reaches that thread's caller.

    Raises:
        ConfigError: An argument that cannot be meant.

    Thread safety:
        Any thread may call any method at any time.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        timeout: TimeoutArgument | Inherit = INHERIT,
        hosts: Mapping[str, HostConfig] | None = None,
        defaults: HostConfig | None = None,
        config: Config | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        base = config or Config()
        self.config = Config(
            limits=base.limits if limits is None else limits,
            timeout=base.timeout if timeout is INHERIT else Timeout.of(timeout, base.timeout),
            defaults=base.defaults if defaults is None else defaults,
            hosts=base.hosts if hosts is None else hosts,
        )
        self.now = boottime
        self._locate = Locator(self.config).locate
        self._tls = TlsStore()
        self._on_event = on_event
        #: Guards `_state`. Held for a handful of statements; nothing under it waits or runs foreign code.
        self._lock = threading.Lock()
        self._state = PoolState(self.config.limits)
        #: Held while orders are performed. Taken without `_lock`; may be held while taking it, never the reverse.
        self._performing = threading.RLock()

    # The public calls

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: HeadersArgument = None,
        body: Any = None,
        timeout: TimeoutArgument | Inherit = INHERIT,
        host: HostConfig | None = None,
        stream: bool = False,
        decode_content: bool = True,
    ) -> Response:
        """Send one request and return its answer, whatever its status. Redirects and cookies are a `Session`'s.

        Args:
            method: Any token; standard methods in any case.
            url: Absolute, http or https.
            headers: A mapping, or pairs where a name repeats or order matters.
            body: bytes, text, a binary file, an iterable of bytes, or a function that makes one of these.
            timeout: Instead of the configured one: a `Timeout`, seconds, a (connect, read) pair, or None for no limit.
            host: Configuration for this request, over what is configured for its host.
            stream: True returns as soon as the head is there; read or close the response to free its connection.
            decode_content: False leaves gzip, deflate, br and zstd bodies as they are.

        Returns:
            The answer. Without `stream` its body is whole and its connection is back in the pool.

        Raises:
            InvalidRequest: URL, method, header or body that HTTP cannot carry; nothing was sent.
            PoolError: No connection came free, or the pool is closed; nothing was sent.
            ConnectError: No connection could be opened; nothing was sent.
            ExchangeError: The exchange failed; see its `sent`, `received` and `retry_safe`.
        """
        checked = check_method(method)
        fields = prepare_fields(headers)
        return self.exchange(
            checked,
            url,
            fields,
            prepare_body(body, fields, checked),
            timeout=None if timeout is INHERIT else Timeout.of(timeout, self.config.timeout),
            stream=stream,
            override=host,
            decode=decode_content,
        )

    def exchange(
        self,
        method: bytes,
        url: str,
        fields: FieldBlock,
        body: RequestBody | None = None,
        *,
        timeout: Timeout | None = None,
        stream: bool = False,
        override: HostConfig | None = None,
        decode: bool = True,
    ) -> Response:
        """Do what `request` does with a request that is checked and rendered already: the way of a `Session`."""
        located = self._locate(url, override)
        exchange = Exchange(located, method, fields, body, timeout)
        started = self.now()
        total = exchange.timeout.total
        deadline = None if total is None else started + total
        connection = self._acquire(located.route, exchange.timeout, started, deadline)
        head, reader = self._converse(exchange, connection, deadline)
        connection = exchange.connection
        if self._on_event is not None:
            self._on_event(reports.answered(exchange, head, connection.read_at - started))
        try:
            first = reader.feed(exchange.rest) if exchange.rest else b""
        except ExchangeError as error:
            self.release(connection, Why.EXCHANGE_FAILED)
            raise exchange.blame(error) from error.__cause__
        answered = connection.read_at
        if reader.complete:
            lease = None
            self.release(connection, exchange.why_close(reader))
        else:
            lease = ThreadLease(self, exchange, deadline)
        response = Response(head, reader, lease, exchange, url, decode, first, started, answered)
        if not stream:
            try:
                response.preload()
            except BaseException:
                # An interrupt between two reads leaves the rest on the connection.
                response.close()
                raise
        return response

    def stats(self) -> Stats:
        """Take a snapshot of all gauges and counters, at one moment."""
        with self._lock:
            return snapshot(self._state)

    def close(self) -> None:
        """Close idle connections now and busy ones when they are done; every later request gets PoolClosed."""
        with self._lock:
            self._state.closed_by_user()
        self._perform()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        stats = self.stats()
        return f"<PoolManager {stats.open} open, {stats.busy} busy, {stats.waiting} waiting>"

    # One exchange

    def _converse(
        self, exchange: Exchange, connection: Connection, deadline: float | None
    ) -> tuple[ResponseHead, BodyReader]:
        """Send the request and read the answer's head; once more on a new connection, where that is safe.

        Whatever is raised, the connection has been given back.
        """
        while True:
            try:
                exchange.begin(connection, self.now())
                head = Conversation(exchange, connection.stream, deadline, self.now).run()
                connection.read_at = self.now()
                if head.status != 408 or not exchange.is_late_408(connection.read_at):
                    reader = exchange.open_body()
                    if connection.stream.is_tls:
                        self._tls.remember(connection.origin, connection.stream.sock)
                    return head, reader
            except ExchangeError as error:
                if not exchange.may_resend(error):
                    self.release(connection, Why.EXCHANGE_FAILED)
                    raise exchange.blame(error) from error.__cause__
            except BaseException:
                self.release(connection, Why.EXCHANGE_FAILED)
                raise
            connection = self._redial(exchange, connection, deadline)

    # Getting a connection

    def _acquire(self, route: Route, timeout: Timeout, now: float, deadline: float | None) -> Connection:
        """Get a connection that is open and alive: idle, dialled, or after a wait."""
        state = self._state
        with self._lock:
            got = state.requested(route.origin, route.policy, now)
            if type(got) is Ticket:
                # A lock is the cheapest thing a thread can wait on and another one can end the wait with.
                got.wake = threading.Lock()
                got.wake.acquire()
        if state.orders:
            self._perform()
        if type(got) is Ticket:
            got = self._wait(got, route, timeout, deadline)
        return self._make_usable(got, timeout, deadline)  # type: ignore[arg-type]

    def _make_usable(self, connection: Connection, timeout: Timeout, deadline: float | None) -> Connection:
        """Probe an open connection, dial a new one; a dead one is replaced until one is alive."""
        while connection.state is State.BUSY:
            liveness = connection.stream.probe()
            if liveness is Liveness.IDLE:
                if self._on_event is not None:
                    self._on_event(reports.reused(connection))
                return connection
            why = Why.PEER_CLOSED if liveness is Liveness.CLOSED else Why.UNASKED_DATA
            with self._lock:
                connection = self._state.found_dead(connection, why, self.now())
        self._dial(connection, timeout, deadline)
        return connection

    def _dial(self, connection: Connection, timeout: Timeout, deadline: float | None) -> None:
        """Open the connection's socket; on any failure its slot goes to the next."""
        # Orders may stand for the socket whose place this one takes: it has to be closed first.
        self._perform()
        began = self.now()
        try:
            limit = timeout.connect
            if deadline is not None:
                left = max(deadline - began, 0.001)
                limit = left if limit is None else min(limit, left)
            connection.stream = dial(connection.origin, timeout=limit, tls=self._tls)
        except BaseException as error:
            with self._lock:
                self._state.connect_failed(connection, self.now())
            self._perform()
            if self._on_event is not None:
                self._on_event(reports.connect_failed(connection, error))
            raise
        with self._lock:
            wanted = self._state.connected(connection, self.now())
        if self._on_event is not None:
            self._on_event(reports.opened(connection, began, connection.stream.resumed))
        if not wanted:
            self._perform()
            name = str(connection.origin)
            raise PoolClosed(f"the pool was closed while {name} was dialled", origin=name)

    def _wait(self, ticket: Ticket, route: Route, timeout: Timeout, deadline: float | None) -> Connection:
        """Wait in the queue; a caller that leaves it, for whatever reason, leaves nothing behind."""
        if self._on_event is not None:
            self._on_event(reports.queued(ticket))
        limit = timeout.pool
        if deadline is not None:
            left = max(deadline - self.now(), 0.0)
            limit = left if limit is None else min(limit, left)
        try:
            # -1 is `acquire`'s word for no limit; it refuses waits beyond TIMEOUT_MAX.
            served = ticket.wake.acquire(timeout=-1 if limit is None else min(limit, threading.TIMEOUT_MAX))
        except BaseException:
            with self._lock:
                self._state.abandoned(ticket, self.now())
            self._perform()
            raise
        if not served:
            self._give_up(ticket, route, limit)
        if ticket.failure is not None:
            raise ticket.failure
        assert ticket.connection is not None, "bug: woken without a connection"
        return ticket.connection

    def _give_up(self, ticket: Ticket, route: Route, limit: float | None) -> None:
        """Leave the queue with PoolTimeout, unless the connection came in the last moment."""
        with self._lock:
            if ticket.connection is not None or ticket.failure is not None:
                return
            now = self.now()
            error = _pool_timeout(ticket, self._state, route, limit or 0.0, now)
            self._state.abandoned(ticket, now)
        self._perform()
        raise error

    # Giving it back

    def release(self, connection: Connection, why: Why | None) -> None:
        """Give a connection back; `why` tells why it cannot be used again, None that it can."""
        state = self._state
        with self._lock:
            state.released(connection, why, self.now())
        if state.orders:
            self._perform()
        if self._on_event is not None and (event := reports.idle(connection)) is not None:
            self._on_event(event)

    def _redial(self, exchange: Exchange, connection: Connection, deadline: float | None) -> Connection:
        """Replace the connection of a failed attempt by a new one, in the same slot, for the one resend."""
        sent = exchange.sent
        try:
            exchange.resend()
        except BaseException:
            self.release(connection, Why.EXCHANGE_FAILED)
            raise
        with self._lock:
            fresh = self._state.redialled(connection, Why.PEER_CLOSED, self.now())
        if self._on_event is not None:
            self._on_event(reports.resent(exchange, sent))
        self._dial(fresh, exchange.timeout, deadline)
        return fresh

    def _perform(self) -> None:
        """Do what the state ordered. An order is taken off when it is done, so that none is lost to an exception."""
        orders = self._state.orders
        done: list[Order] = []
        with self._performing:
            while orders:
                order = orders[0]
                _carry_out(order)
                orders.popleft()
                done.append(order)
        if self._on_event is not None and done:
            now = self.now()
            for order in done:
                if (event := reports.performed(order, now)) is not None:
                    self._on_event(event)


def _carry_out(order: Order) -> None:
    """Close a socket or wake a caller; doing it twice does no harm."""
    if isinstance(order, Close):
        if order.connection.stream is not None:
            order.connection.stream.close()
    elif order.ticket.wake.locked():
        order.ticket.wake.release()


def _pool_timeout(ticket: Ticket, state: PoolState, route: Route, limit: float, now: float) -> PoolTimeout:
    """Say what the pool looked like to a caller that waited in vain."""
    host = ticket.host
    cap = host.policy.per_host
    held = f", oldest held {now - next(iter(host.busy)).taken_at:.1f} s" if host.busy else ""
    text = (
        f"waited {now - ticket.since:.1f} s for {route.name}: {host.open}/{'∞' if cap is None else cap} in use, "
        f"{len(host.waiters)} waiting{held}; {state.open}/{state.limits.total or '∞'} in the whole pool"
    )
    return PoolTimeout(
        text, origin=route.name, in_use=host.open, waiting=len(host.waiters), waited=now - ticket.since, limit=limit
    )
