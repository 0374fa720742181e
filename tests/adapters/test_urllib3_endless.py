"""Heads that do not end, fast and slowly: the urllib3 drop-in gives them up, and gives their slot back."""

import contextlib
import time

import pytest
import urllib3
from adapters.urllib3s import SERVE
from urllib3.exceptions import HTTPError

from keeppool import Limits
from keeppool.adapters.urllib3 import PoolManager, ProxyManager
from keeppool.testing import ClientGone, RawConnection, ScriptedServer

#: What each wait of a client is allowed, and all of them together.
WAITS = urllib3.Timeout(connect=0.3, read=0.3, total=0.6)
#: A wait that ends with the test run, not with the client: a head given up for its time alone would hang there.
LONG = urllib3.Timeout(connect=300, read=300)
#: Seconds between two pieces of what comes slowly; none of them is late by itself.
PAUSE = 0.05

PIECES = {
    "fields": (b"HTTP/1.1 200 OK\r\n", b"X-Field: value\r\n"),
    "interim": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "interim with fields": (b"HTTP/1.1 100 Continue\r\n", b"X-Field: value\r\n"),
    "no HTTP": (b"", b"x"),
}


def endless(first, piece, pause):
    """Answer a request without end."""

    def serve(connection):
        connection.read_head()
        with contextlib.suppress(ClientGone, OSError):
            connection.send(first)
            while True:
                connection.send(piece if pause else piece * 1000)
                time.sleep(pause)

    return serve


@pytest.mark.parametrize(("first", "piece"), PIECES.values(), ids=PIECES)
@pytest.mark.parametrize(("pause", "waits"), [(PAUSE, WAITS), (0, LONG)], ids=["slowly", "fast"])
def test_a_head_without_end_is_given_up(http, first, piece, pause, waits):
    with ScriptedServer(endless(first, piece, pause), SERVE) as server:
        with pytest.raises(HTTPError):
            http.request("GET", server.url, timeout=waits, retries=False)
        assert http.stats().busy == 0
        assert http.request("GET", server.url).data == b"ok"


@pytest.mark.parametrize(("first", "piece"), PIECES.values(), ids=PIECES)
@pytest.mark.parametrize(("pause", "waits"), [(PAUSE, WAITS), (0, LONG)], ids=["slowly", "fast"])
def test_a_tunnel_whose_answer_does_not_end_is_given_up(first, piece, pause, waits):
    servers = [endless(first, piece, pause)] * 3
    with ScriptedServer(*servers) as proxy, ProxyManager(proxy.url, limits=Limits(per_host=1)) as http:
        # One slot for all three: none of them is lost.
        for _ in servers:
            with pytest.raises(HTTPError):
                http.request("GET", "https://origin.example/", timeout=waits, retries=False, pool_timeout=5)
        assert http.stats().busy == 0


def test_a_body_waits_as_long_as_its_own_timeout_says(http):
    """The bound of the head is not left on the socket."""
    seen = []

    def serve(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\n")
        connection.send(b"Content-Length: 2\r\n\r\n")
        connection.read_until_closed()

    with ScriptedServer(serve) as server:
        response = http.request("GET", server.url, timeout=urllib3.Timeout(read=7, total=100), preload_content=False)
        seen.append(response._original_response._sock.gettimeout())
        response.close()
    assert seen == [7]


PROXY_CLOSES = b"HTTP/1.1 200 OK\r\nProxy-Connection: close\r\nContent-Length: 2\r\n\r\nok"
PROXY_KEEPS = b"HTTP/1.0 200 OK\r\nProxy-Connection: keep-alive\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize("answer", [PROXY_CLOSES, PROXY_KEEPS], ids=["close", "keep-alive in 1.0"])
def test_proxy_connection_close_is_believed_of_a_proxy(answer):
    script = [RawConnection.read_request, answer, RawConnection.read_until_closed]
    with ScriptedServer(script, script) as proxy, ProxyManager(proxy.url) as http:
        for _ in range(2):
            assert http.request("GET", "http://origin.example/").data == b"ok"
        assert http.stats().idle == 0


def test_proxy_connection_of_an_origin_means_nothing():
    script = [RawConnection.read_request, PROXY_CLOSES] * 2
    with ScriptedServer(script) as server, PoolManager() as http:
        for _ in range(2):
            assert http.request("GET", server.url).data == b"ok"
        assert http.stats().opened == 1
