"""An answer as its caller sees it: status, headers, and a body that is there or still on its way.

Decides: how much is read ahead, and in which pieces the body is handed out.
Knows: framing and content decoding by their readers.
Does not know: the pool; a `Lease` reads the connection and gives it back.

The names are urllib3's (`status`, `headers`, `data`, `read`, `stream`, `release_conn`), so that code written against
its responses finds them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol, Self

from keeppool.errors import ContentDecodingError, KeepPoolError, StreamConsumedError
from keeppool.pools.exchange import Exchange
from keeppool.wire.decode import Decoder, content_decoder
from keeppool.wire.head import ResponseHead
from keeppool.wire.message import BodyReader

if TYPE_CHECKING:
    from urllib3 import HTTPHeaderDict

#: Bytes read from the socket at a time for a body that is wanted whole. Four times what one recv usually returns.
READ_SIZE = 262144
#: Bytes of an unwanted rest that are read to save the connection. A handshake costs about as much as 64 KiB.
DRAIN_SIZE = 65536
#: Seconds it may take. Go gives it 50 ms, OkHttp 100.
DRAIN_SECONDS = 0.05


class Lease(Protocol):
    """A connection borrowed for the rest of one answer's body."""

    def receive(self, size: int) -> bytes:
        """Read up to `size` bytes; none means the server closed."""

    def receive_now(self, size: int) -> bytes | None:
        """Read what has arrived already; `None` if nothing has, none means the server closed."""

    def finish(self, body: BodyReader) -> None:
        """Give the connection back: the body has ended as its framing said."""

    def discard(self) -> None:
        """Close the connection: what is left on it is not wanted."""

    def close_failed(self) -> None:
        """Close the connection: the exchange on it has failed."""

    def drain_within(self, seconds: float) -> None:
        """Let the following `receive` calls wait this long at the most."""


class Response:
    """An HTTP answer.

    Attributes:
        head: The head as it was parsed: bytes.
        url: The URL that was asked.
        reused: True if the connection had carried an answer before.
        started_at: When the request was begun, on the pool's clock.
        answered_at: When the head was complete, on the pool's clock.

    Thread safety: one thread at a time.
    """

    __slots__ = (
        "_begun",
        "_body",
        "_buffer",
        "_data",
        "_decode",
        "_decoder",
        "_exchange",
        "_failure",
        "_first",
        "_headers",
        "_is_given_up",
        "_lease",
        "_offset",
        "_streamed",
        "answered_at",
        "head",
        "reused",
        "started_at",
        "url",
    )

    def __init__(
        self,
        head: ResponseHead,
        body: BodyReader,
        lease: Lease | None,
        exchange: Exchange,
        url: str,
        decode: bool,
        first: bytes,
        started_at: float,
        answered_at: float,
    ) -> None:
        self.head = head
        self._exchange = exchange
        self.url = url
        self.reused = exchange.connection.served > 1
        self.started_at = started_at
        self.answered_at = answered_at
        self._body = body
        self._lease = lease
        self._decode = decode
        self._decoder: Decoder | None = None
        self._begun = False
        self._failure: KeepPoolError | None = None
        self._headers: HTTPHeaderDict | None = None
        self._data: bytes | None = None
        self._streamed = False
        #: Payload that came with the head, as it was sent.
        self._first = first
        #: Payload that is ready, of which `_offset` bytes were handed out. Never cut: small pieces of a large body
        #: would copy all of the rest for each.
        self._buffer = b""
        self._offset = 0
        self._is_given_up = False

    # What the head says

    @property
    def status(self) -> int:
        """The status code."""
        return self.head.status

    @property
    def reason(self) -> str:
        """The reason phrase, perhaps empty."""
        return self.head.reason

    @property
    def version(self) -> int:
        """10 or 11."""
        return self.head.version

    @property
    def method(self) -> str:
        """The request's method, as sent."""
        return self._exchange.method.decode()

    @property
    def headers(self) -> HTTPHeaderDict:
        """The fields, as text in ISO 8859-1, found in any case; built when first looked at."""
        if self._headers is None:
            from urllib3 import HTTPHeaderDict

            self._headers = HTTPHeaderDict(
                [
                    (n.decode("latin-1"), v.decode("latin-1"))
                    for n, v in zip(self.head.names, self.head.values, strict=True)
                ]
            )
        return self._headers

    @property
    def trailers(self) -> list[tuple[bytes, bytes]]:
        """The fields behind a chunked body; complete when the body is."""
        return list(self._body.trailers)

    # The body

    @property
    def data(self) -> bytes:
        """The whole body, decoded, kept for the next look.

        Raises:
            StreamConsumedError: A part was already handed out by `read` or `stream`, or the body was given up.
            ExchangeError: The body broke off, was malformed, or came too slowly. The connection is closed.
        """
        if self._data is None:
            if self._streamed:
                raise self._failure or StreamConsumedError("the body was read as a stream; its content was not kept")
            self._data = self._read_all()
        return self._data

    def preload(self) -> None:
        """Read the whole body now, and give its connection back."""
        if self._lease is None and b"content-encoding" not in self.head.index:
            self._data, self._first = self._first, b""
        else:
            self._data = self._read_all()

    def json(self) -> Any:
        """Parse the body as JSON in UTF-8, UTF-16 or UTF-32."""
        return json.loads(self.data)

    def read(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """Read `amt` bytes of the body, fewer only at its end; everything if `amt` is None or negative.

        Args:
            amt: Bytes wanted.
            decode_content: False for the bytes as they were sent; only before the first byte is read.

        Raises:
            ExchangeError: As for `data`.
        """
        if decode_content is not None:
            self._choose_decoding(decode_content)
        if amt is None or amt < 0:
            self._load_data_into_buffer()
            return self._read_all()
        self._load_data_into_buffer()
        pieces, missing = [], amt
        while missing > 0 and (piece := self._some(missing)):
            pieces.append(piece)
            missing -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def stream(self, amt: int | None = 65536, decode_content: bool | None = None) -> Iterator[bytes]:
        """Go through the body in pieces of at most `amt` bytes (None: as large as they come), as they arrive.

        Raises:
            ExchangeError: As for `data`.
        """
        if decode_content is not None:
            self._choose_decoding(decode_content)
        self._load_data_into_buffer()
        while piece := self._some(amt or READ_SIZE):
            yield piece

    def __iter__(self) -> Iterator[bytes]:
        return self.stream()

    def readable(self) -> bool:
        """Answer True, as a file open for reading does."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Read into a buffer, as `io.BufferedReader` wants it; 0 at the end."""
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    @property
    def closed(self) -> bool:
        """True once the connection was given back and nothing is left to hand out."""
        unread = len(self._buffer) > self._offset or self._first or (self._data is not None and not self._streamed)
        return self._lease is None and not unread

    def close(self) -> None:
        """Give up the rest of the body. Safe to repeat.

        The connection is closed, unless the rest is small and has arrived already: then it is read away and the
        connection kept. Nothing is waited for. A body that was read whole, by `data` or without `stream`, stays.
        """
        if self._first or len(self._buffer) > self._offset:
            self._is_given_up = self._is_given_up or self._data is None
        self._buffer, self._first, self._offset = b"", b"", 0
        if self._lease is not None and not self._read_away(self._lease):
            lease, self._lease = self._lease, None
            lease.discard()

    def _read_away(self, lease: Lease) -> bool:
        """Read the rest off the connection if that takes no waiting; True if the connection was given back."""
        taken, body = 0, self._body
        try:
            while not body.complete and taken < DRAIN_SIZE and (body.remaining or 0) <= DRAIN_SIZE:
                data = lease.receive_now(DRAIN_SIZE if body.remaining is None else body.remaining)
                if not data:
                    return False
                taken += len(data)
                body.feed(data)
        except OSError:
            return False
        if body.complete:
            self._is_given_up = self._is_given_up or self._data is None
            self._finish()
        return body.complete

    release_conn = close

    def drain_conn(self) -> None:
        """Read a small unwanted rest so that the connection can be reused; close it if the rest is large or slow."""
        if self._lease is not None:
            self._lease.drain_within(DRAIN_SECONDS)
        taken = 0
        try:
            while self._lease is not None and taken < DRAIN_SIZE and (self._body.remaining or 0) <= DRAIN_SIZE:
                taken += len(self._pull(DRAIN_SIZE))
        except OSError:
            pass  # Nobody wants these bytes; the connection is closed already, which is all an error could say.
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.reason}>"

    # Reading

    def _read_all(self) -> bytes:
        pieces = []
        while piece := self._some(READ_SIZE):
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _load_data_into_buffer(self) -> None:
        """Let a body that was read whole be read again piece by piece, once."""
        if not self._streamed and self._data is not None:
            self._buffer, self._offset = self._data, 0
        self._streamed = True

    def _choose_decoding(self, decode: bool) -> None:
        if self._begun and decode != self._decode:
            raise StreamConsumedError("a part of the body was already read; it is too late to change its decoding")
        self._decode = decode

    def _begin(self) -> None:
        """Make the decoder, now that the body is wanted and nobody can ask for it undecoded any more."""
        self._begun = True
        if self._decode and b"content-encoding" in self.head.index:
            self._decoder = content_decoder(self.head.get(b"content-encoding") or b"")

    def _some(self, most: int) -> bytes:
        """Give up to `most` bytes of the body, at least one; none at its end."""
        offset = self._offset
        if offset < len(self._buffer):
            piece = self._buffer[offset : offset + most]
            self._offset = offset + len(piece)
            return piece
        if self._data is not None:
            return b""
        if not self._begun:
            self._begin()
        decoder = self._decoder
        piece = self._pull(most) if decoder is None else self._decoded(decoder, most)
        if len(piece) > most:
            self._buffer, self._offset = piece, most
            return piece[:most]
        return piece

    def _decoded(self, decoder: Decoder, most: int) -> bytes:
        """Decode until there is something to give, never more than `most` bytes ahead."""
        if self._failure is not None:
            raise self._failure
        try:
            piece = decoder.feed(b"", most) if decoder.pending else b""
            while not piece and (raw := self._pull(READ_SIZE)):
                piece = decoder.feed(raw, most)
            if not piece:
                decoder.finish()
        except ContentDecodingError as error:
            raise self._failed(error) from error.__cause__
        return piece

    def _pull(self, most: int) -> bytes:
        """Give payload as it was sent; none at the end, when the connection has been given back."""
        if self._first:
            first, self._first = self._first, b""
            return first
        body = self._body
        if self._is_given_up or (self._lease is None and not body.complete):
            raise self._failure or StreamConsumedError("the response was closed before its body was read")
        while self._lease is not None and not body.complete:
            remaining = body.remaining
            try:
                data = self._lease.receive(most if remaining is None or remaining > most else remaining)
                payload = body.feed(data) if data else self._ended(body)
            except KeepPoolError as error:
                raise self._failed(error) from error.__cause__
            if body.complete:
                # Before the caller sees the last piece: whoever asks again at once finds the connection idle.
                self._finish()
            if payload:
                return payload
        if self._lease is not None:
            self._finish()
        return b""

    @staticmethod
    def _ended(body: BodyReader) -> bytes:
        body.eof()
        return b""

    def _finish(self) -> None:
        lease, self._lease = self._lease, None
        assert lease is not None, "bug: finished twice"
        lease.finish(self._body)

    def _failed(self, error: KeepPoolError) -> KeepPoolError:
        """Close the connection, if it is still ours, and add the exchange's facts to the error."""
        if self._lease is not None:
            lease, self._lease = self._lease, None
            lease.close_failed()
        self._failure = error
        return self._exchange.blame(error)
