"""A response as its caller sees it, for threads: status, headers, and a body that is there or still on its way.

Waits for the body's bytes. What is made of them, `body.py` decides.

The names are urllib3's (`status`, `headers`, `data`, `read`, `stream`, `release_conn`), so that code written against
its responses finds them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from keeppool.closing import Closing
from keeppool.errors import KeepPoolError
from keeppool.net.stream import Stream
from keeppool.pools.body import READ_SIZE, AnyResponse
from keeppool.pools.lease import ThreadLease
from keeppool.pools.whole import Whole

#: A line feed, as a number.
_LINE_END: Final = 10


class Response(AnyResponse, Closing):
    """An HTTP response.

    Attributes:
        head: The head as it was parsed: bytes.
        url: The URL that was requested.
        reused: True if the connection had carried a response before.
        started_at: When the request was begun, on the pool's clock.
        answered_at: When the head was complete, on the pool's clock.
        is_whole: True if all of the body came with the head, and is kept.

    Thread safety: one thread at a time.
    """

    __slots__ = ()

    _lease: ThreadLease | None

    @property
    def data(self) -> bytes:
        """The whole body, decoded, kept for the next look.

        Raises:
            StreamConsumedError: A part was already handed out by `read` or `stream`, or the body was given up.
            ExchangeError: The body broke off, was malformed, or came too slowly. The connection is closed.
        """
        if self._data is None:
            self._check_kept()
            self._data = self._gathered(None)
        return self._data

    def preload(self) -> None:
        """Read the whole body now, and give its connection back."""
        if self._lease is None and b"content-encoding" not in self.head.index:
            self._data, self._first = self._first, b""
        else:
            self._data = self._gathered(None)

    def read(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """Read `amt` bytes of the body, fewer only at its end; everything if `amt` is None or negative.

        Args:
            amt: Bytes wanted.
            decode_content: False for the bytes as they were sent; only before the first byte is read.

        Raises:
            ExchangeError: As for `data`.
        """
        piece = self._at_hand(amt, decode_content)
        return self._gathered(None if amt is None or amt < 0 else amt) if piece is None else piece

    def stream(self, amt: int | None = 65536, decode_content: bool | None = None) -> Iterator[bytes]:
        """Go through the body in pieces of at most `amt` bytes, as they arrive; None or a negative number: of any size.

        Raises:
            ExchangeError: As for `data`.
        """
        self._begin_reading(decode_content)
        while piece := self._some(amt if amt and amt > 0 else READ_SIZE):
            yield piece

    def __iter__(self) -> Iterator[bytes]:
        return self.stream()

    def readable(self) -> bool:
        """Answer True, as a file open for reading does."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Read what comes next into a buffer, as `io.BufferedReader` wants it; 0 at the end."""
        self._load_data_into_buffer()
        piece = self._some(len(buffer)) if len(buffer) else b""
        buffer[: len(piece)] = piece
        return len(piece)

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """Read what comes next, at most `amt` bytes; none only at the end.

        Raises:
            ExchangeError: As for `data`.
        """
        return b"" if amt == 0 else next(self.stream(amt, decode_content), b"")

    def readline(self, size: int | None = None, decode_content: bool | None = None) -> bytes:
        """Read one line, its end included, or at most `size` bytes of it; nothing at the end of the body.

        Raises:
            ExchangeError: As for `data`.
        """
        self._begin_reading(decode_content)
        left = None if size is None or size < 0 else size
        line = Whole()
        while left != 0 and self._has_more():
            # What came is looked through where it lies: cut off and put back, it would be copied for each line.
            start = self._offset
            end = self._buffer.find(b"\n", start) + 1 or len(self._buffer)
            if left is not None:
                end = min(end, start + left)
                left -= end - start
            line.add(self._buffer[start:end])
            self._offset = end
            if self._buffer[end - 1] == _LINE_END:
                break
        return line.value()

    def _has_more(self) -> bool:
        """Have what comes next in the buffer; False at the end of the body."""
        if self._offset == len(self._buffer) and (piece := self._some(READ_SIZE)):
            if self._offset < len(self._buffer):
                self._offset -= len(piece)
            else:
                self._buffer, self._offset = piece, 0
        return self._offset < len(self._buffer)

    @property
    def at_hand(self) -> int:
        """How many bytes the next read gives without waiting, at the least."""
        return len(self._buffer) - self._offset

    @property
    def lent_stream(self) -> Stream | None:
        """What the body comes from, while it does; `None` once the connection was given back."""
        return None if self._lease is None else self._lease.stream

    def tell(self) -> int:
        """Count the bytes of the body, as it was sent, that have been handed out or are being decoded."""
        waiting = 0 if self._decoder is not None or self._data is not None else len(self._buffer) - self._offset
        return self._body.received - len(self._first) - waiting

    def close(self) -> None:
        """Give up the rest of the body. Safe to repeat.

        The connection is closed, unless the rest is small and has arrived already: then it is read away and the
        connection kept. Nothing is waited for. A body that was read whole, by `data` or without `stream`, stays.
        """
        self._give_up()

    release_conn = close

    def preload_small(self) -> bool:
        """As `preload`, for a body that is not wanted but is small: its connection can be reused, and it looked at.

        Returns:
            False if it was given up: it is large or slow, a part of it was read, or it cannot be decoded.
        """
        if any(self._keeping(self._drained())):
            return True
        self.close()
        return False

    def drain_conn(self) -> None:
        """Read a small unwanted rest so that the connection can be reused; close it if the rest is large or slow."""
        self._thrown_away(self._drained())
        self.close()

    # Reading

    def _drained(self) -> bytes:
        """Read what is left if it is small, and give it as it was sent."""
        rest = self._begin_draining()
        with suppress(OSError):  # Nobody wants these bytes; a connection that has failed is closed already.
            for most in self._draining(rest):
                self._receive(most)
        return rest.value()

    def _gathered(self, amount: int | None) -> bytes:
        """Read `amount` bytes of the body, fewer only at its end; everything for `None`."""
        whole = Whole()
        for most in self._gathering(whole, amount):
            if amount is None and self._is_worth_placing():
                self._read_into(whole)
            elif most:
                self._receive(most)
        return whole.value()

    def _read_into(self, whole: Whole) -> None:
        """Read the rest of a body whose length is known straight into its place."""
        for room in self._rooms(whole):
            filled = 0
            while filled < len(room):
                with room[filled:] as free:
                    size = self._receive_into(free)
                whole.filled(size)
                filled += size

    def _some(self, most: int) -> bytes:
        """Give up to `most` bytes of the body, at least one; none at its end."""
        while (piece := self._ready(most)) is None:
            if self._must_read:
                self._receive(most)
        return piece

    def _receive(self, most: int) -> None:
        assert self._lease is not None, "bug: nothing to read from"
        try:
            data = self._lease.receive(self._wants(most))
        except KeepPoolError as error:
            raise self._failed(error) from error.__cause__
        self._fed(data)

    def _receive_into(self, room: memoryview) -> int:
        """Read payload into `room`, at least one byte."""
        assert self._lease is not None, "bug: nothing to read from"
        try:
            size = self._lease.receive_into(room)
        except KeepPoolError as error:
            raise self._failed(error) from error.__cause__
        self._placed(size)
        return size
