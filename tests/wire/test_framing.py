"""Where a body ends: RFC 9112 §6.3 as a table."""

from __future__ import annotations

import pytest

from keeppool.errors import InvalidHead, InvalidLength
from keeppool.events import Why
from keeppool.wire.framing import MAX_LENGTH, Framing, Kind, boundary_of, framing_of
from keeppool.wire.head import parse_head

EMPTY = Framing(Kind.EMPTY, 0, None)
EMPTY_DOUBTFUL = Framing(Kind.EMPTY, 0, Why.AMBIGUOUS_FRAMING)
UPGRADED = Framing(Kind.EMPTY, 0, Why.SWITCHED)
TUNNEL = Framing(Kind.TUNNEL, None, Why.SWITCHED)
CHUNKED = Framing(Kind.CHUNKED, None, None)
DOUBTFUL = Framing(Kind.CHUNKED, None, Why.AMBIGUOUS_FRAMING)
BYTERANGES = Framing(Kind.BYTERANGES, None, Why.CLOSE_DELIMITED)
CLOSE = Framing(Kind.CLOSE, None, Why.CLOSE_DELIMITED)


def length(count: int, why: Why | None = None) -> Framing:
    return Framing(Kind.LENGTH, count, why)


def head(*lines: bytes, status: int = 200, version: bytes = b"1.1"):
    return parse_head(b"\r\n".join([b"HTTP/%b %d X" % (version, status), *lines, b"", b""]))


CL, TE, BOTH = (
    (b"Content-Length: 5",),
    (b"Transfer-Encoding: chunked",),
    (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
)
RANGES = b"Content-Type: multipart/byteranges; boundary=b"

# (section, method, status, fields, answer)
RULES = [
    # Rule 1: never a body, whatever the fields say.
    ("§6.3 1", b"HEAD", 200, CL, EMPTY),
    ("§6.3 1", b"HEAD", 200, TE, EMPTY),
    ("§6.3 1", b"HEAD", 200, (b"Content-Length: nonsense",), EMPTY),
    ("§6.3 1", b"HEAD", 404, (), EMPTY),
    ("§6.3 1", b"GET", 100, CL, EMPTY),
    ("§6.3 1", b"GET", 103, (), EMPTY),
    ("§6.3 1", b"GET", 101, (), UPGRADED),
    ("§6.3 1", b"HEAD", 101, CL, UPGRADED),
    ("§6.3 1", b"GET", 204, CL, EMPTY_DOUBTFUL),
    ("§6.3 1", b"GET", 204, (b"Content-Length: 0",), EMPTY),
    ("§6.3 1", b"GET", 204, TE, EMPTY_DOUBTFUL),
    ("§6.3 1", b"HEAD", 204, CL, EMPTY),
    ("§6.3 1", b"GET", 304, CL, EMPTY),
    ("§6.3 1", b"POST", 304, TE, EMPTY_DOUBTFUL),
    # Rule 2: CONNECT.
    ("§6.3 2", b"CONNECT", 200, (), TUNNEL),
    ("§6.3 2", b"CONNECT", 200, BOTH, TUNNEL),
    ("§6.3 2", b"CONNECT", 204, (), TUNNEL),
    ("§6.3 2", b"CONNECT", 299, CL, TUNNEL),
    ("§6.3 2", b"CONNECT", 407, CL, length(5)),
    ("§6.3 2", b"CONNECT", 502, (), CLOSE),
    ("§6.3 2", b"CONNECT", 304, CL, EMPTY),
    ("§6.3 2", b"CONNECT", 100, (), EMPTY),
    # Rule 3: both fields.
    ("§6.3 3", b"GET", 200, BOTH, DOUBTFUL),
    ("§6.3 3", b"GET", 200, (*TE, b"Content-Length: nonsense"), DOUBTFUL),
    # Rule 4: chunked, and only that.
    ("§6.3 4", b"GET", 200, TE, CHUNKED),
    ("§6.3 4", b"GET", 500, TE, CHUNKED),
    ("§6.3 4", b"GET", 200, (b"Transfer-Encoding: CHUNKED",), CHUNKED),
    ("§6.3 4", b"GET", 200, (b"transfer-encoding: ,\tchunked ,",), DOUBTFUL),
    ("§6.3 4", b"GET", 200, (b"Transfer-Encoding: identity, chunked",), DOUBTFUL),
    ("§6.3 4", b"GET", 200, (b"Transfer-Encoding:", b"Transfer-Encoding: chunked"), DOUBTFUL),
    ("§6.3 8", b"GET", 200, (b"Transfer-Encoding: identity",), CLOSE),
    ("§6.3 8", b"GET", 200, (b"Transfer-Encoding:",), CLOSE),
    ("§6.3 3", b"GET", 200, (b"Transfer-Encoding: identity", *CL), length(5, Why.AMBIGUOUS_FRAMING)),
    # Rules 5 and 6: Content-Length.
    ("§6.3 6", b"GET", 200, CL, length(5)),
    ("§6.3 6", b"GET", 205, CL, length(5)),
    ("§6.3 6", b"GET", 200, (b"Content-Length: 0",), length(0)),
    ("§6.3 6", b"GET", 200, (b"Content-Length: 007",), length(7)),
    ("§6.3 6", b"GET", 200, (b"Content-Length: %d" % MAX_LENGTH,), length(2**63 - 1)),
    ("§6.3 6", b"GET", 206, (RANGES, *CL), length(5)),
    ("§6.3 5", b"GET", 200, (b"Content-Length: 5, 5",), length(5)),
    ("§6.3 5", b"GET", 200, (b"Content-Length: 5,5 ,\t5",), length(5)),
    ("§6.3 5", b"GET", 200, (*CL, *CL), length(5)),
    ("§6.3 5", b"GET", 200, (*CL, b"A: b", b"content-length: 5, 5"), length(5)),
    # Rule 8, and RFC 2616 §4.4 for byteranges.
    ("§6.3 8", b"GET", 200, (), CLOSE),
    ("§6.3 8", b"GET", 206, (b"Content-Type: text/plain",), CLOSE),
    ("2616 §4.4", b"GET", 206, (RANGES,), BYTERANGES),
    ("2616 §4.4", b"GET", 206, (RANGES, *TE), CHUNKED),
    ("2616 §4.4", b"HEAD", 206, (RANGES,), EMPTY),
]


@pytest.mark.parametrize(("section", "method", "status", "fields", "answer"), RULES)
def test_the_rules_of_message_length(section, method, status, fields, answer):
    """RFC 9112 §6.3, rule by rule."""
    assert framing_of(method, head(*fields, status=status)) == answer, section


@pytest.mark.parametrize(
    ("fields", "answer"),
    [(TE, DOUBTFUL), (BOTH, DOUBTFUL), (CL, length(5)), ((), CLOSE)],
)
def test_chunked_in_http_1_0_is_doubtful(fields, answer):
    """RFC 9112 §6.1: HTTP/1.0 does not know the coding; process, then close."""
    assert framing_of(b"GET", head(*fields, version=b"1.0")) == answer


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"+5",
        b"-5",
        b"5 5",
        b"0x5",
        b"5.0",
        b"five",
        b"5,",
        b",5",
        b"5, 6",
        b"5, 05",
        b"\xb2",
        b"5;5",
        b"1_000",
        b"%d" % (MAX_LENGTH + 1),
        b"9" * 5000,
    ],
)
def test_a_content_length_that_is_no_one_number_is_refused(value):
    """§6.3 5: the user agent must close; `value` is what was received."""
    with pytest.raises(InvalidLength) as caught:
        framing_of(b"GET", head(b"Content-Length: " + value))
    assert caught.value.value == value[:80]


def test_two_different_content_lengths_are_refused():
    """The classic of response splitting."""
    with pytest.raises(InvalidLength) as caught:
        framing_of(b"GET", head(b"Content-Length: 5", b"Content-Length: 6"))
    assert caught.value.value == b"5, 6"


@pytest.mark.parametrize(
    "value",
    [
        b"gzip",
        b"gzip, chunked",
        b"chunked, gzip",
        b"chunked, chunked",
        b"chunked;q=1",
        b"xchunked",
        b"chunked chunked",
        b'"chunked"',
        b"\x0bchunked".replace(b"\x0b", b"\xa0"),
    ],
)
@pytest.mark.parametrize("more", [(), CL])
def test_a_transfer_coding_that_was_not_offered_is_refused(value, more):
    """§6.1: chunked once and last; we send no TE, so nothing else may come. It is not guessed around."""
    with pytest.raises(InvalidHead, match="transfer coding") as caught:
        framing_of(b"GET", head(b"Transfer-Encoding: " + value, *more))
    assert caught.value.line == b"Transfer-Encoding: " + value


@pytest.mark.parametrize(
    ("value", "boundary"),
    [
        (b"multipart/byteranges; boundary=abc", b"abc"),
        (b"Multipart/ByteRanges;Boundary=abc", b"abc"),
        (b'multipart/byteranges; boundary="a b:c"', b"a b:c"),
        (b"multipart/byteranges \t;\t boundary=abc ; charset=x", b"abc"),
        (b'multipart/byteranges; a=b; c="; boundary=no"; boundary=yes', b"yes"),
        (b"multipart/byteranges; boundary=" + b"x" * 70, b"x" * 70),
        (b"multipart/byteranges; boundary=" + b"x" * 71, None),
        (b'multipart/byteranges; boundary="ends with space "', None),
        (b'multipart/byteranges; boundary=""', None),
        (b"multipart/byteranges; boundary=", None),
        (b'multipart/byteranges; boundary="a', None),
        (b"multipart/byteranges; boundary=a b", None),
        (b'multipart/byteranges; boundary="a\\"b"', None),
        (b"multipart/byteranges; notboundary=a", None),
        (b"multipart/byteranges", None),
        (b"multipart/byterangesx; boundary=a", None),
        (b"multipart/mixed; boundary=a", None),
        (b"text/plain", None),
    ],
)
def test_the_boundary_of_a_byteranges_body(value, boundary):
    """RFC 2046 §5.1.1: 1 to 70 characters, quoted or not. Without a usable one only the close ends the body."""
    response = head(b"Content-Type: " + value, status=206)
    assert boundary_of(response) == boundary
    assert framing_of(b"GET", response) == (CLOSE if boundary is None else BYTERANGES)


def test_no_content_type_is_no_byteranges():
    """The field may be missing altogether."""
    assert boundary_of(head()) is None
