"""The chunked coding: strict on what frames, the same for every cut."""

from __future__ import annotations

import pytest
from cuts import every_cut, payload_of

from keeppool.errors import IncompleteBody, InvalidChunk, InvalidHead
from keeppool.wire.chunked import MAX_EXTENSION, ChunkedBody
from keeppool.wire.head import MAX_HEAD_BYTES, MAX_HEAD_FIELDS

BODIES = {
    "one chunk": (b"5\r\nhello\r\n0\r\n\r\n", b"hello", []),
    "several chunks": (b"1\r\na\r\n2\r\nbc\r\n3\r\n\r\nd\r\n0\r\n\r\n", b"abc\r\nd", []),
    "no data": (b"0\r\n\r\n", b"", []),
    "zeros": (b"000\r\n\r\n", b"", []),
    "hex of both cases": (
        b"a\r\n0123456789\r\nA\r\n0123456789\r\n00a\r\n0123456789\r\n0\r\n\r\n",
        b"0123456789" * 3,
        [],
    ),
    "sixteen digits": (b"0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", b"hello", []),
    "padded sizes": (b"5 \r\nhello\r\n0\t \r\n\r\n", b"hello", []),
    "data like framing": (b"9\r\n0\r\n\r\n5\r\n\n\r\n0\r\n\r\n", b"0\r\n\r\n5\r\n\n", []),
    "extensions": (b'5;a;b=c ; d = "e;f\\"0" \r\nhello\r\n0;last\r\n\r\n', b"hello", []),
    "one trailer": (b"1\r\na\r\n0\r\nExpires: never\r\n\r\n", b"a", [(b"Expires", b"never")]),
    "trailers": (
        b"0\r\nA: b\r\nC:d \r\n folded\r\na: e\r\n\r\n",
        b"",
        [(b"A", b"b"), (b"C", b"d folded"), (b"a", b"e")],
    ),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("rest", [b"", b"\r\n", b"0\r\n\r\nHTTP/1.1 200 OK\r\n"])
def test_every_cut_of_a_chunked_body(name, rest):
    """Payload, trailers and what is left over do not depend on the cut."""
    wire, payload, trailers = BODIES[name]
    for parts in every_cut(wire + rest):
        reader = ChunkedBody()
        assert payload_of(reader, parts) == payload
        assert (reader.complete, reader.received, reader.trailers) == (True, len(payload), trailers)
        assert reader.rest == rest
        assert reader.remaining is None
        reader.eof()


BROKEN = {
    "no size": b"\r\nhello",
    "no hex": b"g\r\nx",
    "prefix 0x": b"0x5\r\nhello\r\n",
    "sign": b"+5\r\nhello\r\n",
    "minus": b"-5\r\nhello\r\n",
    "blank before": b" 5\r\nhello\r\n",
    "underscore": b"1_0\r\nhello",
    "two sizes": b"5 5\r\nhello\r\n",
    "seventeen digits": b"00000000000000005\r\nhello\r\n",
    "bare LF behind a size": b"5\nhello\r\n",
    "bare CR behind a size": b"5\rhello\r\n",
    "CR CR LF": b"5\r\r\nhello\r\n",
    "NUL in an extension": b"5;a\x00\r\nhello\r\n",
    "bare CR in an extension": b"5;a\rb\r\nhello\r\n",
    "bare LF in a quoted extension": b'5;a="\n"\r\nhello\r\n',
    "extension without semicolon": b"5a=b\r\nhello\r\n",
    "data too long": b"4\r\nhello\r\n",
    "data without CRLF": b"5\r\nhello0\r\n\r\n",
    "data with bare LF": b"5\r\nhello\n0\r\n\r\n",
    "data with bare CR": b"5\r\nhello\r0\r\n\r\n",
    "data with LF CR": b"5\r\nhello\n\r0\r\n\r\n",
    "trailer with bare LF": b"0\r\nA: b\n\r\n",
    "end with bare LF": b"0\r\n\n",
    "trailer without colon": b"0\r\nhello\r\n\r\n",
    "trailer with blank before colon": b"0\r\nA : b\r\n\r\n",
    "trailer with NUL": b"0\r\nA: \x00\r\n\r\n",
    "trailer folded from the start": b"0\r\n A: b\r\n\r\n",
    "the next response in place of the end": b"0\r\nHTTP/1.1 200 OK\r\n\r\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_every_cut_of_a_broken_body_is_refused(name):
    """Two parsers could find different ends; that is how responses get mixed up."""
    for parts in every_cut(BROKEN[name]):
        reader = ChunkedBody()
        with pytest.raises(InvalidChunk) as caught:
            payload_of(reader, parts)
        assert caught.value.line
        assert not reader.complete


def test_every_place_to_stop_short_is_an_error():
    """RFC 9112 §8: without the last chunk's empty line the body is incomplete, however much of it came."""
    wire, _, _ = BODIES["trailers"]
    wire = b"2;x\r\nab\r\n" + wire
    for size in range(len(wire)):
        reader = ChunkedBody()
        payload = reader.feed(wire[:size])
        assert not reader.complete
        with pytest.raises(IncompleteBody) as caught:
            reader.eof()
        assert (caught.value.expected, caught.value.actual) == (None, len(payload))


def test_an_error_shows_the_offending_line_only_from_its_start():
    """And tells a size from a chunk's end."""
    with pytest.raises(InvalidChunk, match="not a chunk's size") as caught:
        payload_of(ChunkedBody(), [b"1\r\na\r\n" + b"z" * 1000 + b"\r\n"])
    assert caught.value.line == b"z" * 100
    with pytest.raises(InvalidChunk, match="longer than its size") as caught:
        payload_of(ChunkedBody(), [b"1\r\nabc"])
    assert caught.value.line == b"bc"


def test_a_body_that_is_not_chunked_at_all_fails_at_once():
    """Its first byte shows it; no wait for a line's end that may never come."""
    with pytest.raises(InvalidChunk, match="not a chunk's size"):
        payload_of(ChunkedBody(), [b"<"])


def test_a_malformed_trailer_keeps_its_cause():
    """The head parser's finding is the cause, the class is the chunked one."""
    with pytest.raises(InvalidChunk, match="white space before") as caught:
        payload_of(ChunkedBody(), [b"0\r\nA : b\r\n\r\n"])
    assert isinstance(caught.value.__cause__, InvalidHead)
    assert caught.value.line == b"A : b"


def test_a_chunk_in_one_feed_is_one_slice():
    """Large chunks are cut out, not gone through; all of a feed that is chunk data comes back as one piece."""
    reader = ChunkedBody()
    assert reader.feed(b"100000\r\n") == b""
    block = b"x" * 65536
    for _ in range(16):
        assert reader.feed(block) == block
    assert reader.feed(b"\r\n0\r\n\r\n") == b""
    assert reader.complete
    assert reader.received == 0x100000


def bounded(prefix: bytes, unit: bytes, most: int) -> None:
    """Feed `prefix`, then `unit` for ever; it has to be refused before `most` bytes."""
    reader = ChunkedBody()
    reader.feed(prefix)
    with pytest.raises(InvalidChunk):
        payload_of(reader, [unit] * (most // len(unit)))


def test_an_endless_extension_is_refused():
    """Whoever sends one wants our memory."""
    bounded(b"5;", b"x" * 16, MAX_EXTENSION + 100)


def test_an_endless_size_is_refused():
    """Leading zeros included."""
    bounded(b"", b"0" * 16, MAX_EXTENSION + 100)


def test_an_endless_trailer_line_is_refused():
    """A trailer section has a head's bounds."""
    bounded(b"0\r\nA: ", b"x" * 1024, MAX_HEAD_BYTES + 1024)


def test_endless_trailer_lines_are_refused():
    """By their number, and by their bytes."""
    bounded(b"0\r\n", b"A: b\r\n", (MAX_HEAD_FIELDS + 2) * 6)
    bounded(b"0\r\n", b"A: %b\r\n" % (b"b" * 1000), MAX_HEAD_BYTES + 2048)


def test_the_bound_of_an_extension_does_not_depend_on_the_cut():
    """Exactly as long as allowed is taken, one byte more refused, whole or byte by byte."""
    for surplus in (0, 1):
        line = b"0000000000000001;".ljust(16 + MAX_EXTENSION + surplus, b"x") + b"\r\n"
        for parts in ([line], [line[:-1], line[-1:]], [line[at : at + 1] for at in range(len(line))]):
            reader = ChunkedBody()
            if surplus:
                with pytest.raises(InvalidChunk):
                    payload_of(reader, parts)
            else:
                assert payload_of(reader, [*parts, b"a\r\n0\r\n\r\n"]) == b"a"
                assert reader.complete


def test_feeding_nothing_changes_nothing():
    """An empty read is not the end."""
    reader = ChunkedBody()
    assert (
        payload_of(reader, [b"", b"1\r", b"", b"\n", b"", b"a", b"", b"\r", b"", b"\n0\r\n\r", b"", b"\n", b""]) == b"a"
    )
    assert reader.complete
    assert reader.rest == b""


@pytest.mark.parametrize("bad", [b"zz\r\n", b"\r\n", b"0\r\nA : b\r\n\r\n", b"3\r\nabcd", b"5;\x00\r\n"])
def test_what_came_before_the_fault_is_given_however_it_was_cut(bad):
    """Row F9: the payload, then the error; also where both came together, and without another byte."""
    good = b"5\r\nhello\r\n6\r\n world\r\n"
    expected = b"hello world" + (b"abc" if bad.startswith(b"3") else b"")
    for parts in every_cut(good + bad):
        reader = ChunkedBody()
        assert b"".join(map(reader.feed, parts)) == expected
        assert reader.failure is not None
        assert reader.feed(b"5\r\nhello\r\n") == b""
        with pytest.raises(InvalidChunk):
            reader.eof()


@pytest.mark.parametrize("bad", [b"zz\r\n", b"1\r\nazz", b"0\r\n: no name\r\n\r\n"])
def test_a_failure_that_is_kept_keeps_nobody_who_read(bad: bytes) -> None:
    body = ChunkedBody()
    body.feed(bad)
    assert body.failure is not None
    assert body.failure.__traceback__ is None
    assert body.failure.__cause__ is None or body.failure.__cause__.__traceback__ is None
