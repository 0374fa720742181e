"""`Raw`: what `raw` of a response is to programs written for requests: a file, whose bytes are as they were sent.

Decides: that nothing is decoded unless `decode_content` says so, as in requests.
Knows: what programs do with it: they copy it to a file, read lines, wrap it, set `decode_content`, and replace `read`.
Does not know: how a body is read; the pool's response, which is below, has all other names as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

from keeppool.pools.response import Response as PoolResponse


class Raw:
    """A response's body as a file.

    Args:
        response: The pool's.

    Attributes:
        decode_content: Whether what is read is decoded where a call does not say. May be set before the first byte is
            read.

    The other names are those of the pool's response: `status`, `headers`, `data`, `close` and so on.

    Thread safety: one thread at a time.
    """

    def __init__(self, response: PoolResponse) -> None:
        self._response = response
        self.decode_content = False

    def __getattr__(self, name: str) -> Any:
        if name == "_response":  # Not made yet: while it is copied.
            raise AttributeError(name)
        return getattr(self._response, name)

    def read(self, amt: int | None = None, decode_content: bool | None = None, cache_content: bool = False) -> bytes:
        """Read `amt` bytes, fewer only at the end; everything if `amt` is None or negative.

        Args:
            amt: Bytes wanted.
            decode_content: Instead of the attribute.
            cache_content: Accepted as in urllib3; a streamed body is not kept.

        Raises:
            ExchangeError: The body broke off, was malformed, or came too slowly.
            StreamConsumedError: A part of it was read with the other `decode_content`.
        """
        return self._response.read(amt, self._decodes(decode_content))

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """Read what comes next, at most `amt` bytes; none only at the end. Raises as `read`."""
        return self._response.read1(amt, self._decodes(decode_content))

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Read what comes next into a buffer, as `io.BufferedReader` wants it; 0 at the end. Raises as `read`."""
        piece = self.read1(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def readline(self, size: int | None = None) -> bytes:
        """Read one line, its end included, or at most `size` bytes of it. Raises as `read`."""
        return self._response.readline(size, self._decodes(None))

    def readlines(self, hint: int | None = None) -> list[bytes]:
        """Read lines, all of them or so many that they have `hint` bytes together. Raises as `read`."""
        lines, size = [], 0
        for line in self:
            lines.append(line)
            size += len(line)
            if hint is not None and 0 < hint <= size:
                break
        return lines

    def stream(self, amt: int | None = 65536, decode_content: bool | None = None) -> Iterator[bytes]:
        """Go through the body in pieces of at most `amt` bytes, as they arrive. Raises as `read`."""
        return self._response.stream(amt, self._decodes(decode_content))

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if line := self.readline():
            return line
        raise StopIteration

    def isclosed(self) -> bool:
        """Tell `closed` by http.client's name."""
        return self._response.closed

    def geturl(self) -> str:
        """Give the URL that was requested."""
        return self._response.url

    def writable(self) -> bool:
        """Answer False."""
        return False

    def seekable(self) -> bool:
        """Answer False."""
        return False

    def flush(self) -> None:
        """Do nothing, as a file that is only read does."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._response.close()

    def __repr__(self) -> str:
        return repr(self._response)

    def _decodes(self, decode_content: bool | None) -> bool:
        return self.decode_content if decode_content is None else decode_content
