"""How long a connection may sit idle: of our own limits, hints and limits learned from silent closes, the earliest."""

from __future__ import annotations

from desk import A, Desk, origin

from keeppool.core.keepalive import Hint
from keeppool.core.records import State
from keeppool.events import Why


def die_silently(desk: Desk, age: float, at: float) -> None:
    """Open a connection to A, use it twice, leave it idle, and let the server be seen to close it at that age."""
    connection = desk.open(A, now=at)
    desk.release(connection, at)
    desk.release(desk.ask(A, at), at)
    desk.pool.peer_closed(connection, Why.PEER_CLOSED, at + age, alive_at=at + age)


def test_two_silent_closes_lower_the_limit_of_their_origin_alone() -> None:
    desk = Desk()
    die_silently(desk, 5, at=0)
    assert desk.pool.learned(9) == {}
    die_silently(desk, 6, at=10)
    assert desk.pool.learned(20) == {A: 4}
    taught, other = desk.visit(A, now=20), desk.visit(origin("b"), now=20)
    desk.orders()
    desk.pool.ticked(20 + 4.1)
    assert taught.state is State.CLOSED
    assert other.state is State.IDLE
    assert desk.pool.counters.closed_by[Why.LEARNED_TIMEOUT] == 1


def test_learning_can_be_turned_off() -> None:
    desk = Desk(learn=False)
    for at in (0, 10, 20):
        die_silently(desk, 5, at)
    assert desk.pool.learned(30) == {}


def test_a_hint_shorter_than_the_learned_limit_stays_the_reason() -> None:
    desk = Desk()
    die_silently(desk, 50, at=0)
    die_silently(desk, 50, at=100)
    connection = desk.open(A, now=200)
    desk.release(connection, 200, hint=Hint(timeout=5))
    assert (connection.expires_at, connection.expires_by) == (204, Why.HINT_TIMEOUT)
