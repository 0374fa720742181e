"""Which connection a request rides on that could not be sent again."""

from __future__ import annotations

import pytest
from desk import A, Desk, origin
from test_habits import hang_up, used
from test_late import LateDesk

from keeppool.core.records import Connection, Policy, State, Ticket
from keeppool.core.trust import LOOK, SETTLED, seconds_to_watch
from keeppool.events import Why

FRESH = Policy(new_for_unsafe=True)


def ask(desk: Desk, now: float, policy: Policy = Policy()) -> Connection | Ticket:  # noqa: B008
    """Ask for a POST."""
    return desk.pool.requested(A, policy, now, unsafe=True)


# Unproved


@pytest.mark.parametrize(("idle", "left"), [(0, LOOK), (0.01, LOOK - 0.01), (LOOK, 0), (30, 0)])
def test_a_connection_to_an_unproved_origin_is_watched_until_a_close_would_have_come(idle: float, left: float) -> None:
    desk = Desk()
    connection = desk.visit(A, now=0)
    assert ask(desk, idle) is connection
    assert seconds_to_watch(connection, idle) == pytest.approx(left)


def test_a_proved_origin_pays_nothing_on_any_of_its_connections() -> None:
    desk = Desk()
    used(desk, 0)
    desk.ask(A, 0)
    other = desk.visit(A, now=0)
    assert ask(desk, 0) is other
    assert seconds_to_watch(other, 0) == 0


def test_what_is_proved_is_remembered_when_the_last_connection_is_gone() -> None:
    desk = Desk()
    used(desk, 0)
    desk.pool.ticked(100)
    assert not list(desk.pool.hosts())
    assert seconds_to_watch(desk.visit(A, now=101), 101) == 0


def test_a_connection_on_which_nothing_was_sent_is_not_watched() -> None:
    desk = LateDesk()
    ticket, dial = desk.call(A)
    desk.pool.abandoned(ticket, 0)
    assert desk.pool.dialled(dial, 0)
    assert dial.state is State.IDLE
    assert desk.pool.requested(A, Policy(), 0, unsafe=True) is dial
    assert seconds_to_watch(dial, 0) == 0


# Known not to keep alive


def hanging_up() -> Desk:
    desk = Desk()
    for at in (-2, -1):
        hang_up(desk, at)
    return desk


def test_an_origin_that_hangs_up_gets_an_unsafe_request_on_a_new_connection() -> None:
    desk = hanging_up()
    connection = desk.visit(A, now=0)
    got = ask(desk, 0)
    assert isinstance(got, Connection)
    assert (got.state, connection.state) == (State.CONNECTING, State.IDLE)


def test_a_safe_request_rides_all_the_same() -> None:
    desk = hanging_up()
    assert desk.ask(A, 0) is not None
    assert desk.visit(A, now=0).state is State.IDLE


def test_what_it_keeps_for_longer_is_used() -> None:
    desk = hanging_up()
    connection = desk.visit(A, now=0)
    assert ask(desk, SETTLED) is connection


@pytest.mark.parametrize("limits", [{}, {"total": 1}, {"per_proxy": 1}])
def test_a_host_that_gives_way_to_itself_stays_in_the_tables(limits: dict[str, int]) -> None:
    """The only connection of a host is closed for a new one: the host must not be forgotten on the way."""
    desk = Desk(**limits)
    where = origin("pa", "proxy") if "per_proxy" in limits else A
    policy = FRESH._replace(per_host=1)
    old = desk.visit(where, policy=policy)
    got = desk.pool.requested(where, policy, 30, unsafe=True)
    assert (got.state, old.state, desk.pool.open) == (State.CONNECTING, State.CLOSED, 1)
    assert [host.origin for host in desk.pool.hosts()] == [where]
    assert isinstance(desk.pool.requested(where, policy, 30, unsafe=True), Ticket)


# HostConfig(unsafe="fresh")


def test_fresh_means_a_connection_nothing_has_been_sent_on() -> None:
    desk = Desk()
    connection = used(desk, 0)
    got = ask(desk, 0, FRESH)
    assert isinstance(got, Connection)
    assert got.state is State.CONNECTING
    assert desk.ask(A, 0, FRESH) is connection, "a safe request takes any"


def test_a_dead_connection_is_not_replaced_by_a_used_one() -> None:
    desk = Desk()
    first, second = desk.open(A, policy=FRESH), desk.open(A, policy=FRESH)
    desk.release(first)
    desk.release(second)
    dead = desk.ask(A, 0, FRESH)
    assert dead is second
    assert desk.pool.found_dead(dead, Why.PEER_CLOSED, 0, unsafe=True).state is State.CONNECTING


def test_a_waiting_caller_gets_the_slot_and_not_the_connection() -> None:
    desk = Desk()
    policy = FRESH._replace(per_host=1)
    busy = desk.open(A, policy=policy)
    waiting = ask(desk, 0, policy)
    assert isinstance(waiting, Ticket)
    desk.release(busy)
    assert waiting.connection is not None
    assert (waiting.connection.state, busy.state) == (State.CONNECTING, State.CLOSED)


def test_a_caller_that_counts_on_a_dial_waits_for_that() -> None:
    """What is given back meanwhile goes to the shelf."""
    desk = LateDesk()
    _, dial = desk.call(A)
    desk.pool.dialled(dial, 0)
    desk.pool.orders.clear()
    waiting = desk.pool.requested(A, FRESH, 0, unsafe=True)
    assert isinstance(waiting, Ticket)
    dial.answered(dial.hint)
    desk.pool.released(dial, None, 0)
    assert (waiting.connection, dial.state) == (None, State.IDLE)
    assert waiting.dial is not None
    assert desk.pool.dialled(waiting.dial, 0)
    assert waiting.connection is not None
    assert waiting.connection is not dial
