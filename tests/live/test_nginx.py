"""nginx: persistence, its hint, its silence, and the forms its answers take.

Every answer names its connection, its number on it and the worker's process, so that nginx itself says what was reused.
"""

from __future__ import annotations

import gzip
import os
import select
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import trustme

from keeppool import HostConfig, PoolManager, Response, Session, errors
from keeppool.events import Why

PLACE = "X-Place $connection/$connection_requests/$pid"
#: Seconds within which a server ends what it said it would; only a test that fails waits that long.
PATIENCE_S = 20


def connection_of(answer) -> str:
    """Nginx's number of the connection an answer came on."""
    return answer.headers["X-Place"].partition("/")[0]


def request_number_of(answer) -> int:
    """Which request on its connection nginx takes it for, from 1."""
    return int(answer.headers["X-Place"].split("/")[1])


def worker_of(answer) -> str:
    """Process of nginx that answered."""
    return answer.headers["X-Place"].split("/")[2]


def outlive_an_idle_connection(server) -> None:
    """Wait until the server has closed a connection that became idle just now: real time, but no guess of ours."""
    with closing(socket.create_connection((server.host, server.port), timeout=PATIENCE_S)) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n")
        while sock.recv(65536):
            pass


def test_a_connection_ends_with_the_request_nginx_says_is_the_last(nginx):
    server = nginx(keepalive_requests=5, add_header=PLACE)
    with PoolManager() as pool:
        numbers = [request_number_of(pool.request("GET", server.url)) for _ in range(12)]
        stats = pool.stats()
    assert numbers == [1, 2, 3, 4, 5] * 2 + [1, 2]
    assert (stats.opened, stats.closed_by[Why.SERVER_CLOSE], stats.resent) == (3, 2, 0)


def test_an_idle_connection_leaves_before_the_hint_runs_out(nginx):
    server = nginx(keepalive_timeout="2s 2s", add_header=PLACE)
    with PoolManager() as pool:
        first = pool.request("GET", server.url)
        assert first.headers["Keep-Alive"] == "timeout=2"
        outlive_an_idle_connection(server)
        second = pool.request("GET", server.url)
        stats = pool.stats()
    assert connection_of(second) != connection_of(first)
    assert (stats.closed_by[Why.HINT_TIMEOUT], stats.closed_by[Why.PEER_CLOSED], stats.resent) == (1, 0, 0)


def test_a_connection_nginx_closed_without_a_hint_is_never_used(nginx):
    server = nginx(keepalive_timeout="1s", add_header=PLACE)
    with PoolManager() as pool:
        first = pool.request("GET", server.url)
        assert "Keep-Alive" not in first.headers
        outlive_an_idle_connection(server)
        second = pool.request("POST", server.url, body=b"never sent twice")
        stats = pool.stats()
    assert connection_of(second) != connection_of(first)
    assert (stats.closed_by[Why.PEER_CLOSED], stats.resent) == (1, 0)


def test_every_form_of_body_leaves_the_connection_to_the_next(nginx):
    """Server-side includes make nginx forget the length, so it sends chunks; error_page turns a POST into an answer."""
    server = nginx(
        add_header=f"{PLACE} always",
        ssi=True,
        ssi_types="application/octet-stream",
        gzip=True,
        gzip_types="text/html",
        gzip_min_length=1,
        gzip_http_version="1.1",
        error_page="405 =200 /1m.bin",
    )
    with PoolManager() as pool:
        whole = pool.request("GET", f"{server.url}/1m.bin", headers={"Accept-Encoding": "identity"})
        packed = pool.request("GET", server.url, headers={"Accept-Encoding": "gzip"})
        raw = pool.request("GET", server.url, headers={"Accept-Encoding": "gzip"}, decode_content=False)
        head = pool.request("HEAD", f"{server.url}/1k.bin")
        posted = pool.request("POST", f"{server.url}/1k.bin", body=b"p" * 300_000)
        streamed = pool.request("POST", f"{server.url}/1k.bin", body=(b"piece" for _ in range(1000)))
        missing = pool.request("GET", f"{server.url}/missing")
        answers = [whole, packed, raw, head, posted, streamed, missing]
        stats = pool.stats()
    assert whole.headers["Transfer-Encoding"] == "chunked"
    assert whole.data == posted.data == streamed.data == b"m" * 1024 * 1024
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.data == gzip.decompress(raw.data) == b"hello\n"
    assert (head.status, head.data) == (200, b"")
    assert missing.status == 404
    assert [request_number_of(answer) for answer in answers] == [1, 2, 3, 4, 5, 6, 7]
    assert stats.opened == 1


def test_a_304_has_no_body_and_keeps_the_connection(nginx):
    server = nginx(add_header=PLACE)
    with PoolManager() as pool:
        first = pool.request("GET", f"{server.url}/1k.bin")
        again = pool.request("GET", f"{server.url}/1k.bin", headers={"If-None-Match": first.headers["ETag"]})
        after = pool.request("GET", f"{server.url}/1k.bin")
    assert (again.status, again.data) == (304, b"")
    assert (after.status, len(after.data)) == (200, 1024)
    assert request_number_of(after) == 3


def test_a_large_body_read_in_pieces_gives_its_connection_back_at_its_end(nginx):
    server = nginx(add_header=PLACE)
    with Session() as session:
        with session.get(f"{server.url}/1m.bin", stream=True) as answer:
            assert sum(len(piece) for piece in answer.iter_content(50_000)) == 1024 * 1024
            assert session.stats().idle == 1
        assert request_number_of(session.get(server.url)) == 2


def test_http_1_0_is_persistent_where_it_is_asked_for(nginx):
    server = nginx(add_header=PLACE)
    with PoolManager(defaults=HostConfig(http_version="1.0")) as pool:
        assert [request_number_of(pool.request("GET", server.url)) for _ in range(3)] == [1, 2, 3]
    with PoolManager(defaults=HostConfig(keep_alive=False)) as pool:
        assert [request_number_of(pool.request("GET", server.url)) for _ in range(3)] == [1, 1, 1]


def test_nginx_resumes_tls_sessions(nginx, tmp_path, recorder):
    authority = trustme.CA()
    certificate = str(tmp_path / "server.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
    roots = str(tmp_path / "roots.pem")
    authority.cert_pem.write_to_path(roots)
    server = nginx(
        tls=(certificate, certificate),
        ssl_protocols="TLSv1.3",
        keepalive_requests=2,
        add_header="X-Resumed $ssl_session_reused",
    )
    with PoolManager(defaults=HostConfig(verify=roots)) as pool:
        resumed = [pool.request("GET", server.url).headers["X-Resumed"] for _ in range(6)]
    assert resumed == [".", ".", "r", "r", "r", "r"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_reload_under_load_loses_nothing_and_repeats_nothing(nginx, method):
    """The old worker closes its idle connections whenever it likes; requests that meet that go out once more or not."""
    server = nginx(add_header=f"{PLACE} always", error_page="405 =200 /1k.bin")
    reloaded = threading.Event()

    def hammer(pool: PoolManager) -> tuple[list[Response], list[Exception]]:
        """Go on until a new worker answers."""
        answers, failed = [], []
        old = worker_of(pool.request("GET", f"{server.url}/1k.bin"))
        ready.wait(30)
        for _ in range(20_000):
            try:
                answers.append(pool.request(method, f"{server.url}/1k.bin", body=b"x" if method == "POST" else None))
            except errors.ExchangeError as error:
                failed.append(error)
                continue
            if worker_of(answers[-1]) != old:
                return answers, failed
        raise AssertionError("nginx never changed its worker")

    ready = threading.Barrier(4, action=lambda: (os.kill(server.pid, signal.SIGHUP), reloaded.set()))
    with PoolManager() as pool, ThreadPoolExecutor(4) as threads:
        results = [future.result(60) for future in [threads.submit(hammer, pool) for _ in range(4)]]
    answers = [answer for answered, _ in results for answer in answered]
    failed = [error for _, errors_ in results for error in errors_]
    assert reloaded.is_set()
    assert {(answer.status, len(answer.data)) for answer in answers} == {(200, 1024)}
    if method == "GET":
        assert failed == []
    assert all(not error.retry_safe for error in failed), "what could be repeated safely was"


def test_an_idle_connection_of_a_worker_that_ended_is_replaced(nginx):
    server = nginx(add_header=PLACE)
    with PoolManager() as pool:
        first = pool.request("GET", server.url)
        watched = socket.create_connection((server.host, server.port), timeout=PATIENCE_S)
        os.kill(server.pid, signal.SIGHUP)
        with closing(watched):
            assert select.select([watched], [], [], PATIENCE_S)[0], "the old worker closes its connections"
        second = pool.request("GET", server.url)
        stats = pool.stats()
    assert second.status == 200
    assert stats.opened == 2 or connection_of(first) == connection_of(second)
