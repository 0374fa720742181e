"""Requests on their way out: what servers read is what was asked for, and nothing behind it."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import h11
import httptools

from keeppool.errors import BodyLengthError, InvalidBody, KeepPoolError, UnrewindableBodyError
from keeppool.wire.body import RequestBody, request_body
from keeppool.wire.fields import EMPTY, FieldBlock, field_block
from keeppool.wire.json_text import parse_json
from keeppool.wire.request import check_method, check_target, render_head
from tests.fuzz.oracles import check_error, in_steps, outcome
from tests.fuzz.target import target
from tests.fuzz.targets.heads import TOKEN

#: Fields that the rooms above write themselves, or that change what a server makes of the connection.
OURS = {b"content-length", b"transfer-encoding", b"host", b"connection", b"expect", b"upgrade"}
STANDARD = {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH"}


@target(covers=("wire/request.py", "wire/fields.py", "wire/body.py", "wire/upload.py"))
def requests(data: bytes) -> None:
    r"""Parts between bytes of FF: how the body comes, the method, the target, names and values by turns, the body."""
    how, *parts = data.split(b"\xff")
    method, path, *fields, body = [*parts, *[b""] * (3 - len(parts))] if len(parts) < 3 else parts
    kind = how[0] if how else 0
    verb = in_steps(1, 200, len(method), lambda: outcome(check_method, method)).value
    place = outcome(check_target, path.decode("latin-1")).value
    pairs = list(zip(fields[::2], fields[1::2], strict=False))
    block = in_steps(20, 400, len(data), lambda: outcome(field_block, given_as(pairs, kind))).value
    if verb is not None:
        # Standard methods are meant in any case, others as they are written (RFC 9110 §9.1).
        assert verb == (method.upper() if method.upper() in STANDARD else method)
        assert TOKEN.fullmatch(verb)
    assert place is None or re.fullmatch(rb"[!-~]+", place)
    if block is not None:
        check_block(block, pairs)
        if not kind & 64:
            # Of a value that is taken only blanks around it are left out: a line end is refused, wherever it is.
            assert [value for _, value in block.pairs] == [value.strip(b" \t") for _, value in pairs]
    if verb is None or place is None or block is None or OURS & block.names or verb == b"CONNECT":
        return
    check_sent(verb, place, block, kind, body)


def given_as(pairs: list[tuple[bytes, bytes]], kind: int) -> list[tuple[Any, Any]]:
    """Give fields as bytes or as text, of which some goes out in UTF-8."""
    if kind & 64:
        return [(name.decode("latin-1"), value.decode("utf-8", "surrogateescape")) for name, value in pairs]
    return list(pairs)


def check_block(block: FieldBlock, pairs: list[tuple[bytes, bytes]]) -> None:
    """Hold rendered fields to one line each, and to the names and values given."""
    lines = block.lines.split(b"\r\n")
    assert lines[-1] == b""
    assert len(lines) - 1 == len(pairs) == len(block.pairs)
    assert not any(byte in line for line in lines for byte in b"\r\n\x00")
    for (name, _), (shown, value), line in zip(pairs, block.pairs, lines, strict=False):
        assert line == b"%b: %b" % (shown, value)
        assert shown == name
        assert TOKEN.fullmatch(shown)
        assert not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value)
    for name in block.names:
        assert block.get(name) == b", ".join([value for field, value in block.pairs if field.lower() == name])
    some = frozenset(list(block.names)[:1])
    assert not some & block.without(some).names
    assert block.joined(EMPTY) == block


def check_sent(verb: bytes, place: bytes, block: FieldBlock, kind: int, body: bytes) -> None:
    """Write the whole request, and have two servers' parsers read it."""
    chunked, length = bool(kind & 8), (None, len(body), len(body) + 1, max(0, len(body) - 1))[kind >> 4 & 3]
    source = source_of(kind & 7, body)
    made = outcome(lambda: request_body(source, content_length=length, chunked=chunked, method=verb))
    if made.error is not None:
        assert made.error in (BodyLengthError, InvalidBody)
        return
    framed: RequestBody = made.value
    own = framed.framing
    if chunked:
        own = field_block([("Transfer-Encoding", "chunked")])
    elif length is not None:
        own = field_block([("Content-Length", str(length))])
    head = render_head(verb, place, b"Host: a.example\r\n", block, own)
    sent, error = written(framed)
    check_replay(framed, sent, error)
    if error is not None:
        # What was announced is not completed: the server waits for more, and never takes the rest for a request.
        assert error is BodyLengthError
        assert framed.length is not None
        assert len(sent) < framed.length or framed.length == 0
        return
    names = [(name.lower(), value) for name, value in (*block.pairs, *own.pairs)]
    wanted = (verb, place, [(b"host", b"a.example"), *names], body)
    for name, read in (("h11", by_h11), ("llhttp", by_llhttp)):
        found = read(head + sent)
        assert found is None or found == wanted, f"{name} reads {found!r}, sent was {wanted!r}"


def source_of(kind: int, body: bytes) -> Any:
    """Give a body in one of the ways in which callers give it."""
    pieces = [body[:2], b"", body[2:-1], body[2:][-1:]]
    match kind:
        case 0:
            return body
        case 1:
            return io.BytesIO(body)
        case 2:
            return list(pieces)
        case 3:
            return iter(pieces)
        case 4:
            return lambda: list(pieces)
        case 5:
            return Awaited(pieces)
        case 6:
            return io.StringIO(body.decode("latin-1"))
        case _:
            return Unseekable(body)


class Awaited:
    """An async iterable that can be had again."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


class Unseekable:
    """A file that does not know its length, and cannot go back."""

    def __init__(self, body: bytes) -> None:
        self._file = io.BytesIO(body)

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, 5))


def written(body: RequestBody) -> tuple[bytes, type[KeepPoolError] | None]:
    """Give what of a body goes on the wire, and the error that ends it."""
    sent = b""
    pieces: Iterator[Any] = awaited(body.awaited_pieces()) if body.is_async else body.pieces()
    try:
        for piece in pieces:
            sent += bytes(piece)
    except KeepPoolError as error:
        check_error(error)
        return sent, type(error)
    return sent, None


def awaited(pieces: AsyncGenerator[Any, None]) -> Iterator[Any]:
    """Go through an async generator that waits for nothing."""
    while True:
        try:
            pieces.__anext__().send(None)
        except StopIteration as given:
            yield given.value
        except StopAsyncIteration:
            return


def check_replay(body: RequestBody, sent: bytes, error: type[KeepPoolError] | None) -> None:
    """Hold a body that says it can be had again to be the same then."""
    if not body.may_replay():
        assert outcome(body.rewind).error is UnrewindableBodyError
        return
    body.rewind()
    assert written(body) == (sent, error)
    if body.whole is not None and body.length is not None:
        assert body.whole == sent
        assert b"".join(body.holding(sent).pieces()) == sent


def by_h11(wire: bytes) -> Any:
    """Read a request; `None` if h11 refuses it, which has its own idea of what a value may hold."""
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    server.receive_data(wire)
    try:
        asked = server.next_event()
        if not isinstance(asked, h11.Request):
            return None
        body = b""
        while isinstance(event := server.next_event(), h11.Data):
            body += bytes(event.data)
    except h11.RemoteProtocolError:
        return None
    assert isinstance(event, h11.EndOfMessage), "the body is not complete"
    assert not server.trailing_data[0], "there is more behind the request"
    return bytes(asked.method), bytes(asked.target), [(bytes(n), bytes(v)) for n, v in asked.headers], body


class Seen:
    """What llhttp calls."""

    def __init__(self) -> None:
        self.url = self.body = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.complete = 0

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.complete += 1


def by_llhttp(wire: bytes) -> Any:
    """Read a request; `None` if llhttp refuses it, which knows some methods only."""
    seen = Seen()
    parser = httptools.HttpRequestParser(seen)
    try:
        parser.feed_data(wire)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    assert seen.complete == 1, f"{seen.complete} requests in one"
    return parser.get_method(), seen.url, seen.fields, seen.body


@target(most=4096, covers=("wire/json_text.py",))
def json_text(data: bytes) -> None:
    """JSON as it stands in a body."""
    import json

    made = outcome(parse_json, data)
    if made.error is None:
        assert repr(made.value) == repr(json.loads(data))
    more = data * (100_000 // max(1, len(data))) if data[:1] in (b"[", b"{", b"1") else b""
    outcome(parse_json, more)
    outcome(parse_json, more.decode("latin-1"))
