"""The pool's state behind its lock, for threads: waiting for a connection, dialling, giving back, closing.

Waits: in the queue, for a dial. What is decided is decided in `core`.

The lock guards the `PoolState` and nothing else. Under it there is no I/O, no close, no callback, no logging. What the
state orders is performed after it, by one thread at a time and in the order decided: a connection is closed before
anybody dials in its place, so that the server too never sees more sockets than the caps allow.
"""

from __future__ import annotations

import logging
import os
import threading
import warnings
import weakref
from collections import deque
from collections.abc import Callable

from keeppool.clock import clock
from keeppool.config import Limits
from keeppool.core.pool import PoolState
from keeppool.core.records import Close, Connection, Order, State, Ticket
from keeppool.errors import ConnectError, PoolClosed, PoolTimeout
from keeppool.events import Event, Why
from keeppool.net.dial import dial
from keeppool.net.stream import Liveness, gone
from keeppool.net.tls import TlsStore
from keeppool.pools import janitor, reports
from keeppool.pools.exchange import Exchange
from keeppool.pools.routes import Route
from keeppool.pools.snapshot import snapshot
from keeppool.stats import Stats

#: Idle connections looked at by one pass of the janitor between two takings of the lock.
BATCH = 256

# Looked up on the way of every request; as members of their classes they would cost three times as much.
_BUSY = State.BUSY
_IDLE = State.IDLE
_ALIVE = Liveness.IDLE

#: Every pool of the process, for `_forget_parents`.
_pools: weakref.WeakSet[GuardedPool] = weakref.WeakSet()


class GuardedPool:
    """A `PoolState`, its lock, and the sockets its orders are about.

    Args:
        limits: The caps.
        tell: Where events go, outside the lock; `None` if nobody listens. Held weakly: who listens often owns the pool.

    Thread safety:
        Any thread may call any method at any time, but not a signal handler: it may run inside the lock.
    """

    def __init__(self, limits: Limits, tell: Callable[[Event], None] | None) -> None:
        self.limits = limits
        self.tls = TlsStore()
        self._tell = None if tell is None else weakref.WeakMethod(tell)
        #: Exchanges whose response was dropped unread, and where it was made. A finalizer may run inside any lock, so
        #: all it does is append.
        self.dropped: deque[tuple[Exchange, str]] = deque()
        self._start_empty()
        _pools.add(self)

    def _start_empty(self) -> None:
        #: Guards `_state` and `_is_watched`. Held for a handful of statements; nothing under it waits.
        self._lock = threading.Lock()
        #: Held while orders are performed. Never taken with `_lock` held.
        self._performing = threading.RLock()
        self._state = PoolState(self.limits)
        self._is_watched = False

    # Getting a connection. What the pool has given is in `exchange.held` from the moment its tables say so.

    def acquire(self, exchange: Exchange, now: float, deadline: float | None, fresh: bool) -> Connection:
        """Get a connection that is open and alive: idle, dialled, or after a wait.

        Args:
            exchange: Whom it is for; its `held` says what is to be given back, by `give_up`, if this raises.
            now: The time.
            deadline: When the total timeout passes, if there is one.
            fresh: Only a new connection, or one used so recently that it can hardly be stale.

        Raises:
            PoolTimeout, PoolClosed, QueueFull, ConnectError: Nothing was sent.
            ServerDisconnected, ProtocolError: The server closed, or spoke, before it was asked. Nothing was sent.
        """
        state = self._state
        if self.dropped:
            self._collect_dropped()
        route = exchange.route
        with self._lock:
            got = exchange.held = state.requested(route.origin, route.policy, now, fresh)
            if type(got) is Ticket:
                # A lock is the cheapest thing a thread can wait on and another one can end the wait with.
                got.wake = threading.Lock()
                got.wake.acquire()
        if state.orders:
            self._perform()
        connection: Connection = self._wait(got, exchange, deadline) if type(got) is Ticket else got  # type: ignore[assignment]
        while connection.state is _BUSY:
            # Each is probed once: over TLS the probe reads, so a second one would find nothing where the first found an
            # end.
            liveness = connection.stream.probe()
            if liveness is _ALIVE:
                if self._tell is not None:
                    self.report(reports.reused(connection))
                return connection
            with self._lock:
                connection = exchange.held = state.found_dead(connection, _why(liveness), clock(), fresh)
        return self._dial(exchange, connection, deadline)

    def redial(self, exchange: Exchange, deadline: float | None) -> Connection:
        """Replace the connection of a failed attempt by a new one, in the same slot, for the one resend.

        Raises:
            PoolClosed, ConnectError: As `acquire`.
        """
        with self._lock:
            fresh = exchange.held = self._state.redialled(exchange.connection, Why.PEER_CLOSED, clock())
        if self._tell is not None:
            self.report(reports.resent(exchange))
        return self._dial(exchange, fresh, deadline)

    def _dial(self, exchange: Exchange, connection: Connection, deadline: float | None) -> Connection:
        """Open the connection's socket."""
        # Orders may stand for the socket whose place this one takes: it has to be closed first.
        self._perform()
        began = clock()
        try:
            limit = _shorter(exchange.timeout.connect, deadline, began)
            connection.stream = dial(connection.origin, timeout=limit, tls=self.tls)
        except ConnectError as error:
            if self._tell is not None:
                self.report(reports.connect_failed(connection, error))
            raise
        self._enter(connection, began)
        liveness = connection.stream.probe()
        if liveness is not _ALIVE:
            # Whatever is there was not said in answer to us, and must not be taken for it (RFC 9112 §9.2).
            exchange.connection = connection
            self.release(exchange, _why(liveness))
            raise exchange.spoken_too_early(closed=liveness is Liveness.CLOSED)
        return connection

    def _enter(self, connection: Connection, began: float) -> None:
        """Write down that a connection's socket is open; it was dialled since `began`."""
        with self._lock:
            wanted = self._state.connected(connection, clock())
        if self._tell is not None:
            self.report(reports.opened(connection, began))
        if not wanted:
            name = str(connection.origin)
            raise PoolClosed(f"the pool was closed while {name} was dialled", origin=name)

    def _wait(self, ticket: Ticket, exchange: Exchange, deadline: float | None) -> Connection:
        """Wait in the queue."""
        if self._tell is not None:
            self.report(reports.queued(ticket))
        # While somebody waits, a response dropped unread must give its slot back although nobody else may come by.
        janitor.watch(self)
        limit = _shorter(exchange.timeout.pool, deadline, clock())
        # -1 is `acquire`'s word for no limit; it refuses waits beyond TIMEOUT_MAX.
        if not ticket.wake.acquire(timeout=-1 if limit is None else min(limit, threading.TIMEOUT_MAX)):
            self._leave_queue(ticket, exchange.route, limit or 0.0)
        if ticket.failure is not None:
            raise ticket.failure
        with self._lock:
            connection = exchange.held = ticket.connection
        assert connection is not None, "bug: woken without a connection"
        return connection

    def _leave_queue(self, ticket: Ticket, route: Route, limit: float) -> None:
        """Give up with PoolTimeout, unless the connection came in the last moment."""
        with self._lock:
            if ticket.connection is None and ticket.failure is None:
                raise _pool_timeout(ticket, self._state, route, limit, clock())

    # Giving it back

    def release(self, exchange: Exchange, why: Why | None) -> None:
        """Give a connection back at its exchange's end; `why` tells why it cannot be used again, None that it can."""
        state, connection = self._state, exchange.connection
        with self._lock:
            if exchange.held is None or connection.state is not _BUSY:
                # Given back already, or inherited by fork, where it was closed and forgotten.
                return
            state.released(connection, why, clock())
            exchange.held = None
        if state.orders:
            self._perform()
        if not self._is_watched and connection.state is _IDLE:
            self._is_watched = True
            janitor.watch(self)
        if self._tell is not None and (event := reports.idle(connection)) is not None:
            self.report(event)

    def give_up(self, exchange: Exchange, error: BaseException | None = None) -> None:
        """Take back whatever an exchange holds that was broken off, by whatever exception, wherever it was."""
        with self._lock:
            held, exchange.held = exchange.held, None
            if type(held) is Ticket:
                self._state.abandoned(held, clock())
            elif type(held) is Connection and exchange.is_holder(held):
                self._take_back(held, exchange.why_failed(error, clock()))
        self._perform()

    def _take_back(self, connection: Connection, why: Why) -> None:
        if connection.state is State.BUSY:
            self._state.released(connection, why, clock())
        elif connection.state is State.CONNECTING:
            self._state.connect_failed(connection, clock())
            if connection.stream is not None:
                # Interrupted between the end of the dial and the word about it. Closing a new socket does not wait.
                connection.stream.abort()

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

    @property
    def is_empty(self) -> bool:
        """True if no connection is open or being dialled. Needs no lock: one number is read."""
        return not self._state.open

    # What nobody asks for: the janitor's rounds, and life after fork

    def sweep(self) -> bool:
        """Close idle connections that expired or that the server closed; False when nothing is left to watch."""
        self._collect_dropped()
        while self._close_expired():
            self._perform()
        with self._lock:
            idle = [(connection, connection.served) for connection in self._state.idle_connections()]
        for start in range(0, len(idle), BATCH):
            self._close_gone(idle[start : start + BATCH])
        self._perform()
        with self._lock:
            self._is_watched = bool(self._state.idle or self._state.waiting)
            return self._is_watched

    def _close_expired(self) -> bool:
        """Let the state order one batch of closes; False if none was due. Between two batches others have the lock."""
        with self._lock:
            before = self._state.open
            self._state.ticked(clock())
            return self._state.open < before

    def _close_gone(self, idle: list[tuple[Connection, int]]) -> None:
        """Close those whose socket says that the server has gone, if they have not been used meanwhile."""
        watched = {connection.stream: (connection, served) for connection, served in idle}
        for stream, liveness in gone(watched):
            connection, served = watched[stream]
            with self._lock:
                if connection.served == served:
                    self._state.peer_closed(connection, _why(liveness), clock())

    def _collect_dropped(self) -> None:
        """Close what responses dropped unread have left behind, and say where they were made."""
        while self.dropped:
            exchange, place = self.dropped.popleft()
            self.release(exchange, Why.BODY_UNREAD)
            text = f"a streamed response from {exchange.route.name} was dropped unread; it was made at {place}"
            warnings.warn(text, ResourceWarning, stacklevel=2)

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
        if self._tell is not None and done:
            now = clock()
            for order in done:
                if (event := reports.performed(order, now)) is not None:
                    self.report(event)

    def report(self, event: Event) -> None:
        """Tell whoever listens. An error of theirs is theirs: it is logged, and changes nothing here."""
        tell = None if self._tell is None else self._tell()
        if tell is not None:
            try:
                tell(event)
            except Exception:
                logging.getLogger("keeppool").exception("a listener failed at %r", event)


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
