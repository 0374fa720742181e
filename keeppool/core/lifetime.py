"""How long a connection may live and sit idle, and whether it was used so recently that it can hardly be stale.

Decides: when a connection expires, and for which reason: our own limits, the server's hints, and what its silent
closes have taught us; the earliest wins.
Does not know: the pool's tables, clocks.
"""

from __future__ import annotations

from collections import OrderedDict

from keeppool.core.keepalive import idle_limit
from keeppool.core.origin import Origin
from keeppool.core.records import NEVER, Connection, State
from keeppool.events import Why

#: Seconds since the last byte within which a connection counts as fresh: no server measured closes sooner (gunicorn's
#: 2 s is the shortest default met).
FRESH = 1.0
#: ... or with at least this share of the server's announced time still to go.
FRESH_SHARE = 0.5

#: Share of the idle age at which a server was seen to close silently that is still used. A fifth covers the second by
#: which the janitor may be late, from 5 s on.
LEARNED_SHARE = 0.8
#: Seconds of silence below which nothing is learned, and the shortest limit: a restart closes connections of any age,
#: and a limit of less than a second would cost more handshakes than it saves errors.
LEARNED_FLOOR = 1.0
#: Seconds within which closes at one origin are one event: a restart closes all connections at once.
SAME_EVENT = 1.0
#: Seconds after which a learned limit is forgotten, so that one bad hour does not cost handshakes for ever.
FORGOTTEN = 600.0
#: Origins whose learned limits are kept, the most recent ones.
MOST_LEARNED = 1024

# Looked up at the end of every request; as a member of its class it would cost three times as much (Python 3.11).
_IDLE_TIMEOUT = Why.IDLE_TIMEOUT


def settle(connection: Connection, now: float, learned: float | None) -> Why | None:
    """Set when a connection that has just done its work expires; the reason if it may not be used any more.

    Args:
        connection: With `read_at`, hints and `served` up to date.
        now: The time.
        learned: Seconds after which this origin's server closes silently, if known.
    """
    policy = connection.host.policy
    if connection.uses_left == 0:
        return Why.HINT_MAX
    if policy.max_requests is not None and connection.served >= policy.max_requests:
        return Why.MAX_REQUESTS
    limit, why = policy.idle_timeout, _IDLE_TIMEOUT
    hint = connection.hint.timeout
    if hint is not None:
        believed = idle_limit(hint, limit)
        if believed != limit:
            limit, why = believed, Why.HINT_TIMEOUT
    if learned is not None and (limit is None or learned < limit):
        limit, why = learned, Why.LEARNED_TIMEOUT
    expires_at = NEVER if limit is None else connection.read_at + limit
    if policy.max_age is not None and connection.born_at + policy.max_age < expires_at:
        expires_at, why = connection.born_at + policy.max_age, Why.MAX_AGE
    connection.expires_at, connection.expires_by = expires_at, why
    return None if now < expires_at else why


def is_fresh(connection: Connection, now: float) -> bool:
    """Tell whether an idle connection may carry a request that could not be sent again if it were stale."""
    if now - connection.read_at <= FRESH:
        return True
    granted = connection.expires_at - connection.read_at
    return connection.hint.timeout is not None and connection.expires_at - now >= FRESH_SHARE * granted


class LearnedLimit:
    """The idle ages at which one origin's server was last seen to close without having said so."""

    __slots__ = ("age", "at", "before")

    def __init__(self, age: float, at: float) -> None:
        self.age = age
        self.at = at
        self.before: float | None = None

    def add(self, age: float, at: float) -> None:
        """Take note of another close; several at one time are one event, and its oldest connection tells the most."""
        if at - self.at <= SAME_EVENT:
            self.age = max(self.age, age)
        else:
            self.before, self.age = self.age, age
        self.at = at

    @property
    def limit(self) -> float | None:
        """Seconds to keep a connection; `None` after one event, which may have been a restart."""
        if self.before is None:
            return None
        return max(LEARNED_FLOOR, LEARNED_SHARE * max(self.before, self.age))


class LearnedLimits:
    """What silent closes have taught, by origin. Bounded, and forgotten after a while."""

    __slots__ = ("by_origin",)

    def __init__(self) -> None:
        self.by_origin: OrderedDict[Origin, LearnedLimit] = OrderedDict()

    def learn(self, connection: Connection, now: float) -> None:
        """A server closed a connection earlier than anything had announced; its idle age is what counts.

        An idle connection has that age now; one that was found dead in use had it when it was taken.
        """
        origin = connection.origin
        age = (now if connection.state is State.IDLE else connection.taken_at) - connection.read_at
        if age < LEARNED_FLOOR:
            return  # A restart, or a server that died of the request: it was not the silence.
        learned = self.by_origin.get(origin)
        if learned is None or now - learned.at > FORGOTTEN:
            self.by_origin[origin] = LearnedLimit(age, now)
        else:
            learned.add(age, now)
        self.by_origin.move_to_end(origin)
        if len(self.by_origin) > MOST_LEARNED:
            self.by_origin.popitem(last=False)

    def limit(self, origin: Origin, now: float) -> float | None:
        """Give the seconds a connection to this origin should sit idle at the most; `None` if nothing is known."""
        learned = self.by_origin.get(origin)
        if learned is None:
            return None
        if now - learned.at > FORGOTTEN:
            del self.by_origin[origin]
            return None
        return learned.limit

    def all(self, now: float) -> dict[Origin, float]:
        """List the limits in force."""
        known = ((origin, self.limit(origin, now)) for origin in list(self.by_origin))
        return {origin: limit for origin, limit in known if limit is not None}
