"""The one resend: with the whole body, never of what may have been carried out, and counted anew for each request."""

from __future__ import annotations

import io

import pytest
from seams import OK, SERVE, answer_once_then, assert_settled

from keeppool import PoolManager, errors
from keeppool.testing import RawConnection, ScriptedServer

LARGE = bytes(range(256)) * 2000


def file_that_was_read_from():
    """A file that stands behind what is not to be sent."""
    file = io.BytesIO(b"header" + LARGE)
    file.seek(6)
    return file


@pytest.mark.parametrize(
    "body",
    [
        lambda: LARGE,
        lambda: bytearray(LARGE),
        file_that_was_read_from,
        lambda: lambda: iter([LARGE[:1000], LARGE[1000:]]),
        lambda: [LARGE[:1000], LARGE[1000:]],
    ],
    ids=["bytes", "bytearray", "file", "function", "list"],
)
def test_the_second_attempt_carries_the_whole_body(plant, body):
    """From where it stood, not from where the first attempt had got to (Go 18239)."""
    with ScriptedServer(answer_once_then(RawConnection.cut), SERVE, tls=plant.tls) as server, plant.pool() as pool:
        pool.request("GET", server.url)
        assert pool.request("PUT", server.url, body=body()).data == b"ok"
        first, second = server.requests[1:]
        assert first.body == second.body == LARGE
        assert first.pairs == second.pairs


@pytest.mark.parametrize("taken", [1, 200_000])
def test_a_large_post_that_was_partly_read_is_never_sent_again(plant, taken):
    """Nothing but an untouched kernel buffer proves that nothing was carried out (Python's all-or-nothing TLS send)."""

    def read_a_part(connection):
        connection.read_request()
        connection.send(OK)
        connection.read_exactly(taken)
        connection.reset()

    with ScriptedServer(read_a_part, SERVE, tls=plant.tls) as server, plant.pool() as pool:
        pool.request("GET", server.url)
        with pytest.raises(errors.ExchangeError) as raised:
            pool.request("POST", server.url, body=bytes(3_000_000))
        assert raised.value.sent > 0
        assert not raised.value.retry_safe
        assert len(server.connections) == 1
        assert_settled(pool)


def test_every_request_has_a_resend_of_its_own(sites):
    """A hundred requests of which each needs one (curl 5e46318414)."""
    with ScriptedServer(answer_once_then(RawConnection.close)) as server, PoolManager() as pool:
        for _ in range(101):
            assert pool.request("GET", server.url).data == b"ok"
        assert pool.stats().resent == 100
        assert len(server.connections) == 101


def test_a_server_that_hangs_up_on_everybody_is_asked_twice_at_the_most():
    """Once on the old connection, once on a new one (OkHttp, curl, Firefox: without end)."""
    dying = [answer_once_then(RawConnection.close), [RawConnection.read_request]]
    with ScriptedServer(*dying) as server, PoolManager() as pool:
        pool.request("GET", server.url)
        with pytest.raises(errors.ServerDisconnected):
            pool.request("GET", server.url)
        assert len(server.requests) == 3
        assert_settled(pool)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_timeout_is_never_answered_with_another_attempt(plant, method):
    """A silent server may be at work (Go, Chromium and all others agree)."""
    silent = answer_once_then(RawConnection.read_until_closed)
    with ScriptedServer(silent, SERVE, tls=plant.tls) as server, plant.pool() as pool:
        pool.request("GET", server.url)
        with pytest.raises(errors.ReadTimeout):
            pool.request(method, server.url, timeout=0.02)
        assert len(server.connections) == 1
        assert_settled(pool)


def test_an_interim_answer_forbids_another_attempt(plant):
    """Whoever said 100 has begun to read the request."""
    script = answer_once_then(b"HTTP/1.1 100 Continue\r\n\r\n", RawConnection.cut)
    with ScriptedServer(script, SERVE, tls=plant.tls) as server, plant.pool() as pool:
        pool.request("GET", server.url)
        with pytest.raises(errors.ExchangeError):
            pool.request("GET", server.url)
        assert len(server.connections) == 1
