"""One way to write a test for `Session` and `AsyncSession` alike: what an async one has to wait for is awaited."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import keeppool
import keeppool.requests

#: Seconds after which a wait is given up; nothing here takes a hundredth of it.
PATIENCE = 30.0


class Threads:
    """Runs a test's calls as they are."""

    Session = keeppool.Session
    Adapter = keeppool.HTTPAdapter
    Response = keeppool.Response

    def __init__(self) -> None:
        self._open: list[Any] = []

    def session(self, *arguments: Any, **settings: Any) -> Any:
        """Make a session that is closed with the test."""
        made = self.Session(*arguments, **settings)
        self._open.append(made)
        return made

    def wait(self, outcome: Any) -> Any:
        """Give what a call gave, awaited if need be."""
        return outcome

    def all_of(self, pieces: Iterable[Any]) -> list[Any]:
        """List what an iterator gives."""
        return list(pieces)

    def take(self, pieces: Any, number: int) -> list[Any]:
        """List the first so many of what an iterator gives, and leave the rest."""
        found = iter(pieces)
        return [next(found) for _ in range(number)]

    def pause(self, seconds: float) -> None:
        """Let time pass; an event loop turns meanwhile."""
        threading.Event().wait(seconds)

    def at_once(self, call: Callable[[], Any], times: int) -> list[Any]:
        """Make a call that often at the same time, and list what it gave."""
        with ThreadPoolExecutor(times) as threads:
            return [made.result(PATIENCE) for made in [threads.submit(call) for _ in range(times)]]

    def give_up(self, closable: Any) -> None:
        """Close an answer or a session."""
        closable.close()

    def end(self) -> None:
        for session in self._open:
            assert (session.stats().busy, session.stats().waiting) == (0, 0)
            session.close()


class Tasks(Threads):
    """Runs a test's calls on one event loop, which turns while it waits for one of them."""

    Session = keeppool.AsyncSession
    Adapter = keeppool.AsyncHTTPAdapter
    Response = keeppool.AsyncResponse

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()

    def wait(self, outcome: Any) -> Any:
        return self._runner.run(_bounded(outcome)) if inspect.isawaitable(outcome) else outcome

    def all_of(self, pieces: Any) -> list[Any]:
        return self.wait(_all_of(pieces)) if hasattr(pieces, "__aiter__") else list(pieces)

    def take(self, pieces: Any, number: int) -> list[Any]:
        found = pieces.__aiter__()
        return [self.wait(anext(found)) for _ in range(number)]

    def pause(self, seconds: float) -> None:
        self.wait(asyncio.sleep(seconds))

    def at_once(self, call: Callable[[], Any], times: int) -> list[Any]:
        return self.wait(_all_at_once(call, times))

    def give_up(self, closable: Any) -> None:
        self.wait(closable.aclose())

    def end(self) -> None:
        for session in self._open:
            assert (session.stats().busy, session.stats().waiting) == (0, 0)
            self.wait(session.aclose())
        self._runner.close()


async def _bounded(outcome: Any) -> Any:
    async with asyncio.timeout(PATIENCE):
        return await outcome


async def _all_at_once(call: Callable[[], Any], times: int) -> list[Any]:
    return await asyncio.gather(*(call() for _ in range(times)))


async def _all_of(pieces: AsyncIterator[Any]) -> list[Any]:
    return [piece async for piece in pieces]


class RequestsThreads(Threads):
    """Runs a test's calls as they are, on the session that requests' names mean."""

    Session = keeppool.requests.Session
    Response = keeppool.requests.Response


class RequestsTasks(Tasks):
    """Runs a test's calls on an event loop, on that session's twin."""

    Session = keeppool.requests.AsyncSession
    Response = keeppool.requests.AsyncResponse


def name_of(driver: type[Threads]) -> str:
    """Name a driver in a test's name."""
    names = {Threads: "threads", Tasks: "tasks", RequestsThreads: "requests-threads", RequestsTasks: "requests-tasks"}
    return names[driver]


DRIVERS: tuple[type[Threads], ...] = (Threads, Tasks, RequestsThreads, RequestsTasks)
#: Marks a test of what only a session of requests' kind has.
of_requests = pytest.mark.parametrize("session", [keeppool.requests.Session], indirect=True, ids=["requests"])
#: The same for a test that a driver runs.
on_requests = pytest.mark.parametrize("on", [RequestsThreads, RequestsTasks], indirect=True, ids=["threads", "tasks"])
