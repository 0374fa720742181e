"""What `requests.Response.raw` is under the mount: urllib3's response, reading keeppool's connection.

Decides: in which pieces a chunked body is handed out, and when requests need not look for cookies.
Knows: what requests and its friends do with `raw`: they iterate, decode, read it as a file, look for cookies in
    `_original_response`, and replace `_fp` to replay a body. So it is a true `urllib3.HTTPResponse` over a file of ours
    whose decoding, counting and translating of errors are urllib3's.
Does not know: the pool; `keeppool.pools.response.Response` reads and gives the connection back.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from http.client import HTTPMessage
from typing import TYPE_CHECKING

from urllib3.exceptions import ResponseNotChunked

from keeppool.adapters.decoding import DecodingResponse
from keeppool.adapters.message import http_message
from keeppool.errors import KeepPoolError

if TYPE_CHECKING:
    from urllib3 import Retry

    from keeppool.pools.response import Response


class RawResponse(DecodingResponse):
    """A response as requests wants to be given it: its body as it was sent, decoded by the reader.

    Args:
        answer: The pool's, streamed and not decoded.
        method: The request's.
        retries: What is left of the tries; `None` if there was one only.

    Attributes:
        late: Seconds `preload` has taken.

    Thread safety: one thread at a time.
    """

    late: float = 0.0

    def __init__(self, answer: Response, method: str, retries: Retry | None = None) -> None:
        head = answer.head
        self._wire = wire = _Wire(answer)
        super().__init__(
            body=wire,  # type: ignore[arg-type]
            headers=answer.headers,
            status=head.status,
            version=head.version,
            version_string="HTTP/1.1" if head.version == 11 else "HTTP/1.0",
            reason=head.reason,
            preload_content=False,
            decode_content=False,
            original_response=_OriginalResponse(answer),  # type: ignore[arg-type]
            connection=None if wire.closed else _Borrowed(answer),  # type: ignore[arg-type]
            retries=retries,
            request_method=method,
            request_url=answer.url,
        )

    def __del__(self) -> None:
        """Keep `io.IOBase` from closing what is dropped: that takes the pool's lock, and a finalizer may run inside it.

        The connection goes back all the same, without a lock, when the lease under it is dropped.
        """

    def preload(self) -> None:
        """Read the body now and give its connection back. What goes wrong is raised when the body is asked for."""
        if not self._wire.closed:
            before = time.perf_counter()
            self._wire.preload()
            self.late = time.perf_counter() - before
            self._connection = None

    def stream(self, amt: int | None = 65536, decode_content: bool | None = None) -> Iterator[bytes]:  # type: ignore[override]
        """Go through the body in pieces of at most `amt` bytes; those of a chunked one as they arrive.

        Raises:
            urllib3.exceptions.HTTPError: As `urllib3.HTTPResponse.stream`; the `__cause__` is keeppool's error.
        """
        wire = self._wire
        if self._fp is not wire:  # type: ignore[comparison-overlap]
            return super().stream(amt, decode_content)
        if wire.is_in_memory and "content-encoding" not in self.headers:
            return self._ready(amt)
        return self.read_chunked(amt, decode_content) if self.chunked else super().stream(amt, decode_content)

    def _ready(self, amt: int | None) -> Iterator[bytes]:
        """Hand out a body that was read whole: nothing can go wrong any more, and urllib3's care for that costs."""
        while amt != 0 and (piece := self._wire.read(amt)):
            self._fp_bytes_read += len(piece)
            if self.length_remaining is not None:
                self.length_remaining -= len(piece)
            yield piece

    def read_chunked(self, amt: int | None = None, decode_content: bool | None = None) -> Iterator[bytes]:  # type: ignore[override]
        """Go through a chunked body in pieces as they arrive; where a chunk ends means nothing (RFC 9112 §7.1).

        Raises:
            ResponseNotChunked: It is not sent in chunks.
            urllib3.exceptions.HTTPError: As `stream`.
        """
        if not self.chunked:
            raise ResponseNotChunked("the response is not sent in chunks: there is no Transfer-Encoding: chunked")
        return self._as_they_come(amt, decode_content)

    def _as_they_come(self, amt: int | None, decode_content: bool | None) -> Iterator[bytes]:
        while amt != 0 and (piece := self.read1(amt, decode_content)):
            yield piece

    def release_conn(self) -> None:
        """Give the connection back; what was not read of the body is given up."""
        self._connection = None
        self._wire.close()

    def drain_conn(self) -> None:
        """Read a small rest away so that the connection can be used again; close it if the rest is large or slow."""
        self._wire.drain()
        self._connection = None


class _Wire:
    """The body as it was sent, as a file; closed at its end, as http.client's is."""

    __slots__ = ("_answer", "_failure", "_is_over", "_offset", "_whole")

    def __init__(self, answer: Response) -> None:
        self._answer = answer
        self._whole: bytes | None = None
        self._offset = 0
        self._failure: KeepPoolError | None = None
        self._is_over = False

    def preload(self) -> None:
        """Read everything; keep what was raised until somebody reads."""
        try:
            self._whole = self._answer.read()
        except KeepPoolError as error:
            self._whole, self._failure = b"", error

    @property
    def chunked(self) -> bool:
        """True for a body in chunks, by http.client's name; the docker SDK asks."""
        return b"chunked" in (self._answer.head.get(b"transfer-encoding") or b"").lower()

    @property
    def chunk_left(self) -> int:
        """How many bytes can be read without waiting: where a chunk ends means nothing, and the SDK reads so many."""
        return self._answer.at_hand if self._whole is None else len(self._whole) - self._offset

    @property
    def fp(self) -> _File:
        """Stands where http.client has the socket's file."""
        return _File(self._answer)

    @property
    def is_in_memory(self) -> bool:
        """True if `preload` has read everything."""
        return self._whole is not None and self._failure is None

    def read(self, amt: int | None = None) -> bytes:
        """Read `amt` bytes, fewer only at the end; everything if `amt` is None or negative."""
        if self._is_over or amt == 0:
            return b""
        if self._whole is not None:
            return self._from_memory(self._whole, amt)
        return self._answer.read(amt)

    def read1(self, amt: int | None = None) -> bytes:
        """Read what comes next, at most `amt` bytes; none only at the end."""
        if self._is_over or amt == 0:
            return b""
        most = None if amt is None or amt < 0 else amt
        if self._whole is not None:
            return self._from_memory(self._whole, most)
        return next(self._answer.stream(most), b"")

    def _from_memory(self, whole: bytes, amt: int | None) -> bytes:
        if self._failure is not None:
            failure, self._failure, self._is_over = self._failure, None, True
            try:
                raise failure
            finally:
                del failure  # Its traceback holds this frame.
        start = self._offset
        piece = whole[start:] if amt is None or amt < 0 else whole[start : start + amt]
        self._offset = start + len(piece)
        return piece

    @property
    def closed(self) -> bool:
        """True at the end of the body, also where there is none."""
        if self._is_over or self._whole is None:
            return self._is_over or self._answer.closed
        return self._failure is None and self._offset >= len(self._whole)

    def isclosed(self) -> bool:
        """Tell `closed` by http.client's name."""
        return self.closed

    def close(self) -> None:
        """Give up the rest, and the connection."""
        self._is_over = True
        self._answer.close()

    def drain(self) -> None:
        """Give up the rest, but save the connection if that is cheap."""
        self._is_over = True
        self._answer.drain_conn()


class _File:
    """Stands where http.client has a file over the socket; `raw` is what is below that."""

    __slots__ = ("raw",)

    def __init__(self, answer: Response) -> None:
        self.raw = _Socket(answer)


class _Socket:
    """The connection under a body, as the docker SDK uses it: to lift its timeout, and to read and write a raw stream.

    Once the connection was given back there is nothing left to read, and no timeout to lift.
    """

    def __init__(self, answer: Response) -> None:
        self._answer = answer
        stream = answer.lent_stream
        self._number = -1 if stream is None else stream.sock.fileno()

    def settimeout(self, seconds: float | None) -> None:
        """Bound each read; `None` lifts the limit."""
        if (stream := self._answer.lent_stream) is not None:
            stream.set_timeout(seconds)

    def fileno(self) -> int:
        """Give the descriptor, to wait for it."""
        return self._number

    def recv(self, size: int) -> bytes:
        """Read what comes next, at most `size` bytes; none at the end."""
        return self._answer.read1(size)

    read = recv

    def sendall(self, data: bytes) -> None:
        """Send bytes as they are."""
        stream = self._answer.lent_stream
        if stream is None:
            raise BrokenPipeError(errno.EPIPE, "the connection was given back: the response has ended")
        stream.sock.sendall(data)

    def send(self, data: bytes) -> int:
        """Do the same, and tell that all was sent."""
        self.sendall(data)
        return len(data)

    def close(self) -> None:
        """Give up the response, and close its connection."""
        self._answer.close()


class _OriginalResponse:
    """Stands where urllib3 has http.client's response, for the header fields in `msg`.

    It is false if it sets no cookies: requests asks for its truth before it looks for some, twice a response, and the
    two looks cost as much as all of the pool's work (http.cookiejar parses URLs and takes a lock).
    """

    __slots__ = ("_answer", "_message", "reason", "status", "version")

    def __init__(self, answer: Response) -> None:
        self._answer = answer
        self._message: HTTPMessage | None = None
        self.version, self.status, self.reason = answer.version, answer.status, answer.reason

    def __bool__(self) -> bool:
        index = self._answer.head.index
        return b"set-cookie" in index or b"set-cookie2" in index

    @property
    def msg(self) -> HTTPMessage:
        """The header fields, made when first looked at."""
        if self._message is None:
            self._message = http_message(self._answer.head)
        return self._message

    headers = msg

    def isclosed(self) -> bool:
        """True once the connection was given back and nothing is left to read."""
        return self._answer.closed

    def close(self) -> None:
        """Give up the rest of the body."""
        self._answer.close()


class _Borrowed:
    """Stands where urllib3 has the connection under an unread body: what it closes if reading is broken off."""

    __slots__ = ("_answer",)

    def __init__(self, answer: Response) -> None:
        self._answer = answer

    def close(self) -> None:
        """Close the connection, unless the rest of the body is there already."""
        self._answer.close()
