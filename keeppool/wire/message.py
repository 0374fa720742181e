"""The body of a response: from what came off the connection to what was meant.

Decides: which reader a framing needs.
Knows: readers for bodies that need no parsing. `chunked.py` and `byteranges.py` hold the ones that do.
Does not know: content codings (`decode.py`), and where bytes come from.

Every reader keeps the same promises: the payload does not depend on how the bytes were cut into feeds, what follows
the body's end is kept in `rest` and never delivered, and an end that came too early is an error.

Source: RFC 9112 §6.3 (length), §8 (incomplete messages).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from keeppool.errors import IncompleteBody, InvalidChunk
from keeppool.wire.byteranges import ByteRangesBody
from keeppool.wire.chunked import ChunkedBody
from keeppool.wire.framing import Framing, Kind, boundary_of
from keeppool.wire.head import ResponseHead

# Looked up for each response; as a member of its class it would cost three times as much (Python 3.11).
_LENGTH = Kind.LENGTH


class BodyReader(Protocol):
    """What every reader of a response body can do."""

    @property
    def complete(self) -> bool:
        """True once the body's last byte was fed, or `eof` was called."""

    @property
    def received(self) -> int:
        """Payload bytes so far."""

    @property
    def remaining(self) -> int | None:
        """Bytes still to come where the length was stated, else `None`."""

    @property
    def rest(self) -> bytes:
        """Bytes fed that follow the body's end. Not empty: the server sent what nobody asked for."""

    @property
    def failure(self) -> InvalidChunk | None:
        """What is wrong with what was fed. The payload before it was given, however the bytes were cut."""

    @property
    def trailers(self) -> Sequence[tuple[bytes, bytes]]:
        """The trailer fields behind a chunked body (RFC 9112 §7.1.2)."""

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the connection and return the payload in them, perhaps none; none once there is `failure`."""

    def eof(self) -> None:
        """Take note that the server closed. Nothing happens if the body is complete.

        Raises:
            IncompleteBody: The body had not ended.
            InvalidChunk: It is `failure`.
        """


class EmptyBody:
    """No body: complete from the start, everything fed is `rest`."""

    __slots__ = ("rest",)

    complete = True
    failure = None
    received = 0
    remaining = 0
    trailers = ()

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Keep `data` as `rest`."""
        self.rest += data
        return b""

    def eof(self) -> None:
        """Accept the close."""


class LengthBody:
    """A body of a stated number of bytes (RFC 9112 §6.2)."""

    __slots__ = ("complete", "expected", "remaining", "rest")

    failure = None
    trailers = ()

    def __init__(self, length: int) -> None:
        self.expected = length
        self.remaining = length
        self.complete = not length
        self.rest = b""

    @property
    def received(self) -> int:
        """Payload bytes so far."""
        return self.expected - self.remaining

    def feed(self, data: bytes) -> bytes:
        """Return what of `data` belongs to the body; `data` itself, uncopied, where that is all of it."""
        left = self.remaining - len(data)
        if left > 0:
            self.remaining = left
            return data
        self.remaining = 0
        self.complete = True
        if left == 0:
            return data
        self.rest += data[left:]
        return data[:left]

    def skip(self, size: int) -> None:
        """Take note of bytes of the body that go another way; no more than `remaining`."""
        self.remaining -= size
        self.complete = not self.remaining

    def eof(self) -> None:
        """Raise IncompleteBody if bytes are missing."""
        if self.remaining:
            raise IncompleteBody(
                f"the server closed after {self.received} of {self.expected} body bytes",
                expected=self.expected,
                actual=self.received,
            )


class CloseBody:
    """A body that ends when the server closes (RFC 9112 §6.3 rule 8)."""

    __slots__ = ("complete", "received")

    failure = None
    remaining = None
    rest = b""
    trailers = ()

    def __init__(self) -> None:
        self.complete = False
        self.received = 0

    def feed(self, data: bytes) -> bytes:
        """Return `data`: all of it is body."""
        self.received += len(data)
        return data

    def eof(self) -> None:
        """Take the close as the body's end."""
        self.complete = True


def body_reader(framing: Framing, head: ResponseHead) -> BodyReader:
    """Make the reader for the body that follows `head`; bytes behind a head without one end up in its `rest`."""
    kind = framing.kind
    if kind is _LENGTH:
        return LengthBody(framing.length or 0)
    if kind is Kind.CHUNKED:
        return ChunkedBody()
    if kind is Kind.CLOSE:
        return CloseBody()
    if kind is Kind.BYTERANGES:
        return ByteRangesBody(boundary_of(head) or b"")
    return EmptyBody()
