"""What closes nobody had announced teach of an origin: whether it keeps connections alive, and for how long.

Decides: whether an origin is proved to keep a connection, whether it is known not to, and for how many seconds a
connection may lie idle there.
Knows: idle ages, and which closes are one event.
Does not know: connections, clocks. A proxy that forwards plain requests is the origin of all of them.

Source: RFC 9112 §9.3, §9.5: a server may close an idle connection at any time, and need not say so.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from keeppool.core.origin import Origin

#: Seconds of idle age up to which a close is one right behind the response: as long as `trust.LOOK` watches for one,
#: with its evidence. What comes later is an idle limit.
BEHIND = 0.025
#: Closes right behind a response, seen one after another, that make an origin one that does not keep alive.
HANG_UPS = 2

#: Seconds of idle age below which a close says nothing of an idle limit: no server's timer counts less than a
#: millisecond. What closes then is a worker that dies of a request; connections go from one caller to the next within
#: microseconds, and a limit as short could not be refuted, because nothing would rest for longer any more.
SHORTEST = 0.001

#: Share used of the idle age at which a server may have closed at the earliest, as far as is known: its timers are
#: coarse, and the next request still has to travel.
SHARE = 0.8
#: The factor by which the ages of two closes may differ and still be those of one limit; also how far below the age at
#: which it was noticed a close is taken to have happened, where nobody had looked in between.
SPREAD = 2.0
#: Seconds of idle age below which one connection that has lain idle for clearly longer refutes a limit. Where all are
#: used again within milliseconds, the closes of two restarts look like a limit.
REFUTABLE = 1.0

#: Seconds after which everything is forgotten, so that one bad hour does not cost handshakes for ever.
FORGOTTEN = 600.0
#: Origins of which something is known, the most recent ones.
MOST_KNOWN = 1024


class Ages(NamedTuple):
    """The idle age at which a connection was closed: above `low`, when it was last known to be open, up to `high`."""

    low: float
    high: float

    def agrees(self, other: Ages) -> bool:
        """Tell whether both may be the work of one limit."""
        return max(self.low, other.low) <= SPREAD * min(self.high, other.high)

    def is_refuted(self, rested: float) -> bool:
        """Tell whether a connection that was used again after so many seconds shows that there is no such limit."""
        return self.high < REFUTABLE and rested > SPREAD * self.high

    def narrowed(self, other: Ages) -> Ages:
        """Give the youngest age that both know of, as closely as both together know it."""
        high = min(self.high, other.high)
        return Ages(max(low for low in (self.low, other.low, 0.0) if low <= high), high)


class Closes:
    """The silent closes of one origin, and the pattern in them.

    A restart closes all connections at once, at whatever age they have. So closes are counted by events: what has
    answered since an event was noticed has outlived it, and its close is another one. Two events whose ages agree are a
    pattern. An event with ages that do not agree is none.
    """

    __slots__ = ("_beside", "_event", "_event_at", "_is_scattered", "_pattern", "at")

    def __init__(self, ages: Ages, now: float) -> None:
        self._pattern: Ages | None = None
        #: An event that does not fit the pattern.
        self._beside: Ages | None = None
        self._begin(ages, now)

    def _begin(self, ages: Ages, now: float) -> None:
        self._event = ages
        self._event_at = self.at = now
        self._is_scattered = False

    def add(self, ages: Ages, answered_at: float, now: float) -> None:
        """Take note of another close, of a connection whose last response ended at `answered_at`."""
        if answered_at > self._event_at:
            self._pattern, self._beside = self._counted()
            self._begin(ages, now)
            return
        self.at = now
        if self._event.agrees(ages):
            self._event = self._event.narrowed(ages)
        else:
            self._is_scattered = True

    def survived(self, rested: float) -> None:
        """A connection was used again after so many seconds: the server has no limit that is clearly shorter."""
        if self._pattern is not None and self._pattern.is_refuted(rested):
            self._pattern = None
        if self._beside is not None and self._beside.is_refuted(rested):
            self._beside = None
        if self._event.is_refuted(rested):
            self._is_scattered = True

    @property
    def limit(self) -> float | None:
        """Seconds to keep a connection; `None` while there is no pattern."""
        pattern, _ = self._counted()
        return None if pattern is None else SHARE * max(pattern.low, pattern.high / SPREAD)

    def _counted(self) -> tuple[Ages | None, Ages | None]:
        """Give the pattern, and an event beside it, with the current event counted in."""
        pattern, beside, event = self._pattern, self._beside, self._event
        if self._is_scattered:
            return pattern, beside
        if pattern is not None and pattern.agrees(event):
            return pattern.narrowed(event), beside
        if beside is None or not beside.agrees(event):
            return pattern, event
        both = beside.narrowed(event)
        # Of two limits, such as those of two servers behind one name, the shorter holds.
        return (both, None) if pattern is None or both.high < pattern.high else (pattern, None)


class Habit:
    """What is known of one origin.

    Attributes:
        is_proved: A connection there has carried a second exchange, and nothing has spoken against it since.
        closes: The silent closes seen there; `None` if there are none.
    """

    __slots__ = ("_hang_ups", "_hung_up_at", "_noted_at", "closes", "is_proved")

    def __init__(self, now: float) -> None:
        self.is_proved = False
        self.closes: Closes | None = None
        self._hang_ups = 0
        self._hung_up_at = self._noted_at = now

    @property
    def hangs_up(self) -> bool:
        """True if the origin does not keep connections alive: it hung up behind its responses, and kept none since."""
        return self._hang_ups >= HANG_UPS

    def proved(self, now: float) -> None:
        """A connection has carried a second exchange."""
        self.is_proved = True
        self._hang_ups = 0
        self._noted_at = now

    def closed(self, ages: Ages, served: int, answered_at: float, now: float) -> None:
        """A connection was closed, and nothing had announced it.

        Args:
            ages: Its idle age.
            served: Responses it had carried.
            answered_at: When the last of these had ended.
            now: When the close was noticed.
        """
        if ages.high > BEHIND or (served > 1 and ages.high >= SHORTEST):
            if self.closes is None or now - self.closes.at > FORGOTTEN:
                self.closes = Closes(ages, now)
            else:
                self.closes.add(ages, answered_at, now)
        elif served <= 1 and (not self._hang_ups or answered_at > self._hung_up_at):
            # Not one that was open when the last one was noticed: a restart is one event.
            self._hang_ups += 1
            self._hung_up_at = now
            self.is_proved = self.is_proved and not self.hangs_up
        self._noted_at = now

    def limit_after(self, rested: float, now: float) -> float | None:
        """Give the seconds a connection may lie idle, now that one has answered after `rested` seconds of it."""
        closes = self.closes
        if closes is None:
            return None
        if now - closes.at > FORGOTTEN:
            self.closes = None
            return None
        closes.survived(rested)
        return closes.limit

    def is_forgotten(self, now: float) -> bool:
        """Tell whether nothing was learned for so long that nothing counts any more."""
        return now - self._noted_at > FORGOTTEN


class Habits:
    """What is known, by origin. Bounded, and forgotten after a while."""

    __slots__ = ("by_origin",)

    def __init__(self) -> None:
        self.by_origin: OrderedDict[Origin, Habit] = OrderedDict()

    def known(self, origin: Origin, now: float) -> Habit | None:
        """Give what is known of an origin."""
        habit = self.by_origin.get(origin)
        if habit is not None and habit.is_forgotten(now):
            del self.by_origin[origin]
            return None
        return habit

    def noted(self, origin: Origin, habit: Habit | None, now: float) -> Habit:
        """Give a place to write something down about an origin, and keep the most recent ones.

        Args:
            origin: Whose it is.
            habit: What its host has known so far.
            now: The time.
        """
        if habit is None or habit.is_forgotten(now):
            habit = Habit(now)
        self.by_origin[origin] = habit
        self.by_origin.move_to_end(origin)
        if len(self.by_origin) > MOST_KNOWN:
            self.by_origin.popitem(last=False)
        return habit

    def limits(self, now: float) -> dict[Origin, float]:
        """List the idle limits in force."""
        limits: dict[Origin, float] = {}
        for origin in list(self.by_origin):
            habit = self.known(origin, now)
            limit = None if habit is None else habit.limit_after(0.0, now)
            if limit is not None:
                limits[origin] = limit
        return limits

    def not_keeping(self, now: float) -> list[Origin]:
        """List the origins that do not keep connections alive."""
        return [o for o in list(self.by_origin) if (habit := self.known(o, now)) is not None and habit.hangs_up]
