"""Heads and framing as servers send them, through `Session` and `AsyncSession`: what is taken, and what is lost."""

from __future__ import annotations

import threading
import time

import pytest
from urllib3.util import Retry

from keeppool import HostConfig, Limits, Timeout
from keeppool.errors import (
    ContentDecodingError,
    HeadTooLarge,
    IncompleteBody,
    InvalidChunk,
    InvalidURL,
    ReadTimeout,
)
from keeppool.testing import RawConnection, ScriptedServer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def serving(*answers: bytes):
    """A server that answers one request after the other with these bytes, on one connection or several."""
    left = list(answers)

    def serve(connection: RawConnection) -> None:
        while left:
            connection.read_request()
            connection.send(left.pop(0))
        connection.read_until_closed()

    return ScriptedServer(serve)


def closing(*pieces: bytes):
    """A server that answers on each connection with these pieces, and closes."""
    return ScriptedServer([RawConnection.read_request, *pieces])


# F1: multipart/byteranges without a length

RANGES = b"HTTP/1.1 206 Partial Content\r\nContent-Type: multipart/byteranges; boundary=b\r\n"


@pytest.mark.parametrize("head", [RANGES + b"Connection: close\r\n\r\n", RANGES.replace(b"1.1", b"1.0") + b"\r\n"])
@pytest.mark.parametrize("body", [b"--b\r\n\r\nx\r\n--b--\r\nepilogue", b"some body", b"--b--", b""])
def test_where_the_close_ends_a_byteranges_body_all_of_it_is_the_body(on, head, body):
    with closing(head, body) as server:
        assert on.wait(on.session().get(server.url)).content == body


def test_what_comes_with_the_closing_delimiter_is_not_lost(on):
    with serving(RANGES + b"\r\n--b\r\n\r\nx\r\n--b--\r\nepilogue") as server:
        session = on.session()
        assert on.wait(session.get(server.url)).content == b"--b\r\n\r\nx\r\n--b--\r\nepilogue"
        assert session.stats().open == 0


def test_a_byteranges_body_that_the_close_does_not_end_has_to_have_its_delimiter(on):
    with closing(RANGES + b"\r\n", b"--b\r\n\r\nx") as server, pytest.raises(IncompleteBody):
        on.wait(on.session().get(server.url))


# F3: interim responses

PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"


@pytest.mark.parametrize("interim", [PROCESSING * 21, b"HTTP/1.1 104 Upload Resumption Supported\r\n\r\n" * 99])
def test_many_interim_responses_are_no_error(on, interim):
    with serving(interim + OK) as server:
        assert on.wait(on.session().get(server.url)).content == b"ok"


def test_interim_responses_without_end_are_bounded_by_their_bytes(on):
    def pour(connection: RawConnection) -> None:
        connection.read_request()
        while True:
            connection.send(PROCESSING * 1000)

    with ScriptedServer(pour) as server, pytest.raises(HeadTooLarge, match="interim responses") as caught:
        on.wait(on.session().get(server.url))
    assert caught.value.limit == 262144


def test_interim_responses_without_end_are_bounded_in_time(on):
    """Each comes well within the read timeout, and none of them is the last."""

    def drip(connection: RawConnection) -> None:
        connection.read_request()
        while True:
            connection.send(PROCESSING)
            time.sleep(0.005)

    with ScriptedServer(drip) as server, pytest.raises(ReadTimeout, match="did not finish"):
        on.wait(on.session(timeout=Timeout(read=0.05)).get(server.url))


# F4: control characters


def test_a_control_character_in_a_value_does_not_cost_the_page(on):
    head = b"HTTP/1.1 200 O\x02K\r\nSet-Cookie: a=\x01b\r\nSet-Cookie: c=d\r\nX: \x7f\r\nContent-Length: 2\r\n\r\nok"
    with serving(head, OK) as server:
        session = on.session()
        answer = on.wait(session.get(server.url))
        assert (answer.content, answer.reason, answer.headers["x"]) == (b"ok", "O\x02K", "\x7f")
        assert on.wait(session.get(server.url)).content == b"ok"
        assert server.requests[1].headers["cookie"] == "c=d"


# F5: large heads

MANY = b"HTTP/1.1 200 OK\r\n" + b"Set-Cookie: a=1\r\n" * 250 + b"Content-Length: 2\r\n\r\nok"
LARGE = b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize("answer", [MANY, LARGE])
def test_heads_that_browsers_take_are_taken(on, answer):
    with serving(answer) as server:
        assert on.wait(on.session().get(server.url)).content == b"ok"


@pytest.mark.parametrize(
    ("answer", "limits", "limit"),
    [(MANY, {"head_fields": 200}, 200), (LARGE, {"head_bytes": 65536}, 65536)],
)
@pytest.mark.parametrize("by", ["pool", "host"])
def test_both_limits_of_a_head_can_be_set(on, answer, limits, limit, by):
    with serving(answer) as server:
        said = {"limits": Limits(**limits)} if by == "pool" else {"hosts": {"127.0.0.1": HostConfig(**limits)}}
        with pytest.raises(HeadTooLarge) as caught:
            on.wait(on.session(**said).get(server.url))
    assert caught.value.limit == limit


def test_a_host_may_send_more_than_the_others(on):
    answer = b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000 + b"\r\nContent-Length: 2\r\n\r\nok"
    with serving(answer) as server:
        hosts = {"127.0.0.1": HostConfig(head_bytes=None)}
        assert len(on.wait(on.session(hosts=hosts).get(server.url)).headers["x"]) == 300_000


# F6: fields that came twice


def test_a_content_type_that_came_twice_counts_once(on):
    twice = b"Content-Type: text/plain; charset=latin1\r\n" * 2
    with serving(b"HTTP/1.1 200 OK\r\n" + twice + b"Content-Length: 1\r\n\r\n\xe9") as server:
        answer = on.wait(on.session().get(server.url))
        assert (answer.encoding, answer.text) == ("latin1", "\xe9")
        assert answer.headers["content-type"] == "text/plain; charset=latin1"
        assert answer.headers.getlist("content-type") == ["text/plain; charset=latin1"] * 2


def test_a_list_that_came_twice_is_joined(on):
    with serving(b"HTTP/1.1 200 OK\r\nVary: a\r\nVary: b\r\nContent-Length: 2\r\n\r\nok") as server:
        assert on.wait(on.session().get(server.url)).headers["vary"] == "a, b"


def test_a_location_that_came_twice_is_followed(on):
    moved = b"HTTP/1.1 302 Found\r\nLocation: /one\r\nLocation: /one\r\nContent-Length: 0\r\n\r\n"
    with serving(moved, OK) as server:
        assert on.wait(on.session().get(server.url)).url == f"{server.url}/one"


def test_two_locations_that_differ_are_an_error(on):
    moved = b"HTTP/1.1 302 Found\r\nLocation: /one\r\nLocation: /two\r\nContent-Length: 0\r\n\r\n"
    with serving(moved, moved) as server:
        with pytest.raises(InvalidURL, match="2 different places"):
            on.wait(on.session().get(server.url))
        answer = on.wait(on.session().get(server.url, allow_redirects=False))
        assert answer.is_redirect


def test_a_retry_after_that_came_twice_is_heeded(on):
    busy = b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"
    with serving(busy, OK) as server:
        retry = Retry(1, backoff_factor=0)
        assert on.wait(on.session(retries=retry).get(server.url)).content == b"ok"


# F9: a fault in the framing

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
FAULTS = {"bad size": b"zz\r\n", "bad trailer": b"0\r\nA : b\r\n\r\n", "bad end": b"1\r\nxyz"}


@pytest.mark.parametrize("cut", [None, "head", "chunk", "fault"])
@pytest.mark.parametrize("fault", FAULTS)
def test_what_came_before_a_bad_chunk_is_given_and_then_the_error(on, fault, cut):
    """However TCP has cut it, and while the server keeps the connection open."""
    parts = [CHUNKED, b"5\r\nhello\r\n", FAULTS[fault][:1], FAULTS[fault][1:]]
    has_head = threading.Event()
    at = {None: 4, "head": 1, "chunk": 2, "fault": 3}[cut]

    def serve(connection: RawConnection) -> None:
        connection.read_request()
        connection.send(b"".join(parts[:at]))
        connection.wait(has_head)
        connection.send(b"".join(parts[at:]))
        connection.read_until_closed()

    good = b"hellox" if fault == "bad end" else b"hello"
    with ScriptedServer(serve) as server:
        session = on.session()
        answer = on.wait(session.get(server.url, stream=True))
        has_head.set()
        assert answer.status_code == 200
        pieces: list[bytes] = []

        def read_all() -> None:
            stream = answer.iter_content(None)
            while True:
                pieces.extend(on.take(stream, 1))

        with pytest.raises(InvalidChunk):
            read_all()
        assert b"".join(pieces) == good


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_chunk_is_an_error_where_the_whole_body_is_wanted(on, fault):
    with serving(CHUNKED + b"5\r\nhello\r\n" + FAULTS[fault]) as server, pytest.raises(InvalidChunk):
        on.wait(on.session().get(server.url))


def test_too_many_codings_are_an_error_of_the_body(on):
    coded = b"HTTP/1.1 200 OK\r\nContent-Encoding: " + b"gzip," * 6 + b"\r\nContent-Length: 100\r\n\r\n"
    with serving(coded) as server:
        session = on.session()
        answer = on.wait(session.get(server.url, stream=True))
        with pytest.raises(ContentDecodingError):
            on.wait(answer.read())
        assert session.stats().busy == 0


# K6: no expectation without content


@pytest.mark.parametrize("data", [b"", None])
def test_an_expectation_without_content_is_not_sent(on, data):
    with serving(*[OK] * 5) as server:
        session = on.session()
        for _ in range(5):
            on.wait(session.put(server.url, data=data, headers={"Expect": "100-continue"}))
        assert session.stats().opened == 1
        assert not any("expect" in request.headers for request in server.requests)


@pytest.mark.parametrize("repeats", [True, False], ids=["bytes", "generator"])
def test_a_refused_expectation_is_answered_by_one_try_without_it(on, repeats):
    """The server has not got the body, so this is safe for a POST, and for a body that can be had once."""
    refusal = b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"
    unwanted = []

    def refuse(connection: RawConnection) -> None:
        connection.read_head()
        connection.send(refusal)
        unwanted.append(connection.read_until_closed())

    with ScriptedServer(refuse, [RawConnection.read_request, OK, RawConnection.read_until_closed]) as server:
        session = on.session()
        body = b"please" if repeats else iter([b"please"])
        assert on.wait(session.post(server.url, data=body, headers={"Expect": "100-continue"})).text == "ok"
        (second,) = server.requests
        assert (second.body, "expect" in second.headers) == (b"please", False)
        assert session.stats().learned == {}
    assert unwanted == [b""]


def test_a_second_refusal_is_the_response(on):
    refusal = b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"

    def refuse(connection: RawConnection) -> None:
        connection.read_head()
        connection.send(refusal)
        connection.read_until_closed()

    with ScriptedServer(refuse, refuse) as server:
        session = on.session()
        answer = on.wait(session.post(server.url, data=b"please", headers={"Expect": "100-continue"}))
        assert (answer.status_code, len(server.connections)) == (417, 2)


def test_a_refusal_behind_the_first_piece_of_a_body_that_can_be_had_once_is_the_response(on):
    """The piece was taken from the caller and not sent: without it the body is another."""
    refusal = b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"
    pulled, refused = threading.Event(), threading.Event()

    def body():
        pulled.set()
        refused.wait(10)
        yield b"please"

    def refuse(connection: RawConnection) -> None:
        connection.read_head()
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        pulled.wait(10)
        connection.send(refusal)
        refused.set()
        connection.read_until_closed()

    with ScriptedServer(refuse, refuse) as server:
        answer = on.wait(on.session().post(server.url, data=body(), headers={"Expect": "100-continue"}))
        assert (answer.status_code, len(server.connections)) == (417, 1)


def test_a_request_that_was_resent_is_not_sent_a_third_time_without_its_expectation(on):
    """One resend, for whatever reason: the connection was stale, and then the expectation was refused."""
    refusal = b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"

    def go_stale(connection: RawConnection) -> None:
        connection.read_request()
        connection.send(OK)
        connection.read_head()
        connection.close()

    def refuse(connection: RawConnection) -> None:
        connection.read_head()
        connection.send(refusal)
        connection.read_until_closed()

    with ScriptedServer(go_stale, refuse, refuse) as server:
        session = on.session()
        on.wait(session.get(server.url))
        answer = on.wait(session.put(server.url, data=b"please", headers={"Expect": "100-continue"}))
        assert (answer.status_code, len(server.connections)) == (417, 2)


# W3, W6: text and pieces


def test_a_piece_of_any_size_costs_no_read_of_its_own(on):
    """Row W3: what is handed out byte by byte is read in large pieces: so many waits, whatever the size."""
    body = bytes(300_000)
    with serving(*[b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + body] * 2) as server:
        session = on.session()
        answer = on.wait(session.get(server.url, stream=True))
        read, reads = type(answer._raw)._fed, []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(answer._raw), "_fed", lambda self, data: (reads.append(len(data)), read(self, data))[1])
            assert b"".join(on.all_of(answer.iter_content(1))) == body
        assert len(reads) < 300_000 // 1000
        answer = on.wait(session.get(server.url, stream=True))
        assert on.all_of(answer.iter_lines(chunk_size=512)) == [body]


def test_a_body_is_not_read_by_an_absurd_charset(on):
    """Row W6."""
    body = b"xn--" + b"a" * 400_000
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=punycode\r\nContent-Length: %d\r\n\r\n" % len(body)
    with serving(head + body) as server:
        answer = on.wait(on.session().get(server.url))
        assert (answer.encoding, answer.text) == ("ISO-8859-1", body.decode())
