"""What silent closes teach: that an origin does not keep connections alive, or after how long it closes them."""

from __future__ import annotations

import pytest
from desk import A, B, Desk, origin

from keeppool.core.habits import BEHIND, FORGOTTEN, HANG_UPS, MOST_KNOWN, SHARE, Ages, Closes
from keeppool.core.records import Connection
from keeppool.events import Why


def used(desk: Desk, at: float, times: int = 2) -> Connection:
    """Open a connection to A and use it several times."""
    connection = desk.open(A, now=at)
    desk.release(connection, at)
    for _ in range(times - 1):
        assert desk.ask(A, at) is connection
        desk.release(connection, at)
    return connection


def close(desk: Desk, connection: Connection, at: float, alive_at: float | None = None) -> None:
    desk.pool.peer_closed(connection, Why.PEER_CLOSED, at, alive_at=alive_at)


# A pattern


def test_one_silent_close_teaches_nothing() -> None:
    """It may have been a restart."""
    desk = Desk()
    close(desk, used(desk, 0), 5, 5)
    assert desk.pool.learned(10) == {}


@pytest.mark.parametrize("limit", [0.05, 0.4, 2.0, 60.0])
def test_a_limit_of_any_length_is_learned_from_two_closes(limit: float) -> None:
    """Row K2: also below a second."""
    desk = Desk()
    for at in (0, 100):
        close(desk, used(desk, at), at + limit, at + limit)
    assert desk.pool.learned(200)[A] == pytest.approx(SHARE * limit)


def test_what_the_janitor_notices_late_is_taken_to_have_happened_early() -> None:
    """Row K3: a server's 2 s, noticed after 2.4 s and 2.9 s, a second after the last look."""
    desk = Desk()
    for at, late in ((0, 0.4), (100, 0.9)):
        connection = used(desk, at)
        desk.pool.looked(at + 1 + late)
        close(desk, connection, at + 2 + late)
    assert desk.pool.learned(200)[A] == pytest.approx(SHARE * 1.9)


def test_a_limit_is_corrected_by_a_close_at_a_younger_age() -> None:
    desk = Desk()
    for at, age in ((0, 3.0), (100, 2.9), (200, 2.0), (300, 2.5)):
        close(desk, used(desk, at), at + age, at + age)
    assert desk.pool.learned(400)[A] == pytest.approx(SHARE * 2.0)


def test_without_a_look_in_between_a_close_may_have_come_at_half_the_age() -> None:
    desk = Desk()
    for at in (0, 100):
        desk.pool.found_dead(taken(desk, used(desk, at), at + 8), Why.PEER_CLOSED, at + 8)
    assert desk.pool.learned(200)[A] == pytest.approx(SHARE * 4)


def taken(desk: Desk, connection: Connection, at: float) -> Connection:
    assert desk.ask(A, at) is connection
    return connection


def test_a_close_that_a_request_has_met_tells_the_age_exactly() -> None:
    """Whether it is sent again, or ends with it."""
    desk = Desk()
    desk.pool.redialled(taken(desk, used(desk, 0), 20), Why.PEER_CLOSED, 25)
    desk.pool.released(taken(desk, used(desk, 100), 120), Why.PEER_CLOSED, 125)
    assert desk.pool.learned(200)[A] == pytest.approx(SHARE * 20)


def test_under_load_closes_come_one_within_the_other_and_teach_all_the_same() -> None:
    """Row K3: each close came within a second of the last, so none of 2,909 counted."""
    closes = Closes(Ages(2, 2), now=2)
    for number in range(1, 12):
        answered_at = 0.4 * number
        closes.add(Ages(2, 2), answered_at, answered_at + 2)
    assert closes.limit == pytest.approx(SHARE * 2)


# No pattern


def test_a_worker_that_dies_of_requests_sets_no_limit() -> None:
    """Under load a connection goes from one caller to the next at once, and nobody's idle timer is as short."""
    desk = Desk()
    for at in (0, 100):
        desk.pool.redialled(taken(desk, used(desk, at), at + 0.000_004), Why.PEER_CLOSED, at + 1)
    assert desk.pool.learned(200) == {}


def test_a_restart_is_one_event() -> None:
    desk = Desk()
    connections = [desk.open(A, now=0) for _ in range(5)]
    for number, connection in enumerate(connections):
        desk.release(connection, number / 10)
    for number, connection in enumerate(connections):
        close(desk, connection, 10 + number, 10 + number)
    assert desk.pool.learned(20) == {}


def test_two_restarts_that_close_at_every_age_teach_nothing() -> None:
    desk = Desk()
    for at in (0, 100):
        connections = [desk.open(A, now=at) for _ in range(5)]
        for number, connection in enumerate(connections):
            desk.release(connection, at + 2 * number)
        for connection in connections:
            close(desk, connection, at + 9, at + 9)
    assert desk.pool.learned(200) == {}


def test_a_connection_that_lay_idle_for_longer_refutes_a_limit_below_a_second() -> None:
    """Two restarts under load look like a limit of milliseconds."""
    desk = Desk()
    close(desk, used(desk, 0), 0.05, 0.05)
    survivor = used(desk, 10)
    desk.release(taken(desk, survivor, 10.2), 10.2)
    close(desk, survivor, 10.25, 10.25)
    assert desk.pool.learned(20) == {}


def test_a_limit_already_in_force_is_refuted_too() -> None:
    closes = Closes(Ages(0.05, 0.05), now=0)
    closes.add(Ages(0.05, 0.05), answered_at=1, now=2)
    assert closes.limit is not None
    closes.survived(0.09)
    assert closes.limit is not None
    closes.survived(0.11)
    assert closes.limit is None


def test_ages_that_do_not_agree_are_no_pattern_until_two_do() -> None:
    closes = Closes(Ages(30, 30), now=0)
    closes.add(Ages(2, 2), answered_at=1, now=10)
    assert closes.limit is None
    closes.add(Ages(2.5, 2.5), answered_at=11, now=20)
    assert closes.limit == pytest.approx(SHARE * 2)


def test_of_two_patterns_the_shorter_one_holds() -> None:
    """Two servers behind one name."""
    closes = Closes(Ages(2, 2), now=0)
    for number, age in enumerate((2, 10, 10, 2.2), 1):
        closes.add(Ages(age, age), answered_at=number * 100 - 1, now=number * 100)
    assert closes.limit == pytest.approx(SHARE * 2)


def test_a_new_connection_closed_before_its_first_response_teaches_nothing() -> None:
    """The server has refused it; it never sat idle."""
    desk = Desk()
    for at in (0, 100):
        desk.pool.released(desk.open(A, now=at), Why.PEER_CLOSED, at + 5)
    assert desk.pool.learned(110) == {}


def test_what_is_no_close_teaches_nothing() -> None:
    desk = Desk()
    for at in (0, 100):
        desk.pool.released(taken(desk, used(desk, at), at + 20), Why.EXCHANGE_FAILED, at + 25)
    for at in (200, 300):
        desk.pool.peer_closed(used(desk, at), Why.UNASKED_DATA, at + 5, alive_at=at + 5)
    assert desk.pool.learned(400) == {}


# Keeping alive at all


def hang_up(desk: Desk, at: float, after: float = 0.0001) -> None:
    close(desk, used(desk, at, times=1), at + after, at + after)


def test_two_closes_right_behind_a_response_make_an_origin_one_that_does_not_keep_alive() -> None:
    """Row K1."""
    desk = Desk()
    for number in range(HANG_UPS):
        assert desk.pool.not_keeping(number) == []
        hang_up(desk, number)
    assert desk.pool.not_keeping(10) == [A]
    assert desk.pool.learned(10) == {}, "no idle limit: it does not wait at all"


def test_a_restart_is_one_close_behind_a_response_too() -> None:
    desk = Desk()
    connections = [desk.open(A, now=0) for _ in range(5)]
    for connection in connections:
        desk.release(connection, 0)
    for connection in connections:
        close(desk, connection, BEHIND / 2, BEHIND / 2)
    assert desk.pool.not_keeping(1) == []


def test_a_reuse_that_succeeds_proves_the_origin_again() -> None:
    desk = Desk()
    for number in range(HANG_UPS):
        hang_up(desk, number)
    used(desk, 5)
    assert desk.pool.not_keeping(5) == []
    habit = desk.pool._habits.known(A, 5)
    assert habit is not None
    assert habit.is_proved


def test_a_close_behind_a_response_is_forgotten_with_a_reuse() -> None:
    desk = Desk()
    hang_up(desk, 0)
    used(desk, 1)
    desk.pool.ticked(100)
    hang_up(desk, 101)
    assert desk.pool.not_keeping(102) == []


def test_an_origin_that_was_proved_may_become_one_that_does_not_keep_alive() -> None:
    """Another server stands at its address."""
    desk = Desk()
    used(desk, 0)
    desk.pool.ticked(100)
    for at in (101, 102):
        hang_up(desk, at)
    assert desk.pool.not_keeping(103) == [A]


def test_without_learning_nothing_is_held_against_an_origin() -> None:
    desk = Desk(learn=False)
    for number in range(5):
        hang_up(desk, number)
    assert desk.pool.not_keeping(10) == []


# Bounds


def test_all_of_it_is_forgotten_after_a_while() -> None:
    desk = Desk()
    for at in (0, 10):
        close(desk, used(desk, at), at + 5, at + 5)
    assert desk.pool.learned(15 + FORGOTTEN)
    assert not desk.pool.learned(15.1 + FORGOTTEN)
    for at in (2000, 2001):
        hang_up(desk, at)
    assert desk.pool.not_keeping(2001 + FORGOTTEN) == [A]
    assert desk.pool.not_keeping(2002 + FORGOTTEN) == []


def test_the_origins_of_which_something_is_known_are_bounded() -> None:
    desk = Desk(total=None)
    for number in range(MOST_KNOWN + 10):
        where = origin(f"h{number}")
        desk.release(desk.open(where), 0)
        desk.release(desk.ask(where), 0)
    assert len(desk.pool._habits.by_origin) == MOST_KNOWN


def test_a_host_that_nothing_is_known_of_has_no_entry() -> None:
    desk = Desk()
    for where in (A, B):
        desk.visit(where)
    assert not desk.pool._habits.by_origin
