"""Connections that turn out dead, the pool closing, limits changing."""

from __future__ import annotations

import pytest
from desk import PA, PB, A, B, C, Desk, origin

from keeppool.core.records import Close, Connection, Policy, Serve, State, Ticket
from keeppool.errors import PoolClosed
from keeppool.events import Why

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
    """Undici 0ca054aa8: capacity lost after removing a stale one at the limit."""
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
    """After a server's restart one request finds out for all."""
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
    """Node #3595; hyper 2fa0c845: closed connections not noticed."""
    desk = Desk(total=None)
    connections = [desk.visit(origin(f"h{number}")) for number in range(50)]
    for connection in connections:
        desk.pool.peer_closed(connection, Why.PEER_CLOSED, 0)
    assert desk.orders() == [Close(connection, Why.PEER_CLOSED) for connection in connections]
    assert desk.pool.open == 0
    assert not list(desk.pool.hosts())


def test_a_late_report_about_a_connection_in_use_or_gone_changes_nothing() -> None:
    """Go #34941: given back twice; agentkeepalive #57: killed in use; Go #25621: a timer for one already removed."""
    desk = Desk()
    connection = desk.open(A)
    desk.pool.peer_closed(connection, Why.PEER_CLOSED, 0)
    assert connection.state is State.BUSY
    desk.release(connection, why=Why.SERVER_CLOSE)
    desk.pool.peer_closed(connection, Why.PEER_CLOSED, 0)
    assert desk.orders() == [Close(connection, Why.SERVER_CLOSE)]
    desk.assert_empty()


# Closing the pool


def test_closing_closes_the_idle_fails_who_waits_and_lets_the_busy_finish() -> None:
    """Idle connections close now; busy ones when released, dialling ones when connected (undici 3e9191513)."""
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
    """Chromium DoNotReuseSocketAfterFlush: old sockets kept their place after a change of configuration."""
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
