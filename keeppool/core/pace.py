"""The pace of a host: when the next request may start, and who stands in line for that.

Callers of one host stand in one line, first come first served. The first is let go when the pace allows it; it then
gets a connection, which may take a while, and *starts* when it has one. What the server sees are the starts, so these
are what the pace is measured by: a caller who comes to its start too early, because others were held up on the same
way, goes back to the front of the line, without its connection. So nobody holds a connection for waiting.

The measure is the generic cell rate algorithm: a start moves the time of the next one on by one interval, and `burst`
says how many intervals it may be ahead of the clock.

Invariants, checked after every step by the tests' state machine:
    1. In any stretch of time there are no more starts than the stretch has intervals, plus the burst.
    2. Nobody starts while a server's `Retry-After` holds; with `since="end"`, while another request is under way.
    3. The first in line is let go when nothing of that forbids it, so a line moves as quickly as it may.

Decides: whose turn it is, and when.
Knows: intervals, a line of callers.
Does not know: connections, requests, clocks, who else keeps the same pace.

The file is long for this house, because a line in a fleet keeps the same rules as one that is alone.

Source: RFC 9110 §10.2.3 (Retry-After); ITU-T I.371 (the algorithm).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from enum import Enum
from itertools import chain
from typing import NamedTuple

from keeppool.config import Pace
from keeppool.core.records import LONG_AGO, NEVER, Waiter
from keeppool.forks import undivided

#: Callers of one host that are on the way to a connection at a time; the rest waits without one. As many connections
#: are dialled at once where nothing else is set (`Limits.per_host`).
MOST_UNDER_WAY = 6
#: Seconds ahead for which starts are reserved in a fleet, and for which one that was missed can still be used. Long
#: enough for one call to reserve several where they are many; short enough for a Retry-After that another member hears
#: to be known before most of them.
AHEAD = 0.25
#: Lines kept although nobody stands in them, before they are looked through: their time may have come.
SLACK = 64
#: Statuses with which a server may say when to come again (RFC 9110 §15.6.4, RFC 6585 §4).
HOLDING = frozenset((429, 503))
#: The longest time a server's word is kept, in seconds; beyond it is no time to wait but a mistake, and a number that
#: clocks cannot count.
LONGEST_HOLD = 365 * 86400.0


class Paced(NamedTuple):
    """What a request's configuration says of its pace.

    Attributes:
        key: The line: requests with the same key keep one pace.
        pace: The pace; `None` where only the server's `Retry-After` holds requests up.
        obeys: Whether it does.
    """

    key: str
    pace: Pace | None
    obeys: bool


class Reservation(NamedTuple):
    """What a line asks of a fleet, and has it told: see `keeppool.fleet.membership.Call`."""

    starts: int
    gap: float
    burst: int
    ended: bool
    holds: float


class Stage(Enum):
    """How far a caller has come."""

    WAITING = "waiting"
    GOING = "going"
    STARTED = "started"
    OVER = "over"


class Turn:
    """A caller's place in the line of its host.

    Attributes:
        line: The line.
        since: When it came.
        stage: How far it is. Changed by the line alone.
        waiter: The caller, as the front end wakes it; `None` as long as it has not waited.
    """

    __slots__ = ("line", "since", "stage", "waiter")

    def __init__(self, line: Line, since: float) -> None:
        self.line = line
        self.since = since
        self.stage = Stage.WAITING
        self.waiter: Waiter | None = None


class Line:
    """The callers of one host, and when the next of them may start.

    Attributes:
        key: As in `Paced`.
        pace: The pace of the newest request.
        held_until: When the server's `Retry-After` is over.
        held_since: When that was heard.
        started: Requests that have started.
        moved_at: When one has started last, or ended.
        is_shared: Starts are reserved where all members of a fleet reserve theirs; nobody is let go without one.
    """

    __slots__ = (
        "_admits_at",
        "_ended",
        "_first",
        "_going",
        "_is_asked",
        "_parties",
        "_reserved",
        "_running",
        "_starts_at",
        "_telling",
        "_to_hold",
        "_waiting",
        "held_since",
        "held_until",
        "is_shared",
        "key",
        "moved_at",
        "pace",
        "started",
    )

    def __init__(self, key: str, pace: Pace | None, *, is_shared: bool = False) -> None:
        self.is_shared = is_shared
        #: When the starts are that were reserved. What the other members are to be told: that a Retry-After holds, and
        #: that a request has ended; and what of that they are being told. How many members share the pace, while they
        #: cannot be asked.
        self._reserved: deque[float] = deque()
        self._to_hold = False
        self._ended = False
        self._telling = (False, False)
        self._parties = 1
        #: The fleet is asked for starts, and has not answered yet.
        self._is_asked = False
        self.key = key
        self.pace = pace
        self.held_until = self.held_since = self.moved_at = LONG_AGO
        self.started = 0
        #: Those who have come, and before them those who were let go already and had to come back.
        self._waiting: OrderedDict[Turn, None] = OrderedDict()
        self._first: OrderedDict[Turn, None] = OrderedDict()
        #: Callers let go who have not started yet, and, with `since="end"`, requests under way. Whoever leaves is
        #: looked for in all four places: an interrupt may have come between two of them.
        self._going: dict[Turn, None] = {}
        self._running: dict[Turn, None] = {}
        #: When the next start is due, were there no burst; and the same for the next caller who is let go.
        self._starts_at = self._admits_at = LONG_AGO

    # Facts

    def joined(self, turn: Turn) -> None:
        """A caller came; `let_in` says whether it may go at once."""
        self._waiting[turn] = None

    def let_in(self, now: float) -> list[Turn]:
        """Let those go whose time has come, the oldest first."""
        gone: list[Turn] = []
        while self._reserved and self._reserved[0] < now - max(self._gap, AHEAD):
            self._reserved.popleft()  # Nobody was there for it, and later it would come close to another's.
        while len(self) and now >= self.opens_at():
            place = self._first or self._waiting
            turn = next(iter(place))
            self._going[turn] = None
            del place[turn]
            turn.stage = Stage.GOING
            if self.is_shared and self.pace is not None:
                self._reserved.popleft()
            self._admits_at = max(self._admits_at, now) + self._gap
            gone.append(turn)
        return gone

    def starts(self, turn: Turn, now: float) -> bool:
        """A caller who was let go has its connection: True if it starts now, False if it is in line again, in front."""
        if turn.stage is not Stage.GOING:
            return True
        self._going.pop(turn, None)
        if now < max(self._starts_at - self._slack, self.held_until) or self._running:
            turn.stage = Stage.WAITING
            self._first[turn] = None
            self._admits_one_less()
            if self.is_shared and self.pace is not None:
                self._reserved.appendleft(now)  # Its start is not lost for that.
            return False
        self._start(turn, now)
        return True

    def counted(self, now: float) -> None:
        """A request that has started is sent once more, at once; whoever comes next waits the longer for it."""
        self.started += 1
        self._move_on(now)

    def failed(self, turn: Turn, now: float) -> None:
        """A caller who was let go could not connect. The server has seen that, and is spared the next for as long."""
        if turn.stage is Stage.GOING:
            self._move_on(now)

    def left(self, turn: Turn, now: float) -> None:
        """A caller has gone, or its response has ended; a second time changes nothing."""
        turn.stage = Stage.OVER
        self._waiting.pop(turn, None)
        self._first.pop(turn, None)
        if turn in self._going:
            del self._going[turn]
            self._admits_one_less()
        if turn in self._running:
            self._starts_at = self._admits_at = now + self._gap
            self._ended = True
            self.moved_at = now
            del self._running[turn]

    def held(self, seconds: float, now: float) -> None:
        """The server has said when to come again; what it said before counts only where that is later."""
        until = now + min(seconds, LONGEST_HOLD)
        if until > self.held_until:
            if now >= self.held_until:
                self.held_since = now
            self.held_until = until
            self._to_hold = True

    # In a fleet

    def call_begins(self, now: float) -> Reservation:
        """The fleet is about to be asked for starts, and told what the others are to know."""
        pace = self.pace
        ended, is_held = self._telling  # By a call that has not ended well, if there was one.
        ended, is_held = ended or self._ended, is_held or self._to_hold
        self._telling, self._ended, self._to_hold = (ended, is_held), False, False
        holds = max(self.held_until - now, 0.0) if is_held else 0.0
        if pace is None:
            return Reservation(0, 0.0, 1, False, holds)
        self._is_asked = True
        starts = max(0, self._wanted - len(self._reserved))
        return Reservation(starts, pace.gap, pace.burst, ended and self._counts_from_end, holds)

    def told(self, starts: list[float], hold: float, parties: int | None, now: float) -> None:
        """The fleet has said when the next starts are, and for how long all are held.

        Args:
            starts: Times.
            hold: Seconds.
            parties: Nobody can be asked: the line keeps its part of a pace that so many share; else `None`.
            now: The time.
        """
        self.is_shared = parties is None
        self._parties = parties or 1
        if self.is_shared:
            self._is_asked, self._telling = False, (False, False)
        else:
            self._reserved.clear()
            self.call_lost()
        self._reserved.extend(starts)
        if hold:
            before = self._to_hold
            self.held(hold, now)
            self._to_hold = before  # They know.
        if self.is_shared and now + hold < self.held_until - AHEAD:
            self._to_hold = True  # They do not know, or no longer: Redis was away, or has lost its memory.

    def call_lost(self) -> None:
        """A call has come to no end: the fleet is to be asked again, and told what it was to be told."""
        self._is_asked = False
        self._ended, self._to_hold = self._ended or self._telling[0], self._to_hold or self._telling[1]
        self._telling = (False, False)

    def shares_again(self) -> None:
        """Nobody sees any more to a line that kept its part of the pace by itself: starts are to be reserved again."""
        self.is_shared, self._parties = True, 1

    @property
    def is_short(self) -> bool:
        """True if starts are to be reserved: no more than half of what is wanted are left, and nobody has asked yet.

        Asked for one by one, each start would cost a call; the half that is left lasts until the others are there.
        """
        wanted = self._wanted
        return wanted > 0 and not self._is_asked and len(self._reserved) <= wanted // 2

    @property
    def _wanted(self) -> int:
        """How many starts may be reserved: for those in line, as far as they fit into a moment."""
        if not self.is_shared or self.pace is None:
            return 0
        return min(len(self), max(1, int(AHEAD / self.pace.gap)))

    @property
    def has_news(self) -> bool:
        """True if there is something the other members are to be told."""
        return self.is_shared and (self._to_hold or (self._ended and self._counts_from_end))

    # Questions

    def __iter__(self) -> Iterator[Turn]:
        return chain(self._first, self._waiting)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._first)

    @property
    def first(self) -> Turn | None:
        """Who is let go next."""
        return next(iter(self._first or self._waiting), None)

    def opens_at(self) -> float:
        """Tell when the next caller may be let go; NEVER if that depends on others."""
        if len(self._going) >= self._most_under_way or self._running:
            return NEVER
        if self.is_shared and self.pace is not None:
            if not self._reserved:
                return NEVER
            return max(self._reserved[0], self._starts_at - self._slack, self.held_until)
        return max(self._admits_at - self._slack, self.held_until)

    def stalled(self, turn: Turn, now: float) -> float:
        """Tell for how many seconds a caller has waited for something that no pace says.

        That is the server's `Retry-After`, and with `since="end"` the end of the request that is under way. The pace's
        own intervals are no standstill, however long they are.
        """
        since = now
        if now < self.held_until:
            since = self.held_since
        elif self._running or len(self._going) >= self._most_under_way:
            since = self.moved_at
        return now - max(turn.since, since)

    def is_idle(self, now: float) -> bool:
        """Tell whether a new line would do as well as this one."""
        is_empty = not len(self) and not self._going and not self._running
        return is_empty and now >= max(self._starts_at, self._admits_at, self.held_until)

    # Deciding

    @property
    def _gap(self) -> float:
        return 0.0 if self.pace is None else self.pace.gap * self._parties

    @property
    def _slack(self) -> float:
        """Seconds by which starts may be ahead of the interval."""
        return 0.0 if self.pace is None else self._gap * (self.pace.burst - 1)

    @property
    def _counts_from_end(self) -> bool:
        return self.pace is not None and self.pace.since == "end"

    @property
    def _most_under_way(self) -> float:
        if self.pace is None:
            return NEVER
        return 1 if self._counts_from_end else max(MOST_UNDER_WAY, self.pace.burst)

    def _move_on(self, now: float) -> None:
        self._starts_at = max(self._starts_at, now) + self._gap
        self._admits_at = max(self._admits_at, self._starts_at + len(self._going) * self._gap)

    def _admits_one_less(self) -> None:
        """Let the next caller have the time of one who was let go, and has not started."""
        self._admits_at = max(self._starts_at + len(self._going) * self._gap, self._admits_at - self._gap)

    def _start(self, turn: Turn, now: float) -> None:
        # Who is let go next shall not come to its start before those who are under way already.
        self.counted(now)
        self.moved_at = now
        if self._counts_from_end:
            self._running[turn] = None
            turn.stage = Stage.STARTED
        else:
            turn.stage = Stage.OVER


class Lines:
    """The lines of a pool, by key. Made by a first request, gone when nobody could tell that it was there."""

    __slots__ = ("_lines", "_sweep_at", "is_shared")

    def __init__(self) -> None:
        #: The pool is in a fleet.
        self.is_shared = False
        self._lines: dict[str, Line] = {}
        self._sweep_at = SLACK

    def __iter__(self) -> Iterator[Line]:
        return iter(self._lines.values())

    @property
    def waiting(self) -> int:
        """Callers in all lines. For moments when somebody waits anyhow."""
        return sum(map(len, self._lines.values()))

    def get(self, key: str) -> Line | None:
        """Give the line with a key, if there is one."""
        return self._lines.get(key)

    def at(self, paced: Paced, now: float) -> Line:
        """Give a request's line; the newest request's pace holds."""
        line = self._lines.get(paced.key)
        if line is None:
            if len(self._lines) >= self._sweep_at:
                self._sweep(now)
            line = self._lines[paced.key] = Line(paced.key, paced.pace, is_shared=self.is_shared)
        line.pace = paced.pace
        return line

    def _sweep(self, now: float) -> None:
        self._lines = {key: line for key, line in self._lines.items() if not line.is_idle(now)}
        self._sweep_at = 2 * len(self._lines) + SLACK


def seconds_until(retry_after: bytes, date: bytes | None, wall: float) -> float | None:
    """Read a `Retry-After`: seconds, or a date.

    Args:
        retry_after: The field's value.
        date: The value of the response's `Date`: a date is compared with the server's own clock where it says it.
        wall: Seconds since 1970, by our clock.

    Returns:
        Seconds to wait, not below 0; `None` if the field says nothing that can be read.
    """
    text = retry_after.strip()
    if text.isdigit():
        return min(float(text), LONGEST_HOLD)
    until = _timestamp(text)
    if until is None:
        return None
    sent_at = None if date is None else _timestamp(date)
    return max(0.0, until - (wall if sent_at is None else sent_at))


def _timestamp(date: bytes) -> float | None:
    # Imported here: they cost milliseconds, and most programs never meet a date here.
    with undivided:
        from datetime import UTC
        from email.utils import parsedate_to_datetime

    try:
        read = parsedate_to_datetime(date.decode("latin-1"))
        # Of HTTP's three forms asctime's names no zone, and is UTC all the same (RFC 9110 §5.6.7). Without one Python
        # takes it for our local time.
        return (read if read.tzinfo is not None else read.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
