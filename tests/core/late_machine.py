"""The state machine for pools that bind late: callers wait, the pool dials, and whatever comes free first serves them.

Everything `PoolMachine` checks holds here too; what differs is who dials, and what a ticket may wait for. To the
model's `waiting` (callers who wait for room) come `bound` (callers who count on a dial) and `dials` (the pool's own,
as opposed to those of requests that are sent again).
"""

from __future__ import annotations

from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from lifecycle import Move
from pool_machine import PoolMachine, anyone, caps, core_of, servers, sites
from pool_model import Model
from watched import Watched

from keeppool.errors import PoolClosed, QueueFull
from keeppool.events import Why

__all__ = ["LateMachine", "servers"]


class DialError(Exception):
    """What a failed dial ends with."""


class LateModel(Model):
    """The books of a pool that binds late."""

    def begin(self) -> None:
        """Open the additional books."""
        self.bound: list[Any] = []
        self.dials: list[Any] = []
        self.begun_for: dict[Any, Any] = {}
        self.begun_at: dict[Any, float] = {}
        #: Since when a dial has been spare, as far as anybody has looked.
        self.spare_since: dict[Any, float] = {}

    def spare(self) -> list[Any]:
        """Dials nobody counts on, by what the tickets say."""
        return [dial for dial in self.dials if dial not in [ticket.dial for ticket in self.bound]]

    def bound_at(self, origin: Any) -> list[Any]:
        return [ticket for ticket in self.bound if ticket.host.origin == origin]

    def is_servable(self, ticket: Any, closing: Any = None) -> bool:
        """As in a pool that binds early, but a spare dial is as good as an idle connection to make room."""
        if super().is_servable(ticket, closing):
            return True
        origin = ticket.host.origin
        gone = [] if closing is None else [closing]
        if self.host_full(origin, len(self.at(origin, gone))):
            return False
        if self.proxy_full(origin.proxy, len(self.through(origin.proxy, gone))):
            return bool(self.through(origin.proxy, self.spare()))
        return bool(self.spare())

    def bound_for(self, connection: Any) -> list[Any]:
        """List the callers who count on a dial and could have this connection before it; none if the first cannot."""
        bound = self.bound_at(self.facts[connection].origin)
        return [] if bound and self.refuses(bound[0], connection) else bound

    def may_bind(self, dial_or_connection: Any, closing: Any) -> bool:
        """Tell whether what comes free goes to its own host's oldest caller without a dial; count whom it passes."""
        mine = self.oldest_at(self.facts[dial_or_connection].origin)
        first = self.oldest_servable(closing)
        if mine is None:
            return False
        if first is None or first.number >= mine.number:
            return True
        self.overtaken[first] += 1
        return self.overtaken[first] <= self.most_overtakes

    def leaves_line(self, ticket: Any, now: float) -> None:
        """A caller who waited for room counts on a dial from here on."""
        self.waiting.remove(ticket)
        self.bound.append(ticket)
        self.waited += now - ticket.since

    def cancelled(self, dial: Any) -> None:
        assert dial in self.dials, "cancelled, but no dial of the pool's"
        self.dials.remove(dial)
        self.connecting.remove(dial)
        self.gone.append(dial)
        self.connect_failed += 1


class LateMachine(PoolMachine):
    """Callers, servers, a clock and the pool's dials around one pool, all played by Hypothesis."""

    core = core_of("keeppool.core")
    seen: ClassVar[set[Move]] = set()

    @initialize(
        sites=sites,
        total=st.one_of(st.none(), st.integers(1, 8), st.integers(1, 3)),
        per_proxy=caps,
        waiting=st.one_of(st.none(), st.none(), st.integers(0, 4)),
    )
    def begin(self, sites: list[Any], total: int | None, per_proxy: int, waiting: int | None) -> None:
        super().begin(sites, total, per_proxy, waiting)
        self.pool = Watched(self.core.late.LatePoolState(self.limits), self.seen)
        old = self.model
        self.model = LateModel(total, per_proxy, old.most_overtakes, old.policy, old.servers)
        self.model.begin()
        #: The caller that has asked last, and whether it goes before all others.
        self.newcomer: tuple[Any, bool] = (None, False)

    # What callers do

    def _request(self, origin: Any, policy: Any, unsafe: bool = False) -> None:
        model = self.model
        idle = model.at(origin, model.idle)
        is_stale = unsafe and idle and model.must_be_new(idle[-1])
        if not model.is_closed or model.at(origin) or model.oldest_at(origin):
            model.policy[origin] = policy
        makes_room = is_stale and model.host_full(origin) and not model.is_barred(origin)
        model.yielding = origin if makes_room else None
        try:
            answer = self.pool.requested(origin, policy, self.now, unsafe)
        except PoolClosed:
            assert model.is_closed
            self._settle()
            return
        except QueueFull:
            self._settle()
            assert len(model.waiting) >= self.limits.waiting, "a caller with a dial was counted"
            return
        if isinstance(answer, self.core.records.Ticket):
            self._ticket(answer, origin)
        else:
            self._settle()
            assert not is_stale, "a stale connection was lent for a request that wanted a fresh one"
            model.lent_from_shelf(answer, origin, self.now)
        assert model.yielding is None, "a host full of idle connections made no room for a fresh one"

    def _ticket(self, ticket: Any, origin: Any, *, first: bool = False, gone: Any = None) -> None:
        """Write down a new ticket, and check that it waits for what it has to."""
        model = self.model
        if ticket.dial is None:
            self._settle(gone=gone)
            assert not model.may_have_idle(ticket, self.now), "waits before an idle one"
            model.queue(ticket)
            return
        dials = [dial for dial in model.spare() if model.facts[dial].origin == origin]
        young = [dial for dial in dials if self.now - model.begun_at[dial] < self.core.late.YOUNG]
        assert ticket.dial not in dials or ticket.dial in young, "a caller counts on a dial that may be hung"
        assert not young or ticket.dial in young, "a dial was begun although there is one nobody counts on"
        if young:
            model.bound.insert(0 if first else len(model.bound), ticket)
        self.newcomer = (ticket, first)
        self._settle(gone=gone)
        assert ticket in model.bound, "a caller counts on a dial that nobody was told to begin"

    @rule(who=anyone, how_many=caps)
    def open_several(self, who: int, how_many: int) -> None:
        """Callers of one host come together, and their dials end well."""
        for _ in range(how_many):
            self.request(who)
        self.model.served.clear()
        for connection in list(self.model.connecting):
            self._dial(connection)

    def _dial(self, connection: Any) -> None:
        model = self.model
        if connection is None or connection not in model.connecting:
            return
        if connection not in model.dials:
            super()._dial(connection)
            return
        origin = model.facts[connection].origin
        waiting = model.bound_at(origin)
        model.connected(connection, self.now)
        model.dials.remove(connection)
        assert self.pool.dialled(connection, self.now), "a dial that ended well was refused"
        if not waiting and model.oldest_at(origin) is not None:
            assert model.is_barred(origin), "a spare dial while somebody waits for room"
            self._passed_on(connection)
            return
        if not waiting:
            reasons = model.why_spent(connection, self.now)
            if self.pool.orders:
                closed = [order for order in self.pool.orders if isinstance(order, self.core.records.Close)]
                assert [order.why in reasons for order in closed] == [True]
            else:
                assert not reasons - {Why.HINT_MAX}
                model.busy.remove(connection)
                model.idle.append(connection)
        self._settle(dialled=connection)
        if waiting:
            assert waiting[0].connection is connection, "a new connection went to another than who waited longest"

    @precondition(lambda self: self.model.connecting)
    @rule(who=anyone, restart=st.sampled_from([False, False, True]))
    def dial_in_vain(self, who: int, restart: bool) -> None:
        """A dial fails: one caller with it, unless only the time of another was up."""
        model = self.model
        connection = model.connecting[who % len(model.connecting)]
        model.connecting.remove(connection)
        model.connect_failed += 1
        if connection not in model.dials:
            self.pool.connect_failed(connection, self.now)
            self._settle()
            return
        model.dials.remove(connection)
        model.gone.append(connection)
        caller, others = connection.ticket, [*model.bound, *model.waiting]
        begun_for = model.begun_for[connection]
        assert caller is begun_for or begun_for not in model.bound, "the wrong caller counts on this dial"
        self.pool.dial_failed(connection, None if restart else DialError(), self.now)
        self._settle(failed=None if restart else caller)
        if caller is not None and not restart:
            assert isinstance(caller.failure, DialError), "a failed dial left its caller waiting"
        if caller is not None and restart:
            assert caller in model.bound, "a caller whose time was not up lost its turn"
        alive = [ticket for ticket in others if ticket is not caller]
        assert not any(ticket.failure for ticket in alive), "a failed dial failed more than one caller"

    @precondition(lambda self: self.model.waiting or self.model.served or self.model.bound)
    @rule(who=anyone)
    def abandon(self, who: int) -> None:
        model = self.model
        tickets = model.waiting + model.served + model.bound
        ticket = tickets[who % len(tickets)]
        connection = ticket.connection
        if connection is None:
            model.ended[ticket] = "abandoned"
            (model.bound if ticket in model.bound else model.waiting).remove(ticket)
        else:
            model.served.remove(ticket)
            model.reused -= ticket.reuses
        self.pool.abandoned(ticket, self.now)
        if connection is None:
            self._settle()
        else:
            self._passed_on(connection)

    @precondition(lambda self: any(self.model.facts[c].reused for c in self.model.busy))
    @rule(who=anyone, why=st.sampled_from([Why.PEER_CLOSED, Why.UNASKED_DATA]))
    def found_dead(self, who: int, why: Why) -> None:
        connection = self._held([c for c in self.model.busy if self.model.facts[c].reused], who)
        if connection is not None:
            self._found_dead(connection, why)

    def _found_dead(self, connection: Any, why: Why) -> None:
        model, origin = self.model, self.model.facts[connection].origin
        model.reused -= 1
        model.closed(connection, why)
        try:
            other = self.pool.found_stale(connection, why, self.now)
        except PoolClosed:
            assert model.is_closed
            self._settle(gone=connection)
            return
        if isinstance(other, self.core.records.Ticket):
            may_dial = not model.is_barred(origin)
            assert (other.dial is not None) == may_dial, "the holder of a dead connection lost its turn, or had none"
            self._ticket(other, origin, first=True, gone=connection)
        else:
            model.lent_from_shelf(other, origin, self.now)
            self._settle(gone=connection)

    @precondition(lambda self: self.model.dials)
    @rule(who=anyone)
    def late_dial(self, who: int) -> None:
        """A dial that was cancelled or has failed already reports, in either way: it changes nothing."""
        gone = [c for c in self.model.gone if self.model.facts[c].born == 0.0]
        if gone:
            assert not self.pool.dialled(gone[who % len(gone)], self.now)
            self.pool.dial_failed(gone[who % len(gone)], DialError(), self.now)
            assert not self.pool.orders

    @rule(seconds=st.sampled_from([0.1, 0.5, 10]))
    def spare_dials_grow_old(self, seconds: float) -> None:
        """Time passes, and the pool is told."""
        self.time_passes(seconds, ticks=True)
        ends = [self.model.spare_since[dial] + self.core.late.LONGEST_SPARE for dial in self.model.spare()]
        assert all(self.now < end for end in ends), "a dial nobody counts on has no end"

    @precondition(lambda self: self.steps > 25)
    @rule()
    def everybody_finishes(self) -> None:
        """Callers finish one after another: whoever waits gets his turn, and then nothing is left."""
        model = self.model
        while model.connecting or model.busy:
            model.served.clear()
            for connection in list(model.connecting):
                self._dial(connection)
            model.served.clear()
            for connection in list(model.busy):
                self._answered(connection)
        assert not model.waiting, "somebody waits for ever"
        assert not model.bound, "somebody waits for ever, though the last dial is done"
        while model.idle:
            self.peer_closed(0, Why.PEER_CLOSED)
        assert not list(self.pool.hosts())

    # What the pool decided

    def _passed_on(self, connection: Any) -> None:
        model = self.model
        order = self.pool.orders[0] if self.pool.orders else None
        records = self.core.records
        reasons = model.why_spent(connection, self.now)
        if isinstance(order, records.Close) and order.why in reasons:
            return self._settle()
        assert not reasons - {Why.HINT_MAX}, f"kept, although {reasons}"
        bound = model.bound_for(connection)
        others = model.oldest_at(model.facts[connection].origin) is not None or not bound
        is_own_turn = (bound and not others) or model.may_bind(connection, connection)
        must_be_new = is_own_turn and not bound and model.must_wait_for_new(connection)
        is_barred = must_be_new and model.is_barred(model.facts[connection].origin)
        if (is_own_turn and not must_be_new) or (is_barred and model.passed_by_to(connection) is not None):
            assert isinstance(order, records.Serve), "not handed to the caller whose turn it was"
            assert order.ticket.connection is connection
            assert not bound or order.ticket is bound[0], "who counts on a dial came first"
        elif not is_barred and (must_be_new or model.oldest_servable(connection) is not None):
            assert order == records.Close(connection, Why.EVICTED), "an older caller was passed over"
        else:
            assert order is None, "a good connection was not kept"
            model.busy.remove(connection)
            model.idle.append(connection)
        return self._settle(handed=connection)

    def _settle(self, gone: Any = None, handed: Any = None, dialled: Any = None, failed: Any = None) -> None:
        self.steps += 1
        records, model = self.core.records, self.model
        orders = list(self.pool.orders)
        self.pool.orders.clear()
        for order in orders:
            if self._rode(order, handed):
                continue
            if isinstance(order, records.Connect):
                self._connect(order.connection)
            elif isinstance(order, records.Cancel):
                self._cancel(order.connection)
            elif isinstance(order, records.Bind) and order.ticket in model.bound:
                assert dialled is not None, "bound once more for no reason"
            elif isinstance(order, records.Bind):
                assert order.ticket is model.oldest_at(order.ticket.host.origin), "not first come first served"
                model.leaves_line(order.ticket, self.now)
            elif isinstance(order, records.Serve):
                self._serve_late(order.ticket, handed, dialled, failed)
            elif order.connection is gone:
                assert order.why in (Why.PEER_CLOSED, Why.UNASKED_DATA)
                gone = None
            else:
                self._close(order.connection, order.why, handed)
        assert gone is None, "an opened connection was dropped without an order to close it"

    def _rode(self, order: Any, handed: Any) -> bool:
        """Carry out an order that is about a rider; False for all others. Here nobody rides."""
        return False

    def _connect(self, dial: Any) -> None:
        """A dial begins: for the caller whose turn it is, or for one who has just been given a ticket."""
        model, ticket = self.model, dial.ticket
        if ticket in model.waiting:
            assert ticket is model.oldest_at(ticket.host.origin), "not first come first served within a host"
            assert ticket is model.oldest_servable(), "not first come first served across hosts"
            model.leaves_line(ticket, self.now)
            model.dialling(dial, ticket.host.origin)
        else:
            if ticket is self.newcomer[0] and ticket not in model.ended and ticket not in model.bound:
                model.bound.insert(0 if self.newcomer[1] else len(model.bound), ticket)
            assert ticket in model.bound, "a dial begun for nobody"
            # In the slot of a dead connection, or of a failed dial, a cap lowered meanwhile does not count.
            assert dial not in model.facts, "dialled twice"
            model.replaced_by(dial, ticket.host.origin)
        model.dials.append(dial)
        model.begun_for[dial] = ticket
        model.begun_at[dial] = self.now

    def _cancel(self, dial: Any) -> None:
        model, late = self.model, self.core.late
        origin, age = model.facts[dial].origin, self.now - model.begun_at[dial]
        is_full = model.proxy_full(origin.proxy) or model.total_full()
        is_hung = age >= late.YOUNG and model.host_full(origin)
        is_over = self.now >= model.spare_since.get(dial, self.now) + late.LONGEST_SPARE
        assert model.is_closed or is_full or is_hung or is_over, "a dial was cancelled although there was room"
        assert dial not in [ticket.dial for ticket in model.bound], "a dial was cancelled that somebody counts on"
        model.cancelled(dial)

    def _close(self, connection: Any, why: Why, handed: Any) -> None:
        if why is Why.EVICTED and connection is not handed and self.model.yielding is None:
            proxy = self.model.facts[connection].origin.proxy
            spare = self.model.spare()
            crowded = spare if self.model.total_full() and not self.model.proxy_full(proxy) else []
            assert not crowded, "an idle connection was closed while a spare dial could make room"
        super()._close(connection, why, handed)

    def _serve_late(self, ticket: Any, handed: Any, dialled: Any, failed: Any) -> None:
        model, connection = self.model, ticket.connection
        bound = ticket in model.bound
        if ticket.failure is not None:
            assert model.is_closed or ticket is failed, "a caller failed although its dial did not"
            assert isinstance(ticket.failure, PoolClosed if model.is_closed and failed is None else DialError)
        else:
            assert connection in (handed, dialled), "served with something that was not there"
            assert connection.origin == ticket.host.origin, "given a connection to another host"
            assert ticket.reuses == (connection is handed)
            first = model.bound_for(connection) or [model.oldest_at(ticket.host.origin)]
            if connection is handed and model.refuses(first[0], connection):
                first = [model.passed_by_to(connection)]
            assert ticket is first[0], "not first come first served within a host"
        assert ticket not in model.ended, "a ticket ended twice"
        model.ended[ticket] = "ended"
        (model.bound if bound else model.waiting).remove(ticket)
        if ticket.failure is not None:
            return
        if not bound:
            model.waited += self.now - ticket.since
        if connection is handed:
            model.handed_on(connection)
        model.served.append(ticket)

    # What always holds

    def gauges_equal_a_recount(self) -> None:
        pool, model = self.pool, self.model
        assert pool.open == len(model.all())
        assert pool.idle_connections() == model.idle
        assert pool.waiting == len(model.waiting)
        assert set(pool.everything()) == set(model.busy + model.idle)
        hosts = {host.origin: host for host in pool.hosts()}
        alive = [model.facts[c].origin for c in model.all()]
        alive += [ticket.host.origin for ticket in model.waiting + model.bound]
        assert set(hosts) == set(alive), "a host is forgotten too early or too late"
        for origin, host in hosts.items():
            assert host.open == len(model.at(origin))
            assert list(host.idle) == model.at(origin, model.idle)
            assert list(host.busy) == model.at(origin, model.busy), "not the longest held first"
            assert list(host.waiters) == [ticket for ticket in model.waiting if ticket.host.origin == origin]
            assert list(host.bound) == model.bound_at(origin)
            assert set(host.spare) == {dial for dial in model.spare() if model.facts[dial].origin == origin}
            if origin.proxy is not None:
                assert host.group.open == len(model.through(origin.proxy))
        self.everybody_who_is_bound_counts_on_one_dial()

    def everybody_who_is_bound_counts_on_one_dial(self) -> None:
        model = self.model
        for ticket in model.bound:
            assert ticket.dial in model.dials, "a caller counts on a dial that is over"
            assert ticket.dial.ticket is ticket
            assert ticket.dial.origin == ticket.host.origin
        assert len({ticket.dial for ticket in model.bound}) == len(model.bound), "two callers count on one dial"
        assert not (model.is_closed and model.dials), "a closed pool dials for nobody"
        model.spare_since = {dial: model.spare_since.get(dial, self.now) for dial in model.spare()}
        for dial in model.spare():
            assert dial.ticket is None
            origin = model.facts[dial].origin
            assert model.oldest_at(origin) is None or model.is_barred(origin), "a spare dial while its callers wait"
