"""The accounts of a part: what each request came to, held against what the server has counted.

Decides: what is a fault. Knows: every request's plan and outcome, and the server's report.
Does not know: how requests are made.
"""

from __future__ import annotations

import base64
import collections
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from benchmarks.soak.faults import is_behind_surplus, is_explained, is_lost, lie, was_sent, wrong
from benchmarks.soak.plan import UNREACHABLE, Plan
from keeppool.errors import KeepPoolError

#: A number's count that says: any.
ANY_TIMES = 255
#: The faults there can be, in the table's order.
KINDS = (
    "carried out twice",
    "another's response",
    "unexplained",
    "untrue",
    "never ended",
    "cap exceeded",
    "slot lost",
    "descriptor left",
    "thread left",
    "task left",
    "timer left",
    "memory grown",
)
#: Faults of a kind that are told in words; the others are counted.
MOST_TOLD = 10


class Loss(NamedTuple):
    """A request that ended with its connection, or behind a response too long, without a fault of its own."""

    plan: Plan
    outcome: str


class Ledger:
    """What has happened in one process.

    Attributes:
        outcomes: How often each of them came.
        faults: By kind, in words.

    Thread safety: any thread may record; each number is recorded once.
    """

    def __init__(self, requests: int) -> None:
        self._most = bytearray(requests)
        self._least = bytearray(requests)
        self._ends = bytearray(requests)
        self._names: list[str] = ["not asked for"]
        self._losses: list[Loss] = []
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.faults: dict[str, list[str]] = {kind: [] for kind in KINDS}

    def found(self, kind: str, words: str) -> None:
        """Take note of a fault."""
        self.faults[kind].append(words)

    def came(self, plan: Plan, status: int, identity: str | None, body: bytes | None, *, is_left: bool = False) -> None:
        """Take note of a response.

        Args:
            plan: Of the request.
            status: The response's.
            identity: Its field X-Id.
            body: What was read of it; `None` if nothing was, and it was dropped.
            is_left: There may be more.
        """
        number, is_left = plan.number, is_left or body is None
        if what := wrong(plan, status, identity, body or b"", is_part=is_left):
            self._most[number] = ANY_TIMES
            is_damaged = plan.fault == "flips a byte"
            self.outcomes["damaged" if is_damaged else "another's"] += 1
            if not is_damaged:
                self.found("another's response", f"{plan}: {what}")
            return
        outcome = str(status) if status != 200 else "left" if is_left else "right"
        self._take(plan, outcome, is_cancelled=False)
        if status == 200 and plan.fault != "flips a byte":
            self._least[number] = 1

    def failed(self, plan: Plan, error: BaseException, *, is_cancelled: bool) -> None:
        """Take note of a request that ended with an error, or was cancelled.

        Args:
            plan: Of the request.
            error: What it was.
            is_cancelled: Its caller cancels it, or tries to.
        """
        outcome = type(error).__name__
        if isinstance(error, KeepPoolError):
            if words := lie(plan, error):
                self.found("untrue", f"{plan}: {outcome}: {words}")
        else:
            outcome = "cancelled" if is_cancelled and outcome in ("CancelledError", "TimeoutError") else outcome
        self._take(plan, outcome, is_cancelled=is_cancelled, words=f"{error!r}"[:300])
        if not was_sent(error):
            self._most[plan.number] = 0

    def _take(self, plan: Plan, outcome: str, *, is_cancelled: bool, words: str = "") -> None:
        self.outcomes[outcome] += 1
        if outcome not in self._names:
            self._names.append(outcome)
        self._ends[plan.number] = self._names.index(outcome)
        self._most[plan.number] = 0 if plan.host in UNREACHABLE else 2 if plan.is_repeatable else 1
        if is_explained(plan, outcome, is_cancelled=is_cancelled):
            return
        if is_lost(plan, outcome) or is_behind_surplus(plan, outcome):
            self._losses.append(Loss(plan, outcome))
        else:
            self.found("unexplained", f"{plan}: {outcome} {words}")

    def close(self, report: Mapping[str, Any], plan: Callable[[int], Plan]) -> None:
        """Hold everything against the server's report."""
        executed = unpacked(report["executed"])
        for number, (times, most, least) in enumerate(zip(executed, self._most, self._least, strict=True)):
            if times > most:
                kind = "carried out twice" if times > 1 else "untrue"
                self.found(kind, f"{plan(number)}: {self.end_of(number)}, carried out {times} times, not {most}")
            elif times < least:
                self.found("untrue", f"{plan(number)}: {self.end_of(number)}, but not carried out")
        crossed = unpacked(report["crossed"])
        loose, surplus = dict(report["loose"]), dict(report["surplus"])
        for lost, outcome in self._losses:
            if crossed[lost.number]:
                continue
            # The server closed without listening on: each such close may have met one request. So may bytes too many.
            met, what = (surplus, "bytes too many") if is_behind_surplus(lost, outcome) else (loose, "close")
            met[lost.host] -= 1
            if met[lost.host] < 0:
                self.found("unexplained", f"{lost}: {outcome}, and no {what} that it can have met")
        for words in report["over"]:
            self.found("cap exceeded", words)

    def end_of(self, number: int) -> str:
        """Tell what a request came to."""
        return self._names[self._ends[number]]

    def report(self) -> dict[str, Any]:
        """Give it all, for the table."""
        return {
            "outcomes": dict(self.outcomes),
            "lost": len(self._losses),
            "faults": {kind: len(found) for kind, found in self.faults.items()},
            "told": {kind: found[:MOST_TOLD] for kind, found in self.faults.items() if found},
        }


def unpacked(counts: str) -> bytes:
    """Read a server's counts, one byte for each number."""
    return zlib.decompress(base64.b64decode(counts))


def packed(counts: bytes | bytearray) -> str:
    """Write such counts."""
    return base64.b64encode(zlib.compress(counts, 1)).decode()
