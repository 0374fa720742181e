"""What the pools for threads and for tasks have in common: listeners, responses dropped unread, life after fork.

Decides: nothing about connections; that is the core's. The words of the error for a caller that has waited in vain.
Does not know: waiting, locks, event loops.

The file is long, because whatever does not wait is written once, for threads and tasks alike.
"""

from __future__ import annotations

import itertools
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from types import MethodType
from typing import TYPE_CHECKING, TypeVar, cast

from keeppool import forks
from keeppool.clock import clock
from keeppool.config import Limits, LookUp
from keeppool.core.origin import Origin, Proxy
from keeppool.core.pool import PoolState
from keeppool.core.records import LONG_AGO, Ask, Close, Connection, GiveBack, Host, State, Ticket, Waiter
from keeppool.deferred import Deferred
from keeppool.errors import ConnectError, PoolClosed, PoolTimeout
from keeppool.net.streams import AnyStream, Liveness
from keeppool.pools import log, turns
from keeppool.pools.exchange import Exchange
from keeppool.pools.turns import Turns
from keeppool.reasons import Room, Why

if TYPE_CHECKING:
    import logging

    from keeppool import events
    from keeppool.core import pace as paces
    from keeppool.core.pace import Paced
    from keeppool.events import Event
    from keeppool.fleet import membership
    from keeppool.fleet.membership import AnyFleet, Call, Membership, Told, Wanted
    from keeppool.pools import reports, snapshot
    from keeppool.pools import timeline as timelines
    from keeppool.pools.outgoing import Outgoing
    from keeppool.stats import Stats
    from keeppool.wire.head import ResponseHead
    from keeppool.wire.message import BodyReader
else:
    paces = Deferred("keeppool.core.pace")
    membership = Deferred("keeppool.fleet.membership")
    logging = Deferred("logging")
    events = Deferred("keeppool.events")
    reports = Deferred("keeppool.pools.reports")
    snapshot = Deferred("keeppool.pools.snapshot")
    timelines = Deferred("keeppool.pools.timeline")

# Looked up on the way of every request; as members of their classes they would cost three times as much.
BUSY = State.BUSY
IDLE = State.IDLE
ALIVE = Liveness.IDLE

T = TypeVar("T")

#: Seconds for which a count of unread responses may be told again. To look at 1500 connections takes 0.3 ms, and when
#: a pool has come to a standstill thousands of callers are told in the same moment.
COUNT_HOLDS = 0.1

#: Every pool of the process, for `_forget_parents`.
_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


class Pool:
    """A pool's configuration, its listener, and what was left behind.

    Args:
        limits: The caps.
        tell: Where events go; `None` if nobody listens. Held weakly: who listens often owns the pool.
        look_up: Asked for names instead of the system's resolver.
        wants: The kinds of events that go there; `None` for all.

    Attributes:
        is_heard: True if somebody listens, or reads the log; without either no event is built.
        is_followed: True if so, and the events of each request's way are wanted, which cost most: `_per_request`.
        is_logging: True if the log is read.
        is_timed: True if somebody listens who wants to know how each request ended.
        dropped: Exchanges whose response was dropped unread, and where it was made. A finalizer may run on any thread
            and inside any lock, so all it does is append.
    """

    #: False where another library logs the same connections and requests.
    is_logged = True
    #: True where tasks of an event loop use it.
    is_for_tasks = False
    _fleet: AnyFleet | None = None
    _member: Membership | None = None
    _state: PoolState
    _turns: Turns

    def __init__(
        self,
        limits: Limits,
        tell: MethodType | None,
        look_up: LookUp | None = None,
        wants: Collection[type[Event]] | None = None,
    ) -> None:
        forks.wait_before_logging()
        self.limits = limits
        self._look_up = look_up
        #: Who listens, and what to call with it. Not a `WeakMethod`, which costs ten times as much to ask.
        self._listener = None if tell is None else weakref.ref(tell.__self__)
        self._pass_on = None if tell is None else tell.__func__
        self._wants = wants
        self.is_timed = tell is not None and (wants is None or events.RequestDone in wants)
        self._is_followed = tell is not None and (wants is None or not _per_request().isdisjoint(wants))
        #: Numbers for requests. `next` is one step, whichever thread asks.
        self._numbers = itertools.count(1)
        # Imported with the pool, not with the package: where descriptors run out, this is what a program wants to hear.
        snapshot.snapshot  # noqa: B018
        self.look_at_log()
        self.dropped: deque[tuple[Exchange, str]] = deque()
        self._counted: dict[Origin | Proxy | None, tuple[int, str]] = {}
        self._counted_at = LONG_AGO
        self._start_empty()
        _pools.add(self)

    def _start_empty(self) -> None:
        """Make the tables, and all that belongs to one process."""
        raise NotImplementedError

    def _resend_over(self, exchange: Exchange) -> Connection:
        """Give a failed attempt the connection to be dialled for the next."""
        connection = self._redialled(exchange)
        if self.is_heard:
            self.report(reports.resent(exchange))
        return connection

    def _redialled(self, exchange: Exchange) -> Connection:
        """Tell the tables; where there is a lock, under it."""
        self._turns.again(exchange, clock())
        connection = exchange.held = self._state.redialled(exchange.connection, exchange.why_again, clock())
        return connection

    # A fleet. Where there is a lock, calls begin and replies are taken under it.

    def join(self, fleet: AnyFleet) -> None:
        """Become a member of a fleet."""
        self._fleet = fleet
        self._rejoin()

    def _rejoin(self) -> None:
        """Become a new member, with empty tables."""
        if self._fleet is not None:
            self._member = self._fleet.join(self, for_tasks=self.is_for_tasks)
            self._turns.ask = self._member.due
            self._turns.lines.is_shared = True

    @property
    def is_closed(self) -> bool:
        """True if the pool takes no more requests."""
        return self._state.is_closed

    def fleet_call(self, key: str) -> Call:
        """Say what the pool has and wants of a key; from here on it holds that and no more until it is told."""
        claim, line = self._state.call_begins(key), self._turns.lines.get(key)
        wish = paces.Reservation(0, 0.0, 1, False, 0.0) if line is None else line.call_begins(clock())
        return membership.Call(
            *claim, starts=wish.starts, gap=wish.gap, burst=wish.burst, ended=wish.ended, holds=wish.holds
        )

    def fleet_told(self, key: str, told: Told) -> Wanted:
        """Take note of what the fleet has said of a key."""
        now, wanted = clock(), 0
        if told.n is not None:
            wanted = self._state.permits(key, max(told.n, 0), now, told.until, is_wanted=told.is_wanted)
        line = self._turns.lines.get(key)
        if line is None:
            return membership.Wanted(wanted, is_paced=False)
        self._turns.told(line, told.starts, told.hold, told.parties, now)
        return membership.Wanted(wanted, is_paced=len(line) > 0)

    def fleet_lost(self, key: str) -> Wanted:
        """Take note that a call about a key has come to no end; tell who waits for the next."""
        call, line = self.fleet_call(key), self._turns.lines.get(key)
        if line is not None:
            line.call_lost()
        return membership.Wanted(call.want, is_paced=line is not None and len(line) > 0)

    def fleet_forgot(self, key: str) -> None:
        """Take note that the fleet makes no more calls about a key until it is asked for one."""
        line = self._turns.lines.get(key)
        if line is not None:
            self._turns.shares_again(line)

    async def fleet_settled(self) -> None:
        """Wait until sockets that were closed are gone. With threads they are when they are closed."""

    def fleet_held(self) -> dict[str, tuple[int, int]]:
        """Give the connections there are, and may be, by key."""
        return {permits.key: (permits.open, permits.allowed) for permits in self._state.permit_records()}

    def fleet_changed(self, name: str, *, is_up: bool, error: str) -> None:
        """Report that Redis is away, or back."""
        if self.is_heard:
            self.report(events.FleetChanged(name, is_up, error))

    def _tell_fleet(self, order: Ask | GiveBack) -> None:
        """Have the fleet asked, or told."""
        if self._member is not None:
            self._member.due(order.key)

    # A host's pace. Where there is a lock, all but `_turn_waits` and `_starts` are done under it.

    def hold(self, paced: Paced, retry_after: bytes | None, date: bytes | None) -> None:
        """Take note of a response's `Retry-After`, if it has one, for all requests to its host."""
        self._turns.heard(paced, retry_after, date, clock())

    def _turn_look(self, exchange: Exchange, waiter: Waiter) -> float | None:
        """Tell how long a caller has to wait for its turn, as `Turns.look` does."""
        return self._turns.look(exchange, waiter, clock())

    def _turn_waits(self, exchange: Exchange, waiter: Waiter) -> Iterator[float | None]:
        """Give the waits of a caller until it is its turn, and report them: seconds, or `None` for until it is woken.

        Raises:
            PoolTimeout, PoolClosed, QueueFull: As `Turns.look`.
        """
        is_told = False
        while (seconds := self._turn_look(exchange, waiter)) != 0.0:
            if self.is_heard and not is_told:
                self.report(turns.queued(exchange, clock()))
                is_told = True
            yield seconds
        if is_told:
            self.report(turns.served(exchange, clock()))

    def _starts(self, exchange: Exchange, connection: Connection) -> bool:
        """Tell whether the request starts now that its connection is there; else that goes back to the pool."""
        if self._may_start(exchange, connection):
            return True
        if connection.state is BUSY:
            exchange.connection = connection
            timeline, exchange.timeline = exchange.timeline, None
            try:
                self.release(exchange, None)
            finally:
                exchange.timeline = timeline  # This was not its end.
        return False

    def _may_start(self, exchange: Exchange, connection: Connection) -> bool:
        may_start = self._turns.starts(exchange, clock())
        if not may_start and connection.state is State.CONNECTING:  # Its caller dials by itself.
            self._state.connect_failed(connection, clock())
            exchange.held = None
        return may_start

    def release(self, exchange: Exchange, why: Why | None, error: BaseException | None = None) -> None:
        """Give a connection back at its exchange's end.

        Args:
            exchange: What has ended.
            why: Why the connection cannot be used again; `None` if it can.
            error: What has ended it, if it has failed.
        """
        raise NotImplementedError

    def begun(self, exchange: Exchange, body: BodyReader) -> None:
        """Take note that a response has begun whose request others may follow; in threads nobody does."""

    def give_up(self, exchange: Exchange, error: BaseException | None = None) -> None:
        """Take back whatever an exchange holds that was broken off, by whatever exception, wherever it was."""
        now = clock()
        self._end_badly(exchange, error)
        if exchange.timeline is not None:
            self.report_done(exchange, error, now)

    def _end_badly(self, exchange: Exchange, error: BaseException | None) -> None:
        """Take back what an exchange holds, and do what follows from that."""
        raise NotImplementedError

    def collect_soon(self) -> None:
        """See to it that `dropped` is looked at; from a finalizer, on whatever thread."""
        raise NotImplementedError

    def forget_parent(self) -> None:
        """Start anew in a forked child: close the copies of the parent's sockets, and send the servers nothing."""
        raise NotImplementedError

    def look_at_log(self) -> None:
        """Notice that the log was turned on or off. For moments that cost more than this by themselves."""
        self.is_logging = self.is_logged and log.is_wanted()
        self.is_heard = self.is_logging or self._listener is not None
        if self.is_heard:
            reports.done  # noqa: B018  # Imported now, and not in the middle of what is to be reported.
        self.is_followed = self.is_logging or self._is_followed

    def report(self, event: Event) -> None:
        """Tell whoever listens. An error of theirs is theirs: it is logged, and changes nothing here."""
        if self.is_logging:
            log.write(event)
        if self._listener is None or (self._wants is not None and type(event) not in self._wants):
            return
        listener = self._listener()
        if listener is not None and self._pass_on is not None:
            try:
                self._pass_on(listener, event)
            except Exception:
                logging.getLogger("keeppool").exception("a listener failed at %r", event)

    def stats(self) -> Stats:
        """Take a snapshot of all gauges and counters, at one moment."""
        stats = self.look(lambda state, now: snapshot.snapshot(state, self._turns, now))
        return stats if self._member is None else replace(stats, fleet=self._member.stats())

    def look(self, question: Callable[[PoolState, float], T]) -> T:
        """Answer a question about the tables, as they are at one moment; from any thread. It changes nothing.

        Args:
            question: Given the tables and the time; it waits for nothing.

        Raises:
            LoopError: The pool's event loop runs, and has had no time for the question.
        """
        self._collect_dropped()
        return self._answered(question)

    def _answered(self, question: Callable[[PoolState, float], T]) -> T:
        """Ask; where there is a lock, under it."""
        return question(self._state, clock())

    def report_answered(self, exchange: Exchange, head: ResponseHead, url: str, after: float) -> None:
        """Report that the head of a response is there, so many seconds after the request was begun."""
        if self.is_followed:
            self.report(reports.answered(exchange, head, after))
        if self.is_logging:
            log.answered(exchange.method, url, head.status, after)

    def draw_number(self) -> int:
        """Give a request its number."""
        return next(self._numbers)

    def begin_timeline(self, exchange: Exchange, started: float, outgoing: Outgoing | None = None) -> None:
        """Have it noted what happens to a request from here on; where somebody listens.

        Args:
            exchange: The request.
            started: When it was begun.
            outgoing: What a listener was shown of it before; `None` if none wanted to see it.
        """
        if outgoing is None:
            exchange.timeline = timelines.Timeline(next(self._numbers), started)
        else:
            exchange.timeline = timelines.Timeline(outgoing.request, started)
            exchange.timeline.note = outgoing.note

    def report_done(self, exchange: Exchange, error: BaseException | None, now: float, why: Why | None = None) -> None:
        """Report the end of a request, once; to be called without a lock, where its `timeline` is there.

        Args:
            exchange: What has ended.
            error: What has ended it; `None` if it has not failed.
            now: When. What is done afterwards, such as waking who waits for the connection, is not its time.
            why: Why its connection cannot be used again.
        """
        timeline, exchange.timeline = exchange.timeline, None
        # Of the drop-in for urllib3 one may borrow a connection, and give it back without a request.
        if timeline is not None and (error is not None or timeline.connection is not None):
            self.report(reports.done(exchange, timeline, error, why, now))

    def _report_closed(self, orders: Iterable[Close], now: float) -> None:
        for order in orders:
            self.report(reports.closed(order, now))

    def _report_failure(self, connection: Connection, request: int, error: Exception) -> None:
        """Report a dial that failed; `request` is the number of the one it was for."""
        if self.is_heard and isinstance(error, ConnectError):
            self.report(reports.connect_failed(connection, error, request))

    def _report_opened(self, connection: Connection, began: float, request: int, *, is_wanted: bool) -> None:
        """Report a dial that ended well.

        Raises:
            PoolClosed: It is not wanted any more.
        """
        if self.is_heard:
            self.report(reports.opened(connection, began, request))
        if not is_wanted:
            name = str(connection.origin)
            raise PoolClosed(f"the pool was closed while {name} was dialled", origin=name)

    def _take_back(self, exchange: Exchange, error: BaseException | None) -> None:
        """Take whatever an exchange holds that was broken off by `error`; where there is a lock, under it."""
        if exchange.turn is not None:
            self._turns.over(exchange, clock(), error)
        held, exchange.held = exchange.held, None
        exchange.failure = None  # It is being raised: by its traceback it holds the exchange, and whoever has it.
        if isinstance(held, Ticket):
            self._state.abandoned(held, clock())
            held.failure = None  # Likewise.
        elif held is None or not exchange.is_holder(held):
            return
        elif held.state is State.BUSY:
            self._state.released(held, exchange.why_failed(error, clock()), clock())
        elif held.state is State.CONNECTING:
            self._state.connect_failed(held, clock())
            if held.stream is not None:
                # Interrupted between the end of the dial and the note of it. Closing a new socket does not wait.
                held.stream.abort()

    def _collect_dropped(self) -> None:
        """Close what responses dropped unread have left behind, and say where they were made."""
        while self.dropped:
            try:
                exchange, place = self.dropped.popleft()
            except IndexError:  # Another thread was quicker.
                return
            try:
                self.release(exchange, Why.BODY_UNREAD)
            except BaseException:
                self.dropped.append((exchange, place))  # An interrupt: whoever comes by next does it.
                raise
            text = f"a streamed response from {exchange.route.name} was dropped unread; it was made at {place}"
            warnings.warn(text, ResourceWarning, stacklevel=2)

    def pool_timeout(self, ticket: Ticket, exchange: Exchange, by: str, now: float) -> PoolTimeout:
        """Say what the pool looked like to a caller that waited in vain; where there is a lock, under it.

        Args:
            ticket: The caller's place in the queue.
            exchange: The caller's.
            by: Name of the timeout that has passed.
            now: The time.
        """
        state = self._state
        host, name = ticket.host, exchange.route.name
        limit, waited = getattr(exchange.timeout, by, None), now - ticket.since
        cap, total = host.policy.per_host, state.limits.total
        why = f", the last {state.stalled(ticket, now):.1f} s of them in a queue that did not move"
        held = f", oldest held {now - next(iter(host.busy)).taken_at:.1f} s" if host.busy else ""
        unread, oldest = self._unread(host, now)
        if unread:
            held += f", {unread} held by unread responses, the oldest made at {oldest}"
        text = (
            f"waited {waited:.1f} s for {name}{why if by == 'stall' else ''} ({by}={limit}): "
            f"{host.open}/{'∞' if cap is None else cap} in use, {len(host.waiters)} waiting{held}; "
            f"{state.open}/{'∞' if total is None else total} in the whole pool"
        )
        waits_for = "connection"
        if host.permits is not None and host.lacks_permit and not host.is_capped:
            waits_for = Room.FLEET.value
            text += f"; the fleet allows {host.permits.allowed} to {host.permits.key}"
            text += "" if self._member is None else self._member.trouble
        facts = {"in_use": host.open, "waiting": len(host.waiters), "waited": waited, "unread": unread}
        return PoolTimeout(text, origin=name, limit=limit, limited_by=by, waits_for=waits_for, **facts)

    def _unread(self, host: Host, now: float) -> tuple[int, str]:
        """Count the unread responses that a host's callers wait for, and tell where the oldest was made."""
        if now - self._counted_at > COUNT_HOLDS:
            self._counted.clear()
            self._counted_at = now
        cap, busy = _in_the_way(host, self._state)
        found = self._counted.get(cap)
        if found is None:
            unread = [(one.taken_at, where) for one in busy if (where := one.unread_from) is not None]
            found = self._counted[cap] = len(unread), min(unread)[1] if unread else ""
        return found

    def _silent(self, exchange: Exchange, connection: Connection) -> Connection:
        """Check that a new connection is still alive and silent, and give it.

        Whatever is there was not sent in answer to us, and must not be taken for it (RFC 9112 §9.2).
        """
        liveness = cast("AnyStream", connection.stream).probe()
        if liveness is not ALIVE:
            exchange.connection = connection
            error = exchange.unexpected_data(closed=liveness is Liveness.CLOSED)
            self.release(exchange, why_unusable(liveness), error)
            raise error
        return connection


def _forget_parents() -> None:
    for pool in list(_pools):
        pool.forget_parent()
        pool._rejoin()


forks.in_child(_forget_parents)


def _per_request() -> frozenset[type[Event]]:
    """Name the events that nearly every request has, besides the one at its end."""
    return frozenset((events.ConnectionReused, events.ResponseStarted, events.ConnectionIdle))


def wanted_by(listener: object) -> frozenset[type[Event]] | None:
    """Tell which events a listener says that it wants, in an attribute `wants`; `None` for all, if it says nothing."""
    wants = getattr(listener, "wants", None)
    return frozenset(wants) if isinstance(wants, (set, frozenset, list, tuple)) else None


def closed_as_ordered(order: Close) -> None:
    """Close the socket of a connection that is out of the tables; doing it twice does no harm."""
    stream = order.connection.stream
    if stream is not None:
        stream.close()


def why_unusable(liveness: Liveness) -> Why:
    """Give the reason to close a connection that a probe has found to be anything but idle."""
    return Why.PEER_CLOSED if liveness is Liveness.CLOSED else Why.UNASKED_DATA


def _in_the_way(host: Host, state: PoolState) -> tuple[Origin | Proxy | None, Iterator[Connection]]:
    """Name the cap that a host's callers wait for, and go through the connections in somebody's hands below it."""
    if host.is_full:
        return host.origin, iter(host.busy)
    group = host.group if host.group.is_full else None
    busy = (one for other in state.hosts() if group is None or other.group is group for one in other.busy)
    return None if group is None else group.proxy, busy
