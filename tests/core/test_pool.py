"""The pool's decisions, one behaviour a test: facts in, orders out, `now` a number.

A comment such as "row 7" points to the bug of another pool that the test would have caught; the rows are listed, with
their sources, in `tests/mutations`.
"""

from __future__ import annotations

import pytest

from keeppool.config import Limits
from keeppool.core.keepalive import Hint
from keeppool.core.origin import Origin, Proxy
from keeppool.core.pool import MOST_OVERTAKES, MOST_PER_TICK, PoolState
from keeppool.core.records import Close, Connection, Order, Policy, Serve, State, Ticket
from keeppool.errors import PoolClosed, QueueFull
from keeppool.events import Why

POLICY = Policy()
NEVER = float("inf")


def origin(name: str, proxy: str | None = None) -> Origin:
    through = None if proxy is None else Proxy(scheme="http", host=proxy, port=3128)
    return Origin(scheme="http", host=name, port=80, proxy=through)


A, B, C, D = (origin(name) for name in "abcd")
PA, PB, PC = (origin(name, "proxy") for name in ("pa", "pb", "pc"))


class Desk:
    """A pool, and the shortest words for what happens to it."""

    def __init__(self, **limits: int | None) -> None:
        self.pool = PoolState(Limits(**limits))

    def ask(self, where: Origin, now: float = 0.0, policy: Policy = POLICY) -> Connection | Ticket:
        return self.pool.requested(where, policy, now)

    def dial(self, where: Origin, now: float = 0.0, policy: Policy = POLICY) -> Connection:
        """Ask, and demand that the answer is a new connection to dial."""
        connection = self.ask(where, now, policy)
        assert isinstance(connection, Connection)
        assert connection.state is State.CONNECTING
        return connection

    def open(self, where: Origin, now: float = 0.0, policy: Policy = POLICY) -> Connection:
        connection = self.dial(where, now, policy)
        assert self.pool.connected(connection, now)
        return connection

    def wait(self, where: Origin, now: float = 0.0, policy: Policy = POLICY) -> Ticket:
        ticket = self.ask(where, now, policy)
        assert isinstance(ticket, Ticket)
        return ticket

    def release(self, connection: Connection, now: float = 0.0, *, why: Why | None = None, hint: Hint = Hint()) -> None:
        """Let the exchange end now, its last byte read now."""
        connection.read_at = now
        connection.answered(hint)
        self.pool.released(connection, why, now)

    def visit(self, where: Origin, now: float = 0.0, policy: Policy = POLICY, hint: Hint = Hint()) -> Connection:
        """One whole exchange, on whatever connection the pool gives."""
        connection = self.ask(where, now, policy)
        assert isinstance(connection, Connection)
        if connection.state is State.CONNECTING:
            self.pool.connected(connection, now)
        self.release(connection, now, hint=hint)
        return connection

    def orders(self) -> list[Order]:
        """Take the orders, as a front end does."""
        orders = list(self.pool.orders)
        self.pool.orders.clear()
        return orders

    def assert_empty(self) -> None:
        """Demand that nothing is left in any table, once the last expiry noted has come up."""
        pool = self.pool
        pool.ticked(NEVER)
        assert (pool.open, pool.idle, pool.waiting) == (0, 0, 0)
        assert not pool._hosts
        assert not pool._groups
        assert not pool._shelf._expiries
        assert not pool._shelf._order


# Reuse


def test_an_idle_connection_is_used_again() -> None:
    desk = Desk()
    first = desk.visit(A)
    assert desk.visit(A) is first
    assert desk.orders() == []
    assert (desk.pool.counters.opened, desk.pool.counters.reused) == (1, 1)


def test_the_most_recently_used_idle_connection_is_taken() -> None:
    desk = Desk()
    first, second, third = (desk.open(A) for _ in range(3))
    for now, connection in enumerate((second, third, first)):
        desk.release(connection, now)
    assert [desk.ask(A, 3) for _ in range(3)] == [first, third, second]


def test_expired_connections_met_on_the_way_are_closed_and_a_fresh_one_found_behind_them() -> None:
    desk = Desk()
    patient, hasty = desk.open(A), desk.open(A)
    desk.release(patient, 0)
    desk.release(hasty, 1, hint=Hint(timeout=4))
    assert desk.ask(A, 10) is patient
    assert desk.orders() == [Close(hasty, Why.HINT_TIMEOUT)]


def test_origins_that_differ_share_nothing() -> None:
    desk = Desk()
    desk.visit(A)
    assert desk.dial(B).host is not desk.dial(origin("a", "proxy")).host


def test_equal_origins_share_connections() -> None:
    desk = Desk()
    assert desk.visit(origin("a")) is desk.visit(origin("a"))


# Caps


def test_the_host_cap_counts_busy_and_connecting_alike() -> None:
    desk = Desk()
    policy = Policy(per_host=2)
    desk.open(A, policy=policy)
    desk.dial(A, policy=policy)
    desk.wait(A, policy=policy)
    assert desk.pool.open == 2


def test_the_proxy_cap_counts_all_hosts_behind_the_proxy_and_no_other() -> None:
    desk = Desk(per_proxy=2)
    desk.open(PA)
    desk.dial(PB)
    desk.wait(PC)
    desk.dial(A)
    desk.dial(origin("a", "another"))


def test_the_total_counts_every_host_direct_or_not() -> None:
    desk = Desk(total=3)
    desk.open(A)
    desk.dial(B)
    desk.open(PA)
    desk.wait(C)


def test_the_total_counts_idle_connections_too() -> None:
    desk = Desk(total=2)
    idle = desk.visit(A)
    desk.open(B)
    desk.dial(C)
    assert desk.orders() == [Close(idle, Why.EVICTED)]
    assert desk.pool.open == 2


@pytest.mark.parametrize("policy", [Policy(per_host=None), Policy(per_host=10_000)])
def test_without_limits_nobody_waits(policy: Policy) -> None:
    desk = Desk(total=None, per_proxy=None)
    for _ in range(1000):
        desk.dial(PA, policy=policy)
    assert desk.pool.counters.peak_open == 1000


def test_the_waiting_limit_refuses_one_caller_more_with_the_facts() -> None:
    desk = Desk(total=1, waiting=1)
    desk.open(A)
    desk.wait(A)
    with pytest.raises(QueueFull) as caught:
        desk.ask(B)
    assert (caught.value.waiting, caught.value.origin) == (1, "http://b:80")
    assert [host.origin for host in desk.pool.hosts()] == [A]


def test_a_waiting_limit_of_zero_still_serves_whoever_need_not_wait() -> None:
    desk = Desk(total=1, waiting=0)
    desk.visit(A)
    desk.open(B)
    with pytest.raises(QueueFull):
        desk.ask(A)


def test_every_cap_of_one_works() -> None:
    """Row 23: off by one exactly at the cap."""
    desk = Desk(total=1, per_proxy=1)
    policy = Policy(per_host=1)
    connection = desk.open(PA, policy=policy)
    assert isinstance(desk.ask(PA, policy=policy), Ticket)
    assert isinstance(desk.ask(PB, policy=policy), Ticket)
    assert isinstance(desk.ask(A, policy=policy), Ticket)
    assert connection.state is State.BUSY


# Eviction


def test_the_least_recently_used_idle_connection_of_all_hosts_goes() -> None:
    """Netscape's rule; row 47. A is used again, so the fourth host takes B's place."""
    desk = Desk(total=3)
    connections = [desk.visit(where, now) for now, where in enumerate((A, B, C, A))]
    desk.dial(D, 4)
    assert desk.orders() == [Close(connections[1], Why.EVICTED)]


def test_each_further_host_takes_the_next_oldest() -> None:
    desk = Desk(total=3)
    old = [desk.visit(where, now) for now, where in enumerate((A, B, C))]
    for now, name in enumerate("xyz", start=3):
        desk.open(origin(name), now)
    assert desk.orders() == [Close(connection, Why.EVICTED) for connection in old]


def test_busy_connections_are_never_evicted() -> None:
    desk = Desk(total=2)
    desk.open(A)
    desk.dial(B)
    desk.wait(C)
    assert desk.orders() == []


def test_a_full_proxy_makes_room_among_its_own_connections() -> None:
    desk = Desk(per_proxy=2)
    older = desk.visit(A, 0)
    victim = desk.visit(PA, 1)
    desk.visit(PB, 2)
    desk.dial(PC, 3)
    assert desk.orders() == [Close(victim, Why.EVICTED)]
    assert older.state is State.IDLE


def test_a_full_proxy_does_not_evict_what_goes_another_way() -> None:
    desk = Desk(per_proxy=1)
    desk.visit(A)
    desk.open(PA)
    desk.wait(PB)
    assert desk.orders() == []


def test_one_eviction_makes_room_under_both_caps() -> None:
    desk = Desk(total=2, per_proxy=1)
    desk.visit(A, 0)
    victim = desk.visit(PA, 1)
    desk.dial(PB, 2)
    assert desk.orders() == [Close(victim, Why.EVICTED)]


def test_the_evicted_host_is_forgotten_with_its_last_connection() -> None:
    desk = Desk(total=1)
    desk.visit(PA)
    desk.open(A)
    assert [host.origin for host in desk.pool.hosts()] == [A]
    assert list(desk.pool._groups) == [None]


# Queue


def test_a_released_connection_goes_to_the_hosts_longest_waiting_caller() -> None:
    """Row 9: idled though a request was pending."""
    desk = Desk(total=1)
    connection = desk.open(A)
    first, second = desk.wait(A), desk.wait(A)
    desk.release(connection)
    assert desk.orders() == [Serve(first)]
    assert first.connection is connection
    assert (connection.state, second.connection) == (State.BUSY, None)


def test_a_newcomer_does_not_overtake_who_waits() -> None:
    """Row 11: newcomers overtook waiters."""
    desk = Desk(total=1)
    connection = desk.open(A)
    first = desk.wait(A)
    crowd = [desk.wait(A) for _ in range(100)]
    desk.release(connection)
    assert first.connection is connection
    assert isinstance(desk.ask(A), Ticket)
    assert not any(ticket.connection for ticket in crowd)


def test_a_connection_that_cannot_be_reused_gives_its_slot_to_who_waits() -> None:
    """Row 25: became unusable while held, and kept its slot."""
    desk = Desk(total=1)
    connection = desk.open(A)
    ticket = desk.wait(A)
    desk.release(connection, why=Why.SERVER_CLOSE)
    assert desk.orders() == [Close(connection, Why.SERVER_CLOSE), Serve(ticket)]
    assert ticket.connection is not None
    assert ticket.connection.state is State.CONNECTING
    assert desk.pool.open == 1


def test_a_failed_dial_gives_its_slot_to_who_waits() -> None:
    """Row 2: slot not given back when a dial was cancelled."""
    desk = Desk(total=1)
    connection = desk.dial(A)
    ticket = desk.wait(B)
    desk.pool.connect_failed(connection, 0)
    assert desk.orders() == [Serve(ticket)]
    assert desk.pool.open == 1


def test_a_thousand_dials_failing_in_turn_serve_a_thousand_callers() -> None:
    """Row 17: failures one inside the other."""
    desk = Desk(total=1)
    connection = desk.dial(A)
    tickets = [desk.wait(A) for _ in range(1000)]
    for ticket in tickets:
        desk.pool.connect_failed(connection, 0)
        assert ticket.connection is not None
        connection = ticket.connection
    desk.pool.connect_failed(connection, 0)
    desk.assert_empty()


def test_a_slot_goes_to_the_oldest_caller_across_hosts() -> None:
    """Rows 14 and 15: another group not woken; groups served in the map's order."""
    desk = Desk(total=1)
    connection = desk.open(A)
    tickets = [desk.wait(where) for where in (C, B, D)]
    for ticket in tickets:
        desk.release(connection, why=Why.SERVER_CLOSE)
        assert desk.orders()[-1] == Serve(ticket)
        assert ticket.connection is not None
        connection = ticket.connection
        desk.pool.connected(connection, 0)


def test_a_reusable_connection_is_given_up_for_a_caller_of_another_host() -> None:
    desk = Desk(total=1)
    connection = desk.open(A)
    ticket = desk.wait(B)
    desk.release(connection)
    assert desk.orders() == [Close(connection, Why.EVICTED), Serve(ticket)]
    assert [host.origin for host in desk.pool.hosts()] == [B]


def test_a_caller_blocked_by_its_own_host_blocks_nobody_else() -> None:
    """Rows 6 and 8: `break` at the first busy key; a caller popped, not servable, and dropped."""
    desk = Desk(total=3)
    single = Policy(per_host=1)
    desk.open(A, policy=single)
    blocked = desk.wait(A, policy=single)
    other, third = desk.open(B), desk.open(C)
    servable = desk.wait(D)
    desk.release(other, why=Why.SERVER_CLOSE)
    assert servable.connection is not None
    assert blocked.connection is None
    desk.release(third)
    assert third.state is State.IDLE, "nobody who waits can use it, so it is kept"


def test_a_caller_blocked_by_its_proxy_blocks_nobody_else() -> None:
    desk = Desk(total=3, per_proxy=1)
    through = desk.open(PA)
    blocked = desk.wait(PB)
    direct = desk.open(A)
    desk.dial(B)
    servable = desk.wait(C)
    desk.release(direct, why=Why.SERVER_CLOSE)
    assert servable.connection is not None
    desk.release(through, why=Why.SERVER_CLOSE)
    assert blocked.connection is not None


def test_a_black_hole_uses_up_its_own_cap_and_no_other() -> None:
    """Row 24: a dead host held every slot."""
    desk = Desk(total=8)
    for _ in range(6):
        desk.dial(A)
    for _ in range(50):
        desk.wait(A)
    assert desk.visit(B) is desk.visit(B)


def test_hosts_behind_a_full_proxy_take_turns_by_age() -> None:
    desk = Desk(per_proxy=1)
    connection = desk.open(PA)
    tickets = [desk.wait(where) for where in (PB, PC, PB, PA)]
    for ticket in tickets:
        desk.release(connection, why=Why.SERVER_CLOSE)
        assert ticket.connection is not None
        connection = ticket.connection
        desk.pool.connected(connection, 0)


def test_an_older_caller_of_another_host_is_overtaken_a_bounded_number_of_times() -> None:
    desk = Desk(total=1)
    connection = desk.open(A)
    rival = desk.wait(B)
    crowd = [desk.wait(A) for _ in range(MOST_OVERTAKES + 1)]
    for ticket in crowd[:-1]:
        desk.release(connection)
        assert desk.orders() == [Serve(ticket)]
    desk.release(connection)
    assert desk.orders() == [Close(connection, Why.EVICTED), Serve(rival)]
    assert crowd[-1].connection is None


def test_a_younger_caller_of_another_host_does_not_take_the_connection_away() -> None:
    desk = Desk(total=1)
    connection = desk.open(A)
    crowd = [desk.wait(A) for _ in range(3 * MOST_OVERTAKES)]
    desk.wait(B)
    for ticket in crowd:
        desk.release(connection)
        assert desk.orders() == [Serve(ticket)]


def test_a_caller_is_only_given_connections_to_its_own_host() -> None:
    """Row 12: wrong entry leased."""
    desk = Desk(total=2)
    held = [desk.open(A), desk.open(B)]
    tickets = [desk.wait(where) for where in (A, B, A, B)]
    for connection in held * 2:
        desk.release(connection)
    assert [ticket.connection for ticket in tickets] == [held[0], held[1], held[0], held[1]]


def test_the_time_in_the_queue_is_added_up() -> None:
    desk = Desk(total=1)
    connection = desk.open(A, 0)
    desk.wait(A, 1)
    desk.wait(A, 2)
    desk.release(connection, 5)
    desk.release(connection, 7)
    assert (desk.pool.counters.queued, desk.pool.counters.waited) == (2, 9)


# Abandoned


def test_a_caller_that_gives_up_waiting_is_skipped() -> None:
    desk = Desk(total=1)
    connection = desk.open(A)
    first, second = desk.wait(A), desk.wait(A)
    desk.pool.abandoned(first, 0)
    desk.release(connection)
    assert desk.orders() == [Serve(second)]


def test_the_host_of_the_last_caller_to_give_up_is_forgotten() -> None:
    """Row 16: only then, and then at once."""
    desk = Desk(total=1)
    desk.open(A)
    first, second = desk.wait(B), desk.wait(B)
    desk.pool.abandoned(first, 0)
    assert {host.origin for host in desk.pool.hosts()} == {A, B}
    desk.pool.abandoned(second, 0)
    assert {host.origin for host in desk.pool.hosts()} == {A}


def test_a_connection_assigned_to_a_caller_that_gave_up_goes_to_the_next() -> None:
    """Rows 7 and 10: it belonged to nobody."""
    desk = Desk(total=1)
    connection = desk.open(A)
    first, second = desk.wait(A), desk.wait(A)
    desk.release(connection)
    desk.pool.abandoned(first, 0)
    assert second.connection is connection
    desk.pool.abandoned(second, 0)
    assert connection.state is State.IDLE
    assert desk.pool.counters.reused == 0


def test_a_slot_assigned_to_a_caller_that_gave_up_goes_to_the_next() -> None:
    desk = Desk(total=1)
    connection = desk.open(A)
    first, second = desk.wait(A), desk.wait(B)
    desk.release(connection, why=Why.SERVER_CLOSE)
    desk.orders()
    desk.pool.abandoned(first, 0)
    assert desk.orders() == [Serve(second)]
    assert second.connection is not None
    desk.pool.abandoned(second, 0)
    desk.assert_empty()
    assert desk.pool.counters.connect_failed == 0, "no dial had begun"


def test_a_connection_assigned_before_the_pool_was_closed_is_closed_when_abandoned() -> None:
    desk = Desk(total=1)
    connection = desk.open(A)
    ticket = desk.wait(A)
    desk.release(connection)
    desk.pool.closed_by_user()
    desk.orders()
    desk.pool.abandoned(ticket, 0)
    assert desk.orders() == [Close(connection, Why.POOL_CLOSED)]
    desk.assert_empty()


def test_a_slot_assigned_before_the_pool_was_closed_is_given_up_when_abandoned() -> None:
    desk = Desk(total=1)
    connection = desk.open(A)
    ticket = desk.wait(B)
    desk.release(connection)
    desk.pool.closed_by_user()
    desk.pool.abandoned(ticket, 0)
    desk.assert_empty()


def test_an_abandoned_connection_that_has_expired_meanwhile_is_not_passed_on() -> None:
    desk = Desk(total=1)
    connection = desk.open(A)
    ticket = desk.wait(A)
    desk.release(connection, 0, hint=Hint(timeout=4))
    desk.orders()
    desk.pool.abandoned(ticket, 10)
    assert desk.orders() == [Close(connection, Why.HINT_TIMEOUT)]


def test_a_hundred_thousand_callers_that_gave_up_leave_nothing_behind() -> None:
    """Row 13: the queue kept dead callers."""
    desk = Desk(total=1)
    connection = desk.open(A)
    for ticket in [desk.wait(A) for _ in range(100_000)]:
        desk.pool.abandoned(ticket, 0)
    assert desk.pool.waiting == 0
    assert not connection.host.waiters
    assert len(desk.pool._queue._heap) <= 1


@pytest.mark.parametrize("at_once", [1, 5000])
def test_hosts_whose_callers_all_gave_up_do_not_gather_while_the_total_is_full(at_once: int) -> None:
    """A host asked again and again, and given up each time, is forgotten by the queue as well."""
    desk = Desk(total=1)
    desk.open(A)
    patient = desk.wait(B)
    for _ in range(5000 // at_once):
        for ticket in [desk.wait(origin(f"h{number}")) for number in range(at_once)]:
            desk.pool.abandoned(ticket, 0)
    assert len(desk.pool._queue._heap) < 100
    assert desk.pool.waiting == 1
    assert patient.connection is None


def test_hosts_whose_callers_all_gave_up_do_not_gather_behind_a_full_proxy() -> None:
    desk = Desk(total=2, per_proxy=1)
    through, direct = desk.open(PA), desk.open(A)
    tickets = [desk.wait(origin(f"h{number}", "proxy")) for number in range(5000)]
    desk.release(direct)  # makes the pool look through the queue, and set all of them aside
    for ticket in tickets[:-1]:
        desk.pool.abandoned(ticket, 0)
    assert len(through.host.group.parked) < 100
    desk.release(through)
    assert tickets[-1].connection is not None


def test_a_caller_behind_a_proxy_with_room_is_served_although_the_one_before_it_gave_up() -> None:
    """A slot that was meant for a caller who is gone is meant for the next one of the same proxy."""
    desk = Desk(total=3, per_proxy=1)
    one, two = Policy(per_host=1), Policy(per_host=2)
    through, direct = desk.open(PA), desk.open(A)
    desk.open(B, policy=one)
    oldest = desk.wait(B, policy=one)
    gone, next_one = desk.wait(PB), desk.wait(PC)
    desk.release(direct)  # makes the pool look through the queue: both stand aside, for their proxy is full
    assert desk.ask(A) is direct
    desk.wait(B, policy=two)
    desk.release(through, why=Why.SERVER_CLOSE)
    assert oldest.connection is not None, "the slot went to the oldest caller, so the proxy has room and the pool none"
    desk.pool.abandoned(gone, 0)
    desk.release(direct, why=Why.SERVER_CLOSE)
    assert next_one.connection is not None


def test_hosts_behind_a_proxy_keep_their_order_when_an_older_caller_gives_up() -> None:
    desk = Desk(total=3, per_proxy=1)
    one, two = Policy(per_host=1), Policy(per_host=2)
    through, direct = desk.open(PA), desk.open(A)
    desk.open(B, policy=one)
    desk.wait(B, policy=one)
    gone, second, third = desk.wait(PB), desk.wait(PC), desk.wait(PB)
    desk.release(direct)
    desk.ask(A)
    desk.wait(B, policy=two)
    desk.release(through, why=Why.SERVER_CLOSE)
    desk.pool.abandoned(gone, 0)
    desk.release(direct, why=Why.SERVER_CLOSE)
    assert second.connection is not None
    assert third.connection is None


# Found dead, redialled


def test_who_got_a_dead_connection_gets_the_next_idle_one() -> None:
    desk = Desk()
    other, dead = desk.open(A), desk.open(A)
    desk.release(other, 0)
    desk.release(dead, 1)
    assert desk.ask(A, 2) is dead
    assert desk.pool.found_dead(dead, Why.PEER_CLOSED, 2) is other
    assert desk.orders() == [Close(dead, Why.PEER_CLOSED)]
    assert desk.pool.counters.reused == 1


def test_who_got_a_dead_connection_and_finds_no_other_dials_in_its_slot() -> None:
    """Row 26: capacity lost after removing a stale one at the limit; row 32: no endless loop."""
    desk = Desk(total=1)
    dead = desk.visit(A)
    assert desk.ask(A) is dead
    waiter = desk.wait(B)
    fresh = desk.pool.found_dead(dead, Why.UNASKED_DATA, 0)
    assert fresh.state is State.CONNECTING
    assert desk.orders() == [Close(dead, Why.UNASKED_DATA)]
    assert waiter.connection is None, "the slot stays with who has it"
    assert desk.pool.counters.reused == 0


def test_the_slot_saved_by_another_idle_connection_goes_to_who_waits() -> None:
    desk = Desk(per_proxy=2)
    one, two = desk.open(PA), desk.open(PA)
    desk.release(one, 0)
    desk.release(two, 1)
    held = desk.ask(PA, 2)
    waits = Policy(per_host=1)
    desk.open(A, policy=waits)
    blocked = desk.wait(A, policy=waits)
    assert desk.pool.found_dead(two, Why.PEER_CLOSED, 2) is one
    assert held is two
    assert blocked.connection is None
    desk.dial(PB)


def test_a_whole_shelf_of_dead_connections_is_gone_through_once() -> None:
    desk = Desk()
    for connection in [desk.open(A) for _ in range(6)]:
        desk.release(connection)
    connection = desk.ask(A)
    assert isinstance(connection, Connection)
    for _ in range(6):
        assert connection.state is State.BUSY
        connection = desk.pool.found_dead(connection, Why.PEER_CLOSED, 0)
    assert connection.state is State.CONNECTING
    assert desk.pool.open == 1


def test_a_redial_closes_the_hosts_idle_connections_that_are_at_least_as_stale() -> None:
    """Row 80: after a server's restart one request finds out for all."""
    desk = Desk()
    connections = [desk.open(A) for _ in range(6)]
    for connection in connections:
        desk.release(connection, 1)
    elsewhere = desk.visit(B, 1)
    failed = desk.ask(A, 2)
    assert isinstance(failed, Connection)
    fresh = desk.pool.redialled(failed, Why.EXCHANGE_FAILED, 2)
    assert fresh.state is State.CONNECTING
    assert {order.connection for order in desk.orders() if isinstance(order, Close)} == set(connections)
    assert (desk.pool.open, desk.pool.idle, elsewhere.state) == (2, 1, State.IDLE)


def test_a_redial_keeps_connections_that_were_read_from_later() -> None:
    desk = Desk()
    failed, alive = desk.open(A), desk.open(A)
    desk.release(failed, 0)
    assert desk.ask(A, 1) is failed
    desk.release(alive, 1)
    desk.pool.redialled(failed, Why.EXCHANGE_FAILED, 2)
    assert alive.state is State.IDLE


def test_a_redial_keeps_its_slot_at_a_cap_of_one() -> None:
    desk = Desk(total=1)
    failed = desk.visit(A)
    desk.ask(A)
    waiter = desk.wait(A)
    fresh = desk.pool.redialled(failed, Why.EXCHANGE_FAILED, 0)
    assert (fresh.state, desk.pool.open, waiter.connection) == (State.CONNECTING, 1, None)
    desk.pool.connect_failed(fresh, 0)
    assert waiter.connection is not None


@pytest.mark.parametrize("fact", ["found_dead", "redialled"])
def test_after_closing_who_got_a_dead_connection_gets_no_other(fact: str) -> None:
    desk = Desk()
    dead = desk.visit(A)
    desk.ask(A)
    desk.pool.closed_by_user()
    with pytest.raises(PoolClosed):
        getattr(desk.pool, fact)(dead, Why.PEER_CLOSED, 0)
    assert desk.orders() == [Close(dead, Why.PEER_CLOSED)]
    desk.assert_empty()


def test_idle_connections_the_peer_closed_are_dropped_without_a_request() -> None:
    """Rows 46 and 51."""
    desk = Desk(total=None)
    connections = [desk.visit(origin(f"h{number}")) for number in range(50)]
    for connection in connections:
        desk.pool.peer_closed(connection, Why.PEER_CLOSED)
    assert desk.orders() == [Close(connection, Why.PEER_CLOSED) for connection in connections]
    assert desk.pool.open == 0
    assert not list(desk.pool.hosts())


def test_a_late_report_about_a_connection_in_use_or_gone_changes_nothing() -> None:
    """Rows 3, 40 and 41: given back twice; killed in use; a timer for one already removed."""
    desk = Desk()
    connection = desk.open(A)
    desk.pool.peer_closed(connection, Why.PEER_CLOSED)
    assert connection.state is State.BUSY
    desk.release(connection, why=Why.SERVER_CLOSE)
    desk.pool.peer_closed(connection, Why.PEER_CLOSED)
    assert desk.orders() == [Close(connection, Why.SERVER_CLOSE)]
    desk.assert_empty()


# Closing the pool


def test_closing_closes_the_idle_fails_who_waits_and_lets_the_busy_finish() -> None:
    """Idle connections close now; busy ones when released, dialling ones when connected (row 28)."""
    desk = Desk(total=3)
    single = Policy(per_host=1)
    busy, dialling = desk.open(A, policy=single), desk.dial(B)
    ticket = desk.wait(A, policy=single)
    idle = desk.visit(C)
    desk.pool.closed_by_user()
    assert desk.orders() == [Close(idle, Why.POOL_CLOSED), Serve(ticket)]
    assert isinstance(ticket.failure, PoolClosed)
    desk.release(busy)
    assert not desk.pool.connected(dialling, 0)
    assert desk.orders() == [Close(busy, Why.POOL_CLOSED), Close(dialling, Why.POOL_CLOSED)]
    desk.assert_empty()


def test_a_closed_pool_refuses_requests_and_remembers_none() -> None:
    desk = Desk()
    busy = desk.open(A)
    desk.pool.closed_by_user()
    for where in (A, B, PA):
        with pytest.raises(PoolClosed) as caught:
            desk.ask(where)
        assert caught.value.origin == str(where)
    assert [host.origin for host in desk.pool.hosts()] == [A]
    desk.release(busy)
    desk.assert_empty()


def test_a_dial_that_fails_after_closing_frees_its_slot() -> None:
    desk = Desk()
    connection = desk.dial(A)
    desk.pool.closed_by_user()
    desk.pool.connect_failed(connection, 0)
    desk.assert_empty()


def test_a_caller_that_was_failed_may_still_give_up() -> None:
    desk = Desk(total=1)
    desk.open(A)
    ticket = desk.wait(B)
    desk.pool.closed_by_user()
    desk.pool.abandoned(ticket, 0)
    assert desk.pool.waiting == 0


def test_closing_twice_does_nothing_more() -> None:
    desk = Desk()
    desk.visit(A)
    desk.pool.closed_by_user()
    desk.orders()
    desk.pool.closed_by_user()
    assert desk.orders() == []
    desk.assert_empty()


# Changing a host's policy


def test_a_higher_cap_serves_who_waits_first() -> None:
    desk = Desk()
    desk.open(A, policy=Policy(per_host=1))
    tickets = [desk.wait(A, policy=Policy(per_host=1)) for _ in range(2)]
    last = desk.ask(A, policy=Policy(per_host=3))
    assert all(ticket.connection for ticket in tickets)
    assert isinstance(last, Ticket)


def test_a_lower_cap_closes_nothing_and_opens_nothing_more() -> None:
    desk = Desk()
    connections = [desk.open(A, policy=Policy(per_host=3)) for _ in range(3)]
    lower = Policy(per_host=2)
    ticket = desk.wait(A, policy=lower)
    desk.release(connections[0], why=Why.SERVER_CLOSE)
    assert ticket.connection is None
    desk.release(connections[1], why=Why.SERVER_CLOSE)
    assert ticket.connection is not None
    assert desk.pool.open == 2


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        (Policy(idle_timeout=5), Why.IDLE_TIMEOUT),
        (Policy(idle_timeout=0), Why.IDLE_TIMEOUT),
        (Policy(max_age=5), Why.MAX_AGE),
        (Policy(max_requests=1), Why.MAX_REQUESTS),
    ],
)
def test_a_shorter_life_holds_for_connections_on_the_shelf_too(policy: Policy, why: Why) -> None:
    """Row 52: old sockets kept their place after a change of configuration."""
    desk = Desk()
    old = desk.visit(A, 0)
    desk.dial(A, 10, policy)
    assert desk.orders() == [Close(old, why)]


def test_a_shorter_life_is_noticed_by_the_clock_alone() -> None:
    desk = Desk()
    shelved, taken = desk.open(A, policy=Policy(idle_timeout=None)), desk.open(A)
    desk.release(shelved, 0)
    desk.release(taken, 0)
    assert desk.ask(A, 1, Policy(idle_timeout=5)) is taken
    assert desk.pool.next_expiry() == 5
    desk.pool.ticked(5)
    assert desk.orders() == [Close(shelved, Why.IDLE_TIMEOUT)]


def test_a_longer_life_holds_for_connections_on_the_shelf_too() -> None:
    desk = Desk()
    held, shelved = desk.open(A, policy=Policy(idle_timeout=5)), desk.open(A)
    desk.release(shelved, 0)
    assert desk.ask(A, 4, Policy(idle_timeout=50)) is shelved
    desk.release(held, 4)
    desk.release(shelved, 4)
    desk.pool.ticked(30)
    assert desk.pool.idle == 2


# Expiry


@pytest.mark.parametrize(
    ("policy", "hint", "lasts", "why"),
    [
        (Policy(), Hint(), 55, Why.IDLE_TIMEOUT),
        (Policy(idle_timeout=10), Hint(), 10, Why.IDLE_TIMEOUT),
        (Policy(idle_timeout=10), Hint(timeout=5), 4, Why.HINT_TIMEOUT),
        (Policy(idle_timeout=3), Hint(timeout=5), 3, Why.IDLE_TIMEOUT),
        (Policy(idle_timeout=None), Hint(timeout=2), 1.5, Why.HINT_TIMEOUT),
        (Policy(idle_timeout=None), Hint(timeout=1), 0.75, Why.HINT_TIMEOUT),
        (Policy(max_age=7), Hint(), 7, Why.MAX_AGE),
        (Policy(max_age=7, idle_timeout=None), Hint(timeout=20), 7, Why.MAX_AGE),
    ],
)
def test_the_smallest_limit_decides_how_long_a_connection_lies_idle(
    policy: Policy, hint: Hint, lasts: float, why: Why
) -> None:
    """Rows 43 (a hint counts although we have no limit), 45 (no whole seconds), 50 and 53 (the default expires, soon)."""
    desk = Desk()
    connection = desk.visit(A, 100, policy, hint)
    assert desk.pool.next_expiry() == 100 + lasts
    desk.pool.ticked(100 + lasts - 0.01)
    assert desk.orders() == []
    desk.pool.ticked(100 + lasts)
    assert desk.orders() == [Close(connection, why)]
    desk.assert_empty()


@pytest.mark.parametrize("limit", [None, NEVER])
def test_without_a_limit_nothing_expires(limit: float | None) -> None:
    """Row 48: endless taken for "already over"."""
    desk = Desk()
    policy = Policy(idle_timeout=limit, max_age=limit)
    connection = desk.visit(A, 0, policy)
    desk.pool.ticked(1e15)
    assert desk.pool.next_expiry() == NEVER
    assert desk.ask(A, 1e15, policy) is connection


def test_a_trillion_seconds_are_a_limit_like_any_other() -> None:
    desk = Desk()
    policy = Policy(idle_timeout=1e12, max_age=1e12)
    connection = desk.visit(A, 0, policy)
    assert desk.ask(A, 1e11, policy) is connection
    desk.release(connection, 1e11)
    desk.pool.ticked(1.1e12)
    assert desk.orders() == [Close(connection, Why.MAX_AGE)]


@pytest.mark.parametrize(
    ("policy", "hint", "why"),
    [
        (Policy(idle_timeout=0), Hint(), Why.IDLE_TIMEOUT),
        (Policy(max_age=0), Hint(), Why.MAX_AGE),
        (Policy(max_requests=1), Hint(), Why.MAX_REQUESTS),
        (Policy(), Hint(timeout=0), Why.HINT_TIMEOUT),
        (Policy(), Hint(max=0), Why.HINT_MAX),
        (Policy(), Hint(max=1), Why.HINT_MAX),
    ],
)
def test_a_connection_that_may_not_lie_idle_is_closed_at_once(policy: Policy, hint: Hint, why: Why) -> None:
    desk = Desk()
    connection = desk.visit(A, 5, policy, hint)
    assert desk.orders() == [Close(connection, why)]
    desk.assert_empty()


def test_a_billionth_of_a_second_is_a_limit_like_any_other() -> None:
    """Row 49: a tiny interval made others spin."""
    desk = Desk()
    policy = Policy(idle_timeout=1e-9)
    connection = desk.visit(A, 0, policy)
    assert connection.state is State.IDLE
    desk.dial(A, 1e-6, policy)
    assert desk.orders() == [Close(connection, Why.IDLE_TIMEOUT)]


def test_a_clock_that_goes_back_harms_nothing() -> None:
    """Row 49: subtraction of times underflowed."""
    desk = Desk()
    connection = desk.visit(A, 1000)
    desk.pool.ticked(0)
    assert desk.ask(A, 500) is connection
    desk.release(connection, 500)
    desk.pool.ticked(555)
    assert desk.orders() == [Close(connection, Why.IDLE_TIMEOUT)]


def test_idle_time_counts_from_the_last_byte_read() -> None:
    """A slow reader: the server's timer has run while we were looking at the answer."""
    desk = Desk(total=1)
    connection = desk.open(A)
    ticket = desk.wait(A)
    connection.answered(Hint(timeout=5))
    connection.read_at = 10
    desk.pool.released(connection, None, 14.5)
    assert desk.orders() == [Close(connection, Why.HINT_TIMEOUT), Serve(ticket)]


def test_a_connection_in_use_does_not_expire() -> None:
    """Row 40: the idle timer fired on a connection in use."""
    desk = Desk()
    connection = desk.visit(A, 0)
    desk.ask(A, 50)
    desk.pool.ticked(60)
    assert desk.orders() == []
    desk.release(connection, 60)
    desk.pool.ticked(110)
    assert desk.orders() == []
    desk.pool.ticked(115)
    assert desk.orders() == [Close(connection, Why.IDLE_TIMEOUT)]


def test_a_life_shorter_than_a_queue_of_requests_lets_all_of_them_through() -> None:
    """Row 26."""
    desk = Desk(total=1)
    policy = Policy(max_age=1.5)
    for now in range(20):
        desk.visit(A, now, policy)
    counters = desk.pool.counters
    assert (counters.opened, counters.reused, counters.closed_by[Why.MAX_AGE]) == (10, 10, 9)


def test_no_connection_carries_more_requests_than_it_may() -> None:
    desk = Desk()
    policy = Policy(max_requests=3)
    served = [desk.visit(A, policy=policy).number for _ in range(9)]
    assert served == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert desk.pool.counters.closed_by[Why.MAX_REQUESTS] == 3


def test_all_slots_can_be_used_again_after_everything_has_expired() -> None:
    """Row 5: expired entries kept their slots."""
    desk = Desk(total=6)
    for connection in [desk.open(A) for _ in range(6)]:
        desk.release(connection)
    desk.pool.ticked(55)
    for _ in range(6):
        desk.dial(B, 55)


def test_a_tick_closes_a_bounded_number_and_the_next_goes_on() -> None:
    desk = Desk(total=None)
    for number in range(MOST_PER_TICK + 10):
        desk.visit(origin(f"h{number}"))
    desk.pool.ticked(60)
    assert len(desk.orders()) == MOST_PER_TICK
    assert desk.pool.next_expiry() <= 60, "the front end is told to come back at once"
    desk.pool.ticked(60)
    assert len(desk.orders()) == 10
    desk.assert_empty()


def test_ten_thousand_hosts_visited_leave_nothing_behind() -> None:
    """Row 29: one object per origin for ever."""
    desk = Desk(total=None, per_proxy=100)
    for number in range(10_000):
        desk.visit(origin(f"h{number}", f"p{number % 100}" if number % 2 else None), number / 1000)
    desk.pool.ticked(100, most=10_000)
    assert desk.pool.counters.closed_by[Why.IDLE_TIMEOUT] == 10_000
    desk.assert_empty()


def test_the_list_of_expiries_does_not_outgrow_the_shelf() -> None:
    desk = Desk(total=10)
    policy = Policy(idle_timeout=1e6)
    for number in range(5000):
        desk.visit(origin(f"h{number}"), number, policy)
    assert len(desk.pool._shelf._expiries) < 100
    desk.pool.ticked(2e6)
    desk.assert_empty()


def test_expiries_are_right_after_the_list_was_rebuilt() -> None:
    desk = Desk(total=10)
    kept = [desk.visit(origin(f"k{number}"), 0, Policy(idle_timeout=100 + number)) for number in range(9)]
    for number in range(200):
        connection = desk.open(D, policy=Policy(idle_timeout=1000 - number))
        desk.release(connection, 0)
        desk.pool.peer_closed(connection, Why.PEER_CLOSED)
    desk.orders()
    for number, connection in enumerate(kept):
        desk.pool.ticked(100 + number)
        assert desk.orders() == [Close(connection, Why.IDLE_TIMEOUT)]


def test_a_host_used_all_the_time_costs_the_list_one_entry() -> None:
    desk = Desk()
    for now in range(1000):
        desk.visit(A, now)
    assert len(desk.pool._shelf._expiries) == 1


# Counters


def test_the_counters_tell_open_from_closed_and_dialled() -> None:
    desk = Desk(total=4)
    desk.pool.connect_failed(desk.dial(D), 0)
    for where in (A, B, A):
        desk.visit(where)
    busy = desk.open(C)
    desk.dial(D)
    desk.release(busy, why=Why.BODY_UNREAD)
    counters = desk.pool.counters
    assert (counters.opened, counters.reused, counters.connect_failed, counters.peak_open) == (3, 1, 1, 4)
    assert {why: count for why, count in counters.closed_by.items() if count} == {Why.BODY_UNREAD: 1}
    assert counters.opened - sum(counters.closed_by.values()) == desk.pool.idle == 2
    assert [connection.origin for connection in desk.pool.idle_connections()] == [B, A]


@pytest.mark.parametrize("why", list(Why))
def test_every_reason_to_close_is_passed_on_and_counted(why: Why) -> None:
    desk = Desk()
    connection = desk.open(A)
    desk.release(connection, why=why)
    assert desk.orders() == [Close(connection, why)]
    assert desk.pool.counters.closed_by[why] == 1


def test_connections_and_tickets_are_numbered_in_order() -> None:
    desk = Desk(total=3)
    assert [desk.open(where).number for where in (A, B, A)] == [1, 2, 3]
    assert [desk.wait(where).number for where in (B, A, C)] == [1, 2, 3]
