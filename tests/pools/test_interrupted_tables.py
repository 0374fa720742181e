"""KeyboardInterrupt wherever one can strike in the tables of a pool for threads, while others wait: nobody is lost.

What the front end does about one is done here too: `interrupted`, and then giving back what its caller still holds.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from core_striker import CoreStriker

from keeppool import Limits
from keeppool.core.barging import BargingPoolState
from keeppool.core.origin import Origin, Proxy
from keeppool.core.records import Connection, Policy, Serve, State, Ticket
from keeppool.reasons import Why

PROXY = Proxy("http", "proxy", 3128)
HOSTS = {
    "a": Origin(scheme="http", host="a", port=80),
    "b": Origin(scheme="http", host="b", port=80),
    "a by proxy": Origin(scheme="http", host="a", port=80, proxy=PROXY),
    "b by proxy": Origin(scheme="http", host="b", port=80, proxy=PROXY),
}
POLICY = Policy(per_host=1)
#: In seconds: whoever waits since then is overtaken by nobody.
LATER = 1.0


class Table:
    """A pool with room for one connection, which somebody holds, and callers who wait for that.

    Args:
        waiting: Where to, one for each caller.
    """

    def __init__(self, waiting: tuple[str, ...]) -> None:
        is_by_proxy = any("proxy" in host for host in waiting)
        self.state = BargingPoolState(Limits(total=None if is_by_proxy else 1, per_proxy=1))
        self.held = self.asked("a by proxy" if is_by_proxy else "a", 0.0)
        assert isinstance(self.held, Connection)
        self.state.connected(self.held, 0.0)
        self.held.served = 1
        self.held_as = self.held.generation
        self.waiting: list[Ticket] = [self.asked(host, 0.0) for host in waiting]

    def asked(self, host: str, now: float) -> Connection | Ticket:
        self.state.given = None
        return self.state.requested(HOSTS[host], POLICY, now)

    def struck(self, at: int, fact: Callable[[], Connection | Ticket | None], now: float) -> bool:
        """Report a fact, and strike at the n-th moment of it; False if it had fewer."""
        state, held = self.state, self.held
        state.given = None
        striker = CoreStriker(at)
        got: Connection | Ticket | None = None
        try:
            with striker:
                got = fact()
        except KeyboardInterrupt:
            state.interrupted(now)
            if held.state is State.BUSY and held.generation == self.held_as:
                state.released(held, Why.EXCHANGE_FAILED, now)
        if isinstance(got, Ticket):
            state.abandoned(got, now)
        elif got is not None:
            self.given_back(got, now)
        return striker.struck

    def given_back(self, connection: Connection, now: float) -> None:
        if connection.state is State.CONNECTING:
            self.state.connected(connection, now)
        self.state.released(connection, None, now)

    def all_are_served(self, now: float) -> bool:
        """Let everybody come who is called, use what they get, and tell whether nothing and nobody is left over."""
        state, left = self.state, list(self.waiting)
        while called := [order.ticket for order in state.orders if isinstance(order, Serve) and order.ticket in left]:
            state.orders.clear()
            for ticket in called:
                connection = state.came(ticket, now) if ticket in left else None
                if connection is not None:
                    left.remove(ticket)
                    self.given_back(connection, now)
        busy = sum(len(host.busy) for host in state.hosts())
        groups = {id(host.group): host.group for host in state.hosts()}.values()
        return (
            not left
            and (state.open, busy, state.waiting) == (state.idle, 0, 0)
            and sum(group.hosts for group in groups) == len(list(state.hosts()))
        )


WAITING = [(), ("a",), ("a", "a"), ("b",), ("b", "a"), ("b", "b"), ("b by proxy",), ("b by proxy", "a by proxy")]


@pytest.mark.parametrize("waiting", WAITING, ids=" and ".join)
@pytest.mark.parametrize("why", [None, Why.SERVER_CLOSE])
def test_nobody_is_lost_where_a_connection_is_given_back(waiting, why):
    at, is_struck = 0, True
    while is_struck:
        at += 1
        table = Table(waiting)
        is_struck = table.struck(at, lambda table=table: table.state.released(table.held, why, LATER), LATER)
        assert table.all_are_served(LATER), f"at moment {at}"
    assert at > 5


@pytest.mark.parametrize("waiting", [("a",), ("a", "a"), ("b",), ("b by proxy",)], ids=" and ".join)
@pytest.mark.parametrize("fact", ["found_dead", "redialled"])
def test_nobody_is_lost_where_a_connection_is_replaced(waiting, fact):
    at, is_struck = 0, True
    while is_struck:
        at += 1
        table = Table(waiting)
        report = getattr(table.state, fact)
        is_struck = table.struck(
            at, lambda table=table, report=report: report(table.held, Why.PEER_CLOSED, LATER), LATER
        )
        assert table.all_are_served(LATER), f"at moment {at}"
    assert at > 5


@pytest.mark.parametrize("waiting", [("a",), ("a", "a")], ids=" and ".join)
def test_nobody_is_lost_where_a_newcomer_overtakes(waiting):
    at, is_struck = 0, True
    while is_struck:
        at += 1
        table = Table(waiting)
        table.state.released(table.held, None, 0.001)
        is_struck = table.struck(at, lambda table=table: table.state.requested(HOSTS["a"], POLICY, 0.002), 0.002)
        assert table.all_are_served(LATER), f"at moment {at}"
    assert at > 5


def test_nobody_is_lost_where_a_caller_comes_for_its_connection():
    at, is_struck = 0, True
    while is_struck:
        at += 1
        table = Table(("a", "a"))
        table.state.released(table.held, None, 0.001)
        first = table.waiting.pop(0)
        striker = CoreStriker(at)
        table.state.given = None
        connection = None
        try:
            with striker:
                connection = table.state.came(first, 0.002)
        except KeyboardInterrupt:
            table.state.interrupted(0.002)
            table.state.abandoned(first, 0.002)
        is_struck = striker.struck
        if connection is not None:
            table.given_back(connection, 0.002)
        assert table.all_are_served(LATER), f"at moment {at}"
    assert at > 1


def test_closing_a_pool_again_tells_those_whom_an_interrupt_left_out():
    at, is_struck = 0, True
    while is_struck:
        at += 1
        table = Table(("a", "b"))
        striker = CoreStriker(at)
        try:
            with striker:
                table.state.closed_by_user()
        except KeyboardInterrupt:
            table.state.closed_by_user()
        is_struck = striker.struck
        told = {order.ticket for order in table.state.orders if isinstance(order, Serve)}
        assert told >= set(table.waiting), f"at moment {at}"
        assert all(ticket.failure is not None for ticket in table.waiting)
    assert at > 5
