"""`Pending`: what a call on an event loop gives before it is awaited; `async with` takes it as well.

    response = await session.get(url)
    async with session.get(url, stream=True) as response: ...

Decides: nothing. It is the coroutine under another type: what awaits it, or makes a task of it, gets the coroutine's
    methods, which stand in slots: methods around them would cost each call two more, and each turn of a task one.
Does not know: sessions.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Final, TypeVar

from keeppool.client.response.response_tasks import AsyncResponse

ResponseT_co = TypeVar("ResponseT_co", bound=AsyncResponse, covariant=True)

#: What debuggers, `asyncio.Task.get_stack` and `inspect` look at in a coroutine.
_OF_COROUTINES: Final = frozenset(
    ("__name__", "__qualname__", "cr_await", "cr_code", "cr_frame", "cr_origin", "cr_running", "cr_suspended")
)


class Pending(Coroutine[Any, Any, ResponseT_co]):
    """A call that has not been awaited yet; a coroutine, and an asynchronous context manager of its response.

    Leaving the `async with` block closes the response.
    """

    __slots__ = ("__await__", "_response", "close", "send", "throw")

    _response: ResponseT_co

    if TYPE_CHECKING:  # What stands in a slot is bound already, which type checkers cannot be told.
        __qualname__: str

        def __await__(self) -> Generator[Any, Any, ResponseT_co]: ...

        def send(self, value: Any, /) -> Any: ...  # noqa: D102

        def throw(self, *error: Any) -> Any: ...  # noqa: D102

        def close(self) -> None: ...  # noqa: D102

    else:

        def __getattr__(self, name: str) -> Any:
            if name in _OF_COROUTINES:
                return getattr(self.send.__self__, name)
            raise AttributeError(f"a call has no {name!r} before it is awaited", name=name, obj=self)

    def __repr__(self) -> str:
        return f"<Pending {self.__qualname__} at {id(self):#x}>"

    async def __aenter__(self) -> ResponseT_co:
        self._response = response = await self
        return response

    async def __aexit__(self, *exc_info: object) -> None:
        await closed(self._response)


def pending(coroutine: Coroutine[Any, Any, ResponseT_co]) -> Pending[ResponseT_co]:
    """Give a coroutine that `async with` takes too."""
    made: Pending[ResponseT_co] = Pending()
    made.__await__, made.send, made.throw, made.close = (  # type: ignore[method-assign]  # they are slots
        *(coroutine.__await__, coroutine.send, coroutine.throw, coroutine.close),
    )
    return made


def refused(error: Exception) -> Pending[Any]:
    """Give what raises an error when it is awaited."""
    return pending(_raised(error))


async def _raised(error: Exception) -> Any:
    try:
        raise error
    finally:
        del error  # Its traceback holds this frame.


async def closed(held: object) -> None:
    """Close a response or an adapter, by the name it has for it."""
    close: Callable[[], object] = held.aclose if hasattr(held, "aclose") else held.close  # type: ignore[attr-defined]
    await awaited(close())


async def awaited(outcome: object) -> object:
    """Take what a function of the caller's gave: an outcome, or something to await for it."""
    return await outcome if inspect.isawaitable(outcome) else outcome
