"""`Response.raw` under the mount is read in all the ways urllib3's is."""

import gzip
import io
import json
import shutil
import threading

import pytest
import requests
import urllib3

from keeppool.adapters.requests import KeepPoolAdapter
from keeppool.testing import Answer, Behaviour, RawConnection, ScriptedServer, Site

TEXT = b"one line\nanother line\n" * 3000


@pytest.fixture
def session():
    with requests.Session() as session:
        session.mount("http://", KeepPoolAdapter())
        yield session


@pytest.fixture(params=["length", "chunked", "close"])
def site(request):
    with Site(Behaviour(body=TEXT, framing=request.param)) as running:
        yield running


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def stream(request):
    return request.param


def test_raw_is_a_urllib3_response(session, site, stream):
    raw = session.get(site.url, stream=stream).raw
    assert isinstance(raw, urllib3.HTTPResponse)
    assert (raw.status, raw.reason, raw.version, raw.version_string) == (200, "OK", 11, "HTTP/1.1")
    assert raw.readable()
    raw.close()


def test_it_can_be_copied_as_a_file(session, site):
    target = io.BytesIO()
    raw = session.get(site.url, stream=True).raw
    shutil.copyfileobj(raw, target)
    assert target.getvalue() == TEXT
    assert raw.closed
    assert raw.tell() == len(TEXT)


def test_it_can_be_read_in_pieces_and_to_the_end(session, site):
    raw = session.get(site.url, stream=True).raw
    assert raw.read(10) == TEXT[:10]
    assert raw.read(0) == b""
    assert raw.read() == TEXT[10:]
    assert raw.read() == b""
    assert raw.read(5) == b""
    assert raw.isclosed()


def test_it_can_be_wrapped_as_text_and_read_by_lines(session, site):
    raw = session.get(site.url, stream=True).raw
    raw.auto_close = False
    assert sum(1 for _ in io.TextIOWrapper(raw)) == 6000


@pytest.mark.parametrize("size", [1000, None, 10**6])
def test_iter_content_gives_the_whole_body(session, site, stream, size):
    answer = session.get(site.url, stream=stream)
    pieces = list(answer.iter_content(size))
    assert b"".join(pieces) == TEXT
    assert size is None or max(map(len, pieces)) <= size


def test_iter_lines_and_a_second_look_work_as_in_requests(session, site, stream):
    answer = session.get(site.url, stream=stream)
    assert sum(1 for _ in answer.iter_lines()) == 6000
    if stream:
        with pytest.raises(requests.exceptions.StreamConsumedError):
            answer.iter_content(1)
    else:
        assert answer.text == TEXT.decode()


def test_raw_bytes_are_as_sent_and_content_is_decoded(session, stream):
    with Site(Behaviour(body=TEXT, coding="gzip")) as site:
        assert session.get(site.url, stream=stream).content == TEXT
        assert b"".join(session.get(site.url, stream=stream).iter_content(700)) == TEXT
        raw = session.get(site.url, stream=True).raw
        assert gzip.GzipFile(fileobj=raw).read() == TEXT
        assert gzip.decompress(session.get(site.url, stream=True).raw.read()) == TEXT
        assert session.get(site.url, stream=True).raw.read(decode_content=True) == TEXT


def test_json_can_be_loaded_from_it(session):
    with Site(Behaviour(body=b'{"a": 1}')) as site:
        assert json.load(session.get(site.url, stream=True).raw) == {"a": 1}


def test_data_is_kept(session, site):
    raw = session.get(site.url, stream=True).raw
    assert raw.data == TEXT
    assert raw.data == TEXT


def test_a_chunked_body_is_given_as_it_arrives(session):
    """Nothing of the second chunk is sent before the first one was seen."""

    def two_chunks(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        seen.wait(5)
        connection.send(b"6\r\nsecond\r\n0\r\n\r\n")

    seen = threading.Event()
    with ScriptedServer(two_chunks) as server:
        pieces = session.get(server.url, stream=True, timeout=5).iter_content(512)
        assert next(pieces) == b"first"
        seen.set()
        assert list(pieces) == [b"second"]


def test_read_chunked_is_for_chunked_bodies(session, site):
    raw = session.get(site.url, stream=True).raw
    if site.behaviour.framing == "chunked":
        assert b"".join(raw.read_chunked(100)) == TEXT
    else:
        with pytest.raises(urllib3.exceptions.ResponseNotChunked):
            raw.read_chunked()
        raw.close()


@pytest.mark.parametrize("giving_back", ["close", "release_conn", "drain_conn"])
def test_giving_an_unread_body_back_frees_the_connection(session, giving_back):
    with Site(Behaviour(body=5_000_000)) as site:
        answer = session.get(site.url, stream=True)
        getattr(answer.raw, giving_back)()
        pool = session.get_adapter(site.url).poolmanager
        assert pool.stats().busy == 0
        assert answer.raw.read() == b""
        assert session.get(f"{site.url}/status/204").status_code == 204


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_an_answer_without_a_body_is_closed_at_once(session, method):
    path = "/bytes/10" if method == "HEAD" else "/status/204"
    with Site() as site:
        answer = session.request(method, site.url + path, stream=True)
        assert answer.raw.isclosed()
        assert answer.content == b""
        assert session.get_adapter(site.url).poolmanager.stats().idle == 1


def test_the_original_response_has_all_fields_and_is_true_only_for_cookies(session):
    def handler(request):
        cookies = (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")) if request.path == "/cookies" else ()
        return Answer(headers=(("X-Field", "here"), *cookies))

    with Site(handler=handler) as site:
        plain = session.get(site.url).raw._original_response
        assert not plain
        assert plain.msg.get_all("x-field") == ["here"]
        assert plain.isclosed()
        baked = session.get(f"{site.url}/cookies").raw._original_response
        assert baked
        assert baked.msg.get_all("Set-Cookie") == ["a=1", "b=2"]
        assert (baked.status, baked.reason, baked.version) == (200, "OK", 11)


def test_a_broken_body_is_urllib3s_error_for_who_reads_raw(session):
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
    with ScriptedServer([RawConnection.read_request, half]) as server:
        raw = session.get(server.url, stream=True).raw
        with pytest.raises(urllib3.exceptions.ProtocolError, match="broken"):
            raw.read()
        assert raw.read() == b""


def test_a_replaced_fp_is_what_is_read(session, stream):
    with Site() as site:
        answer = session.get(site.url, stream=stream)
        answer.raw.close()
        answer.raw._fp = io.BytesIO(b"replayed")
        answer.raw._fp_bytes_read, answer.raw.length_remaining = 0, 8
        answer._content, answer._content_consumed = False, False
        assert answer.content == b"replayed"


# Sizes, lines, and codings that break off


@pytest.mark.parametrize("size", [-1, -7])
def test_a_negative_size_means_everything(session, site, size):
    assert b"".join(session.get(site.url, stream=True).raw.stream(size)) == TEXT
    assert session.get(site.url, stream=True).raw.read(size) == TEXT


@pytest.mark.parametrize(
    "framed",
    [b"Transfer-Encoding: chunked\r\n\r\n9\r\none\ntwo\nt\r\n", b"Content-Length: 13\r\n\r\none\ntwo\nt"],
    ids=["chunked", "length"],
)
def test_a_line_of_a_live_stream_is_not_held_back(session, framed):
    with ScriptedServer(
        [RawConnection.read_request, b"HTTP/1.1 200 OK\r\n" + framed, RawConnection.read_until_closed]
    ) as server:
        raw = session.get(server.url, stream=True, timeout=5).raw
        lines = io.BufferedReader(raw)
        assert [lines.readline(), lines.readline()] == [b"one\n", b"two\n"]


CUT = gzip.compress(TEXT)[:-9]
WHOLE = gzip.compress(TEXT)


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_coding_that_stops_short_of_its_end_is_an_error(session, stream, chunked):
    with Site(
        handler=lambda request: Answer(
            body=CUT, headers=[("Content-Encoding", "gzip")], framing="chunked" if chunked else "length"
        )
    ) as site:
        if not stream:
            with pytest.raises(requests.exceptions.ContentDecodingError, match="stops short"):
                session.get(site.url)
            return
        with pytest.raises(requests.exceptions.ContentDecodingError, match="stops short"):
            list(session.get(site.url, stream=True).iter_content(777))
        with pytest.raises(urllib3.exceptions.DecodeError):
            session.get(site.url, stream=True).raw.read(decode_content=True)


@pytest.mark.parametrize("coding", ["identity, gzip", "gzip,", "x-gzip"])
def test_a_list_of_codings_is_undone(session, stream, coding):
    with Site(handler=lambda request: Answer(body=WHOLE, headers=[("Content-Encoding", coding)])) as site:
        assert session.get(site.url, stream=stream).content == TEXT
