"""Barging, rule by rule: who takes what is lent to a sleeper, until when, and who is called."""

from __future__ import annotations

import pytest
from desk import A, B, Desk
from hypothesis import given
from hypothesis import strategies as st

from keeppool.config import Limits
from keeppool.core.barging import NAP, PATIENCE, BargingPoolState
from keeppool.core.origin import Origin
from keeppool.core.outlook import Act, outlook
from keeppool.core.records import Connection, Policy, Serve, Ticket
from keeppool.errors import QueueFull

ONE = Policy(per_host=1)
TWO = Policy(per_host=2)
#: Less than a caller's patience.
SOON = PATIENCE / 2


class Sleepers(Desk):
    """A desk whose callers sleep until they are called."""

    pool: BargingPoolState

    def __init__(self, **limits: int | None) -> None:
        super().__init__(**limits)
        self.pool = BargingPoolState(Limits(**limits))

    def full(self, policy: Policy, waiting: int, where: Origin = A) -> tuple[list[Connection], list[Ticket]]:
        """Give a host's connections, all in use, and so many callers who wait for one; all since 0."""
        assert policy.per_host is not None
        connections = [self.open(where, policy=policy) for _ in range(policy.per_host)]
        return connections, [self.wait(where, policy=policy) for _ in range(waiting)]

    def come(self, ticket: Ticket, now: float = SOON) -> Connection | None:
        """Let a caller look."""
        return self.pool.came(ticket, now)

    def called(self) -> list[Ticket]:
        """Take the orders: who is woken by them."""
        return [order.ticket for order in self.orders() if isinstance(order, Serve)]


def test_who_gives_a_connection_back_may_have_it_again_while_the_next_is_on_its_way() -> None:
    desk = Sleepers()
    (connection,), (sleeper,) = desk.full(ONE, 1)
    desk.release(connection, SOON)
    assert desk.called() == [sleeper]
    assert desk.ask(A, SOON, ONE) is connection
    assert desk.come(sleeper) is None, "it has come in vain, and waits on"
    assert desk.pool.waiting == 1


def test_who_was_overtaken_takes_naps_and_is_the_next() -> None:
    """It is not called meanwhile: that would be in vain once more, most likely."""
    desk = Sleepers()
    (connection,), (sleeper, other) = desk.full(ONE, 2)
    for count in range(3):
        desk.release(connection, SOON)
        assert desk.called() == ([] if count else [sleeper])
        assert desk.ask(A, SOON, ONE) is connection
        assert desk.come(sleeper) is None
        assert desk.pool.looks_after(sleeper, SOON) == NAP
    desk.release(connection, SOON)
    assert desk.come(sleeper) is connection
    desk.release(connection, SOON)
    assert desk.come(other) is connection


def test_who_was_not_overtaken_during_its_nap_is_called_again() -> None:
    desk = Sleepers()
    (connection,), (sleeper,) = desk.full(ONE, 1)
    desk.release(connection, SOON)
    desk.ask(A, SOON, ONE)
    assert desk.called() == [sleeper]
    assert desk.come(sleeper) is None
    assert desk.come(sleeper) is None, "behind its nap"
    assert desk.pool.looks_after(sleeper, SOON) == pytest.approx(PATIENCE - SOON)
    desk.release(connection, SOON)
    assert desk.called() == [sleeper]


def test_a_nap_does_not_outlast_the_patience_and_there_is_none_behind_it() -> None:
    desk = Sleepers()
    (connection,), (sleeper,) = desk.full(ONE, 1)
    late = PATIENCE - NAP / 2
    desk.release(connection, late)
    desk.ask(A, late, ONE)
    assert desk.come(sleeper, late) is None
    assert desk.pool.looks_after(sleeper, late) == pytest.approx(NAP / 2)
    desk.called()
    assert desk.come(sleeper, PATIENCE) is None
    assert desk.pool.looks_after(sleeper, PATIENCE) is None
    desk.release(connection, PATIENCE)
    assert desk.called() == [sleeper]


def test_a_caller_that_is_called_before_it_sleeps_again_is_told_no_time_that_has_passed() -> None:
    """Another thread may give it a connection between its look and its sleep."""
    desk = Sleepers()
    (connection,), (sleeper,) = desk.full(ONE, 1)
    later = 2 * PATIENCE
    assert desk.come(sleeper, later) is None
    desk.release(connection, later)
    assert desk.called() == [sleeper]
    assert desk.pool.looks_after(sleeper, later) is None


@given(st.floats(0, 1e9), st.floats(0, 2 * PATIENCE))
def test_whoever_is_not_called_because_of_a_nap_has_a_time_to_wake_up(since: float, waited: float) -> None:
    desk, now = Sleepers(), since + waited
    connection = desk.open(A, since, ONE)
    sleeper = desk.wait(A, since, ONE)
    desk.release(connection, since)
    assert desk.ask(A, since, ONE) is connection
    assert desk.called() == [sleeper]
    assert desk.come(sleeper, now) is None
    assert sleeper.is_coming == (now - since < PATIENCE)
    assert not sleeper.is_coming or desk.pool.looks_after(sleeper, now) > 0  # type: ignore[operator]


def test_a_caller_that_was_called_and_has_not_come_is_not_called_twice() -> None:
    desk = Sleepers()
    (connection,), (sleeper,) = desk.full(ONE, 1)
    desk.release(connection, SOON)
    desk.ask(A, SOON, ONE)
    desk.release(connection, SOON)
    assert desk.called() == [sleeper]
    assert desk.come(sleeper) is connection


def test_nobody_overtakes_a_caller_that_has_waited_for_ten_milliseconds() -> None:
    desk = Sleepers()
    (connection,), (sleeper,) = desk.full(ONE, 1)
    desk.release(connection, PATIENCE)
    assert isinstance(desk.ask(A, PATIENCE, ONE), Ticket)
    assert desk.come(sleeper) is connection
    assert PATIENCE == 0.010, "the documentation says so"


def test_patience_ends_while_the_connection_lies_there() -> None:
    desk = Sleepers()
    (connection,), (sleeper,) = desk.full(ONE, 1)
    desk.release(connection, SOON)
    assert isinstance(desk.ask(A, PATIENCE, ONE), Ticket)
    assert desk.come(sleeper) is connection


def test_a_caller_that_is_overtaken_again_and_again_is_served_when_its_patience_ends() -> None:
    """However many newcomers there are: their number is not what ends it, the time is."""
    desk = Sleepers()
    (connection,), (sleeper,) = desk.full(ONE, 1)
    now, overtaken = 0.0, 0
    while True:
        now += PATIENCE / 1000
        desk.release(connection, now)
        if isinstance(desk.ask(A, now, ONE), Ticket):
            break
        overtaken += 1
    assert 990 <= overtaken <= 1000
    assert desk.come(sleeper) is connection


def test_one_caller_at_a_time_is_called_and_calls_the_next() -> None:
    desk = Sleepers()
    connections, (first, second, _) = desk.full(TWO, 3)
    for connection in connections:
        desk.release(connection, SOON)
    assert desk.called() == [first]
    assert desk.come(first) is connections[0]
    assert desk.called() == [second]
    assert desk.come(second) is connections[1]
    assert desk.called() == []


def test_when_the_one_that_was_called_gives_up_the_next_is_called() -> None:
    desk = Sleepers()
    connections, (first, second, third) = desk.full(TWO, 3)
    for connection in connections:
        desk.release(connection, SOON)
    assert desk.called() == [first]
    desk.pool.abandoned(first, SOON)
    assert desk.called() == [second]
    assert desk.come(second) is connections[1]
    assert desk.called() == [third], "what the first was given has gone on to the third"
    assert desk.come(third) is connections[0]


def test_who_has_waited_long_enough_is_called_at_once_beside_another() -> None:
    desk = Sleepers()
    connections, (first, second) = desk.full(TWO, 2)
    for connection in connections:
        desk.release(connection, PATIENCE)
    assert desk.called() == [first, second]


def test_every_caller_looks_by_itself_when_its_patience_ends() -> None:
    desk = Sleepers()
    connections, (first, second) = desk.full(TWO, 2)
    assert desk.pool.looks_after(second, SOON) == pytest.approx(PATIENCE - SOON)
    assert desk.pool.looks_after(second, PATIENCE) is None
    for connection in connections:
        desk.release(connection, SOON)
    assert desk.called() == [first]
    assert desk.come(second) is connections[1], "although the first, who would have called it, has not come"


def test_the_youngest_is_overtaken_first() -> None:
    desk = Sleepers()
    connections, (first, second) = desk.full(TWO, 2)
    for connection in connections:
        desk.release(connection, SOON)
    assert desk.ask(A, SOON, TWO) is connections[1]
    assert desk.come(second) is None
    assert desk.come(first) is connections[0]


def test_where_callers_of_other_hosts_wait_nobody_barges() -> None:
    desk = Sleepers(total=1)
    connection = desk.open(A)
    mine, other = desk.wait(A), desk.wait(B)
    desk.release(connection, SOON)
    assert isinstance(desk.ask(A, SOON), Ticket), "the caller of B would have been passed over once more"
    assert desk.come(mine) is connection
    assert desk.come(other) is None


def test_an_overtaken_caller_stands_before_a_later_one_of_another_host() -> None:
    desk = Sleepers(total=1)
    (connection,), (mine,) = desk.full(ONE, 1)
    desk.release(connection, SOON)
    assert desk.ask(A, SOON, ONE) is connection
    other = desk.wait(B, SOON)
    desk.release(connection, SOON)
    assert desk.come(mine) is connection
    desk.release(connection, SOON)
    slot = desk.come(other)
    assert slot is not None
    assert slot.origin == B


def test_no_more_callers_wait_than_may() -> None:
    desk = Sleepers(waiting=1)
    (connection,), (first,) = desk.full(ONE, 1)
    desk.release(connection, SOON)
    assert desk.ask(A, SOON, ONE) is connection
    with pytest.raises(QueueFull):
        desk.ask(A, SOON, ONE)
    assert desk.come(first) is None


def test_whoever_gives_up_loses_what_it_was_lent() -> None:
    desk = Sleepers()
    (connection,), (sleeper,) = desk.full(ONE, 1)
    desk.release(connection, SOON)
    desk.pool.abandoned(sleeper, SOON)
    assert desk.ask(A, SOON, ONE) is connection
    desk.release(connection, SOON)
    assert desk.pool.idle == 1
    desk.assert_empty()


def test_an_overtaken_caller_may_give_up() -> None:
    desk = Sleepers()
    (connection,), (sleeper,) = desk.full(ONE, 1)
    desk.release(connection, SOON)
    desk.ask(A, SOON, ONE)
    desk.pool.abandoned(sleeper, SOON)
    assert desk.pool.waiting == 0
    desk.release(connection, SOON)
    desk.assert_empty()


def test_what_is_counted_is_what_came_of_it() -> None:
    desk = Sleepers()
    (connection,), (sleeper,) = desk.full(ONE, 1)
    desk.release(connection, SOON)
    desk.ask(A, SOON, ONE)
    counters = desk.pool.counters
    assert (counters.reused, counters.queued, counters.waited) == (1, 1, 0.0)
    desk.release(connection, PATIENCE)
    desk.come(sleeper)
    assert (counters.reused, counters.waited) == (2, PATIENCE)


def test_the_outlook_says_who_would_barge() -> None:
    desk = Sleepers()
    (connection,), _ = desk.full(ONE, 1)
    desk.release(connection, SOON)
    assert outlook(desk.pool, A, ONE, SOON)[:2] == (Act.REUSE, connection)
    assert outlook(desk.pool, A, ONE, PATIENCE).act is Act.WAIT


def test_a_thousand_newcomers_leave_those_who_wait_in_their_order() -> None:
    desk = Sleepers()
    (connection,), sleepers = desk.full(ONE, 1000)
    for _ in range(1000):
        desk.release(connection, SOON)
        assert desk.ask(A, SOON, ONE) is connection
    assert list(connection.host.waiters) == sleepers, "in the order in which they came"
