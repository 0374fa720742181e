"""`keeppool fetch --pipelining`: the session for tasks, on an event loop of its own, asked by the threads that fetch.

Decides: nothing. Requests that follow each other on one connection are for tasks; the rest of the command is threads.
Knows: an event loop, and a thread that runs it. Does not know: URLs and files.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Self

from keeppool import AsyncResponse, AsyncSession, Config
from keeppool.events import Event
from keeppool.stats import Stats


class LoopSession:
    """A session whose requests any thread may make; each waits for its response, whose body comes whole.

    Args:
        config: The session's.
        on_event: Likewise; called on the event loop.
    """

    def __init__(self, config: Config, on_event: Callable[[Event], None] | None) -> None:
        self._loop = asyncio.SelectorEventLoop()  # The kind that works on every system.
        self._session = AsyncSession(config=config, on_event=on_event)
        # A daemon, as those are that ask: what hangs when the command ends goes with it.
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def get(self, url: str) -> AsyncResponse:
        """Fetch a URL, and wait for all of its body."""
        return asyncio.run_coroutine_threadsafe(self._session.get(url), self._loop).result()

    def stats(self) -> Stats:
        """Give the figures of the pool."""
        return self._session.stats()

    def close(self) -> None:
        """Close the pool's idle connections; those at work when they are done."""
        asyncio.run_coroutine_threadsafe(self._session.aclose(), self._loop).result()
