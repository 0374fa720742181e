"""16 threads that share one client and fetch 1 KiB from nginx, by keeppool and by other clients.

Each client may open a connection for each thread, but for the row that names keeppool's default of six, where threads
wait for one another's connections. pycurl's handles cannot be shared: there each thread has its own. So it is with the
floor, a socket for each thread and nothing but sending and receiving.

Client and server share a core, as in all programs. On two, every call into the kernel lets another thread run that has
waited for the interpreter's lock on the other core, and to wake it up costs more than the exchange itself; whether
threads are spread so is the scheduler's mood (`--all-cores`).

In each round every client makes the same number of requests, in a shuffled order; the ratios are medians of each
round's own. CPU is that of this process, threads included.
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
    open_keeppool,
    pycurl_handle,
)
from benchmarks.measure import compared, in_turns
from benchmarks.nginx_server import BODY, nginx
from benchmarks.program import Effort, Rows

BESIDE = ("urllib3", "requests", "httpx", "pycurl", "pyreqwest", "primp")
THREADS = 16
PYCURL = "pycurl (a handle a thread)"
PEERS = {"floor": FLOOR, **{name: name for name in ("pyreqwest", "primp", "urllib3", "requests")}}
#: Rounds before those that count: every thread has its connection then.
WARM_UP = 3


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


CLIENTS = {
    FLOOR: functools.partial(one_each, bare_socket),
    PYCURL: functools.partial(one_each, pycurl_handle),
    "keeppool.Session, six connections": fetching(open_keeppool),
    **{name: fetching(opener, Wishes(per_host=THREADS)) for name, opener in SESSIONS.items() if "pycurl" not in name},
}


def crowd(fetch: Fetch, requests: int, threads: ThreadPoolExecutor) -> None:
    """Let every thread make its requests of one round."""
    for _ in threads.map(one_thread, [fetch] * THREADS, [requests] * THREADS):
        pass


def one_thread(fetch: Fetch, requests: int) -> None:
    """Make one thread's requests of one round."""
    for _ in range(requests):
        if fetch() != BODY:
            raise SystemExit("what nginx serves was not fetched")


def ask(effort: Effort) -> Rows:
    """Measure every client that is installed."""
    with nginx() as url, contextlib.ExitStack() as stack:
        clients = open_installed(CLIENTS, stack, url)
        threads = stack.enter_context(ThreadPoolExecutor(THREADS))
        crowds: dict[str, Callable[[], None]] = {
            name: functools.partial(crowd, fetch, effort.requests, threads) for name, fetch in clients.items()
        }
        costs = in_turns(crowds, rounds=WARM_UP + effort.rounds, each=1)
    counted = {name: own[WARM_UP:] for name, own in costs.items()}
    return compared(counted, PEERS, each=THREADS * effort.requests)


if __name__ == "__main__":
    program.main(ask, Effort(20, 40), about=__doc__, beside=BESIDE)
