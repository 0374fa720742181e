"""The pool's state on one event loop, for tasks: waiting for a connection, dialling, giving back, closing.

Waits: for a turn, for a dial. What is decided is decided in `core`.

The twin of `guarded.py`, without its locks: nothing is awaited between a question to the `PoolState` and the use of its
answer. Dials are tasks of the pool, so a caller that is cancelled breaks off its own wait and nobody's connection
(`core/late.py`). A cancelled dial is over before another begins in its place, so that the server too never sees more
sockets than the caps allow.

Idle connections are watched by the event loop itself: a server's close is heard at once. One timer, there while
something on the shelf will expire, is all that is left of the janitor.

The file is long for this house: all that touches the state on an event loop stands here, so that one can see that
nothing is awaited in between.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import warnings
import weakref
from asyncio import get_running_loop
from collections import deque
from collections.abc import Callable
from functools import partial

from keeppool.clock import clock
from keeppool.config import Limits
from keeppool.core.late import LatePoolState
from keeppool.core.records import NEVER, Bind, Cancel, Close, Connect, Connection, LateOrder, Serve, State, Ticket
from keeppool.errors import ConnectError, ConnectTimeout, PoolClosed
from keeppool.events import Event, Why
from keeppool.net.dial_tasks import dial
from keeppool.net.stream import Liveness
from keeppool.net.stream_tasks import Channel
from keeppool.net.tls import TlsStore
from keeppool.pools import reports
from keeppool.pools.exchange import Exchange
from keeppool.pools.send import has_passed
from keeppool.pools.snapshot import snapshot
from keeppool.pools.waiter_tasks import TimeLimits, Turn, shorter
from keeppool.stats import Stats

# Looked up on the way of every request; as members of their classes they would cost three times as much.
_BUSY = State.BUSY
_IDLE = State.IDLE
_ALIVE = Liveness.IDLE

#: Every pool of the process, for `_forget_parents`.
_pools: weakref.WeakSet[LoopedPool] = weakref.WeakSet()
#: Channels and tasks of the parent process, kept for good: what asyncio does at their end, it would do to the parent.
_inherited: list[object] = []


class LoopedPool:
    """A `PoolState` and the channels its orders are about.

    Args:
        limits: The caps.
        tell: Where events go; `None` if nobody listens. Held weakly: who listens often owns the pool.

    Attributes:
        loop: The event loop it works on, from its first use on.
        dropped: As in `GuardedPool`.

    Thread safety:
        None: everything happens on one event loop. A finalizer may run anywhere, and only appends to `dropped`.
    """

    def __init__(self, limits: Limits, tell: Callable[[Event], None] | None) -> None:
        self.limits = limits
        self._tell = None if tell is None else weakref.WeakMethod(tell)
        self.dropped: deque[tuple[Exchange, str]] = deque()
        self._start_empty()
        _pools.add(self)

    def _start_empty(self) -> None:
        self.tls = TlsStore()
        self.loop: asyncio.AbstractEventLoop | None = None
        self._state = LatePoolState(self.limits)
        self._dials: dict[Connection, asyncio.Task[None]] = {}
        #: Every socket there is, from before its connection is made; for life after fork.
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        #: Dials that were cancelled and have not ended yet.
        self._leaving: set[asyncio.Task[None]] = set()
        self._is_performing = False
        self._waits: TimeLimits | None = None
        self._timer: asyncio.TimerHandle | None = None
        #: When the timer is due, on `clock`.
        self._timer_at = NEVER

    def bind(self) -> asyncio.AbstractEventLoop:
        """Give the running event loop, which is the pool's from the first call on.

        Raises:
            RuntimeError: It is another. A connection cannot move from one loop to another.
        """
        running = get_running_loop()
        if self.loop is not running:
            if self.loop is not None:
                raise RuntimeError(
                    f"this pool works on the event loop {self.loop!r} and cannot be used on {running!r}; "
                    "make one for each loop"
                )
            self.loop = running
        return running

    def _time_limits(self) -> TimeLimits:
        if self._waits is None:
            self._waits = TimeLimits(self.bind())
        return self._waits

    # Getting a connection. What the pool has given is in `exchange.held` from the moment its tables say so.

    def lend(self, exchange: Exchange, now: float, deadline: float | None, fresh: bool) -> Connection | None:
        """Give an idle connection that is alive, at once; `None` if the exchange has to wait, by `obtain`.

        Args:
            exchange: Whom it is for; its `held` says what is to be given back, by `give_up`, if this raises.
            now: The time.
            deadline: When the total timeout passes, if there is one.
            fresh: Only a new connection, or one used so recently that it can hardly be stale.

        Raises:
            PoolClosed, QueueFull: Nothing was sent.
        """
        state, route = self._state, exchange.route
        got = exchange.held = state.requested(route.origin, route.policy, now, fresh)
        if type(got) is Ticket:
            Turn(got, exchange, deadline, self._waits or self._time_limits())
        if state.orders:
            self._perform()
        return None if type(got) is Ticket else self._usable(exchange, got, deadline, fresh)

    async def obtain(self, exchange: Exchange, deadline: float | None, fresh: bool) -> Connection:
        """Wait for what `lend` had not got: for a dial, for a connection given back, whatever comes first.

        Args:
            exchange: With its ticket in `held`.
            deadline: As for `lend`.
            fresh: As for `lend`.

        Raises:
            PoolTimeout, PoolClosed, ConnectError: Nothing was sent.
            ServerDisconnected, ProtocolError: The server closed, or spoke, before it was asked. Nothing was sent.
        """
        connection = None
        while connection is None:
            ticket = exchange.held
            assert type(ticket) is Ticket, "bug: nothing to wait for"
            turn: Turn = ticket.wake
            if ticket.dial is None and self._tell is not None:
                turn.is_queued = True
                self.report(reports.queued(ticket))
            try:
                if ticket.connection is None and ticket.failure is None:
                    turn.bound(ticket.since)
                    await turn.future
            except TimeoutError as error:
                total = exchange.timeout.total if has_passed(deadline) else None
                raise exchange.failed(error, sending=False, total=total) from error
            finally:
                turn.end()
            got = exchange.held = ticket.connection or turn.result(self._state)
            if exchange.is_asked:
                return got
            if turn.is_queued:
                self.report(turn.served_at(got.taken_at))
            if ticket.reuses:
                connection = self._usable(exchange, got, deadline, fresh)
            else:
                connection = self._unspoken(exchange, got)
        return connection

    def _serve(self, ticket: Ticket, turn: Turn) -> None:
        """Let a caller go on whose ticket has ended; its request may be on its way afterwards."""
        turn.serve()
        if turn.exchange.is_asked and self._tell is not None and (connection := ticket.connection) is not None:
            if turn.is_queued:
                self.report(turn.served_at(connection.taken_at))
            self.report(reports.reused(connection))

    async def redial(self, exchange: Exchange, deadline: float | None) -> Connection:
        """Replace the connection of a failed attempt by a new one, in the same slot, for the one resend.

        Raises:
            PoolClosed, ConnectError: As `obtain`.
        """
        connection = exchange.held = self._state.redialled(exchange.connection, Why.PEER_CLOSED, clock())
        if self._tell is not None:
            self.report(reports.resent(exchange))
        self._perform()
        began = clock()
        connection.stream = await self._connect(connection, shorter(exchange.timeout.connect, deadline, began))
        wanted = self._state.connected(connection, clock())
        if self._tell is not None:
            self.report(reports.opened(connection, began))
        if not wanted:
            self._perform()
            name = exchange.route.name
            raise PoolClosed(f"the pool was closed while {name} was dialled", origin=name)
        return self._unspoken(exchange, connection)

    def _usable(
        self, exchange: Exchange, got: Connection | Ticket, deadline: float | None, fresh: bool
    ) -> Connection | None:
        """Probe an open connection; a dead one is replaced until one is alive. `None` if it takes a wait."""
        while type(got) is Connection:
            channel = got.stream
            liveness = channel.probe()
            if liveness is _ALIVE:
                channel.watch(None)
                if self._tell is not None:
                    self.report(reports.reused(got))
                return got
            got = exchange.held = self._state.found_stale(got, _why(liveness), clock(), fresh)
            if type(got) is Ticket:
                Turn(got, exchange, deadline, self._time_limits())
            self._perform()
        return None

    def _unspoken(self, exchange: Exchange, connection: Connection) -> Connection:
        """Check that a new connection is still alive and silent."""
        liveness = connection.stream.probe()
        if liveness is not _ALIVE:
            # Whatever is there was not said in answer to us, and must not be taken for it (RFC 9112 §9.2).
            exchange.connection = connection
            self.release(exchange, _why(liveness))
            raise exchange.spoken_too_early(closed=liveness is Liveness.CLOSED)
        return connection

    # Dialling

    def _begin_dial(self, connection: Connection) -> None:
        """Begin a dial for the caller who counts on it, within that one's limit."""
        ticket, limit = connection.ticket, None
        if ticket is not None and ticket.wake is not None:
            turn: Turn = ticket.wake
            limit = turn.begins(connection, clock())
        assert self.loop is not None, "bug: no event loop yet"
        # Not by the loop's own factory, which may make eager tasks (Python 3.12): a dial that begins right here begins
        # before the sockets are closed in whose place it comes, and may end before the pool has written it down.
        task = asyncio.Task(self._dial(connection, ticket, limit), loop=self.loop)
        self._dials[connection] = task
        task.add_done_callback(partial(self._dial_ended, connection))

    async def _dial(self, connection: Connection, ticket: Ticket | None, limit: float | None) -> None:
        """Open the connection, and let the state say whose it is; `ticket` is the caller it was begun for."""
        began = clock()
        try:
            connection.stream = channel = await self._connect(connection, limit)
        except Exception as error:
            self._dial_failed(connection, ticket, error)
            return
        if not self._state.dialled(connection, clock()):
            channel.abort()
            return
        if self._tell is not None:
            self.report(reports.opened(connection, began))
        self._perform()
        self._watch_if_idle(connection)

    async def _connect(self, connection: Connection, limit: float | None) -> Channel:
        """Open a connection's channel. It may take the place of a dial that is being broken off."""
        while self._leaving:
            await asyncio.wait(self._leaving)
        try:
            return await dial(connection.origin, timeout=limit, tls=self.tls, opened=self._sockets.add)
        except ConnectError as error:
            if self._tell is not None:
                self.report(reports.connect_failed(connection, error))
            raise

    def _dial_failed(self, connection: Connection, ticket: Ticket | None, error: Exception) -> None:
        """Report a failure; nobody is to pay for a time limit that another caller had set."""
        is_anothers = isinstance(error, ConnectTimeout) and error.limit is not None and connection.ticket is not ticket
        self._state.dial_failed(connection, None if is_anothers else error, clock())
        self._perform()

    def _dial_ended(self, connection: Connection, task: asyncio.Task[None]) -> None:
        """Forget a dial's task. One that was cancelled from outside has not reported anything yet."""
        del self._dials[connection]
        self._leaving.discard(task)
        if connection.state is State.CONNECTING:
            name = str(connection.origin)
            self._dial_failed(connection, None, ConnectError(f"{name}: the dial was broken off", origin=name))

    # Giving it back

    def release(self, exchange: Exchange, why: Why | None) -> None:
        """Give a connection back at its exchange's end; `why` tells why it cannot be used again, None that it can."""
        state, connection = self._state, exchange.connection
        if exchange.held is None or connection.state is not _BUSY:
            # Given back already, or inherited by fork, where it was closed and forgotten.
            return
        state.released(connection, why, clock())
        exchange.held = None
        if state.orders:
            self._perform()
        self._watch_if_idle(connection)

    def give_up(self, exchange: Exchange, error: BaseException | None = None) -> None:
        """Take back whatever an exchange holds that was broken off, by whatever exception, wherever it was."""
        held, exchange.held = exchange.held, None
        if type(held) is Ticket:
            got = held.connection
            self._state.abandoned(held, clock())
            if got is not None:
                self._watch_if_idle(got)
        elif type(held) is Connection and exchange.is_holder(held):
            self._take_back(held, exchange.why_failed(error, clock()))
        self._perform()

    def _take_back(self, connection: Connection, why: Why) -> None:
        if connection.state is _BUSY:
            self._state.released(connection, why, clock())
        elif connection.state is State.CONNECTING:
            self._state.connect_failed(connection, clock())

    def stats(self) -> Stats:
        """Take a snapshot of all gauges and counters, at one moment."""
        self._collect_dropped()
        return snapshot(self._state, clock())

    def close(self) -> None:
        """Close idle connections now and busy ones when they are done; break dials off; refuse what comes later."""
        self._state.closed_by_user()
        self._set_timer()
        if self._waits is not None:
            self._waits.close()
        self._perform()

    async def aclose(self) -> None:
        """As `close`; wait until idle connections are closed and dials broken off."""
        if self.loop is not None:
            self.bind()
        idle = [connection.stream for connection in self._state.idle_connections()]
        self.close()
        while self._dials:
            await asyncio.wait(self._dials.values())
        for channel in idle:
            await channel.wait_closed()

    def abandon(self) -> None:
        """Close everything, as nobody can ask for anything any more; from a finalizer, on whatever thread."""
        if self.loop is None or not self._state.open:
            return
        if self.loop.is_closed():
            self.close()
        else:
            self.loop.call_soon_threadsafe(self.close)

    # What nobody asks for: the server's closes, expiry, responses dropped unread, life after fork

    def _watch_if_idle(self, connection: Connection) -> None:
        """Listen to a connection that is on the shelf from here on, and see to its expiry."""
        if connection.state is not _IDLE:
            return
        connection.stream.watch(partial(self._heard, connection))
        if self._state.next_expiry() < self._timer_at:
            self._set_timer()
        if self._tell is not None and (event := reports.idle(connection)) is not None:
            self.report(event)

    def _heard(self, connection: Connection) -> None:
        """An idle connection has something to say: the server closed it, or sent what nobody asked for."""
        liveness = connection.stream.probe()
        if connection.state is _IDLE and liveness is not _ALIVE:
            self._state.peer_closed(connection, _why(liveness), clock())
            self._perform()

    def _set_timer(self) -> None:
        """Be called when the next connection on the shelf expires, or the next spare dial, if one does."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = self._state.next_expiry() if self._state.may_expire else NEVER
        if self._timer_at < NEVER and self.loop is not None:
            self._timer = self.loop.call_later(max(self._timer_at - clock(), 0.0), _tick, weakref.ref(self))

    def tick(self) -> None:
        """Close what has expired."""
        self._timer = None
        self._state.ticked(clock())
        self._perform()
        self._set_timer()

    def collect_soon(self) -> None:
        """Have `dropped` looked at by the event loop; from a finalizer, on whatever thread."""
        if self.loop is not None and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._collect_dropped)

    def _collect_dropped(self) -> None:
        """Close what responses dropped unread have left behind, and say where they were made."""
        while self.dropped:
            exchange, place = self.dropped.popleft()
            self.release(exchange, Why.BODY_UNREAD)
            text = f"a streamed response from {exchange.route.name} was dropped unread; it was made at {place}"
            warnings.warn(text, ResourceWarning, stacklevel=2)

    def forget_parent(self) -> None:
        """Start anew in a forked child: close the copies of the parent's sockets, without a word to the servers.

        Neither transports nor tasks are touched: they would take the sockets off the parent's event loop, whose
        epoll both processes share.
        """
        _inherited.extend(self._dials.values())
        for connection in self._state.everything():
            connection.state = State.CLOSED
            _inherited.append(connection.stream)
        for sock in list(self._sockets):
            # Not `close`, which under uvloop waits for its transport to let go of the socket.
            if (number := sock.detach()) >= 0:
                os.close(number)
        self.dropped.clear()
        self._start_empty()

    def _perform(self) -> None:
        """Do what the state ordered, in that order, and see to the end of dials that are spare from here on."""
        if self._is_performing:
            return  # Whoever is at it comes to the new orders too.
        orders = self._state.orders
        done: list[Close] = []
        try:
            self._is_performing = True
            while orders:
                # One that an interrupt ends stays, and comes first the next time: it may be done, and its caller gone.
                order = orders[0]
                if type(order) is Serve:
                    if order.ticket.wake is not None:
                        self._serve(order.ticket, order.ticket.wake)
                else:
                    self._carry_out(order)
                    if type(order) is Close:
                        done.append(order)
                orders.popleft()
        finally:
            self._is_performing = False
        if self._state.next_expiry() < self._timer_at:
            self._set_timer()
        if self._tell is not None and done:
            now = clock()
            for closed in done:
                if (event := reports.performed(closed, now)) is not None:
                    self.report(event)

    def _carry_out(self, order: LateOrder) -> None:
        """Carry out an order that is no `Serve`."""
        if type(order) is Close:
            order.connection.stream.close()
        elif type(order) is Connect:
            if order.connection.state is State.CONNECTING and order.connection not in self._dials:
                self._begin_dial(order.connection)
        elif type(order) is Cancel:
            if (task := self._dials.get(order.connection)) is not None:
                self._leaving.add(task)
                task.cancel()
        elif type(order) is Bind and order.ticket.wake is not None:
            order.ticket.wake.bound(clock())

    def report(self, event: Event) -> None:
        """Tell whoever listens. An error of theirs is theirs: it is logged, and changes nothing here."""
        tell = None if self._tell is None else self._tell()
        if tell is not None:
            try:
                tell(event)
            except Exception:
                logging.getLogger("keeppool").exception("a listener failed at %r", event)


def _tick(known: weakref.ref[LoopedPool]) -> None:
    """Let a pool's timer not keep the pool."""
    pool = known()
    if pool is not None:
        pool.tick()


def _forget_parents() -> None:
    for pool in list(_pools):
        pool.forget_parent()


os.register_at_fork(after_in_child=_forget_parents)


def _why(liveness: Liveness) -> Why:
    return Why.PEER_CLOSED if liveness is Liveness.CLOSED else Why.UNASKED_DATA
