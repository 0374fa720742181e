"""The pool's state behind its lock, for threads: waiting for a connection, dialling, giving back, closing.

Waits: in the queue, for a dial. What is decided is decided in `core`.

The lock guards the `PoolState` and nothing else. Under it there is no I/O, no close, no callback, no logging. What the
state orders is performed after it, by one thread at a time and in the order decided: a connection is closed before
anybody dials in its place, so that the server too never sees more sockets than the caps allow.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable

from keeppool.config import Limits, Timeout
from keeppool.core.pool import PoolState
from keeppool.core.records import Close, Connection, Order, State, Ticket
from keeppool.errors import PoolClosed, PoolTimeout
from keeppool.events import Event, Why
from keeppool.net.dial import dial
from keeppool.net.stream import Liveness, gone
from keeppool.net.tls import TlsStore
from keeppool.pools import janitor, reports
from keeppool.pools.clock import clock
from keeppool.pools.exchange import Exchange
from keeppool.pools.locate import Route
from keeppool.pools.snapshot import snapshot
from keeppool.stats import Stats

#: Idle connections looked at by one pass of the janitor between two takings of the lock.
BATCH = 256

# Looked up on the way of every request; as members of their classes they would cost three times as much.
_BUSY = State.BUSY
_CLOSED = State.CLOSED
_IDLE = State.IDLE
_ALIVE = Liveness.IDLE

#: Every pool of the process, for `_forget_parents`.
_pools: weakref.WeakSet[GuardedPool] = weakref.WeakSet()


class GuardedPool:
    """A `PoolState`, its lock, and the sockets its orders are about.

    Args:
        limits: The caps.
        on_event: Whoever listens; called outside the lock.

    Thread safety:
        Any thread may call any method at any time.
    """

    def __init__(self, limits: Limits, on_event: Callable[[Event], None] | None) -> None:
        self.limits = limits
        self.tls = TlsStore()
        self._on_event = on_event
        #: Connections whose holder was dropped unread. A finalizer may run inside any lock, so all it does is append.
        self.dropped: deque[Connection] = deque()
        self._start_empty()
        _pools.add(self)

    def _start_empty(self) -> None:
        #: Guards `_state` and `_is_watched`. Held for a handful of statements; nothing under it waits.
        self._lock = threading.Lock()
        #: Held while orders are performed. Never taken with `_lock` held.
        self._performing = threading.RLock()
        self._state = PoolState(self.limits)
        self._is_watched = False

    # Getting a connection

    def acquire(
        self, route: Route, timeout: Timeout, now: float, deadline: float | None, fresh: bool = False
    ) -> Connection:
        """Get a connection that is open and alive: idle, dialled, or after a wait.

        Args:
            route: Where to.
            timeout: `pool` and `connect` bound the wait and the dial.
            now: The time.
            deadline: When the total timeout passes, if there is one.
            fresh: Only a new connection, or one used so recently that it can hardly be stale.

        Raises:
            PoolTimeout, PoolClosed, QueueFull, ConnectError: Nothing is held.
        """
        state = self._state
        if self.dropped:
            self._collect_dropped()
        with self._lock:
            got = state.requested(route.origin, route.policy, now, fresh)
            if type(got) is Ticket:
                # A lock is the cheapest thing a thread can wait on and another one can end the wait with.
                got.wake = threading.Lock()
                got.wake.acquire()
        if state.orders:
            self._perform()
        if type(got) is Ticket:
            got = self._wait(got, route, timeout, deadline)
        return self._make_usable(got, timeout, deadline, fresh)  # type: ignore[arg-type]

    def redial(self, exchange: Exchange, deadline: float | None) -> None:
        """Replace the connection of a failed attempt by a new one, in the same slot, for the one resend.

        Raises:
            PoolClosed, ConnectError: Nothing is held.
        """
        with self._lock:
            fresh = self._state.redialled(exchange.connection, Why.PEER_CLOSED, clock())
        if self._on_event is not None:
            self._on_event(reports.resent(exchange))
        self._dial(fresh, exchange.timeout, deadline)
        exchange.connection = fresh

    def _make_usable(self, connection: Connection, timeout: Timeout, deadline: float | None, fresh: bool) -> Connection:
        """Probe an open connection, dial a new one; a dead one is replaced until one is alive."""
        while connection.state is _BUSY:
            liveness = connection.stream.probe()
            if liveness is _ALIVE:
                if self._on_event is not None:
                    self._on_event(reports.reused(connection))
                return connection
            with self._lock:
                connection = self._state.found_dead(connection, _why(liveness), clock(), fresh)
        self._dial(connection, timeout, deadline)
        return connection

    def _dial(self, connection: Connection, timeout: Timeout, deadline: float | None) -> None:
        """Open the connection's socket; on any failure its slot goes to the next."""
        # Orders may stand for the socket whose place this one takes: it has to be closed first.
        self._perform()
        began = clock()
        try:
            limit = _shorter(timeout.connect, deadline, began)
            connection.stream = dial(connection.origin, timeout=limit, tls=self.tls)
        except BaseException as error:
            with self._lock:
                self._state.connect_failed(connection, clock())
            self._perform()
            if self._on_event is not None:
                self._on_event(reports.connect_failed(connection, error))
            raise
        with self._lock:
            wanted = self._state.connected(connection, clock())
        if self._on_event is not None:
            self._on_event(reports.opened(connection, began))
        if not wanted:
            self._perform()
            name = str(connection.origin)
            raise PoolClosed(f"the pool was closed while {name} was dialled", origin=name)

    def _wait(self, ticket: Ticket, route: Route, timeout: Timeout, deadline: float | None) -> Connection:
        """Wait in the queue; a caller that leaves it, for whatever reason, leaves nothing behind."""
        if self._on_event is not None:
            self._on_event(reports.queued(ticket))
        # While somebody waits, a response dropped unread must give its slot back although nobody else may come by.
        janitor.watch(self)
        limit = _shorter(timeout.pool, deadline, clock())
        try:
            # -1 is `acquire`'s word for no limit; it refuses waits beyond TIMEOUT_MAX.
            served = ticket.wake.acquire(timeout=-1 if limit is None else min(limit, threading.TIMEOUT_MAX))
        except BaseException:
            with self._lock:
                self._state.abandoned(ticket, clock())
            self._perform()
            raise
        if not served:
            self._give_up(ticket, route, limit or 0.0)
        if ticket.failure is not None:
            raise ticket.failure
        assert ticket.connection is not None, "bug: woken without a connection"
        return ticket.connection

    def _give_up(self, ticket: Ticket, route: Route, limit: float) -> None:
        """Leave the queue with PoolTimeout, unless the connection came in the last moment."""
        with self._lock:
            if ticket.connection is not None or ticket.failure is not None:
                return
            now = clock()
            error = _pool_timeout(ticket, self._state, route, limit, now)
            self._state.abandoned(ticket, now)
        self._perform()
        raise error

    # Giving it back

    def release(self, connection: Connection, why: Why | None) -> None:
        """Give a connection back; `why` tells why it cannot be used again, None that it can."""
        state = self._state
        with self._lock:
            if connection.state is _CLOSED:
                # Inherited by fork: closed and forgotten already.
                return
            state.released(connection, why, clock())
        if state.orders:
            self._perform()
        if not self._is_watched and connection.state is _IDLE:
            self._is_watched = True
            janitor.watch(self)
        if self._on_event is not None and (event := reports.idle(connection)) is not None:
            self._on_event(event)

    def stats(self) -> Stats:
        """Take a snapshot of all gauges and counters, at one moment."""
        self._collect_dropped()
        with self._lock:
            return snapshot(self._state, clock())

    def close(self) -> None:
        """Close idle connections now and busy ones when they are done; refuse what comes later."""
        with self._lock:
            self._state.closed_by_user()
        self._perform()

    # What nobody asks for: the janitor's rounds, and life after fork

    def sweep(self) -> bool:
        """Close idle connections that expired or that the server closed; False when nothing is left to watch."""
        self._collect_dropped()
        with self._lock:
            self._state.ticked(clock())
            idle = [(connection, connection.served) for connection in self._state.idle_connections()]
        for start in range(0, len(idle), BATCH):
            self._close_gone(idle[start : start + BATCH])
        self._perform()
        with self._lock:
            self._is_watched = bool(self._state.idle or self._state.waiting)
            return self._is_watched

    def _close_gone(self, idle: list[tuple[Connection, int]]) -> None:
        """Close those whose socket says that the server has gone, if they have not been used meanwhile."""
        watched = {connection.stream: (connection, served) for connection, served in idle}
        for stream, liveness in gone(watched):
            connection, served = watched[stream]
            with self._lock:
                if connection.served == served:
                    self._state.peer_closed(connection, _why(liveness), clock())

    def _collect_dropped(self) -> None:
        while self.dropped:
            self.release(self.dropped.popleft(), Why.BODY_UNREAD)

    def forget_parent(self) -> None:
        """Start anew in a forked child: close the copies of the parent's sockets, without a word to the servers.

        A goodbye over TLS, or any byte, would break the parent's connection. Locks are replaced, because a thread that
        does not exist here may have held them.
        """
        inherited = self._state.everything()
        self.tls = TlsStore()
        self.dropped.clear()
        self._start_empty()
        for connection in inherited:
            connection.state = State.CLOSED
            if connection.stream is not None:
                connection.stream.abort()

    def _perform(self) -> None:
        """Do what the state ordered. An order is taken off when it is done, so that none is lost to an exception."""
        orders = self._state.orders
        done: list[Order] = []
        with self._performing:
            while orders:
                _carry_out(orders[0])
                done.append(orders.popleft())
        if self._on_event is not None and done:
            now = clock()
            for order in done:
                if (event := reports.performed(order, now)) is not None:
                    self._on_event(event)


def _forget_parents() -> None:
    for pool in list(_pools):
        pool.forget_parent()


os.register_at_fork(after_in_child=_forget_parents)


def _carry_out(order: Order) -> None:
    """Close a socket or wake a caller; doing it twice does no harm."""
    if isinstance(order, Close):
        order.connection.stream.close()
    elif order.ticket.wake.locked():
        order.ticket.wake.release()


def _why(liveness: Liveness) -> Why:
    return Why.PEER_CLOSED if liveness is Liveness.CLOSED else Why.UNASKED_DATA


def _shorter(limit: float | None, deadline: float | None, now: float) -> float | None:
    """Cut a limit down to what is left until the deadline; never to 0, which would not even try."""
    if deadline is None:
        return limit
    left = max(deadline - now, 0.001)
    return left if limit is None else min(limit, left)


def _pool_timeout(ticket: Ticket, state: PoolState, route: Route, limit: float, now: float) -> PoolTimeout:
    """Say what the pool looked like to a caller that waited in vain."""
    host = ticket.host
    cap, total, waited = host.policy.per_host, state.limits.total, now - ticket.since
    held = f", oldest held {now - next(iter(host.busy)).taken_at:.1f} s" if host.busy else ""
    text = (
        f"waited {waited:.1f} s for {route.name}: {host.open}/{'∞' if cap is None else cap} in use, "
        f"{len(host.waiters)} waiting{held}; {state.open}/{'∞' if total is None else total} in the whole pool"
    )
    return PoolTimeout(text, origin=route.name, in_use=host.open, waiting=len(host.waiters), waited=waited, limit=limit)
