"""Bodies through the urllib3 drop-in: sent again behind a redirect, decoded to their end, cut into chunks."""

import gzip
import io
import tempfile

import pytest
import urllib3
from adapters.urllib3s import SERVE
from urllib3.exceptions import DecodeError, UnrewindableBodyError

from keeppool.adapters.urllib3 import HTTPConnectionPool, PoolManager, ProxyManager
from keeppool.adapters.urllib3.response import ResponseFile
from keeppool.testing import RawConnection, ScriptedServer

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
TEXT = b"0123456789" * 1000


def redirect(status, location="/there"):
    return b"HTTP/1.1 %d Moved\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % (status, location.encode())


def manager(server):
    return PoolManager(), server.url


def host_pool(server):
    return HTTPConnectionPool("127.0.0.1", server.port), "/"


def forwarding(server):
    return ProxyManager(server.url), "http://origin.example/"


WAYS = {"manager": manager, "host pool": host_pool, "proxy": forwarding}


def in_memory():
    file = io.BytesIO(b"not this DATA")
    file.seek(9)
    return file


def on_disk():
    file = tempfile.TemporaryFile()  # noqa: SIM115  # the test closes it
    file.write(b"DATA")
    file.seek(0)
    return file


def pieces():
    yield b"DA"
    yield b"TA"


class Pipe:
    """A reader that cannot tell where it is."""

    def __init__(self):
        self._left = [b"DATA"]

    def read(self, size=-1):
        return self._left.pop() if self._left else b""


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize(
    "body", [in_memory, on_disk, lambda: b"DATA", lambda: [b"DA", b"TA"]], ids=["memory", "disk", "bytes", "list"]
)
def test_a_body_that_can_be_rewound_is_sent_again_behind_a_redirect(way, status, body):
    script = [RawConnection.read_request, redirect(status), *SERVE]
    with ScriptedServer(script) as server:
        http, url = way(server)
        given = body()
        assert http.request("PUT", url, body=given).data == b"ok"
        assert [request.body for request in server.requests] == [b"DATA", b"DATA"]
        if hasattr(given, "close"):
            given.close()


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("body", [pieces, Pipe], ids=["generator", "pipe"])
def test_a_body_that_cannot_be_rewound_is_an_error_behind_a_redirect(way, body):
    script = [RawConnection.read_request, redirect(308), *SERVE]
    with ScriptedServer(script) as server:
        http, url = way(server)
        with pytest.raises(UnrewindableBodyError):
            http.request("PUT", url, body=body())
        assert [request.body for request in server.requests] == [b"DATA"]
        assert http.stats().busy == 0


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_redirect_that_makes_a_get_of_it_needs_no_body(way):
    script = [RawConnection.read_request, redirect(303), *SERVE]
    with ScriptedServer(script) as server:
        http, url = way(server)
        assert http.request("PUT", url, body=in_memory()).data == b"ok"
        assert [request.body for request in server.requests] == [b"DATA", b""]


def test_a_generator_is_not_sent_by_halves_when_the_status_is_retried():
    busy = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
    with ScriptedServer([RawConnection.read_request, busy, *SERVE]) as server, PoolManager() as http:
        with pytest.raises(UnrewindableBodyError):
            http.request("PUT", server.url, body=pieces(), retries=urllib3.Retry(2, status_forcelist=[503]))
        assert [request.body for request in server.requests] == [b"DATA"]


def test_a_generator_that_nothing_was_taken_of_goes_out_when_the_dial_is_retried(http):
    with ScriptedServer(SERVE) as server:
        dials = []

        class Shaky(http.pool_classes_by_scheme["http"].ConnectionCls):
            def connect(self):
                dials.append(1)
                if len(dials) == 1:
                    raise urllib3.exceptions.NewConnectionError(self, "refused")
                super().connect()

        pool = http.connection_from_url(server.url)
        pool.ConnectionCls = Shaky
        assert pool.request("PUT", "/", body=pieces(), retries=2).data == b"ok"
        assert [request.body for request in server.requests] == [b"DATA"]


# Codings


def coded(body, coding, *, chunked=False):
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
    sent = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body
    return b"%bContent-Encoding: %b\r\n%b\r\n\r\n%b" % (HEAD, coding, framing, sent)


READS = {
    "data": lambda response: response.data,
    "read": lambda response: response.read(decode_content=True),
    "sized": lambda response: b"".join(iter(lambda: response.read(777, decode_content=True), b"")),
    "read1": lambda response: b"".join(iter(lambda: response.read1(777, decode_content=True), b"")),
    "stream": lambda response: b"".join(response.stream(777, decode_content=True)),
    "stream all": lambda response: b"".join(response.stream(-1, decode_content=True)),
    "buffered": lambda response: io.BufferedReader(response).read(),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_coding_that_stops_short_of_its_end_is_an_error(http, read, chunked):
    script = [RawConnection.read_request, coded(gzip.compress(TEXT)[:-9], b"gzip", chunked=chunked)]
    with ScriptedServer(script) as server:
        response = http.request("GET", server.url, preload_content=False)
        with pytest.raises(DecodeError, match="stops short"):
            read(response)
        response.close()
    assert http.stats().busy == 0


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("coding", [b"gzip", b"identity, gzip", b"gzip,", b"x-gzip"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_whole_coding_is_decoded(http, read, coding, chunked):
    script = [RawConnection.read_request, coded(gzip.compress(TEXT), coding, chunked=chunked), *SERVE]
    with ScriptedServer(script) as server:
        assert read(http.request("GET", server.url, preload_content=False)) == TEXT
        assert http.request("GET", server.url).data == b"ok"
    assert http.stats().opened == 1


def test_what_was_decoded_before_the_cut_is_delivered(http):
    with ScriptedServer([RawConnection.read_request, coded(gzip.compress(TEXT)[:-8], b"gzip")]) as server:
        response = http.request("GET", server.url, preload_content=False)
        stream, came = response.stream(4096), b""
        while len(came) < len(TEXT):
            came += next(stream)
        assert came == TEXT
        with pytest.raises(DecodeError):
            next(stream)


def test_a_coding_is_left_alone_where_it_is_not_asked_to_be_undone(http):
    cut = gzip.compress(TEXT)[:-9]
    with ScriptedServer([RawConnection.read_request, coded(cut, b"gzip")]) as server:
        assert http.request("GET", server.url, decode_content=False).data == cut


# Sizes and pieces


@pytest.mark.parametrize("size", [-1, -7, None])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_negative_size_means_everything(http, size, chunked):
    framed = (
        CHUNKED + b"4\r\nabcd\r\n6\r\nefghij\r\n0\r\n\r\n"
        if chunked
        else HEAD + b"Content-Length: 10\r\n\r\nabcdefghij"
    )
    with ScriptedServer([RawConnection.read_request, framed, RawConnection.read_request, framed, *SERVE]) as server:
        assert b"".join(http.request("GET", server.url, preload_content=False).stream(size)) == b"abcdefghij"
        assert http.request("GET", server.url, preload_content=False).read(size) == b"abcdefghij"
        assert http.request("GET", server.url).data == b"ok"


@pytest.mark.parametrize(
    "head",
    [CHUNKED + b"9\r\none\ntwo\nt\r\n", HEAD + b"Content-Length: 13\r\n\r\none\ntwo\nt"],
    ids=["chunked", "length"],
)
def test_a_line_of_a_live_stream_is_not_held_back(http, head):
    with ScriptedServer([RawConnection.read_request, head, RawConnection.read_until_closed]) as server:
        response = http.request("GET", server.url, preload_content=False, timeout=5)
        lines = io.BufferedReader(response)
        assert [lines.readline(), lines.readline()] == [b"one\n", b"two\n"]


#: Chunks of many sizes, some with what takes a closer look.
MIXED = [b"a", b"bc" * 50, b"d" * 70_000, b"e" * 3, b"f" * 100]
EXTENDED = b"".join(
    b"%x%b\r\n%b\r\n" % (len(piece), b";x=y" if number % 2 else b"", piece) for number, piece in enumerate(MIXED)
)


@pytest.mark.parametrize("amt", [None, 1, 7, 100, 65536])
@pytest.mark.parametrize("cut", [1, 3, 107, 100_000])
def test_chunks_are_handed_out_one_by_one_however_they_come(http, amt, cut):
    sent = CHUNKED + EXTENDED + b"0\r\nA: b\r\n\r\n"
    parts = (
        [sent[at : at + cut] for at in range(0, len(sent), cut)]
        if cut > 1
        else [sent[:500], *[sent[at : at + 1] for at in range(500, 600)], sent[600:]]
    )
    with ScriptedServer([RawConnection.read_request, *parts, *SERVE]) as server:
        response = http.request("GET", server.url, preload_content=False)
        pieces = list(response.stream(amt))
        expected = [c[at : at + (amt or len(c))] for c in MIXED for at in range(0, len(c), amt or len(c))]
        assert pieces == expected
        assert http.request("GET", server.url).data == b"ok"
    assert http.stats().opened == 1


def test_small_chunks_are_cut_all_at_once(http, monkeypatch):
    """Each chunk that urllib3 takes off the wire by itself costs two calls of ours, and there are a thousand."""
    looks = []
    readline = ResponseFile.readline
    monkeypatch.setattr(ResponseFile, "readline", lambda file, limit=-1: looks.append(1) or readline(file, limit))
    sent = CHUNKED + (b"64\r\n" + bytes(100) + b"\r\n") * 1000 + b"0\r\n\r\n"
    with ScriptedServer([RawConnection.read_request, sent, *SERVE]) as server:
        response = http.request("GET", server.url, preload_content=False)
        assert sum(map(len, response.stream())) == 100_000
    # A chunk that stands across two reads of the socket, and the end.
    assert len(looks) < 50


def test_a_head_response_that_names_a_coding_has_no_chunks(http):
    with ScriptedServer([RawConnection.read_request, CHUNKED, *SERVE]) as server:
        response = http.request("HEAD", server.url, preload_content=False, timeout=5)
        assert list(response.stream()) == []
        assert http.request("GET", server.url).data == b"ok"
