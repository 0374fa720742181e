"""What a fleet lets a pool have, where it meets the queue; the random walks are in `test_permit_machine.py`."""

from __future__ import annotations

import pytest
from desk import POLICY, A, B, Desk

from keeppool.core.records import Close, Serve, State
from keeppool.events import Why

SHARED = POLICY._replace(permit_key="k", permit_cap=4)


@pytest.mark.parametrize("is_over", [False, True])
def test_a_connection_gives_way_only_where_its_permit_can_be_used(is_over: bool) -> None:
    """Both hosts have one key. While the lease is over nothing is dialled, so closing would help nobody."""
    desk = Desk()
    desk.wait(A, 0.0, SHARED)
    desk.pool.call_begins("k")
    desk.pool.permits("k", 1, 0.0, until=10.0)
    (serve,) = (order for order in desk.orders() if isinstance(order, Serve))
    connection = serve.ticket.connection
    assert connection is not None
    desk.pool.connected(connection, 1.0)
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
