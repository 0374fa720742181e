"""One part of a soak: callers of one kind over one pool, and its own servers. Prints what came of it as lines of JSON.

Knows: the order of things, and what has to be gone at the end. Does not know: which other parts there are.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.soak.asking import PATIENCE, World
from benchmarks.soak.ledger import Ledger, packed, unpacked
from benchmarks.soak.plan import BEHIND, Plan, front_of, planner
from benchmarks.soak.real import Real, running
from benchmarks.soak.watch import Watch, descriptors, dump_stacks, resident_mib, thread_names
from keeppool.events import Why
from keeppool.stats import Stats

ROOT = Path(__file__).resolve().parents[2]
#: Where memory is looked at, as shares of all requests.
MARKS = (0.1, 0.5, 1.0)
#: Seconds for what has ended to be gone: the janitor looks each second, and servers linger as long.
SETTLED = 30.0


class Servers:
    """The process of `server.py`."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        command = [sys.executable, "-m", "benchmarks.soak.server", json.dumps(settings)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.ports: dict[str, int] = self._heard()

    def ask(self, command: str) -> dict[str, Any]:
        """Have it tell something."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        return self._heard()

    def _heard(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        heard: dict[str, Any] = json.loads(self._process.stdout.readline() or "null")
        return heard

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()


def say(**what: Any) -> None:
    """Tell the command something."""
    print(json.dumps(what), flush=True)


def legs(numbers: Sequence[int]) -> Iterator[tuple[float, Sequence[int]]]:
    """Divide the numbers at the marks."""
    begun = 0
    for mark in MARKS:
        end = round(len(numbers) * mark)
        yield mark, numbers[begun:end]
        begun = end


def opener(plan: Callable[[int], Plan], number: int, requests: int) -> int:
    """Find an undisturbed request to the same host, so that this one finds an idle connection."""

    def opens(other: Plan) -> bool:
        return other.host == host and not other.fault and other.manner == "whole" and other.framing != "until close"

    host = plan(number).host
    return next((other for other in range(requests) if other != number and opens(plan(other))), number)


def settles(front: Any, is_so: Callable[[], bool]) -> bool:
    """Wait until something is so; False if it does not come to be."""
    until = time.monotonic() + SETTLED
    while not is_so():
        if time.monotonic() > until:
            return False
        front.pause()
    return True


def run(settings: Mapping[str, Any]) -> None:
    """Make all requests of this part, and tell what came of them."""
    plan = planner(settings["seed"], settings["hosts"])
    numbers: Sequence[int] = range(settings["requests"])
    if settings["only"] is not None:
        numbers = [opener(plan, settings["only"], settings["requests"]), settings["only"]]
    ledger = Ledger(settings["requests"])
    fronts = importlib.import_module(f"benchmarks.soak.{settings['front']}")
    front: Any = None

    def stuck(which: Plan) -> None:
        dump_stacks(None if front is None else front.loop)
        say(stuck=f"{which}", stats=[str(stats) for stats in front.stats()])
        os._exit(3)

    with contextlib.ExitStack() as stack:
        servers = stack.enter_context(contextlib.closing(Servers(settings["servers"])))
        others = stack.enter_context(running(settings["real"], servers.ports[BEHIND], settings["servers"]["tls"]))
        world = World.at(servers.ports | others.ports, settings["roots"])

        def open_at_servers() -> dict[str, int]:
            return servers.ask("open") | others.open()

        watch = stack.enter_context(Watch(fronts.CALLERS, PATIENCE, stuck))
        threads, files = thread_names(), descriptors()
        front = fronts.Front(world, ledger, watch)
        is_all = settings["is_all"] or settings["only"] is not None
        began = time.monotonic()
        for mark, part in legs(numbers):
            front.run(map(plan, (number for number in part if is_all or front_of(number) == settings["front"])))
            hold_slots(front, open_at_servers, ledger)
            say(mark=mark, mib=resident_mib(), seconds=time.monotonic() - began)
        stats = front.stats()
        front.close()
        if not settles(front, lambda: not any(open_at_servers().values())):
            ledger.found("descriptor left", f"open at the servers after the end: {open_at_servers()}")
        for kind, left in front.left().items():
            for words in left:
                ledger.found(kind, words)
        front.end()
        others.rest()
        hold_process(ledger, threads, files)
        report = servers.ask("report")
    add(report, others, stats[0], settings["servers"]["caps"]["host"])
    ledger.close(report, plan)
    if settings["only"] is not None:
        say(only=f"{plan(settings['only'])}: {ledger.end_of(settings['only'])}")
    say(
        **ledger.report(),
        peaks=report["peaks"],
        accepted=sum(report["accepted"].values()),
        pool={name: getattr(stats[0], name) for name in ("opened", "reused", "resent", "piped", "queued")},
        closed_by={why.value: times for why, times in stats[0].closed_by.items() if times},
        reloads=others.reloads,
    )


def add(report: dict[str, Any], others: Real, stats: Stats, cap: int) -> None:
    """Add to the servers' report what is known of the real ones.

    They do not tell of closes: a request may have met as many as the pool has seen everywhere.
    """
    executed = bytearray(unpacked(report["executed"]))
    for number, times in others.executed.items():
        executed[number] = min(executed[number] + times, 255)
    report["executed"] = packed(executed)
    for host, peak in others.peaks.items():
        report["peaks"][host] = peak
        if peak > cap:
            report["over"].append(f"{host}: {peak} connections, the cap is {cap}")
    for host in others.ports:
        report["loose"][host] = stats.closed_by[Why.PEER_CLOSED]


def hold_slots(front: Any, open_at_servers: Callable[[], Mapping[str, int]], ledger: Ledger) -> None:
    """Hold what the pools believe to have against what is open at the servers, once nothing is under way."""

    def is_settled() -> bool:
        all_stats = front.stats()
        if any(stats.busy or stats.waiting or stats.connecting for stats in all_stats):
            return False
        return bool(sum(stats.open for stats in all_stats) == sum(open_at_servers().values()))

    if not settles(front, is_settled):
        shown = "\n".join(map(str, front.stats()))
        ledger.found("slot lost", f"{shown}\nopen at the servers: {open_at_servers()}")


def hold_process(ledger: Ledger, threads: set[str], files: Mapping[str, str]) -> None:
    """Hold what the process has against what it had, once what ends by itself has ended."""
    until = time.monotonic() + SETTLED
    while thread_names() - threads and time.monotonic() < until:
        threading.Event().wait(0.1)
    for name in thread_names() - threads:
        ledger.found("thread left", name)
    for number, what in descriptors().items():
        if number not in files:
            ledger.found("descriptor left", f"{number}: {what}")


if __name__ == "__main__":
    # Ended from outside, it ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    run(json.loads(sys.argv[1]))
