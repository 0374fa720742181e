"""The state machine for pools whose callers are threads: they sleep until they are called, and newcomers may barge in.

Everything `PoolMachine` checks holds here too. What differs: a caller that was given a connection has it only when it
has come for it, and is called when its turn to be called has come. The model's `served` are those that have not come.
"""

from __future__ import annotations

from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from lifecycle import Move
from pool_machine import PoolMachine, anyone, caps, core_of, sites
from watched import Watched

from keeppool.events import Why

#: Seconds that are less than a caller's patience, and more: none of a server's limits is as short.
MOMENTS = (0.004, 0.004, 0.012)


class BargingMachine(PoolMachine):
    """Callers who sleep, servers and a clock around one pool, all played by Hypothesis."""

    core = core_of("keeppool.core")
    seen: ClassVar[set[Move]] = set()

    @initialize(
        sites=sites,
        total=st.one_of(st.none(), st.none(), st.integers(1, 8)),
        per_proxy=caps,
        waiting=st.one_of(st.none(), st.none(), st.integers(0, 4)),
    )
    def begin(self, sites: list[Any], total: int | None, per_proxy: int, waiting: int | None) -> None:
        super().begin(sites, total, per_proxy, waiting)
        self.pool = Watched(self.core.barging.BargingPoolState(self.limits), self.seen)
        #: Callers that are coming: woken, or taking a nap; and of whom something was taken since they came last.
        self.called: list[Any] = []
        self.losers: set[Any] = set()
        #: When a caller was given what it has not come for, and what it is.
        self.lent: dict[Any, tuple[float, Any]] = {}

    # What callers do

    @rule(who=anyone, seconds=st.sampled_from(MOMENTS))
    def a_moment_passes(self, who: int, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.model.busy)
    @rule(who=anyone)
    def ask_again(self, who: int) -> None:
        """A caller gives its connection back, and asks its host for another at once."""
        connection = self._held(self.model.busy, who)
        if connection is not None:
            origin = self.model.facts[connection].origin
            self._answered(connection)
            self._request(origin, self.model.policy[origin])

    @rule(who=anyone, moves=st.lists(st.sampled_from(["again", "come", "answer", "give up"]), max_size=8))
    def crowd(self, who: int, moves: list[str]) -> None:
        """More callers come to a host than it may have connections, and much happens in one moment."""
        model, origin = self.model, self.origins[who % len(self.origins)]
        for _ in range(6):
            self.request(who)
            for connection in model.at(origin, list(model.connecting)):
                if connection not in [one for _, one in self.lent.values()]:
                    self._dial(connection)
        for move in moves:
            if move == "again":
                self.ask_again(who)
            elif move == "come" and self.called:
                self.come(who)
            elif move == "answer":
                self.answered(who, 0)
            elif move == "give up" and model.served:
                self.abandon(len(model.waiting))

    @precondition(lambda self: self.called)
    @rule(who=anyone)
    def come(self, who: int) -> None:
        """A caller that was called is awake, perhaps in vain."""
        self._come(self.called[who % len(self.called)])

    @precondition(lambda self: self.model.waiting or self.model.served)
    @rule(who=anyone)
    def look(self, who: int) -> None:
        """A caller wakes up by itself."""
        tickets = self.model.waiting + self.model.served
        self._come(tickets[who % len(tickets)])

    def _come(self, ticket: Any) -> None:
        if ticket in self.called:
            self.called.remove(ticket)
        got = self.pool.came(ticket, self.now)
        if ticket in self.model.served:
            assert got is self.lent.pop(ticket)[1], "not what it was given"
            self.model.served.remove(ticket)
        else:
            assert got is None, "given to somebody who waits, has failed or has given up"
            if ticket in self.model.waiting:
                self._sleep(ticket)
        self.losers.discard(ticket)
        self._settle()

    def _sleep(self, ticket: Any) -> None:
        """A caller that came in vain sleeps again: not for long if that was because somebody was quicker."""
        left = self.core.barging.PATIENCE - (self.now - ticket.since)
        naps = ticket in self.losers and left > 0
        seconds = min(left, self.core.barging.NAP) if naps else left if left > 0 else None
        assert self.pool.looks_after(ticket, self.now) == seconds, "sleeps too long, or not long enough"
        if naps:
            self.called.append(ticket)

    def _pick_up(self) -> None:
        while self.model.served:
            self._come(next(ticket for ticket in self.called if ticket in self.model.served))

    def abandon(self, who: int) -> None:
        tickets = self.model.waiting + self.model.served
        ticket = tickets[who % len(tickets)]
        if ticket in self.called:
            self.called.remove(ticket)
        self.lent.pop(ticket, None)
        self.losers.discard(ticket)
        super().abandon(who)

    def _lent(self, connection: Any, origin: Any, unsafe: bool) -> None:
        victim = next((ticket for ticket, (_, one) in self.lent.items() if one is connection), None)
        if victim is None:
            super()._lent(connection, origin, unsafe)
            return
        model = self.model
        mine = [ticket for ticket, (_, one) in self.lent.items() if one.origin == origin and one in model.busy]
        assert victim in mine, "taken from a caller of another host"
        assert victim is max(mine, key=lambda ticket: ticket.number), "the oldest lost its place, not the youngest"
        assert self.now - victim.since < self.core.barging.PATIENCE, "taken from a caller who has waited long enough"
        assert not (unsafe and model.must_be_new(connection)), "a stale connection was taken for an unsafe request"
        first = model.oldest_servable(connection)
        assert first is None or first.host.origin == origin, "a caller of another host is passed over"
        at, _ = self.lent.pop(victim)
        model.served.remove(victim)
        model.waited -= at - victim.since
        del model.ended[victim]
        self.losers.add(victim)
        model.waiting.append(victim)
        model.waiting.sort(key=lambda ticket: ticket.number)
        assert self.limits.waiting is None or len(model.waiting) <= self.limits.waiting, "more callers wait than may"
        model.busy.remove(connection)
        model.busy.append(connection)
        model.facts[connection].holders += 1

    # What the pool decided

    def _passed_on(self, connection: Any) -> None:
        """Check where a reusable connection went: to a caller, to the shelf, or why not."""
        model = self.model
        order = next((one for one in self.pool.orders if isinstance(one, self.core.records.Close)), None)
        reasons = model.why_spent(connection, self.now)
        if order is not None and order.why in reasons:
            return self._settle()
        assert not reasons - {Why.HINT_MAX}, f"kept, although {reasons}"
        is_own_turn = model.may_pass_on(connection)
        must_be_new = is_own_turn and model.must_wait_for_new(connection)
        if is_own_turn and not must_be_new:
            ticket = model.oldest_at(connection.origin)
            assert ticket.connection is connection, "not handed to the caller whose turn it was"
        elif must_be_new or model.oldest_servable(connection) is not None:
            assert order == self.core.records.Close(connection, Why.EVICTED), "an older caller was passed over"
        else:
            assert order is None, "a good connection was not kept"
            model.busy.remove(connection)
            model.idle.append(connection)
        return self._settle(handed=connection)

    def _settle(self, gone: Any = None, handed: Any = None) -> None:
        orders = [one for one in self.pool.orders if isinstance(one, self.core.records.Serve)]
        for order in orders:
            is_lent = order.ticket.connection in self.model.busy
            assert order.ticket not in self.called or not is_lent, "woken twice for one thing"
            if order.ticket not in self.called:
                self.called.append(order.ticket)
            if order.ticket in self.model.served:  # Given before, and called now.
                self.pool.orders.remove(order)
        super()._settle(gone, handed)
        # Given, and not to be called yet, or called before.
        for ticket in [ticket for ticket in self.model.waiting if ticket.connection is not None]:
            self._serve(ticket, handed)

    def _serve(self, ticket: Any, handed: Any) -> None:
        super()._serve(ticket, handed)
        if ticket.failure is None:
            self.lent[ticket] = (self.now, ticket.connection)

    # What always holds

    @invariant()
    def nothing_is_left_lying_while_its_caller_sleeps(self) -> None:
        hosts: dict[Any, list[Any]] = {}
        for ticket in self.lent:
            hosts.setdefault(ticket.host.origin, []).append(ticket)
        for tickets in hosts.values():
            assert any(ticket in self.called for ticket in tickets), "something lies there, and nobody is called"
        patience = self.core.barging.PATIENCE
        for ticket, (at, connection) in self.lent.items():
            must_be_called = at - ticket.since >= patience or connection in self.model.connecting
            assert ticket in self.called or not must_be_called, "not called, although nobody can take it away"
