"""How long a connection lies idle, and that nothing is left of it."""

from __future__ import annotations

import pytest
from desk import NEVER, A, B, D, Desk, origin

from keeppool.core.keepalive import Hint
from keeppool.core.pool import MOST_PER_TICK
from keeppool.core.records import Close, Policy, Serve, State
from keeppool.events import Why

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
    """Node #52653: a hint counts without a limit of ours; Firefox: no whole seconds; hyper-util: by default too."""
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
    """Apache HTTPCORE-754: endless taken for "already over"."""
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
    """Hyper cc3f2518: a tiny interval made others spin."""
    desk = Desk()
    policy = Policy(idle_timeout=1e-9)
    connection = desk.visit(A, 0, policy)
    assert connection.state is State.IDLE
    desk.dial(A, 1e-6, policy)
    assert desk.orders() == [Close(connection, Why.IDLE_TIMEOUT)]


def test_a_clock_that_goes_back_harms_nothing() -> None:
    """Hyper dcdd6d10: subtraction of times underflowed."""
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
    """Agentkeepalive #57: the idle timer fired on a connection in use."""
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
    """Undici 0ca054aa8: capacity was lost each time."""
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
    """Apache HttpCore 23bb1c8a5: expired entries kept their slots."""
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
    """Undici 59940c8b3: one object per origin for ever."""
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
        desk.pool.peer_closed(connection, Why.PEER_CLOSED, 0)
    desk.orders()
    for number, connection in enumerate(kept):
        desk.pool.ticked(100 + number)
        assert desk.orders() == [Close(connection, Why.IDLE_TIMEOUT)]


def test_a_host_used_all_the_time_costs_the_list_one_entry() -> None:
    desk = Desk()
    for now in range(1000):
        desk.visit(A, now)
    assert len(desk.pool._shelf._expiries) == 1


def test_a_connection_used_again_meanwhile_is_left_until_its_own_time() -> None:
    desk = Desk()
    connection = desk.visit(A, 0)
    desk.visit(A, 50)
    desk.pool.ticked(60)
    assert desk.orders() == []
    assert desk.pool.next_expiry() == 105
    desk.pool.ticked(105)
    assert desk.orders() == [Close(connection, Why.IDLE_TIMEOUT)]
