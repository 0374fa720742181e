"""`Response`: a response whose body is read in the caller's thread.

Decides: what may still be done with the body: looked at again and again, or streamed once.
Waits: for the rest of the body, through the pool's response (`raw`).
Does not know: the session.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, cast, overload

from keeppool.client.response.base import PIECE, BaseResponse, piece_size
from keeppool.client.response.text import decoded_pieces, lines
from keeppool.closing import Closing


class Response(BaseResponse, Closing):
    """A response to a request.

    True if it is `ok`. Iterating gives the body in pieces. Leaving its `with` block, or `close`, gives up a body that
    was not read; reading it to its end gives the connection back by itself.

    Without arguments it is a response that nobody has sent, to be filled by hand: tests of programs make such ones.

    Args:
        raw: The pool's response.
        request: What was sent.
        stream: The body is left on its way.
        pool: Where it came from.

    Attributes:
        raw: The pool's response, or any file that holds the body; `None` after unpickling.
        status_code: 200 to 999, or 101; 0 for a response that nobody has sent.
        request: What was sent.

    Thread safety: one thread at a time.
    """

    @property
    def content(self) -> bytes:
        """The whole body, content codings undone.

        Raises:
            StreamConsumedError: A part of it was streamed, or it was closed unread.
            ExchangeError: It broke off, was malformed, or came too slowly; only with `stream=True`.
        """
        if self._content is None:
            self._content = self._read() if self._streams else self._raw.data
        return self._content

    def read(self) -> bytes:
        """Read the whole body; what `content` does, under the name it has where it is awaited.

        Raises:
            StreamConsumedError, ExchangeError: As for `content`.
        """
        return self.content

    @overload
    def iter_content(
        self, chunk_size: int | None = 1, decode_unicode: Literal[False] = False
    ) -> Iterator[bytes]: ...  # pragma: no cover
    @overload
    def iter_content(
        self, chunk_size: int | None = 1, *, decode_unicode: bool
    ) -> Iterator[bytes] | Iterator[str]: ...  # pragma: no cover
    def iter_content(self, chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[bytes] | Iterator[str]:
        """Go through the body in pieces; with `stream=True` as they arrive, without keeping them.

        Args:
            chunk_size: Most bytes of a piece before text is made of it; `None` takes them as they come.
            decode_unicode: Give text in `encoding`; bytes all the same if there is none.

        Raises:
            StreamConsumedError: It was streamed to its end, or closed unread.
            TypeError: `chunk_size` is no whole number.
            ExchangeError: As for `content`, while iterating.
        """
        pieces: Iterator[bytes] = self._pieces(piece_size(chunk_size))
        encoding = self.encoding if decode_unicode else None
        return pieces if encoding is None else decoded_pieces(pieces, encoding)

    def iter_lines(
        self, chunk_size: int | None = PIECE, decode_unicode: bool = False, delimiter: str | bytes | None = None
    ) -> Iterator[Any]:
        """Go through the body line by line, without the line ends.

        Args:
            chunk_size: As for `iter_content`; a line may be longer.
            decode_unicode: As for `iter_content`.
            delimiter: What ends a line; bytes, or text with `decode_unicode`. `None` for any line end.

        Raises:
            StreamConsumedError, ExchangeError: As for `iter_content`.
        """
        pieces: Any = self.iter_content(chunk_size, decode_unicode=decode_unicode)
        return lines(pieces, delimiter or None)

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """Go through the body in pieces, as they come unless `chunk_size` is given: `iter_content` by httpx's name.

        Raises:
            StreamConsumedError, TypeError, ExchangeError: As for `iter_content`.
        """
        return cast("Iterator[bytes]", self._pieces(piece_size(chunk_size)))

    def iter_text(self, chunk_size: int | None = None) -> Iterator[str]:
        """Go through the body as text, in `encoding` or UTF-8; httpx's name.

        Args:
            chunk_size: Most bytes of a piece before text is made of it; `None` takes them as they come.

        Raises:
            StreamConsumedError, TypeError, ExchangeError: As for `iter_content`.
        """
        return decoded_pieces(self._pieces(piece_size(chunk_size)), self.encoding or "utf-8")

    def drain(self) -> None:
        """Read a small unwanted body so that its connection can be used again; close it if it is large or slow.

        Unless a part of it was read before, `content` has it from then on.
        """
        if self._gives_up():
            if hasattr(self._raw, "preload_small"):
                if self._raw.preload_small():
                    self._content, self._spent = self._raw.data, False
            elif hasattr(self._raw, "drain_conn"):
                self._raw.drain_conn()

    def close(self) -> None:
        """Give up what was not read of the body. Its connection is closed, unless the body had ended."""
        if self._gives_up():
            self._raw.close()

    def __iter__(self) -> Iterator[bytes]:
        return self.iter_content(PIECE)

    def _read(self) -> bytes:
        if self._spent:
            raise self._is_gone()
        # Spent until it is whole: after an error nobody may take the missing part for the end.
        self._spent = True
        content: bytes = _all_of(self._raw)
        self._spent = False
        return content

    def _cut(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        return pieces

    def _stream(self, size: int) -> Iterator[bytes]:
        self._spent = True
        if hasattr(self._raw, "stream"):
            yield from self._raw.stream(size)
        else:
            # Any file: a response filled by hand.
            while piece := self._raw.read(size):
                yield piece


def _all_of(raw: Any) -> bytes:
    """Read the whole body from a pool's response or any file; a response that nobody has sent has none."""
    if raw is None:
        return None  # type: ignore[return-value]  # as in requests
    content: bytes = raw.data if hasattr(raw, "data") else raw.read()
    return content
