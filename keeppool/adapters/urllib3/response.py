"""`ResponseFile`: a response as urllib3 takes it, a body file that behaves as http.client's response does.

Decides: how what our parsers find is put in http.client's words, so that urllib3 raises what it always raises.
Knows: which of http.client's methods and attributes urllib3, requests and cachecontrol use.
Does not know: the pool. That the body has ended is found here; what follows for the connection, in `hosts.py`.

Source: RFC 9112 §6, §7.1, §8.
"""

from __future__ import annotations

import http.client
import socket
from typing import TYPE_CHECKING, Any

from keeppool.adapters.message import http_message
from keeppool.clock import clock
from keeppool.errors import IncompleteBody, InvalidChunk
from keeppool.reasons import Why
from keeppool.wire.chunked import whole_chunks
from keeppool.wire.framing import Kind
from keeppool.wire.message import BodyReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from keeppool.adapters.urllib3.lending import Borrowing
    from keeppool.wire.head import ResponseHead

#: Bytes asked of the socket at a time where the end is not known, or far. Four times what one recv usually returns.
READ_SIZE = 262144


class ResponseFile:
    """What urllib3 reads a body from, and takes for an `http.client.HTTPResponse`.

    A chunked body can be read in two ways, not to be mixed: `read` gives the payload; `next_chunk` gives what whole
    chunks carry, one after the other, and for all else of the framing `readline` and `_safe_read` give the bytes as
    they were sent, for urllib3 to take apart once more. Each of those passes our own strict reader first.

    Attributes:
        head: The head as it was parsed.
        will_close: The connection carries no other request.
    """

    __slots__ = (
        "__weakref__",
        "_at",
        "_borrowing",
        "_chunks",
        "_is_closed",
        "_is_in_trailer",
        "_message",
        "_method",
        "_on_end",
        "_payload",
        "_raw",
        "_reader",
        "_sock",
        "head",
    )

    def __init__(self, borrowing: Borrowing, sock: socket.socket, reader: BodyReader, method: str) -> None:
        assert borrowing.answer is not None, "bug: no answer yet"
        self.head: ResponseHead = borrowing.answer
        self._borrowing = borrowing
        self._sock = sock
        self._reader = reader
        self._method = method
        self._message: http.client.HTTPMessage | None = None
        self._is_closed = False
        self._is_in_trailer = False
        self._on_end: Callable[[], None] | None = None
        #: Payload that was read and not yet asked for.
        self._payload = b""
        #: Bytes of a chunked body, of which `_at` were looked at: cutting them off each time would copy the others.
        self._raw = b""
        self._at = 0
        #: What whole chunks among the bytes looked at carry, the last one first.
        self._chunks: list[bytes] = []
        if borrowing.framing.kind is Kind.CHUNKED:
            self._raw = borrowing.rest
        elif borrowing.rest:
            self._payload = reader.feed(borrowing.rest)

    # What the head says

    @property
    def status(self) -> int:
        """The status code; `code` is the same."""
        return self.head.status

    code = status

    @property
    def reason(self) -> str:
        """The reason phrase, perhaps empty."""
        return self.head.reason

    @property
    def version(self) -> int:
        """10 or 11."""
        return self.head.version

    @property
    def msg(self) -> http.client.HTTPMessage:
        """The fields as http.client parses them, for cookie jars; `headers` is the same. Made when first looked at."""
        if self._message is None:
            self._message = http_message(self.head)
        return self._message

    headers = msg

    def info(self) -> http.client.HTTPMessage:
        """Give the fields."""
        return self.msg

    def getheader(self, name: str, default: Any = None) -> Any:
        """Give a field's value, several joined by a comma."""
        values = self.msg.get_all(name)
        return default if values is None else ", ".join(values)

    def getheaders(self) -> list[tuple[str, str]]:
        """List all fields."""
        return list(self.msg.items())

    @property
    def chunked(self) -> bool:
        """True if the body comes in chunks."""
        return self._borrowing.framing.kind is Kind.CHUNKED

    @property
    def length(self) -> int | None:
        """Bytes of the body still to be read, where that is known."""
        remaining = self._reader.remaining
        return None if remaining is None else remaining + len(self._payload)

    @property
    def will_close(self) -> bool:
        """True if the connection carries no other request."""
        return self._borrowing.why_close(self._reader) is not None

    # Being a file

    @property
    def fp(self) -> ResponseFile | None:
        """The file below: urllib3 takes chunks from it, and `None` for the body's end."""
        return None if self._is_closed else self

    def isclosed(self) -> bool:
        """Tell whether the body was read to its end, or closed."""
        return self._is_closed

    @property
    def closed(self) -> bool:
        """As `isclosed`."""
        return self._is_closed

    def readable(self) -> bool:
        """Answer True, as a file open for reading does."""
        return True

    def fileno(self) -> int:
        """Give the socket's number."""
        return self._sock.fileno()

    def flush(self) -> None:
        """Nothing is written here."""

    def close(self) -> None:
        """Take no more. Whether the connection can be used again depends on whether everything has come."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._at < len(self._raw):
            # Only whole after its last chunk; anything behind that is not ours, and the reader will say so.
            self._swallow_raw()
        self._payload = b""
        self._borrowing.connection.read_at = clock()
        if self._on_end is not None:
            on_end, self._on_end = self._on_end, None
            on_end()

    # Since the connection knows what it carries

    @property
    def is_complete(self) -> bool:
        """True if the last byte of the body is here, read or not: the connection is not needed any more."""
        return self._reader.complete

    def why_close(self) -> Why | None:
        """Tell why the connection cannot carry another request; `None` if it can."""
        return self._borrowing.why_close(self._reader) if self._reader.complete else Why.BODY_UNREAD

    def when_closed(self, call: Callable[[], None]) -> None:
        """Have something done at the end."""
        self._on_end = call

    # Reading the payload

    def read(self, amt: int | None = None) -> bytes:
        """Read `amt` bytes, fewer only at the end; everything if `amt` is None or negative.

        Raises:
            http.client.IncompleteRead: The body broke off, unless `amt` was given and the length is known: then what
                there was is returned, and urllib3 compares lengths.
            OSError: From the socket.
        """
        if self._is_closed:
            return b""
        if amt is None or amt < 0:
            return self._read_all()
        pieces, missing = [], amt
        while missing > 0 and (piece := self._take(missing)):
            pieces.append(piece)
            missing -= len(piece)
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if missing and not self._reader.complete and self._reader.remaining is None:
            raise http.client.IncompleteRead(data)
        self._close_at_end()
        return data

    def read1(self, amt: int = -1) -> bytes:
        """Read what is there, up to `amt` bytes, waiting for the first of them only."""
        if self._is_closed or amt == 0:
            return b""
        piece = self._take(READ_SIZE if amt is None or amt < 0 else amt)
        if not piece and not self._reader.complete and self._reader.remaining is None:
            raise http.client.IncompleteRead(b"")
        self._close_at_end()
        return piece

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Read what comes next into a buffer; 0 at the end."""
        piece = self.read1(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def _read_all(self) -> bytes:
        pieces: list[bytes] = []
        while piece := self._take(READ_SIZE):
            pieces.append(piece)
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if not self._reader.complete:
            raise http.client.IncompleteRead(body, self._reader.remaining)
        self.close()
        return body

    def _take(self, most: int) -> bytes:
        """Give up to `most` bytes of payload, at least one; none at the end."""
        payload = self._payload
        if payload:
            self._payload = payload[most:]
            return payload[:most] if len(payload) > most else payload
        reader = self._reader
        while not reader.complete:
            piece = self._fed(most)
            if piece is None:
                return b""
            if piece:
                self._payload = piece[most:]
                return piece[:most] if len(piece) > most else piece
        return b""

    def _fed(self, most: int) -> bytes | None:
        """Take one piece off the connection and give the payload in it; `None` if the server closed."""
        if self._chunks:
            data = b"".join(reversed(self._chunks))
            self._chunks.clear()
            return data
        data = self._rest_of_raw()
        if not data and self._reader.failure is None:
            remaining = self._reader.remaining
            data = self._sock.recv(min(READ_SIZE, most if remaining is None else min(most, remaining)))
            self._borrowing.received += len(data)
        try:
            if data:
                return self._reader.feed(data)
            self._reader.eof()
        except InvalidChunk as error:
            self._end_badly()
            raise http.client.IncompleteRead(b"") from error
        except IncompleteBody:
            self._end_badly()
        return None

    def _close_at_end(self) -> None:
        if self._reader.complete and not self._payload:
            self.close()

    def _end_badly(self) -> None:
        """The connection is done for: what comes next on it has no known meaning."""
        self._borrowing.why = Why.EXCHANGE_FAILED

    # Reading a chunked body as it was sent

    def readline(self, limit: int = -1) -> bytes:
        """Read a line of the chunked framing, its end included; what there is if it is longer than `limit`.

        Raises:
            http.client.HTTPException: It is one that parsers read differently.
        """
        end = self._raw.find(b"\n", self._at) + 1
        if not end:
            self._raw, self._at = self._rest_of_raw(), 0
        while not end and (limit < 0 or len(self._raw) < limit):
            data = self._sock.recv(READ_SIZE)
            self._borrowing.received += len(data)
            if not data:
                break
            searched = len(self._raw)
            self._raw += data
            end = self._raw.find(b"\n", searched) + 1
        end = end or len(self._raw)
        end = end if limit < 0 else min(end, self._at + limit)
        line, self._at = self._raw[self._at : end], end
        size = _size(line) if line.endswith(b"\n") else None
        self._check(line, is_worded_by_urllib3=size is None and not self._is_in_trailer)
        self._is_in_trailer = self._is_in_trailer or size == 0
        return line

    def _safe_read(self, amt: int) -> bytes:
        """Read `amt` bytes of a chunk, or of the line end behind it.

        Raises:
            http.client.IncompleteRead: The server closed before.
        """
        pieces: list[bytes] = []
        missing = amt
        while missing > 0:
            if self._at >= len(self._raw) and not self._receive_raw():
                self._end_badly()
                raise http.client.IncompleteRead(b"".join(pieces), missing)
            piece = self._raw[self._at : self._at + missing]
            self._at += len(piece)
            self._check(piece)
            pieces.append(piece)
            missing -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def next_chunk(self) -> bytes:
        """Give what the next chunk carries, if it is whole and plain; none if `readline` has to look at it.

        To be called between two chunks only: our strict reader need not see what leaves it where it was.
        """
        chunks = self.whole_chunks()
        return chunks.pop() if chunks else b""

    def whole_chunks(self) -> list[bytes]:
        """Give what the next whole and plain chunks carry, the first one last, to be popped off by the caller."""
        if not self._chunks:
            if self._at >= len(self._raw):
                self._receive_raw()
            self._at = whole_chunks(self._raw, self._at, self._chunks)
            self._chunks.reverse()
        return self._chunks

    def _receive_raw(self) -> bool:
        """Wait for more of the body as it was sent; False if the server has closed."""
        self._raw, self._at = self._sock.recv(READ_SIZE), 0
        self._borrowing.received += len(self._raw)
        return bool(self._raw)

    def _rest_of_raw(self) -> bytes:
        """Take what was received and not looked at."""
        rest = self._raw[self._at :] if self._at else self._raw
        self._raw, self._at = b"", 0
        return rest

    def _check(self, data: bytes, *, is_worded_by_urllib3: bool = False) -> None:
        """Let our own reader see what urllib3 is about to."""
        self._reader.feed(data)
        error = self._reader.failure
        if error is not None:
            self._end_badly()
            if not is_worded_by_urllib3:
                raise http.client.HTTPException(str(error)) from error

    def _swallow_raw(self) -> None:
        self._reader.feed(self._rest_of_raw())
        if self._reader.failure is not None:
            self._end_badly()


def _size(line: bytes) -> int | None:
    """Read a chunk's size as urllib3 does; `None` for what it does not take for one, and reports in its own words."""
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError:
        return None
