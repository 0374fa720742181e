"""What the pools for threads and for tasks do with the lines of hosts that have a pace.

Decides: what a caller reads who waited in vain for its turn, and which limits on a queue its wait counts for.
Knows: lines (`core/pace.py`), exchanges, a response's `Retry-After`.
Does not know: locks, event loops; where there is a lock, all of this happens under it. Waking a caller does not wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from keeppool.core.records import NEVER, Waiter
from keeppool.deferred import Deferred
from keeppool.errors import ConnectError, PoolClosed, PoolTimeout, QueueFull, ResolveError
from keeppool.pools.waits import CLOCK_SLACK, queue_wait
from keeppool.reasons import Room

if TYPE_CHECKING:
    from keeppool import events, stats
    from keeppool.core import pace as paces
    from keeppool.core.pace import Line, Lines, Paced, Turn
    from keeppool.core.pool import PoolState
    from keeppool.pools.exchange import Exchange
else:
    # All are there before there is a lock: a request that is reported has a timeline, who asks has a snapshot, and who
    # has a pace has a `Paced`.
    events = Deferred("keeppool.events")
    paces = Deferred("keeppool.core.pace")
    stats = Deferred("keeppool.stats")


class Turns:
    """The lines of one pool, by host.

    Args:
        state: The pool's tables: asked whether it is closed, and how many wait there.
    """

    __slots__ = ("_lines", "_state", "ask")

    def __init__(self, state: PoolState) -> None:
        self._lines: Lines | None = None
        #: Has the fleet asked about a key; `None` in a pool of its own.
        self.ask: Callable[[str], None] | None = None
        self._state = state

    @property
    def lines(self) -> Lines:
        """The lines; made for the first caller who has a pace, or for a fleet, which shares them."""
        if self._lines is None:
            self._lines = paces.Lines()
        return self._lines

    @property
    def waiting(self) -> int:
        """Callers in all lines."""
        return 0 if self._lines is None else self._lines.waiting

    def look(self, exchange: Exchange, waiter: Waiter, now: float) -> float | None:
        """Let those of a caller's line go whose time has come; tell how long the caller has to wait for its own.

        Args:
            exchange: The caller's; it joins the line if it has not yet.
            waiter: Woken when the caller is let go, or when it has come to the front and is to look again.
            now: The time.

        Returns:
            Seconds after which to look again at the latest, `None` for no limit; 0 if the caller may go.

        Raises:
            PoolTimeout, PoolClosed, QueueFull: It has waited for too long, or may not wait. Its turn is still to be
                ended, by `over`.
        """
        paced, turn = exchange.route.paced, exchange.turn
        assert paced is not None, "bug: waits for no pace"
        self._check_open(exchange)
        line = self.lines.at(paced, now)
        is_new = turn is None
        if turn is None:
            turn = exchange.turn = paces.Turn(line, now)
            line.joined(turn)
        for gone in line.let_in(now):
            if gone is not turn and gone.waiter is not None:
                gone.waiter.wake()
        self._ask_if_short(line)
        if turn.stage is not paces.Stage.WAITING:
            _wake_first(line)
            return 0.0
        turn.waiter = waiter
        if is_new:
            self._check_room(exchange)
        return self._seconds(exchange, turn, now)

    def _seconds(self, exchange: Exchange, turn: Turn, now: float) -> float | None:
        """Give the seconds a caller in line may wait until it looks again."""
        line = turn.line
        seconds, by = queue_wait(exchange, now - turn.since, line.stalled(turn, now), now)
        if seconds is not None and seconds <= CLOCK_SLACK:
            raise _timeout(exchange, turn, by, now)
        if line.first is turn and (opens_at := line.opens_at()) < NEVER:
            # The shortest wait: the kernel's timer may ring a little early.
            until = max(opens_at - now, CLOCK_SLACK)
            seconds = until if seconds is None else min(seconds, until)
        return seconds

    def starts(self, exchange: Exchange, now: float) -> bool:
        """Tell whether a caller that has its connection starts now; else it has to give it back, and `look` again."""
        turn = exchange.turn
        assert turn is not None, "bug: has no turn"
        is_started = turn.line.starts(turn, now)
        _wake_first(turn.line)
        return is_started

    def again(self, exchange: Exchange, now: float) -> None:
        """Count a request that is sent once more as another start. It does not wait: it had its turn."""
        if exchange.turn is not None:
            exchange.turn.line.counted(now)

    def ended(self, exchange: Exchange, now: float) -> None:
        """An exchange has given its connection back: at its end, or because it came too early to its start."""
        turn = exchange.turn
        if turn is not None and turn.stage is paces.Stage.STARTED:
            self.over(exchange, now)

    def over(self, exchange: Exchange, now: float, error: BaseException | None = None) -> None:
        """A caller has gone, at whatever moment; with an error, if one was why."""
        turn = exchange.turn
        if turn is not None:
            if isinstance(error, ConnectError) and not isinstance(error, ResolveError):
                turn.line.failed(turn, now)
            turn.line.left(turn, now)
            self._ask_if_short(turn.line)
            _wake_first(turn.line)

    def _ask_if_short(self, line: Line) -> None:
        """Have the fleet asked for starts, or told what the others are to know."""
        if self.ask is not None and (line.is_short or line.has_news):
            self.ask(line.key)

    def told(self, line: Line, starts: list[float], hold: float, parties: int | None, now: float) -> None:
        """The fleet has answered, or cannot be asked; as for `Line.told`."""
        line.told(starts, hold, parties, now)
        _wake_first(line)

    def shares_again(self, line: Line) -> None:
        """The fleet has forgotten a line that kept its pace by itself; whoever came meanwhile has it asked again."""
        line.shares_again()
        self._ask_if_short(line)

    def heard(self, paced: Paced, retry_after: bytes | None, date: bytes | None, now: float) -> None:
        """Take note of what a response's `Retry-After` says for the whole host; `date` is the value of its `Date`."""
        seconds = None if retry_after is None else paces.seconds_until(retry_after, date, time.time())
        if seconds:
            line = self.lines.at(paced, now)
            line.held(seconds, now)
            self._ask_if_short(line)

    def wake_all(self) -> None:
        """Let everybody look: the pool is closed."""
        for line in self._lines or ():
            for turn in line:
                if turn.waiter is not None:
                    turn.waiter.wake()

    def stats(self, now: float) -> dict[str, stats.PaceStats]:
        """Give the gauges of each line."""
        return {line.key: _stats(line, now) for line in self._lines or ()}

    def _check_open(self, exchange: Exchange) -> None:
        if self._state.is_closed:
            name = exchange.route.name
            raise PoolClosed(f"the pool is closed; nothing was sent to {name}", origin=name)

    def _check_room(self, exchange: Exchange) -> None:
        most = self._state.limits.waiting
        # The caller itself stands in line by now.
        if most is not None and self.waiting + self._state.waiting > most:
            name = exchange.route.name
            text = f"{name}: others are in line before it, and Limits(waiting={most}) lets no more callers wait"
            raise QueueFull(text, origin=name, waiting=most)


def queued(exchange: Exchange, now: float) -> events.RequestQueued:
    """Report that a caller has to wait for its turn."""
    turn = exchange.turn
    assert turn is not None, "bug: has no turn"
    room, timeline = _waits_for(turn.line, now), exchange.timeline
    if timeline is not None:
        timeline.queued((room, None), turn.since)
    number = 0 if timeline is None else timeline.number
    return events.RequestQueued(exchange.route.name, len(turn.line), number, room)


def served(exchange: Exchange, now: float) -> events.RequestServed:
    """Report that a caller that had waited has its turn."""
    turn = exchange.turn
    assert turn is not None, "bug: has no turn"
    number = 0
    if exchange.timeline is not None:
        number = exchange.timeline.number
        exchange.timeline.let_in(now)
    return events.RequestServed(exchange.route.name, now - turn.since, number)


def _wake_first(line: Line) -> None:
    """Let the first in line look when its time comes: nobody else does."""
    first = line.first
    if first is not None and first.waiter is not None:
        first.waiter.wake()


def _waits_for(line: Line, now: float) -> Room:
    return Room.RETRY_AFTER if now < line.held_until else Room.PACE


def _timeout(exchange: Exchange, turn: Turn, by: str, now: float) -> PoolTimeout:
    """Say what a caller waited for in vain."""
    line, name = turn.line, exchange.route.name
    limit, waited = getattr(exchange.timeout, by, None), now - turn.since
    text = f"waited {waited:.1f} s for {name} ({by}={limit}): {_described(line, now)}, {len(line)} waiting"
    facts = {"waiting": len(line), "waited": waited, "waits_for": _waits_for(line, now).value}
    return PoolTimeout(text, origin=name, limit=limit, limited_by=by, **facts)


def _described(line: Line, now: float) -> str:
    if now < line.held_until:
        return f"the Retry-After of {line.key} holds for another {line.held_until - now:.1f} s"
    pace = line.pace
    if pace is None:  # The newest request's; what started before it may have had one.
        return f"{line.key} is held up by the pace of an earlier request"
    if pace.since == "end":
        return f"{line.key} has one request at a time, {pace.gap:g} s apart"
    return f"requests to {line.key} start {pace.gap:g} s apart"


def _stats(line: Line, now: float) -> stats.PaceStats:
    opens_at = line.opens_at()
    return stats.PaceStats(
        waiting=len(line),
        started=line.started,
        next_s=None if opens_at == NEVER else max(0.0, opens_at - now),
        held_s=max(0.0, line.held_until - now),
    )
