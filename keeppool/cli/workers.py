"""Threads that work through jobs, and hand the results to the thread that asked for them.

Decides: that jobs are taken one at a time, and only when a thread is free; a million of them are never held.
Knows: threads. Does not know: what a job is.

The threads are daemons and touch no standard stream: one that hangs in a read when the command ends goes with it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Generic, Self, TypeVar

from keeppool.cli.endings import end_if_asked

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")

#: What a thread hands in when it goes.
_GONE: Final = object()

#: Seconds between two looks, in a wait for results, whether to end: short for a person who has pressed Ctrl-C.
_LOOK_UP: Final = 0.2


class Workers(Generic[_Job, _Result]):
    """Threads that work while somebody iterates over their results, once, in this object's `with` block.

    Args:
        jobs: Taken by one thread at a time, in order. What it raises is raised in the thread that iterates.
        work: Makes a result of a job, in any of the threads. As for `jobs`, it should not raise.
        size: How many threads.
    """

    def __init__(self, jobs: Iterable[_Job], work: Callable[[_Job], _Result], size: int) -> None:
        self._jobs = iter(jobs)
        self._work = work
        #: Guards `_jobs`; held while the next job is read, perhaps from a slow pipe.
        self._turn = threading.Lock()
        self._dismissed = False
        # Bounded: a slow reader of the results, such as a pager, slows the work down.
        self._results: queue.Queue[object] = queue.Queue(2 * size)
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(size)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Take no further job. Threads at work go on, unless the process ends."""
        self._dismissed = True

    def __iter__(self) -> Iterator[_Result]:
        for thread in self._threads:
            thread.start()
        at_work = len(self._threads)
        while at_work:
            result = self._next_result()
            if result is _GONE:
                at_work -= 1
            elif isinstance(result, _Raised):
                raise result.error
            else:
                yield result  # type: ignore[misc]  # the queue holds what `work` made, and the two kinds above
        for thread in self._threads:
            thread.join()

    def _next_result(self) -> object:
        """Wait for a result, and look up once in a while whether the wait is to end."""
        while True:
            end_if_asked()
            try:
                return self._results.get(timeout=_LOOK_UP)
            except queue.Empty:
                continue

    def _serve(self) -> None:
        try:
            for job in iter(self._take, _GONE):
                self._results.put(self._work(job))  # type: ignore[arg-type]
        except Exception as error:
            self._results.put(_Raised(error))
        self._results.put(_GONE)

    def _take(self) -> object:
        with self._turn:
            return _GONE if self._dismissed else next(self._jobs, _GONE)


class _Raised:
    """An error on its way to the thread that iterates."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error
