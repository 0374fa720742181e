"""What `keeppool top` shows: a pool's figures at one moment, and what has come between two of them.

Decides: what a rate is, and in which order hosts stand. Knows: what another process has told.
Does not know: how it is drawn.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from keeppool.observe import Told
from keeppool.stats import HostStats

#: Frames whose rates are remembered: what fits beside a label on a wide terminal.
_REMEMBERED: Final = 100
#: Hosts whose counts are remembered: more than a pool remembers of those that have no connection (`core/tallies.py`).
_MOST_COUNTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Line:
    """One host: its figures, and its requests a second since the frame before (`None` in the first)."""

    name: str
    host: HostStats
    rate: float | None


@dataclass(frozen=True, slots=True)
class Frame:
    """One moment.

    Attributes:
        told: What the process has told.
        rate: Requests a second, `None` in the first frame; so are the others.
        opened_rate: Connections opened a second.
        queued_rate: Callers a second that had to wait.
        lines: The hosts.
    """

    told: Told
    rate: float | None
    opened_rate: float | None
    queued_rate: float | None
    lines: tuple[Line, ...]


#: The orders there are; "busiest" shows who waits before what works, and that before what is idle.
ORDERS: Final[dict[str, Callable[[Line], tuple[float, ...]]]] = {
    "busiest": lambda line: (line.host.waiting, line.host.busy + line.host.connecting, line.rate or 0.0),
    "waiting": lambda line: (line.host.waiting, line.host.waiting_s),
    "rate": lambda line: (line.rate or 0.0, line.host.requests),
    "open": lambda line: (line.host.open + line.host.connecting,),
    "held": lambda line: (line.host.held_s,),
    "requests": lambda line: (line.host.requests,),
    "failed": lambda line: (line.host.connect_failed,),
    "name": lambda line: (),
}


class History:
    """The frames so far, as far as rates need them."""

    def __init__(self) -> None:
        self._last: Told | None = None
        self._rates: dict[str, deque[float]] = {}
        #: For each host its requests, and when; of hosts without a connection too, which come back with their counts.
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def frame(self, told: Told) -> Frame:
        """Make the next frame of what was told."""
        last, self._last = self._last, told
        stats = told.stats
        lines = [Line(name, host, self._rate(name, host, told.at)) for name, host in stats.hosts.items()]
        self._remember(lines)
        if last is None or told.at <= last.at:
            return Frame(told, None, None, None, tuple(lines))
        took, before = told.at - last.at, last.stats
        return Frame(
            told,
            (stats.requests - before.requests) / took,
            (stats.opened - before.opened) / took,
            (stats.queued - before.queued) / took,
            tuple(lines),
        )

    def _rate(self, name: str, host: HostStats, at: float) -> float | None:
        """Give a host's requests a second since it was seen last; `None` if that is not known."""
        before, since = self._counts.pop(name, (0, at))
        self._counts[name] = host.requests, at
        if len(self._counts) > _MOST_COUNTS:
            self._counts.popitem(last=False)
        # Where the count of a host that was away for long has begun anew, nothing is known either.
        return None if at <= since or host.requests < before else (host.requests - before) / (at - since)

    def rates(self, name: str) -> list[float]:
        """Give a host's rates, the newest last."""
        return list(self._rates.get(name, ()))

    def _remember(self, lines: list[Line]) -> None:
        kept: dict[str, deque[float]] = {}
        for line in lines:
            kept[line.name] = self._rates.get(line.name) or deque(maxlen=_REMEMBERED)
            if line.rate is not None:
                kept[line.name].append(line.rate)
        self._rates = kept


def ordered(frame: Frame, order: str) -> list[Line]:
    """Put a frame's hosts in order; equals stand by name, so that nothing jumps about."""
    by_name = sorted(frame.lines, key=lambda line: line.name)
    return by_name if order == "name" else sorted(by_name, key=ORDERS[order], reverse=True)
