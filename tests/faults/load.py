"""Callers under a fault: they go on asking, every call is written down, and at the end all must be well again.

Runs within the programs of this folder, each a process of its own that a fault may befall. The calls' numbers are their
paths, so a server can tell how often each was carried out; every third one is a POST.
"""

from __future__ import annotations

import asyncio
import collections
import faulthandler
import itertools
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from keeppool import AsyncSession, Session
from keeppool.errors import KeepPoolError
from keeppool.testing import Answer, Request

#: Seconds that bound a wait for an event; a hang is what they find.
PATIENCE = 20.0


def echo(request: Request) -> Answer:
    """Respond with what was asked for."""
    return Answer(body=request.target.encode())


class Load:
    """Callers in threads, or as tasks on an event loop that has a thread of its own.

    Args:
        kind: "threads" or "tasks".
        url: Where to; a call's number is its path.
        callers: How many ask at a time.
        settings: The session's.

    Attributes:
        outcomes: By number: "ok", or the class of the error.
        wrong: What must never be: another call's response, an error that is none of keeppool's.
    """

    def __init__(self, kind: str, url: str, callers: int = 6, **settings: Any) -> None:
        self.kind = kind
        self.url = url
        self.outcomes: dict[int, str] = {}
        self.wrong: list[str] = []
        self._settings = settings
        self._numbers = itertools.count(1)
        self._begun: set[int] = set()
        self._is_over = False
        self._changed = threading.Condition()
        self.loop: asyncio.AbstractEventLoop | None = None
        if kind == "threads":
            self.session: Any = Session(**settings)
            self._threads = [threading.Thread(target=self._ask_on, daemon=True) for _ in range(callers)]
        else:
            self.loop = asyncio.SelectorEventLoop()
            self.session = AsyncSession(**settings)
            self._tasks = [self.loop.create_task(self._ask_on_as_task()) for _ in range(callers)]
            self._threads = [threading.Thread(target=self._run_loop, daemon=True)]
        faulthandler.dump_traceback_later(3 * PATIENCE, exit=True)
        for thread in self._threads:
            thread.start()

    # What a test does with it

    def until(self, *names: str, count: int = 10) -> None:
        """Wait until so many more calls have ended with one of these outcomes; `ok` if no other is named."""
        wanted = set(names or ("ok",))
        with self._changed:
            before = self.count(wanted)
            assert self._changed.wait_for(lambda: self.count(wanted) >= before + count, PATIENCE), self._told()

    def fork(self) -> None:
        """Fork, with everybody busy: a child that asks in its own right ends, well or with one of keeppool's errors."""
        child = os.fork()
        if child == 0:
            code = 1
            try:
                signal_if_hung()
                sys.unraisablehook = bool  # asyncio's own, of an event loop for which there was nothing left.
                self._ask_in_child()
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "the child failed"

    def end(self) -> None:
        """Let the calls under way end, and see that nothing is left of them."""
        self._is_over = True
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), f"a caller never ended: {self._told()}"
        faulthandler.cancel_dump_traceback_later()
        assert set(self.outcomes) == self._begun, f"calls without an end: {self._begun - set(self.outcomes)}"
        assert self.wrong == []
        if self.loop is not None and (dials := asyncio.all_tasks(self.loop)):
            # A dial is the pool's, and goes on for the next caller when the one it was made for has gone.
            self.loop.run_until_complete(asyncio.wait(dials, timeout=PATIENCE))
        stats = self.session.stats()
        assert (stats.busy, stats.connecting, stats.waiting) == (0, 0, 0), stats
        if self.loop is None:
            self.session.close()
        else:
            self.loop.run_until_complete(self.session.aclose())
            self.loop.close()

    def pause(self) -> None:
        """Stop the event loop in the middle of what it does, and let it go on."""
        assert self.loop is not None
        stopped, self._stopped = threading.Event(), threading.Event()
        self._goes_on, self._stopped = threading.Event(), stopped
        self.loop.call_soon_threadsafe(self.loop.stop)
        assert stopped.wait(PATIENCE)
        self._goes_on.set()

    # Asking

    def _ask_on(self) -> None:
        while not self._is_over:
            number = self._begin()
            try:
                method = "POST" if number % 3 == 0 else "GET"
                self._note(number, self.session.request(method, f"{self.url}/{number}").text)
            except BaseException as error:
                self._note(number, error)

    async def _ask_on_as_task(self) -> None:
        while not self._is_over:
            number = self._begin()
            try:
                method = "POST" if number % 3 == 0 else "GET"
                self._note(number, (await self.session.request(method, f"{self.url}/{number}")).text)
            except BaseException as error:
                self._note(number, error)

    def _run_loop(self) -> None:
        assert self.loop is not None
        asyncio.set_event_loop(self.loop)
        everybody = asyncio.gather(*self._tasks)
        while not everybody.done():
            everybody.add_done_callback(lambda _: self.loop and self.loop.stop())
            self.loop.run_forever()
            if not everybody.done():
                self._stopped.set()
                self._goes_on.wait(PATIENCE)

    def _begin(self) -> int:
        with self._changed:
            number = next(self._numbers)
            self._begun.add(number)
            return number

    def _note(self, number: int, outcome: str | BaseException) -> None:
        with self._changed:
            if isinstance(outcome, str):
                self.outcomes[number] = "ok"
                if outcome != f"/{number}":
                    self.wrong.append(f"{number} was given {outcome!r}")
            else:
                self.outcomes[number] = type(outcome).__name__
                if not isinstance(outcome, KeepPoolError):
                    self.wrong.append(f"{number}: {outcome!r}")
            self._changed.notify_all()

    def count(self, wanted: set[str]) -> int:
        """Tell how many calls have ended in one of these ways so far."""
        with self._changed:
            return sum(outcome in wanted for outcome in self.outcomes.values())

    def _told(self) -> str:
        return f"{collections.Counter(self.outcomes.values())}, {len(self._begun)} begun, {self.wrong[:3]}"

    def _ask_in_child(self) -> None:
        if self.kind == "threads":
            ask: Callable[[], Any] = lambda: self.session.get(f"{self.url}/child")  # noqa: E731
        else:
            ask = lambda: asyncio.run(self._ask_on_a_new_loop())  # noqa: E731
        try:
            assert ask().text == "/child"
        except (KeepPoolError, OSError):
            pass  # An OSError of asyncio's own, where there is nothing left for a new event loop.

    async def _ask_on_a_new_loop(self) -> Any:
        async with AsyncSession(**self._settings) as session:
            return await session.get(f"{self.url}/child")


def signal_if_hung() -> None:
    """End a forked child that hangs, and say where. The parent's watch does not exist there, but its lock may."""
    import signal

    signal.signal(signal.SIGALRM, _told_and_ended)
    signal.alarm(int(PATIENCE / 2))


def _told_and_ended(*_: object) -> None:
    faulthandler.dump_traceback(sys.stderr, all_threads=True)
    os._exit(2)
