"""The state machine for pools whose callers ride: requests one behind the other on one connection.

Everything `LateMachine` checks holds here too. To the model come the lines: who rides where, what of it was sent, how
far the first response is; and, as naively, how an origin's credit grows and is lost. What a line may carry is held
against the server's own limit, not against what the pool believes of it.
"""

from __future__ import annotations

from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from late_machine import LateMachine, LateModel
from lifecycle import Move
from pool_machine import anyone, caps, core_of, policies, servers
from watched import Watched

from keeppool.errors import PoolClosed
from keeppool.events import Why

__all__ = ["RidingMachine"]

NEVER = float("inf")
riding_policies = st.builds(
    lambda policy, depth: {**policy, "pipelining": depth, "new_for_unsafe": False},
    policies,
    st.sampled_from([8, 8, 8, 3, 2, 1]),
)
riding_sites = st.lists(
    st.tuples(st.sampled_from([None, None, None, "p"]), servers, riding_policies), min_size=1, max_size=4
)
#: Reasons for which an exchange ends its connection, and whether the server has done it.
ENDS = (Why.SERVER_CLOSE, Why.CLIENT_CLOSE, Why.EXCHANGE_FAILED, Why.PEER_CLOSED, Why.UNASKED_DATA)
ANNOUNCED = (Why.SERVER_CLOSE,)


class Trust:
    """How far an origin is trusted, by rereading what has happened there."""

    def __init__(self) -> None:
        self.grown = 2
        self.bad_until = 0.0
        self.breaks = 0
        self.average: float | None = None
        self.ends: list[int] = []
        self.dial: float | None = None

    def broke(self, now: float) -> None:
        if now >= self.bad_until:
            self.bad_until = now + min(600.0 * 2**self.breaks, 14400.0)
            self.breaks = min(self.breaks + 1, 8)
        self.grown = 2

    def patience(self) -> float:
        return max(0.5, 2 * (self.dial or 0.0))

    def limits(self, most: int, now: float, *, on_trial: bool) -> tuple[int, int]:
        """Give the most requests in flight before the first head of a line has come, and behind it."""
        if self.average is not None and self.average > self.patience():
            return 1, 1
        blind = 1 if now < self.bad_until or (on_trial and self.grown == 2) else min(most, self.grown)
        return blind, min(most, max(2, blind))

    def stops_after(self) -> int | None:
        """Give the number of responses behind which three connections in a row have ended, if nothing spoke against."""
        known = None
        for index, served in enumerate(self.ends):
            if self.ends[max(0, index - 2) : index + 1] == [served] * 3:
                known = served
            elif known is not None and served > known:
                known = None
        return known


class RidingModel(LateModel):
    """The books of a pool whose callers ride."""

    def begin(self) -> None:
        super().begin()
        self.lines: dict[Any, list[Any]] = {}
        #: "sent" or "begun", for lines that may be boarded as far as their first response is concerned.
        self.stage: dict[Any, str] = {}
        self.moved: dict[Any, float] = {}
        self.riding: dict[Any, Any] = {}
        self.place: dict[Any, int] = {}
        self.blind: set[Any] = set()
        self.sent: set[Any] = set()
        self.ghosts: set[Any] = set()
        self.offers: set[Any] = set()
        self.streaming: set[Any] = set()
        self.spent: dict[Any, int] = {}
        self.returned: dict[Any, int] = {}
        #: The rider that has become the holder of a connection.
        self.holder: dict[Any, Any] = {}
        #: Connections that will get no more riders.
        self.doomed: set[Any] = set()
        #: Those whose response's head has come, and that were asked.
        self.headed: set[Any] = set()
        self.asked: set[Any] = set()
        self.trust: dict[Any, Trust] = {}
        self.piped = self.requeued = 0

    def trust_in(self, origin: Any) -> Trust:
        return self.trust.setdefault(origin, Trust())

    def on_trial(self, origin: Any) -> bool:
        riders = [t for t in [*self.riding, *self.holder.values()] if t is not None and t.host.origin == origin]
        return any(t in self.blind and self.place[t] == 2 for t in riders)

    def refuses(self, ticket: Any, connection: Any) -> bool:
        """As ever; and what may have been carried out goes out once more over a new connection alone."""
        if self.spent.get(ticket) and self.facts[connection].served:
            return True
        return super().refuses(ticket, connection)

    def in_flight(self, connection: Any) -> int:
        return 1 + len(self.lines.get(connection, []))

    def still_to_come(self, connection: Any) -> int:
        """Count the responses that the server has not begun."""
        return self.in_flight(connection) - (connection in self.headed)

    def may_follow(self, connection: Any, now: float, *, believed: bool) -> bool:
        """Tell whether one more request may follow on a connection.

        Args:
            connection: Busy.
            now: The time.
            believed: By what the pool believes of the server's limit; else by the limit itself.
        """
        facts, line = self.facts[connection], self.lines.get(connection, [])
        policy, trust = self.policy[facts.origin], self.trust_in(facts.origin)
        if connection not in self.stage or connection in self.doomed or any(t in self.ghosts for t in line):
            return False
        last = line[-1] if line else self.holder.get(connection)
        if last is not None and last in self.streaming:
            return False
        blind, begun = trust.limits(policy.pipelining, now, on_trial=self.on_trial(facts.origin))
        if self.in_flight(connection) >= (blind if self.stage[connection] == "sent" else begun):
            return False
        coming = self.still_to_come(connection) + 1
        left = connection.uses_left if believed else None
        if not believed and self.servers[facts.origin].limit is not None:
            left = self.servers[facts.origin].limit - facts.served
        if left is not None and coming > left:
            return False
        for most in (policy.max_requests, trust.stops_after()):
            if most is not None and facts.served + coming > most:
                return False
        if policy.max_age is not None and now >= facts.born + policy.max_age:
            return False
        return now - self.moved[connection] <= trust.patience()

    def forget_line(self, connection: Any) -> None:
        for books in (self.lines, self.stage, self.moved, self.holder):
            books.pop(connection, None)
        for notes in (self.doomed, self.headed, self.asked):
            notes.discard(connection)

    def off(self, ticket: Any) -> Any:
        """Take a rider off its line; give the connection."""
        connection = self.riding.pop(ticket)
        self.lines[connection].remove(ticket)
        self.sent.discard(ticket)
        self.blind.discard(ticket)
        return connection


class RidingMachine(LateMachine):
    """Callers who ride, servers that answer or break, and a clock, all played by Hypothesis."""

    core = core_of("keeppool.core")
    seen: ClassVar[set[Move]] = set()
    model: RidingModel

    @initialize(
        sites=riding_sites,
        total=st.one_of(st.none(), st.none(), st.integers(2, 8), st.integers(1, 3)),
        per_proxy=caps,
        waiting=st.one_of(st.none(), st.none(), st.integers(2, 4)),
    )
    def begin(self, sites: list[Any], total: int | None, per_proxy: int, waiting: int | None) -> None:
        super().begin(sites, total, per_proxy, waiting)
        self.pool = Watched(self.core.riding.RidingPoolState(self.limits), self.seen)
        old = self.model
        self.model = RidingModel(total, per_proxy, old.most_overtakes, old.policy, old.servers)
        self.model.begin()
        #: Who has to be put back by the fact under way, and whether as one that was sent for the first time.
        self.leaving: dict[Any, bool] = {}
        self.newest: Any = None

    # What callers do

    def _dial(self, connection: Any) -> None:
        model = self.model
        if connection in model.dials and connection in model.connecting:
            origin = model.facts[connection].origin
            if model.policy[origin].pipelining > 1:
                trust, took = model.trust_in(origin), self.now - model.begun_at[connection]
                trust.dial = took if trust.dial is None else min(trust.dial, took)
        super()._dial(connection)

    def _ticket(self, ticket: Any, origin: Any, *, first: bool = False, gone: Any = None) -> None:
        super()._ticket(ticket, origin, first=first, gone=gone)
        self.newest = ticket

    @rule(who=anyone, streams=st.sampled_from([False, False, False, True]), how_many=st.integers(1, 6))
    def request_to_ride(self, who: int, streams: bool, how_many: int) -> None:
        for _ in range(how_many):
            self.newest = None
            self.request(who)
            if self.newest is not None:
                self.model.offers.add(self.newest)
                if streams:
                    self.model.streaming.add(self.newest)
                self.pool.offered(self.newest, streams, self.now)
                self._settle()
                self._nobody_waits_who_could_ride(self.newest.host.origin)

    @rule(who=anyone, how_many=st.integers(2, 8))
    def lines_form(self, who: int, how_many: int) -> None:
        """Callers of one host fill its connections, have had a response each, and more come than can be served."""
        self.open_several(who, how_many)
        for connection in self._all_held(self.model.busy):
            if connection not in self.model.moved:
                self._answered(connection)
        self.model.served.clear()
        self.request_to_ride(who, streams=False, how_many=how_many)
        self.all_sent()
        self.request_to_ride(who, streams=False, how_many=how_many)

    @precondition(lambda self: any(self.model.lines.values()))
    @rule(how_many=st.integers(1, 6))
    def lines_move_on(self, how_many: int) -> None:
        """Whatever was written is answered, one after the other."""
        for _ in range(how_many):
            for connection in [c for c in self._all_held(self.model.busy) if self.model.lines.get(c)]:
                for ticket in self.model.lines[connection]:
                    if ticket not in self.model.sent:
                        self._written(ticket)
                self._answered(connection)

    @precondition(lambda self: self._quiet())
    @rule(who=anyone)
    def sent(self, who: int) -> None:
        """A holder has sent its request, and others may follow."""
        quiet = self._quiet()
        self._sent(quiet[who % len(quiet)])

    @precondition(lambda self: self.model.served or self._quiet())
    @rule()
    def all_sent(self) -> None:
        self.model.served.clear()
        for connection in self._quiet():
            self._sent(connection)

    def _sent(self, connection: Any) -> None:
        model = self.model
        model.asked.add(connection)
        if model.facts[connection].served:
            model.stage[connection] = "sent"
            model.moved[connection] = self.now
        self.pool.sent(connection, self.now)
        self._settle()
        if model.facts[connection].served:
            self._nobody_waits_who_could_ride(model.facts[connection].origin)

    def _quiet(self) -> list[Any]:
        """List the connections whose holders have neither sent nor got anything."""
        model = self.model
        held = self._all_held(model.busy)
        return [c for c in held if c not in model.asked and c not in model.headed and c not in model.holder]

    def _all_held(self, connections: list[Any]) -> list[Any]:
        in_tickets = [ticket.connection for ticket in self.model.served]
        return [c for c in connections if c not in in_tickets]

    @precondition(lambda self: any(self.model.lines.values()))
    @rule(who=anyone, how_many=st.integers(1, 4))
    def riders_are_written(self, who: int, how_many: int) -> None:
        """The kernel takes the requests of some riders, in their order."""
        lines = [line for line in self.model.lines.values() if line]
        unsent = [t for t in lines[who % len(lines)] if t not in self.model.sent]
        for ticket in unsent[:how_many]:
            self._written(ticket)

    def _written(self, ticket: Any) -> None:
        assert self.model.spent.get(ticket, 0) < 1, "sent a third time"
        ticket.ride.is_sent = True
        self.model.sent.add(ticket)

    @precondition(lambda self: self.model.riding)
    @rule(who=anyone)
    def a_rider_leaves(self, who: int) -> None:
        model = self.model
        riders = [ticket for ticket in model.riding if ticket not in model.ghosts]
        if not riders:
            return
        ticket = riders[who % len(riders)]
        connection = model.riding[ticket]
        model.ended[ticket] = "abandoned"
        if ticket in model.sent:
            model.ghosts.add(ticket)
        else:
            model.off(ticket)
        self.pool.abandoned(ticket, self.now)
        self._settle()
        self._nobody_waits_who_could_ride(model.facts[connection].origin)

    # What servers do

    @precondition(lambda self: self.model.busy)
    @rule(
        who=anyone,
        seconds=st.sampled_from([0.0, 0.0, 0.1, 3.0]),
        rest=st.sampled_from([None, 1, 1000, 10**6]),
        is_last=st.sampled_from([False, False, False, True]),
    )
    def begun(self, who: int, seconds: float, rest: int | None, is_last: bool) -> None:
        """The head of a response has come, whose request others may follow."""
        model = self.model
        waiting = [c for c in self._all_held(model.busy) if c not in model.headed]
        if not waiting:
            return
        connection = waiting[who % len(waiting)]
        origin = model.facts[connection].origin
        self._head_of(connection)
        trust = model.trust_in(origin)
        trust.average = seconds if trust.average is None else trust.average + (seconds - trust.average) / 8
        model.moved[connection] = self.now
        model.asked.add(connection)
        model.stage.pop(connection, None)
        if is_last:
            self._leave_all(connection, unprocessed=True)
        elif rest is None or rest <= self.core.riding.MOST_REST:
            model.stage[connection] = "begun"
        self.pool.begun(connection, seconds, rest, is_last, self.now)
        self._settle()
        self._nobody_waits_who_could_ride(origin)

    def _head_of(self, connection: Any, slow: float = 0) -> None:
        """Let the head of a response come."""
        model = self.model
        timeout, most = model.answer(connection, self.now, slow)
        records, keepalive = self.core.records, self.core.keepalive
        connection.answered(records.NO_HINT if (timeout, most) == (None, None) else keepalive.Hint(timeout, most))
        connection.read_at = model.facts[connection].read_at
        model.headed.add(connection)

    def _answered(self, connection: Any, slow: float = 0) -> None:
        if connection is None:
            return
        model = self.model
        origin = model.facts[connection].origin
        if connection not in model.headed:
            self._head_of(connection, slow)
        line = [t for t in model.lines.get(connection, []) if t not in model.sent]
        for ticket in line[:1]:
            if model.lines[connection][0] is ticket:
                self._written(ticket)  # Nobody's turn comes before its request was sent.
        self._judge_end(connection, None)
        has_line = connection in model.moved
        if model.lines.get(connection):
            self.pool.released(connection, None, self.now)
            self._promoted(connection)
        elif connection in model.doomed:
            self.pool.released(connection, None, self.now)
            assert self.pool.orders[0].why in (Why.BODY_UNREAD, Why.PEER_CLOSED), "kept, with responses on their way"
            self._settle()
        else:
            model.forget_line(connection)
            self.pool.released(connection, None, self.now)
            self._passed_on(connection)
        if has_line:
            self._nobody_waits_who_could_ride(origin)

    def _promoted(self, connection: Any) -> None:
        """Check that the next rider has become the holder."""
        model, records = self.model, self.core.records
        first = model.lines[connection][0]
        order = self.pool.orders[0]
        assert isinstance(order, records.Serve), "a response ended, and the next rider was not told"
        assert order.ticket is first, "not the rider whose response comes next"
        self._settle(handed=connection)
        assert model.holder[connection] is first

    def _judge_end(self, connection: Any, why: Why | None) -> None:
        """Write down what the end of a holder's exchange says of its origin."""
        model = self.model
        trust, rider = model.trust_in(model.facts[connection].origin), model.holder.pop(connection, None)
        if connection not in model.moved:
            return
        if (
            rider is not None
            and why in (None, Why.SERVER_CLOSE)
            and rider in model.blind
            and self.now >= trust.bad_until
        ):
            trust.grown = 10**9 if model.place[rider] > 2 else max(trust.grown, 4)
        if why is Why.SERVER_CLOSE:
            trust.ends.append(model.facts[connection].served)
        elif why is Why.UNASKED_DATA and (rider is not None or model.lines.get(connection)):
            trust.broke(self.now)

    @precondition(lambda self: self.model.busy)
    @rule(who=anyone, why=st.sampled_from(ENDS), is_told=st.booleans())
    def spent(self, who: int, why: Why, is_told: bool = False) -> None:
        """An exchange ends its connection, and with it its line; the front end may say that it was the server."""
        model = self.model
        connection = self._held(model.busy, who)
        if connection is None:
            return
        origin = model.facts[connection].origin
        line = list(model.lines.get(connection, []))
        if why is Why.SERVER_CLOSE and connection not in model.headed:
            self._head_of(connection)
        if is_told and why in (Why.EXCHANGE_FAILED, Why.PEER_CLOSED):
            if connection in model.holder or any(t in model.sent for t in line):
                model.trust_in(origin).broke(self.now)
            self.pool.broken(connection, self.now)
            assert not self.pool.orders
        self._judge_end(connection, why)
        self._leave_all(connection, unprocessed=why in ANNOUNCED)
        has_line = connection in model.moved
        model.forget_line(connection)
        self.pool.released(connection, why, self.now)
        assert self.core.records.Close(connection, why) in self.pool.orders
        self._settle()
        if has_line:
            self._nobody_waits_who_could_ride(origin)

    def _leave_all(self, connection: Any, *, unprocessed: bool) -> None:
        """Write down that every rider of a connection has to go back to the queue."""
        model = self.model
        for ticket in model.lines.get(connection, []):
            model.riding.pop(ticket)
            if ticket in model.ghosts:
                continue
            self.leaving[ticket] = ticket in model.sent and not unprocessed
            model.sent.discard(ticket)
            model.blind.discard(ticket)
        model.lines.pop(connection, None)

    @precondition(lambda self: self.model.lines)
    @rule(who=anyone)
    def cut(self, who: int) -> None:
        """Writing fails: whoever has sent nothing goes back, responses to the others may come."""
        model = self.model
        connection = list(model.lines)[who % len(model.lines)]
        for ticket in [t for t in model.lines[connection] if t not in model.sent]:
            model.off(ticket)
            self.leaving[ticket] = False
        model.doomed.add(connection)
        model.stage.pop(connection, None)
        self.pool.cut(connection, self.now)
        self._settle()
        self._nobody_waits_who_could_ride(model.facts[connection].origin)

    @precondition(lambda self: self.model.lines)
    @rule(who=anyone, seconds=st.sampled_from([1, 5, 30]))
    def a_line_stands_still(self, who: int, seconds: float) -> None:
        model = self.model
        connection = list(model.lines)[who % len(model.lines)]
        self.now += seconds
        is_over = self.now >= model.moved[connection] + self.core.riding.LONGEST_STALL
        was_sent = any(t in model.sent for t in model.lines[connection])
        due = model.moved[connection] + self.core.riding.LONGEST_STALL
        riders = bool(model.lines[connection])
        if is_over and riders:
            self._leave_all(connection, unprocessed=False)
            model.stage.pop(connection, None)
            if was_sent:
                model.doomed.add(connection)
        until = self.pool.pipeline_waited(connection, self.now)
        assert until == (due if riders and not is_over else None)
        self._settle()

    def _redial(self, connection: Any) -> None:
        model = self.model
        self._judge_end(connection, Why.PEER_CLOSED)
        self._leave_all(connection, unprocessed=False)
        origin = model.facts[connection].origin
        has_line = connection in model.moved
        model.forget_line(connection)
        stale = [c for c in model.at(origin, model.idle) if model.facts[c].read_at <= model.facts[connection].read_at]
        model.resent += not model.is_closed
        model.closed(connection, Why.PEER_CLOSED)
        try:
            other = self.pool.redialled(connection, Why.PEER_CLOSED, self.now)
        except PoolClosed:
            assert model.is_closed
            self._settle(gone=connection)
            return
        model.replaced_by(other, origin)
        self._settle(gone=connection)
        assert not [c for c in stale if c in model.idle], "stale siblings go"
        if has_line:
            self._nobody_waits_who_could_ride(origin)

    @precondition(lambda self: any(self.model.facts[c].reused for c in self.model.busy))
    @rule(who=anyone)
    def redial(self, who: int) -> None:
        reused = [c for c in self.model.busy if self.model.facts[c].reused]
        connection = self._held(reused, who)
        if connection is not None:
            self._redial(connection)

    @precondition(lambda self: self.model.idle)
    @rule(who=anyone, why=st.sampled_from([Why.PEER_CLOSED, Why.UNASKED_DATA]))
    def peer_closed(self, who: int, why: Why) -> None:
        """A response too many costs an origin its credit, also where it comes when all have had theirs."""
        origin = self.model.facts[self.model.idle[who % len(self.model.idle)]].origin
        if why is Why.UNASKED_DATA and self.model.policy[origin].pipelining > 1:
            self.model.trust_in(origin).broke(self.now)
        super().peer_closed(who, why)

    @precondition(lambda self: self._untouched())
    @rule(who=anyone, why=st.sampled_from([Why.PEER_CLOSED, Why.UNASKED_DATA]))
    def found_dead(self, who: int, why: Why) -> None:
        """Only before it was asked is a connection found dead; later it breaks."""
        untouched = self._untouched()
        self._found_dead(untouched[who % len(untouched)], why)

    def _untouched(self) -> list[Any]:
        return [c for c in self._quiet() if self.model.facts[c].reused]

    @precondition(lambda self: self.steps > 25)
    @rule()
    def close(self) -> None:
        """Riders that have sent nothing wait no longer."""
        model = self.model
        for ticket in [t for t in model.riding if t not in model.sent]:
            model.off(ticket)
            self.leaving[ticket] = False
        model.stage.clear()
        super().close()
        assert not self.leaving, "a rider that has sent nothing waits for a closed pool"

    # What the pool decided

    def _settle(self, gone: Any = None, handed: Any = None, dialled: Any = None, failed: Any = None) -> None:
        super()._settle(gone=gone, handed=handed, dialled=dialled, failed=failed)
        assert not self.leaving, "a rider whose line has ended was told nothing"

    def _close(self, connection: Any, why: Why, handed: Any) -> None:
        super()._close(connection, why, handed)
        self.model.forget_line(connection)

    def _rode(self, order: Any, handed: Any) -> bool:
        records, model = self.core.records, self.model
        if isinstance(order, records.Board):
            self._boarded(order.ticket)
        elif isinstance(order, records.Return):
            self._returned(order.ticket, order.is_spent)
        elif isinstance(order, records.Serve) and order.ticket in self.leaving:
            assert model.is_closed
            assert isinstance(order.ticket.failure, PoolClosed)
            assert order.ticket not in model.ended, "a ticket ended twice"
            model.ended[order.ticket] = "failed"
            del self.leaving[order.ticket]
        elif isinstance(order, records.Serve) and order.ticket in model.riding:
            self._had_its_turn(order.ticket, handed)
        elif isinstance(order, records.Serve) and order.ticket.connection in model.idle:
            self._seated(order.ticket)
        else:
            return False
        return True

    def _boarded(self, ticket: Any) -> None:
        model = self.model
        connection, origin = ticket.ride.connection, ticket.host.origin
        assert ticket in model.offers, "a request rides that may not"
        assert not model.spent.get(ticket), "one that may have been carried out rides again"
        assert model.returned.get(ticket, 0) < self.core.riding.MOST_RETURNS, "goes back and rides without end"
        assert connection.origin == origin, "rides on a connection to another host"
        assert connection in model.busy
        assert ticket is model.oldest_at(origin), "not first come first served within a host"
        assert model.may_follow(connection, self.now, believed=False), "one request too many on a connection"
        shorter = [c for c in model.at(origin, model.busy) if model.in_flight(c) < model.in_flight(connection)]
        assert not any(model.may_follow(c, self.now, believed=True) for c in shorter), "not the shortest line"
        assert not [c for c in model.at(origin, model.idle) if self.now < model.expiry(c)], "rides beside an idle one"
        rivals = [t for t in model.waiting if t.host.origin != origin and t.number < ticket.number]
        rival = next((t for t in rivals if model.is_servable(t, connection)), None)
        older = [t for t in model.bound_at(origin)[:1] if t.number < ticket.number]
        for passed_over in [*([rival] if rival else []), *older]:
            model.overtaken[passed_over] = model.overtaken.get(passed_over, 0) + 1
            assert model.overtaken[passed_over] <= model.most_overtakes, "an older caller is passed over for ever"
        model.waiting.remove(ticket)
        model.waited += self.now - ticket.since
        model.piped += 1
        model.lines.setdefault(connection, []).append(ticket)
        model.riding[ticket] = connection
        model.place[ticket] = model.in_flight(connection)
        if model.stage[connection] == "sent":
            model.blind.add(ticket)

    def _returned(self, ticket: Any, is_spent: bool) -> None:
        model = self.model
        assert ticket in self.leaving, "put back, although its line goes on"
        was_sent = self.leaving.pop(ticket)
        assert is_spent is was_sent, "what may have been carried out is taken for unsent, or the other way round"
        model.spent[ticket] = model.spent.get(ticket, 0) + is_spent
        model.returned[ticket] = model.returned.get(ticket, 0) + 1
        model.requeued += 1
        mine = [t for t in model.waiting if t.host.origin == ticket.host.origin]
        before = next((t for t in mine if t.number > ticket.number), None)
        at = len(model.waiting) if before is None else model.waiting.index(before)
        model.waiting.insert(at, ticket)
        model.waiting.sort(key=lambda t: t.number)

    def _had_its_turn(self, ticket: Any, handed: Any) -> None:
        model = self.model
        connection = model.riding[ticket]
        assert connection is handed, "its turn, although the response before it has not ended"
        assert model.lines[connection][0] is ticket, "out of turn"
        assert ticket in model.sent, "its turn, and nothing was sent"
        blind = ticket in model.blind
        model.off(ticket)
        for notes in (model.headed, model.asked):
            notes.discard(connection)
        model.holder[connection] = ticket
        if blind:
            model.blind.add(ticket)
        model.moved[connection] = self.now
        model.stage[connection] = "sent"
        model.handed_on(connection)
        if ticket in model.ghosts:
            del model.stage[connection]
            model.reused -= 1
            model.ghosts.discard(ticket)
            return
        assert ticket not in model.ended, "a ticket ended twice"
        model.ended[ticket] = "served"
        assert ticket.connection is connection

    def _seated(self, ticket: Any) -> None:
        """A caller who has come back is given what is idle."""
        model = self.model
        assert ticket is model.oldest_at(ticket.host.origin)
        assert model.returned.get(ticket), "waited beside an idle connection"
        assert not model.spent.get(ticket), "goes out for the last time over a used connection"
        model.lent_from_shelf(ticket.connection, ticket.host.origin, self.now)
        model.waiting.remove(ticket)
        model.waited += self.now - ticket.since
        model.ended[ticket] = "served"
        model.served.append(ticket)

    def _serve_late(self, ticket: Any, handed: Any, dialled: Any, failed: Any) -> None:
        if ticket.connection is not None and self.model.spent.get(ticket):
            assert not self.model.facts[ticket.connection].served, "goes out for the last time over a used connection"
        super()._serve_late(ticket, handed, dialled, failed)

    # What always holds

    def _nobody_waits_who_could_ride(self, origin: Any) -> None:
        """Right behind each fact: it may have made room on a line, or have brought another to the front."""
        model = self.model
        ticket = model.oldest_at(origin)
        if ticket is None or ticket not in model.offers or model.spent.get(ticket):
            return
        if model.returned.get(ticket, 0) >= self.core.riding.MOST_RETURNS:
            return
        if any(t.number < ticket.number for t in [*model.waiting, *model.bound]):
            return  # Somebody else's turn, perhaps.
        free = [c for c in model.at(origin, model.busy) if model.may_follow(c, self.now, believed=True)]
        assert not free, "waits although it could ride"

    def nobody_waits_who_could_be_served(self) -> None:
        super().nobody_waits_who_could_be_served()
        for origin in self.origins:
            self._nobody_waits_who_could_ride(origin)

    def counters_add_up(self) -> None:
        super().counters_add_up()
        counters, model = self.pool.counters, self.model
        assert (counters.piped, counters.requeued) == (model.piped, model.requeued)

    def every_connection_is_where_the_pool_says(self) -> None:
        super().every_connection_is_where_the_pool_says()
        for connection in self.model.busy:
            riders = [] if connection.pipeline is None else list(connection.pipeline.riders)
            assert riders == self.model.lines.get(connection, [])
        assert not any(c.pipeline for c in self.model.idle), "somebody rides on the shelf"
