"""A response's head, and its body between the connection it comes from and the caller who wants it.

Decides: how much is read ahead and decoded at a time, in which pieces the body is handed out, when its time is up, and
    when the rest of one is not worth reading.
Knows: framing and content decoding by their readers.
Does not know: waiting. Whoever reads the connection, a thread or a task, asks `_ready`, and if nothing is ready reads
what `_wants` says and brings it to `_fed`. Nor the pool: a `Lease` gives the connection back.

The file is long, because all that changes what is left of a body stands here, for threads and tasks alike.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from copy import copy
from typing import TYPE_CHECKING, Any, cast

from keeppool.clock import clock
from keeppool.deferred import have_urllib3
from keeppool.errors import ContentDecodingError, JSONDecodeError, KeepPoolError, StreamConsumedError, TotalTimeout
from keeppool.net.streams import AnyStream
from keeppool.pools.exchange import Exchange
from keeppool.pools.lease import Lease
from keeppool.pools.whole import Whole
from keeppool.reasons import Why
from keeppool.wire.codings.stage import STEP
from keeppool.wire.decode import Decoder, content_decoder
from keeppool.wire.head import ResponseHead
from keeppool.wire.json_text import parse_json
from keeppool.wire.message import BodyReader, LengthBody

if TYPE_CHECKING:
    from urllib3 import HTTPHeaderDict

#: Bytes read from the socket at a time for a body that is wanted whole. Four times what one recv usually returns.
READ_SIZE = 262144
#: Bytes read from the socket at the least for a body that is handed out in pieces, however small they are: one `recv`
#: for each of them would cost more than all the rest.
LEAST_READ = 65536
#: Bytes of an unwanted rest that are read to save the connection. A handshake costs about as much as 64 KiB.
DRAIN_SIZE = 65536
#: Seconds it may take. Go gives it 50 ms, OkHttp 100.
DRAIN_SECONDS = 0.05
#: Bytes of it, decoded, that are kept for whoever looks at it later. Text shrinks to a tenth or a twentieth, so that
#: is all of a page; what grows beyond it is no text, and 64 KiB can grow to 64 MiB.
MOST_KEPT = 1048576
#: Steps of decoding spent on it. 64 KiB that become 1 MiB take four to twenty.
KEEP_STEPS = 128
#: Bytes taken and given by decoding after which an event loop's other tasks have their turn: 1 to 2 ms. A body that is
#: smaller costs no turn of the loop.
TURN = 262144


class AnyResponse:
    """What responses for threads and for tasks have in common.

    Attributes:
        head: The head as it was parsed: bytes.
        url: The URL that was requested.
        reused: True if the connection had carried a response before.
        started_at: When the request was begun, on the pool's clock.
        answered_at: When the head was complete, on the pool's clock.
        is_whole: True if all of the body came with the head, and is kept.
    """

    __slots__ = (
        "_begun",
        "_body",
        "_buffer",
        "_data",
        "_decode",
        "_decoder",
        "_decoding",
        "_exchange",
        "_failure",
        "_first",
        "_headers",
        "_is_given_up",
        "_lease",
        "_offset",
        "_streamed",
        "_whole_at",
        "_worked",
        "answered_at",
        "head",
        "is_whole",
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
        is_whole: bool = False,
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
        #: A copy, of which copies are raised: an error's traceback holds all who read, and so the response itself.
        self._failure: KeepPoolError | None = None
        self._headers: HTTPHeaderDict | None = None
        self.is_whole = is_whole
        self._data: bytes | None = first if is_whole else None
        self._streamed = False
        #: Payload that came with the head, as it was sent.
        self._first = b"" if is_whole else first
        #: Payload that is ready, of which `_offset` bytes were handed out. Never cut: small pieces of a large body
        #: would copy all of the rest for each.
        self._buffer = b""
        self._offset = 0
        self._is_given_up = False
        #: Bytes that were decoded, in and out, since others had their turn.
        self._worked = 0
        #: Where there is a total timeout: when the body had come whole, and seconds spent on decoding since.
        self._whole_at = answered_at
        self._decoding = 0.0

    # What the head says

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status} {self.reason}>"

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
            have_urllib3()
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

    @property
    def closed(self) -> bool:
        """True once the connection was given back and nothing is left to hand out."""
        unread = len(self._buffer) > self._offset or self._first or (self._data is not None and not self._streamed)
        return self._lease is None and not unread

    @property
    def carrier(self) -> AnyStream | None:
        """What the response came over, to look at it: once `closed`, another request may be using it."""
        return cast("AnyStream | None", self._exchange.connection.stream)

    # Handing out

    def come(self) -> bytes | None:
        """Give a body as it was sent, without waiting, if all of it is here; `None` if it is still on its way.

        Only for a response that was asked for with `stream`, and instead of any other reading.
        """
        if self._lease is not None:
            return None
        whole, self._first, self._data = self._first, b"", b""
        return whole

    @property
    def is_switched(self) -> bool:
        """True if the connection is not HTTP any more: it is the caller's until the response is closed."""
        return self._exchange.framing.why_close is Why.SWITCHED

    def come_behind(self) -> bytes:
        """Take what has come behind the head of a response whose connection is not HTTP any more."""
        first, self._first = self._first, b""
        return first

    @property
    def data(self) -> bytes:
        """The whole body, decoded."""
        raise NotImplementedError

    def json(self) -> Any:
        """Parse the body as JSON in UTF-8, UTF-16 or UTF-32.

        Raises:
            JSONDecodeError: It is no JSON, or beyond what can be parsed; `doc` and `pos` say where.
            StreamConsumedError, ExchangeError: As for `data`.
        """
        data = self.data
        try:
            return parse_json(data)
        except JSONDecodeError as error:
            self._exchange.blame(error)
            raise

    def _load_data_into_buffer(self) -> None:
        """Let a body that was read whole be read again piece by piece, once."""
        if not self._streamed and self._data is not None:
            self._buffer, self._offset = self._data, 0
        self._streamed = True

    def _consumed(self, what: str) -> KeepPoolError:
        """Build the error for a body that cannot be had any more, or not like this."""
        return self._exchange.blame(StreamConsumedError(what))

    def _begin_reading(self, decode: bool | None) -> None:
        """Hand the body out piece by piece from here on, decoded as `decode` says, if that says anything."""
        if decode is not None:
            is_late = self._begun and self._data is None and b"content-encoding" in self.head.index
            if is_late and decode != self._decode:
                raise self._consumed("a part of the body was already read; it is too late to change its decoding")
            self._decode = decode
        self._load_data_into_buffer()

    def _at_hand(self, amount: int | None, decode: bool | None) -> bytes | None:
        """Begin to read, and give `amount` bytes if so many are ready; `None` if not, or if all are wanted.

        One look instead of `_gathering`: who reads a few bytes at a time finds most of them here.
        """
        self._begin_reading(decode)
        if amount is None or amount < 0 or amount > len(self._buffer) - self._offset:
            return None
        begin, self._offset = self._offset, self._offset + amount
        return self._buffer[begin : self._offset]

    def _check_kept(self) -> None:
        """Refuse to give a body whole that was handed out in pieces."""
        if self._streamed:
            raise self._again("the body was read as a stream; its content was not kept")

    def _ready(self, most: int) -> bytes | None:
        """Give up to `most` bytes of the body, at least one; none at its end.

        Returns:
            `None` if there is nothing to give yet: `_must_read` tells whether more must be read first, or whether this
            was one of several steps and the next one is due.
        """
        offset = self._offset
        if offset < len(self._buffer):
            piece = self._buffer[offset : offset + most]
            self._offset = offset + len(piece)
            return piece
        if self._data is not None:
            return b""
        if not self._begun:
            self._begin()
        ready = self._payload() if self._decoder is None else self._decoded(self._decoder, most)
        if ready is not None and len(ready) > most:
            self._buffer, self._offset = ready, most
            return ready[:most]
        return ready

    @property
    def _must_read(self) -> bool:
        """True if nothing can be given before more was read from the connection."""
        body = self._body
        if self._first or self._lease is None or body.complete or body.failure is not None:
            return False
        return self._decoder is None or not self._decoder.pending

    def _begin(self) -> None:
        """Make the decoder, now that the body is wanted and nobody can ask for it undecoded any more."""
        self._begun = True
        if self._decode and b"content-encoding" in self.head.index:
            try:
                self._decoder = content_decoder(self.head.get(b"content-encoding") or b"")
            except ContentDecodingError as error:
                raise self._failed(error) from None

    def _decoded(self, decoder: Decoder, most: int) -> bytes | None:
        """Do one step of decoding, and give what came of it; `None` if that is nothing."""
        if self._failure is not None:
            raise copy(self._failure)
        raw = b"" if decoder.pending else self._payload()
        if raw is None:
            return None
        try:
            if not raw and not decoder.pending:
                decoder.finish()
                return b""
            began = self._check_time()
            # Small pieces of a large body are cut from a large one: each step would copy what it leaves.
            piece = decoder.feed(raw, min(max(most, STEP), READ_SIZE))
        except ContentDecodingError as error:
            raise self._failed(error) from error.__cause__
        if began is not None:
            self._count_decoding(began)
        self._worked += STEP + len(piece)
        return piece or None

    def _check_time(self) -> float | None:
        """Raise TotalTimeout if the time for the whole request is up; tell what time it is, if there is one.

        Once the body has come whole, the caller may take as long as it likes before it looks. Only decoding still
        takes time then: a small body may hold gigabytes.
        """
        deadline = self._exchange.deadline
        if deadline is None:
            return None
        now = clock()
        if (now if self._lease is not None else self._whole_at + self._decoding) >= deadline:
            raise self._failed(self._exchange.timed_out(total=self._exchange.timeout.total))
        return now

    def _count_decoding(self, began: float) -> None:
        """Add what decoding has taken since `began` to its time, once the body has come whole."""
        if self._lease is None:
            self._decoding += clock() - began

    def _payload(self) -> bytes | None:
        """Give payload as it was sent; none at the end, when the connection was given back; `None` before."""
        if self._first:
            first, self._first = self._first, b""
            return first
        body = self._body
        if body.failure is not None:
            raise copy(self._failure) if self._failure is not None else self._failed(copy(body.failure))
        if self._is_given_up or (self._lease is None and not body.complete):
            raise self._again("the response was closed before its body was read")
        if self._lease is None:
            return b""
        if not body.complete:
            return None
        self._finish()
        return b""

    # Reading

    def _wants(self, most: int) -> int:
        """Tell how many bytes to read from the connection, where `most` are to be handed out."""
        size = max(most, LEAST_READ) if self._decoder is None else READ_SIZE
        remaining = self._body.remaining
        return size if remaining is None or remaining > size else remaining

    def _fed(self, data: bytes) -> None:
        """Take what was read from the connection; none means that it ended."""
        body = self._body
        self._exchange.received += len(data)
        try:
            payload = body.feed(data) if data else self._ended(body)
        except KeepPoolError as error:
            raise self._failed(error) from error.__cause__
        if body.complete:
            # Before the caller sees the last piece: whoever asks again at once finds the connection idle.
            self._finish()
        self._first = payload

    def _is_worth_placing(self) -> bool:
        """Tell whether what follows is a large rest of known length that needs no decoding."""
        if self._decoder is not None or self._lease is None or self._first or self._offset < len(self._buffer):
            return False
        return (self._body.remaining or 0) > READ_SIZE

    def _rooms(self, whole: Whole) -> Iterator[memoryview]:
        """Give room for the rest of a body whose length is known, as much as may be read before the next look."""
        while (remaining := self._body.remaining or 0) and self._lease is not None:
            with whole.room(remaining) as room:
                yield room

    def _placed(self, size: int) -> None:
        """Take note that `size` bytes of payload were read into their place; none means that the connection ended."""
        body = self._body
        assert isinstance(body, LengthBody), "bug: only a body of known length has a place"
        if size:
            self._exchange.received += size
            body.skip(size)
            if body.complete:
                self._finish()
        else:
            self._fed(b"")

    @staticmethod
    def _ended(body: BodyReader) -> bytes:
        body.eof()
        return b""

    def _finish(self) -> None:
        lease, self._lease = self._lease, None
        assert lease is not None, "bug: finished twice"
        lease.finish(self._body)
        if self._exchange.deadline is not None:
            self._whole_at = clock()

    def _failed(self, error: KeepPoolError) -> KeepPoolError:
        """Close the connection, if it is still ours, and add the exchange's facts to the error."""
        if self._lease is not None:
            lease, self._lease = self._lease, None
            lease.close_failed(error)
        self._exchange.blame(error)
        self._failure = copy(error)
        return error

    def _again(self, what: str) -> KeepPoolError:
        """Build the error for a body that has failed before, or else cannot be read any more, as `what` says."""
        return self._consumed(what) if self._failure is None else copy(self._failure)

    # Giving up

    def _break_off(self) -> None:
        """Close the connection of a body whose reader was interrupted: pieces it had taken are lost."""
        self._is_given_up = True
        if self._lease is not None:
            lease, self._lease = self._lease, None
            lease.close_failed(sys.exception())

    def _give_up(self) -> None:
        """Give up the rest of the body; see `close` and `aclose`."""
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
                self._exchange.received += len(data)
                body.feed(data)
                if body.failure is not None:
                    return False
        except OSError:
            return False
        if body.complete:
            self._is_given_up = self._is_given_up or self._data is None
            self._finish()
        return body.complete

    def _gathering(self, whole: Whole, amount: int | None) -> Iterator[int]:
        """Gather `amount` bytes of the body, fewer only at its end; everything for `None`.

        Yields:
            How many bytes to read from the connection first; 0 if that is none, and others' turn after much decoding.
        """
        while amount is None or whole.size < amount:
            most = READ_SIZE if amount is None else amount - whole.size
            while (piece := self._ready(most)) is None:
                if self._must_read:
                    yield most
                elif self._worked > TURN:
                    yield 0
            if not piece:
                return
            whole.add(piece)
            if self._worked > TURN:
                yield 0

    def _draining(self, rest: Whole) -> Iterator[int]:
        """Gather what is left, as it was sent, if it is small.

        Yields:
            How many bytes to read from the connection first.
        """
        while self._may_drain(rest.size):
            while (payload := self._payload()) is None:
                yield DRAIN_SIZE
            rest.add(payload)

    def _begin_draining(self) -> Whole:
        """Bound the time of reading an unwanted rest; give the place for it."""
        if self._lease is not None:
            self._lease.drain_within(DRAIN_SECONDS)
        return Whole()

    def _thrown_away(self, drained: bytes) -> None:
        """Take note of what was read off the connection for nobody: without it the body is not whole."""
        self._is_given_up = self._is_given_up or bool(drained)

    def _may_drain(self, taken: int) -> bool:
        """Tell whether an unwanted rest, of which `taken` bytes were read, is worth reading on."""
        return self._lease is not None and taken < DRAIN_SIZE and (self._body.remaining or 0) <= DRAIN_SIZE

    def _keeping(self, drained: bytes) -> Iterator[bool]:
        """Keep a body that has come whole and that nobody has begun to read, step by step.

        Args:
            drained: What was taken of it.

        Yields:
            Whether it is kept, after each step: False until it is, and to the end if it cannot be.
        """
        if self._data is not None:
            yield True
            return
        if self._lease is not None or self._begun or self._streamed or not self._body.complete:
            self._thrown_away(drained)
            yield False
            return
        self._first = drained + self._first
        pieces: list[bytes] = []
        left = MOST_KEPT
        try:
            for _ in range(KEEP_STEPS):
                piece = self._ready(left)
                if piece == b"":
                    self._data = b"".join(pieces)
                    yield True
                    return
                if piece:
                    pieces.append(piece)
                    left -= len(piece)
                    if not left:
                        break
                yield False
        except (ContentDecodingError, TotalTimeout):
            yield False
            return
        # Its beginning must not be taken for the whole.
        self._failure = self._consumed("the body was not wanted, and is too large to be kept")
        yield False
