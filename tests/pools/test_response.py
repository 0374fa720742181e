"""The body as a caller reads it: whole, in pieces, as a file, decoded or not, to the end or not."""

import gzip
import io
import json
import threading

import pytest
from pools.on_a_loop import PoolOnALoop

from keeppool import PoolManager, errors
from keeppool.events import Why
from keeppool.testing import Behaviour, RawConnection, ScriptedServer

BODY = bytes(range(256)) * 40


@pytest.fixture
def pool():
    with PoolManager(timeout=5) as pool:
        yield pool


@pytest.fixture(params=["length", "chunked", "close", "gzip", "gzip chunked"])
def site(request, sites):
    coding = "gzip" if "gzip" in request.param else None
    framing = request.param.removeprefix("gzip").strip() or "length"
    return sites.add(Behaviour(framing=framing, coding=coding, body=BODY))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("amt", [1, 7, 4096, 10240, 10241, 1 << 20])
def test_read_gives_exactly_what_was_asked_until_the_end(pool, site, stream, amt):
    with pool.request("GET", site.url, stream=stream) as response:
        pieces = iter(lambda: response.read(amt), b"")
        *full, last = pieces
        assert all(len(piece) == amt for piece in full)
        assert b"".join([*full, last]) == BODY
        assert response.read() == b""


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("amt", [1, 100, 65536])
def test_stream_gives_the_same_body_in_pieces_of_at_most_amt(pool, site, stream, amt):
    response = pool.request("GET", site.url, stream=stream)
    pieces = list(response.stream(amt))
    assert b"".join(pieces) == BODY
    assert max(map(len, pieces)) <= amt


def test_data_can_be_looked_at_any_number_of_times(pool, site):
    response = pool.request("GET", site.url, stream=True)
    assert response.data == response.data == BODY


def test_a_response_can_be_wrapped_as_a_file(pool, site):
    response = pool.request("GET", site.url, stream=True)
    assert io.BufferedReader(response).read() == BODY


def test_the_connection_is_back_before_the_last_piece_is_seen(pool, sites):
    site = sites.add(Behaviour(body=BODY))
    response = pool.request("GET", site.url, stream=True)
    while response.read(1000):
        if response._lease is None:
            break
    assert pool.stats().idle == 1
    pool.request("GET", site.url)
    assert site.opened == 1


def test_data_after_streaming_says_that_it_is_gone(pool, sites):
    response = pool.request("GET", sites.add(Behaviour(body=BODY)).url, stream=True)
    response.read(10)
    with pytest.raises(errors.StreamConsumedError):
        _ = response.data
    response.close()


def test_a_body_can_be_had_undecoded(pool, sites):
    url = sites.add(Behaviour(coding="gzip", body=BODY)).url
    assert gzip.decompress(pool.request("GET", url, decode_content=False).data) == BODY
    with pool.request("GET", url, stream=True) as response:
        assert gzip.decompress(response.read(decode_content=False)) == BODY


def test_the_choice_of_decoding_comes_too_late_after_the_first_byte(pool, sites):
    with pool.request("GET", sites.add(Behaviour(coding="gzip", body=BODY)).url, stream=True) as response:
        response.read(1)
        with pytest.raises(errors.StreamConsumedError):
            response.read(1, decode_content=False)


def test_closing_early_closes_the_connection_and_frees_its_slot(pool, sites):
    with pool.request("GET", sites.add(Behaviour(body=50_000_000)).url, stream=True) as response:
        response.read(10)
    assert pool.stats().closed_by[Why.BODY_UNREAD] == 1
    assert pool.stats().open == 0


def test_draining_a_small_rest_saves_the_connection(pool, sites):
    site = sites.add(Behaviour(body=60_000))
    response = pool.request("GET", site.url, stream=True)
    response.drain_conn()
    assert response.closed
    pool.request("GET", site.url)
    assert site.opened == 1


@pytest.mark.parametrize(("drain", "taken"), [("drain_conn", 0), ("drain_conn", 4), ("preload_small", 4)])
def test_a_body_that_was_drained_is_never_taken_for_an_empty_one(pool, drain, taken):
    """Its rest was read for nobody; as behind `close`, whoever asks for it is told."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
    begun = threading.Event()
    script = [RawConnection.read_request, head + b"0123", lambda connection: connection.wait(begun), b"456789"]
    with ScriptedServer([*script, RawConnection.read_until_closed]) as server:
        response = pool.request("GET", server.url, stream=True)
        if taken:
            assert response.read(taken) == b"0123"
        begun.set()
        assert not getattr(response, drain)()
        assert pool.stats().idle == 1
        for look in (response.read, lambda: response.data):
            with pytest.raises(errors.StreamConsumedError):
                look()


def test_a_body_that_was_read_to_its_end_stays_at_its_end_when_drained(pool, site):
    response = pool.request("GET", site.url, stream=True)
    assert response.read() == BODY
    response.drain_conn()
    assert response.read() == b""


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_draining_a_large_rest_closes_instead(pool, sites, framing):
    response = pool.request("GET", sites.add(Behaviour(framing=framing, body=50_000_000)).url, stream=True)
    response.drain_conn()
    assert pool.stats().closed_by[Why.BODY_UNREAD] == 1


def test_headers_are_found_in_any_case_and_keep_their_repeats(pool):
    head = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nX-\xc3\x84: no\r\nContent-Length: 0\r\n\r\n"
    head = head.replace(b"X-\xc3\x84: no\r\n", b"X-Name: \xe4\r\n")
    with ScriptedServer([RawConnection.read_request, head]) as server:
        response = pool.request("GET", server.url)
    assert response.headers["SET-COOKIE"] == "a=1, b=2"
    assert response.headers.getlist("set-cookie") == ["a=1", "b=2"]
    assert response.headers["x-name"] == "ä"


def test_trailers_are_there_when_the_body_is(pool):
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 9\r\n\r\n"
    with ScriptedServer([RawConnection.read_request, answer]) as server:
        response = pool.request("GET", server.url)
    assert response.trailers == [(b"X-Sum", b"9")]


def test_json_is_parsed(pool, sites):
    site = sites.add(Behaviour(body=json.dumps({"ä": 1}).encode()))
    assert pool.request("GET", site.url).json() == {"ä": 1}


NO_JSON = {"rubbish": b"<html>", "nested": b"[" * 100_000, "digits": b"7" * 5000, "no encoding": b'"\xff"'}


@pytest.mark.parametrize("kind", [PoolManager, PoolOnALoop])
@pytest.mark.parametrize("body", NO_JSON.values(), ids=NO_JSON)
def test_what_is_no_json_is_an_error_of_ours(kind, sites, body):
    site = sites.add(Behaviour(body=body))
    with kind(timeout=5) as pool, pytest.raises(errors.JSONDecodeError):
        pool.request("GET", site.url).json()


def test_a_byteranges_body_without_a_length_ends_at_its_last_delimiter(pool):
    body = b"--X\r\nContent-Range: bytes 0-1/9\r\n\r\nab\r\n--X--"
    head = b"HTTP/1.1 206 Partial Content\r\nContent-Type: multipart/byteranges; boundary=X\r\n\r\n"
    with ScriptedServer([RawConnection.read_request, head + body, RawConnection.read_until_closed]) as server:
        assert pool.request("GET", server.url).data == body
    assert pool.stats().closed_by[Why.CLOSE_DELIMITED] == 1


def test_a_body_that_broke_off_is_never_taken_for_an_empty_one(pool):
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"
    with ScriptedServer([RawConnection.read_request, answer]) as server:
        response = pool.request("GET", server.url, stream=True)
        for _ in range(2):
            with pytest.raises(errors.IncompleteBody):
                _ = response.data


def test_damaged_gzip_is_never_taken_for_an_empty_body(pool):
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nzzzz"
    with ScriptedServer([RawConnection.read_request, answer]) as server:
        response = pool.request("GET", server.url, stream=True)
        for _ in range(2):
            with pytest.raises(errors.ContentDecodingError):
                _ = response.data


def test_a_response_closed_unread_says_so(pool, sites):
    response = pool.request("GET", sites.add(Behaviour(body=5_000_000)).url, stream=True)
    response.close()
    with pytest.raises(errors.StreamConsumedError, match="closed before"):
        _ = response.data


def test_a_small_response_closed_unread_says_so_too(pool, sites):
    response = pool.request("GET", sites.add(Behaviour(body=b"tiny")).url, stream=True)
    response.close()
    with pytest.raises(errors.StreamConsumedError, match="closed before"):
        _ = response.data


def test_a_whole_response_keeps_its_data_when_closed_or_read(pool, site):
    response = pool.request("GET", site.url)
    assert response.read() == BODY
    response.close()
    assert response.read() == b""
    assert response.data == BODY


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_small_rest_that_has_arrived_does_not_cost_the_connection(pool, framing):
    """`close` reads it away, without waiting for anything."""
    arrived = threading.Event()
    head = {"length": b"Content-Length: 40", "chunked": b"Transfer-Encoding: chunked"}[framing]
    body = {"length": b"x" * 40, "chunked": b"28\r\n" + b"x" * 40 + b"\r\n0\r\n\r\n"}[framing]

    def serve(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
        connection.wait(headed)
        connection.send(body)
        arrived.set()
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    headed = threading.Event()
    with ScriptedServer(serve) as server:
        response = pool.request("GET", server.url, stream=True)
        headed.set()
        assert arrived.wait(5)
        response.close()
        assert pool.stats().idle == 1
        with pytest.raises(errors.StreamConsumedError):
            _ = response.data
        assert pool.request("GET", server.url).data == b"ok"
        assert len(server.connections) == 1


def test_a_rest_that_has_not_arrived_is_not_waited_for(pool):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n"
    with ScriptedServer([RawConnection.read_request, head, RawConnection.read_until_closed]) as server:
        pool.request("GET", server.url, stream=True).close()
    assert pool.stats().closed_by[Why.BODY_UNREAD] == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("size", [-1, -7])
def test_a_negative_size_means_everything(pool, site, stream, size):
    assert b"".join(pool.request("GET", site.url, stream=stream).stream(size)) == BODY
    assert pool.request("GET", site.url, stream=stream).read(size) == BODY


def test_a_line_of_a_live_stream_is_not_held_back(pool):
    live = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\none\ntwo\nt"
    script = [RawConnection.read_request, live, RawConnection.read_until_closed]
    with ScriptedServer(script) as server, pool.request("GET", server.url, stream=True) as response:
        lines = io.BufferedReader(response)
        assert [lines.readline(), lines.readline()] == [b"one\n", b"two\n"]
