"""Riding, case by case: what the state machine does not look at."""

from __future__ import annotations

import pytest
from desk import A, B

from keeppool.config import Limits
from keeppool.core.pool import MOST_OVERTAKES
from keeppool.core.records import Connection, Policy, Ticket
from keeppool.core.riding import LONGEST_STALL, RidingPoolState
from keeppool.reasons import Why

ONE = Policy(per_host=1, pipelining=8)
TWO = Policy(per_host=2, pipelining=8)
THREE = Policy(per_host=3, pipelining=8)


def ridden(pool: RidingPoolState, now: float) -> Connection:
    """Give a connection on which a rider has its turn."""
    dial = pool.requested(A, ONE, now).dial
    assert dial is not None
    pool.dialled(dial, now)
    dial.served, dial.read_at = 2, now
    pool.sent(dial, now)
    ticket = pool.requested(A, ONE, now)
    pool.offered(ticket, False, now)
    assert ticket.ride is not None
    ticket.ride.is_sent = True
    dial.read_at = now + 0.001
    pool.released(dial, None, now + 0.001)
    assert ticket.connection is dial
    pool.orders.clear()
    return dial


def test_a_close_that_meets_a_rider_teaches_no_idle_limit() -> None:
    """The connection was never idle: its age of nothing would have every other one closed at once."""
    pool = RidingPoolState(Limits())
    for now in (100.0, 200.0, 300.0, 400.0):
        connection = ridden(pool, now)
        connection.host.credit = None  # Not to be tried for a while, otherwise.
        pool._credits = type(pool._credits)()
        other = pool.redialled(connection, Why.PEER_CLOSED, now + 0.002)
        pool.connect_failed(other, now + 0.003)
    assert pool.learned(401.0) == {}


def test_a_close_of_one_that_was_idle_teaches_as_ever() -> None:
    pool = RidingPoolState(Limits())
    for now in (100.0, 200.0, 300.0):
        connection = ridden(pool, now)
        connection.host.credit = None
        pool._credits = type(pool._credits)()
        pool.released(connection, None, now + 0.002)
        pool.peer_closed(connection, Why.PEER_CLOSED, now + 5.0, alive_at=now + 5.0)
    assert pool.learned(306.0)


def opened(pool: RidingPoolState, policy: Policy, how_many: int) -> list[Connection]:
    """Give connections that callers hold, each of which has carried a response before."""
    dials = [pool.requested(A, policy, 0.0).dial for _ in range(how_many)]
    for dial in dials:
        assert dial is not None
        pool.dialled(dial, 0.0)
        dial.served = 1
    pool.orders.clear()
    return [dial for dial in dials if dial is not None]


def to_ride(pool: RidingPoolState, policy: Policy) -> Ticket:
    ticket = pool.requested(A, policy, 0.0)
    assert isinstance(ticket, Ticket)
    pool.offered(ticket, False, 0.0)
    return ticket


def test_who_stands_behind_one_that_cannot_ride_rides_when_that_one_is_served() -> None:
    """By a connection that nobody has boarded, too: it is given back as any other is."""
    pool = RidingPoolState(Limits())
    first, second = opened(pool, TWO, 2)
    pool.sent(first, 0.0)
    blocks = pool.requested(A, TWO, 0.0)
    behind = to_ride(pool, TWO)
    assert behind.ride is None
    pool.released(second, None, 0.0)
    assert blocks.connection is second
    assert behind.ride is not None
    assert behind.ride.connection is first


def test_who_stands_behind_one_that_cannot_ride_rides_when_that_one_may_dial() -> None:
    pool = RidingPoolState(Limits())
    first, second = opened(pool, TWO, 2)
    pool.sent(first, 0.0)
    blocks = pool.requested(A, TWO, 0.0)
    behind = to_ride(pool, TWO)
    pool.released(second, Why.SERVER_CLOSE, 0.0)
    assert blocks.dial is not None
    assert behind.ride is not None


def test_who_stands_behind_one_that_was_overtaken_often_enough_rides_when_that_one_has_its_dial() -> None:
    pool = RidingPoolState(Limits())
    (first,) = opened(pool, TWO, 1)
    pool.sent(first, 0.0)
    bound = pool.requested(A, TWO, 0.0)
    for _ in range(MOST_OVERTAKES):
        rider = to_ride(pool, TWO)
        assert rider.ride is not None
        pool.abandoned(rider, 0.0)
    behind = to_ride(pool, TWO)
    assert behind.ride is None
    assert bound.dial is not None
    pool.dialled(bound.dial, 0.0)
    assert behind.ride is not None


def test_who_stands_behind_one_that_was_overtaken_often_enough_rides_when_its_dial_fails() -> None:
    """And what that leaves goes to an older caller of another host."""
    pool = RidingPoolState(Limits(total=2))
    (first,) = opened(pool, TWO, 1)
    pool.sent(first, 0.0)
    bound = pool.requested(A, TWO, 0.0)
    rival = pool.requested(B, TWO, 0.0)
    for _ in range(MOST_OVERTAKES):
        rider = to_ride(pool, TWO)
        assert rider.ride is not None
        pool.abandoned(rider, 0.0)
    behind = to_ride(pool, TWO)
    assert behind.ride is None
    assert bound.dial is not None
    pool.dial_failed(bound.dial, ConnectionError(), 0.0)
    assert rival.dial is not None
    assert behind.ride is not None


@pytest.mark.parametrize("fact", ["begun", "cut", "pipeline_waited"])
def test_who_comes_back_dials_where_there_is_room(fact: str) -> None:
    """A slot that came free while all rode was nobody's; behind a line that is over it is theirs at once."""
    pool = RidingPoolState(Limits())
    first, second = opened(pool, TWO, 2)
    pool.sent(first, 0.0)
    rider = to_ride(pool, TWO)
    assert rider.ride is not None
    pool.released(second, Why.SERVER_CLOSE, 0.0)
    if fact == "begun":
        pool.begun(first, 0.0, None, True, 0.0)
    elif fact == "cut":
        pool.cut(first, 0.0)
    else:
        pool.pipeline_waited(first, LONGEST_STALL)
    assert rider.ride is None
    assert rider.dial is not None


def test_what_goes_out_for_the_last_time_has_a_new_connection_made_for_it() -> None:
    """Also where a used one is given back: that one makes room."""
    pool = RidingPoolState(Limits())
    (first,) = opened(pool, ONE, 1)
    pool.sent(first, 0.0)
    rider = to_ride(pool, ONE)
    assert rider.ride is not None
    rider.ride.is_sent = True
    other = pool.redialled(first, Why.PEER_CLOSED, 0.0)
    assert rider.is_last
    pool.connected(other, 0.0)
    other.served = 1
    pool.released(other, None, 0.0)
    assert rider.connection is None
    assert rider.dial is not None


def test_where_the_one_by_whom_an_origin_is_tried_is_put_back_another_is_tried_elsewhere() -> None:
    """A caller who has come back and waits for that rides as soon as the line is redialled."""
    pool = RidingPoolState(Limits())
    first, second, third = opened(pool, THREE, 3)
    pool.begun(first, 0.0, 1, False, 0.0)
    older = to_ride(pool, THREE)
    pool.sent(second, 0.0)
    younger = to_ride(pool, THREE)
    assert younger.ride is not None
    pool.cut(first, 0.0)
    pool.sent(third, 0.0)
    assert older.ride is None
    pool.redialled(second, Why.PEER_CLOSED, 0.0)
    assert older.ride is not None
    assert older.ride.connection is third
