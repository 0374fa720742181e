"""`LoopResolver`: `Resolver` for an event loop, where a task waits, and a program's own function may be awaited.

Decides: that a coroutine function is called once for all who wait, and cancelled when the last of them has gone.
Knows: that an event loop may be gone when a thread comes back.
Does not know: as `resolver.py`. asyncio's default executor is left to the program: names that nobody answers for would
    take its threads, and the loop would wait for them at its end.
"""

from __future__ import annotations

import asyncio
import contextlib

from keeppool.net.addresses import Address
from keeppool.net.deadline import Deadline
from keeppool.net.resolver import MOMENT, Question, Resolver, Unresolved, from_program, is_awaited, reason_of


class LoopResolver(Resolver):
    """The names of one pool on an event loop.

    Args:
        look_up: As for `Resolver`; or a coroutine function.
        ttl: As for `Resolver`.
        clock: As for `Resolver`.

    Thread safety: none; everything is asked on one event loop.
    """

    def _start_empty(self) -> None:
        self._is_awaited = self.look_up is not None and is_awaited(self.look_up)
        #: Calls of a coroutine function, and how many wait for each.
        self._tasks: dict[Question, tuple[asyncio.Task[list[Address]], list[None]]] = {}
        #: Looks, one for all, whether names that wait for a thread need more of them.
        self._timer: asyncio.TimerHandle | None = None

    async def resolve(self, question: Question, deadline: Deadline) -> list[Address]:
        """Look a name up, and wait for it in this task.

        Args:
            question: What to look up.
            deadline: The longest wait.

        Returns:
            Addresses in the order the resolver gave them, at least one.

        Raises:
            TimeoutError: There was no answer in time.
            Unresolved: There is no address; `__cause__` tells why.
        """
        found = self.known(question)
        if found is None:
            async with asyncio.timeout(deadline.left()):
                found = await (self._from_coroutine(question) if self._is_awaited else self._from_thread(question))
        return found

    async def _from_thread(self, question: Question) -> list[Address]:
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def wake() -> None:
            # The loop may have ended without its task, and nobody be there to be told.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_set, ended)

        search = self.begin(question, wake)
        try:
            if search.began_at is None and self._timer is None:
                self._timer = loop.call_later(MOMENT, self._look_on, loop)
            await ended
        finally:
            self.leave(search, wake)
        return search.result()

    def _look_on(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(MOMENT, self._look_on, loop) if self.hasten() else None

    async def _from_coroutine(self, question: Question) -> list[Address]:
        task, callers = self._tasks.get(question, (None, []))
        if task is None:
            task = asyncio.get_running_loop().create_task(self._asked(question))
            task.add_done_callback(_take_failure)
            self._tasks[question] = task, callers
        callers.append(None)
        try:
            # Not the task itself: it is everybody's, and a caller that is cancelled goes alone.
            await asyncio.wait([task])
        finally:
            callers.pop()
            if not callers:
                task.cancel()  # Unless it is done.
                del self._tasks[question]
        if task.cancelled():
            raise Unresolved("the resolver was cancelled")
        failure = task.exception()
        if failure is not None:
            raise Unresolved(reason_of(failure)) from failure
        return task.result()

    async def _asked(self, question: Question) -> list[Address]:
        assert self.look_up is not None, "bug: no function to await"
        found = from_program(question, await self.look_up(question.host, question.port))
        with self._lock:
            self._keep(question, found)
        return found


def _set(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)


def _take_failure(task: asyncio.Task[list[Address]]) -> None:
    """Look at a failure that nobody waits for, so that asyncio does not complain of it."""
    if not task.cancelled():
        task.exception()
