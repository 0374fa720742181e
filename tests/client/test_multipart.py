"""Forms with files: the same bytes as requests and urllib3 make, read back by a server's parser, sent from disk."""

from __future__ import annotations

import io
import socket
import tempfile
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from urllib3.filepost import encode_multipart_formdata
from werkzeug.datastructures import FileStorage
from werkzeug.formparser import MultiPartParser

from keeppool.client.request.multipart import STREAMED_SIZE, FileSection, MultipartStream, encode_files
from keeppool.errors import BodyLengthError, InvalidBody, InvalidHeader
from keeppool.testing import Answer
from keeppool.wire.body import request_body

LARGE = bytes(range(256)) * (STREAMED_SIZE // 256)


def parsed(body: Any, content_type: str) -> tuple[list[tuple[str, str]], list[tuple[str, FileStorage]]]:
    """Read a form as a server does."""
    content = body if isinstance(body, bytes) else body.read()
    media_type, _, boundary = content_type.partition("; boundary=")
    assert media_type == "multipart/form-data"
    parser = MultiPartParser(lambda **_: io.BytesIO(), max_form_memory_size=None)
    fields, files = parser.parse(io.BytesIO(content), boundary.encode(), len(content))
    return list(fields.items(multi=True)), list(files.items(multi=True))


def parts(body: bytes | MultipartStream, content_type: str) -> bytes:
    """Give the body with a boundary that is always the same."""
    content = body if isinstance(body, bytes) else body.read()
    return content.replace(content_type.partition("boundary=")[2].encode(), b"BOUNDARY")


def named(content: Any, name: object) -> io.IOBase:
    file = io.StringIO(content) if isinstance(content, str) else io.BytesIO(content)
    file.name = name  # type: ignore[union-attr]
    return file


@pytest.fixture
def large_file(tmp_path) -> Iterator[Any]:
    path = tmp_path / "large.bin"
    path.write_bytes(LARGE)
    with path.open("rb") as file:
        yield file


# The same bytes as requests


FORMS: dict[str, tuple[Any, Any]] = {
    "bytes": (None, {"f": b"content"}),
    "text": (None, {"f": "cöntent"}),
    "bytearray": (None, {"f": bytearray(b"content")}),
    "no content": (None, {"f": b""}),
    "pairs": (None, [("f", b"1"), ("f", b"2"), ("g", b"3")]),
    "file name": (None, {"f": ("näme.txt", b"content")}),
    "no file name": (None, {"f": (None, b"content")}),
    "list for tuple": (None, {"f": ["name.txt", b"content"]}),
    "content type": (None, {"f": ("name.txt", b"content", "text/plain; charset=utf-8")}),
    "headers": (None, {"f": ("name.txt", b"content", None, {"X-A": "1", "Content-Location": "gone", "X-None": None})}),
    "none": ({"a": "b"}, {"f": None, "g": ("name", None)}),
    "number": (None, {"f": ("name.txt", 7)}),
    "escaped": (None, {'f"\r\n\\': ('n"\r\n\\.txt', b"content")}),
    "name in bytes": ({b"d\xc3\xb6": "1"}, {b"f\xc3\xb6": b"content"}),
    "data": ({"a": "ä", "b": b"\xff", "c": 7, "d": None, "e": ["1", None, 2], "f": ("x", "y"), "g": []}, {"h": b""}),
    "data in pairs": ([("a", "1"), ("a", "2")], {"f": b""}),
    "data in a tuple of pairs": ((("a", "1"), ("b", {"2": "x"})), {"f": b""}),
}


@pytest.mark.parametrize(("data", "files"), FORMS.values(), ids=FORMS.keys())
def test_the_form_is_the_one_requests_makes(data, files):
    theirs = requests.Request("POST", "http://a.example/", data=data, files=files).prepare()
    body, content_type = encode_files(data, files)
    assert isinstance(body, bytes)
    assert parts(body, content_type) == parts(theirs.body, theirs.headers["Content-Type"])


@pytest.mark.parametrize(
    "name", ["a.txt", "/x/y/a.txt", b"/x/a.txt", "<stdin>", "<fdopen", "x>", "", 7, None], ids=repr
)
@pytest.mark.parametrize("content", [b"content", "text ä"])
def test_a_files_own_name_is_told_as_requests_tells_it(name, content):
    theirs = requests.Request("POST", "http://a.example/", files={"f": named(content, name)}).prepare()
    assert parts(*encode_files(None, {"f": named(content, name)})) == parts(theirs.body, theirs.headers["Content-Type"])


def test_empty_data_of_any_kind_is_none():
    assert parts(*encode_files("", {"f": b""})) == parts(*encode_files({}, {"f": b""}))


def test_a_file_is_read_from_where_it_stands():
    file = io.BytesIO(b"skipped, content")
    file.seek(9)
    _, files = parsed(*encode_files(None, {"f": file}))
    assert files[0][1].read() == b"content"


def test_a_stream_that_can_be_read_only_once_is_read_now():
    ours, theirs = socket.socketpair()
    with ours, theirs, theirs.makefile("rb") as pipe:
        ours.sendall(b"content")
        ours.shutdown(socket.SHUT_WR)
        body, content_type = encode_files(None, {"f": ("name", pipe)})
    assert isinstance(body, bytes)
    assert parsed(body, content_type)[1][0][1].read() == b"content"


def test_each_form_has_a_boundary_of_its_own():
    assert encode_files(None, {"f": b""})[1] != encode_files(None, {"f": b""})[1]


# Read back


_NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="%\\"), min_size=1, max_size=12)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_CONTENTS = st.binary(max_size=60) | st.sampled_from([b"--", b"\r\n--", b"\r\n", b"\r\n--\r\n", b"--x--\r\n"])


@given(
    st.lists(st.tuples(_NAMES, _TEXTS), max_size=4),
    st.lists(st.tuples(_NAMES, _NAMES, _CONTENTS, st.booleans()), min_size=1, max_size=4),
)
def test_a_server_reads_back_what_was_put_in(data, files):
    given_files = [
        (name, (filename, content if in_memory else large_of(content))) for name, filename, content, in_memory in files
    ]
    body, content_type = encode_files(data, given_files)
    assert isinstance(body, bytes) is all(in_memory for *_, in_memory in files)
    got_fields, got_files = parsed(body, content_type)
    assert sorted((unquote(name), value) for name, value in got_fields) == sorted(data)
    assert sorted((unquote(name), unquote(file.filename or ""), file.read()) for name, file in got_files) == sorted(
        (name, filename, content if in_memory else large_of(content).read())
        for name, filename, content, in_memory in files
    )


def large_of(content: bytes) -> io.BytesIO:
    """Make a file large enough to be streamed."""
    return io.BytesIO(content + LARGE)


# Sent from disk


def test_a_large_file_is_not_read_before_it_is_sent(large_file):
    body, content_type = encode_files({"a": "1"}, {"f": large_file, "g": b"small"})
    assert isinstance(body, MultipartStream)
    assert large_file.tell() == 0
    fields, files = parsed(body, content_type)
    assert fields == [("a", "1")]
    assert [(name, file.filename, file.read()) for name, file in files] == [
        ("f", "large.bin", LARGE),
        ("g", "g", b"small"),
    ]


def test_the_streamed_form_is_the_one_urllib3_would_make(large_file):
    body, content_type = encode_files({"a": "1"}, {"f": ("n", large_file, "image/png"), "g": (None, b"small")})
    boundary = content_type.partition("boundary=")[2]
    expected, _ = encode_multipart_formdata([("a", "1"), ("f", ("n", LARGE, "image/png")), ("g", "small")], boundary)
    assert body.read() == expected  # type: ignore[union-attr]


def test_whatever_can_be_measured_and_had_again_is_streamed():
    with tempfile.SpooledTemporaryFile(max_size=10) as spooled:
        for file in (spooled, io.BytesIO()):
            file.write(LARGE)
            file.seek(0)
            assert isinstance(encode_files(None, {"f": file})[0], MultipartStream)


def test_a_small_file_and_a_file_of_text_are_read_now(large_file, tmp_path):
    large_file.seek(1)
    assert isinstance(encode_files(None, {"f": large_file})[0], bytes)
    assert isinstance(encode_files(None, {"f": io.StringIO("x" * STREAMED_SIZE)})[0], bytes)
    (tmp_path / "text").write_text("ä" * STREAMED_SIZE)
    with (tmp_path / "text").open() as text:
        body, content_type = encode_files(None, {"f": text})
    assert parsed(body, content_type)[1][0][1].read() == ("ä" * STREAMED_SIZE).encode()


def test_it_is_a_body_of_known_length_that_can_be_sent_again(large_file):
    body, _ = encode_files(None, {"f": large_file})
    assert isinstance(body, MultipartStream)
    sent = request_body(body)
    assert sent.length == body.len
    first = b"".join(sent.pieces())
    assert len(first) == body.len
    assert sent.may_replay()
    sent.rewind()
    assert b"".join(sent.pieces()) == first
    large_file.close()
    assert body.closed
    assert not sent.may_replay()


def test_the_same_file_may_stand_in_two_places(large_file):
    body, content_type = encode_files(None, {"f": large_file, "g": large_file})
    assert [file.read() for _, file in parsed(body, content_type)[1]] == [LARGE, LARGE]


def test_a_file_that_has_shrunk_ends_the_body_early_and_is_noticed(tmp_path):
    path = tmp_path / "shrinking"
    path.write_bytes(LARGE)
    with path.open("rb") as file:
        sent = request_body(encode_files(None, {"f": file, "g": b"behind"})[0])
        path.write_bytes(LARGE[:1000])
        seen: list[Any] = []
        with pytest.raises(BodyLengthError) as caught:
            seen.extend(sent.pieces())
    assert caught.value.actual < caught.value.expected
    assert b"behind" not in b"".join(seen)


def test_a_file_that_has_grown_is_sent_as_long_as_it_was(tmp_path):
    path = tmp_path / "growing"
    path.write_bytes(LARGE)
    with path.open("rb") as file:
        body, content_type = encode_files(None, {"f": file})
        with path.open("ab") as more:
            more.write(b"more")
        assert parsed(body, content_type)[1][0][1].read() == LARGE


@given(st.data())
def test_it_can_be_read_from_anywhere_in_pieces_of_any_size(data):
    pieces = data.draw(st.lists(st.tuples(st.binary(max_size=9), st.booleans()), max_size=6))
    whole = b"".join(piece for piece, _ in pieces)
    stream = MultipartStream(
        [
            FileSection(io.BytesIO(b"ab" + piece + b"c"), 2, len(piece)) if is_file else piece
            for piece, is_file in pieces
        ]
    )
    model = io.BytesIO(whole)
    assert stream.len == len(whole)
    for _ in range(8):
        if data.draw(st.booleans()):
            whence = data.draw(st.sampled_from([io.SEEK_SET, io.SEEK_CUR, io.SEEK_END]))
            offset = data.draw(st.integers(-9, 30))
            target = offset + {io.SEEK_SET: 0, io.SEEK_CUR: model.tell(), io.SEEK_END: len(whole)}[whence]
            model.seek(max(0, target))
            assert stream.seek(offset, whence) == model.tell() == stream.tell()
        size = data.draw(st.none() | st.integers(-1, 12))
        assert stream.read(size) == model.read(size)


def test_a_session_sends_it_with_its_length_and_again_after_a_redirect(answering, session, large_file):
    moved = Answer(status=307, headers=(("Location", "/to"),))

    def handler(request):
        fields, files = parsed(request.body, request.headers["content-type"])
        whole = fields == [("a", "1")] and files[0][1].read() == LARGE
        return Answer(body=b"%d %a" % (len(request.body), whole))

    site = answering({"/from": moved, "/to": handler})
    response = session.post(f"{site.url}/from", data={"a": 1}, files={"f": large_file})
    assert response.content == response.request.headers["Content-Length"].encode() + b" True"
    assert [answer.status_code for answer in response.history] == [307]


# What is refused


@pytest.mark.parametrize(
    "data",
    ["text", b"bytes", 7, io.BytesIO(b"stream"), iter([("a", "1")])],
    ids=["text", "bytes", "number", "file", "iterator"],
)
def test_other_data_than_fields_is_refused(data):
    with pytest.raises(InvalidBody, match="data must be a mapping or pairs where there are files"):
        encode_files(data, {"f": b""})


@pytest.mark.parametrize("files", [None, {}, [], ""])
def test_no_files_are_refused_as_by_requests(files):
    with pytest.raises(ValueError, match="no files"):
        encode_files({"a": "1"}, files)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ("text", "files must be a mapping or"),
        (7, "files must be a mapping or"),
        ([("f",)], "files must be a mapping or"),
        ({"f": ()}, r"must be \(filename, file"),
        ({"f": ("name",)}, r"must be \(filename, file"),
        ({"f": ("name", b"", "type", {}, 1)}, r"must be \(filename, file"),
        ({"f": object()}, "file 'f' must be bytes, text or have a `read`"),
        ({"f": ("name", 7.5)}, "not float"),
        ({"f": ("name", b"", None, 7)}, "headers of file 'f' must be a mapping"),
        ({"f\ud800": b""}, "lone surrogate"),
        ({"f": "text \ud800"}, "lone surrogate"),
    ],
)
def test_files_in_no_known_form_are_refused(files, message):
    with pytest.raises(InvalidBody, match=message):
        encode_files(None, files)


@pytest.mark.parametrize(
    "file",
    [
        ("name", b"", "text/plain\r\nX-A: 1"),
        ("name", b"", "text/plain\n"),
        ("name", b"", None, {"X-A": "1\r\n\r\nbody"}),
        ("name", b"", None, {"X-A\r\nX-B": "1"}),
        ("name", b"", None, {"X-A": "\0"}),
    ],
)
def test_a_header_that_would_become_two_is_refused(file):
    with pytest.raises(InvalidHeader, match="line break"):
        encode_files(None, {"f": file})


def test_a_name_that_is_no_utf_8_goes_out_as_the_bytes_it_is():
    assert b'filename="a\xff.txt"' in parts(*encode_files(None, {"f": named(b"", b"/x/a\xff.txt")}))
    assert b'filename="a\xff.txt"' in parts(*encode_files(None, {"f": named(b"", "/x/a\udcff.txt")}))
