"""What a request would get is what it gets: the outlook, held against the pool's decisions on random walks."""

from __future__ import annotations

import random
from typing import TypeVar

import pytest
from desk import PA, PB, A, B, C, Desk

from keeppool.config import Limits
from keeppool.core.keepalive import Hint
from keeppool.core.late import LatePoolState
from keeppool.core.outlook import Act, outlook
from keeppool.core.pool import PoolState
from keeppool.core.records import Close, Connect, Connection, Order, Policy, Serve, State, Ticket
from keeppool.errors import PoolClosed, QueueFull
from keeppool.events import Why

T = TypeVar("T")

POLICY = Policy(per_host=2, idle_timeout=5.0)
PLACES = (A, B, C, PA, PB)


def become(pool: PoolState, where: object, now: float, unsafe: bool) -> tuple[Act, Connection | Ticket | None]:
    """Ask, and say in the outlook's words what has become of it."""
    before = len(pool.orders)
    try:
        got = pool.requested(where, POLICY, now, unsafe)  # type: ignore[arg-type]
    except PoolClosed:
        return Act.CLOSED, None
    except QueueFull:
        return Act.QUEUE_FULL, None
    new = list(pool.orders)[before:]
    made_room = any(isinstance(order, Close) and order.why is Why.EVICTED for order in new)
    made_room = made_room or any(type(order).__name__ == "Cancel" for order in new)
    if isinstance(got, Ticket):
        if got.dial is None:
            return Act.WAIT, got
        dials = any(isinstance(order, Connect) for order in new)
        return (Act.EVICT if made_room else Act.DIAL if dials else Act.JOIN), got
    if got.state is State.CONNECTING:
        return Act.EVICT if made_room else Act.DIAL, got
    return Act.REUSE, got


class Walk:
    """Callers who come and go at random; before each request, its outlook is noted."""

    def __init__(self, pool: PoolState, seed: int) -> None:
        self.pool, self.chance, self.now = pool, random.Random(seed), 0.0
        self.seen: set[Act] = set()
        self.busy: list[Connection] = []
        self.dialling: list[Connection] = []
        self.waiting: list[Ticket] = []

    def run(self, steps: int) -> set[Act]:
        moves = [self.ask] * 10 + [self.dialled] * 3 + [self.release] * 5 + [self.abandon, self.lose]
        for _ in range(steps):
            self.now += self.chance.choice((0.0, 0.01, 0.3, 2.0))
            self.chance.choice(moves)()
            while self.pool.orders:
                self.perform(self.pool.orders.popleft())
        self.pool.closed_by_user()
        for where in PLACES:
            assert outlook(self.pool, where, POLICY, self.now).act is become(self.pool, where, self.now, False)[0]
        return self.seen

    def ask(self) -> None:
        where, unsafe = self.chance.choice(PLACES), self.chance.random() < 0.3
        told = outlook(self.pool, where, POLICY, self.now, unsafe)
        act, got = become(self.pool, where, self.now, unsafe)
        assert told.act is act, (where, unsafe)
        assert act is not Act.REUSE or told.connection is got
        self.seen.add(act)
        self.take(got)

    def take(self, got: Connection | Ticket | None) -> None:
        if isinstance(got, Ticket):
            self.waiting.append(got)
        elif got is not None:
            (self.dialling if got.state is State.CONNECTING else self.busy).append(got)

    def dialled(self) -> None:
        if not self.dialling:
            return
        connection = self._any(self.dialling)
        if isinstance(self.pool, LatePoolState):
            self.pool.dialled(connection, self.now)
        elif self.pool.connected(connection, self.now):
            self.busy.append(connection)

    def release(self) -> None:
        if self.busy:
            connection = self._any(self.busy)
            connection.read_at = self.now
            connection.answered(self.chance.choice((Hint(), Hint(timeout=2))))
            self.pool.released(connection, self.chance.choice((None, None, Why.SERVER_CLOSE)), self.now)

    def abandon(self) -> None:
        if self.waiting:
            self.pool.abandoned(self._any(self.waiting), self.now)

    def lose(self) -> None:
        if self.pool.idle:
            self.pool.peer_closed(self.pool.idle_connections()[-1], Why.PEER_CLOSED, self.now)

    def perform(self, order: Order) -> None:
        if isinstance(order, Connect):
            self.dialling.append(order.connection)
        elif isinstance(order, Serve) and order.ticket in self.waiting:
            self.waiting.remove(order.ticket)
            self.take(order.ticket.connection)

    def _any(self, some: list[T]) -> T:
        return some.pop(self.chance.randrange(len(some)))


@pytest.mark.parametrize("kind", [PoolState, LatePoolState])
def test_what_was_foretold_comes_to_pass(kind: type[PoolState]) -> None:
    seen: set[Act] = set()
    for seed in range(30):
        seen |= Walk(kind(Limits(total=4, per_proxy=2, waiting=3)), seed).run(400)
    never = {Act.CLOSED} if kind is LatePoolState else {Act.CLOSED, Act.JOIN}
    assert seen == set(Act) - never


def test_to_look_changes_nothing() -> None:
    desk = Desk(total=1)
    connection = desk.visit(A, policy=POLICY)
    assert outlook(desk.pool, B, POLICY, 1.0) == (Act.EVICT, connection, "total", 0)
    assert outlook(desk.pool, A, POLICY, 9.0).act is Act.DIAL
    assert connection.state is State.IDLE
    assert not desk.pool.orders
    assert [host.origin for host in desk.pool.hosts()] == [A]


def test_who_would_wait_is_told_for_what_and_behind_how_many() -> None:
    desk = Desk(per_proxy=1)
    for _ in range(2):
        desk.open(A, policy=POLICY)
    for _ in range(3):
        desk.wait(A, policy=POLICY)
    assert outlook(desk.pool, A, POLICY, 1.0) == (Act.WAIT, None, "per_host", 3)
    desk.open(PA, policy=POLICY)
    assert outlook(desk.pool, PB, POLICY, 1.0) == (Act.WAIT, None, "per_proxy", 0)
