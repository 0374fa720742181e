"""Requests as a test server sees them, and the responses it gives.

Knows: HTTP/1.x request syntax, strictly: a malformed request is a bug of the client under test.
Does not know: sockets. Shares no code with `keeppool.wire` on purpose: a mistake must not hide by being made twice.
Source: RFC 9112 §2.2, §3, §5.1 (requests), §6.3 (their length), §7.1 (chunked).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from keeppool.checks import bad

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rf"({_TOKEN}) ([\x21-\x7e]+) HTTP/1\.([01])\r\n")
_FIELD = re.compile(rf"({_TOKEN}):([^\x00-\x08\x0a-\x1f\x7f]*)\r\n")
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]+(?=[;\r])")

#: Apache httpd allows 8190 bytes a line and 100 fields, nginx 32 KiB in all; a client's head above this is a bug.
_HEAD_LIMIT = 65536


class MalformedRequest(ValueError):
    """The client sent what is not an HTTP/1.x request. The message says which rule it broke."""


class Head(NamedTuple):
    """A request's head.

    Attributes:
        method: As sent.
        target: As sent: a path with query, or a whole URL where the client takes the site for a proxy.
        version: "1.1" or "1.0".
        pairs: Header fields as sent, in their order.
        headers: The same by lower-case name; a repeated field's values are joined with ", ".
    """

    method: str
    target: str
    version: str
    pairs: list[tuple[str, str]]
    headers: dict[str, str]


class Request(NamedTuple):
    """A request that arrived whole. `method` to `headers` are those of `Head`.

    Attributes:
        method: As sent.
        target: As sent.
        version: "1.1" or "1.0".
        pairs: Header fields as sent.
        headers: The same by lower-case name.
        body: The body, chunked framing removed.
        connection: Number of the connection it came on, from 1.
        number: Which request on that connection it was, from 1.
        at: `time.monotonic()` at its last byte.
    """

    method: str
    target: str
    version: str
    pairs: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes
    connection: int
    number: int
    at: float

    @property
    def path(self) -> str:
        """The target's path, without query."""
        return self.target.partition("?")[0] if self.target.startswith("/") else urlsplit(self.target).path

    @property
    def query(self) -> str:
        """What follows the target's question mark; empty if there is none."""
        return self.target.partition("?")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a `handler` wants to be answered. The site adds the fields for framing and keep-alive.

    Attributes:
        status: A final status.
        headers: Fields as (name, value) pairs. `Content-Length`, `Transfer-Encoding`, `Connection` and `Keep-Alive`
            come from the site's `Behaviour`; leave them out.
        body: The body; as a tuple, the pieces it is sent in (one chunk each where chunked).
        pause_s: Seconds between two pieces.
        delay_s: Seconds before the response, on top of the site's own `delay_s`.
        framing: "length", "chunked" or "close", instead of the site's.
        close: Say `Connection: close` and close.
        hang_up: Send nothing; close the connection as if the process had died after executing the request.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | tuple[bytes, ...] = b""
    pause_s: float = 0.0
    delay_s: float = 0.0
    framing: str | None = None
    close: bool = False
    hang_up: bool = False

    def __post_init__(self) -> None:
        pieces = self.body if isinstance(self.body, tuple) else (self.body,)
        if not all(isinstance(piece, (bytes, bytearray, memoryview)) for piece in pieces):
            raise bad("body", self.body, "must be bytes, or a tuple of them")
        pairs = () if isinstance(self.headers, (str, bytes, Mapping)) else self.headers
        if pairs is not self.headers or not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
            raise bad("headers", self.headers, "must be (name, value) pairs, such as (('Content-Type', 'text/plain'),)")

    @property
    def pieces(self) -> tuple[bytes, ...]:
        """The body's pieces without empty ones, which would end a chunked body early."""
        pieces = (self.body,) if isinstance(self.body, bytes) else self.body
        return tuple(piece for piece in pieces if piece)


def parse_head(head: bytes) -> Head:
    """Read a request's head, its empty line included.

    Raises:
        MalformedRequest: Not a request line, a bad field line, or not exactly one Host in HTTP/1.1.
    """
    text = head.decode("latin-1")
    line = _REQUEST_LINE.match(text)
    if line is None:
        raise MalformedRequest(f"not a request line: {head[:100]!r}")
    pairs = [(name, value.strip(" \t")) for name, value in _FIELD.findall(text, line.end())]
    if len(pairs) != text.count("\n") - 2:
        raise MalformedRequest(f"a malformed field line in {head[:1000]!r}")
    headers: dict[str, str] = {}
    for name, value in pairs:
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    method, target, minor = line.groups()
    if minor == "1" and "," in headers.get("host", ","):  # joined from several, or absent
        raise MalformedRequest("HTTP/1.1 needs exactly one Host field (RFC 9112 §3.2)")
    return Head(method, target, f"1.{minor}", pairs, headers)


class RequestReader:
    """Cuts a stream of bytes into requests. Feed it what arrives, then `take` until there is no more."""

    __slots__ = ("_body", "_buffer", "_continued", "_head")

    def __init__(self) -> None:
        self._buffer = b""
        self._head: Head | None = None
        self._body: _Sized | _Chunked | None = None
        self._continued = False

    @property
    def is_between(self) -> bool:
        """True if not one byte of a further request has come."""
        return self._head is None and not self._buffer

    def feed(self, data: bytes) -> None:
        """Add bytes that arrived."""
        self._buffer = self._buffer + data if self._buffer else data

    def take(self) -> tuple[Head, bytes] | None:
        """Give the next whole request as head and body, or `None` while it is incomplete.

        Raises:
            MalformedRequest: What came is no request; the reader cannot be used any further.
        """
        head = self.take_head()
        if head is None or self._body is None:
            return None
        rest = self._body.feed(self._buffer)
        self._buffer = rest or b""
        if rest is None:
            return None
        body = self._body.body
        self._head = self._body = None
        return head, body

    def take_head(self) -> Head | None:
        """Give the head of the request at hand as soon as it is there; its body stays to be taken.

        Raises:
            MalformedRequest: As for `take`.
        """
        if self._head is None:
            end = self._buffer.find(b"\r\n\r\n") + 4
            if end < 4 and len(self._buffer) <= _HEAD_LIMIT:
                return None
            if end < 4:
                raise MalformedRequest(f"no end of the head within {_HEAD_LIMIT} bytes")
            self._head = parse_head(self._buffer[:end])
            self._body = _body_of(self._head)
            self._buffer = self._buffer[end:]
            self._continued = False
        return self._head

    def wants_continue(self) -> bool:
        """Tell, once for each request, whether the client waits for `100 Continue` (RFC 9110 §10.1.1)."""
        if self._head is None or self._continued:
            return False
        self._continued = True
        return self._head.version == "1.1" and self._head.headers.get("expect", "").lower() == "100-continue"


class _Sized:
    """A body with a Content-Length, or none (length 0)."""

    __slots__ = ("_missing", "_pieces")

    def __init__(self, length: int) -> None:
        self._missing = length
        self._pieces: list[bytes] = []

    @property
    def body(self) -> bytes:
        return b"".join(self._pieces)

    def feed(self, data: bytes) -> bytes | None:
        """Take what belongs to the body; give what follows it, or `None` while it is incomplete."""
        if self._missing:
            self._pieces.append(data[: self._missing])
        rest = data[self._missing :]
        self._missing -= len(data) - len(rest)
        return None if self._missing else rest


class _Chunked:
    """A chunked body; trailer fields are read and dropped."""

    __slots__ = ("_buffer", "_pieces", "_trailers")

    def __init__(self) -> None:
        self._buffer = b""
        self._pieces: list[bytes] = []
        self._trailers = False

    @property
    def body(self) -> bytes:
        return b"".join(self._pieces)

    def feed(self, data: bytes) -> bytes | None:
        """Take what belongs to the body; give what follows it, or `None` while it is incomplete."""
        self._buffer += data
        while not self._trailers:
            if not self._take_chunk():
                return None
        return self._after_trailers()

    def _take_chunk(self) -> bool:
        line, found, _ = self._buffer.partition(b"\r\n")
        if not found:
            return False
        start = len(line) + 2
        matched = _CHUNK_SIZE.match(line + found)
        if matched is None:
            raise MalformedRequest(f"not a chunk size: {line[:100]!r}")
        size = int(matched[0], 16)
        if size == 0:
            self._trailers = True
            self._buffer = self._buffer[start:]
            return True
        if len(self._buffer) < start + size + 2:
            return False
        if self._buffer[start + size : start + size + 2] != b"\r\n":
            raise MalformedRequest(f"a chunk of {size} bytes does not end with CRLF")
        self._pieces.append(self._buffer[start : start + size])
        self._buffer = self._buffer[start + size + 2 :]
        return True

    def _after_trailers(self) -> bytes | None:
        while b"\r\n" in self._buffer:
            line, _, self._buffer = self._buffer.partition(b"\r\n")
            if not line:
                return self._buffer
        return None


def _body_of(head: Head) -> _Sized | _Chunked:
    length = head.headers.get("content-length")
    coding = head.headers.get("transfer-encoding")
    if coding is None:
        if length is not None and not (length.isascii() and length.isdigit()):
            raise MalformedRequest(f"Content-Length: {length}")
        return _Sized(int(length or 0))
    if coding.lower() != "chunked":
        raise MalformedRequest(f"Transfer-Encoding: {coding}")
    if length is not None:
        raise MalformedRequest("Content-Length beside Transfer-Encoding (RFC 9112 §6.2)")
    return _Chunked()
