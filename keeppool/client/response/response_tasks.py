"""`AsyncResponse`: a response whose body is awaited.

Decides: what may still be done with the body: looked at again and again, or streamed once. `Response` decides the same.
Awaits: the rest of the body, through the pool's response (`raw`).
Does not know: the session.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

from keeppool.client.response.base import PIECE, BaseResponse, piece_size
from keeppool.client.response.text import LineCutter, PieceDecoder
from keeppool.closing import AsyncClosing


class AsyncResponse(BaseResponse, AsyncClosing):
    """A response to a request.

    True if it is `ok`. Iterating gives the body in pieces. Leaving its `with` block, or `aclose`, gives up a body that
    was not read; reading it to its end gives the connection back by itself.

    Without arguments it is a response that nobody has sent, to be filled by hand: tests of programs make such ones.

    Args:
        raw: The pool's response.
        request: What was sent.
        stream: The body is left on its way.
        pool: Where it came from.

    Attributes:
        raw: The pool's response; `None` after unpickling.
        status_code: 200 to 999, or 101; 0 for a response that nobody has sent.
        request: What was sent.

    Thread safety: one task at a time.
    """

    @property
    def content(self) -> bytes:
        """The whole body, content codings undone.

        Raises:
            StreamConsumedError: It is still on its way (await `read` first), a part of it was streamed, or it was
                closed unread.
        """
        if self._content is None and not self._streams:
            self._content = self._raw.data
        if self._content is None and self._raw is not None:
            if self._spent:
                raise self._is_gone()
            raise self._consumed("the body is still on its way: await read() first")
        return self._content  # type: ignore[return-value]  # a response made by hand may have none, as in requests

    async def read(self) -> bytes:
        """Read the whole body; afterwards `content`, `text` and `json` have it.

        Raises:
            StreamConsumedError: A part of it was streamed, or it was closed unread.
            ExchangeError: It broke off, was malformed, or came too slowly; only with `stream=True`.
        """
        if self._content is None and self._streams and self._raw is not None:
            if self._spent:
                raise self._is_gone()
            # Spent until it is whole: after an error nobody may take the missing part for the end.
            self._spent = True
            await self._raw.preload()
            self._content = self._raw.data
            self._spent = False
        return self.content

    def iter_content(
        self, chunk_size: int | None = 1, decode_unicode: bool = False
    ) -> AsyncIterator[bytes] | AsyncIterator[str]:
        """Go through the body in pieces; with `stream=True` as they arrive, without keeping them.

        Args:
            chunk_size: Most bytes of a piece before text is made of it; `None` takes them as they come.
            decode_unicode: Give text in `encoding`; bytes all the same if there is none.

        Raises:
            StreamConsumedError: It was streamed to its end, or closed unread.
            TypeError: `chunk_size` is no whole number.
            ExchangeError: As for `content`, while iterating.
        """
        pieces: AsyncIterator[bytes] = self._pieces(piece_size(chunk_size))
        encoding = self.encoding if decode_unicode else None
        return pieces if encoding is None else _decoded(pieces, PieceDecoder(encoding))

    def iter_lines(
        self, chunk_size: int | None = PIECE, decode_unicode: bool = False, delimiter: str | bytes | None = None
    ) -> AsyncIterator[Any]:
        """Go through the body line by line, without the line ends.

        Args:
            chunk_size: As for `iter_content`; a line may be longer.
            decode_unicode: As for `iter_content`.
            delimiter: What ends a line; bytes, or text with `decode_unicode`. `None` for any line end.

        Raises:
            StreamConsumedError, ExchangeError: As for `iter_content`.
        """
        return _cut(self.iter_content(chunk_size, decode_unicode), LineCutter(delimiter or None))

    def aiter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        """Go through the body in pieces, as they come unless `chunk_size` is given: `iter_content` by httpx's name.

        Raises:
            StreamConsumedError, TypeError, ExchangeError: As for `iter_content`.
        """
        return cast("AsyncIterator[bytes]", self._pieces(piece_size(chunk_size)))

    def aiter_text(self, chunk_size: int | None = None) -> AsyncIterator[str]:
        """Go through the body as text, in `encoding` or UTF-8; httpx's name.

        Args:
            chunk_size: Most bytes of a piece before text is made of it; `None` takes them as they come.

        Raises:
            StreamConsumedError, TypeError, ExchangeError: As for `iter_content`.
        """
        return _decoded(self._pieces(piece_size(chunk_size)), PieceDecoder(self.encoding or "utf-8"))

    def aiter_lines(self) -> AsyncIterator[str]:
        """Go through the body line by line, as text in `encoding` or UTF-8, without the line ends; httpx's name.

        Raises:
            StreamConsumedError, ExchangeError: As for `iter_content`.
        """
        return _cut(self.aiter_text(), LineCutter(None))

    async def drain(self) -> None:
        """Read a small unwanted body so that its connection can be used again; close it if it is large or slow.

        Unless a part of it was read before, `content` has it from then on.
        """
        if self._gives_up() and await self._raw.preload_small():
            self._content, self._spent = self._raw.data, False

    async def aclose(self) -> None:
        """Give up what was not read of the body. Its connection is closed, unless the body had ended."""
        if self._gives_up():
            await self._raw.aclose()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return cast("AsyncIterator[bytes]", self._pieces(PIECE))

    async def _cut(self, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async def _stream(self, size: int) -> AsyncIterator[bytes]:
        self._spent = True
        async for piece in self._raw.stream(size):
            yield piece


async def _decoded(pieces: AsyncIterator[bytes], decoder: PieceDecoder) -> AsyncIterator[str]:
    async for piece in pieces:
        if text := decoder.feed(piece):
            yield text
    if text := decoder.finish():
        yield text


async def _cut(pieces: AsyncIterator[Any], cutter: LineCutter[Any]) -> AsyncIterator[Any]:
    async for piece in pieces:
        for line in cutter.feed(piece):
            yield line
    for line in cutter.finish():
        yield line
