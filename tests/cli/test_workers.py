"""Workers take jobs one at a time, hand all results over, and leave no thread."""

from __future__ import annotations

import itertools
import threading

import pytest

from keeppool.cli.workers import Workers


def test_every_job_has_its_result():
    before = set(threading.enumerate())
    with Workers(range(1000), lambda number: number * number, 8) as workers:
        assert sorted(workers) == [number * number for number in range(1000)]
    assert not set(threading.enumerate()) - before


def test_jobs_are_not_taken_before_a_thread_is_free():
    """Of a million jobs only those in work, and as many results as fit, are ever held."""
    taken = itertools.count()
    jobs = (next(taken) for _ in range(1_000_000))
    with Workers(jobs, lambda number: number, 4) as workers:
        results = iter(workers)
        for _ in range(10):
            next(results)
        assert next(taken) <= 10 + 4 + 2 * 4 + 1
    for _ in results:  # dismissed: they finish what they have and go
        pass


def test_an_error_in_the_jobs_reaches_whoever_iterates():
    def jobs():
        yield 1
        raise LookupError("no more")

    with Workers(jobs(), lambda number: number, 2) as workers, pytest.raises(LookupError, match="no more"):
        list(workers)
