"""Whole responses: which framing, which body, where it ends; and what h11, llhttp and curl make of the same bytes."""

from __future__ import annotations

from typing import Any

from keeppool.core.reuse import why_not_reusable
from keeppool.errors import IncompleteBody, InvalidChunk
from keeppool.wire.byteranges import ByteRangesBody
from keeppool.wire.framing import Framing, Kind, boundary_of, framing_of
from keeppool.wire.head import ResponseHead
from keeppool.wire.message import BodyReader, body_reader
from tests.fuzz.oracles import check_error, in_steps, outcome, repeated, same_however_cut
from tests.fuzz.peers import check_peers
from tests.fuzz.target import target
from tests.fuzz.targets.heads import heads_in

METHODS = [b"GET", b"HEAD", b"POST", b"CONNECT"]


@target(
    covers=("wire/framing.py", "wire/message.py", "wire/chunked.py", "wire/byteranges.py", "core/reuse.py"),
    also=("heads",),
)
def messages(data: bytes) -> None:
    """The first byte chooses the request's method; what follows it is what the server sends before it closes."""
    method, wire = METHODS[data[0] % len(METHODS) if data else 0], data[1:]
    heads, error, rest = heads_in([wire])
    if error is None and rest is not None:
        head = heads[-1]
        framing = outcome(framing_of, method, head)
        if framing.error is None:
            check_framing(method, head, framing.value)
            check_body(head, framing.value, rest)
    check_peers(wire, method)


def check_framing(method: bytes, head: ResponseHead, framing: Framing) -> None:
    """Hold a framing to what is true of each kind."""
    assert framing == framing_of(method, head)
    kind = framing.kind
    assert (framing.length is None) == (kind not in (Kind.LENGTH, Kind.EMPTY))
    # What only the close ends cannot leave a connection that serves again.
    assert kind not in (Kind.CLOSE, Kind.TUNNEL, Kind.BYTERANGES) or framing.why_close is not None
    assert (kind is Kind.TUNNEL) == (method == b"CONNECT" and 200 <= head.status <= 299)
    if method == b"HEAD" or head.status < 200 or head.status in (204, 304):
        assert kind in (Kind.EMPTY, Kind.TUNNEL)
    if {b"content-length", b"transfer-encoding"} <= head.index.keys() and kind in (Kind.LENGTH, Kind.CHUNKED):
        assert framing.why_close is not None
    assert head.version == 11 or kind is not Kind.CHUNKED or framing.why_close is not None
    if method != b"HEAD" and head.status in (204, 304):
        # A server that means what it announces will send it, late.
        lengths = head.get_all(b"content-length") if head.status == 204 else []
        announces = b"transfer-encoding" in head.index or any(set(length) - set(b"0 ,") for length in lengths)
        assert not announces or framing.why_close is not None


def read_body(head: ResponseHead, framing: Framing, parts: list[bytes]) -> tuple[BodyReader, bytes, Any]:
    """Feed all parts, then the close; give the reader, the payload, and the error."""
    reader = body_reader(framing, head)
    payload = b""
    for part in parts:
        before = reader.complete
        piece = reader.feed(part)
        payload += piece
        assert not (before and piece), "a payload behind the end"
        assert len(payload) == reader.received
        assert reader.remaining is None or len(payload) + reader.remaining == (framing.length or 0)
    try:
        reader.eof()
    except (IncompleteBody, InvalidChunk) as error:
        check_error(error)
        kind = type(error)
    else:
        kind = None
    assert (kind is None) == reader.complete
    assert (kind is InvalidChunk) == (reader.failure is not None)
    return reader, payload, kind


def check_body(head: ResponseHead, framing: Framing, wire: bytes) -> None:
    """Read the body cut in every way, and hold what comes of it to the bytes."""

    def read(parts: list[bytes]) -> Any:
        reader, payload, error = read_body(head, framing, parts)
        if isinstance(reader, ByteRangesBody) and reader.complete:
            # What came together with the end is payload too, so that only the sum does not depend on the cut.
            return payload + reader.rest, None
        return payload, error, reader.rest, list(reader.trailers)

    in_steps(40, 200, len(wire), lambda: read([wire]))
    same_however_cut(read, wire)
    reader, payload, error = read_body(head, framing, [wire])
    assert wire.endswith(reader.rest)
    if error is None and framing.kind is not Kind.CHUNKED:
        assert payload + reader.rest == wire
    if framing.kind is Kind.LENGTH:
        assert payload == wire[: framing.length]
    if framing.kind is Kind.EMPTY:
        assert payload == b""
    if framing.kind is Kind.BYTERANGES:
        assert reader.complete == (b"\r\n--%b--" % (boundary_of(head) or b"") in b"\r\n" + wire)
    check_kept(head, framing, reader, error)
    if more := repeated(wire):
        in_steps(40, 200, len(more), lambda: read([more]))
        in_steps(80, 200, len(more), lambda: read([more[at : at + 1] for at in range(len(more))]))


def check_kept(head: ResponseHead, framing: Framing, reader: BodyReader, error: Any) -> None:
    """Hold the last decision to the facts before it: a connection is kept only where nothing speaks against it."""
    connection = head.get(b"connection")
    why = why_not_reusable(framing.why_close, head.status, head.version, connection, True, False)
    if why is not None or error is not None:
        return
    assert framing.kind in (Kind.EMPTY, Kind.LENGTH, Kind.CHUNKED)
    assert head.status not in (101, 408)
    options = [option.strip(b" \t") for option in (connection or b"").lower().split(b",")]
    assert b"close" not in options
    assert head.version == 11 or b"keep-alive" in options
    assert why_not_reusable(None, head.status, head.version, connection, False, False) is not None
    assert why_not_reusable(None, head.status, head.version, connection, True, True) is not None
