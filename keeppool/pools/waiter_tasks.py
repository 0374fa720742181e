"""One caller's wait for a connection, on an event loop, and when the waits of all callers end.

Decides: how long it may take: the stall and pool timeouts as long as the caller waits for room, the connect timeout
from when it counts on a dial. And whether the request goes out in the caller's place as soon as it has a connection.
Waits on one future. Timers are shared: one for each wait would cost half as much as an exchange's own work.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from keeppool.clock import clock
from keeppool.config import Timeout
from keeppool.core.pool import PoolState
from keeppool.core.records import NEVER, Connection, Ticket
from keeppool.core.trust import seconds_to_watch
from keeppool.deferred import Deferred
from keeppool.errors import ConnectTimeout
from keeppool.net.stream_tasks import Channel
from keeppool.net.streams import Liveness
from keeppool.pools.exchange import Exchange
from keeppool.pools.pool import Pool
from keeppool.pools.send_tasks import ask
from keeppool.pools.waits import CLOCK_SLACK, SHORTEST, queue_wait, shorter

if TYPE_CHECKING:
    from keeppool import events
else:
    events = Deferred("keeppool.events")

# Looked up on the way of every request; as a member of its class it would cost three times as much.
_ALIVE = Liveness.IDLE


class TaskWaiter:
    """A ticket, and the caller who waits for it to end.

    Args:
        ticket: The place in the queue; this becomes its `waiter`.
        exchange: Whose timeouts hold.
        ends: Where the end of this wait is watched.

    Attributes:
        exchange: What the caller wants it for.
        future: What the caller awaits: the end of its ticket, or of its time; or, where its request was sent in its
            place, the answer's first bytes.
        own: The dial that was begun for this caller. It has the caller's limit itself, so nothing watches it here, and
            its error says more than this could.
        is_queued: Listeners have seen that the caller waits for room, and are to see that it has some.
        let_in_at: When the caller stopped waiting for room; `None` as long as it does.
        waits_on: The caller's time was up just when it boarded a connection: it has to await `future` again, a new one.
        watched_in: The line it stands in until its time is up, or a timer of its own; see `WaitEnds`.
    """

    __slots__ = (
        "_ends",
        "_ticket",
        "_until",
        "exchange",
        "future",
        "is_queued",
        "let_in_at",
        "own",
        "waits_on",
        "watched_in",
    )

    def __init__(self, ticket: Ticket, exchange: Exchange, ends: WaitEnds) -> None:
        self._ticket = ticket
        self.exchange = exchange
        self._ends = ends
        #: When a dial's time is up, once there is one.
        self._until: float | None = None
        self.future: asyncio.Future[None] = ends.loop.create_future()
        self.own: Connection | None = None
        self.is_queued = self.waits_on = False
        self.let_in_at: float | None = None
        self.watched_in: OrderedDict[TaskWaiter, float] | asyncio.TimerHandle | None = None
        ticket.waiter = self

    def dial_seconds(self, now: float) -> float | None:
        """Give the seconds a dial for this caller may take."""
        if self._until is not None:
            return max(self._until - now, SHORTEST)
        return shorter(self.exchange.timeout.connect, self.exchange.deadline, now)

    def begins(self, dial: Connection, now: float) -> float | None:
        """Take note that a dial is begun for this caller; give the seconds it may take."""
        seconds = self.dial_seconds(now)
        self.own = dial
        self.bound(now)
        return seconds

    def wake(self) -> None:
        """Tell the caller that its ticket, or its time, has ended."""
        if not self.future.done():
            self.future.set_result(None)

    def serve(self) -> None:
        """Let the caller go on: its ticket has ended.

        If it has nothing to do but send a short request over the connection it was given, that is done here, in its
        place, and it is woken by the answer. To be woken twice would cost it an eighth of a request's whole work
        (measured 2026-11, 64 tasks, Python 3.11), and the server a turn of the event loop.
        """
        connection, exchange = self._ticket.connection, self.exchange
        if (
            connection is not None
            and exchange.body is None
            and exchange.turn is None  # With a pace, the time of the start is decided when the caller has it.
            and not exchange.is_asked  # An interrupt may have ended an earlier try right here. Nothing is asked twice.
            and not self.future.done()
            and not (exchange.is_unsafe and seconds_to_watch(connection, connection.taken_at))
            and isinstance(channel := connection.stream, Channel)
            and self._is_sent(connection, channel)
        ):
            if self.watched_in is not None:
                self.unbound()
            read, deadline = exchange.timeout.read, exchange.deadline
            channel.expect(self.future, read if deadline is None else shorter(read, deadline, clock()))
        else:
            self.wake()

    def _is_sent(self, connection: Connection, channel: Channel) -> bool:
        """Send the request over the connection the caller was given; False if it was not sent, or not all of it."""
        exchange = self.exchange
        if channel.probe() is not _ALIVE:
            return False
        exchange.held = connection
        exchange.begin(connection, connection.taken_at)
        try:
            ask(exchange, channel)
        except (OSError, RuntimeError):
            # The connection is dead, or the event loop stands still. The caller finds out, and knows what was sent.
            return False
        except BaseException:
            self.future.cancel()  # Interrupted. The request may have left: it must not go again.
            raise
        return exchange.request_sent

    def boards(self, now: float) -> asyncio.Future[None]:
        """Take note that the request follows others on a connection: until its turn comes, only the total counts.

        Returns:
            What the caller awaits from here on. It is a new future where the caller's time was up in this very turn of
            the event loop: it has not gone yet, and its request goes out, so it is to hear of both.
        """
        self.unbound()
        if self.future.done() and not self.future.cancelled():
            self.future, self.waits_on = self._ends.loop.create_future(), True
        if self.exchange.deadline is not None:
            self._ends.watch_alone(self, self.exchange.deadline - now)
        return self.future

    def waits_again(self, now: float, *, is_spent: bool) -> None:
        """Take note that it no longer does, and that the caller waits for room again."""
        self.exchange.waits_again(is_spent=is_spent)
        self.own = self.let_in_at = self._until = None
        self.bound(now)

    def served_at(self, now: float) -> events.RequestServed:
        """Say for how long the caller waited for room."""
        let_in_at = self.let_in_at or now
        timeline = self.exchange.timeline
        if timeline is not None:
            timeline.let_in(let_in_at)
        number = 0 if timeline is None else timeline.number
        return events.RequestServed(self.exchange.route.name, let_in_at - self._ticket.since, number)

    def bound(self, now: float) -> None:
        """Bound what the caller waits for now: room, its own dial, or one begun for another."""
        if self._ticket.ride is not None:
            return  # `boards` has.
        dial = self._ticket.dial
        if self.watched_in is not None:
            self.unbound()
        if dial is None:
            self._ends.watch(self, now)
            return
        seconds = self.dial_seconds(now)
        if self.let_in_at is None:
            self.let_in_at = now
            if self.exchange.timeline is not None:
                self.exchange.timeline.let_in(now)
            self._until = None if seconds is None else now + seconds
        if seconds is not None and dial is not self.own:
            self._ends.watch_alone(self, seconds)

    def ring(self) -> None:
        """See whether the caller's time is up: in a queue that has moved it may not be."""
        ticket = self._ticket
        if ticket.ride is not None:
            self.watched_in = None
            if not self.future.done():
                self.future.set_exception(TimeoutError("the total timeout has passed"))
            return
        if ticket.dial is None and ticket.connection is None and ticket.failure is None:
            now = clock()
            seconds, _ = queue_wait(self.exchange, now - ticket.since, self._ends.stalled(ticket, now), now)
            if seconds is not None and seconds > CLOCK_SLACK:
                self._ends.watch_alone(self, seconds)
                return
        self.wake()

    def unbound(self) -> None:
        """Stop watching the time: what the caller waits for now has a limit of its own."""
        place = self.watched_in
        if isinstance(place, OrderedDict):
            place.pop(self, None)  # An interrupt may have ended an earlier try right here.
        elif place is not None:
            place.cancel()
        self.watched_in = None

    def end(self) -> None:
        """Stop watching the time; nothing will wake the caller any more."""
        if self.watched_in is not None:
            self.unbound()
        # Otherwise each wait would leave a cycle behind, and the garbage collector cost as much as the wait itself.
        self._ticket.waiter = None

    def result(self, state: PoolState, pool: Pool) -> Connection:
        """Give what the wait has ended with.

        Raises:
            PoolTimeout, ConnectTimeout: The time was up. The ticket has still to be abandoned.
            PoolClosed, ConnectError: What the ticket ended with.
        """
        ticket = self._ticket
        if ticket.connection is not None:
            return ticket.connection
        if ticket.failure is not None:
            raise ticket.failure
        name, timeout = self.exchange.route.name, self.exchange.timeout
        if ticket.dial is None:
            now = clock()
            _, by = queue_wait(self.exchange, now - ticket.since, state.stalled(ticket, now), now)
            raise pool.pool_timeout(ticket, self.exchange, by, now)
        within = "" if timeout.connect is None else f" within {timeout.connect:g} s"
        raise ConnectTimeout(f"{name}: no connection{within}", origin=name, limit=timeout.connect)


class TurnWaiter:
    """A task that waits for its turn in the line of a host with a pace.

    Args:
        loop: The pool's.
    """

    __slots__ = ("_future", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future: asyncio.Future[None] = loop.create_future()

    def wake(self) -> None:
        """Let the caller look. Twice does no harm."""
        if not self._future.done():
            self._future.set_result(None)

    async def wait(self, seconds: float | None) -> None:
        """Wait until woken, or so long."""
        timer = None if seconds is None else self._loop.call_later(seconds, self.wake)
        try:
            await self._future
        finally:
            if timer is not None:
                timer.cancel()
            self._future = self._loop.create_future()


class WaitEnds:
    """When the time of each caller is up that waits in one pool.

    Callers with the same limit come to its end in the order in which they came, so they stand in one line for it, and
    one timer watches the first of each. It is not set back when that one leaves: it rings for nothing, now and then.

    Args:
        loop: Whose timer it is.
        stalled: `PoolState.stalled`.
    """

    __slots__ = ("_at", "_lines", "_timer", "_usual", "_usual_seconds", "loop", "stalled")

    def __init__(self, loop: asyncio.AbstractEventLoop, stalled: Callable[[Ticket, float], float]) -> None:
        self.loop = loop
        self.stalled = stalled
        self._lines: dict[float, OrderedDict[TaskWaiter, float]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._at = NEVER
        #: The timeouts that the last caller had, as most have the same, and how long it might wait for room. Asked for
        #: anew, the latter takes 110 ns more of the 165 that `watch` takes (2026-12-01, Python 3.11), and a call.
        self._usual: Timeout | None = None
        self._usual_seconds: float | None = None

    def watch_alone(self, waiter: TaskWaiter, seconds: float) -> None:
        """As `watch`, for what is left of something else: a different number each time, and not worth a line."""
        waiter.watched_in = self.loop.call_later(max(seconds, 0.0), waiter.ring)

    def watch(self, waiter: TaskWaiter, now: float) -> None:
        """Have a caller that waits for room look at the time when it may have waited for too long.

        Args:
            waiter: The caller; not watched yet.
            now: The time.
        """
        exchange = waiter.exchange
        if exchange.timeout is self._usual and exchange.deadline is None and exchange.turn is None:
            seconds = self._usual_seconds
        else:
            seconds, by = queue_wait(exchange, 0.0, 0.0, now)
            if by == "total":
                assert seconds is not None, "bug: a deadline without a time"
                self.watch_alone(waiter, seconds)
                return
            if exchange.deadline is None and exchange.turn is None:
                self._usual, self._usual_seconds = exchange.timeout, seconds
        if seconds is None:
            return
        line = self._lines.get(seconds)
        if line is None:
            line = self._lines[seconds] = OrderedDict()
        line[waiter] = until = now + seconds
        waiter.watched_in = line
        if until < self._at:
            self._set_timer(until, now)

    def close(self) -> None:
        """Take the timer off the event loop."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._at = None, NEVER

    def _set_timer(self, at: float, now: float) -> None:
        self.close()
        self._at = at
        self._timer = self.loop.call_later(max(at - now, 0.0), self._ring)

    def _ring(self) -> None:
        """Ask those whose time is up whether it really is, and see when it is for the next."""
        self._timer, self._at = None, NEVER
        now, following = clock(), NEVER
        for seconds, line in list(self._lines.items()):
            while line and next(iter(line.values())) <= now:
                waiter, _ = line.popitem(last=False)
                waiter.watched_in = None
                waiter.ring()
            if line:
                following = min(following, next(iter(line.values())))
            else:
                del self._lines[seconds]
        if following < NEVER:
            self._set_timer(following, now)
