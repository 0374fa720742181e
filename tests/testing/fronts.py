"""One way to write a test of `Replay` for all who send: sessions and pool managers, for threads and for tasks."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, NamedTuple, Self

import keeppool
import keeppool.requests

#: Each with a call `request(method, url, **options)` of its own.
FRONTS = {
    "Session": keeppool.Session,
    "AsyncSession": keeppool.AsyncSession,
    "keeppool.requests": keeppool.requests.Session,
    "keeppool.requests, tasks": keeppool.requests.AsyncSession,
    "PoolManager": keeppool.PoolManager,
    "AsyncPoolManager": keeppool.AsyncPoolManager,
}
SESSIONS = ["Session", "AsyncSession", "keeppool.requests", "keeppool.requests, tasks"]


class Got(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Front:
    """A session or pool manager, asked from outside of any event loop."""

    def __init__(self, name: str, **settings: Any) -> None:
        self.is_session = name in SESSIONS
        self._runner = asyncio.Runner()
        self.client = FRONTS[name](**settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.wait(self.client.aclose() if hasattr(self.client, "aclose") else self.client.close())
        self._runner.close()

    def wait(self, outcome: Any) -> Any:
        async def awaited() -> Any:
            return await outcome

        return self._runner.run(awaited()) if inspect.isawaitable(outcome) else outcome

    def ask(self, method: str, url: str, body: bytes | None = None, **options: Any) -> Got:
        """Send a request and read its response to the end."""

        async def in_a_task() -> Any:
            response = await self.client.request(method, url, **options)
            return response, (await response.read() if options.get("stream") else None)

        if body is not None:
            options["data" if self.is_session else "body"] = body
        if hasattr(self.client, "aclose"):
            response, streamed = self._runner.run(in_a_task())
        else:
            response = self.client.request(method, url, **options)
            streamed = b"".join(response.iter_content(3) if self.is_session else response.stream(3))
        head = (response.raw if self.is_session else response).head
        pairs = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in zip(head.names, head.values, strict=True)
        ]
        whole = streamed if streamed is not None else response.content if self.is_session else response.data
        return Got(head.status, pairs, whole)
