"""The state machines of both kinds of pool in a fleet, which lets them have more connections and fewer, at random.

To what `PoolMachine` and `LateMachine` check comes: the permits of a key bound the connections of all its hosts; what
is let go of is not used any more; whoever lacks nothing but a permit has the fleet asked; what is too much goes when
it comes free, and what serves nobody at once.
"""

from __future__ import annotations

from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from late_machine import LateMachine, LateModel
from lifecycle import Move
from pool_machine import PoolMachine, anyone, caps, core_of, sites
from pool_model import Model

from keeppool.events import Why

KEYS = ("k", "l")


class Books:
    """What the fleet has said, by key; mixed into the model of a pool."""

    facts: Any
    policy: Any

    def begin_fleet(self) -> None:
        self.now = 0.0
        self.allowed = dict.fromkeys(KEYS, 0)
        self.until = dict.fromkeys(KEYS, 0.0)
        #: Closed, one by one, because the fleet allows fewer.
        self.due: set[str] = set()
        #: Keys of which a call is under way, and of which a refusal was reported with callers left.
        self.called: dict[str, int] = {}
        self.refused: set[str] = set()

    def key(self, origin: Any) -> str | None:
        key: str | None = self.policy[origin].permit_key
        return key

    def of_key(self, key: str | None, connections: list[Any] | None = None) -> list[Any]:
        found = self.all() if connections is None else connections  # type: ignore[attr-defined]
        return [c for c in found if key is not None and self.key(self.facts[c].origin) == key]

    def may_have(self, key: str) -> int:
        """How many there may be now: permits that are not used end with the lease."""
        allowed = self.allowed[key]
        return allowed if self.now < self.until[key] else min(allowed, len(self.of_key(key)))

    def of_no_use(self, key: str) -> list[Any]:
        """What has a permit and serves nobody."""
        spare = self.spare() if hasattr(self, "spare") else []
        return self.of_key(key, self.idle + spare)  # type: ignore[attr-defined]

    def is_short(self, origin: Any, spared: int = 0) -> bool:
        """Tell whether the fleet allows the host no more, and nothing could give way."""
        key = self.key(origin)
        if key is None:
            return False
        is_over = self.now >= self.until[key]
        return is_over or (len(self.of_key(key)) - spared >= self.may_have(key) and not self.of_no_use(key))

    def is_servable(self, ticket: Any, closing: Any = None) -> bool:
        spared = len(self.of_key(self.key(ticket.host.origin), [] if closing is None else [closing]))
        return super().is_servable(ticket, closing) and not self.is_short(ticket.host.origin, spared)  # type: ignore[misc]

    def is_barred(self, origin: Any) -> bool:
        key = self.key(origin)
        return key is not None and self.now >= self.until[key]

    def dialling(self, connection: Any, origin: Any) -> None:
        key = self.key(origin)
        assert key is None or len(self.of_key(key)) < self.may_have(key), "dialled without a permit"
        super().dialling(connection, origin)  # type: ignore[misc]

    def why_spent(self, connection: Any, now: float) -> set[Why]:
        key = self.key(self.facts[connection].origin)
        too_many = key is not None and len(self.of_key(key)) > self.allowed[key]
        return super().why_spent(connection, now) | ({Why.FLEET} if too_many else set())  # type: ignore[misc,no-any-return]

    def evicted(self, connection: Any) -> None:
        key = self.key(self.facts[connection].origin)
        if self.yielding is None and key is not None and len(self.of_key(key)) >= self.may_have(key):  # type: ignore[attr-defined]
            idle = self.of_key(key, self.idle)  # type: ignore[attr-defined]
            if self.facts[connection].read_at == min(self.facts[c].read_at for c in idle):
                return
        super().evicted(connection)  # type: ignore[misc]


class PermitModel(Books, Model):
    pass


class LatePermitModel(Books, LateModel):
    pass


class FleetRules:
    """What a fleet does to a pool; mixed into the pool's machine."""

    core: Any
    model: Any
    pool: Any
    now: float
    steps: int

    def join(self, model: Any, keys: list[str | None]) -> None:
        """Let some of the hosts be of the fleet."""
        model.__dict__.update({name: value for name, value in self.model.__dict__.items() if name != "yielding"})
        if hasattr(model, "begin"):
            model.begin()
        self.model = model
        model.begin_fleet()
        for origin, key in zip(model.policy, keys, strict=False):
            model.policy[origin] = model.policy[origin]._replace(permit_key=key, permit_cap=4)

    def _request(self, origin: Any, policy: Any, unsafe: bool = False) -> None:
        """Whatever else a request's policy says, its host is of the same key; caps are lowered by the fleet alone."""
        self.model.now = self.now
        mine = self.model.policy[origin]
        if policy is not mine:
            per_host = max(policy.per_host, mine.per_host)
            policy = policy._replace(permit_key=mine.permit_key, permit_cap=4, per_host=per_host)
        super()._request(origin, policy, unsafe)  # type: ignore[misc]

    @rule(key=st.sampled_from(KEYS))
    def call(self, key: str) -> None:
        """The fleet is asked, and told what there is."""
        model = self.model
        if key in model.called:
            return
        before = len(model.of_key(key))
        claim = self.pool.call_begins(key)
        assert before <= claim.have <= max(before, model.allowed[key]), "claims what it has not"
        assert claim.want >= 0
        model.called[key] = claim.have
        model.allowed[key] = min(model.allowed[key], max(claim.have, before))
        model.due.discard(key)
        model.refused.discard(key)
        self._settle()

    @precondition(lambda self: self.model.called)
    @rule(
        which=anyone,
        more=st.sampled_from([0, 0, 1, 2, 4]),
        less=st.sampled_from([0, 0, 0, 1, 2]),
        lease=st.sampled_from([20.0, 20.0, 3.0, 0.0]),
        wanted=st.booleans(),
    )
    def reply(self, which: int, more: int, less: int, lease: float, wanted: bool) -> None:
        model = self.model
        key = sorted(model.called)[which % len(model.called)]
        n = max(0, model.called.pop(key) + more - less)
        if any(one.key == key for one in self.pool.permit_records()):
            model.allowed[key], model.until[key] = n, self.now + lease
        before = self.pool.permits(key, n, self.now, self.now + lease, is_wanted=wanted)
        self._settle()
        if before:
            model.refused.add(key)
        assert len(model.of_key(key)) <= n or not model.of_no_use(key), "keeps what serves nobody and is too much"

    @precondition(lambda self: any(self.model.key(self.model.facts[one].origin) for one in self.model.idle))
    @rule(less=st.integers(1, 3))
    def take_back(self, less: int) -> None:
        """Others want what serves nobody here."""
        key = next(key for one in self.model.idle if (key := self.model.key(self.model.facts[one].origin)))
        self.call(key)
        self.reply(sorted(self.model.called).index(key), 0, less, 20.0, wanted=True)

    @precondition(lambda self: self.model.due)
    @rule(more=st.sampled_from([1, 2, 4]))
    def obey(self, more: int) -> None:
        """What is due is done, and granted."""
        for key in sorted(self.model.due - set(self.model.called)):
            self.call(key)
            self.reply(sorted(self.model.called).index(key), more, 0, 20.0, wanted=False)

    @precondition(lambda self: self.steps > 25)
    @rule()
    def everybody_finishes(self) -> None:
        """The fleet lets everybody have what they want, and then whoever waits has a turn."""
        for key in KEYS:
            self.call(key)
            self.reply(sorted(self.model.called).index(key), 99, 0, 1e6, wanted=False)
        super().everybody_finishes()  # type: ignore[misc]

    def _settle(self, *args: Any, **options: Any) -> None:
        self.model.now = self.now
        records, orders = self.core.records, self.pool.orders
        fleets = [order for order in orders if isinstance(order, (records.Ask, records.GiveBack))]
        for order in fleets:
            orders.remove(order)
            self.model.due.add(order.key)
        super()._settle(*args, **options)  # type: ignore[misc]
        for key in set(KEYS) - set(self.pool.permit_keys()):
            # With its last connection and caller goes what the fleet has said.
            self.model.allowed[key], self.model.until[key] = 0, 0.0
            self.model.refused.discard(key)

    def _passed_on(self, connection: Any) -> None:
        self.model.now = self.now
        records, orders = self.core.records, self.pool.orders
        for order in [one for one in orders if isinstance(one, (records.Ask, records.GiveBack))]:
            orders.remove(order)
            self.model.due.add(order.key)
        super()._passed_on(connection)  # type: ignore[misc]

    def _close(self, connection: Any, why: Why, handed: Any) -> None:
        if why is Why.FLEET:
            model = self.model
            key = model.key(model.facts[connection].origin)
            assert len(model.of_key(key)) > model.allowed[key], "closed for the fleet's sake, which allows it"
        super()._close(connection, why, handed)  # type: ignore[misc]

    def _cancel(self, dial: Any) -> None:
        model = self.model
        key = model.key(model.facts[dial].origin)
        if key is None or len(model.of_key(key)) < model.may_have(key):
            super()._cancel(dial)  # type: ignore[misc]
            return
        assert dial not in [ticket.dial for ticket in model.bound], "a dial was cancelled that somebody counts on"
        model.cancelled(dial)

    @invariant()
    def whoever_lacks_nothing_but_a_permit_has_the_fleet_asked(self) -> None:
        model = self.model
        model.now = self.now
        for ticket in model.waiting:
            key = model.key(ticket.host.origin)
            if key is None or key in model.due or key in model.called or key in model.refused:
                continue
            if 0.0 < model.until[key] <= self.now:
                continue  # Whoever renews the lease knows that it is over.
            allowed, model.allowed[key] = model.allowed[key], 99
            until, model.until[key] = model.until[key], 1e9
            would_be_served = model.is_servable(ticket)
            model.allowed[key], model.until[key] = allowed, until
            assert not would_be_served, "lacks a permit, and nobody asks for one"

    @invariant()
    def permits_equal_a_recount(self) -> None:
        for permits in self.pool.permit_records():
            assert permits.open == len(self.model.of_key(permits.key))
            assert permits.hosts, "kept for nobody"


keys = st.lists(st.sampled_from([None, "k", "k", "l"]), min_size=6, max_size=6)


class PermitMachine(FleetRules, PoolMachine):
    """A pool whose callers dial, in a fleet."""

    core = core_of("keeppool.core")
    seen: ClassVar[set[Move]] = set()

    @initialize(
        sites=sites,
        total=st.one_of(st.none(), st.integers(1, 8)),
        per_proxy=caps,
        waiting=st.none(),
        keys=keys,
    )
    def begin(self, sites: list[Any], total: int | None, per_proxy: int, waiting: int | None, keys: list[Any]) -> None:
        PoolMachine.begin(self, sites, total, per_proxy, waiting)
        old = self.model
        self.join(PermitModel(total, per_proxy, old.most_overtakes), keys)


class LatePermitMachine(FleetRules, LateMachine):
    """A pool that binds late, in a fleet."""

    core = core_of("keeppool.core")
    seen: ClassVar[set[Move]] = set()

    @initialize(
        sites=sites,
        total=st.one_of(st.none(), st.integers(1, 8)),
        per_proxy=caps,
        waiting=st.none(),
        keys=keys,
    )
    def begin(self, sites: list[Any], total: int | None, per_proxy: int, waiting: int | None, keys: list[Any]) -> None:
        LateMachine.begin(self, sites, total, per_proxy, waiting)
        old = self.model
        self.join(LatePermitModel(total, per_proxy, old.most_overtakes), keys)
