"""A response's body as a client's stream, for threads and for tasks.

Decides: in which pieces a body comes.
Waits for the network, in the pool's response.
Does not know: decoding, which is the client's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Any, Final

from keeppool.adapters.transports.errors import translated
from keeppool.adapters.transports.tracing import BODY, CLOSED, done
from keeppool.errors import KeepPoolError
from keeppool.pools.response import Response
from keeppool.pools.response_tasks import AsyncResponse

#: Bytes of a piece at the most; as many as httpcore reads at a time.
PIECE: Final = 65536


class BlockingBody:
    """A body on its way to a thread; made an instance of the module's `SyncByteStream` by whoever makes the classes.

    Args:
        module: The client's.
        answer: The response.
    """

    def __init__(self, module: ModuleType, answer: Response) -> None:
        self._module = module
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._answer.stream(PIECE)
        except KeepPoolError as error:
            raise translated(self._module, error) from error

    def close(self) -> None:
        """Give up the rest; what is here already is read away, so that the connection can be kept. Never waits."""
        self._answer.close()


class TracedBlockingBody(BlockingBody):
    """The same, told to the request's `trace` callback."""

    def __init__(self, module: ModuleType, answer: Response, trace: Any, request: Any) -> None:
        super().__init__(module, answer)
        self._trace: Any = trace
        self._request = request
        self._is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        self._trace(f"{BODY}.started", {"request": self._request})
        try:
            yield from super().__iter__()
        except BaseException as error:
            self._trace(f"{BODY}.failed", {"exception": error})
            self.close()
            raise
        self._trace(f"{BODY}.complete", {"return_value": None})

    def close(self) -> None:
        """Give up the rest, and tell that the response is closed."""
        super().close()
        if not self._is_closed:
            self._is_closed = True
            for name, info in done(CLOSED):
                self._trace(name, info)


class AwaitedBody:
    """A body on its way to a task; an instance of the module's `AsyncByteStream`. Args as for `BlockingBody`."""

    def __init__(self, module: ModuleType, answer: AsyncResponse) -> None:
        self._module = module
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._answer.stream(PIECE):
                yield piece
        except KeepPoolError as error:
            raise translated(self._module, error) from error

    async def aclose(self) -> None:
        """Give up the rest, as `BlockingBody.close`. Never waits, so that no cancelled scope can break it off."""
        try:
            await self._answer.aclose()
        except KeepPoolError as error:
            raise translated(self._module, error) from error


class TracedAwaitedBody(AwaitedBody):
    """The same, told to the request's `trace` callback, which is awaited."""

    def __init__(self, module: ModuleType, answer: AsyncResponse, trace: Any, request: Any) -> None:
        super().__init__(module, answer)
        self._trace: Any = trace
        self._request = request
        self._is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        await self._trace(f"{BODY}.started", {"request": self._request})
        try:
            async for piece in super().__aiter__():
                yield piece
        except BaseException as error:
            await super().aclose()  # Before a callback that a cancelled scope may break off.
            await self._trace(f"{BODY}.failed", {"exception": error})
            await self.aclose()
            raise
        await self._trace(f"{BODY}.complete", {"return_value": None})

    async def aclose(self) -> None:
        """Give up the rest, and tell that the response is closed."""
        await super().aclose()
        if not self._is_closed:
            self._is_closed = True
            for name, info in done(CLOSED):
                await self._trace(name, info)
