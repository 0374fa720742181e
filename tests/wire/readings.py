"""How a response is read by us, by llhttp (package httptools) and by h11, in a form in which it can be compared.

Where we differ on purpose, `DIFFERENCES` says so with the reason; `difference` finds it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

import h11
import httptools

from keeppool.errors import KeepPoolError
from keeppool.wire.framing import Kind, framing_of
from keeppool.wire.head import HeadReader
from keeppool.wire.message import body_reader


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


def ours(wire: bytes, method: bytes = b"GET") -> Reading:
    reader = HeadReader()
    try:
        head = reader.feed(wire)
        while head is not None and head.status < 200 and head.status != 101:
            head = reader.following()
        if head is None:
            return FAILED
        framing = framing_of(method, head)
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


def _again() -> tuple[httptools.HttpResponseParser, _Callbacks]:
    seen = _Callbacks()
    return httptools.HttpResponseParser(seen), seen


def llhttps(wire: bytes) -> Reading:
    """Feed byte by byte: only so does httptools tell where a message ends."""
    parser, seen = _again()
    end = None
    try:
        for at in range(len(wire)):
            parser.feed_data(wire[at : at + 1])
            if seen.complete and 100 <= parser.get_status_code() < 200:
                parser, seen = _again()  # An interim response.
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


def h11s(wire: bytes, method: bytes = b"GET") -> Reading:
    """Feed everything, then the close if it asks for more."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
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
            elif type(event) is h11.InformationalResponse and event.status_code != 101:
                continue
            else:
                return FAILED
    except h11.RemoteProtocolError:
        return FAILED
    assert head is not None
    end = None if closed else len(wire) - len(connection.trailing_data[0])
    return Reading(True, head.status_code, plain(head.headers), body, end)


PEERS: dict[str, Callable[[bytes], Reading]] = {"llhttp": llhttps, "h11": h11s}
Explains = Callable[[bytes, Reading], bool]


def _head_end(wire: bytes) -> int:
    """Find where the final response's head ends; what is before it, interim ones included, counts as head."""
    at = 0
    while (end := re.search(rb"\n\r?\n", wire[at:])) is not None:
        is_interim = re.match(rb"HTTP/1\.[0-9] 1", wire[at:]) is not None
        at += end.end()
        if not is_interim:
            return at
    return len(wire)


def in_head(pattern: bytes) -> Explains:
    """Explain a difference by something in the head."""
    found = re.compile(pattern, re.IGNORECASE)
    return lambda wire, _mine: found.search(wire[: _head_end(wire)]) is not None


def in_chunks(pattern: bytes) -> Explains:
    """Explain a difference by something behind the head of a chunked answer."""
    found = re.compile(pattern)
    chunked = in_head(rb"\ntransfer-encoding:(?:[^\n]|\n[ \t])*chunked")
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


MULTIPART = in_head(rb"\ncontent-type:(?:[ \t]|\r?\n[ \t])*multipart/byteranges(?:[ \t]|\r?\n[ \t])*;")


#: A list of codings with elements that say nothing.
SAYS_NO_CODING = in_head(
    rb"\ntransfer-encoding:(?!(?:[ \t]|\r?\n[ \t])*chunked[ \t]*\r?\n(?![ \t]))"
    rb"(?:[ \t,]|\r?\n[ \t]|identity|chunked)*\r?\n"
)
_CONTROL_IN_HEAD = in_head(rb"[ :\t][^\r\n]*[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")
_CONTROL_IN_TRAILER = in_chunks(rb":[^\r\n]*[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")


DIFFERENCES = [
    *(
        Difference(
            peer,
            True,
            False,
            "a control character other than CR, LF and NUL in a value or a reason is kept, RFC 9110 §5.5",
            lambda wire, mine: _CONTROL_IN_HEAD(wire, mine) or _CONTROL_IN_TRAILER(wire, mine),
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: a\x0bb\r\n\r\nhello",
        )
        for peer in ("llhttp", "h11")
    ),
    *(
        Difference(
            peer,
            False,
            True,
            "multipart/byteranges without a length ends with its own delimiter, as in RFC 2616 §4.4, or is incomplete",
            MULTIPART,
            b"HTTP/1.1 206 X\r\nContent-Type: multipart/byteranges; boundary=b\r\n\r\n--b\r\n",
        )
        for peer in ("llhttp", "h11")
    ),
    *(
        Difference(
            peer,
            True,
            True,
            "multipart/byteranges without a length ends with its own delimiter; the connection is closed all the same",
            MULTIPART,
            b"HTTP/1.1 206 X\r\nContent-Type: multipart/byteranges; boundary=b\r\n\r\n--b--",
            body=True,
        )
        for peer in ("llhttp", "h11")
    ),
    Difference(
        "llhttp",
        True,
        False,
        "tabs around a value are no part of it, RFC 9110 §5.5; llhttp finds no chunked in front of one",
        in_head(rb"\ntransfer-encoding:[^\n]*\t[ \t]*\r?\n"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n",
    ),
    Difference(
        "llhttp",
        False,
        True,
        "only HTTP/1.x is HTTP/1.x",
        in_head(rb"(?:\A|\n)HTTP/[02-9]"),
        b"HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ),
    Difference(
        "llhttp",
        True,
        False,
        "a folded line in a trailer section is joined to the one before, as in a head, RFC 9112 §5.2",
        in_chunks(rb"\n[ \t]"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n c\r\n\r\n",
    ),
    *(
        Difference(
            peer,
            True,
            False,
            "a trailer frames nothing, whatever its name: it is kept apart from the head, RFC 9110 §6.5.1",
            in_chunks(rb"(?i)\n(?:transfer-encoding|content-length):"),
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: \r\n\r\n",
        )
        for peer in ("llhttp", "h11")
    ),
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
        in_head(rb"(?:\A|\n)HTTP/1\.[2-9] "),
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
        True,
        False,
        "blanks between a chunk's size and its extension are old servers' padding, RFC 9112 §7.1.1 (BWS)",
        in_chunks(rb"(?:\A|\r\n)[0-9A-Fa-f]+[ \t]+;[^\n]*\r\n"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5 ;\r\nhello\r\n0\r\n\r\n",
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
        SAYS_NO_CODING,
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
        in_head(rb"(?:\A|\n)HTTP/[02-9]"),
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
