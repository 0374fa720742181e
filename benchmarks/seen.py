"""What it costs a GET to be seen: without a listener, with a `Recorder`, and with one that is told everything.

Keep-alive GETs of 1 KiB from nginx, one after the other. CPU time is that of this process. The bar is for sessions, as
what people fetch with: a recorder may cost 1.3 times the CPU of a GET at the most.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import keeppool
from benchmarks import program
from benchmarks.measure import in_turns, median_us
from benchmarks.nginx_server import nginx
from benchmarks.program import Effort, Rows
from keeppool.events import Event
from keeppool.observe import Recorder

#: A row, and the one its CPU time is divided by.
_BESIDE = {
    f"{kind}{listening}": kind
    for kind in ("keeppool.Session", "keeppool.PoolManager")
    for listening in ("", ", a Recorder", ", told everything")
}


def ask(effort: Effort) -> Rows:
    """Measure all of them in the same rounds."""
    with nginx() as server, contextlib.ExitStack() as stack:
        url = f"{server}/1k.bin"
        calls = {}
        for listening, make in (("", None), (", a Recorder", Recorder), (", told everything", _told_everything)):
            session = stack.enter_context(keeppool.Session(on_event=make and make()))
            pool = stack.enter_context(keeppool.PoolManager(on_event=make and make()))
            calls[f"keeppool.Session{listening}"] = lambda session=session: session.get(url).content
            calls[f"keeppool.PoolManager{listening}"] = lambda pool=pool: pool.request("GET", url).data
        for call in calls.values():
            call()
        costs = in_turns(calls, rounds=effort.rounds, each=effort.requests)
    return {
        name: {
            "us": median_us(costs[name]),
            "cpu_us": median(cost.cpu for cost in costs[name]),
            "cpu_by_unheard": median(
                cost.cpu / other.cpu for cost, other in zip(costs[name], costs[beside], strict=True)
            ),
        }
        for name, beside in _BESIDE.items()
    }


def _told_everything() -> object:
    def listen(event: Event) -> None:
        pass

    return listen


def main() -> None:
    """Measure and print."""
    program.main(ask, Effort(30, 500), about=__doc__)


if __name__ == "__main__":
    main()
