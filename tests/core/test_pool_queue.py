"""Who waits, who is served next, and what becomes of callers that give up."""

from __future__ import annotations

import pytest
from desk import PA, PB, PC, A, B, C, D, Desk, origin

from keeppool.core.keepalive import Hint
from keeppool.core.pool import MOST_OVERTAKES
from keeppool.core.records import Close, Policy, Serve, State, Ticket
from keeppool.events import Why

# Queue


def test_a_released_connection_goes_to_the_hosts_longest_waiting_caller() -> None:
    """Apache HTTPCORE-589: idled though a request was pending."""
    desk = Desk(total=1)
    connection = desk.open(A)
    first, second = desk.wait(A), desk.wait(A)
    desk.release(connection)
    assert desk.orders() == [Serve(first)]
    assert first.connection is connection
    assert (connection.state, second.connection) == (State.BUSY, None)


def test_a_newcomer_does_not_overtake_who_waits() -> None:
    """Apache HTTPCORE-593: newcomers overtook waiters."""
    desk = Desk(total=1)
    connection = desk.open(A)
    first = desk.wait(A)
    crowd = [desk.wait(A) for _ in range(100)]
    desk.release(connection)
    assert first.connection is connection
    assert isinstance(desk.ask(A), Ticket)
    assert not any(ticket.connection for ticket in crowd)


def test_a_connection_that_cannot_be_reused_gives_its_slot_to_who_waits() -> None:
    """Firefox 2050384: became unusable while held, and kept its slot."""
    desk = Desk(total=1)
    connection = desk.open(A)
    ticket = desk.wait(A)
    desk.release(connection, why=Why.SERVER_CLOSE)
    assert desk.orders() == [Close(connection, Why.SERVER_CLOSE), Serve(ticket)]
    assert ticket.connection is not None
    assert ticket.connection.state is State.CONNECTING
    assert desk.pool.open == 1


def test_a_failed_dial_gives_its_slot_to_who_waits() -> None:
    """Go #65705: slot not given back when a dial was cancelled."""
    desk = Desk(total=1)
    connection = desk.dial(A)
    ticket = desk.wait(B)
    desk.pool.connect_failed(connection, 0)
    assert desk.orders() == [Serve(ticket)]
    assert desk.pool.open == 1


def test_a_thousand_dials_failing_in_turn_serve_a_thousand_callers() -> None:
    """Chromium, HandleMultipleSyncFailuresAfterAsyncFailure: failures one inside the other."""
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
    """Chromium 42267: another group not woken; groups served in the map's order."""
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
    """Node: `break` at the first busy key; Apache HTTPCORE-585: a caller popped, not servable, and dropped."""
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
    """Firefox: a dead host held every slot."""
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
    """Apache HTTPCORE-560: wrong entry leased."""
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
    """Chromium, GroupWithPendingRequestsIsNotEmpty: only then, and then at once."""
    desk = Desk(total=1)
    desk.open(A)
    first, second = desk.wait(B), desk.wait(B)
    desk.pool.abandoned(first, 0)
    assert {host.origin for host in desk.pool.hosts()} == {A, B}
    desk.pool.abandoned(second, 0)
    assert {host.origin for host in desk.pool.hosts()} == {A}


def test_a_connection_assigned_to_a_caller_that_gave_up_goes_to_the_next() -> None:
    """Httpcore #1093, Apache HTTPCORE-590: it belonged to nobody."""
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
    """Go #33849: the queue kept dead callers."""
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


def test_a_proxy_gives_up_its_connection_for_an_older_caller_that_goes_another_way() -> None:
    desk = Desk(total=3, per_proxy=1)
    one, two = Policy(per_host=1), Policy(per_host=2)
    through, direct = desk.open(PA), desk.open(A)
    desk.open(B, policy=one)
    oldest, aside = desk.wait(B, policy=one), desk.wait(PB)
    desk.release(direct)
    desk.ask(A)
    desk.wait(B, policy=two)
    desk.release(through)
    assert oldest.connection is not None
    assert aside.connection is None


# How long a queue stands still


def test_a_queue_moves_when_somebody_in_it_is_served() -> None:
    desk = Desk()
    connection = desk.open(A, policy=Policy(per_host=1))
    tickets = [desk.ask(A, at, Policy(per_host=1)) for at in (1, 2, 3)]
    assert [desk.pool.stalled(ticket, 10) for ticket in tickets] == [9, 8, 7]
    desk.release(connection, 12)
    assert [desk.pool.stalled(ticket, 15) for ticket in tickets[1:]] == [3, 3]


def test_what_moves_elsewhere_does_not_move_a_full_hosts_queue() -> None:
    desk = Desk()
    desk.open(A, policy=Policy(per_host=1))
    waiting = desk.ask(A, 1, Policy(per_host=1))
    other = desk.open(B, policy=Policy(per_host=1))
    desk.ask(B, 2, Policy(per_host=1))
    desk.release(other, 5)
    assert desk.pool.stalled(waiting, 10) == 9


def test_what_moves_anywhere_moves_the_queue_for_the_total() -> None:
    desk = Desk(total=1)
    held = desk.open(A)
    waiting = [desk.wait(where, at) for at, where in enumerate((B, C))]
    desk.release(held, 5)
    assert waiting[0].connection is not None
    assert desk.pool.stalled(waiting[1], 8) == 3


def test_a_proxys_queue_moves_by_itself() -> None:
    desk = Desk(per_proxy=1)
    held = desk.open(PA)
    first, second = desk.wait(PB, 1), desk.wait(PC, 2)
    desk.visit(A, 4)
    assert desk.pool.stalled(second, 5) == 3
    desk.release(held, 6)
    assert first.connection is not None
    assert desk.pool.stalled(second, 9) == 3


def test_a_dial_that_ends_moves_the_queue() -> None:
    desk = Desk()
    dialling = desk.dial(A, policy=Policy(per_host=1))
    waiting = desk.ask(A, 1, Policy(per_host=1))
    desk.pool.connected(dialling, 7)
    assert desk.pool.stalled(waiting, 10) == 3
