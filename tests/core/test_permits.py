"""What a fleet lets a pool have, where it meets the queue; the random walks are in `test_permit_machine.py`."""

from __future__ import annotations

import pytest
from desk import POLICY, A, B, Desk

from keeppool.config import Limits
from keeppool.core.barging import BargingPoolState
from keeppool.core.keepalive import NO_HINT
from keeppool.core.late import LatePoolState
from keeppool.core.pool import PoolState
from keeppool.core.records import LONG_AGO, Close, Connect, Connection, Serve, State, Ticket
from keeppool.core.riding import RidingPoolState
from keeppool.events import Why

SHARED = POLICY._replace(permit_key="k", permit_cap=4)


def connected_on_a_lease() -> tuple[Desk, Connection]:
    """Give a pool whose only connection is busy; its permit's lease is over at 10."""
    desk = Desk()
    desk.wait(A, 0.0, SHARED)
    desk.pool.call_begins("k")
    desk.pool.permits("k", 1, 0.0, until=10.0)
    (serve,) = (order for order in desk.orders() if isinstance(order, Serve))
    connection = serve.ticket.connection
    assert connection is not None
    desk.pool.connected(connection, 1.0)
    return desk, connection


@pytest.mark.parametrize("is_over", [False, True])
def test_a_connection_gives_way_only_where_its_permit_can_be_used(is_over: bool) -> None:
    """Both hosts have one key. While the lease is over nothing is dialled, so closing would help nobody."""
    desk, connection = connected_on_a_lease()
    other = desk.wait(B, 2.0, SHARED)
    desk.orders()
    desk.release(connection, 11.0 if is_over else 3.0)
    closed = [order for order in desk.orders() if isinstance(order, Close)]
    if is_over:
        assert closed == []
        assert (connection.state, other.connection) == (State.IDLE, None)
    else:
        assert closed == [Close(connection, Why.EVICTED)]
        assert other.connection is not None


@pytest.mark.parametrize("until", [10.0, LONG_AGO], ids=["over", "closed"])
def test_in_the_place_of_a_dead_connection_nothing_is_dialled_on_a_lease_that_is_over(until: float) -> None:
    """A process was stopped: its servers have closed what was idle, and others may have its permits. Or Redis is away,
    and nothing is to be dialled meanwhile.
    """
    desk, connection = connected_on_a_lease()
    desk.release(connection, 2.0)
    if until == LONG_AGO:
        desk.pool.call_begins("k")
        desk.pool.permits("k", 1, 3.0, until)
    now = 11.0
    assert desk.ask(A, now, SHARED) is connection, "what is open is used"
    ticket = desk.pool.found_dead(connection, Why.PEER_CLOSED, now)
    assert isinstance(ticket, Ticket)
    assert desk.pool.call_begins("k")[:2] == (0, 1)
    desk.orders()
    desk.pool.permits("k", 1, now, until=31.0)
    assert desk.orders() == [Serve(ticket)]
    assert ticket.connection is not None
    assert ticket.connection.state is State.CONNECTING


@pytest.mark.parametrize("until", [10.0, LONG_AGO], ids=["over", "closed"])
@pytest.mark.parametrize("kind", [BargingPoolState, LatePoolState, RidingPoolState])
def test_nothing_is_closed_for_who_must_have_a_new_connection_while_none_may_be_dialled(
    kind: type[PoolState], until: float
) -> None:
    """Else one request that has to ride alone would take the host's connections from all others, and have none."""
    pool, fresh = kind(Limits()), SHARED._replace(new_for_unsafe=True, per_host=2)
    tickets = [pool.requested(A, fresh, 0.0) for _ in range(2)]
    pool.call_begins("k")
    pool.permits("k", 2, 0.0, until=10.0)
    held = []
    for ticket in tickets:
        assert isinstance(ticket, Ticket)
        dial = ticket.connection or ticket.dial
        assert dial is not None
        (pool.dialled if isinstance(pool, LatePoolState) else pool.connected)(dial, 1.0)
        held.append(dial)
    for connection in held:
        connection.answered(NO_HINT)
    pool.orders.clear()
    pool.permits("k", 2, 1.0, until)

    alone = pool.requested(A, fresh, 11.0, unsafe=True)
    another = pool.requested(A, fresh, 11.0)
    third = pool.requested(A, fresh, 11.0, unsafe=True)
    assert isinstance(another, Ticket)
    pool.released(held[0], None, 11.0)
    assert another.connection is held[0], "who may have it gets it"
    pool.released(held[1], None, 11.0)
    pool.requested(A, fresh, 11.0, unsafe=True)
    assert held[1].state is State.IDLE
    assert not any(isinstance(order, Close) for order in pool.orders)

    pool.permits("k", 2, 12.0, until=32.0)
    assert isinstance(alone, Ticket)
    assert isinstance(third, Ticket)
    assert [order for order in pool.orders if isinstance(order, Close)] == [Close(held[1], Why.EVICTED)]
    new = alone.connection or alone.dial
    assert new is not None
    assert (new.state, third.connection, third.dial) == (State.CONNECTING, None, None)


def test_nor_for_a_pool_that_binds_late() -> None:
    pool = LatePoolState(Limits())
    pool.requested(A, SHARED, 0.0)
    pool.call_begins("k")
    pool.permits("k", 2, 0.0, until=10.0)
    (dial,) = (order.connection for order in pool.orders if isinstance(order, Connect))
    pool.dialled(dial, 1.0)
    pool.released(dial, None, 2.0)
    pool.orders.clear()
    assert pool.requested(A, SHARED, 11.0) is dial
    ticket = pool.found_stale(dial, Why.PEER_CLOSED, 11.0)
    assert isinstance(ticket, Ticket)
    assert ticket.dial is None
    assert not [order for order in pool.orders if isinstance(order, Connect)]
    pool.permits("k", 1, 12.0, until=31.0)
    assert ticket.dial is not None


def test_within_the_lease_a_dead_connection_is_replaced_at_once() -> None:
    desk = Desk()
    desk.wait(A, 0.0, SHARED)
    desk.pool.call_begins("k")
    desk.pool.permits("k", 1, 0.0, until=10.0)
    (serve,) = (order for order in desk.orders() if isinstance(order, Serve))
    assert serve.ticket.connection is not None
    desk.pool.connected(serve.ticket.connection, 1.0)
    desk.release(serve.ticket.connection, 2.0)
    dead = desk.ask(A, 3.0, SHARED)
    assert isinstance(dead, Connection)
    other = desk.pool.found_dead(dead, Why.PEER_CLOSED, 3.0)
    assert other.state is State.CONNECTING
