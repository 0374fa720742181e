"""What is closed at the end of its `with` block: the block itself, written once for threads and once for tasks.

Does not know: what is closed.
"""

from __future__ import annotations

from typing import Self


class Closing:
    """Something that a `with` block closes."""

    __slots__ = ()

    def close(self) -> None:
        """Give up what is held."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class AsyncClosing:
    """Something that an `async with` block closes."""

    __slots__ = ()

    async def aclose(self) -> None:
        """Give up what is held."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()
