"""The sites' own request parser, at every split of its input."""

from __future__ import annotations

from keeppool.testing.messages import RequestReader

TWO = (
    b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n"
    b"PUT /b HTTP/1.0\r\nContent-Length: 4\r\nX: 1\r\nx:  2 \r\n\r\nwxyz"
)


def read(*pieces: bytes) -> list[tuple[str, bytes]]:
    """Give target and body of each request the pieces make."""
    reader = RequestReader()
    seen = []
    for piece in pieces:
        reader.feed(piece)
        while taken := reader.take():
            seen.append((taken[0].target, taken[1]))
    assert reader.is_between
    return seen


def test_every_split_gives_the_same_requests():
    expected = [("/a", b"abc0123456789"), ("/b", b"wxyz")]
    assert all(read(TWO[:cut], TWO[cut:]) == expected for cut in range(len(TWO) + 1))
    assert read(*[bytes([byte]) for byte in TWO]) == expected


def test_repeated_fields_are_kept_and_joined():
    reader = RequestReader()
    reader.feed(TWO[TWO.index(b"PUT") :])
    head = reader.take_head()
    assert head.pairs == [("Content-Length", "4"), ("X", "1"), ("x", "2")]
    assert head.headers == {"content-length": "4", "x": "1, 2"}
    assert not reader.is_between
    assert reader.take() == (head, b"wxyz")


def test_continue_is_wanted_once_and_in_1_1_only():
    for version, wanted in ((b"1.1", True), (b"1.0", False)):
        reader = RequestReader()
        assert not reader.wants_continue()
        reader.feed(b"PUT / HTTP/%b\r\nHost: h\r\nContent-Length: 1\r\nExpect: 100-Continue\r\n\r\n" % version)
        assert reader.take() is None
        assert [reader.wants_continue(), reader.wants_continue()] == [wanted, False]
