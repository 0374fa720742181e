"""Apache httpd: it tells how long it waits and how many requests are left, and means it.

Its log says which client's port each request came from and how many requests that connection had carried before.
"""

from __future__ import annotations

import socket
import threading
from collections import Counter
from contextlib import closing

import pytest

from keeppool import HostConfig, PoolManager
from keeppool.events import Why

#: 500 looks, 20 ms apart, for a log that is written right behind the answer.
LOG_TRIES, LOG_PAUSE_S = 500, 0.02


@pytest.fixture
def places(tmp_path):
    """The server's log, as (client's port, number of the request on its connection) for each request.

    One connection after the other: httpd writes a line behind its answer, when another connection may be at work.
    """
    path = tmp_path / "requests.log"

    def read(requests: int) -> list[tuple[str, int]]:
        pause = threading.Event()
        for _ in range(LOG_TRIES):
            lines = path.read_text().splitlines() if path.exists() else []
            if len(lines) >= requests:
                break
            pause.wait(LOG_PAUSE_S)
        assert len(lines) == requests
        found = [(port, int(before) + 1) for port, before in map(str.split, lines)]
        ports = list(dict.fromkeys(port for port, _ in found))
        return sorted(found, key=lambda place: ports.index(place[0]))

    read.directive = f'{path} "%{{remote}}p %k"'
    return read


def hints_of(answers) -> list[str]:
    return [answer.headers.get("Keep-Alive", "") for answer in answers]


def test_no_connection_carries_more_requests_than_httpd_allows(apache, places):
    server = apache(KeepAlive=True, KeepAliveTimeout=5, MaxKeepAliveRequests=5, CustomLog=places.directive)
    with PoolManager() as pool:
        answers = [pool.request("GET", server.url) for _ in range(23)]
        stats = pool.stats()
    carried = Counter(port for port, _ in places(23))
    assert {answer.status for answer in answers} == {200}
    assert max(carried.values()) <= 6, "MaxKeepAliveRequests counts those that may follow the first"
    assert len(carried) == stats.opened
    assert (stats.resent, stats.closed_by[Why.PEER_CLOSED], stats.closed_by[Why.EXCHANGE_FAILED]) == (0, 0, 0)


def test_the_falling_max_is_what_is_left(apache, places):
    """5, 4, 3, 2, 1, and a last answer that says close: the pool uses all six and ends the connection itself."""
    server = apache(KeepAlive=True, KeepAliveTimeout=5, MaxKeepAliveRequests=5, CustomLog=places.directive)
    with PoolManager() as pool:
        answers = [pool.request("GET", server.url) for _ in range(7)]
        stats = pool.stats()
    assert hints_of(answers) == [*(f"timeout=5, max={left}" for left in (5, 4, 3, 2, 1)), "", "timeout=5, max=5"]
    assert [number for _, number in places(7)] == [1, 2, 3, 4, 5, 6, 1]
    assert (stats.opened, stats.closed_by[Why.SERVER_CLOSE]) == (2, 1)


def test_an_idle_connection_leaves_before_the_timeout_runs_out(apache, places):
    server = apache(KeepAlive=True, KeepAliveTimeout=1, CustomLog=places.directive)
    with PoolManager() as pool:
        first = pool.request("GET", server.url)
        assert first.headers["Keep-Alive"].startswith("timeout=1")
        wait_until_an_idle_connection_is_closed(server)
        second = pool.request("GET", server.url)
        stats = pool.stats()
    assert second.status == 200
    assert stats.opened == 2
    assert (stats.closed_by[Why.HINT_TIMEOUT], stats.closed_by[Why.PEER_CLOSED], stats.resent) == (1, 0, 0)


def wait_until_an_idle_connection_is_closed(server) -> None:
    """Let httpd close a connection of our own that became idle after the pool's: real time, but no guess of ours."""
    with closing(socket.create_connection((server.host, server.port), timeout=20)) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while sock.recv(65536):
            pass


def test_a_server_without_keep_alive_gets_a_connection_for_each_request(apache, places):
    server = apache(KeepAlive=False, CustomLog=places.directive)
    with PoolManager() as pool:
        answers = [pool.request("GET", server.url) for _ in range(3)]
        stats = pool.stats()
    assert {answer.headers["Connection"] for answer in answers} == {"close"}
    assert (stats.opened, stats.open, stats.closed_by[Why.SERVER_CLOSE]) == (3, 0, 3)


def test_http_1_0_keeps_its_connection_by_asking(apache, places):
    server = apache(KeepAlive=True, KeepAliveTimeout=5, CustomLog=places.directive)
    with PoolManager(defaults=HostConfig(http_version="1.0")) as pool:
        for _ in range(3):
            assert pool.request("GET", server.url).data == b"hello\n"
    assert [number for _, number in places(3)] == [1, 2, 3]
