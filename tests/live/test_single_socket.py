"""One host, one caller after the other: one socket, one handshake."""

from __future__ import annotations

import ssl

import pytest
import trustme

from keeppool import HostConfig, PoolManager, Session
from keeppool.events import ConnectionOpened


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def roots(authority, tmp_path_factory) -> str:
    """A file with the root that the pool is to trust."""
    path = tmp_path_factory.mktemp("tls") / "roots.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def server_tls(authority) -> ssl.SSLContext:
    """A server's context that speaks TLS 1.3 alone. OpenSSL counts its handshakes and resumptions."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def handshakes(context: ssl.SSLContext) -> tuple[int, int]:
    """Finished handshakes, and how many of them resumed a session, by the server's own count."""
    counted = context.session_stats()
    return counted["accept_good"], counted["hits"]


def test_ten_thousand_requests_of_a_pool_open_one_socket(sites):
    site = sites.add()
    with PoolManager() as pool:
        assert all(pool.request("GET", site.url).status == 200 for _ in range(10_000))
    assert (site.opened, site.requests) == (1, 10_000)


def test_ten_thousand_requests_of_a_session_open_one_socket_to_nginx(nginx):
    server = nginx(keepalive_requests=20_000, add_header="X-Place $connection/$connection_requests")
    with Session() as session:
        places = [session.get(f"{server.url}/1k.bin").headers["X-Place"] for _ in range(10_000)]
    connection = places[0].partition("/")[0]
    assert places == [f"{connection}/{number}" for number in range(1, 10_001)]


def test_a_hundred_requests_over_tls_need_one_handshake(sites, server_tls, roots):
    site = sites.add(tls=server_tls)
    with PoolManager(defaults=HostConfig(verify=roots)) as pool:
        assert all(pool.request("GET", site.url).status == 200 for _ in range(100))
    assert (site.opened, site.requests) == (1, 100)
    assert handshakes(server_tls) == (1, 0)


def test_a_reconnect_resumes_the_tls_session(sites, server_tls, roots, recorder):
    site = sites.add(tls=server_tls)
    with PoolManager(defaults=HostConfig(verify=roots), on_event=recorder) as pool:
        pool.request("GET", site.url)
        for reconnects in (1, 2, 3):
            site.drop_idle()
            assert pool.request("GET", site.url).status == 200
            assert handshakes(server_tls) == (1 + reconnects, reconnects)
    assert [event.resumed for event in recorder.of(ConnectionOpened)] == [False, True, True, True]


def test_pools_that_trust_differently_share_no_tls_session(sites, server_tls, roots):
    site = sites.add(tls=server_tls)
    with PoolManager() as pool:
        for verify in (roots, False, roots):
            site.drop_idle()
            assert pool.request("GET", site.url, host=HostConfig(verify=verify)).status == 200
    assert handshakes(server_tls) == (3, 1), "only the third handshake knows a session of its own settings"
