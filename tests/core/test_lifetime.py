"""How long a connection may sit idle: hints, limits learned from silent closes, and requests that want a fresh one."""

import pytest
from desk import A, Desk, origin

from keeppool.core.keepalive import Hint
from keeppool.core.lifetime import FORGOTTEN, LEARNED_FLOOR, MOST_LEARNED, LearnedLimit, LearnedLimits
from keeppool.core.records import Policy, State, Ticket
from keeppool.events import Why


def die_silently(desk, age, at):
    """Open a connection to A, leave it idle, and let the server be seen to have closed it at that age."""
    connection = desk.open(A, now=at)
    desk.release(connection, at)
    desk.pool.peer_closed(connection, Why.PEER_CLOSED, at + age)


def test_one_silent_close_teaches_nothing():
    """It may have been a restart."""
    desk = Desk()
    die_silently(desk, 5, at=0)
    assert desk.pool.learned(10) == {}


def test_two_silent_closes_lower_the_limit_of_their_origin_alone():
    desk = Desk()
    die_silently(desk, 5, at=0)
    die_silently(desk, 6, at=10)
    assert desk.pool.learned(20) == {A: pytest.approx(0.8 * 6)}
    taught, other = desk.visit(A, now=20), desk.visit(origin("b"), now=20)
    desk.orders()
    desk.pool.ticked(20 + 4.9)
    assert taught.state is State.CLOSED
    assert other.state is State.IDLE
    assert desk.pool.counters.closed_by[Why.LEARNED_TIMEOUT] == 1


def test_a_dead_connection_found_at_reuse_teaches_too():
    desk = Desk()
    for at in (0, 100):
        desk.visit(A, now=at)
        taken = desk.ask(A, now=at + 20)
        fresh = desk.pool.found_dead(taken, Why.PEER_CLOSED, at + 20)
        desk.pool.connect_failed(fresh, at + 20)
    assert desk.pool.learned(121) == {A: pytest.approx(16)}


def test_a_connection_that_died_under_a_request_teaches_the_idle_age_it_had():
    desk = Desk()
    for at in (0, 100):
        desk.visit(A, now=at)
        taken = desk.ask(A, now=at + 20)
        fresh = desk.pool.redialled(taken, Why.PEER_CLOSED, at + 25)
        desk.pool.connect_failed(fresh, at + 25)
    assert desk.pool.learned(126) == {A: pytest.approx(16)}


def test_a_connection_that_died_under_a_request_that_ends_with_it_teaches_the_same():
    desk = Desk()
    for at in (0, 100):
        desk.visit(A, now=at)
        taken = desk.ask(A, now=at + 20)
        desk.pool.released(taken, Why.PEER_CLOSED, at + 25)
    assert desk.pool.learned(126) == {A: pytest.approx(16)}


def test_a_new_connection_closed_before_its_first_answer_teaches_nothing():
    """The server has refused it; it never sat idle."""
    desk = Desk()
    for at in (0, 100):
        desk.pool.released(desk.open(A, now=at), Why.PEER_CLOSED, at + 5)
    assert desk.pool.learned(110) == {}


def test_an_exchange_that_failed_otherwise_teaches_nothing():
    desk = Desk()
    for at in (0, 100):
        desk.visit(A, now=at)
        desk.pool.released(desk.ask(A, now=at + 20), Why.EXCHANGE_FAILED, at + 25)
    assert desk.pool.learned(126) == {}


def test_unasked_bytes_teach_nothing():
    desk = Desk()
    for at in (0, 10):
        connection = desk.open(A, now=at)
        desk.release(connection, at)
        desk.pool.peer_closed(connection, Why.UNASKED_DATA, at + 5)
    assert desk.pool.learned(20) == {}


def test_learning_can_be_turned_off():
    desk = Desk(learn=False)
    for at in (0, 10, 20):
        die_silently(desk, 5, at)
    assert desk.pool.learned(30) == {}


def test_a_learned_limit_is_forgotten_after_a_while():
    desk = Desk()
    die_silently(desk, 5, at=0)
    die_silently(desk, 5, at=10)
    assert desk.pool.learned(15 + FORGOTTEN)
    assert not desk.pool.learned(15.1 + FORGOTTEN)
    assert desk.visit(A, now=16 + FORGOTTEN).expires_by is Why.IDLE_TIMEOUT


def test_several_closes_at_once_are_one_event():
    learned = LearnedLimit(3, at=0)
    learned.add(9, at=0.5)
    learned.add(4, at=0.9)
    assert learned.limit is None
    learned.add(5, at=10)
    assert learned.limit == pytest.approx(0.8 * 9)


def test_only_the_last_two_events_count():
    learned = LearnedLimit(30, at=0)
    for at, age in ((10, 20), (20, 5), (30, 6)):
        learned.add(age, at)
    assert learned.limit == pytest.approx(0.8 * 6)


def test_a_learned_limit_has_a_floor():
    learned = LearnedLimit(1.1, at=0)
    learned.add(1.2, at=10)
    assert learned.limit == LEARNED_FLOOR


def test_a_connection_that_was_hardly_silent_teaches_nothing():
    """A server that dies of a request, or is started anew, closes what it used a moment ago."""
    desk = Desk()
    for at in (0, 100):
        desk.visit(A, now=at)
        desk.pool.released(desk.ask(A, now=at + LEARNED_FLOOR / 2), Why.PEER_CLOSED, at + 5)
    assert desk.pool.learned(106) == {}


def test_learned_limits_are_bounded():
    desk, learned = Desk(total=None), LearnedLimits()
    for number in range(MOST_LEARNED + 10):
        desk.visit(origin(f"h{number}"), now=0)
        learned.learn(desk.ask(origin(f"h{number}"), now=4), 5)
    assert len(learned.by_origin) == MOST_LEARNED


def test_a_hint_shorter_than_the_learned_limit_stays_the_reason():
    desk = Desk()
    die_silently(desk, 50, at=0)
    die_silently(desk, 50, at=100)
    connection = desk.open(A, now=200)
    desk.release(connection, 200, hint=Hint(timeout=5))
    assert (connection.expires_at, connection.expires_by) == (204, Why.HINT_TIMEOUT)


@pytest.mark.parametrize(("idle", "reused"), [(0, True), (1, True), (1.1, False), (30, False)])
def test_a_request_that_wants_a_fresh_connection_reuses_one_idle_for_a_second_at_the_most(idle, reused):
    desk = Desk()
    connection = desk.visit(A, now=0)
    got = desk.pool.requested(A, Policy(), idle, fresh=True)
    assert (got is connection) is reused
    assert reused or (got.state is State.CONNECTING and connection.state is State.IDLE)


def test_with_an_announced_timeout_half_of_it_counts_as_fresh():
    desk = Desk()
    connection = desk.open(A)
    desk.release(connection, hint=Hint(timeout=21))
    assert desk.pool.requested(A, Policy(), 9.9, fresh=True) is connection
    desk.release(connection)
    assert desk.pool.requested(A, Policy(), 10.1, fresh=True) is not connection


def test_a_stale_connection_gives_way_where_the_host_is_full():
    desk = Desk()
    old = desk.visit(A, policy=Policy(per_host=1), now=0)
    got = desk.pool.requested(A, Policy(per_host=1), 30, fresh=True)
    assert got.state is State.CONNECTING
    assert old.state is State.CLOSED
    assert desk.pool.open == 1


def test_a_dead_fresh_connection_is_not_replaced_by_a_stale_one():
    desk = Desk()
    stale, fresh = desk.open(A), desk.open(A)
    desk.release(stale, 0)
    desk.release(fresh, 30)
    assert desk.pool.requested(A, Policy(), 30.5, fresh=True) is fresh
    other = desk.pool.found_dead(fresh, Why.PEER_CLOSED, 30.5, fresh=True)
    assert other.state is State.CONNECTING


@pytest.mark.parametrize("limits", [{}, {"total": 1}, {"per_proxy": 1}])
def test_a_host_that_gives_way_to_itself_stays_in_the_tables(limits):
    """The only connection of a host is closed for a fresh one: the host must not be forgotten on the way."""
    desk = Desk(**limits)
    where = origin("pa", "proxy") if "per_proxy" in limits else A
    policy = Policy(per_host=1)
    desk.visit(where, policy=policy)
    fresh = desk.pool.requested(where, policy, 30, fresh=True)
    assert fresh.state is State.CONNECTING
    assert [host.origin for host in desk.pool.hosts()] == [where]
    assert isinstance(desk.pool.requested(where, policy, 30, fresh=True), Ticket)
