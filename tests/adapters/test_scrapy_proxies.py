"""Proxies in a request's meta: what the proxy is told, what the origin, and which requests share a connection."""

import base64
import socket
import ssl

import pytest
import trustme
from net.proxies import LoopbackProxy, SocksProxy, TunnelProxy
from scrapy.downloadermiddlewares.httpproxy import HttpProxyMiddleware
from scrapy_bench import Bench, Request

from keeppool.adapters.scrapy.errors import DownloadCancelledError, DownloadConnectionRefusedError
from keeppool.testing import Site

SECRET = base64.b64encode(b"user:hush").decode()


@pytest.fixture
def bench():
    with Bench() as bench:
        yield bench


@pytest.fixture
def secure():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with Site(tls=context) as site:
        yield site


def through(bench, url, proxy, **meta):
    """Download as Scrapy does: its middleware makes a header of the proxy's credentials."""
    request = Request(url, meta={"proxy": proxy, **meta})
    HttpProxyMiddleware.from_crawler(bench.crawler).process_request(request)
    return bench.download(request)


def test_an_http_url_goes_to_the_proxy_whole_with_the_credentials(bench):
    with Site() as proxy:
        proxy_url = proxy.url.replace("//", "//user:hush@")
        through(bench, "http://a.example/x?y#z", proxy_url)
        through(bench, "http://b.example:8080", proxy_url)
    assert [request.target for request in proxy.log] == ["http://a.example/x?y", "http://b.example:8080/"]
    assert [request.headers["host"] for request in proxy.log] == ["a.example", "b.example:8080"]
    assert {request.headers["proxy-authorization"] for request in proxy.log} == {f"Basic {SECRET}"}
    assert proxy.opened == 1


def test_a_proxy_without_a_scheme_is_an_http_proxy(bench):
    with Site() as proxy:
        bench.download("http://a.example/", proxy=f"127.0.0.1:{proxy.port}")
    assert proxy.log[0].target == "http://a.example/"


def test_credentials_are_for_their_proxy_and_their_connections_alone(bench):
    with Site() as proxy:
        for user in ("one", "two", "one"):
            through(bench, "http://a.example/", proxy.url.replace("//", f"//{user}:hush@"))
    assert [request.connection for request in proxy.log] == [1, 2, 1]


def test_a_tunnel_carries_the_credentials_before_it_and_nothing_of_them_inside(bench, secure):
    with TunnelProxy() as proxy:
        for _ in range(2):
            assert through(bench, f"{secure.url}/echo", proxy.url_for("user:hush")).status == 200
        connect = proxy.requests[0]
        assert len(proxy.requests) == 1
    assert (connect.method, connect.target) == ("CONNECT", f"127.0.0.1:{secure.port}")
    assert f"Basic {SECRET}" in str(connect)
    assert not any("proxy-authorization" in request.headers for request in secure.log)
    assert (secure.requests, secure.opened) == (2, 1)


def test_a_tunnel_within_tls_to_a_proxy_whose_certificate_nobody_checks(bench, secure):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with TunnelProxy(tls=context) as proxy:
        assert through(bench, secure.url, proxy.url_for("user:hush")).status == 200
    with (
        TunnelProxy(tls=context) as proxy,
        Bench(DOWNLOAD_VERIFY_CERTIFICATES=True) as strict,
        pytest.raises(DownloadConnectionRefusedError, match="certificate"),
    ):
        through(strict, secure.url, proxy.url)


def test_a_proxy_that_wants_credentials_is_a_refusal_that_says_so(bench, secure):
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
    with TunnelProxy(reply=refusal) as proxy, pytest.raises(DownloadConnectionRefusedError, match="407"):
        through(bench, secure.url, proxy.url_for("user:wrong"))
    assert secure.opened == 0


def test_a_socks_proxy_gets_user_and_password_as_socks_has_them(bench, site):
    with SocksProxy(password=b"h:sh") as proxy:
        response = through(bench, f"{site.url}/echo", proxy.url_for("us%20er:h%3Ash", "socks5"))
    assert response.json()["target"] == "/echo"
    assert (proxy.requests[0].user, proxy.requests[0].password) == (b"us er", b"h:sh")
    assert "proxy-authorization" not in site.log[0].headers


def test_other_credentials_than_basic_cannot_be_said_in_socks(bench, site):
    request = Request(site.url, headers={"Proxy-Authorization": "Bearer hush"}, meta={"proxy": "socks5://127.0.0.1"})
    with pytest.raises(DownloadCancelledError, match="must be Basic") as refused:
        bench.download(request)
    assert "hush" not in str(refused.value)


def test_meta_wins_over_a_hosts_configured_proxy_also_by_saying_none(site):
    with Site() as configured, Site() as chosen:
        with Bench(KEEPPOOL_HOSTS={"*": {"proxy": configured.url}}) as bench:
            bench.download("http://a.example/")
            bench.download("http://a.example/", proxy=chosen.url)
            bench.download("http://a.example/", proxy=chosen.url, keeppool={"proxy": configured.url, "tag": "one"})
            bench.download(site.url, proxy=None)
        assert (configured.requests, chosen.requests, site.requests) == (1, 2, 1)
        assert [request.connection for request in chosen.log] == [1, 2]


def test_no_proxy_comes_from_the_environment(bench, site, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert bench.download(site.url).status == 200


class HangsUpOnce(LoopbackProxy):
    """A SOCKS proxy whose first tunnel is closed in the same packet that says it is open; the others answer."""

    scheme = "socks5h"

    def serve(self, client):
        client.recv(100)
        client.sendall(b"\x05\x00")
        client.recv(100)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        client.sendall(b"\x05\x00\x00\x01" + bytes(6))
        if self.connections > 1:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
            self.carried.append(bytearray(client.recv(65536)))
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@pytest.mark.skipif(not hasattr(socket, "TCP_CORK"), reason="needs Linux's TCP_CORK to close in one packet")
def test_a_new_connection_that_is_closed_before_its_request_was_sent_is_replaced_once(bench):
    with HangsUpOnce() as proxy:
        request = Request("http://a.example/", method="POST", body=b"once", meta={"proxy": proxy.url})
        assert bench.download(request).body == b"ok"
        assert proxy.connections == 2
    assert len(proxy.carried) == 1
    assert bench.stats["opened"] == 2
