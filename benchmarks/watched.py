"""What it costs a process of 16 threads under load that `keeppool top` looks at it, once a second, on a terminal.

Seconds with the looker stopped (SIGSTOP) and seconds with it running follow one another, in an order that changes; of
each pair the ratio is taken, and of the ratios the median. On a machine with one free core for each, the rate is what
is lost; on a busy one the looker's own drawing competes for the cores, so the CPU that this process needs for a request
is printed too, which other processes hardly change; and what one look costs this process while it does nothing else.

`python -m benchmarks.watched [--pairs N] [--seconds S] [--interval S] [--json]`
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pty
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import keeppool
from benchmarks.nginx_server import nginx
from benchmarks.program import forget_environment
from keeppool import Limits, observe

THREADS = 16
#: The rate that may be lost.
MOST_LOST = 0.02
#: Seconds between two looks whose cost alone is measured.
_OFTEN = 0.1


class Second(NamedTuple):
    """What was done in one stretch of time: requests a second, and CPU for each in microseconds."""

    rate: float
    cpu_us: float


class Load:
    """Threads that fetch without a pause, until it is over."""

    def __init__(self, session: keeppool.Session, url: str) -> None:
        self._session, self._url = session, url
        self._is_over = False
        self._threads = [threading.Thread(target=self._fetch) for _ in range(THREADS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._is_over = True
        for thread in self._threads:
            thread.join()

    def _fetch(self) -> None:
        while not self._is_over:
            self._session.get(self._url)

    def measured(self, seconds: float) -> Second:
        """Count what is done in so many seconds."""
        before, began, cpu = self._session.stats().requests, time.perf_counter(), time.process_time()
        time.sleep(seconds)
        done = self._session.stats().requests - before
        took, used = time.perf_counter() - began, time.process_time() - cpu
        return Second(done / took, used / done * 1e6)


@contextlib.contextmanager
def looker(path: str, interval: float) -> Iterator[subprocess.Popen[bytes]]:
    """Run `keeppool top` on a terminal that somebody reads."""
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "keeppool", "top", path, "--interval", str(interval)]
    process = subprocess.Popen(command, stdin=slave, stdout=slave, env=os.environ | {"TERM": "xterm-256color"})
    os.close(slave)
    threading.Thread(target=_read, args=(master,), daemon=True).start()
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait()
        os.close(master)


def _read(master: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(master, 65536):
            pass


def pairs(load: Load, process: subprocess.Popen[bytes], count: int, seconds: float) -> list[tuple[Second, Second]]:
    """Measure without and with the looker, in turns."""
    found = []
    for number in range(count):
        order = (False, True) if number % 2 else (True, False)
        both = {}
        for is_looked_at in order:
            process.send_signal(signal.SIGCONT if is_looked_at else signal.SIGSTOP)
            time.sleep(seconds / 10)
            both[is_looked_at] = load.measured(seconds)
        found.append((both[False], both[True]))
    return found


def cost_of_a_look(path: str, seconds: float) -> float:
    """Tell the CPU, in milliseconds, that one look costs the process that is looked at, while it does nothing else."""
    with looker(path, _OFTEN):
        time.sleep(seconds)  # Until it has begun.
        cpu = time.process_time()
        time.sleep(seconds)
        return (time.process_time() - cpu) / (seconds / _OFTEN) * 1000


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program; see the module's text."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--interval", type=float, default=1.0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    forget_environment()
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(nginx())
        session = stack.enter_context(keeppool.Session(Limits(per_host=THREADS)))
        path = f"{stack.enter_context(tempfile.TemporaryDirectory())}/pool.sock"
        stack.enter_context(observe.serve(session, path))
        session.get(url)
        look_ms = cost_of_a_look(path, given.seconds)
        load = stack.enter_context(Load(session, url))
        process = stack.enter_context(looker(path, given.interval))
        load.measured(given.seconds)  # Until the looker has drawn its first frame.
        found = pairs(load, process, given.pairs, given.seconds)
    report = {
        "rate": statistics.median(alone.rate for alone, _ in found),
        "rate_by_alone": statistics.median(watched.rate / alone.rate for alone, watched in found),
        "cpu_us": statistics.median(alone.cpu_us for alone, _ in found),
        "cpu_by_alone": statistics.median(watched.cpu_us / alone.cpu_us for alone, watched in found),
        "look_ms": look_ms,
    }
    if given.json:
        print(json.dumps(report))
        return
    print(f"{THREADS} threads, {report['rate']:,.0f} requests/s and {report['cpu_us']:.1f} µs of CPU each, alone")
    print(f"looked at by keeppool top: rate {report['rate_by_alone']:.4f} of that, CPU {report['cpu_by_alone']:.4f}")
    share = look_ms / given.interval / 1000
    print(f"one look costs {look_ms:.2f} ms of CPU, every {given.interval:g} s: {share:.2%} of a core")
    print(f"lost: {1 - report['rate_by_alone']:.2%} of the rate (at most {MOST_LOST:.0%})")


if __name__ == "__main__":
    main()
