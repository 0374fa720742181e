"""Where one message ends and the next may begin: answers too early, too long, cut off, or read by halves."""

from __future__ import annotations

import contextlib
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from seams import OK, SERVE, answer_once_then, assert_settled

from keeppool import Limits, PoolManager, errors
from keeppool.events import RequestResent, Why
from keeppool.testing import Behaviour, RawConnection, ScriptedServer


def test_an_early_200_to_a_large_upload_leaves_its_connection_to_nobody(plant):
    """The server still reads the body: what we sent next would be taken for the rest of it (Go 7569)."""

    def hasty(connection):
        connection.read_head()
        connection.send(OK)
        connection.read_until_closed()

    with ScriptedServer(hasty, SERVE, tls=plant.tls) as server, plant.pool() as pool:
        assert pool.request("POST", server.url, body=iter([bytes(1_000_000)] * 40)).status == 200
        assert pool.stats().closed_by[Why.REQUEST_UNSENT] == 1
        assert pool.request("GET", server.url).data == b"ok"
        assert len(server.connections) == 2


@pytest.mark.parametrize("status", [b"200 OK", b"403 Forbidden"])
def test_a_final_answer_instead_of_100_closes_the_connection(plant, status):
    """The body was never sent, and the server may wait for it (Go 67555)."""
    seen = []

    def refuse(connection):
        connection.read_head()
        connection.send(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
        seen.append(connection.read_until_closed())

    with ScriptedServer(refuse, SERVE, tls=plant.tls) as server, plant.pool() as pool:
        answer = pool.request("PUT", server.url, body=b"body", headers={"Expect": "100-continue"})
        assert answer.status == int(status[:3])
        assert pool.request("GET", server.url).data == b"ok"
    assert seen == [b""]


@pytest.mark.parametrize("body", [b"evil", OK], ids=["bytes", "an answer"])
def test_a_body_behind_the_answer_to_head_is_never_read_as_the_next_answer(plant, body):
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    script = [RawConnection.read_request, answer, RawConnection.read_until_closed]
    with ScriptedServer(script, SERVE, tls=plant.tls) as server, plant.pool() as pool:
        assert pool.request("HEAD", server.url).data == b""
        assert pool.request("GET", server.url + "/2").data == b"ok"
        assert [request.target for request in server.requests] == ["/", "/2"]
        assert len(server.connections) == 2


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_coded_bodies_give_their_connection_back(sites, framing, coding):
    """The decoder is done before the framing is; both have to be at their end (Go 14867)."""
    site = sites.add(Behaviour(framing=framing, coding=coding, body=5000))
    with PoolManager() as pool:
        for stream in (False, True) * 10:
            response = pool.request("GET", site.url, stream=stream)
            assert len(response.read()) == 5000
        assert site.opened == 1


def test_an_answer_that_comes_with_its_close_is_an_answer(plant, recorder):
    """In one piece or not, announced or not: two hundred times (Go 13825)."""
    with (
        ScriptedServer([RawConnection.read_request, OK], tls=plant.tls) as server,
        plant.pool(on_event=recorder) as pool,
    ):
        for _ in range(200 if plant.tls is None else 20):
            assert pool.request("GET", server.url).data == b"ok"
        assert_settled(pool)


def test_a_server_that_closes_after_each_answer_costs_no_error(sites):
    """The close comes a moment after the answer, at any point of the next request (undici 1415)."""
    site = sites.add(Behaviour(close_after=1))
    with PoolManager(Limits(per_host=3)) as pool, ThreadPoolExecutor(6) as threads:
        statuses = set(threads.map(lambda _: pool.request("GET", site.url).status, range(600)))
    assert statuses == {200}


def test_giving_up_a_finished_answer_does_not_touch_its_successor(plant):
    """The connection of the first is long the second's (Go 41600)."""
    script = [RawConnection.read_request, OK, RawConnection.read_request, OK[:-1], lambda c: c.wait(given_up), OK[-1:]]
    given_up = threading.Event()
    with ScriptedServer(script, tls=plant.tls) as server, plant.pool() as pool:
        first = pool.request("GET", server.url, stream=True)
        assert first.read() == b"ok"
        second = pool.request("GET", server.url, stream=True)
        first.close()
        first.drain_conn()
        given_up.set()
        assert second.read() == b"ok"
        assert len(server.connections) == 1


@pytest.mark.parametrize("give_up", ["close", "drain_conn"])
def test_giving_up_an_endless_body_comes_to_an_end(plant, give_up):
    """It neither reads for ever nor waits for the server (Go 77370)."""

    def endless(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(ssl.SSLError):
            while True:
                connection.send(b"1\r\nx\r\n")

    with ScriptedServer(endless, tls=plant.tls) as server, plant.pool() as pool:
        response = pool.request("GET", server.url, stream=True)
        getattr(response, give_up)()
        assert_settled(pool)
        assert pool.stats().open == 0


def test_giving_up_a_body_that_has_stopped_coming_comes_to_an_end(plant):
    silent = [RawConnection.read_request, OK[:-1], RawConnection.read_until_closed]
    with ScriptedServer(silent, tls=plant.tls) as server, plant.pool() as pool:
        pool.request("GET", server.url, stream=True).drain_conn()
        assert_settled(pool)
        assert pool.stats().open == 0


class Pulled:
    """A body that counts how often it is asked for the next piece."""

    def __init__(self, pieces, size):
        self.left = pieces
        self.size = size
        self.asked = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.asked += 1
        if not self.left:
            raise StopIteration
        self.left -= 1
        return bytes(self.size)


def read_some_then(end):
    def script(connection):
        connection.read_head()
        end(connection)

    return script


@pytest.mark.parametrize(
    "script",
    [
        read_some_then(RawConnection.reset),
        read_some_then(RawConnection.cut),
        read_some_then(
            lambda c: c.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n") or c.read_until_closed()
        ),
        read_some_then(lambda c: c.send(b"nonsense\r\n\r\n") or c.read_until_closed()),
    ],
    ids=["reset", "close", "413", "nonsense"],
)
def test_no_body_is_pulled_after_its_request_has_returned(script):
    """Sending ends with the call, whatever ended it; there is no writer left behind (Go 49621)."""
    body = Pulled(10_000, 10_000)
    with ScriptedServer(script) as server, PoolManager(timeout=5) as pool:
        with contextlib.suppress(errors.ExchangeError):
            assert pool.request("POST", server.url, body=body).status == 413
        asked = body.asked
        assert_settled(pool)
        assert server.wait_for(lambda: server.connections[0]._socket.fileno() == -1)
        assert body.asked == asked < 10_000


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_empty_answer_on_a_reused_connection_is_an_answer(plant, recorder, method):
    """It is not taken for a dead connection, and nothing is sent again (curl 0a79a599a9)."""
    empty = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with ScriptedServer(answer_once_then(empty), tls=plant.tls) as server, plant.pool(on_event=recorder) as pool:
        pool.request("GET", server.url)
        assert pool.request(method, server.url).data == b""
        assert not recorder.of(RequestResent)
        assert len(server.connections) == 1
