"""The pool's state on one event loop, for tasks: waiting for a connection, dialling, giving back, closing.

Waits: for a turn, for a dial. What is decided is decided in `core`.

The twin of `pool_threads.py`, without its locks: nothing is awaited between a question to the `PoolState` and the use
of its answer. Dials are tasks of the pool, so a caller that is cancelled breaks off its own wait and no connection
(`core/late.py`). A cancelled dial is over before another begins in its place, so that the server too never sees more
sockets than the caps allow.

Idle connections are watched by the event loop itself: a server's close is noticed at once. One timer, there while
something on the shelf will expire, is all that is left of the janitor.

The file is long for this house: all that touches the state on an event loop stands here, so that one can see that
nothing is awaited in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import weakref
from asyncio import get_running_loop
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING

from keeppool.clock import clock
from keeppool.core.pool import PoolState
from keeppool.core.records import (
    NEVER,
    Ask,
    Bind,
    Board,
    Cancel,
    Close,
    Connect,
    Connection,
    GiveBack,
    Order,
    Return,
    Serve,
    State,
    Ticket,
)
from keeppool.core.riding import ANNOUNCED, LONGEST_STALL, RidingPoolState
from keeppool.core.trust import seconds_to_watch
from keeppool.deferred import Deferred
from keeppool.errors import ConnectError, ConnectTimeout, ExchangeError, LoopError, ReadTimeout
from keeppool.net.dial_tasks import dial
from keeppool.net.eventloops import check_watches_sockets
from keeppool.net.laps import Laps
from keeppool.net.resolver_tasks import LoopResolver
from keeppool.net.stream_tasks import Channel
from keeppool.net.tls import TlsStore
from keeppool.pools.exchange import Exchange, number_of
from keeppool.pools.pipeline_tasks import TaskPipeline
from keeppool.pools.pool import ALIVE, BUSY, IDLE, Pool, T, closed_as_ordered, why_unusable
from keeppool.pools.send_tasks import ask
from keeppool.pools.turns import Turns
from keeppool.pools.waiter_tasks import TaskWaiter, TurnWaiter, WaitEnds
from keeppool.pools.waits import shorter, total_passed
from keeppool.reasons import Why
from keeppool.wire.framing import Kind

if TYPE_CHECKING:
    from keeppool.fleet.membership import Call, Told, Wanted
    from keeppool.pools import reports
    from keeppool.pools import timeline as timelines
    from keeppool.wire.message import BodyReader
else:
    reports = Deferred("keeppool.pools.reports")
    timelines = Deferred("keeppool.pools.timeline")

#: Seconds a question from another thread waits for the event loop. What blocks one for longer is a fault of its own,
#: and whoever asks, such as a scrape, should hear of it.
LONGEST_LOOK = 2.0

#: Channels and tasks of the parent process, kept for good: what asyncio does at their end, it would do to the parent.
_inherited: list[object] = []


class LoopPool(Pool):
    """A `PoolState` and the channels its orders are about. Args as for `Pool`.

    Attributes:
        loop: The event loop it works on, from its first use on.

    Thread safety:
        None: everything happens on one event loop. A finalizer may run anywhere, and only appends to `dropped`.
    """

    is_for_tasks = True

    def _start_empty(self) -> None:
        self.tls = TlsStore()
        self._resolver = LoopResolver(self._look_up, ttl=self.limits.dns_ttl)
        self.loop: asyncio.AbstractEventLoop | None = None
        self._owner: dict[str, asyncio.AbstractEventLoop] = {}
        self._state: RidingPoolState = RidingPoolState(self.limits)
        #: The connections somebody rides on.
        self._pipelines: dict[Connection, TaskPipeline] = {}
        #: Those whose next rider has its turn, and of which nothing was read for it yet.
        self._moved: list[TaskPipeline] = []
        self._turns = Turns(self._state)
        self._dials: dict[Connection, asyncio.Task[None]] = {}
        #: Every socket there is, from before its connection is made; for life after fork.
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        #: Dials that were cancelled and have not ended yet.
        self._leaving: set[asyncio.Task[None]] = set()
        self._is_performing = False
        self._wait_ends: WaitEnds | None = None
        self._timer: asyncio.TimerHandle | None = None
        #: When the timer is due, on `clock`.
        self._timer_at = NEVER

    def bind(self) -> asyncio.AbstractEventLoop:
        """Give the running event loop, which is the pool's from the first call on.

        Raises:
            LoopError: It is another, and a connection cannot move from one loop to another; or it is one of Windows'
                kind, which cannot watch sockets.
        """
        running = get_running_loop()
        if self.loop is not running:
            check_watches_sockets(running)
            # One of two threads that come first at the same time binds it: `setdefault` is one step.
            owner = self._owner.setdefault("loop", running)
            if owner is not running:
                raise LoopError(
                    f"this pool works on the event loop {owner!r} and cannot be used on {running!r}; "
                    "make one for each loop"
                )
            self.loop = running
        return running

    def _make_wait_ends(self) -> WaitEnds:
        if self._wait_ends is None:
            self._wait_ends = WaitEnds(self.bind(), self._state.stalled)
        return self._wait_ends

    # Getting a connection. What the pool has given is in `exchange.held` from the moment its tables say so.

    def lend(self, exchange: Exchange, now: float) -> Connection | None:
        """Give an idle connection that is alive, at once; `None` if the exchange has to wait, by `obtain`.

        Args:
            exchange: What it is for; its `held` says what is to be given back, by `give_up`, if this raises.
            now: The time.

        Raises:
            PoolClosed, QueueFull: Nothing was sent.
        """
        state, route = self._state, exchange.route
        if route.paced is not None and exchange.turn is None:
            return None
        got = exchange.held = state.requested(route.origin, route.policy, now, exchange.is_unsafe)
        if type(got) is Ticket:
            TaskWaiter(got, exchange, self._wait_ends or self._make_wait_ends())
            if exchange.rides:
                state.offered(got, exchange.streams, now)
        if state.orders:
            self._perform()
        return None if type(got) is Ticket else self._usable(exchange, got)

    async def obtain(self, exchange: Exchange) -> Connection:
        """Wait for what `lend` had not got: for a dial, for a connection given back, whatever comes first.

        Args:
            exchange: With its ticket in `held`, with a connection that is to be watched first, or, where its host has a
                pace, with nothing yet.

        Raises:
            PoolTimeout, PoolClosed, ConnectError: Nothing was sent.
            ServerDisconnected, ProtocolError: The server closed, or sent something, too early. Nothing was sent.
        """
        if exchange.route.paced is not None and exchange.turn is None:
            return await self._obtain_in_turn(exchange)
        connection = None
        while connection is None:
            ticket = exchange.held
            if isinstance(ticket, Connection):
                await self._watch(exchange, ticket)
                connection = self._usable(exchange, ticket)
                continue
            assert isinstance(ticket, Ticket), "bug: nothing to wait for"
            waiter = ticket.waiter
            assert isinstance(waiter, TaskWaiter), "bug: nobody waits"
            if ticket.dial is None and ticket.ride is None and self.is_heard:
                self._report_queued(ticket, waiter)
            try:
                if ticket.connection is None and ticket.failure is None:
                    waiter.bound(ticket.since)
                    await waiter.future
                    if waiter.waits_on:
                        await waiter.future
            except TimeoutError as error:
                error.__traceback__ = None  # The future has the error, this frame the future: it would hold itself.
                raise exchange.failed(error, sending=False, total=total_passed(exchange)) from error
            finally:
                waiter.end()
            got = ticket.connection or waiter.result(self._state, self)
            if exchange.is_asked:
                return got  # What it holds was written down when that was given to it, or given back.
            exchange.held = got
            if waiter.is_queued:
                self.report(waiter.served_at(got.taken_at))
            connection = self._usable(exchange, got) if ticket.reuses else self._silent(exchange, got)
        return connection

    def _report_queued(self, ticket: Ticket, waiter: TaskWaiter) -> None:
        exchange, waiter.is_queued = waiter.exchange, True
        if exchange.timeline is not None:
            exchange.timeline.queued(timelines.room_of(ticket, self.limits.total), ticket.since)
        self.report(reports.queued(ticket, exchange))

    async def _obtain_in_turn(self, exchange: Exchange) -> Connection:
        """As `obtain`, for a host with a pace: when the connection is there, the request may start."""
        waiter = TurnWaiter(self.bind())
        while True:
            for seconds in self._turn_waits(exchange, waiter):
                await waiter.wait(seconds)
            connection = self.lend(exchange, clock()) or await self.obtain(exchange)
            if self._starts(exchange, connection):
                return connection

    async def redial(self, exchange: Exchange) -> Connection:
        """Replace the connection of a failed attempt by a new one, in the same slot, for the one resend.

        Raises:
            PoolClosed, ConnectError: As `obtain`.
        """
        self._pipeline_breaks(exchange)
        connection = self._resend_over(exchange)
        self._perform()
        began, number = clock(), number_of(exchange)
        seconds = shorter(exchange.timeout.connect, exchange.deadline, began)
        connection.stream = await self._connect(connection, seconds, exchange)
        is_wanted = self._state.connected(connection, clock())
        self._perform()
        self._report_opened(connection, began, number, is_wanted=is_wanted)
        return self._silent(exchange, connection)

    async def _watch(self, exchange: Exchange, connection: Connection) -> None:
        """Wait until a connection whose close may be on its way is heard of, or has been silent for long enough."""
        channel, now = connection.stream, clock()
        assert isinstance(channel, Channel), "bug: lent without a channel"
        channel.watch(None)
        try:
            await channel.wait_readable(shorter(seconds_to_watch(connection, now), exchange.deadline, now))
        except TimeoutError:
            pass  # It is silent.

    def _usable(self, exchange: Exchange, got: Connection | Ticket) -> Connection | None:
        """Probe an open connection; a dead one is replaced until one is alive. `None` if it takes a wait."""
        while isinstance(got, Connection):
            channel = got.stream
            assert isinstance(channel, Channel), "bug: lent without a channel"
            liveness = channel.probe()
            if liveness is ALIVE:
                if exchange.is_unsafe and seconds_to_watch(got, clock()):
                    return None
                channel.watch(None)
                if self.is_followed:
                    self.report(reports.reused(got, exchange))
                return got
            got = exchange.held = self._state.found_stale(got, why_unusable(liveness), clock(), exchange.is_unsafe)
            if isinstance(got, Ticket):
                TaskWaiter(got, exchange, self._make_wait_ends())
            self._perform()
        return None

    # Dialling

    def _begin_dial(self, connection: Connection) -> None:
        """Begin a dial for the caller who counts on it, within that one's limit."""
        ticket, seconds, exchange = connection.ticket, None, None
        if ticket is not None and isinstance(ticket.waiter, TaskWaiter):
            seconds, exchange = ticket.waiter.begins(connection, clock()), ticket.waiter.exchange
        assert self.loop is not None, "bug: no event loop yet"
        # Not by the loop's own factory, which may make eager tasks (Python 3.12): a dial that begins right here begins
        # before the sockets are closed in whose place it comes, and may end before the pool has written it down.
        task = asyncio.Task(self._dial(connection, ticket, seconds, exchange), loop=self.loop)
        self._dials[connection] = task
        task.add_done_callback(partial(self._dial_ended, connection))

    async def _dial(
        self, connection: Connection, ticket: Ticket | None, seconds: float | None, exchange: Exchange | None
    ) -> None:
        """Open the connection, and let the state say whose it is; it was begun for the caller with this ticket."""
        began, number = clock(), number_of(exchange)
        try:
            connection.stream = channel = await self._connect(connection, seconds, exchange)
        except Exception as error:
            self._dial_failed(connection, ticket, error)
            return
        if not self._state.dialled(connection, clock()):
            channel.abort()
            return
        if self.is_heard:
            self.report(reports.opened(connection, began, number))
        self._perform()
        self._watch_if_idle(connection)

    async def _connect(self, connection: Connection, seconds: float | None, exchange: Exchange | None) -> Channel:
        """Open a connection's channel for an exchange. It may take the place of a dial that is being broken off."""
        self.look_at_log()
        laps = Laps() if self.is_heard else None
        if exchange is not None and exchange.timeline is not None:
            exchange.timeline.laps = laps
        number = number_of(exchange)
        while self._leaving:
            await asyncio.wait(self._leaving)
        try:
            channel = await dial(
                connection.origin,
                seconds=seconds,
                tls=self.tls,
                resolver=self._resolver,
                opened=self._sockets.add,
                laps=laps,
            )
        except ConnectError as error:
            self._report_failure(connection, number, error)
            raise
        if laps is not None:
            laps.end(channel.address)
        return channel

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

    # Requests behind each other on one connection

    def ask(self, exchange: Exchange, channel: Channel) -> None:
        """Send a request that others may follow, as far as it takes no waiting, and let them.

        A connection that fails is found out by whoever reads it.
        """
        with contextlib.suppress(OSError):
            ask(exchange, channel)
        self._may_follow(exchange)
        self._perform()

    def _may_follow(self, exchange: Exchange) -> None:
        """Let others follow a request that rides, if it has left whole and its response is its caller's to wait for."""
        if exchange.is_asked and exchange.request_sent and not (exchange.streams or exchange.position):
            self._state.sent(exchange.connection, clock())

    def begun(self, exchange: Exchange, body: BodyReader) -> None:
        """As in `Pool`."""
        if exchange.streams and not exchange.position:
            return
        head, connection, now = exchange.answer, exchange.connection, clock()
        assert head is not None, "bug: no response yet"
        if head.version < 11 or exchange.framing.kind is Kind.CLOSE:
            self._state.unfit(connection, now)
        is_last, took = exchange.why_close(body) in ANNOUNCED, exchange.answered_after(now)
        if body.complete and not is_last:
            self._state.answered(connection, took, now)
        else:
            is_announced = is_last and exchange.announces_close()
            self._state.begun(connection, took, body.remaining, is_last, now, is_announced=is_announced)
        if exchange.arrived is not None and self.is_followed:
            self.report_answered(exchange, head, exchange.url, now - exchange.started)
        if self._state.orders:
            self._perform()

    def cut(self, connection: Connection) -> None:
        """Report that nothing more can be sent on a connection; responses may still come."""
        self._state.cut(connection, clock())
        self._perform()

    def stood_still(self, connection: Connection) -> float | None:
        """Report that time has passed on a connection that somebody rides on; give when to report that again."""
        until = self._state.pipeline_waited(connection, clock())
        self._perform()
        return until

    def _board(self, ticket: Ticket) -> None:
        """Send a caller's request behind those that are under way on the connection it has boarded."""
        ride, waiter, now = ticket.ride, ticket.waiter, clock()
        if ride is None or not isinstance(waiter, TaskWaiter):
            return  # It has left meanwhile.
        exchange, connection = waiter.exchange, ride.connection
        pipeline = self._pipelines.get(connection)
        if pipeline is None:
            channel = connection.stream
            assert isinstance(channel, Channel), "bug: boarded without a channel"
            pipeline = self._pipelines[connection] = TaskPipeline(self, connection, channel, LONGEST_STALL)
        pipeline.board(ticket, exchange, waiter.boards(now))
        if self.is_heard:
            if waiter.is_queued:
                waiter.is_queued = False
                self.report(waiter.served_at(now))
            self.report(reports.boarded(connection, exchange))

    def _waits_again(self, order: Return) -> None:
        """Let a rider wait for room again."""
        ticket = order.ticket
        waiter = ticket.waiter
        if not isinstance(waiter, TaskWaiter):
            return
        self._gets_off(ticket, waiter.exchange)
        if self.is_heard:
            self.report(reports.requeued(waiter.exchange, is_spent=order.is_spent))
        waiter.waits_again(clock(), is_spent=order.is_spent)

    def _gets_off(self, ticket: Ticket, exchange: Exchange) -> None:
        """Let nothing more be written, or be expected, for a caller that has boarded a connection, if it has."""
        pipeline = self._pipelines.get(exchange.connection) if exchange.is_asked else None
        if pipeline is not None:
            pipeline.left(ticket)

    def _pipeline_breaks(self, exchange: Exchange) -> None:
        """Say who has sent what on a connection that ends with this exchange, and whether the server has ended it."""
        connection = exchange.connection
        if connection.pipeline is None:
            return
        if (pipeline := self._pipelines.get(connection)) is not None:
            pipeline.settle()
        if exchange.answer is None:
            self._state.broken(connection, clock())
        else:  # It refuses what it has not read, and says that it closes.
            self._state.begun(connection, exchange.answered_after(clock()), 0, True, clock())

    def _end_pipeline(self, connection: Connection) -> None:
        """Forget what was read and sent on a connection for several callers, if nobody rides on it any more."""
        if connection.pipeline is None and (pipeline := self._pipelines.pop(connection, None)) is not None:
            pipeline.end()

    # Giving it back

    def release(self, exchange: Exchange, why: Why | None, error: BaseException | None = None) -> None:
        """As in `Pool`."""
        state, connection = self._state, exchange.connection
        if exchange.held is None or connection.state is not BUSY:
            # Given back already, or inherited by fork, where it was closed and forgotten.
            return
        now = clock()
        pipeline = self._pipelines.get(connection) if connection.pipeline is not None else None
        if pipeline is not None:
            pipeline.surplus, exchange.surplus = exchange.surplus, b""
            if why is not None:
                pipeline.settle()
        if connection.pipeline is not None and is_servers_doing(exchange, error):
            state.broken(connection, now)
        state.released(connection, why, now)
        exchange.held = None
        if pipeline is not None:
            self._end_pipeline(connection)
        if state.orders:
            self._perform()
        if exchange.turn is not None:
            self._turns.ended(exchange, now)
        if connection.state is IDLE:
            self._watch_if_idle(connection)
        if exchange.timeline is not None:
            self.report_done(exchange, error, now, why)

    def _end_badly(self, exchange: Exchange, error: BaseException | None) -> None:
        held = exchange.held
        got = held.connection if isinstance(held, Ticket) else None
        riding = held.ride.connection if isinstance(held, Ticket) and held.ride is not None else None
        on = held if isinstance(held, Connection) and exchange.is_holder(held) else riding
        pipeline = None if on is None else self._pipelines.get(on)
        if isinstance(held, Connection) and on is not None and on.pipeline is not None:
            if pipeline is not None:
                pipeline.settle()
            if is_servers_doing(exchange, error):
                self._state.broken(on, clock())
        self._take_back(exchange, error)
        if pipeline is not None and isinstance(held, Ticket):
            pipeline.left(held)
        if on is not None:
            self._end_pipeline(on)
        if got is not None:
            self._watch_if_idle(got)
        self._perform()

    def look(self, question: Callable[[PoolState, float], T]) -> T:
        """As in `Pool`: a question from another thread is put to the event loop, which alone may read the tables."""
        loop = self.loop
        if loop is None or not loop.is_running() or asyncio._get_running_loop() is loop:
            return super().look(question)
        answer: Future[T] = Future()
        if not self._is_to_call(self._answer, question, answer):
            return super().look(question)
        try:
            return answer.result(LONGEST_LOOK)
        except TimeoutError:
            if not loop.is_running():  # It has ended meanwhile.
                return super().look(question)
            text = f"the event loop {loop!r} has not answered for {LONGEST_LOOK} s: something blocks it"
            raise LoopError(text) from None

    def _answer(self, question: Callable[[PoolState, float], T], answer: Future[T]) -> None:
        try:
            answer.set_result(super().look(question))
        except Exception as error:
            answer.set_exception(error)

    def close(self) -> None:
        """Close idle connections now and busy ones when they are done; break dials off; refuse what comes later."""
        self._state.closed_by_user()
        self._turns.wake_all()
        self._set_timer()
        if self._wait_ends is not None:
            self._wait_ends.close()
        self._perform()

    async def aclose(self) -> None:
        """As `close`; wait until idle connections are closed and dials broken off."""
        if self.loop is not None:
            if self.loop.is_closed():
                return self._let_go()
            self.bind()
        idle = [connection.stream for connection in self._state.idle_connections()]
        self.close()
        while self._dials:
            await asyncio.wait(self._dials.values())
        for channel in idle:
            if isinstance(channel, Channel):
                await channel.wait_closed()
        if self._member is not None:
            await self._member.aclose()
        return None

    def abandon(self) -> None:
        """Close everything, as nobody can ask for anything any more; from a finalizer, on whatever thread."""
        if self.loop is None or not self._state.open:
            return
        if not self._is_to_call(self.close):
            self._let_go()

    def _is_to_call(self, callback: Callable[..., object], *arguments: object) -> bool:
        """Have the event loop call something soon, from whatever thread; False if it is closed, or none yet."""
        if self.loop is None:
            return False
        try:
            self.loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:  # Asked before, it might be closed meanwhile.
            return False
        return True

    def _let_go(self) -> None:
        """Close every socket of an event loop that was closed, on which no task and no timer runs any more."""
        self._dials.clear()
        self._leaving.clear()
        self._timer_at, self._timer = NEVER, None
        left = self._state.everything()
        self._state.closed_by_user()
        for connection in left:
            if connection.state is BUSY:
                self._state.released(connection, Why.POOL_CLOSED, clock())
            if connection.stream is not None:
                connection.stream.close()
        self._state.orders.clear()  # Whoever is to be served waits on that loop.
        for sock in list(self._sockets):
            sock.close()

    # What nobody asks for: the server's closes, expiry, responses dropped unread, life after fork

    def _watch_if_idle(self, connection: Connection) -> None:
        """Listen to a connection that is on the shelf from here on, and see to its expiry."""
        if connection.state is not IDLE:
            return
        channel = connection.stream
        assert isinstance(channel, Channel), "bug: shelved without a channel"
        channel.watch(partial(self._found_news, connection, channel))
        if connection.expires_at < self._timer_at:  # The timer is set for whatever else is on the shelf.
            self._set_timer()
        if self.is_followed and (event := reports.idle(connection)) is not None:
            self.report(event)

    def _found_news(self, connection: Connection, channel: Channel) -> None:
        """Something came on an idle connection: the server closed it, or sent what nobody asked for."""
        liveness = channel.probe()
        if connection.state is IDLE and liveness is not ALIVE:
            now = clock()
            self._state.peer_closed(connection, why_unusable(liveness), now, alive_at=now)
            self._perform()

    def _set_timer(self) -> None:
        """Be called when the next connection on the shelf expires, or the next spare dial, if one does."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = self._state.next_expiry() if self._state.may_expire else NEVER
        if self._timer_at < NEVER and self.loop is not None and not self.loop.is_closed():
            self._timer = self.loop.call_later(max(self._timer_at - clock(), 0.0), _tick, weakref.ref(self))

    def tick(self) -> None:
        """Close what has expired."""
        self.look_at_log()
        self._timer = None
        self._state.ticked(clock())
        self._perform()
        self._set_timer()

    def collect_soon(self) -> None:
        """Have `dropped` looked at by the event loop; from a finalizer, on whatever thread."""
        self._is_to_call(self._collect_dropped)

    def fleet_told(self, key: str, told: Told) -> Wanted:
        """Take note of what the fleet has said of a key."""
        wanted = super().fleet_told(key, told)
        self._perform()
        return wanted

    def fleet_call(self, key: str) -> Call:
        """Say what the pool has and wants of a key. What was ordered to be closed before is closed first."""
        call = super().fleet_call(key)
        self._perform()
        return call

    async def fleet_settled(self) -> None:
        """Wait until dials that are being broken off have ended, and for the turn in which the loop closes sockets."""
        while self._leaving:
            await asyncio.wait(self._leaving)
        await asyncio.sleep(0)

    def forget_parent(self) -> None:
        """Start anew in a forked child: close the copies of the parent's sockets, and send the servers nothing.

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
                if isinstance(order, Serve):
                    self._carry_on(order.ticket)
                elif isinstance(order, Board):
                    self._board(order.ticket)
                elif isinstance(order, (Ask, GiveBack)):
                    self._tell_fleet(order)
                else:
                    self._carry_out(order)
                    if isinstance(order, Close):
                        done.append(order)
                orders.popleft()
        finally:
            self._is_performing = False
        while self._moved:
            self._moved.pop().go_on()
        if self._state.next_expiry() < self._timer_at:
            self._set_timer()
        if self.is_heard and done:
            self._report_closed(done, clock())

    def _carry_on(self, ticket: Ticket) -> None:
        """Let a caller go on whose ticket has ended; where that was on a connection with others, read its response."""
        connection, waiter = ticket.connection, ticket.waiter
        pipeline = self._pipelines.get(connection) if self._pipelines and connection is not None else None
        if pipeline is not None and pipeline.holds(ticket):
            if isinstance(waiter, TaskWaiter):
                waiter.unbound()
                if self.is_heard and connection is not None:
                    self.report(reports.reused(connection, waiter.exchange))
            pipeline.has_turn(ticket)
            self._moved.append(pipeline)
        elif isinstance(waiter, TaskWaiter):
            exchange = waiter.exchange
            if ticket.failure is not None:
                self._gets_off(ticket, exchange)
            waiter.serve()  # Its request may be on its way afterwards.
            if exchange.is_asked and self.is_heard and connection is not None:
                if waiter.is_queued:
                    self.report(waiter.served_at(connection.taken_at))
                if ticket.reuses:
                    self.report(reports.reused(connection, exchange))
            if exchange.rides:
                self._may_follow(exchange)

    def _carry_out(self, order: Order) -> None:
        """Carry out an order that is no `Serve`."""
        if isinstance(order, Close):
            if (pipeline := self._pipelines.pop(order.connection, None)) is not None:
                pipeline.end()
            closed_as_ordered(order)
        elif isinstance(order, Connect):
            if order.connection.state is State.CONNECTING and order.connection not in self._dials:
                self._begin_dial(order.connection)
        elif isinstance(order, Cancel):
            if (task := self._dials.get(order.connection)) is not None:
                self._leaving.add(task)
                task.cancel()
        elif isinstance(order, Bind) and isinstance(order.ticket.waiter, TaskWaiter):
            order.ticket.waiter.bound(clock())
        elif isinstance(order, Return):
            self._waits_again(order)


def is_servers_doing(exchange: Exchange, error: BaseException | None) -> bool:
    """Tell whether the server has ended an exchange: not its caller, and not a time limit.

    A request that was sent behind another, and got no byte, may have been dropped: some proxies do that (Pingora's
    example of one), and nothing else would tell.
    """
    if isinstance(error, TimeoutError):
        return isinstance(error, ReadTimeout) and exchange.position > 1 and not exchange.received
    return isinstance(error, ExchangeError)


def _tick(known: weakref.ref[LoopPool]) -> None:
    """Let a pool's timer not keep the pool."""
    pool = known()
    if pool is not None:
        pool.tick()
