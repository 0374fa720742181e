"""An `AsyncPoolManager` that is used like a `PoolManager`, so that one set of tests holds for both.

The event loop turns only while a call waits: in between, servers do what they like and nobody listens.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any, Self

from keeppool.pools.manager_tasks import AsyncPoolManager
from keeppool.pools.response_tasks import AsyncResponse


class PoolOnALoop:
    """A pool manager whose every call runs its own event loop until it is done."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self.complaints: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        self.pool = AsyncPoolManager(*arguments, **options)
        self._pool = self.pool._pool

    def run(self, awaitable: Any) -> Any:
        return self.loop.run_until_complete(awaitable)

    def request(self, *arguments: Any, **options: Any) -> ResponseOnALoop:
        return ResponseOnALoop(self, self.run(self.pool.request(*arguments, **options)))

    def stats(self) -> Any:
        return self.pool.stats()

    def close(self) -> None:
        """Close the pool; also from a server's thread, while a call is under way."""
        if self.loop.is_running():
            asyncio.run_coroutine_threadsafe(self.pool.aclose(), self.loop).result(10)
        else:
            self.run(self.pool.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
        left = asyncio.all_tasks(self.loop)
        self.run(asyncio.sleep(0))
        self.loop.close()
        assert not left, "a task outlived the pool"
        assert not self.complaints, "an error that nobody took"


class ResponseOnALoop:
    """A response whose awaited calls are run to their end."""

    def __init__(self, pool: PoolOnALoop, response: AsyncResponse) -> None:
        self._of = pool
        self.response = response

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.response, name)
        if not inspect.iscoroutinefunction(value):
            return value
        return lambda *arguments, **options: self._of.run(value(*arguments, **options))

    @property
    def data(self) -> bytes:
        self._of.run(self.response.preload())
        return self.response.data

    def json(self) -> Any:
        self._of.run(self.response.preload())
        return self.response.json()

    def stream(self, *arguments: Any, **options: Any) -> Iterator[bytes]:
        pieces = self.response.stream(*arguments, **options)
        while (piece := self._of.run(anext(pieces, None))) is not None:
            yield piece

    def close(self) -> None:
        self._of.run(self.response.aclose())

    def __iter__(self) -> Iterator[bytes]:
        return self.stream()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
