"""The table of states is the core's: every move in it is seen, and the pictures in the docs are drawn from it.

That no other move is seen, the state machines assert at every step; see `watched.py`.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from barging_machine import BargingMachine
from desk import PA, PB, PC, POLICY, A, B
from draw_states import DOCS, PICTURES, picture
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from late_machine import LateMachine
from lifecycle import CONNECTION, MOVES, Move
from permit_machine import LatePermitMachine, PermitMachine
from pool_machine import PoolMachine
from riding_machine import RidingMachine
from watched import Watched

from keeppool.config import Limits
from keeppool.core.late import LONGEST_SPARE, LatePoolState
from keeppool.core.pool import MOST_OVERTAKES, PoolState
from keeppool.core.records import Policy, Ticket
from keeppool.core.riding import LONGEST_STALL, RidingPoolState
from keeppool.errors import PoolClosed
from keeppool.events import Why

#: Short-lived enough for a test to outlive it.
BRIEF = Policy(per_host=2, idle_timeout=5.0)


# What chance brings about seldom, brought about on purpose.


def idle(pool: Any, how_many: int, policy: Policy = POLICY) -> None:
    connections = [pool.requested(A, policy, 0.0) for _ in range(how_many)]
    for connection in connections:
        pool.connected(connection, 0.0)
    for connection in connections:
        connection.served += 1
        pool.released(connection, None, 0.0)


def an_assignment_is_abandoned(pool: Any) -> None:
    """With somebody behind, with nobody behind, and where the connection cannot be used any more."""
    one = Policy(per_host=1)
    first, *others = [pool.requested(A, one, 0.0) for _ in range(4)]
    pool.connected(first, 0.0)
    pool.released(first, None, 0.0)
    for ticket in others:
        pool.abandoned(ticket, 0.0)
    taken = pool.requested(A, one, 1.0)
    last = pool.requested(A, one, 1.0)
    pool.released(taken, None, 1.0)
    pool.closed_by_user()
    pool.abandoned(last, 1.0)


def a_request_with_a_higher_cap_lets_another_in(pool: Any) -> None:
    """A cap that was raised holds for whoever waits already, too."""
    for policy in (Policy(per_host=1), Policy(per_host=1), Policy(per_host=2)):
        pool.requested(A, policy, 0.0)


def a_dead_one_is_found_beside_others(pool: Any) -> None:
    idle(pool, 3)
    other = pool.found_dead(pool.requested(A, POLICY, 1.0), Why.PEER_CLOSED, 1.0)
    pool.redialled(other, Why.PEER_CLOSED, 1.0)


def a_dead_one_is_found_beside_an_expired_one(pool: Any) -> None:
    idle(pool, 2, BRIEF)
    pool.found_dead(pool.requested(A, BRIEF, 1.0), Why.PEER_CLOSED, 100.0)


def a_stale_one_is_found_beside_an_expired_one(pool: Any) -> None:
    for dial in [pool.requested(A, BRIEF, 0.0).dial for _ in range(2)]:
        pool.dialled(dial, 0.0)
    for connection in pool.everything():
        connection.served += 1
        pool.released(connection, None, 0.0)
    pool.found_stale(pool.requested(A, BRIEF, 1.0), Why.PEER_CLOSED, 100.0)


def time_passes_on_the_shelf(pool: Any) -> None:
    idle(pool, 2, BRIEF)
    pool.ticked(100.0)


def bound(pool: Any, where: Any = A, now: float = 0.0) -> tuple[Any, Any]:
    """Let a caller count on a dial; give its ticket and the dial."""
    ticket = pool.requested(where, POLICY, now)
    return ticket, ticket.dial


def a_spare_dial_gives_way_or_grows_old(pool: Any) -> None:
    tickets = [bound(pool, where)[0] for where in (A, A, B, B)]
    for ticket in tickets:
        pool.abandoned(ticket, 0.0)
    bound(pool, B, 1.0)
    pool.ticked(2.0 + LONGEST_SPARE)


def a_spare_dial_ends_where_nothing_is_kept(pool: Any) -> None:
    ticket = pool.requested(A, Policy(idle_timeout=0), 0.0)
    dial = ticket.dial
    pool.abandoned(ticket, 0.0)
    pool.dialled(dial, 0.0)


def a_stale_one_is_found_beside_others(pool: Any) -> None:
    for _, dial in [bound(pool) for _ in range(4)]:
        pool.dialled(dial, 0.0)
    for connection in pool.everything():
        connection.served += 1
        pool.released(connection, None, 0.0)
    other = pool.found_stale(pool.requested(A, POLICY, 1.0), Why.PEER_CLOSED, 1.0)
    again = pool.redialled(other, Why.PEER_CLOSED, 1.0)
    pool.closed_by_user()
    pool.connected(again, 1.0)


def a_stale_one_is_found_alone(pool: Any) -> None:
    pool.dialled(bound(pool)[1], 0.0)
    (connection,) = pool.everything()
    connection.served += 1
    pool.released(connection, None, 0.0)
    pool.found_stale(pool.requested(A, POLICY, 1.0), Why.PEER_CLOSED, 1.0)


def what_comes_back_serves_who_counts_on_a_dial(pool: Any) -> None:
    """The dial's slot goes to another host's caller; and an assignment that is abandoned serves the next."""
    _, dial = bound(pool)
    pool.dialled(dial, 0.0)
    (connection,) = pool.everything()
    second, _ = bound(pool)
    bound(pool)
    bound(pool)
    pool.requested(B, POLICY, 0.0)
    pool.released(connection, None, 0.0)
    pool.abandoned(second, 0.0)


def a_second_dial_fails_while_somebody_waits(pool: Any) -> None:
    one = Policy(per_host=1)
    pool.dialled(pool.requested(A, one, 0.0).dial, 0.0)
    (connection,) = pool.everything()
    pool.requested(A, one, 0.0)
    pool.connect_failed(pool.redialled(connection, Why.PEER_CLOSED, 0.0), 0.0)


def a_line(pool: Any, policy: Policy, beside: int, written: int) -> Any:
    """Let two callers ride behind a holder, of whom some have sent, with idle connections beside; give that one."""
    tickets = [pool.requested(A, policy, 0.0) for _ in range(1 + beside)]
    holder, *others = [ticket.dial for ticket in tickets]
    for dial in (holder, *others):
        pool.dialled(dial, 0.0)
        dial.served += 1
    pool.sent(holder, 0.0)
    holder.host.credit.answered(3, 0.0)
    riders = [pool.requested(A, policy, 0.0) for _ in range(2)]
    for ticket in riders:
        pool.offered(ticket, False, 0.0)
    for ticket in riders[:written]:
        ticket.ride.is_sent = True
    for connection in others:
        connection.read_at = 1.0
        pool.released(connection, None, 1.0)
    return holder


def end(pool: Any, fact: str, holder: Any, now: float, why: Why = Why.UNASKED_DATA) -> None:
    """Let a line end by this fact."""
    if fact == "released":
        pool.released(holder, Why.EXCHANGE_FAILED, now)
    elif fact == "redialled":
        with contextlib.suppress(PoolClosed):
            pool.redialled(holder, why, now)
    elif fact == "begun":
        pool.begun(holder, 0.0, 0, True, now)
    elif fact == "cut":
        pool.cut(holder, now)
    else:
        pool.pipeline_waited(holder, now)


def lines_end_in_every_way(pool: Any) -> None:
    """With idle connections beside that are fresh or have expired, with none, and in a pool that was closed."""
    facts = ("released", "redialled", "begun", "cut", "pipeline_waited")
    for fact, beside, written, *cases in itertools.product(facts, (0, 1, 2), (0, 1, 2), (False, True), (False, True)):
        is_expired, is_closed = cases
        one = Watched(RidingPoolState(Limits(total=6)), pool._seen)
        holder = a_line(one, Policy(per_host=1 + beside, idle_timeout=15.0, pipelining=8), beside, written)
        if is_closed:
            one.closed_by_user()
        end(one, fact, holder, LONGEST_STALL + (20.0 if is_expired else 0.5))


def riders_come_and_go(pool: Any) -> None:
    """One has its turn, one leaves, and one that could not ride makes way for another that can."""
    one = Policy(per_host=1, pipelining=8)
    holder = a_line(pool, one, 0, 2)
    tickets = list(holder.pipeline.riders)
    blocks, behind = (pool.requested(A, one, 0.0) for _ in range(2))
    pool.offered(behind, False, 0.0)
    pool.abandoned(blocks, 0.0)
    pool.released(holder, None, 0.0)
    pool.abandoned(tickets[1], 0.0)
    pool.closed_by_user()


def a_place_on_a_line_comes_free(pool: Any) -> None:
    """Because the first has gone, and because a response has begun where nobody rides before that."""
    two = Policy(per_host=1, pipelining=2)
    holder = a_line(pool, two, 0, 1)
    pool.released(holder, None, 0.0)
    holder.host.credit.broke(0.0)
    third = pool.requested(A, two, 0.0)
    pool.offered(third, False, 0.0)
    for rider in list(holder.pipeline.riders):
        rider.ride.is_sent = True
        pool.released(holder, None, 0.0)
    pool.begun(holder, 0.0, 1, False, 0.0)


def who_could_not_ride_leaves_in_every_way(pool: Any) -> None:
    """Whoever stands before a caller that can ride is let in: by a higher cap, in the place of a dial, by a fleet."""
    one, two = Policy(per_host=1, pipelining=8), Policy(per_host=2, pipelining=8)
    shared = Policy(per_host=2, pipelining=8, permit_key="k")
    for way in ("requested", "dial_failed", "connect_failed", "permits"):
        policy = {"requested": one, "permits": shared}.get(way, two)
        pool = Watched(RidingPoolState(Limits()), pool._seen)
        first = pool.requested(A, policy, 0.0)
        pool.permits("k", 1, 0.0, 9.0)
        holder, beside = first.dial, None
        pool.dialled(holder, 0.0)
        holder.served += 1
        if policy is two:
            beside = pool.requested(A, policy, 0.0).dial
        if way == "connect_failed":
            pool.dialled(beside, 0.0)
        blocks, behind = (pool.requested(A, policy, 0.0) for _ in range(2))
        pool.offered(behind, False, 0.0)
        pool.sent(holder, 0.0)
        if way == "requested":
            pool.requested(A, two, 0.0)
        elif way == "permits":
            pool.permits("k", 2, 0.0, 9.0)
        elif way == "dial_failed":
            pool.dial_failed(beside, ConnectionError(), 0.0)
        else:
            pool.connect_failed(pool.redialled(beside, Why.PEER_CLOSED, 0.0), 0.0)
        assert blocks.dial is not None
        assert behind.ride is not None


def who_was_overtaken_often_enough_is_served(pool: Any) -> None:
    """By its dial; so the next one may ride."""
    two = Policy(per_host=2, pipelining=8)
    holder = pool.requested(A, two, 0.0).dial
    pool.dialled(holder, 0.0)
    holder.served += 1
    pool.sent(holder, 0.0)
    bound = pool.requested(A, two, 0.0)
    for _ in range(MOST_OVERTAKES):
        rider = pool.requested(A, two, 0.0)
        pool.offered(rider, False, 0.0)
        pool.abandoned(rider, 0.0)
    last = pool.requested(A, two, 0.0)
    pool.offered(last, False, 0.0)
    pool.dialled(bound.dial, 0.0)
    assert last.ride is not None


def a_trial_ends_and_another_begins(pool: Any) -> None:
    """The only one by which an origin is tried leaves its line, and an older one that has come back rides elsewhere."""
    three = Policy(per_host=3, pipelining=8)
    for fact in ("redialled", "cut", "pipeline_waited"):
        pool = Watched(RidingPoolState(Limits()), pool._seen)
        dials = [pool.requested(A, three, 0.0).dial for _ in range(3)]
        for dial in dials:
            pool.dialled(dial, 0.0)
            dial.served += 1
        first, second, third = dials
        pool.begun(first, 0.0, 1, False, 0.0)
        older = pool.requested(A, three, 0.0)
        pool.offered(older, False, 0.0)
        pool.sent(second, 0.0)
        younger = pool.requested(A, three, 0.0)
        pool.offered(younger, False, 0.0)
        pool.cut(first, 0.0)
        now = LONGEST_STALL if fact == "pipeline_waited" else 0.0
        pool.sent(third, now)
        assert older.ride is None
        end(pool, fact, second, now, Why.PEER_CLOSED)
        assert older.ride.connection is third


#: Of a fleet, in which the key has one connection.
SHARED = Policy(permit_key="k")


def a_fleet_takes_back_what_a_spare_dial_has(pool: Any) -> None:
    ticket = pool.requested(A, SHARED, 0.0)
    pool.permits("k", 1, 0.0, 9.0)
    pool.abandoned(ticket, 0.0)
    pool.permits("k", 0, 0.0, 9.0)


def a_dial_ends_behind_the_end_of_a_lease(pool: Any) -> None:
    ticket = pool.requested(A, SHARED, 0.0)
    pool.permits("k", 1, 0.0, 5.0)
    dial = ticket.dial
    pool.abandoned(ticket, 0.0)
    pool.requested(A, SHARED, 6.0)
    pool.dialled(dial, 6.0)


def idle_behind_the_end_of_a_lease(pool: Any, where: Any = A) -> Any:
    """Let one connection be idle when its lease is over, and be given to a caller then."""
    ticket = pool.requested(where, SHARED, 0.0)
    pool.permits("k", 1, 0.0, 5.0)
    connection = ticket.connection or ticket.dial
    pool.connected(connection, 0.0) if ticket.dial is None else pool.dialled(connection, 0.0)
    connection.served += 1
    pool.released(connection, None, 0.0)
    return pool.requested(where, SHARED, 6.0)


def a_dead_one_is_found_behind_the_end_of_a_lease(pool: Any) -> None:
    pool.found_dead(idle_behind_the_end_of_a_lease(pool), Why.PEER_CLOSED, 6.0)


def a_stale_one_is_found_behind_the_end_of_a_lease(pool: Any) -> None:
    pool.found_stale(idle_behind_the_end_of_a_lease(pool), Why.PEER_CLOSED, 6.0)


def what_a_dead_one_leaves_behind_the_end_of_a_lease_is_anothers(pool: Any) -> None:
    """Its holder may not dial; a caller that shares its proxy, and no permits, may."""
    dead = idle_behind_the_end_of_a_lease(pool, PA)
    pool.requested(PB, POLICY, 6.0)
    pool.found_dead(dead, Why.PEER_CLOSED, 6.0)


def what_a_stale_one_leaves_behind_the_end_of_a_lease_is_anothers(pool: Any) -> None:
    stale = idle_behind_the_end_of_a_lease(pool, PA)
    pool.requested(PB, POLICY, 6.0)
    pool.found_stale(stale, Why.PEER_CLOSED, 6.0)


def a_permit_lies_idle(pool: Any) -> None:
    """And a caller of another host that has the same key waits for its proxy."""
    ticket = pool.requested(A, SHARED, 0.0)
    pool.permits("k", 1, 0.0, 9.0)
    connection = ticket.connection or ticket.dial
    pool.connected(connection, 0.0) if ticket.dial is None else pool.dialled(connection, 0.0)
    connection.served += 1
    pool.released(connection, None, 0.0)


def an_idle_permit_is_needed_when_a_dial_fails(pool: Any) -> None:
    a_permit_lies_idle(pool)
    blocking = pool.requested(PA, POLICY, 0.0)
    pool.requested(PB, SHARED, 0.0)
    if isinstance(blocking, Ticket):
        pool.dial_failed(blocking.dial, ConnectionError(), 0.0)
    else:
        pool.connect_failed(blocking, 0.0)


def an_idle_permit_is_needed_when_somebody_gives_up(pool: Any) -> None:
    a_permit_lies_idle(pool)
    blocking = pool.requested(PA, POLICY, 0.0)
    second = pool.requested(PC, POLICY, 0.0)
    pool.requested(PB, SHARED, 0.0)
    pool.connect_failed(blocking, 0.0)
    pool.abandoned(second, 0.0)


def an_idle_permit_is_needed_when_a_late_dial_fails(pool: Any) -> None:
    an_idle_permit_is_needed_when_a_dial_fails(pool)


TOURS: dict[Callable[[Any], None], type[PoolState]] = {
    an_assignment_is_abandoned: PoolState,
    a_request_with_a_higher_cap_lets_another_in: PoolState,
    a_dead_one_is_found_beside_others: PoolState,
    a_dead_one_is_found_beside_an_expired_one: PoolState,
    a_stale_one_is_found_beside_an_expired_one: LatePoolState,
    time_passes_on_the_shelf: PoolState,
    a_spare_dial_gives_way_or_grows_old: LatePoolState,
    a_spare_dial_ends_where_nothing_is_kept: LatePoolState,
    a_stale_one_is_found_beside_others: LatePoolState,
    a_stale_one_is_found_alone: LatePoolState,
    what_comes_back_serves_who_counts_on_a_dial: LatePoolState,
    a_second_dial_fails_while_somebody_waits: LatePoolState,
    lines_end_in_every_way: RidingPoolState,
    riders_come_and_go: RidingPoolState,
    a_place_on_a_line_comes_free: RidingPoolState,
    who_could_not_ride_leaves_in_every_way: RidingPoolState,
    who_was_overtaken_often_enough_is_served: RidingPoolState,
    a_trial_ends_and_another_begins: RidingPoolState,
    a_fleet_takes_back_what_a_spare_dial_has: LatePoolState,
    a_dial_ends_behind_the_end_of_a_lease: LatePoolState,
    a_dead_one_is_found_behind_the_end_of_a_lease: PoolState,
    a_stale_one_is_found_behind_the_end_of_a_lease: LatePoolState,
    what_a_dead_one_leaves_behind_the_end_of_a_lease_is_anothers: PoolState,
    what_a_stale_one_leaves_behind_the_end_of_a_lease_is_anothers: LatePoolState,
    an_idle_permit_is_needed_when_a_dial_fails: PoolState,
    an_idle_permit_is_needed_when_somebody_gives_up: PoolState,
    an_idle_permit_is_needed_when_a_late_dial_fails: LatePoolState,
}


def test_every_move_in_the_table_is_seen() -> None:
    seen: set[Move] = set()
    for tour, kind in TOURS.items():
        tour(Watched(kind(Limits(total=4, per_proxy=1)), seen))
    for machine in (PoolMachine, BargingMachine, LateMachine, RidingMachine, PermitMachine, LatePermitMachine):
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=40 if machine in (PermitMachine, LatePermitMachine) else 100,
                stateful_step_count=50,
                derandomize=True,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
        seen |= machine.seen
    assert seen == MOVES, f"never seen: {sorted(MOVES - seen)}"


@pytest.mark.parametrize("name", PICTURES)
def test_the_pictures_are_drawn_from_the_table(name: str) -> None:
    drawn = (DOCS / name).read_text(encoding="utf-8")
    assert drawn == picture(PICTURES[name]), "python tests/core/draw_states.py draws it again"


def test_a_move_that_is_not_in_the_table_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lifecycle.MOVES", MOVES - {Move(CONNECTION, "connecting", "busy", "connected")})
    with pytest.raises(AssertionError, match="no connection may go from connecting to busy by 'connected'"):
        idle(Watched(PoolState(Limits()), set()), 1)
