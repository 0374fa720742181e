"""`Stats`, the snapshot, and `HostLedger`, the count per host: sums, JSON, threads."""

from __future__ import annotations

import json
import threading
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeppool.events import (
    ConnectFailed,
    ConnectionClosed,
    ConnectionIdle,
    ConnectionOpened,
    ConnectionReused,
    Event,
    RequestQueued,
    RequestResent,
    RequestServed,
    ResponseStarted,
    Why,
)
from keeppool.stats import HostLedger, HostStats, HostTally, Stats

A, B = "https://a.example:443", "http://b.example:80"


def opened(origin: str, number: int = 1) -> Event:
    return ConnectionOpened(origin, number, 0.01, False)


def closed(origin: str, why: Why, number: int = 1) -> Event:
    return ConnectionClosed(origin, number, why, 1, 2.0)


def told(*events: Event) -> HostLedger:
    ledger = HostLedger()
    for event in events:
        ledger(event)
    return ledger


def test_a_snapshot_names_every_reason_to_close_also_where_nothing_was_closed() -> None:
    stats = Stats(closed_by={Why.EVICTED: 2, Why.PEER_CLOSED: 1})
    assert list(stats.closed_by) == list(Why)
    assert stats.closed == 3
    assert Stats().closed == 0


@pytest.mark.parametrize(("opened", "reused", "ratio"), [(0, 0, 0.0), (4, 0, 0.0), (1, 3, 0.75), (0, 2, 1.0)])
def test_reuse_ratio_is_the_share_of_connections_that_were_already_open(opened: int, reused: int, ratio: float) -> None:
    assert Stats(opened=opened, reused=reused).reuse_ratio == ratio
    assert HostTally(opened=opened, reused=reused).reuse_ratio == ratio


def test_a_snapshot_cannot_be_changed_and_does_not_follow_the_mappings_it_was_made_from() -> None:
    reasons, hosts = {Why.EVICTED: 1}, {A: HostStats(open=1, idle=1)}
    stats = Stats(closed_by=reasons, hosts=hosts)
    reasons[Why.EVICTED] = 5
    hosts.clear()
    assert stats.closed == 1
    assert stats.hosts == {A: HostStats(open=1, idle=1)}
    with pytest.raises(FrozenInstanceError):
        stats.open = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        stats.hosts[B] = HostStats()  # type: ignore[index]
    with pytest.raises(TypeError):
        stats.closed_by[Why.EVICTED] = 0  # type: ignore[index]


def test_a_snapshot_goes_through_json_with_reasons_as_text() -> None:
    stats = Stats(open=1, busy=1, opened=1, reused=1, waited_s=0.5, closed_by={Why.MAX_AGE: 2}, hosts={A: HostStats()})
    copy = json.loads(json.dumps(stats.as_dict()))
    assert copy["closed_by"] == {why.value: 2 if why is Why.MAX_AGE else 0 for why in Why}
    assert (copy["closed"], copy["reuse_ratio"], copy["waited_s"]) == (2, 0.5, 0.5)
    gauges = {"open", "idle", "busy", "connecting", "waiting", "cap", "waiting_s"}
    assert set(copy["hosts"][A]) == gauges | {"held_s", "requests", "connect_failed", "closed_by"}
    gauges |= {"peak_open", "hosts", "proxies", "learned", "not_kept", "distrusted", "fleet", "paces"}
    counters = {"opened", "reused", "connect_failed", "resent", "queued", "waited_s", "closed_by", "requests"}
    counters |= {"piped", "requeued"}
    assert set(copy) == gauges | counters | {"closed", "reuse_ratio"}


def test_a_ledger_counts_each_kind_of_event_for_its_origin() -> None:
    ledger = told(
        opened(A, 1),
        ResponseStarted(A, 1, "GET", 200, 0.1),
        ConnectionReused(A, 1, 1, 0.5),
        RequestResent(A, "GET", 0),
        opened(A, 2),
        closed(A, Why.PEER_CLOSED, 1),
        ResponseStarted(A, 2, "GET", 200, 0.1),
        ConnectFailed(B, 3, "RefusedError"),
    )
    assert ledger.hosts() == {
        A: HostTally(requests=2, opened=2, reused=1, open=1, peak_open=2, resent=1, closed_by={Why.PEER_CLOSED: 1}),
        B: HostTally(connect_failed=1),
    }
    assert ledger.totals() == HostTally(
        requests=2, opened=2, reused=1, open=1, peak_open=2, resent=1, connect_failed=1, closed_by={Why.PEER_CLOSED: 1}
    )


def test_queueing_and_shelving_name_an_origin_but_count_nothing() -> None:
    ledger = told(RequestQueued(A, 1), RequestServed(A, 0.5), ConnectionIdle(A, 1, 1, 55.0))
    assert ledger.hosts() == {A: HostTally()}


def test_a_connection_that_never_opened_is_counted_apart() -> None:
    tally = told(opened(A, 1), ConnectFailed(A, 2, "ConnectTimeout")).totals()
    assert (tally.open, tally.connect_failed, tally.closed) == (1, 1, 0)


def test_the_peak_of_all_hosts_is_that_of_the_sum_and_not_the_sum_of_the_peaks() -> None:
    ledger = told(opened(A, 1), opened(A, 2), closed(A, Why.EVICTED, 1), closed(A, Why.EVICTED, 2), opened(B, 3))
    assert [tally.peak_open for tally in ledger.hosts().values()] == [2, 1]
    assert ledger.totals().peak_open == 2


def test_the_ledger_itself_is_no_part_of_what_it_gave_away() -> None:
    ledger = told(opened(A))
    before = ledger.totals()
    ledger(closed(A, Why.EVICTED))
    assert (before.open, before.closed) == (1, 0)


def test_a_ledger_goes_through_json() -> None:
    copy = json.loads(json.dumps(told(opened(A), closed(A, Why.HINT_MAX)).as_dict()))
    assert copy["totals"] == copy["hosts"][A]
    assert copy["totals"]["closed_by"]["hint_max"] == copy["totals"]["closed"] == 1
    assert copy["totals"]["reuse_ratio"] == 0.0


STEPS = st.lists(
    st.tuples(st.sampled_from([A, B]), st.sampled_from(["open", "close", "fail", "reuse"]), st.sampled_from(Why))
)


@given(STEPS)
def test_gauges_add_up_whatever_happens(steps: list[tuple[str, str, Why]]) -> None:
    """Against a model that keeps the open connections in a list."""
    ledger, model, peak = HostLedger(), {A: 0, B: 0}, 0
    for origin, step, why in steps:
        if step == "open":
            ledger(opened(origin))
            model[origin] += 1
        elif step == "close" and model[origin]:
            ledger(closed(origin, why))
            model[origin] -= 1
        elif step == "fail":
            ledger(ConnectFailed(origin, 1, "ConnectError"))
        elif step == "reuse":
            ledger(ConnectionReused(origin, 1, 1, 0.0))
        peak = max(peak, sum(model.values()))
    hosts, totals = ledger.hosts(), ledger.totals()
    assert {origin: tally.open for origin, tally in hosts.items()} == {origin: model[origin] for origin in hosts}
    assert (totals.open, totals.peak_open) == (sum(model.values()), peak)
    for tally in (*hosts.values(), totals):
        assert tally.opened - tally.closed == tally.open
        assert tally.open <= tally.peak_open <= tally.opened
    for name in ("opened", "reused", "connect_failed", "closed"):
        assert sum(getattr(tally, name) for tally in hosts.values()) == getattr(totals, name)


def test_many_threads_may_report_at_once() -> None:
    """No count is lost; readers see whole events only."""
    ledger, start = HostLedger(), threading.Barrier(8)

    def report(origin: str) -> None:
        start.wait(10)
        for number in range(500):
            ledger(opened(origin, number))
            ledger(ResponseStarted(origin, number, "GET", 200, 0.1))
            ledger(closed(origin, Why.EVICTED, number))
            ledger.totals()

    threads = [threading.Thread(target=report, args=(origin,)) for origin in (A, B) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    totals = ledger.totals()
    assert (totals.opened, totals.requests, totals.closed_by[Why.EVICTED], totals.open) == (4000, 4000, 4000, 0)
    assert 1 <= totals.peak_open <= 8
    assert all(tally.opened == 2000 for tally in ledger.hosts().values())
