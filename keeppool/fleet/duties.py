"""What a member of a fleet has to do, and when: which keys are to be called about, and what holds while Redis is away.

Decides: when a key is due, how long Redis is left alone after a failure, and what each policy lets the pool do then.
Knows: replies, and the time it is told.
Does not know: clients, threads, event loops, clocks.
"""

from __future__ import annotations

import random
from heapq import nsmallest
from typing import Final

from keeppool.fleet.script import TURN_S, Reply

#: What a lease is renewed in: thirds, so that one call that fails costs nothing.
RENEWALS: Final = 3
#: Which part of its time a call may be early, to go together with others: two groups of keys are never further apart
#: than half the time between renewals, so they become one.
TOGETHER: Final = 0.5
#: Calls in one round trip. They take a few milliseconds, for which an event loop stands still, so a busy machine has
#: time to spare too. Four thousand at once took longer than a call may, so Redis never counted as there again.
MOST_TOGETHER: Final = 128
#: Seconds before a lease ends from which on nothing new is dialled on it: a dial takes time as well.
MARGIN: Final = 2.0
#: Seconds between two calls while others ask: what they wait for is given back no later. The same while all of a cap is
#: taken, as whoever asks next waits until those who have it call.
CONTENDED: Final = 1.0
#: Seconds between two calls while a caller waits for a permit that was refused.
REFUSED: Final = 0.25
#: Seconds for which Redis is left alone after the first failure in a row, and at the most; never for longer than
#: between two renewals. What it has forgotten, or was dialled without it, keeps nobody else from dialling until then.
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
#: Members of which one may be early; a wait is drawn from half to one and a half times its length.
_JITTER: Final = (0.5, 1.5)

POLICIES: Final = ("share", "closed", "open")


class Known:
    """What a member knows of one key.

    Attributes:
        due_at: When the next call about it is due.
        early_at: From when on it may go together with others.
        waits: It is due at that time and not before, whatever happens: the last call was in vain.
        reply: The last reply; `None` before the first.
        since: When the pool has had something to do with it first.
        alone_at: While Redis is away: from when on the pool may be told again what holds then.
    """

    __slots__ = ("alone_at", "due_at", "early_at", "reply", "since", "waits")

    def __init__(self, now: float) -> None:
        self.due_at = self.early_at = self.since = self.alone_at = now
        self.waits = False
        self.reply: Reply | None = None

    def set(self, due_at: float, *, early_by: float = 0.0, waits: bool = False) -> None:
        """Set when the next call is due."""
        self.due_at, self.early_at, self.waits = due_at, due_at - early_by, waits


class Duties:
    """The keys of one member.

    Args:
        ttl: Seconds a lease lasts.
        when_down: One of `POLICIES`.

    Attributes:
        keys: By name.
        is_down: Redis has not answered the last time.
        calls: Calls made, by key.
        failures: Times Redis did not answer.
    """

    def __init__(self, ttl: float, when_down: str) -> None:
        self.ttl = ttl
        self.when_down = when_down
        self.keys: dict[str, Known] = {}
        self.is_down = False
        self.calls = 0
        self.failures = 0
        self._again_at = 0.0
        self._pause = FIRST_PAUSE
        #: Seconds after which a lease is renewed: the same for all keys, which so stay together; others have others.
        self._renewed_in = ttl / RENEWALS * random.uniform(0.75, 1)

    # What happens

    def due(self, key: str, now: float) -> None:
        """A call about a key is wanted: at once, unless one was in vain a moment ago."""
        known = self.keys.get(key)
        if known is None:
            self.keys[key] = Known(now)
        elif not known.waits:
            if now < known.due_at:
                known.set(now)
        elif self.is_down and max(now, known.alone_at) < known.due_at:
            # Nobody is called for it, so it need not wait as long as Redis is left alone.
            known.set(max(now, known.alone_at), waits=True)

    def begun(self, key: str) -> None:
        """A call is under way: what is wanted from here on is for the next one."""
        self.calls += 1
        self.keys[key].set(self._never)

    def replied(
        self,
        key: str,
        reply: Reply,
        now: float,
        *,
        wanted: int,
        is_paced: bool,
        claims: bool,
        has: int,
        cap: int | None,
    ) -> None:
        """Redis has answered.

        Args:
            key: About which key.
            reply: What.
            now: The time.
            wanted: Callers who still wait for a permit.
            is_paced: Callers stand in line for their turn: a Retry-After that others have heard is to be known soon.
            claims: The pool has or wants something of it; if not, it is forgotten.
            has: Connections the pool has or may open.
            cap: Connections there may be in all members.
        """
        known = self.keys.get(key)
        self._pause, self.is_down = FIRST_PAUSE, False
        if known is None:
            return
        known.reply = reply
        if not claims:
            self._forget(key)
        elif wanted:
            known.set(now + min(REFUSED, self.ttl / 10) * random.uniform(*_JITTER), waits=True)
        else:
            seconds = self._renewed_in
            is_full = cap is not None and reply.used >= cap
            if now - known.since <= CONTENDED and has > 1:
                seconds = min(seconds, REFUSED)  # Members that begin together find out about each other.
            elif reply.others or reply.give_back or is_full:
                seconds = min(seconds, CONTENDED)
            if is_paced:
                seconds = min(seconds, REFUSED)
            if now + seconds < known.due_at:
                known.set(now + seconds, early_by=TOGETHER * seconds)

    def postponed(self, key: str, now: float, *, claims: bool, has_cap: bool) -> None:
        """A key's pool has been told what holds while Redis is away, or says nothing of use about this key.

        Soon told again is only what it has not asked for yet: a paced request asks for its start, then for a permit.
        """
        known = self.keys.get(key)
        if known is None:
            return
        if self.is_down and not claims and known.reply is None:
            del self.keys[key]  # Redis has nothing to be told: a crawl goes on to other hosts, however long this takes.
        elif self.is_down:
            known.set(self._again_at, waits=True)
            known.alone_at = now + REFUSED * has_cap
        elif claims:
            known.set(now + FIRST_PAUSE * random.uniform(*_JITTER), waits=True)
        else:
            self._forget(key)

    def failed(self, now: float) -> None:
        """Redis has not answered."""
        self.failures += 1
        self.is_down = True
        self._again_at = now + min(self._pause * random.uniform(*_JITTER), self.ttl / RENEWALS)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def broken_off(self, now: float) -> None:
        """Whoever made calls has been stopped: those that were under way are due again."""
        for known in self.keys.values():
            if known.due_at == self._never:
                known.set(now)

    def _forget(self, key: str) -> None:
        """Forget a key, unless a call about it is wanted."""
        if self.keys[key].due_at == self._never:
            del self.keys[key]

    # What follows

    _never = float("inf")

    def ready(self, now: float) -> list[str]:
        """List the keys that are due, and those that soon will be, for one round trip; the rest is for the next one."""
        if now < self.next_at():
            return []
        ready = [key for key, known in self.keys.items() if known.early_at <= now]
        if len(ready) <= MOST_TOGETHER:
            return ready
        return nsmallest(MOST_TOGETHER, ready, key=lambda key: self.keys[key].due_at)

    def next_at(self) -> float:
        """Tell when something is due."""
        return min((known.due_at for known in self.keys.values()), default=self._never)

    def may_call(self, now: float) -> bool:
        """Tell whether Redis may be asked; after failures it is left alone for a while."""
        return not self.is_down or now >= self._again_at

    def lease_until(self, asked_at: float) -> float:
        """Tell until when permits of a call that was begun then may be used."""
        return asked_at + self.ttl - min(MARGIN, self.ttl / 4)

    def share_when_down(self, key: str, have: int, cap: int | None, per_host: int | None) -> int:
        """Tell how many connections of a key there may be while Redis is away."""
        if self.when_down == "closed":
            return have
        if self.when_down == "open" or cap is None:
            return max(have, 1 << 30 if per_host is None else per_host)
        reply = self.keys[key].reply if key in self.keys else None
        if reply is None or not reply.parties:
            return max(have, 1)
        if cap < reply.parties:
            return max(have, 1 if reply.place < cap else 0)
        return max(have, cap // reply.parties)

    @property
    def until_when_down(self) -> float:
        """Tell until when connections may be dialled in the place of others while Redis is away."""
        return -self._never if self.when_down == "closed" else self._never

    def parties(self, key: str) -> int:
        """Tell among how many members a pace is divided while Redis is away."""
        reply = self.keys[key].reply if key in self.keys else None
        return 1 if self.when_down == "open" or reply is None else max(reply.parties, 1)


assert TURN_S > CONTENDED, "who has to give a connection back hears of it before the next has to"
