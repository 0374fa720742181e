"""Request bodies: what goes on the wire, and whether it can go out again."""

from __future__ import annotations

import gzip
import io
import os

import pytest

from keeppool.errors import BodyLengthError, InvalidBody, UnrewindableBodyError
from keeppool.wire.body import PIECE_SIZE, WHOLE_SIZE, request_body
from keeppool.wire.fields import EMPTY

CHUNKED = b"Transfer-Encoding: chunked\r\n"


def sent(body) -> bytes:
    return b"".join([bytes(piece) for piece in body.pieces()])


class Unseekable(io.BytesIO):
    """A stream such as a pipe."""

    def seek(self, *_args):
        raise io.UnsupportedOperation("seek")

    def tell(self):
        raise io.UnsupportedOperation("tell")


class Reading:
    """The least that counts as a file."""

    def __init__(self, *pieces):
        self.pieces = list(pieces)

    def read(self, _size):
        return self.pieces.pop(0) if self.pieces else b""


@pytest.mark.parametrize(
    ("given", "wire"),
    [
        (b"bytes", b"bytes"),
        (bytearray(b"array"), b"array"),
        (memoryview(b"view"), b"view"),
        (memoryview(b"v-i-e-w")[::2], b"view"),
        (memoryview(b"abcdefgh").cast("I"), b"abcdefgh"),
        ("snow \u2603", "snow \u2603".encode()),
    ],
)
def test_bytes_and_text_in_memory(given, wire):
    """Sent with their length, in one piece with the head, as often as needed."""
    body = request_body(given)
    assert (body.length, body.whole) == (len(wire), wire)
    assert body.framing.lines == b"Content-Length: %d\r\n" % len(wire)
    assert body.framing.names == {b"content-length"}
    assert body.framing.pairs == ((b"Content-Length", b"%d" % len(wire)),)
    for _ in range(2):
        assert sent(body) == wire
        assert body.may_replay()
        body.rewind()


@pytest.mark.parametrize("nothing", [None, b"", ""])
@pytest.mark.parametrize(
    ("method", "lines"),
    [
        (b"POST", b"Content-Length: 0\r\n"),
        (b"PUT", b"Content-Length: 0\r\n"),
        (b"PATCH", b"Content-Length: 0\r\n"),
        (b"GET", b""),
        (b"DELETE", b""),
    ],
)
def test_no_body_is_said_where_one_was_to_be_expected(nothing, method, lines):
    """RFC 9110 §8.6."""
    body = request_body(nothing, method=method)
    assert (body.length, body.whole, body.framing.lines) == (0, b"", lines)
    assert sent(body) == b""
    assert body.may_replay()


def test_a_large_body_is_not_joined_with_the_head():
    """Beyond `WHOLE_SIZE` a copy costs more than a second system call."""
    assert request_body(b"x" * WHOLE_SIZE).whole is not None
    body = request_body(bytearray(WHOLE_SIZE + 1))
    assert body.whole is None
    assert sent(body) == bytes(WHOLE_SIZE + 1)


def test_a_file_is_sent_from_where_it_stands(tmp_path):
    """Its length is what follows, and rewinding goes back there, not to the file's start."""
    path = tmp_path / "body"
    path.write_bytes(b"skipped" + b"x" * (PIECE_SIZE + 5))
    with path.open("rb") as file:
        file.seek(7)
        body = request_body(file)
        assert (body.length, body.whole) == (PIECE_SIZE + 5, None)
        assert body.framing.lines == b"Content-Length: %d\r\n" % (PIECE_SIZE + 5)
        assert file.tell() == 7
        for _ in range(2):
            assert [len(piece) for piece in body.pieces()] == [PIECE_SIZE, 5]
            assert body.may_replay()
            body.rewind()
            assert file.tell() == 7
        assert not file.closed


def test_a_file_in_memory_and_one_beyond_its_end():
    """`BytesIO` is a file too; a position behind the end leaves nothing to send."""
    assert sent(request_body(io.BytesIO(b"abc"))) == b"abc"
    file = io.BytesIO(b"abc")
    file.seek(10)
    assert request_body(file).length == 0


def test_a_file_that_decompresses_is_measured_by_what_it_gives(tmp_path):
    """The operating system knows another size."""
    path = tmp_path / "body.gz"
    path.write_bytes(gzip.compress(b"x" * 1000))
    with gzip.open(path) as file:
        body = request_body(file)
        assert body.length in (1000, None)
        assert b"".join(map(bytes, body._source.payload())) == b"x" * 1000


def test_a_closed_file_cannot_be_sent_again():
    """Told before anything is tried."""
    file = io.BytesIO(b"abc")
    body = request_body(file)
    sent(body)
    file.close()
    assert not body.may_replay()
    with pytest.raises(UnrewindableBodyError):
        body.rewind()


def test_a_file_that_fails_to_seek_back_says_so():
    """The operating system's error is the cause."""

    class Moody(io.BytesIO):
        moody = False

        def seek(self, *args):
            if self.moody:
                raise OSError("no")
            return super().seek(*args)

    file = Moody(b"abc")
    body = request_body(file)
    sent(body)
    file.moody = True
    with pytest.raises(UnrewindableBodyError, match="byte 0: no") as caught:
        body.rewind()
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("make", [lambda: Unseekable(b"abc"), lambda: Reading(b"a", b"bc")])
def test_a_stream_goes_out_in_chunks_and_only_once(make):
    """Its length is not known, and what was read is gone."""
    body = request_body(make())
    assert (body.length, body.whole, body.framing.lines) == (None, None, CHUNKED)
    assert body.may_replay()
    body.rewind()
    assert sent(body) in (b"3\r\nabc\r\n0\r\n\r\n", b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n")
    assert not body.may_replay()
    with pytest.raises(UnrewindableBodyError):
        body.rewind()


def test_a_pipe_goes_out_in_chunks():
    """A real one: it has a descriptor, but no position."""
    read, write = os.pipe()
    os.write(write, b"abc")
    os.close(write)
    with os.fdopen(read, "rb") as file:
        body = request_body(file)
        assert body.length is None
        assert sent(body) == b"3\r\nabc\r\n0\r\n\r\n"


def test_a_stream_that_states_its_len_is_sent_with_it():
    """As requests-toolbelt's multipart encoder does."""
    stream = Reading(b"abc")
    stream.len = 3
    body = request_body(stream)
    assert body.framing.lines == b"Content-Length: 3\r\n"
    assert sent(body) == b"abc"
    assert not body.may_replay()


def test_text_files_are_refused(tmp_path):
    """Their length in bytes is not known; the message says what to do."""
    path = tmp_path / "body"
    path.write_text("text")
    with path.open() as file, pytest.raises(InvalidBody, match="open it with 'rb'"):
        request_body(file)
    with pytest.raises(InvalidBody, match="'rb'"):
        request_body(io.StringIO("text"))
    with pytest.raises(InvalidBody, match="'rb'"):
        sent(request_body(Reading("text")))


def test_a_stream_that_has_nothing_yet_does_not_end_the_body():
    """A non-blocking stream gives `None`; taken for the end it would cut the body in silence."""
    with pytest.raises(InvalidBody, match="NoneType"):
        sent(request_body(Reading(b"a", None, b"b")))


@pytest.mark.parametrize("body", [5, 1.5, object(), {"a": "b"}, True, bytes, dict])
def test_other_types_are_refused(body):
    """By name, before anything is sent."""
    with pytest.raises(InvalidBody, match=f"type {type(body).__name__}"):
        request_body(body)


@pytest.mark.parametrize("piece", [5, None, [b"a"]])
def test_pieces_of_other_types_are_refused(piece):
    """When they come up."""
    with pytest.raises(InvalidBody, match=type(piece).__name__):
        sent(request_body([b"a", piece]))


def test_a_lone_surrogate_is_refused():
    """As a body and as a piece."""
    with pytest.raises(InvalidBody, match="surrogate"):
        request_body("\ud800")
    with pytest.raises(InvalidBody, match="surrogate"):
        sent(request_body(["\ud800"]))


def test_a_list_goes_out_in_chunks_as_often_as_needed():
    """Empty pieces are left out: the first would end the body."""
    body = request_body([b"ab", b"", "\u2603", bytearray(), bytearray(b"c"), memoryview(b"d")])
    assert body.framing.lines == CHUNKED
    for _ in range(2):
        assert sent(body) == b"2\r\nab\r\n3\r\n\xe2\x98\x83\r\n1\r\nc\r\n1\r\nd\r\n0\r\n\r\n"
        assert body.may_replay()
        body.rewind()


def test_a_large_piece_is_framed_without_a_copy():
    """Size, the piece itself, end."""
    piece = b"x" * (PIECE_SIZE + 1)
    pieces = list(request_body([piece]).pieces())
    assert pieces[1] is piece
    assert b"".join(pieces) == b"10001\r\n" + piece + b"\r\n0\r\n\r\n"


def test_a_generator_can_be_replayed_until_it_is_pulled():
    """Asking for the pieces pulls nothing; taking the first one does."""
    body = request_body(piece for piece in (b"a", b"b"))
    pieces = body.pieces()
    assert body.may_replay()
    body.rewind()
    assert next(pieces) == b"1\r\na\r\n"
    assert not body.may_replay()
    with pytest.raises(UnrewindableBodyError):
        body.rewind()
    assert b"".join(pieces) == b"1\r\nb\r\n0\r\n\r\n"


def test_a_function_makes_the_body_anew():
    """Called once to know the length, then once for each further sending."""
    calls = []

    def make():
        calls.append(1)
        return iter([b"a", b"b"])

    body = request_body(make)
    assert len(calls) == 1
    for count in (2, 3):
        assert sent(body) == b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"
        assert body.may_replay()
        body.rewind()
        assert len(calls) == count


@pytest.mark.parametrize(
    ("made", "lines"),
    [
        (b"abc", b"Content-Length: 3\r\n"),
        ("abc", b"Content-Length: 3\r\n"),
        (io.BytesIO(b"abc"), b"Content-Length: 3\r\n"),
        ([b"abc"], CHUNKED),
        (None, b""),
    ],
)
def test_a_function_may_make_anything_that_is_a_body(made, lines):
    """Its length is told where it has one."""
    assert request_body(lambda: made).framing.lines == lines


@pytest.mark.parametrize("made", [5, lambda: b"a"])
def test_a_function_that_makes_no_body_is_refused(made):
    """Also one that makes another function."""
    with pytest.raises(InvalidBody):
        request_body(lambda: made)


def test_a_function_that_makes_another_length_the_second_time_is_caught():
    """The head has gone out with the first length."""
    bodies = iter([b"abc", b"abcd"])
    body = request_body(lambda: next(bodies))
    body.rewind()
    with pytest.raises(BodyLengthError):
        sent(body)


@pytest.mark.parametrize("given", [b"abc", "abc", bytearray(b"abc")])
def test_a_stated_length_is_compared_at_once_where_it_can_be(given):
    """In memory: right passes without a second field, wrong never leaves."""
    body = request_body(given, content_length=3)
    assert (body.length, body.whole, body.framing) == (3, b"abc", EMPTY)
    for stated in (2, 4):
        with pytest.raises(BodyLengthError) as caught:
            request_body(given, content_length=stated)
        assert (caught.value.expected, caught.value.actual) == (stated, 3)


def test_a_stated_length_without_a_body():
    """0 is right for nothing."""
    assert request_body(None, content_length=0).framing is EMPTY
    with pytest.raises(BodyLengthError):
        request_body(None, content_length=1)


@pytest.mark.parametrize(
    "make", [lambda: iter([b"ab", b"c", b""]), lambda: io.BytesIO(b"abc"), lambda: [b"abc"], lambda: [b"", b"abc"]]
)
def test_pieces_of_the_stated_length_go_out_as_they_are(make):
    """A length makes chunks unnecessary."""
    body = request_body(make(), content_length=3)
    assert (body.length, body.framing) == (3, EMPTY)
    assert sent(body) == b"abc"


@pytest.mark.parametrize("pieces", [[], [b"ab"], [b"", b"a", b"b", b""]])
def test_a_body_that_is_too_short_is_told_at_its_end(pieces):
    """The server still waits; the connection has to be closed."""
    body = request_body(iter(pieces), content_length=3)
    out = []
    with pytest.raises(BodyLengthError) as caught:
        out.extend(body.pieces())
    assert b"".join(out) == b"".join(pieces)
    assert (caught.value.expected, caught.value.actual) == (3, sum(map(len, pieces)))


@pytest.mark.parametrize("pieces", [[b"abcd"], [b"ab", b"cd"], [b"abc", b"d"], [b"a", b"bc", b"", b"d"]])
def test_a_body_that_is_too_long_never_completes_the_request(pieces):
    """The surplus would be read as the next request; so the last byte that fits is held back too."""
    body = request_body(iter(pieces), content_length=3)
    out = []
    with pytest.raises(BodyLengthError, match="at least 4 bytes") as caught:
        out.extend(body.pieces())
    assert len(b"".join(out)) < 3
    assert (caught.value.expected, caught.value.actual) == (3, 4)


def test_a_file_that_changed_since_is_caught(tmp_path):
    """Grown or shrunk between measuring and sending."""
    path = tmp_path / "body"
    for before, after in ((b"abc", b"abcd"), (b"abcd", b"abc")):
        path.write_bytes(before)
        with path.open("rb") as file:
            body = request_body(file)
            path.write_bytes(after)
            with pytest.raises(BodyLengthError):
                sent(body)


@pytest.mark.parametrize("given", [b"abc", [b"abc"], None])
def test_chunks_on_request_of_the_caller(given):
    """The caller's own `Transfer-Encoding: chunked` is honoured, and not repeated."""
    body = request_body(given, chunked=True)
    assert (body.length, body.whole, body.framing) == (None, None, EMPTY)
    assert sent(body) == (b"3\r\nabc\r\n0\r\n\r\n" if given else b"0\r\n\r\n")
