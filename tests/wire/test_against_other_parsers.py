"""Our reading of a response against llhttp's (package httptools) and h11's: same verdict, same content, same end.

Where we differ on purpose, `DIFFERENCES` says so with the reason; any other difference fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeppool.errors import KeepPoolError
from keeppool.events import Why
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
    """Httptools cannot be told of the close, so what it would say then is derived from the fields."""
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
HURT = [
    b"\r",
    b"\n",
    b"\r\n",
    b" ",
    b"\t",
    b"\x00",
    b"\x7f",
    b":",
    b";",
    b",",
    b"0",
    b"5",
    b"f",
    b"g",
    b"-",
    b"\xe9",
    b"\r\n ",
    b"\r\n\r\n",
]


def answer(status_line: bytes, before: list[bytes], framing: list[bytes], after: list[bytes], body: bytes) -> bytes:
    return b"\r\n".join([status_line, *before, *framing, *after, b"", body])


def hurt(wire: bytes, wounds: list[tuple[float, bytes, int]]) -> bytes:
    """Put something in the place of 0 to 2 bytes, at each of the given places (as parts of the length)."""
    for place, instead, cut in wounds:
        at = int(place * len(wire))
        wire = wire[:at] + instead + wire[at + cut :]
    return wire


SOME_FIELDS = st.lists(st.sampled_from(FIELDS), max_size=2)
ANSWERS = st.builds(
    answer, st.sampled_from(STATUS_LINES), SOME_FIELDS, st.sampled_from(FRAMING), SOME_FIELDS, st.sampled_from(BODIES)
)
WOUNDS = st.lists(st.tuples(st.floats(0, 1), st.sampled_from(HURT), st.integers(0, 2)), max_size=2)


Explains = Callable[[bytes, Reading], bool]


def _head_end(wire: bytes) -> int:
    end = re.search(rb"\n\r?\n", wire)
    return end.end() if end else len(wire)


def in_head(pattern: bytes) -> Explains:
    """Explain a difference by something in the head."""
    found = re.compile(pattern, re.IGNORECASE)
    return lambda wire, _mine: found.search(wire[: _head_end(wire)]) is not None


def in_chunks(pattern: bytes) -> Explains:
    """Explain a difference by something behind the head of a chunked answer."""
    found = re.compile(pattern)
    chunked = in_head(rb"\ntransfer-encoding:[^\n]*chunked")
    return lambda wire, mine: chunked(wire, mine) and found.search(wire[_head_end(wire) :]) is not None


def without_body(_wire: bytes, mine: Reading) -> bool:
    """Explain a difference by the status."""
    return mine.status in (204, 304)


class Difference(NamedTuple):
    """A difference that is meant.

    Attributes:
        peer: Who reads otherwise.
        ours: True if the message is read by us, False if it is an error.
        theirs: The same of the peer. Both true: they read the same body and end, but other field values.
        reason: Why we differ.
        explains: Whether a message is of this kind.
        example: A message that shows it, so that a difference that is gone does not stay listed.
        body: True if both read it, and find other bodies. We must not use the connection again then.
    """

    peer: str
    ours: bool
    theirs: bool
    reason: str
    explains: Explains
    example: bytes
    body: bool = False


DIFFERENCES = [
    Difference(
        "llhttp",
        True,
        False,
        "equal Content-Lengths, repeated or listed, are one: RFC 9110 §8.6 allows it, and proxies have sent them",
        in_head(
            rb"\ncontent-length:[ \t]*(\d+)(?:[ \t]*,[ \t]*\1|[ \t]*\r?\n(?:.*\n)*content-length:[ \t]*\1)[ \t,\r\n]"
        ),
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
    ),
    Difference(
        "llhttp",
        True,
        False,
        "chunked together with Content-Length is read as chunked, and the connection closed, RFC 9112 §6.3 3",
        in_head(rb"\ncontent-length:(?:.*\n)*transfer-encoding:|\ntransfer-encoding:(?:.*\n)*content-length:"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    Difference(
        "llhttp",
        True,
        False,
        "204 and 304 end with their head, whatever the fields say that frame other answers, RFC 9112 §6.3 1",
        without_body,
        b"HTTP/1.1 304 X\r\nContent-Length: +5\r\n\r\n",
    ),
    Difference(
        "llhttp",
        True,
        False,
        "a bare LF ends a line of the head, RFC 9112 §2.2",
        in_head(rb"(?<!\r)\n"),
        b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    ),
    Difference(
        "llhttp",
        True,
        False,
        "a folded line is joined to the one before, RFC 9112 §5.2",
        in_head(rb"\n[ \t]"),
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 5\r\n\r\nhello",
    ),
    Difference(
        "llhttp",
        False,
        True,
        "a transfer coding that was not offered is an error, not a body to be given out still encoded, RFC 9112 §6.1",
        in_head(rb"\ntransfer-encoding:"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
    ),
    Difference(
        "llhttp",
        False,
        True,
        "a control character in the reason phrase is no text, RFC 9112 §4",
        in_head(rb"\AHTTP/1\.[01] [0-9]{3} [^\r\n]*[\x00-\x08\x0b-\x1f\x7f]"),
        b"HTTP/1.1 200 O\x00K\r\nContent-Length: 5\r\n\r\nhello",
    ),
    Difference(
        "llhttp",
        False,
        True,
        "empty lines are skipped before requests only, RFC 9112 §2.2; before an answer they are unasked bytes",
        lambda wire, _mine: wire.startswith((b"\r", b"\n")),
        b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ),
    Difference(
        "llhttp",
        True,
        False,
        "a Transfer-Encoding without a coding says nothing, RFC 9110 §5.6.1",
        in_head(rb"\ntransfer-encoding:[ \t,]*\r?\n"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: \r\n\r\nhello",
    ),
    Difference(
        "llhttp",
        True,
        False,
        "what stands in a chunk's extension is skipped unread, RFC 9112 §7.1.1",
        in_chunks(rb"(?:\A|\r\n)[0-9A-Fa-f]+[ \t]*;"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0;,\r\n\r\n",
    ),
    Difference(
        "llhttp",
        True,
        True,
        "empty elements of a list count for nothing, RFC 9110 §5.6.1; llhttp finds no chunked in it",
        in_head(rb"\ntransfer-encoding:[^\n]*chunked[ \t]*,[ \t,]*\r?\n"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked,\r\n\r\n0\r\n\r\n",
        body=True,
    ),
    Difference(
        "llhttp",
        True,
        False,
        "a higher minor version is read as HTTP/1.1, RFC 9110 §2.5",
        in_head(rb"\AHTTP/1\.[2-9] "),
        b"HTTP/1.5 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ),
    Difference(
        "llhttp",
        True,
        False,
        "blanks behind a chunk's size are old servers' padding, and cannot be misread",
        in_chunks(rb"(?:\A|\r\n)[0-9A-Fa-f]+[ \t]+(?:;[^\n]*)?\r\n"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
    ),
    Difference(
        "h11",
        False,
        True,
        "control characters, a bare CR among them, have no place in a chunk's extension",
        in_chunks(rb"(?:\A|\r\n)[0-9A-Fa-f]+[ \t]*;[^\n]*[\x00-\x08\x0b-\x1f\x7f](?!\n)"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0;\r\x00\r\n\r\n",
    ),
    Difference(
        "h11",
        True,
        False,
        "204 and 304 end with their head, whatever the fields say that frame other answers, RFC 9112 §6.3 1",
        without_body,
        b"HTTP/1.1 304 X\r\nContent-Length: +5\r\n\r\n",
    ),
    Difference(
        "h11",
        True,
        False,
        "identity, in the RFC until 2014, and empty elements of a list (RFC 9110 §5.6.1) say nothing",
        in_head(rb"\ntransfer-encoding:(?![ \t]*chunked[ \t]*\r?\n)(?:[ \t,]|identity)*(?:chunked[ \t,]*)?\r?\n"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: ,identity\r\n\r\nhello",
    ),
    Difference(
        "h11",
        True,
        False,
        "chunked overrides Content-Length, also one that is no number, RFC 9112 §6.3 3; the connection is closed",
        in_head(rb"\ncontent-length:(?:.*\n)*transfer-encoding:|\ntransfer-encoding:(?:.*\n)*content-length:"),
        b"HTTP/1.1 200 OK\r\nContent-Length: f5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    Difference(
        "h11",
        False,
        True,
        "only HTTP/1.x is HTTP/1.x",
        in_head(rb"\AHTTP/[02-9]"),
        b"HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ),
    Difference(
        "h11",
        True,
        True,
        "the blanks around a fold become one, RFC 9112 §5.2 leaves their number open",
        in_head(rb"[ \t]\r?\n[ \t]|\n[ \t][ \t\r\n]"),
        b"HTTP/1.1 200 OK\r\nX: a \r\n b\r\nContent-Length: 5\r\n\r\nhello",
    ),
    Difference(
        "h11",
        False,
        True,
        "behind the last chunk, too, only CRLF ends a line: no leniency in what frames",
        in_chunks(rb"(?<!\r)\n"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\n\r\n",
    ),
]


def difference(peer: str, wire: bytes) -> str:
    """Return the reason why we read `wire` otherwise than `peer`; "" if we do not, "unknown" if none is listed."""
    mine, theirs = ours(wire), PEERS[peer](wire)
    if mine == theirs:
        return ""
    body = mine.read and theirs.read and mine._replace(fields=()) != theirs._replace(fields=())
    kind = (peer, mine.read, theirs.read, body)
    for known in DIFFERENCES:
        if (*known[:3], known.body) == kind and known.explains(wire, mine):
            return known.reason
    return "unknown"


@pytest.mark.parametrize("known", DIFFERENCES, ids=lambda known: f"{known.peer}: {known.reason[:40]}")
def test_each_listed_difference_exists(known):
    """A line of the table that explains nothing any more would only hide things."""
    assert difference(known.peer, known.example) == known.reason


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("status_line", STATUS_LINES)
@pytest.mark.parametrize("framing", FRAMING)
def test_all_framings_with_all_bodies_are_read_alike(peer, status_line, framing):
    """The whole table of well-formed and ill-framed answers, unhurt."""
    for body in BODIES:
        wire = b"\r\n".join([status_line, b"Server: x", *framing, b"", body])
        assert difference(peer, wire) != "unknown", wire


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.builds(hurt, ANSWERS, WOUNDS))
def test_hurt_answers_are_read_alike_or_fail_alike(wire):
    """Random damage, the same on every run."""
    for peer in PEERS:
        assert difference(peer, wire) != "unknown", wire


@pytest.mark.parametrize("known", [known for known in DIFFERENCES if known.body], ids=lambda known: known.reason[:40])
def test_a_body_read_otherwise_by_others_closes_the_connection(known):
    """Whoever stands between may have read it the other way, and the rest would be the next answer."""
    head = HeadReader().feed(known.example)
    assert head is not None
    assert framing_of(b"GET", head).why_close is Why.AMBIGUOUS_FRAMING
