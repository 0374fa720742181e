"""A server that ends at every position of its answer: by close, reset, half-close, or silence."""

from __future__ import annotations

import contextlib
import ssl
import threading

import pytest
from seams import OK, SERVE, assert_settled

from keeppool import PoolManager, errors
from keeppool.testing import RawConnection, ScriptedServer

FIXED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nri\r\n3\r\nght\r\n0\r\n\r\n"
ANSWERS = {"fixed": FIXED, "chunked": CHUNKED}


def half_close(connection: RawConnection) -> None:
    """Close the sending side, and read on until the client closes, which over TLS is an error of its own."""
    connection.half_close()
    with contextlib.suppress(ssl.SSLError):
        connection.read_until_closed()


ENDS = {
    "close": RawConnection.cut,
    "goodbye": RawConnection.close,
    "reset": RawConnection.reset,
    "half-close": half_close,
}
#: Seconds of silence that count as too long; in these tests nothing else waits.
TINY = 0.02


def positions(answer: bytes, secured: bool) -> list[int]:
    """All positions on a plain connection; over TLS some of each part, for a handshake costs a thousand bytes' time."""
    if not secured:
        return list(range(len(answer)))
    head = answer.index(b"\r\n\r\n")
    return sorted({0, 1, head // 2, head + 2, head + 4, head + 5, len(answer) - 1})


def served_on_the_way(place: int, end, answer: bytes):
    """Script a connection that serves one request, and at the second one ends behind `place` bytes of its answer."""

    def script(connection: RawConnection) -> None:
        connection.read_request()
        connection.send(OK)
        connection.read_request()
        connection.send(answer[:place])
        end(connection)

    return script


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_server_that_ends_anywhere_in_its_answer_costs_only_that_answer(plant, method, end, answer):
    """Before the first byte an idempotent request goes again; from there on, and for a POST, the error says so."""
    for place in positions(answer, plant.tls is not None):
        script = served_on_the_way(place, end, answer)
        with ScriptedServer(script, SERVE, tls=plant.tls) as server, plant.pool() as pool:
            pool.request("GET", server.url)
            if place == 0 and method == "GET":
                assert pool.request(method, server.url).data == b"ok"
            else:
                with contextlib.ExitStack() as stack:
                    raised = stack.enter_context(pytest.raises(errors.ExchangeError))
                    answered = pool.request(method, server.url)
                    raise AssertionError(f"cut at {place}, yet answered {answered.status} {answered.data!r}")
                assert_says_what_happened(raised.value, place, method, end, len(server.connections))
            assert_settled(pool)
            assert pool.request("GET", server.url).data == b"ok"
            assert [request.method for request in server.requests].count("POST") == (method == "POST")


def assert_says_what_happened(error, place, method, end, connections):
    """The figures are those of the exchange; a reset may have overtaken what was sent before it."""
    assert error.sent > 0
    assert error.received == place or (end is RawConnection.reset and error.received <= place)
    assert error.retry_safe == (method == "GET")
    assert connections == 1


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_answer_that_breaks_off_is_an_error_of_its_own_and_never_a_short_answer(plant, stream, answer):
    """On a new connection, where nothing goes again: the kind of error tells the part in which it broke off."""
    head = answer.index(b"\r\n\r\n") + 4
    for place in positions(answer, plant.tls is not None):
        # Over TLS a close without goodbye is a failed read wherever it is met; it may be anybody's doing.
        in_head = errors.TruncatedHead if plant.tls is None else errors.ReadError
        kind = errors.IncompleteBody if place >= head else in_head if place else errors.ServerDisconnected
        script = [RawConnection.read_request, answer[:place], RawConnection.cut]
        with ScriptedServer(script, SERVE, tls=plant.tls) as server, plant.pool() as pool:
            with pytest.raises(kind) as raised, pool.request("GET", server.url, stream=stream) as response:
                response.read()
            assert raised.value.received == place
            assert_settled(pool)
            assert pool.request("GET", server.url).data == b"ok"


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_server_that_stops_anywhere_in_its_answer_is_given_up_and_not_asked_again(plant, method, answer):
    """What comes later, on the connection that was given up, is nobody's answer."""
    for place in positions(answer, True):
        given_up = threading.Event()

        def late(connection, given_up=given_up, place=place):
            connection.wait(given_up)
            connection.send(answer[place:])

        script = served_on_the_way(place, late, answer)
        with ScriptedServer(script, SERVE, tls=plant.tls) as server, plant.pool() as pool:
            pool.request("GET", server.url)
            with pytest.raises(errors.ReadTimeout) as raised:
                pool.request(method, server.url, timeout=(5, TINY))
            assert raised.value.received == place
            given_up.set()
            assert_settled(pool)
            assert pool.request("GET", server.url).data == b"ok"
            assert len(server.requests) == 3


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_that_comes_byte_by_byte_is_whole(plant, answer):
    script = [RawConnection.read_request, *[answer[n : n + 1] for n in range(len(answer))]] * 2
    with ScriptedServer([*script, RawConnection.read_until_closed], tls=plant.tls) as server, plant.pool() as pool:
        assert [pool.request(method, server.url).data for method in ("GET", "POST")] == [b"right", b"right"]
        assert len(server.connections) == 1


@pytest.mark.parametrize(
    "extra", [b"\r\n", b"H", FIXED, FIXED[:20]], ids=["CRLF", "a byte", "an answer", "half an answer"]
)
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_bytes_behind_an_answer_close_the_connection_however_the_body_is_framed(plant, stream, answer, extra):
    script = [RawConnection.read_request, answer + extra, RawConnection.read_until_closed]
    with ScriptedServer(script, SERVE, tls=plant.tls) as server, plant.pool() as pool:
        assert pool.request("GET", server.url, stream=stream).read() == b"right"
        assert pool.request("POST", server.url, body=b"x").data == b"ok"
        assert [len(connection.requests) for connection in server.connections] == [1, 1]


@pytest.mark.parametrize("length", [b"4", b"6", b"4, 5", b"5\r\nContent-Length: 6", b"-5", b"five", b"0x5"])
def test_a_lying_length_never_mixes_two_answers(length):
    """Shorter: the surplus closes the connection. Longer: the close does. Neither is ever read as another answer."""
    lying = [RawConnection.read_request, FIXED.replace(b"5", length, 1), RawConnection.half_close]
    with ScriptedServer([*lying, RawConnection.read_until_closed], SERVE) as server, PoolManager(timeout=5) as pool:
        with contextlib.suppress(errors.ExchangeError):
            assert pool.request("GET", server.url).data == b"righ"
        assert_settled(pool)
        assert pool.request("GET", server.url).data == b"ok"
        assert len(server.connections) == 2
