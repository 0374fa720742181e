"""The chunked transfer coding, read.

Decides: what is a chunk, strictly: a size that two parsers could read differently ends the exchange.
Knows: sizes, extensions (skipped), trailers, and how long each may be.
Does not know: what trailers mean; they are kept apart from the head's fields (RFC 9110 §6.5.1).

Lines end with CRLF here and never with a bare LF, and a chunk's data with exactly CRLF: the leniency of RFC 9112 §2.2
is for heads, and the known attack on this coding (an extension that hides a line end) lives on extending it.

Source: RFC 9112 §7.1 (coding), §7.1.1 (extensions), §7.1.2 (trailers), §8 (incomplete).
"""

from __future__ import annotations

import enum
import re
from typing import Final

from keeppool.errors import IncompleteBody, InvalidChunk, InvalidHead
from keeppool.wire.fields import CONTROL_CHARS
from keeppool.wire.head import MAX_HEAD_BYTES, MAX_HEAD_FIELDS, parse_field_lines

#: Bytes of extensions one chunk may carry. Nobody sends any; hyper allows 16 KiB over a whole body, Go as much per line
#: as fits its 4096-byte reader.
MAX_EXTENSION: Final = 4096
#: Hex digits of a size: 64 bits.
_MAX_DIGITS: Final = 16
_MAX_SIZE_LINE = _MAX_DIGITS + MAX_EXTENSION + 2
#: How much of an offending line an error carries.
_SHOWN = 100

# Blanks behind the size are not in the grammar, but old servers pad sizes with them and they cannot be misread.
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,%d})[ \t]*+(?:;[^%b]*+)?\r\n" % (_MAX_DIGITS, CONTROL_CHARS))
_HEX_DIGITS = frozenset([b"%c" % digit for digit in b"0123456789abcdefABCDEF"])


class _Next(enum.Enum):
    """The line that has to come where no chunk data is due."""

    SIZE = "size"
    #: The CRLF behind a chunk's data.
    END = "end"
    TRAILER = "trailer"


class ChunkedBody:
    """A body in chunks. Complete behind the empty line that ends the trailer section.

    Attributes:
        complete: True once that line was fed.
        received: Payload bytes so far.
        rest: Bytes fed behind it.
        trailers: Trailer fields as (name, value), once complete.
    """

    __slots__ = ("_held", "_left", "_lines", "_next", "_room", "complete", "received", "rest", "trailers")

    remaining = None

    def __init__(self) -> None:
        self._next = _SIZE
        self._left = 0  # bytes of the present chunk's data still to come
        self._held = b""  # a line whose end has not come
        self._lines: list[bytes] = []
        self._room = MAX_HEAD_BYTES  # bytes the trailer section may still take
        self.complete = False
        self.received = 0
        self.rest = b""
        self.trailers: list[tuple[bytes, bytes]] = []

    def feed(self, data: bytes) -> bytes:
        """Return the chunk data in `data`.

        Raises:
            InvalidChunk: A size, a chunk's end or the trailer section is malformed or too long; `line` is the start
                of the offending bytes. The reader is of no further use.
        """
        if self.complete:
            self.rest += data
            return b""
        if self._held:
            data, self._held = self._held + data, b""
        pieces = []
        at = 0
        while at < len(data):
            if self._left:
                piece = data[at : at + self._left]
                pieces.append(piece)
                self._left -= len(piece)
                at += len(piece)
            else:
                at = self._feed_line(data, at)
        payload = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self.received += len(payload)
        return payload

    def eof(self) -> None:
        """Raise IncompleteBody unless the last chunk and its trailer section came."""
        if not self.complete:
            raise IncompleteBody(
                f"the server closed after {self.received} bytes of a chunked body, before its last chunk",
                actual=self.received,
            )

    def _feed_line(self, data: bytes, at: int) -> int:
        """Take the line that starts at `at` and return where it ends; hold a line that has no end yet."""
        end = data.find(b"\n", at) + 1
        if not end:
            self._hold(data[at:])
            return len(data)
        if self._next is _SIZE:
            self._take_size(data, at, end)
        elif self._next is _END:
            if data[at:end] != b"\r\n":
                raise _invalid("chunk data longer than its size", data[at:end])
            self._next = _SIZE
        elif data[at:end] == b"\r\n":
            self._finish(data[end:])
            return len(data)
        else:
            self._take_trailer(data[at:end])
        return end

    def _hold(self, line: bytes) -> None:
        """Keep the start of a line, unless it is wrong or too long already."""
        if self._next is _END and line != b"\r":
            raise _invalid("chunk data longer than its size", line)
        if self._next is _SIZE and line[:1] not in _HEX_DIGITS:
            raise _invalid("not a chunk's size", line)
        if len(line) >= (self._room if self._next is _TRAILER else _MAX_SIZE_LINE):
            raise _invalid("a line too long", line)
        self._held = line

    def _take_size(self, data: bytes, at: int, end: int) -> None:
        match = _SIZE_LINE.fullmatch(data, at, end)
        if match is None or end - at > _MAX_SIZE_LINE:
            raise _invalid("not a chunk's size", data[at:end])
        self._left = int(match[1], 16)
        self._next = _END if self._left else _TRAILER

    def _take_trailer(self, line: bytes) -> None:
        self._room -= len(line)
        self._lines.append(line)
        if not line.endswith(b"\r\n") or self._room < 0 or len(self._lines) > MAX_HEAD_FIELDS:
            raise _invalid("a trailer section too long or with a line not ended by CRLF", line)

    def _finish(self, rest: bytes) -> None:
        if self._lines:
            try:
                names, values = parse_field_lines([line.removesuffix(b"\n") for line in self._lines])
            except InvalidHead as error:
                raise InvalidChunk(f"invalid trailer section: {error}", line=error.line) from error
            self.trailers = list(zip(names, values, strict=True))
        self.complete = True
        self.rest = rest


# Bound once: looking a member up on its enum costs more than the comparison it is for.
_SIZE, _END, _TRAILER = _Next


def _invalid(what: str, line: bytes) -> InvalidChunk:
    shown = line[:_SHOWN]
    return InvalidChunk(f"invalid chunked body: {what}: {shown!r}", line=shown)
