"""Timing and printing, for all benchmark programs.

Knows: clocks, medians, Markdown, what this machine is.
Does not know: what is measured.
"""

from __future__ import annotations

import contextlib
import datetime
import gc
import os
import platform
import random
import resource
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import NamedTuple

import keeppool


class Cost(NamedTuple):
    """Microseconds for each call: passed, used by the whole process, used by the calling thread."""

    wall: float
    cpu: float
    thread: float


def cost_of(call: Callable[[], object], calls: int) -> Cost:
    """Make `calls` calls and give what one of them cost."""
    cpu, thread, wall = _process_seconds(), time.thread_time(), time.perf_counter()
    for _ in range(calls):
        call()
    passed = time.perf_counter() - wall
    used, own = _process_seconds() - cpu, time.thread_time() - thread
    return Cost(*(seconds / calls * 1e6 for seconds in (passed, used, own)))


def in_turns(calls: Mapping[str, Callable[[], object]], *, rounds: int, each: int) -> dict[str, list[Cost]]:
    """Let everything run in every round, `each` times, in an order shuffled anew.

    Whatever else the machine does meets all of them alike, so each round's ratios can be trusted more than its times.
    """
    costs: dict[str, list[Cost]] = {name: [] for name in calls}
    order = list(calls)
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            costs[name].append(cost_of(calls[name], each))
    return costs


def median_us(costs: Sequence[Cost]) -> float:
    """Give the median over the rounds, in microseconds."""
    return median(cost.wall for cost in costs)


def median_ratio(costs: Sequence[Cost], base: Sequence[Cost]) -> float:
    """Give the median of each round's own ratio of times."""
    return median(cost.wall / other.wall for cost, other in zip(costs, base, strict=True))


def compared(
    costs: Mapping[str, Sequence[Cost]], peers: Mapping[str, str], *, each: int = 1
) -> dict[str, dict[str, float | None]]:
    """Take the medians, for each row.

    Args:
        costs: What in_turns gives.
        peers: Rows whose rate the others' is divided by; the key names the ratio, the value is the row's name.
        each: Requests that one call made.
    """
    return {
        name: {
            "us": median_us(own) / each,
            "per_s": 1e6 * each / median_us(own),
            **{
                f"rate_by_{short}": median_ratio(costs[peer], own) if peer in costs else None
                for short, peer in peers.items()
            },
            "cpu_us": median(cost.cpu for cost in own) / each,
        }
        for name, own in costs.items()
    }


@contextlib.contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Keep the collector from walking a large table in the middle of a round that does not even make garbage."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table: the first column to the left, the others to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine(*distributions: str) -> str:
    """Name date, cores, Python, keeppool and the versions of installed distributions, in one line."""
    found = [f"{name} {number}" for name in distributions if (number := installed(name))]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    where = f"{cores} cores ({platform.system()} {platform.machine()})"
    return ", ".join([today, where, python, f"keeppool {keeppool.__version__}", *found])


def installed(distribution: str) -> str:
    """Give the version of a distribution, empty if it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _process_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
