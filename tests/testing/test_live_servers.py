"""The real servers run, are what they say, and the embedded ones imitate them."""

from __future__ import annotations

import http.client
import os

import pytest
from live import servers

from keeppool.testing import Behaviour


def hints(host: str, port: int, requests: int) -> list[tuple[str, str]]:
    """Send requests that ask for hints; give each answer's Connection and Keep-Alive; reconnect where told."""
    client = http.client.HTTPConnection(host, port, timeout=5)
    seen = []
    for _ in range(requests):
        client.request("GET", "/", headers={"Connection": "keep-alive"})
        answer = client.getresponse()
        answer.read()
        seen.append((answer.getheader("connection", "").lower(), answer.getheader("keep-alive", "")))
    client.close()
    return seen


def test_a_left_style_site_says_what_apache_says(apache, sites):
    server = apache(KeepAlive=True, KeepAliveTimeout=5, MaxKeepAliveRequests=3)
    site = sites.add(Behaviour(hint_timeout=5, hint_max=3))
    assert hints(server.host, server.port, 6) == hints(site.host, site.port, 6)


def test_a_constant_style_site_says_what_node_says(node_server, sites):
    server = node_server(keepAliveTimeout=5000, maxRequestsPerSocket=3)
    site = sites.add(Behaviour(hint_timeout=5, hint_max=3, hint_style="constant"))
    assert hints(server.host, server.port, 5) == hints(site.host, site.port, 5)


@pytest.mark.parametrize("start", ["nginx", "apache", "node_server"])
def test_every_server_offers_the_same_files_and_is_gone_afterwards(request, start):
    server = request.getfixturevalue(start)()
    client = http.client.HTTPConnection(server.host, server.port, timeout=5)
    for path, size in (("/", 6), ("/1k.bin", 1024), ("/1m.bin", 1024 * 1024)):
        client.request("GET", path)
        assert len(client.getresponse().read()) == size
    client.close()
    server.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


def test_nginx_closes_after_the_requests_it_is_told(nginx):
    server = nginx(keepalive_requests=2)
    assert [connection for connection, _ in hints(server.host, server.port, 4)] == ["keep-alive", "close"] * 2


def test_nginx_speaks_tls(nginx, authority, client_tls, tmp_path):
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    both = str(tmp_path / "both.pem")
    server = nginx(tls=(both, both))
    client = http.client.HTTPSConnection(server.host, server.port, context=client_tls, timeout=5)
    client.request("GET", "/")
    assert client.getresponse().read() == b"hello\n"
    client.close()
    assert server.url.startswith("https://")


def test_a_server_that_cannot_start_says_why(nginx):
    with pytest.raises(servers.Failed, match="no_such_directive"):
        nginx(no_such_directive=1)


def test_a_taken_port_is_given_up_for_another(node_server, monkeypatch):
    first = node_server()
    free = servers.free_port
    ports = iter([first.port])
    monkeypatch.setattr(servers, "free_port", lambda: next(ports, None) or free())
    assert node_server().port != first.port


def test_a_missing_program_skips_here_and_fails_in_ci(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="skipped: no-such-program not installed"):
        servers.program("no-such-program")
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match="not installed, and CI is set"):
        servers.program("no-such-program")
