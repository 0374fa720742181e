"""Our reading of a response against llhttp's (package httptools) and h11's: same verdict, same content, same end.

Any difference that `readings.DIFFERENCES` does not list fails.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeppool.events import Why
from keeppool.wire.framing import framing_of
from keeppool.wire.head import HeadReader
from tests.wire.readings import DIFFERENCES, PEERS, difference

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
    assert framing_of(b"GET", head).why_close in (Why.AMBIGUOUS_FRAMING, Why.CLOSE_DELIMITED)
