"""Node's http server: its `max` never falls, and a request beyond it is answered with 503."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from keeppool import Limits, PoolManager
from keeppool.events import Why


def test_a_constant_max_is_the_whole_and_never_overdrawn(node_server):
    server = node_server(keepAliveTimeout=5000, maxRequestsPerSocket=5)
    with PoolManager() as pool:
        answers = [pool.request("GET", server.url) for _ in range(23)]
        stats = pool.stats()
    assert {answer.headers.get("Keep-Alive") for answer in answers} <= {"timeout=5, max=5", None}
    assert {answer.status for answer in answers} == {200}, "beyond its max Node answers 503"
    assert stats.opened == 5, "five connections of five requests, the last with room for two more"
    assert (stats.resent, stats.closed_by[Why.PEER_CLOSED]) == (0, 0)


def test_a_crowd_does_not_overdraw_it_either(node_server):
    server = node_server(keepAliveTimeout=5000, maxRequestsPerSocket=3)
    with PoolManager(Limits(per_host=4)) as pool, ThreadPoolExecutor(20) as threads:
        statuses = list(threads.map(lambda _: pool.request("GET", f"{server.url}/1k.bin").status, range(200)))
    assert statuses == [200] * 200


def test_an_idle_connection_leaves_before_keep_alive_timeout(node_server):
    server = node_server(keepAliveTimeout=1000)
    with PoolManager() as pool:
        assert pool.request("GET", server.url).headers["Keep-Alive"] == "timeout=1"
        wait_until_an_idle_connection_is_closed(server)
        assert pool.request("GET", server.url).status == 200
        stats = pool.stats()
    assert stats.opened == 2
    assert (stats.closed_by[Why.HINT_TIMEOUT], stats.closed_by[Why.PEER_CLOSED], stats.resent) == (1, 0, 0)


def wait_until_an_idle_connection_is_closed(server) -> None:
    """Let Node close a connection of our own that became idle after the pool's: real time, but no guess of ours."""
    with closing(socket.create_connection((server.host, server.port), timeout=20)) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while sock.recv(65536):
            pass


def test_bodies_up_and_down_share_a_connection(node_server):
    server = node_server()
    with PoolManager() as pool:
        assert pool.request("GET", f"{server.url}/1m.bin").data == b"m" * 1024 * 1024
        assert pool.request("POST", f"{server.url}/1k.bin", body=b"p" * 300_000).data == b"k" * 1024
        assert pool.request("PUT", f"{server.url}/1k.bin", body=iter([b"a", b"b"])).data == b"k" * 1024
        assert pool.request("HEAD", f"{server.url}/1m.bin").data == b""
        assert pool.request("GET", f"{server.url}/missing").status == 404
        assert pool.stats().opened == 1
