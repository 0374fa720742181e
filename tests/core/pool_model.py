"""A naive pool to hold the real one against: lists, scans and recounts, nothing that could be clever and wrong.

It takes what happened (facts reported, answers and orders received), keeps its own books, and asserts at each decision
that a careful clerk would have decided the same. It reads none of the pool's tables but the public gauges.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from keeppool.events import Why

NEVER = float("inf")
EXPIRED = (Why.IDLE_TIMEOUT, Why.HINT_TIMEOUT, Why.MAX_AGE)


@dataclass
class Server:
    """How an origin's server behaves: seconds it announces, requests it takes, and how it counts them."""

    timeout: int | None = None
    limit: int | None = None
    counts_down: bool = False

    def announces(self, served: int) -> tuple[int | None, int | None]:
        """Give `timeout` and `max` of its `served`-th answer on a connection."""
        if self.limit is None:
            return self.timeout, None
        return self.timeout, max(0, self.limit - served) if self.counts_down else self.limit


@dataclass
class Facts:
    """What the model knows of a connection."""

    origin: Any
    born: float = 0.0
    read_at: float = 0.0
    served: int = 0
    timeout: int | None = None
    reused: bool = False
    #: Holders it has had.
    holders: int = 0


@dataclass
class Model:
    """Every connection in one list, every waiting caller in one list, counted again at each question."""

    total: int | None
    per_proxy: int | None
    most_overtakes: int
    policy: dict[Any, Any] = field(default_factory=dict)
    servers: dict[Any, Server] = field(default_factory=dict)
    connecting: list[Any] = field(default_factory=list)
    busy: list[Any] = field(default_factory=list)
    idle: list[Any] = field(default_factory=list)
    gone: list[Any] = field(default_factory=list)
    waiting: list[Any] = field(default_factory=list)
    served: list[Any] = field(default_factory=list)
    facts: dict[Any, Facts] = field(default_factory=dict)
    ended: dict[Any, str] = field(default_factory=dict)
    overtaken: dict[Any, int] = field(default_factory=dict)
    closed_by: dict[Why, int] = field(default_factory=lambda: dict.fromkeys(Why, 0))
    opened: int = 0
    reused: int = 0
    queued: int = 0
    connect_failed: int = 0
    resent: int = 0
    waited: float = 0.0
    peak: int = 0
    is_closed: bool = False
    #: The host whose caller wants a fresh connection while it is full of idle ones, during that one request.
    yielding: Any = None

    # Counting

    def all(self) -> list[Any]:
        return self.connecting + self.busy + self.idle

    def at(self, origin: Any, connections: list[Any] | None = None) -> list[Any]:
        return [c for c in (self.all() if connections is None else connections) if self.facts[c].origin == origin]

    def through(self, proxy: Any, connections: list[Any] | None = None) -> list[Any]:
        found = self.all() if connections is None else connections
        return [c for c in found if proxy is not None and self.facts[c].origin.proxy == proxy]

    def host_full(self, origin: Any, spared: int = 0) -> bool:
        cap = self.policy[origin].per_host
        return cap is not None and len(self.at(origin)) - spared >= cap

    def proxy_full(self, proxy: Any, spared: int = 0) -> bool:
        return proxy is not None and self.per_proxy is not None and len(self.through(proxy)) - spared >= self.per_proxy

    def total_full(self, spared: int = 0) -> bool:
        return self.total is not None and len(self.all()) - spared >= self.total

    def expiry(self, connection: Any) -> float:
        """When the connection may no longer be used, by the policy in force and the server's word."""
        facts = self.facts[connection]
        policy = self.policy[facts.origin]
        ends = [NEVER]
        if policy.idle_timeout is not None:
            ends.append(facts.read_at + policy.idle_timeout)
        if facts.timeout is not None:
            # One number of seconds, as in the core: otherwise what is rounded differs.
            ends.append(facts.read_at + (facts.timeout - min(1.0, facts.timeout / 4)))
        if policy.max_age is not None:
            ends.append(facts.born + policy.max_age)
        return min(ends)

    def is_worn(self, connection: Any) -> bool:
        most = self.policy[self.facts[connection].origin].max_requests
        return most is not None and self.facts[connection].served >= most

    def must_be_new(self, connection: Any) -> bool:
        """Tell whether an unsafe request must not ride on this connection."""
        facts = self.facts[connection]
        return facts.served > 0 and self.policy[facts.origin].new_for_unsafe

    def must_wait_for_new(self, connection: Any) -> bool:
        """Tell whether the caller whose turn it is at a connection's host cannot have it."""
        return self.refuses(self.oldest_at(self.facts[connection].origin), connection)

    def passed_by_to(self, connection: Any) -> Any:
        """Give the caller who may have a connection that the oldest must not, where nothing may be dialled instead."""
        origin = self.facts[connection].origin
        mine = [ticket for ticket in self.waiting if ticket.host.origin == origin] if self.is_barred(origin) else []
        return next((ticket for ticket in mine if not self.refuses(ticket, connection)), None)

    def refuses(self, ticket: Any, connection: Any) -> bool:
        """Tell whether a caller must not have a connection that comes free."""
        return ticket.unsafe and self.must_be_new(connection)

    def may_have_idle(self, ticket: Any, now: float) -> bool:
        """Tell whether something is idle at its host that a caller could have, or that could make room for it."""
        origin = ticket.host.origin
        fresh = [c for c in self.at(origin, self.idle) if now < self.expiry(c)]
        return any(not (self.is_barred(origin) and self.refuses(ticket, c)) for c in fresh)

    def is_servable(self, ticket: Any, closing: Any = None) -> bool:
        """Tell whether the caller could be served now, or if the connection `closing` were closed."""
        origin = ticket.host.origin
        gone = [] if closing is None else [closing]
        if self.host_full(origin, len(self.at(origin, gone))):
            return False
        if self.proxy_full(origin.proxy, len(self.through(origin.proxy, gone))):
            return bool(self.through(origin.proxy, self.idle))
        return not self.total_full(len(gone)) or bool(self.idle)

    def is_barred(self, origin: Any) -> bool:
        """Tell whether nothing may be dialled there, not even in the place of what was there."""
        return False

    def oldest_servable(self, closing: Any = None) -> Any:
        return next((ticket for ticket in self.waiting if self.is_servable(ticket, closing)), None)

    def oldest_at(self, origin: Any) -> Any:
        return next((ticket for ticket in self.waiting if ticket.host.origin == origin), None)

    # Happenings

    def dialling(self, connection: Any, origin: Any) -> None:
        assert connection not in self.facts, "a connection is handed out for dialling twice"
        assert not self.host_full(origin), "more connections to the host than its cap"
        assert not self.proxy_full(origin.proxy), "more connections through the proxy than its cap"
        assert not self.total_full(), "more connections than the total"
        self.replaced_by(connection, origin)

    def replaced_by(self, connection: Any, origin: Any) -> None:
        """A dial in the slot of another connection; a cap lowered meanwhile does not forbid it."""
        self.facts[connection] = Facts(origin)
        self.connecting.append(connection)
        self.peak = max(self.peak, len(self.all()))

    def connected(self, connection: Any, now: float) -> None:
        self.opened += 1
        self.facts[connection].born = self.facts[connection].read_at = now
        self.facts[connection].holders += 1
        self.connecting.remove(connection)
        self.busy.append(connection)

    def lent_from_shelf(self, connection: Any, origin: Any, now: float) -> None:
        fresh = [c for c in self.at(origin, self.idle) if now < self.expiry(c) and not self.is_worn(c)]
        assert fresh, "an expired connection, or another host's, was lent"
        assert connection is fresh[-1], "not the most recently used connection was lent"
        self.idle.remove(connection)
        self.busy.append(connection)
        self._lent(connection)

    def handed_on(self, connection: Any) -> None:
        """A released connection goes straight to a caller who waits for it."""
        self.busy.remove(connection)
        self.busy.append(connection)
        self._lent(connection)

    def _lent(self, connection: Any) -> None:
        facts = self.facts[connection]
        limit = self.servers[facts.origin].limit
        # A server that never got to say its limit cannot be believed.
        assert limit is None or facts.served == 0 or facts.served < limit, "one request more than the server takes"
        facts.reused = True
        facts.holders += 1
        self.reused += 1

    def queue(self, ticket: Any) -> None:
        self.waiting.append(ticket)
        self.overtaken[ticket] = 0
        self.queued += 1

    def answer(self, connection: Any, now: float, slow: float = 0.0) -> tuple[int | None, int | None]:
        """Let the server answer; its last byte was read `slow` seconds ago."""
        facts = self.facts[connection]
        facts.served += 1
        facts.read_at = max(facts.read_at, now - slow)
        timeout, most = self.servers[facts.origin].announces(facts.served)
        if timeout is not None:
            facts.timeout = timeout
        return timeout, most

    def may_pass_on(self, connection: Any) -> bool:
        """Tell whether a reusable connection goes to its own host's next caller; count whom that passes over."""
        mine, first = self.oldest_at(self.facts[connection].origin), self.oldest_servable(connection)
        if mine is None:
            return False
        if first is None or first.number >= mine.number:
            return True
        self.overtaken[first] += 1
        return self.overtaken[first] <= self.most_overtakes

    def why_spent(self, connection: Any, now: float) -> set[Why]:
        """Give the reasons for which a connection after a good exchange may be closed at once."""
        reasons = set()
        if self.is_closed:
            reasons.add(Why.POOL_CLOSED)
        if self.servers[self.facts[connection].origin].limit is not None:
            reasons.add(Why.HINT_MAX)
        if self.is_worn(connection):
            reasons.add(Why.MAX_REQUESTS)
        if self.expiry(connection) <= now:
            reasons.update(EXPIRED)
        return reasons

    def closed(self, connection: Any, why: Why) -> None:
        """Strike a connection from whichever list it is on; exactly one has it."""
        places = [place for place in (self.busy, self.idle) if connection in place]
        assert len(places) == 1, f"closed, but on {len(places)} lists: twice, or never opened"
        places[0].remove(connection)
        self.gone.append(connection)
        self.closed_by[why] += 1

    def evicted(self, connection: Any) -> None:
        """Check that the right idle connection had to go, and that one had to."""
        proxy = self.facts[connection].origin.proxy
        of_proxy = self.through(proxy, self.idle)
        if self.yielding is not None:
            assert self.host_full(self.yielding)
            idle = self.at(self.yielding, self.idle)
            assert connection is idle[0], "not the host's own oldest gave way"
            if len(idle) == 1 or not self.host_full(self.yielding, spared=1):
                self.yielding = None
            return
        if self.total_full() and connection is self.idle[0]:
            return
        assert self.proxy_full(proxy), "an idle connection was evicted although there was room"
        assert connection is of_proxy[0], "not the least recently used idle connection was evicted"

    def ends(self, ticket: Any, how: str) -> None:
        assert ticket not in self.ended, f"a ticket ended twice: {self.ended.get(ticket)}, then {how}"
        self.ended[ticket] = how
        self.waiting.remove(ticket)
