"""Counts by host: what has happened there, also when it has no connection left."""

from __future__ import annotations

import pytest
from desk import A, B, Desk, origin

from keeppool.core import tallies
from keeppool.core.late import LatePoolState
from keeppool.core.records import Connect
from keeppool.events import Why


def test_a_closed_connection_leaves_what_it_has_carried_and_why_it_was_closed() -> None:
    desk = Desk()
    desk.visit(A)
    second = desk.open(A) if desk.pool.idle == 0 else desk.ask(A)
    desk.release(second, why=Why.SERVER_CLOSE)
    kept = desk.open(A)
    tally = kept.host.tally
    assert (tally.answered, tally.closed_by) == (2, {Why.SERVER_CLOSE: 1})
    assert desk.pool.counters.answered == 2


def test_a_host_that_comes_back_goes_on_counting() -> None:
    desk = Desk()
    for _ in range(3):
        desk.release(desk.open(A), why=Why.SERVER_CLOSE)
        assert not list(desk.pool.hosts())
    desk.release(desk.open(B), why=Why.CLIENT_CLOSE)
    assert desk.dial(A).host.tally.closed_by == {Why.SERVER_CLOSE: 3}
    assert desk.dial(B).host.tally.closed_by == {Why.CLIENT_CLOSE: 1}


def test_failed_dials_are_counted_where_they_failed() -> None:
    desk = Desk()
    desk.pool.connect_failed(desk.dial(A), 0.0)
    assert desk.dial(A).host.tally.failed == 1
    assert desk.dial(B).host.tally.failed == 0


def test_failed_and_broken_off_dials_count_alike_in_pools_that_bind_late() -> None:
    desk = Desk()
    desk.pool = LatePoolState(desk.pool.limits)
    desk.wait(A)
    (order,) = desk.pool.orders
    assert isinstance(order, Connect)
    desk.pool.dial_failed(order.connection, OSError("refused"), 0.0)
    ticket = desk.wait(A)
    dial = ticket.dial
    assert dial is not None
    desk.pool.abandoned(ticket, 0.0)
    desk.pool.ticked(1e9)
    assert dial.host.tally.failed == 2 == desk.pool.counters.connect_failed


def test_hosts_that_are_gone_are_bounded_and_the_longest_gone_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "MOST_GONE", 3)
    desk = Desk()
    for number in range(5):
        desk.release(desk.open(origin(f"h{number}")), why=Why.SERVER_CLOSE)
    counts = [desk.dial(origin(f"h{number}")).host.tally.answered for number in range(5)]
    assert counts == [0, 0, 1, 1, 1]


def test_the_counts_of_all_hosts_add_up_to_those_of_the_pool() -> None:
    desk = Desk(total=2)
    for name in "abcabcddda":
        desk.visit(origin(name))
    hosts = [desk.dial(origin(name)).host for name in "e"] + list(desk.pool.hosts())
    assert desk.pool.counters.closed_by[Why.EVICTED] > 3
    gone = [desk.pool._tallies.come_back(origin(name)) for name in "abcd"]
    live = [host.tally for host in {id(host): host for host in hosts}.values()]
    evicted = sum(tally.closed_by.get(Why.EVICTED, 0) for tally in (*gone, *live))
    assert evicted == desk.pool.counters.closed_by[Why.EVICTED]
