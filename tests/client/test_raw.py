"""`raw` of a response of requests' kind: a file, used as programs written for requests use it."""

from __future__ import annotations

import csv
import gzip
import io
import shutil
import tarfile
from functools import partial

import pytest

import keeppool.requests
from keeppool import errors
from keeppool.testing import Answer

BODY = b"a,b\n1,2\r\n\nlast"
LINES = [b"a,b\n", b"1,2\r\n", b"\n", b"last"]


def archive() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        entry = tarfile.TarInfo("kept")
        entry.size = len(BODY)
        tar.addfile(entry, io.BytesIO(BODY))
    return file.getvalue()


@pytest.fixture(params=["requests", "keeppool.requests"])
def get(request, answering):
    """Get a path by either, its body left on its way: what holds here holds for requests too."""
    gzipped = gzip.compress(BODY, mtime=0)
    site = answering(
        {
            "/plain": Answer(body=BODY),
            "/coded": Answer(body=gzipped, headers=(("Content-Encoding", "gzip"),)),
            "/large": Answer(body=b"x" * 99 + b"\n" + b"y" * 1_000_000 + b"\nz"),
            "/tar": Answer(body=archive()),
        }
    )
    kind = pytest.importorskip(request.param)
    with kind.Session() as session:
        yield lambda path, **options: session.get(site.url + path, **{"stream": True, **options})


def copied(raw) -> bytes:
    file = io.BytesIO()
    shutil.copyfileobj(raw, file)
    return file.getvalue()


def test_it_is_copied_as_it_was_sent_or_decoded(get):
    assert copied(get("/coded").raw) == gzip.compress(BODY, mtime=0)
    response = get("/coded")
    response.raw.decode_content = True
    assert copied(response.raw) == BODY
    response = get("/coded")
    response.raw.read = partial(response.raw.read, decode_content=True)
    assert copied(response.raw) == BODY
    assert get("/coded").raw.read(decode_content=True) == BODY
    assert get("/coded").raw.read1(decode_content=True) == BODY
    assert b"".join(get("/coded").raw.stream(3, decode_content=True)) == BODY
    assert b"".join(get("/coded").raw.stream(3)) == gzip.compress(BODY, mtime=0)


def test_lines_are_read_one_by_one_or_all(get):
    assert list(get("/plain").raw) == LINES
    assert get("/plain").raw.readlines() == LINES
    assert get("/plain").raw.readlines(5) == LINES[:2]
    raw = get("/plain").raw
    assert (raw.readline(), raw.readline(2), raw.readline(-1), raw.tell()) == (b"a,b\n", b"1,", b"2\r\n", 9)
    assert (next(raw), raw.read(), raw.readline(), list(raw)) == (b"\n", b"last", b"", [])


def test_lines_longer_than_what_comes_at_once_are_whole(get):
    raw = get("/large").raw
    assert raw.readline() == b"x" * 99 + b"\n"
    assert raw.readline(10) == b"y" * 10
    assert raw.readline() == b"y" * 999_990 + b"\n"
    assert raw.readline() == b"z"
    assert raw.isclosed()


def test_lines_mix_with_the_other_ways_to_read(get):
    response = get("/plain")
    assert response.raw.readline() == b"a,b\n"
    assert b"".join(response.iter_content(2)) == b"1,2\r\n\nlast"


def test_csv_and_tar_read_it(get):
    assert list(csv.reader(line.decode() for line in get("/plain").raw)) == [["a", "b"], ["1", "2"], [], ["last"]]
    with tarfile.open(fileobj=get("/tar").raw, mode="r|gz") as tar:
        assert [entry.name for entry in tar] == ["kept"]
    assert io.BufferedReader(get("/plain").raw).readline() == b"a,b\n"


def test_it_is_told_where_it_is_and_whether_it_has_ended(get):
    response = get("/coded")
    raw = response.raw
    assert (raw.tell(), raw.isclosed(), raw.closed, raw.status, raw.decode_content) == (0, False, False, 200, False)
    assert "/coded" in raw.geturl()
    assert (raw.readable(), raw.writable(), raw.seekable()) == (True, False, False)
    assert b"".join(response.iter_content(4)) == BODY
    assert raw.tell() == len(gzip.compress(BODY, mtime=0))
    assert raw.isclosed()
    assert response.raw is raw
    with get("/plain").raw as raw:
        assert raw.read(3) == b"a,b"


def test_nothing_is_left_where_a_body_was_streamed(get):
    response = get("/plain")
    assert b"".join(response.iter_content(4)) == BODY
    assert response.raw.read() == b""


# What is ours alone


@pytest.fixture
def ours(answering):
    site = answering({"/": Answer(body=gzip.compress(BODY), headers=(("Content-Encoding", "gzip"),))})
    with keeppool.requests.Session() as session:
        yield lambda **options: session.get(site.url, **options)


def test_a_change_of_mind_within_a_body_is_an_error(ours):
    raw = ours(stream=True).raw
    assert raw.read(4, decode_content=True) == BODY[:4]
    with pytest.raises(errors.StreamConsumedError, match="too late"):
        raw.read(decode_content=False)


def test_what_is_set_in_its_place_is_kept_and_it_has_the_pools_names(ours):
    response = ours()
    assert response.raw.data == BODY
    assert response.raw.head.status == 200
    file = io.BytesIO(b"other")
    response.raw = file
    assert response.raw is file
    response.raw = None
    assert response.raw is None
