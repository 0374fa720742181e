"""The body of a request: from what a caller may pass to the bytes that go out, once or again.

Decides: how the server learns the body's length, and whether the body can be sent a second time.
Knows: text, bytes, files, iterables (async ones too), and functions that make one of those.
Does not know: forms, JSON and multipart (the client makes bytes of them), and where the bytes go.

Source: RFC 9112 §6.1, §6.2 (one of Content-Length and Transfer-Encoding, never both);
RFC 9110 §8.6 (Content-Length: 0 where a body was to be expected).
"""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Final, Protocol

from keeppool.errors import InvalidBody, UnrewindableBodyError
from keeppool.wire.fields import EMPTY, FieldBlock, field_block
from keeppool.wire.upload import Chunks, Count, wrong_length

#: Bytes asked of a file at a time. From a file to a loopback socket, 16 KiB pieces carried 2.3 GB/s, 64 KiB pieces
#: about 3, and larger ones no more.
PIECE_SIZE: Final = 65536
#: Largest body that is joined with the head into one send. Copying it costs less than a second system call; beyond,
#: the call's share is lost in the time the kernel needs for the bytes.
WHOLE_SIZE: Final = 65536

_CHUNKED: Final = field_block([("Transfer-Encoding", "chunked")])
_LENGTH_0: Final = field_block([("Content-Length", "0")])
#: Methods whose meaning expects a body, or that may have one (OPTIONS, RFC 9110 §9.3.7, where requests says so too):
#: without one they say so (RFC 9110 §8.6).
EXPECT_BODY: Final = frozenset({b"POST", b"PUT", b"PATCH", b"OPTIONS"})


class _Source(Protocol):
    """Where the payload comes from: one class for each kind of thing a caller may pass."""

    length: int | None
    #: True if the payload has to be awaited.
    is_async: bool = False
    #: All of the payload, if it is in memory and small.
    whole: bytes | None = None

    def payload(self) -> Iterator[bytes | memoryview]:
        """Yield the payload from where the source stands; nothing is read before the first piece is asked for."""

    def awaited_payload(self) -> AsyncGenerator[bytes | memoryview, None]:
        """Yield the payload of a source that `is_async`."""
        raise InvalidBody("the body need not be awaited")

    def may_replay(self) -> bool:
        """Tell whether `rewind` can work."""

    def rewind(self) -> None:
        """Go back to the start; called only where `may_replay`."""


class RequestBody:
    """A body ready to be sent. Made by `request_body`.

    Attributes:
        length: Bytes of the payload; `None` if it is sent in chunks.
        framing: The field that tells the server so; `EMPTY` where the caller's own fields do, or none is needed.
        whole: The complete payload, if it is small and in memory: to be sent together with the head.
    """

    __slots__ = ("_source", "framing", "length", "whole")

    def __init__(self, source: _Source, length: int | None, framing: FieldBlock) -> None:
        self._source = source
        self.length = length
        self.framing = framing
        self.whole = None if length is None else source.whole

    def framed(self, content_length: int | None, *, chunked: bool, method: bytes) -> RequestBody:
        """Give the same body, sharing its source, framed as a caller's own fields say; see `request_body`.

        Raises:
            BodyLengthError: The body in memory is not `content_length` bytes long.
        """
        return _framed(self._source, content_length, chunked, method)

    def holding(self, payload: bytes) -> RequestBody:
        """Give a body framed as this one is that holds its payload in memory, and can be sent again and again.

        Args:
            payload: What `payload` or `awaited_payload` of this one has given, all of it.

        Raises:
            BodyLengthError: It is not as long as was announced.
        """
        if self.length not in (None, len(payload)):
            raise wrong_length(self.length or 0, len(payload))
        return RequestBody(_Memory(payload), self.length, self.framing)

    def payload(self) -> Iterator[bytes | memoryview]:
        """Yield what is to be sent, from where the body stands, without framing.

        Raises:
            InvalidBody: As `pieces`; or it `is_async`.
        """
        return self._source.payload()

    def awaited_payload(self) -> AsyncGenerator[bytes | memoryview, None]:
        """Yield what `payload` does, of a body that is async."""
        return self._source.awaited_payload()

    def pieces(self) -> Iterator[bytes | memoryview]:
        """Yield what goes on the wire, from where the body stands.

        The last piece is yielded only when the source has said that it was the last: a body longer than its
        Content-Length is never completed on the wire, where the surplus would be read as the next request.

        Raises:
            BodyLengthError: The payload is not `length` bytes long; `expected` and `actual` say by how much. The
                request on the wire is incomplete, so the connection must be closed.
            InvalidBody: The file or iterable gave something that is neither bytes nor text.
        """
        framer = Chunks() if self.length is None else Count(self.length)
        for piece in self._source.payload():
            yield from framer.frame(piece)
        yield from framer.end()

    @property
    def is_async(self) -> bool:
        """True if the payload has to be awaited: it is `awaited_pieces` then, and has no `pieces`."""
        return self._source.is_async

    async def awaited_pieces(self) -> AsyncGenerator[bytes | memoryview, None]:
        """Yield what `pieces` does, of a body that is async. Closed early, it closes the caller's async generator.

        Raises:
            BodyLengthError, InvalidBody: As `pieces`.
        """
        framer = Chunks() if self.length is None else Count(self.length)
        async with aclosing(self._source.awaited_payload()) as payload:
            async for piece in payload:
                for framed in framer.frame(piece):
                    yield framed
        for framed in framer.end():
            yield framed

    def may_replay(self) -> bool:
        """Tell whether `rewind` would bring the body back to its start. Nothing is read or moved."""
        return self._source.may_replay()

    def rewind(self) -> None:
        """Go back to where the body stood when it was passed.

        Raises:
            UnrewindableBodyError: It was (partly) consumed and cannot be had again. The body is as it was.
        """
        if not self._source.may_replay():
            raise UnrewindableBodyError("the body was read from an iterator or stream that cannot be read again")
        self._source.rewind()


def request_body(
    body: Any, *, content_length: int | None = None, chunked: bool = False, method: bytes = b""
) -> RequestBody:
    """Prepare a body for sending.

    Args:
        body: `None`, bytes, bytearray, memoryview, text (sent in UTF-8), a file opened for reading bytes, an iterable
            of bytes or text, an async one (for event loops only), or a function without arguments that returns any
            of those anew on each call.
        content_length: The bytes the caller's own Content-Length field states, if there is one.
        chunked: True if the caller's own fields say `Transfer-Encoding: chunked`.
        method: The request's method: POST, PUT and PATCH say `Content-Length: 0` where there is no body.

    Raises:
        InvalidBody: The body is of another type, or a file opened as text. Nothing was read.
        BodyLengthError: The body in memory is not `content_length` bytes long.
    """
    return _framed(_source(body), content_length, chunked, method)


def _framed(source: _Source, content_length: int | None, chunked: bool, method: bytes) -> RequestBody:
    """Put the field before a body that tells where it ends, unless the caller's own do."""
    if chunked:
        return RequestBody(source, None, EMPTY)
    length = source.length
    if content_length is not None:
        if isinstance(source, _Memory) and length != content_length:
            raise wrong_length(content_length, length)
        return RequestBody(source, content_length, EMPTY)
    if length is None:
        framing = _CHUNKED
    elif length:
        value = b"%d" % length
        framing = FieldBlock(b"Content-Length: %b\r\n" % value, _LENGTH_0.names, ((b"Content-Length", value),))
    else:
        framing = _LENGTH_0 if method in EXPECT_BODY else EMPTY
    return RequestBody(source, length, framing)


def _source(body: Any) -> _Source:
    if body is None:
        return _Memory(b"")
    if isinstance(body, (bytes, bytearray, memoryview, str)):
        return _Memory(_as_bytes(body))
    if isinstance(body, AsyncIterable):
        return _Awaited(body)
    if hasattr(body, "read"):
        return _File(body)
    if isinstance(body, Iterable) and not isinstance(body, Mapping):
        return _Iterable(body)
    if callable(body) and not isinstance(body, type):
        return _Made(body)
    raise InvalidBody(
        f"a body cannot be {_kind(body)}; pass bytes, text, a file opened with 'rb' or an iterable of bytes"
    )


class _Memory(_Source):
    """Bytes or text, or nothing at all."""

    __slots__ = ("_data", "length", "whole")

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = data
        self.length: int | None = len(data)
        self.whole = bytes(data) if len(data) <= WHOLE_SIZE else None

    def payload(self) -> Iterator[bytes | memoryview]:
        yield self._data

    def may_replay(self) -> bool:
        return True

    def rewind(self) -> None:
        """Nothing moved."""


class _File(_Source):
    """Anything with `read`. It is never closed here: it is the caller's."""

    __slots__ = ("_file", "_pulled", "_start", "length")

    def __init__(self, file: Any) -> None:
        if isinstance(file, io.TextIOBase):
            raise InvalidBody("the file is opened as text, so its length in bytes is not known; open it with 'rb'")
        self._file = file
        self._pulled = False
        self._start, self.length = _extent(file)

    def payload(self) -> Iterator[bytes | memoryview]:
        self._pulled = True
        # Only empty bytes are the end: `None` is how a non-blocking stream says "not yet", and must not end a body.
        while (piece := self._file.read(PIECE_SIZE)) != b"":
            if isinstance(piece, str):
                raise InvalidBody("the file gives text, so its length in bytes is not known; open it with 'rb'")
            yield _as_bytes(piece)

    def may_replay(self) -> bool:
        return not self._pulled or (self._start is not None and not getattr(self._file, "closed", False))

    def rewind(self) -> None:
        if self._pulled and self._start is not None:
            try:
                self._file.seek(self._start)
            except (OSError, ValueError) as error:
                raise UnrewindableBodyError(f"the file cannot go back to byte {self._start}: {error}") from error
            self._pulled = False


class _Iterable(_Source):
    """Pieces from an iterable. A list can be had again, an iterator only as long as nobody asked for a piece."""

    __slots__ = ("_iterable", "_pulled", "length")

    def __init__(self, iterable: Iterable[object]) -> None:
        self._iterable = iterable
        self._pulled = False
        self.length: int | None = None

    def payload(self) -> Iterator[bytes | memoryview]:
        self._pulled = True
        for piece in self._iterable:
            yield _as_bytes(piece)

    def may_replay(self) -> bool:
        return not self._pulled or not isinstance(self._iterable, Iterator)

    def rewind(self) -> None:
        """Nothing to do: iterating anew starts anew."""


class _Awaited(_Source):
    """Pieces from an async iterable. An async iterator can be had again only as long as nobody asked for a piece."""

    __slots__ = ("_iterable", "_pulled", "length")

    def __init__(self, iterable: AsyncIterable[object]) -> None:
        self._iterable = iterable
        self._pulled = False
        self.length: int | None = None

    is_async = True

    def payload(self) -> Iterator[bytes | memoryview]:
        raise InvalidBody("an async iterable can be sent by an asyncio client only")

    async def awaited_payload(self) -> AsyncGenerator[bytes | memoryview, None]:
        self._pulled = True
        pieces = aiter(self._iterable)
        try:
            async for piece in pieces:
                yield _as_bytes(piece)
        finally:
            # Nobody else can: a generator that was begun cannot be sent again, nor can what it holds be let go.
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()

    def may_replay(self) -> bool:
        return not self._pulled or not isinstance(self._iterable, AsyncIterator)

    def rewind(self) -> None:
        """Nothing to do: iterating anew starts anew."""


class _Made(_Source):
    """What a caller's function makes, anew for each sending. Made once at the start: its length has to be known."""

    __slots__ = ("_made", "_make", "is_async", "length")

    def __init__(self, make: Callable[[], object]) -> None:
        self._make = make
        self._made = self._fresh()
        self.length = self._made.length
        self.is_async = self._made.is_async

    def _fresh(self) -> _Source:
        made = self._make()
        if isinstance(made, Callable):  # type: ignore[arg-type]
            raise InvalidBody("a function given as body must return the body, not another function")
        return _source(made)

    def payload(self) -> Iterator[bytes | memoryview]:
        return self._made.payload()

    def awaited_payload(self) -> AsyncGenerator[bytes | memoryview, None]:
        return self._made.awaited_payload()

    def may_replay(self) -> bool:
        return True

    def rewind(self) -> None:
        self._made = self._fresh()
        self.is_async = self._made.is_async


def _extent(file: Any) -> tuple[int | None, int | None]:
    """Return where the file stands and how many bytes follow; `None` for what it cannot tell.

    Measured by seeking: the size the operating system knows is wrong for a file object that decompresses.
    """
    try:
        start = file.tell()
        end = file.seek(0, io.SEEK_END)
        end = file.tell() if end is None else end
        file.seek(start)
    except (AttributeError, OSError, ValueError):
        # `len` is how requests-toolbelt's streamed multipart bodies state their size.
        length = getattr(file, "len", None)
        return None, length if isinstance(length, int) else None
    return start, max(0, end - start)


def _as_bytes(piece: object) -> bytes | memoryview:
    """Turn what a caller gave into bytes, or into a view of them with one byte per item."""
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, str):
        return _utf8(piece)
    if isinstance(piece, (bytearray, memoryview)):
        view = memoryview(piece)
        return view.cast("B") if view.c_contiguous else view.tobytes()
    raise InvalidBody(f"a body's pieces must be bytes or text, not {_kind(piece)}")


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidBody("the body's text holds a lone surrogate, which UTF-8 cannot write") from error


def _kind(thing: object) -> str:
    return f"of type {type(thing).__name__}"
