"""The state machine that drives a `PoolState` at random and checks every decision against `pool_model.Model`.

The core it drives is a parameter, so that `tests/mutations` can drive a broken one and demand that this notices.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from lifecycle import Move
from pool_model import EXPIRED, NEVER, Model, Server
from watched import Watched

from keeppool.config import Limits
from keeppool.errors import PoolClosed, QueueFull
from keeppool.events import Why

#: Reasons a front end gives when an exchange leaves its connection unusable.
SPENT = (Why.SERVER_CLOSE, Why.CLIENT_CLOSE, Why.EXCHANGE_FAILED, Why.BODY_UNREAD)
#: Steps before the pool may be closed: most of what can go wrong needs an open one.
OPEN_FOR = 25

anyone = st.integers(0, 7)
caps = st.integers(1, 4)
# What is said most often here is what makes long lives: short ones come about by themselves.
policies = st.fixed_dictionaries(
    {
        "per_host": caps,
        "idle_timeout": st.sampled_from([55.0, 55.0, 55.0, None, 12.0, 3.0, 0]),
        "max_age": st.sampled_from([None, None, None, 20.0, 4.0]),
        "max_requests": st.sampled_from([None, None, None, None, 3, 1]),
        "new_for_unsafe": st.sampled_from([False, True]),
    }
)
servers = st.builds(
    Server, st.sampled_from([None, None, None, 8, 2]), st.sampled_from([None, None, 4, 2]), st.booleans()
)
sites = st.lists(st.tuples(st.sampled_from([None, None, "p", "q"]), servers, policies), min_size=1, max_size=6)


class Core(NamedTuple):
    """The modules of one core: the real one, or a copy with a bug."""

    pool: ModuleType
    barging: ModuleType
    late: ModuleType
    riding: ModuleType
    records: ModuleType
    keepalive: ModuleType
    habits: ModuleType
    lifetime: ModuleType
    trust: ModuleType
    origin: ModuleType
    pace: ModuleType


def core_of(package: str) -> Core:
    """Import the core that lives in `package`."""
    return Core(*(importlib.import_module(f"{package}.{name}") for name in Core._fields))


class PoolMachine(RuleBasedStateMachine):
    """Callers, servers and a clock around one pool, all played by Hypothesis."""

    core = core_of("keeppool.core")
    #: The moves of connections and tickets that any run of this machine has seen.
    seen: ClassVar[set[Move]] = set()

    @initialize(
        sites=sites,
        total=st.one_of(st.none(), st.integers(1, 8), st.integers(1, 3)),
        per_proxy=caps,
        waiting=st.one_of(st.none(), st.none(), st.integers(0, 4)),
    )
    def begin(self, sites: list[Any], total: int | None, per_proxy: int, waiting: int | None) -> None:
        origin, most = self.core.origin, self.core.pool.MOST_OVERTAKES
        # What silent closes teach has tests of its own (test_habits.py); here it would hide the rules below it.
        self.limits = Limits(total=total, per_proxy=per_proxy, waiting=waiting, learn=False)
        self.pool = Watched(self.core.pool.PoolState(self.limits), self.seen)
        self.model = Model(total, per_proxy, most)
        self.now = 1000.0
        self.steps = 0
        self.origins = []
        for number, (proxy, server, policy) in enumerate(sites):
            through = None if proxy is None else origin.Proxy(scheme="http", host=proxy, port=3128)
            key = origin.Origin(scheme="http", host=f"h{number}", port=80, proxy=through)
            self.origins.append(key)
            self.model.servers[key] = server
            self.model.policy[key] = self.core.records.Policy(**policy)

    # What callers do

    @rule(who=anyone, unsafe=st.booleans())
    def request(self, who: int, unsafe: bool = False) -> None:
        origin = self.origins[who % len(self.origins)]
        self._request(origin, self.model.policy[origin], unsafe)

    @rule(who=anyone, how_many=caps)
    def open_several(self, who: int, how_many: int) -> None:
        """Callers of one host come together, and their dials end well."""
        for _ in range(how_many):
            self.request(who)
        self._pick_up()
        for connection in list(self.model.connecting):
            self._dial(connection)

    @precondition(lambda self: self.model.busy)
    @rule()
    def answer_all(self) -> None:
        """Every caller has taken its connection, and every exchange under way ends well."""
        self._pick_up()
        for connection in list(self.model.busy):
            self._answered(connection)

    @rule(who=anyone, policy=policies)
    def request_with_another_policy(self, who: int, policy: dict[str, Any]) -> None:
        self._request(self.origins[who % len(self.origins)], self.core.records.Policy(**policy))

    @precondition(lambda self: self.model.idle)
    @rule(who=anyone, later=st.sampled_from([0, 2]))
    def request_unsafe(self, who: int, later: float) -> None:
        """A request that could not be sent again: where it is set so, only a new connection may carry it."""
        self.now += later
        origin = self.model.facts[self.model.idle[who % len(self.model.idle)]].origin
        self._request(origin, self.model.policy[origin], unsafe=True)

    def _request(self, origin: Any, policy: Any, unsafe: bool = False) -> None:
        model = self.model
        idle = model.at(origin, model.idle)
        is_stale = unsafe and idle and self.model.must_be_new(idle[-1])
        if not model.is_closed or model.at(origin) or model.oldest_at(origin):
            model.policy[origin] = policy
        makes_room = is_stale and model.host_full(origin) and not model.is_barred(origin)
        model.yielding = origin if makes_room else None
        try:
            answer = self.pool.requested(origin, policy, self.now, unsafe)
        except PoolClosed:
            assert model.is_closed
            return self._settle()
        except QueueFull:
            self._settle()
            assert len(model.waiting) >= self.limits.waiting
            return None
        self._settle()
        if isinstance(answer, self.core.records.Ticket):
            assert not model.may_have_idle(answer, self.now), "waits before an idle one"
            model.queue(answer)
        elif answer.state is self.core.records.State.CONNECTING:
            model.dialling(answer, origin)
        else:
            assert not is_stale, "a stale connection was lent for a request that wanted a fresh one"
            self._lent(answer, origin, unsafe)
        assert model.yielding is None, "a host full of idle connections made no room for a fresh one"
        return None

    def _lent(self, connection: Any, origin: Any, unsafe: bool) -> None:
        """A newcomer got an open connection."""
        self.model.lent_from_shelf(connection, origin, self.now)

    @precondition(lambda self: self.model.connecting)
    @rule(who=anyone)
    def dial(self, who: int) -> None:
        self._dial(self._held(self.model.connecting, who))

    def _dial(self, connection: Any) -> None:
        if connection is None:
            return
        self.model.connected(connection, self.now)
        assert self.pool.connected(connection, self.now) is not self.model.is_closed
        self._settle()

    @precondition(lambda self: self.model.connecting)
    @rule(who=anyone)
    def dial_in_vain(self, who: int) -> None:
        connection = self._held(self.model.connecting, who)
        if connection is not None:
            self.model.connecting.remove(connection)
            self.model.connect_failed += 1
            self.pool.connect_failed(connection, self.now)
            self._settle()

    @precondition(lambda self: self.model.busy)
    @rule(who=anyone, slow=st.sampled_from([0, 0, 0, 1, 5]))
    def answered(self, who: int, slow: float) -> None:
        self._answered(self._held(self.model.busy, who), slow)

    def _answered(self, connection: Any, slow: float = 0) -> None:
        if connection is None:
            return
        timeout, most = self.model.answer(connection, self.now, slow)
        records, keepalive = self.core.records, self.core.keepalive
        connection.answered(records.NO_HINT if (timeout, most) == (None, None) else keepalive.Hint(timeout, most))
        connection.read_at = self.model.facts[connection].read_at
        self.pool.released(connection, None, self.now)
        self._passed_on(connection)

    @precondition(lambda self: self.model.busy)
    @rule(who=anyone, why=st.sampled_from(SPENT))
    def spent(self, who: int, why: Why) -> None:
        connection = self._held(self.model.busy, who)
        if connection is not None:
            self.pool.released(connection, why, self.now)
            assert self.core.records.Close(connection, why) in self.pool.orders
            self._settle()

    @precondition(lambda self: self.model.served)
    @rule()
    def pick_up(self) -> None:
        """Callers that were woken have taken what they were given."""
        self._pick_up()

    def _pick_up(self) -> None:
        self.model.served.clear()

    @precondition(lambda self: self.model.waiting or self.model.served)
    @rule(who=anyone)
    def abandon(self, who: int) -> None:
        model = self.model
        tickets = model.waiting + model.served
        ticket = tickets[who % len(tickets)]
        connection = ticket.connection
        if connection is None:
            model.ends(ticket, "abandoned")
        else:
            model.served.remove(ticket)
            if connection in model.connecting:
                model.connecting.remove(connection)
            else:
                model.reused -= 1
        self.pool.abandoned(ticket, self.now)
        if connection in model.busy:
            self._passed_on(connection)
        else:
            self._settle()

    @precondition(lambda self: any(self.model.facts[c].reused for c in self.model.busy))
    @rule(who=anyone, why=st.sampled_from([Why.PEER_CLOSED, Why.UNASKED_DATA]))
    def found_dead(self, who: int, why: Why) -> None:
        connection = self._held([c for c in self.model.busy if self.model.facts[c].reused], who)
        if connection is not None:
            self.model.reused -= 1
            is_barred = self.model.is_barred(self.model.facts[connection].origin)
            self._another(connection, why, self.pool.found_dead, may_dial=not is_barred)

    @precondition(lambda self: any(self.model.facts[c].reused for c in self.model.busy))
    @rule(who=anyone)
    def redial(self, who: int) -> None:
        connection = self._held([c for c in self.model.busy if self.model.facts[c].reused], who)
        if connection is None:
            return
        facts = self.model.facts
        siblings = self.model.at(facts[connection].origin, self.model.idle)
        fresher = [c for c in siblings if facts[c].read_at > facts[connection].read_at]
        self.model.resent += not self.model.is_closed
        self._another(connection, Why.PEER_CLOSED, self.pool.redialled)
        assert self.model.at(facts[connection].origin, self.model.idle) == fresher, "stale siblings go, fresher stay"

    def _another(self, connection: Any, why: Why, report: Any, *, may_dial: bool = True) -> None:
        """Report that a busy connection is dead, and take the one that is given for it."""
        model, origin = self.model, self.model.facts[connection].origin
        model.closed(connection, why)
        try:
            other = report(connection, why, self.now)
        except PoolClosed:
            assert model.is_closed
            return self._settle(gone=connection)
        if other in model.idle:
            model.lent_from_shelf(other, origin, self.now)
        elif isinstance(other, self.core.records.Ticket):
            assert not may_dial, "the holder of a dead connection lost its slot"
            self._settle(gone=connection)
            return model.queue(other)
        else:
            assert may_dial, "dialled on a lease that is over"
            model.replaced_by(other, origin)
        return self._settle(gone=connection)

    # What the world does

    @precondition(lambda self: self.model.idle)
    @rule(who=anyone, why=st.sampled_from([Why.PEER_CLOSED, Why.UNASKED_DATA]))
    def peer_closed(self, who: int, why: Why) -> None:
        connection = self.model.idle[who % len(self.model.idle)]
        self.pool.peer_closed(connection, why, self.now)
        self._settle()
        assert connection not in self.model.idle

    @precondition(lambda self: self.model.busy or self.model.gone)
    @rule(who=anyone)
    def late_report(self, who: int) -> None:
        """Somebody who watched an idle connection reports, but it was lent or closed meanwhile."""
        connections = self.model.busy + self.model.gone
        self.pool.peer_closed(connections[who % len(connections)], Why.PEER_CLOSED, self.now)
        assert not self.pool.orders

    @rule(seconds=st.sampled_from([0.5, 1, 3, 10]), ticks=st.booleans())
    def time_passes(self, seconds: float, ticks: bool) -> None:
        self.now += seconds
        if ticks:
            self.pool.ticked(self.now)
            self._settle()
            assert all(self.now < self.model.expiry(c) for c in self.model.idle), "expired, and still on the shelf"

    @precondition(lambda self: self.steps > OPEN_FOR)
    @rule()
    def close(self) -> None:
        self.model.is_closed = True
        self.pool.closed_by_user()
        self._settle()
        assert not self.model.waiting, "a caller waits for a closed pool"
        assert not self.model.idle, "a closed pool keeps an idle connection"

    @precondition(lambda self: self.steps > OPEN_FOR)
    @rule()
    def everybody_finishes(self) -> None:
        """Callers finish one after another: whoever waits gets his turn, and then nothing is left."""
        model = self.model
        while model.connecting or model.busy:
            self._pick_up()
            for connection in list(model.connecting):
                self._dial(connection)
            for connection in list(model.busy):
                self._answered(connection)
        assert not model.waiting, "somebody waits for ever"
        while model.idle:
            self.peer_closed(0, Why.PEER_CLOSED)
        assert not list(self.pool.hosts())

    # What the pool decided

    def _held(self, connections: list[Any], who: int) -> Any:
        """Choose a connection whose holder has taken it: not one that still lies in a ticket."""
        in_tickets = [ticket.connection for ticket in self.model.served]
        held = [c for c in connections if c not in in_tickets]
        return held[who % len(held)] if held else None

    def _passed_on(self, connection: Any) -> None:
        """Check where a reusable connection went: to a caller, to the shelf, or why not."""
        model = self.model
        order = self.pool.orders[0] if self.pool.orders else None
        reasons = model.why_spent(connection, self.now)
        if isinstance(order, self.core.records.Close) and order.why in reasons:
            return self._settle()
        assert not reasons - {Why.HINT_MAX}, f"kept, although {reasons}"
        is_own_turn = model.may_pass_on(connection)
        must_be_new = is_own_turn and model.must_wait_for_new(connection)
        is_barred = must_be_new and model.is_barred(model.facts[connection].origin)
        if (is_own_turn and not must_be_new) or (is_barred and model.passed_by_to(connection) is not None):
            assert isinstance(order, self.core.records.Serve), "not handed to the caller whose turn it was"
            assert order.ticket.connection is connection
        elif not is_barred and (must_be_new or model.oldest_servable(connection) is not None):
            # Also where a cap lowered meanwhile leaves no room yet: on the shelf it would stand in the caller's way.
            assert order == self.core.records.Close(connection, Why.EVICTED), "an older caller was passed over"
        else:
            assert order is None, "a good connection was not kept"
            model.busy.remove(connection)
            model.idle.append(connection)
        return self._settle(handed=connection)

    def _settle(self, gone: Any = None, handed: Any = None) -> None:
        """Carry out the orders in the model, one by one; `gone` is struck off already, `handed` may go to a caller."""
        self.steps += 1
        orders = list(self.pool.orders)
        self.pool.orders.clear()
        for order in orders:
            if isinstance(order, self.core.records.Serve):
                self._serve(order.ticket, handed)
            elif order.connection is gone:
                assert order.why in (Why.PEER_CLOSED, Why.UNASKED_DATA)
                gone = None
            else:
                self._close(order.connection, order.why, handed)
        assert gone is None, "an opened connection was dropped without an order to close it"

    def _close(self, connection: Any, why: Why, handed: Any) -> None:
        if why is Why.EVICTED and connection is not handed:
            self.model.evicted(connection)
        elif why in EXPIRED:
            assert self.model.expiry(connection) <= self.now, "closed as expired before its time"
        self.model.closed(connection, why)

    def _serve(self, ticket: Any, handed: Any) -> None:
        model, connection = self.model, ticket.connection
        if ticket.failure is not None:
            assert model.is_closed
            assert isinstance(ticket.failure, PoolClosed)
            return model.ends(ticket, "failed")
        first = model.oldest_at(ticket.host.origin)
        if connection is handed and model.refuses(first, connection):
            first = model.passed_by_to(connection)
        assert ticket is first, "not first come first served within a host"
        assert connection.origin == ticket.host.origin, "given a connection to another host"
        model.waited += self.now - ticket.since
        if connection is handed:
            model.ends(ticket, "served")
            model.handed_on(connection)
        else:
            assert ticket is model.oldest_servable(), "not first come first served across hosts"
            model.ends(ticket, "served")
            model.dialling(connection, ticket.host.origin)
        return model.served.append(ticket)

    # What always holds

    @invariant()
    def everything_holds(self) -> None:
        self.gauges_equal_a_recount()
        self.counters_add_up()
        self.every_connection_is_where_the_pool_says()
        self.nobody_waits_who_could_be_served()
        self.the_janitor_is_never_called_too_late()

    def gauges_equal_a_recount(self) -> None:
        pool, model = self.pool, self.model
        assert pool.open == len(model.all())
        assert pool.idle == len(model.idle)
        assert pool.idle_connections() == model.idle
        assert pool.waiting == len(model.waiting)
        assert set(pool.everything()) == set(model.busy + model.idle)
        hosts = {host.origin: host for host in pool.hosts()}
        alive = [model.facts[c].origin for c in model.all()] + [ticket.host.origin for ticket in model.waiting]
        assert set(hosts) == set(alive), "a host is forgotten too early or too late"
        for origin, host in hosts.items():
            assert host.open == len(model.at(origin))
            assert list(host.idle) == model.at(origin, model.idle)
            assert list(host.busy) == model.at(origin, model.busy), "not the longest held first"
            assert list(host.waiters) == [ticket for ticket in model.waiting if ticket.host.origin == origin]
            if origin.proxy is not None:
                assert host.group.open == len(model.through(origin.proxy))

    def counters_add_up(self) -> None:
        counters, model = self.pool.counters, self.model
        assert counters.opened == model.opened
        assert counters.closed_by == model.closed_by
        assert counters.opened - sum(counters.closed_by.values()) == len(model.busy + model.idle)
        assert (counters.reused, counters.queued) == (model.reused, model.queued)
        assert (counters.connect_failed, counters.resent) == (model.connect_failed, model.resent)
        assert counters.waited == model.waited
        assert counters.peak_open == model.peak

    def every_connection_is_where_the_pool_says(self) -> None:
        state = self.core.records.State
        for connections, said in (
            (self.model.connecting, state.CONNECTING),
            (self.model.busy, state.BUSY),
            (self.model.idle, state.IDLE),
        ):
            assert all(c.state is said for c in connections)
            assert all(c.generation == self.model.facts[c].holders for c in connections), "a holder that is none passes"
        assert len(set(self.model.all())) == len(self.model.all())

    def nobody_waits_who_could_be_served(self) -> None:
        assert self.model.oldest_servable() is None

    def the_janitor_is_never_called_too_late(self) -> None:
        assert self.pool.next_expiry() <= min((self.model.expiry(c) for c in self.model.idle), default=NEVER)
