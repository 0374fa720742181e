"""nginx: persistence, its hint, its silence, and the forms its answers take.

Every answer names its connection, its number on it and the worker's process, so that nginx itself says what was reused.
"""

from __future__ import annotations

import gzip
import io
import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import trustme

from keeppool import HostConfig, PoolManager, Response, Session, errors
from keeppool.events import Why

PLACE = "X-Place $connection/$connection_requests/$pid always"
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


def idle_connection(server) -> socket.socket:
    """Open a connection that nginx has answered one request on; it idles as the pool's does."""
    sock = socket.create_connection((server.host, server.port), timeout=PATIENCE_S)
    sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = b""
    while not answer.endswith(b"hello\n"):
        answer += sock.recv(65536)
    return sock


def wait_until_closed(idle: socket.socket) -> None:
    """Wait until nginx closes it: real time, but no guess of ours. What became idle earlier is closed by then too."""
    with closing(idle):
        assert idle.recv(1) == b""


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
        wait_until_closed(idle_connection(server))
        second = pool.request("GET", server.url)
        stats = pool.stats()
    assert connection_of(second) != connection_of(first)
    assert (stats.closed_by[Why.HINT_TIMEOUT], stats.closed_by[Why.PEER_CLOSED], stats.resent) == (1, 0, 0)


def test_a_connection_nginx_closed_without_a_hint_is_never_used(nginx):
    server = nginx(keepalive_timeout="1s", add_header=PLACE)
    with PoolManager() as pool:
        first = pool.request("GET", server.url)
        assert "Keep-Alive" not in first.headers
        wait_until_closed(idle_connection(server))
        second = pool.request("POST", server.url, body=b"never sent twice")
        stats = pool.stats()
    assert connection_of(second) != connection_of(first)
    assert (stats.closed_by[Why.PEER_CLOSED], stats.resent) == (1, 0)


def test_every_form_of_answer_leaves_the_connection_to_the_next(nginx):
    """Server-side includes make nginx forget a body's length, so it sends chunks."""
    server = nginx(
        add_header=PLACE, ssi=True, ssi_types="text/plain", gzip=True, gzip_min_length=1, gzip_http_version="1.1"
    )
    with PoolManager() as pool:
        whole = pool.request("GET", f"{server.url}/1m.bin", headers={"Accept-Encoding": "identity"})
        packed = pool.request("GET", server.url, headers={"Accept-Encoding": "gzip"})
        raw = pool.request("GET", server.url, headers={"Accept-Encoding": "gzip"}, decode_content=False)
        head = pool.request("HEAD", f"{server.url}/1m.bin")
        missing = pool.request("GET", f"{server.url}/missing")
        refused = pool.request("POST", f"{server.url}/1k.bin", body=b"nobody reads this")
        last = pool.request("GET", f"{server.url}/1k.bin")
    assert (whole.headers["Transfer-Encoding"], whole.data) == ("chunked", b"m" * 1024 * 1024)
    assert (packed.headers["Content-Encoding"], packed.data) == ("gzip", b"hello\n")
    assert gzip.decompress(raw.data) == b"hello\n"
    assert (head.status, head.data) == (200, b"")
    assert (missing.status, refused.status, last.status) == (404, 405, 200)
    answers = [whole, packed, raw, head, missing, refused, last]
    assert [request_number_of(answer) for answer in answers] == [1, 2, 3, 4, 5, 6, 7]


def test_every_form_of_body_arrives_whole(nginx):
    server = nginx(add_header=PLACE, dav_methods="PUT", client_max_body_size="2m", client_body_buffer_size="4k")
    large = bytes(range(256)) * 4096
    bodies = [b"small", b"", large, io.BytesIO(large), (b"piece %d\n" % n for n in range(1000)), "text: \u00e9"]
    with PoolManager() as pool:
        put = [pool.request("PUT", f"{server.url}/put-{n}", body=body) for n, body in enumerate(bodies)]
        got = [pool.request("GET", f"{server.url}/put-{n}").data for n in range(len(bodies))]
        stats = pool.stats()
    assert [answer.status for answer in put] == [201] * len(bodies)
    pieces = b"".join(b"piece %d\n" % n for n in range(1000))
    assert got == [b"small", b"", large, large, pieces, "text: \u00e9".encode()]
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


def until_a_new_worker_answers(pool: PoolManager, url: str, method: str, start: threading.Barrier):
    """Send one request after the other; give the answers, and the errors of those that may not be sent again."""
    answers: list[Response] = [pool.request("GET", url)]
    failed: list[errors.ExchangeError] = []
    start.wait(PATIENCE_S)
    while worker_of(answers[-1]) == worker_of(answers[0]):
        assert len(answers) < 20_000, "nginx never changed its worker"
        try:
            answers.append(pool.request(method, url, body=b"x" if method == "POST" else None))
        except errors.ExchangeError as error:
            failed.append(error)
    return answers, failed


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_reload_under_load_costs_no_request_that_can_be_sent_again(nginx, method):
    """The old worker closes what is idle whenever it likes. A POST that meets that may fail, but says why."""
    server = nginx(add_header=PLACE, error_page="405 =200 /1k.bin")
    start = threading.Barrier(4, action=lambda: os.kill(server.pid, signal.SIGHUP))
    arguments = (f"{server.url}/1k.bin", method, start)
    with PoolManager() as pool, ThreadPoolExecutor(4) as threads:
        running = [threads.submit(until_a_new_worker_answers, pool, *arguments) for _ in range(4)]
        results = [future.result(3 * PATIENCE_S) for future in running]
    answers = [answer for answered, _ in results for answer in answered]
    failed = [error for _, errors_met in results for error in errors_met]
    assert {(answer.status, len(answer.data)) for answer in answers} == {(200, 1024)}
    assert not [error for error in failed if method == "GET" or error.retry_safe]


def test_an_idle_connection_of_a_worker_that_ended_is_replaced(nginx):
    """Nginx closes them one by one; a request that comes in between is sent again."""
    server = nginx(add_header=PLACE)
    with PoolManager() as pool:
        first = pool.request("GET", server.url)
        other = idle_connection(server)
        os.kill(server.pid, signal.SIGHUP)
        wait_until_closed(other)
        second = pool.request("GET", server.url)
        stats = pool.stats()
    assert connection_of(second) != connection_of(first)
    assert worker_of(second) != worker_of(first)
    assert (stats.opened, stats.closed_by[Why.PEER_CLOSED]) == (2, 1)
