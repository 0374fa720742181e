"""Our reading of a response against llhttp's (package httptools) and h11's: same verdict, same content, same end.

Where we differ on purpose, `DIFFERENCES` says so with the reason; any other difference fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keeppool.errors import KeepPoolError
from keeppool.wire.framing import Kind, framing_of
from keeppool.wire.head import HeadReader
from keeppool.wire.message import body_reader

httptools = pytest.importorskip("httptools")
h11 = pytest.importorskip("h11")


class Reading(NamedTuple):
    """What a parser makes of the answer to a GET, all of whose bytes came and then the close."""

    #: False: the caller gets an error, because the bytes are wrong or stop short. Nothing else is compared then: which
    #: of the two it is depends on how far a parser looks ahead.
    read: bool
    status: int = 0
    fields: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    #: Where the message ended; `None`: only the close ended it.
    end: int | None = None


FAILED = Reading(read=False)


def plain(fields: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    """Give fields in the form in which they can be compared.

    httptools leaves blanks behind a value; h11 rewrites the fields that frame the body, so they are left out: whether
    they were read alike shows in the body and its end.
    """
    framing = (b"content-length", b"transfer-encoding")
    pairs = [(bytes(name).lower(), bytes(value).strip(b" \t")) for name, value in fields]
    return tuple([(name, value) for name, value in pairs if name not in framing])


def ours(wire: bytes) -> Reading:
    reader = HeadReader()
    try:
        head = reader.feed(wire)
        if head is None:
            return FAILED
        framing = framing_of(b"GET", head)
        body = body_reader(framing, head)
        payload = body.feed(reader.rest)
        end = len(wire) - len(body.rest) if body.complete else None
        body.eof()
    except KeepPoolError:
        return FAILED
    assert end is not None or framing.kind is Kind.CLOSE
    return Reading(True, head.status, plain(zip(head.names, head.values, strict=True)), payload, end)


class _Callbacks:
    """What httptools calls. A trailer's fields come through `on_header` too, behind the head's."""

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.in_head = True
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.in_head:
            self.fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.in_head = False

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.complete = True


def llhttps(wire: bytes) -> Reading:
    """Feed byte by byte: only so does httptools tell where a message ends."""
    seen = _Callbacks()
    parser = httptools.HttpResponseParser(seen)
    end = None
    try:
        for at in range(len(wire)):
            parser.feed_data(wire[at : at + 1])
            if seen.complete:
                end = at + 1
                break
    except httptools.HttpParserUpgrade:
        end = at + 1
    except httptools.HttpParserError:
        return FAILED
    if end is None and (seen.in_head or not _by_close(seen.fields)):
        return FAILED
    return Reading(True, parser.get_status_code(), plain(seen.fields), seen.body, end)


def _by_close(fields: list[tuple[bytes, bytes]]) -> bool:
    """httptools cannot be told of the close, so what it would say then is derived from the fields."""
    codings = [value.lower() for name, value in fields if name == b"transfer-encoding"]
    if codings:
        return codings[-1].rpartition(b",")[2].strip() != b"chunked"
    return not any(name == b"content-length" for name, _ in fields)


def h11s(wire: bytes) -> Reading:
    """Feed everything, then the close if it asks for more."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(wire)
    head, body, closed = None, b"", False
    try:
        while type(event := connection.next_event()) is not h11.EndOfMessage:
            if event is h11.NEED_DATA and not closed:
                closed = True
                connection.receive_data(b"")
            elif type(event) is h11.Response:
                head = event
            elif type(event) is h11.Data:
                body += bytes(event.data)
            else:
                return FAILED
    except h11.RemoteProtocolError:
        return FAILED
    assert head is not None
    end = None if closed else len(wire) - len(connection.trailing_data[0])
    return Reading(True, head.status_code, plain(head.headers), body, end)


PEERS: dict[str, Callable[[bytes], Reading]] = {"llhttp": llhttps, "h11": h11s}
STATUS_LINES = [
    b"HTTP/1.1 200 OK",
    b"HTTP/1.0 200 OK",
    b"HTTP/1.1 404 Not Found",
    b"HTTP/1.1 206 ",
    b"HTTP/1.1 204 No Content",
    b"HTTP/1.1 304 Not Modified",
    b"HTTP/1.1 500 caf\xe9",
]
FIELDS = [
    b"Server: x",
    b"X:",
    b"X-Pad: \t a b \t",
    b"Set-Cookie: a=b; c",
    b"set-cookie: d=\xe9",
    b"Connection: keep-alive",
    b"Connection: close",
    b"Via: 1.1 a",
    b"!#$%&'*+-.^_`|~: y",
]
FRAMING = [
    [],
    [b"Content-Length: 5"],
    [b"Content-Length: 0"],
    [b"Content-Length: 5", b"Content-Length: 5"],
    [b"Content-Length: 5", b"Content-Length: 6"],
    [b"Content-Length: 5, 5"],
    [b"Content-Length: +5"],
    [b"Content-Length: 99999999999999999999"],
    [b"Transfer-Encoding: chunked"],
    [b"transfer-encoding: CHUNKED"],
    [b"Transfer-Encoding: chunked", b"Content-Length: 5"],
    [b"Transfer-Encoding: gzip, chunked"],
    [b"Transfer-Encoding: gzip"],
    [b"Transfer-Encoding: chunked, chunked"],
    [b"Transfer-Encoding: chunked, gzip"],
    [b"Transfer-Encoding: identity"],
]
BODIES = [
    b"hello",
    b"",
    b"hell",
    b"hello, and more",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"a\r\n0123456789\r\nA\r\n9876543210\r\n0\r\n\r\n",
    b"05;x=y\r\nhello\r\n0\r\nTrailer: z\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    b"5\r\nhello\r\n0\r\n",
    b"0\r\n\r\n",
]
HURT = [b"\r", b"\n", b"\r\n", b" ", b"\t", b"\x00", b"\x7f", b":", b";", b",", b"0", b"5", b"f", b"g", b"-", b"\xe9", b"\r\n ", b"\r\n\r\n"]


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    """Give a response: well framed or not, and often hurt in one or two places."""
    fields = draw(st.lists(st.sampled_from(FIELDS), max_size=4, unique=True)) + draw(st.sampled_from(FRAMING))
    fields = draw(st.permutations(fields))
    wire = b"\r\n".join([draw(st.sampled_from(STATUS_LINES)), *fields, b"", draw(st.sampled_from(BODIES))])
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(wire)))
        wire = wire[:at] + draw(st.sampled_from(HURT)) + wire[at + draw(st.integers(0, 2)) :]
    return wire


def head_has(pattern: bytes) -> Callable[[bytes, Reading, Reading], bool]:
    """Explain a difference by something in the head. Its end is looked for as we read it."""
    found = re.compile(pattern, re.IGNORECASE)

    def explains(wire: bytes, _ours: Reading, _theirs: Reading) -> bool:
        end = re.search(rb"\n\r?\n", wire)
        return found.search(wire[: end.end()] if end else wire) is not None

    return explains


class Difference(NamedTuple):
    """A difference that is meant.

    Attributes:
        peer: Who reads otherwise.
        ours: What the message is for us: True if it is read, False if it is an error.
        theirs: What it is for the peer.
        reason: Why we differ.
        applies: Whether a message is of this kind.
    """

    peer: str
    ours: bool
    theirs: bool
    reason: str
    applies: Callable[[bytes, Reading, Reading], bool]


DIFFERENCES = [
    Difference(
        "llhttp",
        True,
        False,
        "equal Content-Lengths, repeated or listed, are one: RFC 9110 §8.6 allows it, old proxies send them",
        head_has(rb"\ncontent-length:[ \t]*(\d+)[ \t]*(?:,[ \t]*\1[ \t]*)+\r?\n|\ncontent-length:[ \t]*(\d+)[ \t]*\r?\n(?:.*\n)*content-length:[ \t]*\2[ \t]*\r?\n"),
    ),
    Difference(
        "llhttp",
        True,
        False,
        "Transfer-Encoding: chunked with Content-Length is read as chunked and the connection closed, RFC 9112 §6.3 3",
        head_has(rb"\ncontent-length:(?:.*\n)*transfer-encoding:|\ntransfer-encoding:(?:.*\n)*content-length:"),
    ),
    Difference(
        "llhttp",
        True,
        False,
        "204 and 304 end with their head, whatever the fields that frame others say, RFC 9112 §6.3 1",
        lambda _wire, mine, _theirs: mine.status in (204, 304),
    ),
    Difference(
        "llhttp",
        False,
        True,
        "a transfer coding that was not offered is an error, not a body to be given out still encoded, RFC 9112 §6.1",
        head_has(rb"\ntransfer-encoding:"),
    ),
    Difference(
        "h11",
        True,
        False,
        "204 and 304 end with their head, whatever the fields that frame others say, RFC 9112 §6.3 1",
        lambda _wire, mine, _theirs: mine.status in (204, 304),
    ),
    Difference(
        "h11",
        True,
        False,
        "Transfer-Encoding: identity, gone from the RFC since 2014, says nothing",
        head_has(rb"\ntransfer-encoding:[ \t]*(?:identity)?[ \t]*\r?\n"),
    ),
]


def explained(peer: str, wire: bytes, mine: Reading, theirs: Reading) -> bool:
    return any(
        (known.peer, known.ours, known.theirs) == (peer, mine.read, theirs.read) and known.applies(wire, mine, theirs)
        for known in DIFFERENCES
    )
