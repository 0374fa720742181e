"""Late binding: who gets a new connection, what becomes of a dial nobody needs, and whom a failed one fails."""

from __future__ import annotations

import pytest
from desk import PA, PB, POLICY, A, B, Desk

from keeppool.config import Limits
from keeppool.core.late import LONGEST_SPARE, YOUNG, LatePoolState
from keeppool.core.origin import Origin
from keeppool.core.pool import MOST_OVERTAKES
from keeppool.core.records import Bind, Cancel, Close, Connect, Connection, Serve, State, Ticket
from keeppool.errors import PoolClosed, QueueFull
from keeppool.events import Why


class LateDesk(Desk):
    """A pool that dials for its callers."""

    pool: LatePoolState

    def __init__(self, **limits: int | None) -> None:
        self.pool = LatePoolState(Limits(**limits))

    def call(self, where: Origin, now: float = 0.0) -> tuple[Ticket, Connection]:
        """Ask, and demand that a dial is begun for it."""
        ticket = self.wait(where, now)
        assert ticket.dial is not None
        assert self.orders()[-1] == Connect(ticket.dial)
        return ticket, ticket.dial

    def got(self, ticket: Ticket) -> Connection:
        assert ticket.connection is not None
        return ticket.connection


def test_a_new_connection_goes_to_whoever_waits_longest_whoever_it_was_dialled_for() -> None:
    desk = LateDesk()
    (first, one), (second, other) = desk.call(A), desk.call(A)
    assert desk.pool.dialled(other, 0)
    assert desk.orders() == [Serve(first), Bind(second)]
    assert (first.connection, second.dial) == (other, one)
    assert desk.pool.dialled(one, 0)
    assert second.connection is one


def test_a_connection_given_back_serves_a_caller_before_its_dial_does() -> None:
    desk = LateDesk()
    ticket, dial = desk.call(A)
    desk.pool.dialled(dial, 0)
    held = desk.got(ticket)
    waiting, spare = desk.call(A)
    desk.orders()
    desk.release(held)
    assert desk.orders() == [Serve(waiting)]
    assert waiting.connection is held
    assert (spare.state, desk.pool.open) == (State.CONNECTING, 2)
    desk.pool.dialled(spare, 0)
    assert spare.state is State.IDLE


def test_the_dial_of_a_caller_that_gave_up_is_the_next_ones() -> None:
    """Go #59017, hyper 71541a26."""
    desk = LateDesk(per_host=1)
    policy = POLICY._replace(per_host=1)
    first, second = desk.wait(A, policy=policy), desk.wait(A, policy=policy)
    (connect,) = desk.orders()
    desk.pool.abandoned(first, 0)
    assert desk.orders() == [Bind(second)]
    assert second.dial is connect.connection


def test_a_newcomer_counts_on_a_spare_dial_and_begins_none() -> None:
    desk = LateDesk()
    ticket, dial = desk.call(A)
    desk.pool.abandoned(ticket, 0)
    newcomer = desk.wait(A)
    assert newcomer.dial is dial
    assert desk.orders() == []


def test_a_spare_dial_gives_way_before_an_idle_connection_does() -> None:
    desk = LateDesk(total=2)
    ticket, dial = desk.call(A)
    desk.pool.dialled(dial, 0)
    desk.release(desk.got(ticket))
    desk.pool.requested(A, POLICY, 0)
    ticket, spare = desk.call(A)
    desk.pool.released(dial, None, 0)
    desk.pool.abandoned(ticket, 0)
    desk.orders()
    wanted = desk.wait(B)
    assert desk.orders() == [Cancel(spare), Connect(wanted.dial)]  # type: ignore[arg-type]
    assert dial.state is State.IDLE


def test_a_dial_that_becomes_spare_while_somebody_waits_for_its_slot_is_cancelled() -> None:
    desk = LateDesk(per_proxy=1)
    ticket, dial = desk.call(PA)
    rival = desk.wait(PB)
    assert rival.dial is None
    desk.pool.abandoned(ticket, 0)
    assert desk.orders() == [Cancel(dial), Connect(rival.dial)]  # type: ignore[arg-type]
    assert not desk.pool.dialled(dial, 0)
    assert desk.pool.counters.opened == 0


def test_a_failed_dial_fails_one_caller_and_the_next_gets_the_slot() -> None:
    desk = LateDesk(total=1)
    ticket, dial = desk.call(A)
    second, third = desk.wait(A), desk.wait(A)
    failure = OSError("refused")
    desk.pool.dial_failed(dial, failure, 0)
    assert desk.orders() == [Serve(ticket), Connect(second.dial)]  # type: ignore[arg-type]
    assert (ticket.failure, second.failure, third.failure) == (failure, None, None)
    assert third.dial is None


def test_a_spare_dial_that_fails_fails_nobody() -> None:
    desk = LateDesk()
    ticket, dial = desk.call(A)
    desk.pool.abandoned(ticket, 0)
    desk.pool.dial_failed(dial, OSError(), 0)
    desk.assert_empty()


def test_whose_own_time_is_not_up_gets_another_dial() -> None:
    desk = LateDesk(total=1)
    ticket, dial = desk.call(A)
    desk.pool.dial_failed(dial, None, 0)
    assert desk.orders() == [Connect(ticket.dial)]  # type: ignore[arg-type]
    assert ticket.dial is not dial
    assert desk.pool.open == 1


def test_the_holder_of_a_dead_connection_goes_before_all_who_wait() -> None:
    desk = LateDesk(total=1)
    _, dial = desk.call(A)
    desk.pool.dialled(dial, 0)
    desk.release(dial)
    desk.pool.requested(A, POLICY, 1)
    waiting = desk.wait(A)
    again = desk.pool.found_stale(dial, Why.PEER_CLOSED, 1)
    assert isinstance(again, Ticket)
    desk.pool.dialled(again.dial, 1)  # type: ignore[arg-type]
    assert again.connection is not None
    assert waiting.connection is None


def test_an_older_caller_of_another_host_is_overtaken_a_bounded_number_of_times() -> None:
    desk = LateDesk(total=1)
    _, held = desk.call(A)
    desk.pool.dialled(held, 0)
    rival = desk.wait(B)
    for _ in range(MOST_OVERTAKES):
        younger = desk.wait(A)
        desk.release(held)
        assert younger.connection is held
    desk.wait(A)
    desk.orders()
    desk.release(held)
    assert desk.orders() == [Close(held, Why.EVICTED), Connect(rival.dial)]  # type: ignore[arg-type]


def test_a_full_queue_counts_only_callers_without_a_dial() -> None:
    desk = LateDesk(total=2, waiting=1)
    desk.call(A)
    desk.call(A)
    desk.wait(A)
    assert desk.pool.waiting == 1
    with pytest.raises(QueueFull):
        desk.ask(A)


def test_closing_the_pool_cancels_dials_and_fails_whoever_counts_on_them() -> None:
    desk = LateDesk()
    (ticket, dial), (gone, spare) = desk.call(A), desk.call(B)
    desk.pool.abandoned(gone, 0)
    desk.pool.closed_by_user()
    assert isinstance(ticket.failure, PoolClosed)
    assert {order for order in desk.orders() if isinstance(order, Cancel)} == {Cancel(dial), Cancel(spare)}
    desk.assert_empty()


def test_a_request_sent_again_gets_the_connection_it_dials_itself() -> None:
    desk = LateDesk()
    ticket, dial = desk.call(A)
    desk.pool.dialled(dial, 0)
    desk.orders()
    again = desk.pool.redialled(dial, Why.PEER_CLOSED, 1)
    desk.wait(A)
    assert desk.pool.connected(again, 1)
    assert again.state is State.BUSY
    assert ticket.connection is dial


def test_a_hundred_thousand_callers_that_gave_up_leave_nothing_behind() -> None:
    """Go #33849, #43966, #76784."""
    desk = LateDesk()
    for _ in range(100_000):
        desk.pool.abandoned(desk.wait(A), 0)
    assert (desk.pool.open, desk.pool.waiting) == (1, 0)
    (dial,) = next(iter(desk.pool.hosts())).spare
    desk.pool.dial_failed(dial, OSError(), 0)
    desk.assert_empty()


def test_a_dial_that_may_be_hung_holds_no_newcomer_back() -> None:
    desk = LateDesk()
    ticket, hung = desk.call(A)
    desk.pool.abandoned(ticket, YOUNG)
    newcomer, fresh = desk.call(A, YOUNG)
    assert fresh is not hung
    assert desk.pool.dialled(fresh, YOUNG)
    assert newcomer.connection is fresh
    assert hung.state is State.CONNECTING
    assert desk.pool.dialled(hung, 1)
    assert hung.state is State.IDLE


def test_a_dial_that_may_be_hung_gives_way_where_its_own_host_is_full() -> None:
    desk = LateDesk()
    policy = POLICY._replace(per_host=1)
    ticket = desk.wait(A, policy=policy)
    hung = ticket.dial
    desk.orders()
    desk.pool.abandoned(ticket, 1)
    newcomer = desk.wait(A, 1, policy)
    assert desk.orders() == [Cancel(hung), Connect(newcomer.dial)]  # type: ignore[arg-type]
    assert desk.pool.counters.peak_open == 1


def test_who_waits_for_room_does_not_inherit_a_dial_that_may_be_hung() -> None:
    desk = LateDesk(total=1)
    ticket, hung = desk.call(A)
    waiting = desk.wait(A)
    desk.pool.abandoned(ticket, 1)
    assert desk.orders() == [Cancel(hung), Connect(waiting.dial)]  # type: ignore[arg-type]


def test_a_slow_dial_is_kept_for_the_next_while_connections_come_free_beside_it() -> None:
    """Or else a busy pool would begin it anew each time, and never have the connection."""
    desk = LateDesk(total=2)
    _, dial = desk.call(A)
    desk.pool.dialled(dial, 0)
    first, slow = desk.call(A)
    second = desk.wait(A)
    desk.orders()
    desk.release(dial, LONGEST_SPARE - 1)
    assert desk.orders() == [Serve(first), Bind(second)]
    assert second.dial is slow
    third = desk.wait(A, LONGEST_SPARE)
    desk.release(dial, LONGEST_SPARE)
    assert desk.orders() == [Serve(second), Cancel(slow), Connect(third.dial)]  # type: ignore[arg-type]


def test_a_dial_nobody_counts_on_has_an_end_also_where_its_caller_had_set_none() -> None:
    desk = LateDesk()
    ticket, dial = desk.call(A)
    desk.pool.abandoned(ticket, 1)
    assert desk.pool.may_expire
    assert desk.pool.next_expiry() == 1 + LONGEST_SPARE
    desk.pool.ticked(desk.pool.next_expiry() - 1)
    assert desk.orders() == []
    desk.pool.ticked(desk.pool.next_expiry())
    assert desk.orders() == [Cancel(dial)]
    assert not desk.pool.may_expire
    desk.assert_empty()


def test_a_host_with_a_dial_that_gave_way_is_not_forgotten_while_its_caller_waits() -> None:
    desk = LateDesk(per_proxy=1)
    ticket, hung = desk.call(PA)
    desk.pool.abandoned(ticket, 1)
    newcomer = desk.wait(PA, 1)
    assert desk.orders() == [Cancel(hung), Connect(newcomer.dial)]  # type: ignore[arg-type]
    assert [host.origin for host in desk.pool.hosts()] == [PA]
    assert desk.pool.dialled(newcomer.dial, 1)  # type: ignore[arg-type]
