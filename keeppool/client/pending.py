"""`Pending`: what a call on an event loop gives before it is awaited; `async with` takes it as well.

    response = await session.get(url)
    async with session.get(url, stream=True) as response: ...

Decides: nothing. It is the coroutine under another type: what awaits it, or makes a task of it, gets that one's
    methods, which stand in slots: methods around
    them would cost each call two more, and each turn of a task one.
Does not know: sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

from keeppool.client.response.response_tasks import AsyncResponse

ResponseT_co = TypeVar("ResponseT_co", bound=AsyncResponse, covariant=True)


class Pending(Coroutine[Any, Any, ResponseT_co]):
    """A call that has not been awaited yet; a coroutine, and an asynchronous context manager of its response.

    Leaving the `async with` block closes the response.
    """

    __slots__ = ("__await__", "_response", "close", "send", "throw")

    __await__: Callable[[], Generator[Any, Any, ResponseT_co]]
    send: Callable[[Any], Any]
    throw: Callable[..., Any]
    close: Callable[[], None]
    _response: AsyncResponse

    async def __aenter__(self) -> ResponseT_co:
        self._response = response = await self  # type: ignore[misc]  # what stands in a slot is bound already
        return response

    async def __aexit__(self, *exc_info: object) -> None:
        await self._response.aclose()


def pending(coroutine: Coroutine[Any, Any, ResponseT_co]) -> Pending[ResponseT_co]:
    """Give a coroutine that `async with` takes too."""
    made: Pending[ResponseT_co] = Pending()
    made.__await__, made.send, made.throw, made.close = (
        *(coroutine.__await__, coroutine.send, coroutine.throw, coroutine.close),
    )
    return made
