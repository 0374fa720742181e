"""One thread for the whole process that closes idle connections nobody will ask for again.

Without it a connection that the server has closed would stay half open (CLOSE_WAIT) until the next request to that
host, and one that has expired for as long as the process is idle.

Decides: when to look. What is closed, the pools' state decides.
Starts with the first idle connection of any pool, ends when no pool has one. A daemon: it never holds up the end of the
process. After fork the child has no janitor until it needs one.

Source: RFC 9112 §9.5 (clients should watch idle connections for the server's close).
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from keeppool import forks
from keeppool.deferred import Deferred

if TYPE_CHECKING:
    import logging
else:
    logging = Deferred("logging")

#: Seconds between two rounds. A server's close is noticed within that time; a round over 256 idle sockets takes about
#: 0.2 ms, so looking costs nothing that could be measured.
ROUND = 1.0


class Swept(Protocol):
    """What the janitor looks after."""

    def sweep(self) -> bool:
        """Close what expired and what the servers closed; False when nothing is left to watch."""

    def close(self) -> None:
        """Close everything."""

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to close. Must not take a lock."""


class _Janitor:
    """The pools to look after, and the thread that does."""

    def __init__(self) -> None:
        #: Guards `_pools` and `_thread`. Never held while a pool is swept.
        self._lock = threading.Lock()
        self._pools: weakref.WeakSet[Swept] = weakref.WeakSet()
        self._thread: threading.Thread | None = None
        #: Pools whose manager was dropped without `close`. Finalizers append here, which needs no lock.
        self.orphans: deque[Swept] = deque()

    def watch(self, pool: Swept) -> bool:
        with self._lock:
            self._pools.add(pool)
            if self._thread is not None:
                return True
            thread = self._thread = threading.Thread(target=self._run, name="keeppool-janitor", daemon=True)
        # Unlocked: a start waits until the thread runs, and under gevent others run on this very thread meanwhile.
        try:
            thread.start()
        except RuntimeError:
            # The interpreter is ending, or out of threads: connections are then closed when next asked for.
            with self._lock:
                self._thread = None
            return False
        return True

    def _run(self) -> None:
        pause = threading.Event()
        while self._has_work():
            pause.wait(ROUND)
            while self.orphans:
                _without_fail(self.orphans.popleft().close)
            self._make_round()

    def _has_work(self) -> bool:
        """Tell whether there is a pool left; if not, the thread is gone from here on, and the next one may start."""
        with self._lock:
            if not self._pools and not self.orphans:
                self._thread = None
            return self._thread is not None

    def _make_round(self) -> None:
        with self._lock:
            pools = list(self._pools)
        for pool in pools:
            # Off the list first: a pool that asks to be watched while it is swept then stays on it.
            with self._lock:
                self._pools.discard(pool)
            if _without_fail(pool.sweep):
                with self._lock:
                    self._pools.add(pool)


def _without_fail(work: Callable[[], bool | None]) -> bool | None:
    """Do something for one pool; whatever goes wrong there must not leave all the others without a janitor."""
    try:
        return work()
    except Exception:
        logging.getLogger("keeppool").exception("the janitor could not look after a pool")
        return True


_janitor = _Janitor()


def watch(pool: Swept) -> bool:
    """Look after a pool until it has nothing idle and nobody waiting; False if no thread could be had for it now."""
    return _janitor.watch(pool)


def adopt(pool: Swept) -> None:
    """Take over a pool whose manager is gone; safe to call from a finalizer, which may run inside any lock.

    A janitor is at work whenever a pool has something idle; a pool that has nothing needs none.
    """
    if not pool.is_empty:
        _janitor.orphans.append(pool)


def _start_anew() -> None:
    """Replace the parent's janitor: its lock may be held by a thread that does not exist here."""
    _janitor.__init__()  # type: ignore[misc]


forks.in_child(_start_anew)
