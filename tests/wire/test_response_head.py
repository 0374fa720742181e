"""Response heads: what is taken, what is refused, and that the cut of the bytes makes no difference."""

from __future__ import annotations

import pytest
from cuts import every_cut
from hypothesis import given, settings
from hypothesis import strategies as st

from keeppool.errors import HeadTooLarge, InvalidHead
from keeppool.wire import head as head_module
from keeppool.wire.head import HeadReader, _parse_lines, parse_field_lines, parse_head, plain_head

NGINX = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.24.0\r\nDate: Sat, 22 Nov 2025 04:42:00 GMT\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 1024\r\nLast-Modified: Sat, 22 Nov 2025 04:00:00 GMT\r\nConnection: keep-alive\r\n"
    b'ETag: "69213ab0-400"\r\nAccept-Ranges: bytes\r\n\r\n'
)
DANGEROUS = [b"\x00", b"\r"]
#: RFC 9110 §5.5 lets a recipient keep them.
KEPT = [bytes([byte]) for byte in [*range(0x01, 0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F]]


def facts(head):
    """Everything a head says, to compare two of them."""
    return head.version, head.status, head.reason, head.names, head.values, head.index, head.repeated, head.size


def head_of(*lines: bytes, status: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([status, *lines, b"", b""])


def test_a_head_as_nginx_sends_it():
    """The common case, field by field."""
    head = parse_head(NGINX)
    assert (head.version, head.status, head.reason, head.size) == (11, 200, "OK", len(NGINX))
    assert head.names[:2] == [b"Server", b"Date"]
    assert head.values[2] == b"text/plain"
    assert head.index[b"etag"] == b'"69213ab0-400"'
    assert not head.repeated
    assert head.get(b"content-length") == b"1024"
    assert head.get(b"absent") is None
    assert "200 'OK', 8 fields" in repr(head)


def test_repeated_fields_are_joined_or_listed():
    """RFC 9110 §5.3; `get_all` is there for Set-Cookie, which must not be joined."""
    head = parse_head(head_of(b"Set-Cookie: a=1", b"Vary: x", b"set-cookie: b=2"))
    assert head.repeated
    assert head.index[b"set-cookie"] == b"b=2"
    assert head.get(b"set-cookie") == b"a=1, b=2"
    assert head.get_all(b"set-cookie") == [b"a=1", b"b=2"]
    assert head.get(b"vary") == b"x"
    assert head.get(b"absent") is None
    assert head.get_all(b"absent") == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"HTTP/1.1 200 OK", (11, 200, "OK")),
        (b"HTTP/1.0 404 Not Found", (10, 404, "Not Found")),
        (b"HTTP/1.7 200 OK", (11, 200, "OK")),
        (b"HTTP/1.1 200 ", (11, 200, "")),
        (b"HTTP/1.1 200", (11, 200, "")),
        (b"HTTP/1.1 999 \xe9\t!", (11, 999, "\xe9\t!")),
        (b"HTTP/1.1 100 Continue", (11, 100, "Continue")),
        (b"HTTP/1.1 200 O\x01K\x7f", (11, 200, "O\x01K\x7f")),
    ],
)
def test_status_lines_that_are_taken(line, expected):
    """RFC 9112 §4, and the missing space before an empty reason that many servers send."""
    head = parse_head(line + b"\r\nA: b\r\n\r\n")
    assert (head.version, head.status, head.reason) == expected


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"HTTP/0.9 200 OK",
        b"HTTP/2 200 OK",
        b"HTTP/2.0 200 OK",
        b"HTTP/1 200 OK",
        b"HTTP/1.10 200 OK",
        b"HTTP/1.x 200 OK",
        b"http/1.1 200 OK",
        b"HTTP/1.1  200 OK",
        b" HTTP/1.1 200 OK",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 099 OK",
        b"HTTP/1.1 200OK",
        b"HTTP/1.1 +20 OK",
        b"HTTP/1.1",
        b"HTTP/1.1 200 O\x00K",
        b"HTTP/1.1 200 O\rK",
        b"ICY 200 OK",
        b"GET / HTTP/1.1",
    ],
)
def test_status_lines_that_are_refused(line):
    """Another protocol, another version, or a line that two parsers could read differently."""
    with pytest.raises(InvalidHead) as caught:
        parse_head(line + b"\r\nA: b\r\n\r\n")
    assert caught.value.line == line + b"\r"


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        (b"A: b", b"A", b"b"),
        (b"A:b", b"A", b"b"),
        (b"A:", b"A", b""),
        (b"A: ", b"A", b""),
        (b"A: \t b \t", b"A", b"b"),
        (b"A: b: c", b"A", b"b: c"),
        (b"A:: b", b"A", b": b"),
        (b"A: \x80\xff", b"A", b"\x80\xff"),
        (b"A: b\tc", b"A", b"b\tc"),
        *[(b"A: b%bc" % control, b"A", b"b%bc" % control) for control in KEPT],
        (b"!#$%&'*+-.^_`|~9: x", b"!#$%&'*+-.^_`|~9", b"x"),
    ],
)
def test_fields_that_are_taken(line, name, value):
    """White space around a value is no part of it (RFC 9112 §5.1)."""
    head = parse_head(head_of(b"First: 1", line, b"Last: 2"))
    assert (head.names[1], head.values[1]) == (name, value)
    assert len(head.names) == 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"A : b", "white space before"),
        (b"A\t: b", "white space before"),
        (b": b", "without a name"),
        (b"no colon", "without a colon"),
        (b"a b: c", "not a token"),
        (b"(a): c", "not a token"),
        (b"caf\xe9: c", "not a token"),
        (b"a\x00b: c", "not a token"),
        *[(b"A: b%bc" % control, "CR or NUL") for control in DANGEROUS],
        (b"A: b\r", "CR or NUL"),
        (b"A: \rb", "CR or NUL"),
    ],
)
def test_fields_that_are_refused(line, message):
    """RFC 9112 §5.1 and §2.2 (bare CR); the error shows the line."""
    with pytest.raises(InvalidHead, match=message) as caught:
        parse_head(head_of(b"First: 1", line, b"Last: 2"))
    assert caught.value.line == line


def test_an_error_shows_only_the_start_of_a_long_line():
    """An error must not carry 64 KiB into a log."""
    with pytest.raises(InvalidHead) as caught:
        parse_head(head_of(b"x" * 5000))
    assert caught.value.line == b"x" * 100


def test_folded_lines_are_joined_by_one_space():
    """RFC 9112 §5.2 asks user agents to do so."""
    head = parse_head(head_of(b"A: one", b"  two", b"\tthree \t", b" ", b"B:", b" four"))
    assert head.values == [b"one two three", b"four"]


@pytest.mark.parametrize("line", [b" folded: first", b"\tx"])
def test_a_fold_with_nothing_before_it_is_refused(line):
    """RFC 9112 §2.2: white space behind the status line."""
    with pytest.raises(InvalidHead, match="folded"):
        parse_head(head_of(line, b"A: b"))


@pytest.mark.parametrize("control", DANGEROUS)
def test_a_fold_with_a_dangerous_character_is_refused(control):
    """What is refused on one line is refused on two."""
    with pytest.raises(InvalidHead, match="folded"):
        parse_head(head_of(b"A: b", b" c%bd" % control))


@pytest.mark.parametrize(
    "head", [b"", b"\r\n", b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nA: b\r\n"]
)
def test_a_head_without_its_end_is_refused(head):
    """`parse_head` is for whole heads."""
    with pytest.raises(InvalidHead, match="empty line"):
        parse_head(head)


def test_two_heads_are_not_one():
    """An empty line in the middle is never skipped."""
    with pytest.raises(InvalidHead):
        parse_head(head_of(b"A: b") + head_of(b"C: d"))


@pytest.mark.parametrize(
    "head",
    [
        NGINX,
        b"HTTP/1.1 200 OK\r\n\r\n",
        NGINX.replace(b"\r\n", b"\n"),
        b"HTTP/1.1 200 OK\nA: b\r\nC: d\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n\n",
        b"HTTP/1.0 301 Moved\r\nA: b\r\n c\r\n\td\r\nE: \r\n\r\n",
    ],
    ids=["nginx", "no fields", "bare LF", "mixed", "bare LF at the end", "folded"],
)
@pytest.mark.parametrize("rest", [b"", b"body", b"\r\n\r\n", b"\n\nHTTP/1.1 200 OK\r\n\r\n"])
def test_every_cut_gives_the_same_head_and_rest(head, rest):
    """Also where the body looks like another end of a head."""
    expected = facts(parse_head(head))
    for parts in every_cut(head + rest):
        reader = HeadReader()
        fed = b""
        found = None
        for part in parts:
            fed += part
            found = reader.feed(part)
            assert reader.size == len(fed)
            if found:
                break
        assert found is not None
        assert facts(found) == expected
        assert reader.rest == fed[len(head) :]


@pytest.mark.parametrize("bad", [b"A : b", b"\x00: b", b"x", b" fold"])
def test_every_cut_of_an_invalid_head_is_refused(bad):
    """An error does not depend on the cut either."""
    for parts in every_cut(head_of(bad, b"C: d")):
        reader = HeadReader()
        with pytest.raises(InvalidHead):
            assert not any(reader.feed(part) for part in parts)


@pytest.mark.parametrize(
    "start", [b"X", b"<html>", b"\r\nHTTP/1.1", b" HTTP", b"HTTP 200", b"HTTQ", b"\x16\x03\x01", b"+OK"]
)
def test_bytes_that_cannot_be_http_fail_at_once(start):
    """No wait for an end that will not come; a TLS or SMTP server on the wrong port is told from the first bytes."""
    for parts in every_cut(start):
        reader = HeadReader()
        with pytest.raises(InvalidHead, match="does not start with HTTP/"):
            [reader.feed(part) for part in parts]


def test_a_start_that_may_become_http_waits():
    """Each prefix of HTTP/ is a good beginning; an empty read changes nothing."""
    reader = HeadReader()
    for byte in (b"H", b"", b"T", b"T", b"P", b"/", b"1"):
        assert reader.feed(byte) is None
    assert reader.size == 6


@pytest.mark.parametrize("end", [b"\r\n\r\n", b"\n\n", b"\n\r\n"])
def test_a_head_of_the_largest_size_is_taken_and_one_byte_more_refused(end):
    """The bound is exact, counts the head only, and does not depend on the cut."""
    for surplus in (0, 1):
        head = b"HTTP/1.1 200 OK\r\nA: ".ljust(100 - len(end) + surplus, b"x") + end
        for parts in every_cut(head + b"body of no matter what size"):
            reader = HeadReader(max_bytes=100)
            if surplus:
                with pytest.raises(HeadTooLarge) as caught:
                    [reader.feed(part) for part in parts]
                assert caught.value.limit == 100
            else:
                assert next(filter(None, map(reader.feed, parts))).size == 100


def test_an_endless_head_is_refused_before_its_end():
    """Memory is bounded: what is held is never more than the bound and one feed."""
    reader = HeadReader(max_bytes=1000)
    reader.feed(b"HTTP/1.1 200 OK\r\nA: ")
    with pytest.raises(HeadTooLarge, match="more than 1000 bytes"):
        [reader.feed(b"x" * 10) for _ in range(200)]
    assert reader.size <= 1010


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_too_many_fields_are_refused(line_end):
    """Both parsers count."""
    for count, refused in ((5, False), (6, True)):
        head = line_end.join([b"HTTP/1.1 200 OK", *[b"A: b"] * count, b"", b""])
        reader = HeadReader(max_fields=5)
        if refused:
            with pytest.raises(HeadTooLarge) as caught:
                reader.feed(head)
            assert caught.value.limit == 5
        else:
            assert reader.feed(head) is not None


def test_a_long_line_without_a_colon_costs_no_more_than_its_length():
    """64 KiB of name characters; a search starting anew at each of them, 200 times, would trip the timeout."""
    for _ in range(200):
        with pytest.raises(InvalidHead):
            HeadReader().feed(head_of(b"a" * 65000))


INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


@pytest.mark.parametrize("interim", [INTERIM, INTERIM.replace(b"\r\n", b"\n")], ids=["CRLF", "LF"])
@pytest.mark.parametrize("count", [1, 3])
def test_every_cut_of_interim_responses_and_the_final_one(interim, count):
    """Row F3: as many as there are, whichever of the bytes come together."""
    for parts in every_cut(interim * count + NGINX + b"body"):
        reader, heads, fed = HeadReader(), [], b""
        for part in parts:
            fed += part
            head = reader.feed(part)
            while head is not None:
                heads.append(head)
                head = reader.following() if head.status < 200 else None
            if heads and heads[-1].status == 200:
                break
        assert [head.status for head in heads] == [103] * count + [200]
        assert facts(heads[-1]) == facts(parse_head(NGINX))
        assert reader.rest == fed[len(interim * count + NGINX) :]


@pytest.mark.parametrize("size", [1, 100, 65536])
def test_interim_responses_have_a_heads_bound(size):
    """Row F3: many are taken; those without an end are not."""
    data = b"HTTP/1.1 102 Processing\r\n\r\n" * 100
    reader, taken = HeadReader(max_bytes=1000), 0

    def feed_all() -> None:
        nonlocal taken
        for at in range(0, len(data), size):
            head = reader.feed(data[at : at + size])
            while head is not None:
                taken += 1
                head = reader.following()

    with pytest.raises(HeadTooLarge, match="interim responses of more than 1000 bytes") as caught:
        feed_all()
    assert caught.value.limit == 1000
    assert taken == 1000 // 27 + 1


def test_field_lines_of_a_trailer_section_are_parsed_alike():
    """`chunked.py` reads trailers with the head's rules."""
    assert parse_field_lines([b"A: b\r", b" c\r", b"D:e"]) == ([b"A", b"D"], [b"b c", b"e"])
    assert parse_field_lines([]) == ([], [])


LINE_PARTS = st.sampled_from(
    [
        b"\r\n",
        b"\n",
        b"\r",
        b": ",
        b":",
        b" ",
        b"\t",
        b"A",
        b"Content-Length",
        b"x y",
        b"\x00",
        b"\xe9",
        b"7",
        b";",
        b"\r\nB: c",
    ]
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.lists(LINE_PARTS, max_size=12).map(b"".join))
def test_the_fast_parser_agrees_with_the_careful_one(middle):
    """What the fast parser takes, the careful one reads the same."""
    head = b"HTTP/1.1 200 OK\r\nS: t" + middle + b"\r\n\r\n"
    plain = plain_head(head)
    if plain is not None:
        assert facts(plain) == facts(_parse_lines(head[: plain.size]))


def test_the_fast_parser_takes_what_servers_send():
    """If it always gave up, everything would still be right, and slow."""
    assert plain_head(NGINX) is not None
    assert plain_head(NGINX.replace(b"\r\n", b"\n")) is None


def test_field_lines_are_remembered_within_bounds():
    """Cleared when it is full, and right all the same."""
    for number in range(3 * head_module._MOST_LINES):
        line = b"X-Number: %d" % number
        assert parse_head(head_of(line)).index == {b"x-number": b"%d" % number}
        assert len(head_module._field_of.__self__) <= head_module._MOST_LINES


def test_a_long_status_line_is_read_and_not_remembered():
    head_module._status.cache_clear()
    line = b"HTTP/1.1 200 " + b"x" * 60_000
    for head in (line + b"\r\n\r\n", line + b"\n\n"):
        assert parse_head(head).reason == "x" * 60_000
    assert head_module._status.cache_info().currsize == 0


@pytest.mark.parametrize(
    "line",
    [
        b"Set-Cookie: session=opensesame",
        b"Location: /login?code=opensesame",
        b"X-Auth-Token: opensesame",
        b"Authentication-Info: nextnonce=opensesame",
        b"X-CSRF: opensesame",
        b"X-Long: " + b"opensesame" * 20,
    ],
)
def test_what_may_be_a_secret_does_not_outlive_its_answer(line):
    assert b"opensesame" in parse_head(head_of(line)).values[0]
    assert not any(b"opensesame" in kept for kept in head_module._field_of.__self__)
