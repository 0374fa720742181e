"""The pool's state behind its lock, for threads: waiting for a connection, dialling, giving back, closing.

Waits: in the queue, for a dial. What is decided is decided in `core`.

The lock guards the `PoolState` and nothing else. Under it there is no I/O, no close, no callback, no logging. What the
state orders is performed after it, by one thread at a time and in the order decided: a connection is closed before
anybody dials in its place, so that the server too never sees more sockets than the caps allow.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from keeppool.clock import clock
from keeppool.core.barging import BargingPoolState
from keeppool.core.pool import PoolState
from keeppool.core.records import Ask, Close, Connection, GiveBack, Serve, State, Ticket, Waiter
from keeppool.core.trust import seconds_to_watch
from keeppool.deferred import Deferred
from keeppool.errors import ConnectError
from keeppool.net.dial import dial
from keeppool.net.resolver import BlockingResolver
from keeppool.net.stream import Stream, gone
from keeppool.net.streams import Liveness
from keeppool.net.tls import TlsStore
from keeppool.pools import janitor
from keeppool.pools.exchange import Exchange, number_of
from keeppool.pools.pool import ALIVE, BUSY, IDLE, Pool, T, closed_as_ordered, why_unusable
from keeppool.pools.turns import Turns
from keeppool.pools.waiter import ThreadWaiter
from keeppool.pools.waits import CLOCK_SLACK, queue_wait, shorter
from keeppool.reasons import Why

if TYPE_CHECKING:
    from keeppool.core.pace import Paced
    from keeppool.fleet.membership import Call, Told, Wanted
    from keeppool.net import laps as net_laps
    from keeppool.pools import reports
    from keeppool.pools import timeline as timelines
else:
    net_laps = Deferred("keeppool.net.laps")
    reports = Deferred("keeppool.pools.reports")
    timelines = Deferred("keeppool.pools.timeline")

#: Idle connections looked at by one pass of the janitor between two takings of the lock.
BATCH = 256


class BlockingPool(Pool):
    """A `PoolState`, its lock, and the sockets its orders are about. Args as for `Pool`; events go out unlocked.

    Thread safety:
        Any thread may call any method at any time, but not a signal handler: it may run inside the lock.
    """

    def _start_empty(self) -> None:
        self.tls = TlsStore()
        self._resolver = BlockingResolver(self._look_up, ttl=self.limits.dns_ttl)
        #: Guards `_state` and `_is_watched`. Held for a handful of statements; nothing under it waits.
        self._lock = threading.Lock()
        #: Held while orders are performed. Never taken with `_lock` held.
        self._performing = threading.RLock()
        self._state: BargingPoolState = BargingPoolState(self.limits)
        self._turns = Turns(self._state)
        self._is_watched = False

    # Getting a connection. What the pool has given is in `exchange.held` from the moment its tables say so.

    def acquire(self, exchange: Exchange, now: float) -> Connection:
        """Get a connection that is open and alive: idle, dialled, or after a wait.

        Args:
            exchange: What it is for; its `held` says what is to be given back, by `give_up`, if this raises.
            now: The time.

        Raises:
            PoolTimeout, PoolClosed, QueueFull, ConnectError: Nothing was sent.
            ServerDisconnected, ProtocolError: The server closed, or sent something, too early. Nothing was sent.
        """
        state = self._state
        if self.dropped:
            self._collect_dropped()
        route = exchange.route
        if route.paced is not None and exchange.turn is None:
            return self._acquire_in_turn(exchange)
        with self._lock:
            state.given = None
            try:
                got = exchange.held = state.requested(route.origin, route.policy, now, exchange.is_unsafe)
            except BaseException:
                state.interrupted(now)
                raise
            if isinstance(got, Ticket):
                waiter = self._stand_in_line(got, exchange, now)
        if state.orders:
            self._perform()
        connection = self._wait(got, waiter, exchange) if isinstance(got, Ticket) else got
        while connection.state is BUSY:
            # Each is probed once: over TLS the probe reads, so a second one would find nothing where the first found an
            # end.
            stream = connection.stream
            assert isinstance(stream, Stream), "bug: lent without a socket"
            stream.others_run = state.open - len(state.shelved) > 1
            liveness = stream.probe() if not exchange.is_unsafe else _watched(stream, connection, exchange)
            if liveness is ALIVE:
                if self.is_followed:
                    self.report(reports.reused(connection, exchange))
                return connection
            connection = self._another(exchange, connection, why_unusable(liveness))
        return self._dial(exchange, connection)

    def _another(self, exchange: Exchange, dead: Connection, why: Why) -> Connection:
        """Get another connection in the place of one that turned out unusable."""
        with self._lock:
            now = clock()
            self._state.given = None
            try:
                got = exchange.held = self._state.found_dead(dead, why, now, exchange.is_unsafe)
            except BaseException:
                self._state.interrupted(now)
                raise
            if isinstance(got, Ticket):
                waiter = self._stand_in_line(got, exchange, now)
        if not isinstance(got, Ticket):
            return got
        self._perform()
        return self._wait(got, waiter, exchange)

    def _stand_in_line(self, ticket: Ticket, exchange: Exchange, now: float) -> ThreadWaiter:
        """Write down who waits, under the lock."""
        waiter = ticket.waiter = ThreadWaiter()
        if exchange.timeline is not None:
            exchange.timeline.queued(timelines.room_of(ticket, self.limits.total), now)
        return waiter

    def _acquire_in_turn(self, exchange: Exchange) -> Connection:
        """As `acquire`, for a host with a pace: when the connection is there, the request may start."""
        waiter = ThreadWaiter()
        while True:
            for seconds in self._turn_waits(exchange, waiter):
                # While somebody waits, a response dropped unread must end its turn although nobody else may come by.
                janitor.watch(self)
                waiter.wait(seconds)
            connection = self.acquire(exchange, clock())
            if self._starts(exchange, connection):
                return connection

    def _turn_look(self, exchange: Exchange, waiter: Waiter) -> float | None:
        with self._lock:
            return super()._turn_look(exchange, waiter)

    def _may_start(self, exchange: Exchange, connection: Connection) -> bool:
        with self._lock:
            return super()._may_start(exchange, connection)

    def redial(self, exchange: Exchange) -> Connection:
        """Replace the connection of a failed attempt by a new one, in the same slot, for the one resend.

        Raises:
            PoolClosed, ConnectError: As `acquire`.
        """
        return self._dial(exchange, self._resend_over(exchange))

    def _redialled(self, exchange: Exchange) -> Connection:
        with self._lock:
            self._state.given = None
            try:
                return super()._redialled(exchange)
            except BaseException:
                self._state.interrupted(clock())
                raise

    def _dial(self, exchange: Exchange, connection: Connection) -> Connection:
        """Open the connection's socket."""
        # Orders may stand for the socket whose place this one takes: it has to be closed first.
        self._perform()
        self.look_at_log()
        laps = net_laps.Laps() if self.is_heard else None
        if exchange.timeline is not None:
            exchange.timeline.laps = laps
        began = clock()
        seconds = shorter(exchange.timeout.connect, exchange.deadline, began)
        try:
            connection.stream = stream = dial(
                connection.origin, seconds=seconds, tls=self.tls, resolver=self._resolver, laps=laps
            )
        except ConnectError as error:
            self._report_failure(connection, number_of(exchange), error)
            raise
        if laps is not None:
            laps.end(stream.address)
        self._enter(exchange, connection, began)
        return self._silent(exchange, connection)

    def _enter(self, exchange: Exchange, connection: Connection, began: float) -> None:
        """Write down that a connection's socket is open; it was dialled for an exchange, since `began`."""
        with self._lock:
            is_wanted = self._state.connected(connection, clock())
        self._report_opened(connection, began, number_of(exchange), is_wanted=is_wanted)

    def _wait(self, ticket: Ticket, waiter: ThreadWaiter, exchange: Exchange) -> Connection:
        """Wait in the queue. Whoever wakes looks what there is; where a queue moves its time limit may be far off."""
        if self.is_heard:
            self.report(reports.queued(ticket, exchange))
        # While somebody waits, a response dropped unread must give its slot back although nobody else may come by.
        janitor.watch(self)
        state, now = self._state, ticket.since
        connection = None
        seconds, _ = queue_wait(exchange, 0.0, 0.0, now)
        while connection is None:
            waiter.wait(_first_of(seconds, state.looks_after(ticket, now)))
            with self._lock:
                now = clock()
                state.given = None
                try:
                    connection = state.came(ticket, now)
                except BaseException:
                    state.interrupted(now)
                    raise
                if connection is not None:
                    exchange.held = connection
                elif ticket.failure is not None:
                    raise ticket.failure
                else:
                    seconds, by = queue_wait(exchange, now - ticket.since, state.stalled(ticket, now), now)
                    if seconds is not None and seconds <= CLOCK_SLACK:
                        raise self.pool_timeout(ticket, exchange, by, now)
        if state.orders:
            self._perform()
        if self.is_heard:
            now = clock()
            if exchange.timeline is not None:
                exchange.timeline.let_in(now)
            self.report(reports.served(ticket, exchange, now))
        return connection

    # Giving it back

    def release(self, exchange: Exchange, why: Why | None, error: BaseException | None = None) -> None:
        """As in `Pool`."""
        state, connection = self._state, exchange.connection
        with self._lock:
            if exchange.held is None or connection.state is not BUSY:
                # Given back already, or inherited by fork, where it was closed and forgotten.
                return
            now = clock()
            state.given = None
            try:
                state.released(connection, why, now)
            except BaseException:
                state.interrupted(now)
                raise
            exchange.held = None
            if exchange.turn is not None:
                self._turns.ended(exchange, now)
        if state.orders:
            self._perform()
        if not self._is_watched and connection.state is IDLE:
            self._is_watched = True
            if not janitor.watch(self):
                self._is_watched = False
        if self.is_followed and (event := reports.idle(connection)) is not None:
            self.report(event)
        if exchange.timeline is not None:
            self.report_done(exchange, error, now, why)

    def _end_badly(self, exchange: Exchange, error: BaseException | None) -> None:
        with self._lock:
            self._take_back(exchange, error)
        self._perform()

    def hold(self, paced: Paced, retry_after: bytes | None, date: bytes | None) -> None:
        """Take note of a response's `Retry-After`, if it has one, for all requests to its host."""
        with self._lock:
            super().hold(paced, retry_after, date)

    def _answered(self, question: Callable[[PoolState, float], T]) -> T:
        with self._lock:
            return super()._answered(question)

    def close(self) -> None:
        """Close idle connections now and busy ones when they are done; refuse what comes later."""
        with self._lock:
            self._state.closed_by_user()
            self._turns.wake_all()
        self._perform()

    def leave_fleet(self) -> None:
        """Wait a moment until the fleet knows what a pool that is closed has given back."""
        if self._member is not None:
            self._member.close()

    @property
    def is_empty(self) -> bool:
        """True if no connection is open or being dialled. Needs no lock: one number is read."""
        return not self._state.open

    # What nobody asks for: the janitor's rounds, and life after fork

    def sweep(self) -> bool:
        """Close idle connections that expired or that the server closed; False when nothing is left to watch."""
        self.look_at_log()
        self._collect_dropped()
        if self._member is not None:
            self._member.hurry()
        while self._close_expired():
            self._perform()
        with self._lock:
            began = clock()
            idle = [(connection, connection.generation) for connection in self._state.idle_connections()]
        for start in range(0, len(idle), BATCH):
            self._close_gone(idle[start : start + BATCH])
        with self._lock:
            self._state.looked(began)
        self._perform()
        with self._lock:
            self._is_watched = bool(self._state.idle or self._state.waiting or self._turns.waiting)
            return self._is_watched

    def _close_expired(self) -> bool:
        """Let the state order one batch of closes; False if none was due. Between two batches others have the lock."""
        with self._lock:
            before = self._state.open
            self._state.ticked(clock())
            return self._state.open < before

    def _close_gone(self, idle: list[tuple[Connection, int]]) -> None:
        """Close those whose socket says that the server has gone, if they have not been used meanwhile."""
        watched = {one.stream: (one, generation) for one, generation in idle if isinstance(one.stream, Stream)}
        for stream, liveness in gone(watched):
            connection, generation = watched[stream]
            with self._lock:
                if connection.generation == generation:
                    self._state.peer_closed(connection, why_unusable(liveness), clock())

    def collect_soon(self) -> None:
        """As in `Pool`. Whoever comes by next looks: the janitor, or the next request."""

    def fleet_call(self, key: str) -> Call:
        """Say what the pool has and wants of a key. What was ordered to be closed before is closed first."""
        with self._lock:
            call = super().fleet_call(key)
        self._perform()
        return call

    def fleet_told(self, key: str, told: Told) -> Wanted:
        """Take note of what the fleet has said of a key."""
        with self._lock:
            wanted = super().fleet_told(key, told)
        self._perform()
        return wanted

    def fleet_forgot(self, key: str) -> None:
        """Take note that the fleet makes no more calls about a key until it is asked for one."""
        with self._lock:
            super().fleet_forgot(key)

    def fleet_held(self) -> dict[str, tuple[int, int]]:
        """Give the connections there are, and may be, by key."""
        with self._lock:
            return super().fleet_held()

    def forget_parent(self) -> None:
        """Start anew in a forked child: close the copies of the parent's sockets, and send the servers nothing.

        TLS's close_notify, or any byte, would break the parent's connection. Locks are replaced, because a thread that
        does not exist here may have held them.
        """
        inherited = self._state.everything()
        self.dropped.clear()
        self._start_empty()
        for connection in inherited:
            connection.state = State.CLOSED
            if connection.stream is not None:
                connection.stream.abort()

    def _perform(self) -> None:
        """Do what the state ordered. An order is taken off when it is done, so that none is lost to an exception."""
        orders = self._state.orders
        closed: list[Close] = []
        with self._performing:
            while orders:
                order = orders[0]
                if isinstance(order, Close):
                    closed_as_ordered(order)
                    closed.append(order)
                elif isinstance(order, Serve):
                    if order.ticket.waiter is not None:
                        order.ticket.waiter.wake()
                else:
                    assert isinstance(order, (Ask, GiveBack)), "bug: an order of a pool that binds late"
                    self._tell_fleet(order)
                orders.popleft()
        if self.is_heard and closed:
            self._report_closed(closed, clock())


def _watched(stream: Stream, connection: Connection, exchange: Exchange) -> Liveness:
    """Look whether a connection may carry a request that could not be sent again, for a moment where that is needed."""
    now = clock()
    seconds = shorter(seconds_to_watch(connection, now), exchange.deadline, now)
    return stream.probe_for(seconds) if seconds else stream.probe()


def _first_of(seconds: float | None, look: float | None) -> float | None:
    """Give the shorter of two waits, of which either may have no limit."""
    if seconds is None:
        return look
    return max(seconds if look is None else min(seconds, look), 0.0)
