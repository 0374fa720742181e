"""16 threads that share one client and fetch 1 KiB from nginx, by keeppool and by other clients.

Each client is measured with a connection for each thread and with six, where threads wait for one another's. A client
that has no cap says so, and opens as many as it likes. pycurl's handles cannot be shared: there each thread has its
own. So it is with the floor, a socket for each thread and nothing but sending and receiving.

On two cores every call into the kernel lets another thread run that has waited for the interpreter's lock on the other
core, and to wake it up costs more than the exchange itself; whether threads are spread so is the scheduler's mood, and
rates differ by a factor of two from round to round.

In each round every client makes the same number of requests, in a shuffled order; the ratios are medians of each
round's own. CPU is that of this process, threads included. The longest request is that of all that count. Voluntary
changes of thread are the kernel's count of waits: one a request is for the response, and other work on the machine
hardly changes it.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from statistics import median
from time import perf_counter

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import program
from benchmarks.clients import (
    FLOOR,
    SESSIONS,
    Fetch,
    Wishes,
    bare_socket,
    fetching,
    open_installed,
    pycurl_handle,
)
from benchmarks.measure import compared, in_turns, median_ratio
from benchmarks.nginx_server import BODY, nginx
from benchmarks.program import Effort, Rows

BESIDE = ("urllib3", "requests", "httpx", "pycurl", "pyreqwest", "primp")
THREADS = 16
#: keeppool's default for one host.
FEW = 6
PYCURL = "pycurl (a handle a thread)"
PRIMP = "primp (no cap)"
PEERS = {"floor": FLOOR, **{name: name for name in ("pyreqwest", "urllib3", "requests")}, "primp": PRIMP}
#: Rounds before those that count: every thread has its connection then.
WARM_UP = 3
#: What the names of rows end in that were measured with six connections.
SIX = ", six connections"


@contextlib.contextmanager
def one_each(client: Callable[[str], AbstractContextManager[Fetch]], url: str) -> Iterator[Fetch]:
    """Give every thread a client of its own when it fetches for the first time."""
    own = threading.local()
    with contextlib.ExitStack() as stack:
        stack.enter_context(client(url))  # Tells before any thread runs whether it is installed.

        def fetch() -> bytes:
            if not hasattr(own, "fetch"):
                own.fetch = stack.enter_context(client(url))
            body: bytes = own.fetch()
            return body

        yield fetch


CAPPED = {name: opener for name, opener in SESSIONS.items() if name not in ("pycurl (one handle)", "primp")}
CLIENTS = {
    FLOOR: functools.partial(one_each, bare_socket),
    PYCURL: functools.partial(one_each, pycurl_handle),
    PRIMP: fetching(SESSIONS["primp"]),
    **{name: fetching(opener, Wishes(per_host=THREADS)) for name, opener in CAPPED.items()},
    # Not httpx: where threads wait for its connections, some of them get a ReadError (httpx 0.28).
    **{name + SIX: fetching(opener, Wishes(per_host=FEW)) for name, opener in CAPPED.items() if name != "httpx"},
}


class Crowd:
    """Threads that make their requests of one round, all by the same client.

    Attributes:
        longest: Seconds of the longest request of each round.
        waits: How often threads of this process have waited in the kernel in each round.
    """

    def __init__(self, fetch: Fetch, requests: int, threads: ThreadPoolExecutor) -> None:
        self._fetch = fetch
        self._requests = requests
        self._threads = threads
        self.longest: list[float] = []
        self.waits: list[int] = []

    def __call__(self) -> None:
        """Make the requests of one round."""
        before = getrusage(RUSAGE_SELF).ru_nvcsw
        self.longest.append(max(self._threads.map(self._one_thread, range(THREADS))))
        self.waits.append(getrusage(RUSAGE_SELF).ru_nvcsw - before)

    def _one_thread(self, _: int) -> float:
        fetch, longest = self._fetch, 0.0
        for _ in range(self._requests):
            began = perf_counter()
            if fetch() != BODY:
                raise SystemExit("what nginx serves was not fetched")
            longest = max(longest, perf_counter() - began)
        return longest


def ask(effort: Effort) -> Rows:
    """Measure every client that is installed."""
    with nginx() as url, contextlib.ExitStack() as stack:
        clients = open_installed(CLIENTS, stack, url)
        threads = stack.enter_context(ThreadPoolExecutor(THREADS))
        crowds = {name: Crowd(fetch, effort.requests, threads) for name, fetch in clients.items()}
        costs = in_turns(crowds, rounds=WARM_UP + effort.rounds, each=1)
    counted = {name: own[WARM_UP:] for name, own in costs.items()}
    rows = compared(counted, PEERS, each=THREADS * effort.requests)
    for name, figures in rows.items():
        figures["longest_ms"] = max(crowds[name].longest[WARM_UP:]) * 1e3
        figures["switches"] = median(crowds[name].waits[WARM_UP:]) / THREADS / effort.requests
        if name.endswith(SIX):
            figures["rate_by_16"] = median_ratio(counted[name.removesuffix(SIX)], counted[name])
    return rows


if __name__ == "__main__":
    program.main(ask, Effort(20, 40), about=__doc__, beside=BESIDE)
