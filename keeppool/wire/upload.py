"""How the payload of a request's body is framed: counted against its Content-Length, or in chunks.

Fed piece by piece, so that threads and tasks frame alike.

Decides: what goes on the wire, and that a payload longer than announced is never completed there.
Does not know: where the payload comes from.

Source: RFC 9112 §6.2 (Content-Length), §7.1 (chunks).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from keeppool.errors import BodyLengthError

#: Largest piece that is joined with its chunk's frame; beyond, a copy costs more than two small writes.
JOINED: Final = 65536


class Count:
    """Lets a payload of a known length through, its last piece only when nothing follows it."""

    __slots__ = ("_expected", "_last", "_sent")

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._sent = 0
        self._last: bytes | memoryview = b""

    def frame(self, piece: bytes | memoryview) -> Iterator[bytes | memoryview]:
        """Yield what may go out now that this piece is there."""
        self._sent += len(piece)
        if self._sent > self._expected:
            raise wrong_length(self._expected, self._sent)
        if self._sent < self._expected:
            yield piece
        elif len(piece):
            self._last = piece

    def end(self) -> Iterator[bytes | memoryview]:
        """Yield what was held back, now that the payload has ended."""
        if self._sent < self._expected:
            raise wrong_length(self._expected, self._sent)
        if self._last:
            yield self._last


class Chunks:
    """Frames each piece as a chunk. An empty piece is left out: as a chunk it would end the body."""

    __slots__ = ()

    def frame(self, piece: bytes | memoryview) -> Iterator[bytes | memoryview]:
        """Yield the piece as a chunk."""
        size = len(piece)
        if 0 < size <= JOINED:
            yield b"".join((b"%x\r\n" % size, piece, b"\r\n"))
        elif size:
            # Too large to be worth a copy.
            yield b"%x\r\n" % size
            yield piece
            yield b"\r\n"

    def end(self) -> Iterator[bytes | memoryview]:
        """Yield the last chunk."""
        yield b"0\r\n\r\n"


def wrong_length(expected: int, actual: int | None) -> BodyLengthError:
    """Build the error for a payload that is not as long as its Content-Length."""
    actual = actual or 0
    which = "at least " if actual > expected else ""
    return BodyLengthError(
        f"the body has {which}{actual} bytes, its Content-Length says {expected}", expected=expected, actual=actual
    )
