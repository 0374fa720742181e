"""Riding, case by case: what the state machine does not look at."""

from __future__ import annotations

from desk import A

from keeppool.config import Limits
from keeppool.core.records import Connection, Policy
from keeppool.core.riding import RidingPoolState
from keeppool.reasons import Why

ONE = Policy(per_host=1, pipelining=8)


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
