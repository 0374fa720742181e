"""A pool and the shortest words for what happens to it, for tests that speak in facts and orders."""

from __future__ import annotations

from keeppool.config import Limits
from keeppool.core.keepalive import NO_HINT, Hint
from keeppool.core.origin import Origin, Proxy
from keeppool.core.pool import PoolState
from keeppool.core.records import NEVER, Connection, Order, Policy, State, Ticket
from keeppool.events import Why

POLICY = Policy()


def origin(name: str, proxy: str | None = None) -> Origin:
    through = None if proxy is None else Proxy(scheme="http", host=proxy, port=3128)
    return Origin(scheme="http", host=name, port=80, proxy=through)


A, B, C, D = (origin(name) for name in "abcd")
PA, PB, PC = (origin(name, "proxy") for name in ("pa", "pb", "pc"))


class Desk:
    """A pool, and the shortest words for what happens to it."""

    def __init__(self, **limits: int | None) -> None:
        self.pool = PoolState(Limits(**limits))

    def ask(self, where: Origin, now: float = 0.0, policy: Policy = POLICY) -> Connection | Ticket:
        return self.pool.requested(where, policy, now)

    def dial(self, where: Origin, now: float = 0.0, policy: Policy = POLICY) -> Connection:
        """Ask, and demand that the answer is a new connection to dial."""
        connection = self.ask(where, now, policy)
        assert isinstance(connection, Connection)
        assert connection.state is State.CONNECTING
        return connection

    def open(self, where: Origin, now: float = 0.0, policy: Policy = POLICY) -> Connection:
        connection = self.dial(where, now, policy)
        assert self.pool.connected(connection, now)
        return connection

    def wait(self, where: Origin, now: float = 0.0, policy: Policy = POLICY) -> Ticket:
        ticket = self.ask(where, now, policy)
        assert isinstance(ticket, Ticket)
        return ticket

    def release(
        self, connection: Connection, now: float = 0.0, *, why: Why | None = None, hint: Hint = NO_HINT
    ) -> None:
        """Let the exchange end now, its last byte read now."""
        connection.read_at = now
        connection.answered(hint)
        self.pool.released(connection, why, now)

    def visit(self, where: Origin, now: float = 0.0, policy: Policy = POLICY, hint: Hint = NO_HINT) -> Connection:
        """One whole exchange, on whatever connection the pool gives."""
        connection = self.ask(where, now, policy)
        assert isinstance(connection, Connection)
        if connection.state is State.CONNECTING:
            self.pool.connected(connection, now)
        self.release(connection, now, hint=hint)
        return connection

    def orders(self) -> list[Order]:
        """Take the orders, as a front end does."""
        orders = list(self.pool.orders)
        self.pool.orders.clear()
        return orders

    def assert_empty(self) -> None:
        """Demand that nothing is left in any table, once the last expiry noted has come up."""
        pool = self.pool
        pool.ticked(NEVER)
        assert (pool.open, pool.idle, pool.waiting) == (0, 0, 0)
        assert not pool._hosts
        assert not pool._groups
        assert not pool._shelf._expiries
        assert not pool._shelf.order
