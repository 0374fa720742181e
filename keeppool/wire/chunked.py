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
from functools import cache
from typing import Final

from keeppool.errors import IncompleteBody, InvalidChunk, InvalidHead, quoted
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

_HEX_DIGITS = frozenset([b"%c" % digit for digit in b"0123456789abcdefABCDEF"])


# Both are compiled for the first body in chunks, which takes 0.3 ms.


@cache
def _size_line() -> re.Pattern[bytes]:
    # Blanks behind the size are not in the grammar, but old servers pad sizes with them and they cannot be misread.
    return re.compile(rb"([0-9A-Fa-f]{1,%d})[ \t]*+(?:;[^%b]*+)?\r\n" % (_MAX_DIGITS, CONTROL_CHARS))


@cache
def _plain_size() -> re.Pattern[bytes]:
    # What nearly every size line is. Its data and the CRLF behind it are taken along where they are all there.
    return re.compile(rb"([0-9A-Fa-f]{1,%d})\r\n" % _MAX_DIGITS)


def whole_chunks(data: bytes, at: int, pieces: list[bytes]) -> int:
    """Take whole chunks as servers write them, as many as stand at `at`; return where the first other thing starts.

    Other things are chunks with an extension, the last one, and what is not whole: those are for `ChunkedBody`.
    """
    matched = _plain_size().match
    while (match := matched(data, at)) is not None:
        start = match.end()
        end = start + int(match[1], 16)
        if end == start or data[end : end + 2] != b"\r\n":
            break
        pieces.append(data[start:end])
        at = end + 2
    return at


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
        failure: The InvalidChunk that ended it; `line` is the start of the offending bytes. What came before was given.
        received: Payload bytes so far.
        rest: Bytes fed behind it.
        trailers: Trailer fields as (name, value), once complete.
    """

    __slots__ = ("_held", "_left", "_lines", "_next", "_room", "complete", "failure", "received", "rest", "trailers")

    remaining = None

    def __init__(self) -> None:
        self._next = _SIZE
        self._left = 0  # bytes of the present chunk's data still to come
        self._held = bytearray()  # a line whose end has not come
        self._lines: list[bytes] = []
        self._room = MAX_HEAD_BYTES  # bytes the trailer section may still take
        self.complete = False
        self.failure: InvalidChunk | None = None
        self.received = 0
        self.rest = b""
        self.trailers: list[tuple[bytes, bytes]] = []

    def feed(self, data: bytes) -> bytes:
        """Return the chunk data in `data`. What is wrong with a size, a chunk's end or the trailers is `failure`."""
        if self.complete:
            self.rest += data
            return b""
        pieces: list[bytes] = []
        if self.failure is None:
            try:
                self._feed(data, pieces)
            except InvalidChunk as error:
                # Their tracebacks would hold whoever reads: a response dropped unread would keep its connection.
                for each in (error, error.__cause__):
                    if each is not None:
                        each.__traceback__ = None
                self.failure = error
        payload = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self.received += len(payload)
        return payload

    def eof(self) -> None:
        """Raise IncompleteBody unless the last chunk and its trailer section came."""
        if self.failure is not None:
            raise self.failure
        if not self.complete:
            raise IncompleteBody(
                f"the server closed after {self.received} bytes of a chunked body, before its last chunk",
                actual=self.received,
            )

    def _feed(self, data: bytes, pieces: list[bytes]) -> None:
        """Take chunks and lines; the chunk data goes to `pieces` as it is found, so that an error loses none of it."""
        at = self._end_held(data) if self._held else 0
        while at < len(data) and not self.complete:
            if self._left:
                piece = data[at : at + self._left]
                pieces.append(piece)
                self._left -= len(piece)
                at += len(piece)
            elif self._next is not _SIZE or (after := whole_chunks(data, at, pieces)) == at:
                at = self._feed_line(data, at)
            else:
                at = after
        if self.complete:
            self.rest = data[at:]

    def _feed_line(self, data: bytes, at: int) -> int:
        """Take the line that starts at `at` and return where it ends; hold a line that has no end yet."""
        end = data.find(b"\n", at) + 1
        if not end:
            self._hold(data[at:])
            return len(data)
        self._take_line(data[at:end])
        return end

    def _end_held(self, data: bytes) -> int:
        """Take what belongs to the line that is held and return where it ends. Only what is new is looked through."""
        end = data.find(b"\n") + 1
        if not end:
            self._hold(data)
            return len(data)
        line = bytes(self._held + data[:end])
        self._held.clear()
        self._take_line(line)
        return end

    def _take_line(self, line: bytes) -> None:
        if self._next is _SIZE:
            self._take_size(line)
        elif self._next is _END:
            if line != b"\r\n":
                raise _invalid("chunk data longer than its size", line)
            self._next = _SIZE
        elif line == b"\r\n":
            self._finish()
        else:
            self._take_trailer(line)

    def _hold(self, data: bytes) -> None:
        """Keep the start of a line, unless it is wrong or too long already."""
        held = self._held
        held += data
        if self._next is _END and held != b"\r":
            raise _invalid("chunk data longer than its size", bytes(held))
        if self._next is _SIZE and bytes(held[:1]) not in _HEX_DIGITS:
            raise _invalid("not a chunk's size", bytes(held))
        if len(held) >= (self._room if self._next is _TRAILER else _MAX_SIZE_LINE):
            raise _invalid("a line too long", bytes(held[:_SHOWN]))

    def _take_size(self, line: bytes) -> None:
        match = _size_line().fullmatch(line)
        if match is None or len(line) > _MAX_SIZE_LINE:
            raise _invalid("not a chunk's size", line)
        self._left = int(match[1], 16)
        self._next = _END if self._left else _TRAILER

    def _take_trailer(self, line: bytes) -> None:
        self._room -= len(line)
        self._lines.append(line)
        if not line.endswith(b"\r\n") or self._room < 0 or len(self._lines) > MAX_HEAD_FIELDS:
            raise _invalid("a trailer section too long or with a line not ended by CRLF", line)

    def _finish(self) -> None:
        if self._lines:
            try:
                names, values = parse_field_lines([line.removesuffix(b"\n") for line in self._lines])
            except InvalidHead as error:
                raise InvalidChunk(f"invalid trailer section: {error}", line=error.line) from error
            self.trailers = list(zip(names, values, strict=True))
        self.complete = True


# Bound once: looking a member up on its enum costs more than the comparison it is for.
_SIZE, _END, _TRAILER = _Next


def _invalid(what: str, line: bytes) -> InvalidChunk:
    return InvalidChunk(f"invalid chunked body: {what}: {quoted(line, _SHOWN)}", line=line[:_SHOWN])
