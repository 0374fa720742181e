"""`LoopResolver`: `Resolver` for an event loop, where a task waits, and a program's own function may be awaited.

Decides: that a coroutine function is called once for all who wait, and cancelled when the last of them has gone.
Knows: that an event loop may be gone when a thread comes back.
Does not know: as `resolver.py`. asyncio's default executor is left to the program: names that nobody answers for would
    take its threads, and the loop would wait for them at its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from typing import Any

from keeppool.net.addresses import Address
from keeppool.net.deadline import Deadline
from keeppool.net.resolver import MOMENT, Question, Resolver, Unresolved, from_program, outcome, reason_of


class LoopResolver(Resolver):
    """The names of one pool on an event loop.

    Args:
        look_up: As for `Resolver`; or a coroutine function.
        ttl: As for `Resolver`.

    Thread safety: none; everything is asked on one event loop.
    """

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._is_awaited = inspect.iscoroutinefunction(self.look_up)
        #: Calls of a coroutine function, and how many wait for each.
        self._tasks: dict[Question, tuple[asyncio.Task[list[Address]], list[None]]] = {}

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
        search, came = self.begin(question), loop.create_future()
        timer: asyncio.TimerHandle | None = None

        def look_on() -> None:
            nonlocal timer
            if not search.is_begun:
                self.hasten()
                timer = loop.call_later(MOMENT, look_on)

        def tell(_: object) -> None:
            # The loop may have ended without its task, and nobody be there to be told.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_wake, came)

        try:
            timer = loop.call_later(MOMENT, look_on)
            search.future.add_done_callback(tell)
            await came
        finally:
            if timer is not None:
                timer.cancel()
            self.leave(search)
        return outcome(search, search.future.exception())

    async def _from_coroutine(self, question: Question) -> list[Address]:
        task, callers = self._tasks.get(question, (None, []))
        if task is None:
            task = asyncio.get_running_loop().create_task(self._asked(question))
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


def _wake(came: asyncio.Future[None]) -> None:
    if not came.done():
        came.set_result(None)
