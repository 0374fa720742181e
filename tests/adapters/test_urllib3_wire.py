"""Requests go out as urllib3 writes them, byte for byte; answers come back as urllib3 reads them, or safer."""

import io
from http.client import HTTPMessage

import pytest
import urllib3
from adapters.urllib3s import OK, SERVE
from urllib3.exceptions import ProtocolError, ReadTimeoutError
from urllib3.util import SKIP_HEADER

from keeppool.adapters.urllib3 import HTTPConnectionPool, PoolManager, ProxyManager
from keeppool.adapters.urllib3.response import ResponseFile
from keeppool.events import Why
from keeppool.testing import RawConnection, ScriptedServer

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


class Listening:
    """A server that writes down each request's bytes as they came."""

    def __init__(self):
        self.said = []

    def __call__(self, connection):
        while True:
            connection.read_request()
            self.said.append(connection.received)
            connection.received = b""
            connection.send(OK)


REQUESTS = {
    "plain": {},
    "path and query": {"url": "/a/b?c=d"},
    "own headers": {"headers": {"X-One": "1", "user-agent": "me", "Accept-Encoding": "gzip"}},
    "header dictionary": {"headers": urllib3.HTTPHeaderDict([("A", "1"), ("a", "2"), ("B", "3")])},
    "own host": {"headers": {"Host": "other.example"}},
    "skipped fields": {"headers": {"User-Agent": SKIP_HEADER, "accept-encoding": SKIP_HEADER}},
    "latin-1": {"headers": {"X": "caf\u00e9 \t "}},
    "bytes": {"headers": {b"X": b"y", "Z": b"z"}},
    "number": {"headers": {"X": 3}},
    "odd method": {"method": "lower"},
    "post": {"method": "POST", "body": b"abc"},
    "post without body": {"method": "POST"},
    "put text": {"method": "PUT", "body": "\u00fcber"},
    "empty body": {"method": "POST", "body": b""},
    "large": {"method": "POST", "body": bytes(70_000)},
    "file": {"method": "POST", "body": lambda: io.BytesIO(b"abcdef")},
    "iterator": {"method": "POST", "body": lambda: iter([b"abc", b"def"])},
    "buffer": {"method": "POST", "body": bytearray(b"abc")},
    "own length": {"method": "POST", "body": b"abc", "headers": {"Content-Length": "3"}},
    "own length for a file": {"method": "POST", "body": lambda: io.BytesIO(b"abc"), "headers": {"Content-Length": "3"}},
    "chunked": {"method": "POST", "body": b"abc", "chunked": True},
    "own chunked": {"method": "POST", "body": b"abc", "headers": {"Transfer-Encoding": "chunked"}},
    "delete with body": {"method": "DELETE", "body": b"x"},
    "options": {"method": "OPTIONS", "url": "*"},
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_a_request_is_the_same_bytes_as_urllib3s(request_):
    listening = Listening()
    with ScriptedServer(listening) as server:
        for kind in (urllib3.HTTPConnectionPool, HTTPConnectionPool):
            with kind("127.0.0.1", server.port) as pool:
                for _ in range(2):
                    asked = {"method": "GET", "url": "/"} | request_
                    if callable(body := asked.get("body")):
                        asked["body"] = body()
                    assert pool.urlopen(**asked, assert_same_host=False).data == b"ok"
    theirs, _, ours, again = listening.said
    assert theirs == ours == again


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ({"headers": {"X": "a\r\nB: c"}}, ValueError),
        ({"headers": {"X": "\u20ac"}}, UnicodeEncodeError),
        ({"headers": {"X Y": "a"}}, None),
        ({"headers": {"X": SKIP_HEADER}}, ValueError),
        ({"method": "GE T"}, ValueError),
        ({"url": "/a b"}, None),
        ({"body": object()}, TypeError),
    ],
    ids=["value", "beyond latin-1", "name", "skipped", "method", "target", "body"],
)
def test_what_urllib3_refuses_is_refused_by_it_here(wrong, kind):
    asked = {"method": "GET", "url": "/"} | wrong
    outcomes = []
    with ScriptedServer(SERVE) as server:
        for pool_class in (urllib3.HTTPConnectionPool, HTTPConnectionPool):
            with pool_class("127.0.0.1", server.port) as pool:
                try:
                    outcomes.append(pool.urlopen(**asked).status)
                except Exception as error:
                    outcomes.append((type(error), str(error)))
                assert pool.urlopen("GET", "/").status == 200
    assert outcomes[0] == outcomes[1]
    if kind is not None:
        assert outcomes[1][0] is kind


def test_a_small_body_leaves_together_with_its_head(http):
    def one_read(connection):
        data = connection.read()
        assert data.endswith(b"\r\n\r\nabc")
        connection.send(OK)

    with ScriptedServer(one_read) as server:
        assert http.request("POST", server.url, body=b"abc").data == b"ok"


def test_a_length_that_is_not_the_bodys_ends_its_connection(http):
    """urllib3 sends what it is told; what a server makes of the next request nobody could say."""

    def waiting_for_more(connection):
        connection.read_head()
        connection.send(OK)
        connection.read_until_closed()

    with ScriptedServer(waiting_for_more, SERVE) as server:
        http.request("POST", server.url, body=b"abc", headers={"Content-Length": "9"})
        assert http.request("GET", server.url).data == b"ok"
        assert len(server.connections) == 2
    assert http.stats().closed_by[Why.REQUEST_UNSENT] == 1


# Answers

ANSWERS = {
    "length": HEAD + b"Content-Length: 5\r\n\r\nhello",
    "empty": HEAD + b"Content-Length: 0\r\n\r\n",
    "chunked": CHUNKED + b"3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nTrailer: t\r\n\r\n",
    "until close": HEAD + b"\r\nhello",
    "1.0": b"HTTP/1.0 200 OK\r\n\r\nhello",
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    "no reason": b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
    "cookies": HEAD + b"Set-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Length: 5\r\n\r\nhello",
    "folded": HEAD + b"X: a\r\n b\r\nContent-Length: 5\r\n\r\nhello",
    "bare line ends": b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    "same length twice": HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: 5\r\n\r\nhello",
    # What our parser refuses, and http.client lets pass:
    "no colon": HEAD + b"What is this\r\nContent-Length: 5\r\n\r\nhello",
    "space before colon": HEAD + b"X : y\r\nContent-Length: 5\r\n\r\nhello",
    # And what it refuses as well, in its own words:
    "no http": b"SSH-2.0-OpenSSH_9.9\r\n",
    "too many fields": HEAD + b"X: y\r\n" * 2049 + b"Content-Length: 5\r\n\r\nhello",
    "long line": HEAD + b"X: " + b"y" * 270_000 + b"\r\nContent-Length: 5\r\n\r\nhello",
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "broken length": HEAD + b"Content-Length: 9\r\n\r\nhello",
    "broken chunk": CHUNKED + b"5\r\nhel",
    "no chunk": CHUNKED + b"zz\r\nhello\r\n",
    "no last chunk": CHUNKED + b"5\r\nhello\r\n",
}


def told(response):
    """Tell everything of a response that a program looks at."""
    original = response._original_response
    return {
        "status": (response.status, response.reason, response.version, response.version_string),
        "fields": list(response.headers.items()),
        "cookies": original.msg.get_all("Set-Cookie"),
        "chunked": response.chunked,
        "data": response.data,
        "left": response.length_remaining,
        "tell": response.tell(),
        "after": (response.read(), response.closed, response.isclosed()),
    }


def read_by(way, pool):
    """Ask, and read in one of the ways there are."""
    if way == "preload":
        return told(pool.urlopen("GET", "/", retries=False))
    response = pool.urlopen("GET", "/", retries=False, preload_content=False)
    if way == "stream":
        return response.status, list(response.stream(2))
    if way == "pieces":
        return response.status, [response.read(2) for _ in range(4)]
    if way == "read1":
        return response.status, b"".join(iter(lambda: response.read1(3), b""))
    return response.status, response.read()


@pytest.mark.parametrize("way", ["preload", "stream", "pieces", "read1", "read"])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_what_urllib3_makes_of_it(answer, way):
    outcomes = []
    for kind in (urllib3.HTTPConnectionPool, HTTPConnectionPool):
        with ScriptedServer([RawConnection.read_request, answer]) as server, kind("127.0.0.1", server.port) as pool:
            try:
                outcomes.append(read_by(way, pool))
            except urllib3.exceptions.HTTPError as error:
                outcomes.append(type(error))
    assert outcomes[1] == outcomes[0]


@pytest.mark.parametrize("answer", [ANSWERS["no colon"], ANSWERS["space before colon"]])
def test_a_connection_whose_answer_only_http_client_can_read_is_not_used_again(http, answer):
    with ScriptedServer([RawConnection.read_request, answer]) as server:
        assert http.request("GET", server.url).status == 200
    assert http.stats().closed_by[Why.AMBIGUOUS_FRAMING] == 1


def test_an_answer_of_more_fields_than_http_client_takes_is_read(http):
    many = HEAD + b"".join(b"X-%d: y\r\n" % i for i in range(150)) + b"Content-Length: 5\r\n\r\nhello"
    with ScriptedServer([RawConnection.read_request, many]) as server:
        assert len(http.request("GET", server.url).headers) == 151


@pytest.mark.parametrize("head", [HEAD, HEAD + b"X: y\r\n", HEAD + b"Conte"])
def test_a_head_that_is_cut_short_is_not_taken_for_an_answer_without_a_body(http, head):
    cut = pytest.raises(ProtocolError, match="IncompleteRead")
    with ScriptedServer([RawConnection.read_request, head]) as server, cut:
        http.request("GET", server.url, retries=False)


def test_chunks_come_one_by_one_as_they_are_sent(http):
    """What `kubernetes` watches with."""
    with ScriptedServer([RawConnection.read_request, CHUNKED + b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"]) as server:
        response = http.request("GET", server.url, preload_content=False)
        assert response.supports_chunked_reads()
        assert list(response.stream(None)) == [b"one", b"two"]
    assert http.stats().closed_by[Why.BODY_UNREAD] == 0


@pytest.mark.parametrize(
    "body",
    [
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nno trailer\r\n\r\n",
    ],
    ids=["0x", "plus", "no line end", "trailer"],
)
def test_chunks_that_two_parsers_read_differently_are_refused(http, body):
    with ScriptedServer([RawConnection.read_request, CHUNKED + body, RawConnection.read_until_closed]) as server:
        with pytest.raises(ProtocolError):
            http.request("GET", server.url, retries=False)
        response = http.request("GET", server.url, preload_content=False)
        with pytest.raises(ProtocolError):
            list(response.stream())
    assert http.stats().open == 0


def test_a_chunk_size_that_is_no_number_has_urllib3s_own_error(http):
    with ScriptedServer([RawConnection.read_request, CHUNKED + b"zz\r\n", RawConnection.read_until_closed]) as server:
        response = http.request("GET", server.url, preload_content=False)
        with pytest.raises(ProtocolError, match="InvalidChunkLength"):
            list(response.stream())


def test_a_body_that_is_cut_short_has_urllib3s_own_error(http):
    cut = [RawConnection.read_request, HEAD + b"Content-Length: 9\r\n\r\nhello"]
    with ScriptedServer(cut) as server:
        response = http.request("GET", server.url, preload_content=False)
        assert response.read(5) == b"hello"
        with pytest.raises(ProtocolError, match="IncompleteRead"):
            response.read(5)
        lax = http.request("GET", server.url, preload_content=False, enforce_content_length=False)
        assert b"".join(lax.stream(4)) == b"hello"
    assert http.stats().open == 0


def test_a_body_that_is_too_slow_has_urllib3s_own_error(http):
    slow = [RawConnection.read_request, HEAD + b"Content-Length: 9\r\n\r\nhello", RawConnection.read_until_closed]
    with ScriptedServer(slow) as server:
        response = http.request("GET", server.url, preload_content=False, timeout=0.02)
        with pytest.raises(ReadTimeoutError):
            response.read()
    assert http.stats().open == 0


def test_an_answer_without_body_to_head_keeps_its_connection(http, site):
    for _ in range(2):
        response = http.request("HEAD", f"{site.url}/bytes/10", preload_content=False)
        assert (response.read(), response.headers["content-length"]) == (b"", "10")
    assert site.opened == 1


def test_the_original_response_is_what_cookie_jars_and_wrappers_ask_of_it(http):
    with ScriptedServer([RawConnection.read_request, ANSWERS["cookies"]]) as server:
        original = http.request("GET", server.url, preload_content=False)._original_response
        assert isinstance(original, ResponseFile)
        assert isinstance(original.msg, HTTPMessage)
        assert original.msg.get_all("set-cookie") == ["a=1", "b=2"]
        assert original.getheader("Content-Length") == "5"
        assert original.getheader("X", "none") == "none"
        assert dict(original.getheaders())["Content-Length"] == "5"
        assert (original.length, original.chunked, original.will_close, original.readable()) == (5, False, False, True)
        assert original.info() is original.msg is original.headers
        buffer = bytearray(3)
        assert (original.readinto(buffer), bytes(buffer)) == (3, b"hel")
        assert original.read() == b"lo"
        assert (original.closed, original.fp) == (True, None)


def test_an_origin_does_not_read_what_is_meant_for_a_proxy():
    said = {"Proxy-authorization": "Basic hush", "X-Kept": "1"}
    with ScriptedServer(SERVE, SERVE, SERVE) as server, PoolManager() as pool, ProxyManager(server.url) as through:
        pool.request("GET", server.url, headers=said)
        pool.request("POST", server.url, headers=urllib3.HTTPHeaderDict(said), body=iter([b"in chunks"]))
        pool.connection_from_url(server.url).request("GET", "/", headers=said)
        through.request("GET", "http://a.example/", headers=said)
        told = [request.headers.get("proxy-authorization") for request in server.requests]
        assert told == [None, None, None, "Basic hush"]
        assert {request.headers["x-kept"] for request in server.requests} == {"1"}
