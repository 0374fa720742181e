"""Threads at a full cap: who gives a connection back may have it again, and still nobody waits for long."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from keeppool import Limits, PoolManager, Timeout
from keeppool.events import RequestServed

#: So long that only a caller who is never served meets it.
PATIENCE = Timeout(connect=30, read=30, pool=60)


@pytest.mark.parametrize("greedy", [1, 4])
def test_callers_that_never_pause_do_not_keep_others_from_their_turn(sites, greedy):
    """They would have the connection for ever if a caller that is called had to be quicker than they are."""
    site, over = sites.add(), threading.Event()

    def never_pause(url: str) -> int:
        done = 0
        while not over.is_set():
            assert pool.request("GET", url).status == 200
            done += 1
        return done

    with PoolManager(Limits(per_host=1), timeout=PATIENCE) as pool, ThreadPoolExecutor(greedy) as threads:
        try:
            running = [threads.submit(never_pause, f"{site.url}/greedy") for _ in range(greedy)]
            for number in range(20):
                assert pool.request("GET", f"{site.url}/{number}").status == 200
        finally:
            over.set()
        counts = [future.result() for future in running]
    assert site.opened == 1
    assert site.requests == sum(counts) + 20


def test_a_connection_given_back_by_a_thread_that_ends_serves_who_sleeps(sites):
    """Nobody comes by who could take it: the one that is called gets it, and calls the next."""
    site, everyone_is_there = sites.add(), threading.Barrier(30)

    def once(number: int) -> None:
        everyone_is_there.wait(30)
        assert pool.request("GET", f"{site.url}/{number}").status == 200

    with PoolManager(Limits(per_host=3), timeout=PATIENCE) as pool:
        threads = [threading.Thread(target=once, args=(number,)) for number in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        after = pool.stats()
    assert site.requests == 30
    assert site.peak_open <= 3
    assert (after.busy, after.waiting, after.queued > 0) == (0, 0, True)


def test_a_caller_that_was_called_in_vain_is_reported_as_served_once(sites, recorder):
    site = sites.add()
    with PoolManager(Limits(per_host=1), timeout=PATIENCE, on_event=recorder) as pool, ThreadPoolExecutor(4) as threads:
        assert set(threads.map(lambda _: pool.request("GET", site.url).status, range(400))) == {200}
        after = pool.stats()
    assert len(recorder.of(RequestServed)) == after.queued
    assert after.waited_s >= 0
