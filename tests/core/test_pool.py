"""Which connection a caller gets, and whose is closed to make room: facts in, orders out, `now` a number.

Where a docstring names another project, the test would have caught its bug; `tests/mutations` has more of them.
"""

from __future__ import annotations

import pytest
from desk import PA, PB, PC, A, B, C, D, Desk, origin

from keeppool.core.keepalive import Hint
from keeppool.core.records import Close, Policy, State, Ticket
from keeppool.errors import QueueFull
from keeppool.events import Why

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
    """Firefox, CloseIdleConnections: off by one exactly at the cap."""
    desk = Desk(total=1, per_proxy=1)
    policy = Policy(per_host=1)
    connection = desk.open(PA, policy=policy)
    assert isinstance(desk.ask(PA, policy=policy), Ticket)
    assert isinstance(desk.ask(PB, policy=policy), Ticket)
    assert isinstance(desk.ask(A, policy=policy), Ticket)
    assert connection.state is State.BUSY


# Eviction


def test_the_least_recently_used_idle_connection_of_all_hosts_goes() -> None:
    """Netscape's rule. A is used again, so the fourth host takes B's place."""
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
