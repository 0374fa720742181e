"""What a process has: which request each caller is at, its descriptors, threads and memory.

Decides: when a request never ends. Knows: Linux's /proc. Does not know: pools.
"""

from __future__ import annotations

import asyncio
import ctypes
import faulthandler
import gc
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from benchmarks.soak.plan import Plan

#: Seconds between two looks.
LOOK = 1.0
#: Seconds between two looks at what is about to settle.
PAUSE = 0.02


class Watch:
    """A thread that looks whether requests end.

    Args:
        callers: How many there are.
        patience: Seconds after which a request has not ended for good.
        stuck: Called with the plan of such a request, once; it is to end the process.
    """

    def __init__(self, callers: int, patience: float, stuck: Callable[[Plan], None]) -> None:
        self._since = [0.0] * callers
        self._plans: list[Plan | None] = [None] * callers
        self._patience = patience
        self._stuck = stuck
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True, name="watch")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._is_over.set()
        self._thread.join()

    def began(self, slot: int, plan: Plan) -> None:
        """Take note that a caller begins a request."""
        self._since[slot] = time.monotonic()
        self._plans[slot] = plan

    def ended(self, slot: int) -> None:
        """Take note that a caller makes no more requests."""
        self._plans[slot] = None

    def _look(self) -> None:
        while not self._is_over.wait(LOOK):
            now = time.monotonic()
            for since, plan in zip(self._since, self._plans, strict=True):
                if plan is not None and now - since > self._patience:
                    self._stuck(plan)
                    return


def dump_stacks(loop: asyncio.AbstractEventLoop | None) -> None:
    """Write on standard error where every thread and task stands."""
    faulthandler.dump_traceback(sys.stderr, all_threads=True)
    for task in asyncio.all_tasks(loop) if loop is not None else ():
        task.print_stack(limit=12)


def descriptors() -> dict[str, str]:
    """Give the descriptors that are open, and what each is."""
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found[entry.name] = str(entry.readlink())
        except OSError:
            pass  # The one that lists the folder.
    return found


def thread_names() -> set[str]:
    """Give the threads that are there."""
    return {f"{thread.name} {thread.ident}" for thread in threading.enumerate()}


def resident_mib() -> float:
    """Give what the process has in memory, without garbage, and without what malloc keeps although nobody uses it.

    That grows for as long as threads come and go, by as much again as is used, and says nothing of what is kept.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
