"""Bodies that end by length, by close, by a multipart delimiter, or are not there at all."""

from __future__ import annotations

import pytest
from cuts import every_cut, payload_of

from keeppool.errors import IncompleteBody
from keeppool.wire.byteranges import ByteRangesBody
from keeppool.wire.chunked import ChunkedBody
from keeppool.wire.framing import framing_of
from keeppool.wire.head import parse_head
from keeppool.wire.message import CloseBody, EmptyBody, LengthBody, body_reader

PARTS = b"--b\r\nContent-Range: bytes 0-3/9\r\n\r\nabcd\r\n--b\r\nContent-Range: bytes 5-8/9\r\n\r\n\r\n-b-\r\n--b--"


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        (b"Content-Length: 5\r\n", LengthBody),
        (b"Content-Length: 0\r\n", LengthBody),
        (b"Transfer-Encoding: chunked\r\n", ChunkedBody),
        (b"", CloseBody),
        (b"Content-Type: multipart/byteranges; boundary=b\r\n", ByteRangesBody),
    ],
)
def test_each_framing_has_its_reader(fields, kind):
    """From the head's bytes to the reader."""
    head = parse_head(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n")
    assert type(body_reader(framing_of(b"GET", head), head)) is kind


@pytest.mark.parametrize("method", [b"HEAD", b"CONNECT"])
def test_no_body_and_a_tunnel_have_the_empty_reader(method):
    """What follows is `rest`: unasked bytes, or the tunnel's first."""
    head = parse_head(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    reader = body_reader(framing_of(method, head), head)
    assert type(reader) is EmptyBody
    assert (reader.complete, reader.received, reader.remaining, list(reader.trailers)) == (True, 0, 0, [])
    assert reader.feed(b"ab") + reader.feed(b"c") == b""
    reader.eof()
    assert reader.rest == b"abc"


@pytest.mark.parametrize("rest", [b"", b"HTTP/1.1 200 OK\r\n"])
def test_every_cut_of_a_body_with_length(rest):
    """The body is the stated bytes, and everything behind is kept apart."""
    for parts in every_cut(b"0123456789" + rest):
        reader = LengthBody(10)
        assert payload_of(reader, parts) == b"0123456789"
        assert reader.complete
        assert (reader.received, reader.remaining, reader.rest) == (10, 0, rest)
        reader.eof()


def test_a_body_with_length_is_not_copied():
    """Bytes that are all body come back as the same object."""
    whole = b"0123456789"
    assert LengthBody(10).feed(whole) is whole
    assert LengthBody(11).feed(whole) is whole


def test_a_body_with_length_counts_down():
    """A driver asks the socket for `remaining` bytes, so that it never reads beyond the body's end."""
    reader = LengthBody(10)
    reader.feed(b"abc")
    assert (reader.remaining, reader.received, reader.complete) == (7, 3, False)
    reader.feed(b"defgh")
    assert (reader.remaining, reader.received, reader.complete) == (2, 8, False)
    reader.feed(b"ij")
    assert (reader.remaining, reader.received, reader.complete) == (0, 10, True)
    assert reader.feed(b"x") == b""
    assert reader.rest == b"x"


def test_a_body_of_length_0_is_complete_from_the_start():
    """Nothing has to be read for it."""
    reader = LengthBody(0)
    assert reader.complete
    reader.eof()
    assert reader.feed(b"x") == b""
    assert reader.rest == b"x"


@pytest.mark.parametrize("received", range(10))
def test_a_body_with_length_that_stops_short_is_an_error(received):
    """RFC 9112 §8: never a short body in silence."""
    reader = LengthBody(10)
    reader.feed(b"x" * received)
    with pytest.raises(IncompleteBody) as caught:
        reader.eof()
    assert (caught.value.expected, caught.value.actual) == (10, received)
    assert not reader.complete


def test_every_cut_of_a_body_that_ends_by_close():
    """All of it is body, and only the close completes it."""
    for parts in every_cut(b"0123456789\r\n\r\n"):
        reader = CloseBody()
        assert payload_of(reader, parts) == b"0123456789\r\n\r\n"
        assert (reader.complete, reader.received, reader.remaining, reader.rest) == (False, 14, None, b"")
        reader.eof()
        assert reader.complete


@pytest.mark.parametrize("preamble", [b"", b"\r\n", b"preamble\r\n"])
@pytest.mark.parametrize("behind", [b"", b"\r\n", b"--b--\r\n--b--"])
def test_every_cut_of_a_byteranges_body(preamble, behind):
    """Complete with the first closing delimiter; what came with it is given, the rest would be somebody else's."""
    whole = preamble + PARTS + behind
    for parts in every_cut(whole):
        reader = ByteRangesBody(b"b")
        payload, fed = b"", b""
        for part in parts:
            fed += part
            payload += reader.feed(part)
            if reader.complete:
                break
        assert payload == fed
        assert len(payload) >= len(preamble + PARTS)
        assert (reader.complete, reader.received, reader.rest) == (True, len(payload), b"")
        assert reader.feed(b"more") == b""
        assert reader.rest == b"more"
        reader.eof()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"--b",
        b"--b-",
        b"--b\r\n\r\nx\r\n--b",
        b"x--b--",
        b"x\n--b--",
        b"\r--b--",
        b"\r\n--bb--",
        b"\r\n--B--",
        b"\r\n- -b--",
        b"\r\n\r--b--",
    ],
)
def test_every_cut_of_a_byteranges_body_without_its_end(data):
    """What only looks like the delimiter is body; the close before the real one is an error."""
    for parts in every_cut(data):
        reader = ByteRangesBody(b"b")
        assert payload_of(reader, parts) == data
        assert not reader.complete
        with pytest.raises(IncompleteBody) as caught:
            reader.eof()
        assert (caught.value.expected, caught.value.actual) == (None, len(data))


def test_a_body_may_begin_with_its_closing_delimiter():
    """RFC 2046 §5.1.1: the line end before the first delimiter is the head's."""
    for parts in every_cut(b"--b--"):
        reader = ByteRangesBody(b"b")
        assert payload_of(reader, parts) == b"--b--"
        assert (reader.complete, reader.rest) == (True, b"")


def test_a_delimiter_after_a_near_miss_is_found():
    """The search does not step over a delimiter that begins inside a failed one."""
    for data in (b"\r\n--b-\r\n--b--", b"\r\n\r\n--b--", b"--\r\n--b--", b"\r\r\n--b--"):
        for parts in every_cut(data):
            reader = ByteRangesBody(b"b")
            assert payload_of(reader, parts) == data
            assert reader.complete
