"""Whole requests through real proxies: what each is told, what the origin sees, whose fault an error says it is."""

from __future__ import annotations

import json
import ssl

import pytest
import trustme
from net.proxies import SocksProxy, TunnelProxy
from pools.on_a_loop import PoolOnALoop

from keeppool import INHERIT, HostConfig, PoolManager, errors, load_config
from keeppool.events import ConnectionOpened
from keeppool.testing import RawConnection, ScriptedServer, Site

SECRET = "hush"
PLAIN = b"HTTP/1.1 400 Bad Request\r\n\r\n"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def roots(authority, tmp_path_factory):
    path = tmp_path_factory.mktemp("roots") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


def context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(made)
    return made


@pytest.fixture
def proxy_tls(authority):
    """A server's context that takes a client's certificate if there is one."""
    made = context(authority, "127.0.0.1", "proxy.example")
    authority.configure_trust(made)
    made.verify_mode = ssl.CERT_OPTIONAL
    return made


@pytest.fixture
def site():
    with Site() as site:
        yield site


@pytest.fixture
def tls_site(authority):
    with Site(tls=context(authority, "a.example", "127.0.0.1")) as site:
        yield site


@pytest.fixture
def pool(roots, recorder):
    with PoolManager(defaults=HostConfig(verify=roots), timeout=20, on_event=recorder) as pool:
        yield pool


def leads_to(site: Site) -> tuple[str, int]:
    return site.host, site.port


def seen_by_origin(response) -> str:
    """What the request's head looked like at the origin."""
    return json.dumps(json.loads(response.data)["headers"]).lower()


class TestTunnels:
    @pytest.mark.parametrize("dribble", [False, True])
    def test_an_https_origin_through_an_http_proxy(self, pool, tls_site, dribble):
        with TunnelProxy(leads_to=leads_to(tls_site), dribble=dribble) as proxy:
            host = HostConfig(proxy=proxy.url_for(f"me:{SECRET}"), headers={"X-Mine": "1"})
            for _ in range(3):
                response = pool.request("GET", "https://a.example/echo", host=host)
                assert "x-mine" in seen_by_origin(response)
                assert "proxy-authorization" not in seen_by_origin(response)
            assert [asked.target for asked in proxy.requests] == ["a.example:443"]
            assert proxy.requests[0].credentials == f"me:{SECRET}"
            assert SECRET.encode() not in proxy.carried[0]

    @pytest.mark.parametrize("dribble", [False, True])
    def test_an_https_origin_through_an_https_proxy(self, pool, tls_site, proxy_tls, recorder, dribble):
        """TLS within TLS; the pool keeps the connection as any other."""
        with TunnelProxy(leads_to=leads_to(tls_site), tls=proxy_tls, dribble=dribble) as proxy:
            host = HostConfig(proxy=proxy.url_for(f"me:{SECRET}"))
            for _ in range(3):
                response = pool.request("GET", "https://a.example/echo", host=host)
                assert "proxy-authorization" not in seen_by_origin(response)
            assert [asked.target for asked in proxy.requests] == ["a.example:443"]
            assert proxy.requests[0].credentials == f"me:{SECRET}"
            assert b"GET" not in proxy.carried[0]
        assert len(recorder.of(ConnectionOpened)) == 1

    def test_large_bodies_in_both_directions_through_two_layers(self, pool, tls_site, proxy_tls):
        with TunnelProxy(leads_to=leads_to(tls_site), tls=proxy_tls) as proxy:
            host = HostConfig(proxy=proxy.url)
            assert len(pool.request("GET", "https://a.example/bytes/3000000", host=host).data) == 3_000_000
            body = bytes(range(256)) * 4000
            echoed = pool.request("POST", "https://a.example/echo", host=host, body=body).data
            assert json.loads(echoed)["body"].encode("latin-1") == body
            assert len(proxy.requests) == 1

    def test_both_layers_resume(self, pool, tls_site, proxy_tls, recorder):
        with TunnelProxy(leads_to=leads_to(tls_site), tls=proxy_tls) as proxy:
            host = HostConfig(proxy=proxy.url, keep_alive=False)
            for _ in range(3):
                pool.request("GET", "https://a.example/", host=host)
            assert [event.resumed for event in recorder.of(ConnectionOpened)] == [False, True, True]
            assert proxy.resumed == [False, True, True]

    def test_an_https_proxy_learns_nothing_that_is_meant_for_the_origin(self, pool, tls_site, proxy_tls, authority):
        """Neither the client's certificate nor the names; and the origin's fingerprint is not asked of it."""
        mine = authority.issue_cert("client.example")
        with (
            mine.private_key_and_cert_chain_pem.tempfile() as cert,
            TunnelProxy(leads_to=leads_to(tls_site), tls=proxy_tls) as proxy,
        ):
            host = HostConfig(proxy=proxy.url.replace("127.0.0.1", "localhost"), cert=cert, server_hostname="a.example")
            with pytest.raises(errors.ProxyError, match="not valid for 'localhost'"):
                pool.request("GET", "https://other.example/", host=host)
            host = HostConfig(proxy=proxy.url, cert=cert, server_hostname="a.example")
            assert pool.request("GET", "https://other.example/", host=host).status == 200
            assert pool.request("GET", "http://other.example/", host=host).data == b"ok"
            assert proxy.certificates == [{}, {}] or proxy.certificates == [None, None]
            assert proxy.names == ["localhost", None, None]

    def test_a_fingerprint_is_asked_of_the_origin_alone(self, pool, tls_site, proxy_tls):
        with TunnelProxy(leads_to=leads_to(tls_site), tls=proxy_tls) as proxy:
            host = HostConfig(proxy=proxy.url, fingerprint="ab" * 32)
            with pytest.raises(errors.CertificateError):
                pool.request("GET", "https://a.example/", host=host)
            assert pool.request("GET", "http://a.example/", host=host).data == b"ok"

    @pytest.mark.parametrize(
        ("url", "target"),
        [
            ("https://[::1]/", "[::1]:443"),
            ("https://[2001:db8::1]:8443/", "[2001:db8::1]:8443"),
            ("https://[fe80::1%25lo]/", "[fe80::1]:443"),
            ("https://bücher.example/", "xn--bcher-kva.example:443"),
        ],
    )
    def test_hosts_are_asked_for_as_the_authority_form_has_them(self, pool, url, target):
        with TunnelProxy(reply=b"HTTP/1.1 502 No\r\n\r\n") as proxy:
            with pytest.raises(errors.ProxyError) as caught:
                pool.request("GET", url, host=HostConfig(proxy=proxy.url))
            assert proxy.requests[0].target == proxy.requests[0].get("Host") == target
            assert caught.value.status == 502


class TestWhoseFault:
    def test_a_proxys_certificate_nobody_vouches_for(self, tls_site, proxy_tls):
        with TunnelProxy(leads_to=leads_to(tls_site), tls=proxy_tls) as proxy, PoolManager(timeout=20) as pool:
            with pytest.raises(errors.ProxyError, match="the proxy's certificate is refused") as caught:
                pool.request("GET", "https://a.example/", host=HostConfig(proxy=proxy.url))
            assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
            assert proxy.requests == []

    def test_an_origins_certificate_nobody_vouches_for(self, pool, proxy_tls):
        stranger = context(trustme.CA(), "a.example")
        with Site(tls=stranger) as site, TunnelProxy(leads_to=leads_to(site), tls=proxy_tls) as proxy:
            with pytest.raises(errors.CertificateError) as caught:
                pool.request("GET", "https://a.example/", host=HostConfig(proxy=proxy.url))
            assert not isinstance(caught.value, errors.ProxyError)
            assert str(caught.value).startswith(f"GET https://a.example/ through {proxy.url}: the certificate")

    @pytest.mark.parametrize("target", ["http://a.example/", "https://a.example/"])
    def test_a_proxy_that_does_not_speak_tls(self, pool, target):
        with ScriptedServer([PLAIN]) as server:
            url = f"https://{server.host}:{server.port}"
            with pytest.raises(errors.ProxyError, match="TLS with the proxy failed"):
                pool.request("GET", target, host=HostConfig(proxy=url))

    def test_an_origin_that_does_not_speak_tls(self, pool, proxy_tls):
        with (
            ScriptedServer([PLAIN]) as server,
            TunnelProxy(leads_to=(server.host, server.port), tls=proxy_tls) as proxy,
            pytest.raises(errors.SSLError),
        ):
            pool.request("GET", "https://a.example/", host=HostConfig(proxy=proxy.url))

    def test_a_refusal_within_tls(self, pool, proxy_tls):
        with TunnelProxy(reply=b"HTTP/1.1 407 Who\r\n\r\n", tls=proxy_tls) as proxy:
            with pytest.raises(errors.ProxyError) as caught:
                pool.request("GET", "https://a.example/", host=HostConfig(proxy=proxy.url_for(f"me:{SECRET}")))
            assert caught.value.status == 407
            assert SECRET not in str(caught.value) + repr(caught.value.__dict__)


class TestSocks:
    @pytest.mark.parametrize("scheme", ["socks4", "socks4a", "socks5", "socks5h"])
    @pytest.mark.parametrize("dribble", [False, True])
    @pytest.mark.parametrize("origin", ["http", "https"])
    def test_every_version_carries_both(self, pool, site, tls_site, scheme, dribble, origin):
        target = {"http": site, "https": tls_site}[origin]
        with SocksProxy(leads_to=leads_to(target), dribble=dribble) as proxy:
            host = HostConfig(proxy=proxy.url_for("", scheme), server_hostname="a.example")
            for _ in range(2):
                response = pool.request("GET", f"{origin}://localhost:1234/echo", host=host)
                assert json.loads(response.data)["target"] == "/echo"
                assert '"host": "localhost:1234"' in seen_by_origin(response)
            (asked,) = proxy.requests
            by_name = scheme in ("socks4a", "socks5h")
            assert (asked.version, asked.port, asked.is_name) == (int(scheme[5]), 1234, by_name)
            assert asked.host == ("localhost" if by_name else "127.0.0.1")

    @pytest.mark.parametrize("scheme", ["socks4a", "socks5h"])
    def test_a_name_the_proxy_resolves_is_not_resolved_here(self, pool, site, scheme):
        with SocksProxy(leads_to=leads_to(site)) as proxy:
            url = "http://no-such-host.invalid/"
            assert pool.request("GET", url, host=HostConfig(proxy=proxy.url_for("", scheme))).status == 200
            assert proxy.requests[0].host == "no-such-host.invalid"

    @pytest.mark.parametrize("scheme", ["socks4", "socks5"])
    def test_a_name_nobody_knows_here_never_reaches_the_proxy(self, pool, scheme):
        with SocksProxy() as proxy:
            url = "http://nobody-knows.invalid/"  # RFC 6761 §6.4: no resolver does.
            with pytest.raises(errors.ResolveError):
                pool.request("GET", url, host=HostConfig(proxy=proxy.url_for("", scheme)))
            assert proxy.connections == 0

    @pytest.mark.parametrize(("scheme", "is_name"), [("socks5", False), ("socks5h", False)])
    def test_an_address_is_asked_for_as_one(self, pool, site, scheme, is_name):
        with SocksProxy(leads_to=leads_to(site)) as proxy:
            for literal in ("[2001:db8::1]", "192.0.2.1"):
                pool.request("GET", f"http://{literal}/", host=HostConfig(proxy=proxy.url_for("", scheme)))
            assert [(asked.host, asked.is_name) for asked in proxy.requests] == [
                ("2001:db8::1", is_name),
                ("192.0.2.1", is_name),
            ]

    def test_version_4_has_no_way_to_an_ipv6_address(self, pool):
        with SocksProxy() as proxy, pytest.raises(errors.ResolveError):
            pool.request("GET", "http://[::1]/", host=HostConfig(proxy=proxy.url_for("", "socks4")))

    @pytest.mark.parametrize(
        ("given", "user", "password"),
        [
            ("me:hush", "me", "hush"),
            ("m%40e:h%3Aus%2Fh", "m@e", "h:us/h"),
            ("m%C3%A9:pass%E4", "mé", b"pass\xe4"),
            ("token:", "token", ""),
            ("token", "token", ""),
        ],
    )
    def test_version_5_shows_user_and_password(self, pool, site, given, user, password):
        wanted = password if isinstance(password, bytes) else password.encode()
        with SocksProxy(leads_to=leads_to(site), password=wanted) as proxy:
            response = pool.request("GET", "http://a.example/echo", host=HostConfig(proxy=proxy.url_for(given)))
            assert (proxy.requests[0].user, proxy.requests[0].password) == (user.encode(), wanted)
            assert "authorization" not in seen_by_origin(response)

    def test_version_4_shows_its_user_alone(self, pool, site):
        with SocksProxy(leads_to=leads_to(site)) as proxy:
            pool.request("GET", "http://a.example/", host=HostConfig(proxy=proxy.url_for(f"me:{SECRET}", "socks4a")))
            assert proxy.requests[0].user == b"me"

    @pytest.mark.parametrize("given", ["", f"me:not{SECRET}"])
    def test_wrong_credentials(self, pool, given):
        with SocksProxy(password=SECRET.encode()) as proxy:
            with pytest.raises(errors.ProxyError, match="authentication") as caught:
                pool.request("GET", "http://a.example/", host=HostConfig(proxy=proxy.url_for(given)))
            assert SECRET not in str(caught.value)

    def test_a_requests_proxy_credentials_do_not_go_through(self, pool, site):
        """A SOCKS proxy reads no HTTP: what says `Proxy-Authorization` would end at the origin."""
        with SocksProxy(leads_to=leads_to(site)) as proxy:
            host = HostConfig(proxy=proxy.url, proxy_headers={"X-Proxy": SECRET})
            headers = {"Proxy-Authorization": SECRET}
            response = pool.request("GET", "http://a.example/echo", headers=headers, host=host)
            assert SECRET not in seen_by_origin(response)

    @pytest.mark.parametrize(
        ("scheme", "code", "meaning"),
        [
            ("socks4a", 91, "rejected or failed"),
            ("socks4a", 93, "different user-ids"),
            ("socks5h", 1, "General SOCKS server failure"),
            ("socks5h", 2, "not allowed by ruleset"),
            ("socks5h", 5, "Connection refused"),
            ("socks5h", 8, "Address type not supported"),
        ],
    )
    def test_a_refusal_says_why(self, pool, scheme, code, meaning):
        with SocksProxy(code=code) as proxy:
            with pytest.raises(errors.ProxyError, match=meaning) as caught:
                pool.request("GET", "https://a.example/", host=HostConfig(proxy=proxy.url_for("", scheme)))
            assert caught.value.status == code
            assert caught.value.origin.startswith("https://a.example:443 through socks")

    @pytest.mark.parametrize("bound", [b"\3\5proxy", b"\4" + bytes(16)])
    def test_the_address_in_the_reply_may_be_of_any_kind(self, pool, site, bound):
        with SocksProxy(leads_to=leads_to(site), bound=bound, dribble=True) as proxy:
            assert pool.request("GET", "http://a.example/", host=HostConfig(proxy=proxy.url)).status == 200


class TestSharing:
    def test_connections_through_socks_are_counted_by_host_and_by_proxy(self, site, recorder):
        with SocksProxy(leads_to=leads_to(site)) as proxy, PoolManager(on_event=recorder) as pool:
            host = HostConfig(proxy=proxy.url)
            for name in ("a.example", "b.example", "a.example"):
                pool.request("GET", f"http://{name}/", host=host)
            assert [asked.host for asked in proxy.requests] == ["a.example", "b.example"]

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_different_proxy_headers_never_share_a_connection(self, pool, tls_site, scheme):
        with TunnelProxy(leads_to=leads_to(tls_site)) as proxy:
            for token in ("one", "two", "one", "two"):
                host = HostConfig(proxy=proxy.url, proxy_headers={"Proxy-Authorization": f"Bearer {token}"})
                pool.request("GET", f"{scheme}://a.example/", host=host)
            assert proxy.connections == 2
            assert {asked.get("Proxy-Authorization") for asked in proxy.requests} == {"Bearer one", "Bearer two"}


class TestProxyHeaders:
    def test_they_go_with_connect_and_not_to_the_origin(self, pool, tls_site):
        with TunnelProxy(leads_to=leads_to(tls_site)) as proxy:
            fields = [("X-Session", "7"), ("proxy-authorization", "Bearer mine")]
            host = HostConfig(proxy=proxy.url_for(f"me:{SECRET}"), proxy_headers=fields)
            response = pool.request("GET", "https://a.example/echo", host=host)
            assert proxy.requests[0].fields == [("Host", "a.example:443"), *fields]
            assert "x-session" not in seen_by_origin(response)
            assert "bearer mine" not in seen_by_origin(response)

    def test_they_go_with_each_http_request_unless_it_has_its_own(self, pool):
        with TunnelProxy() as proxy:
            host = HostConfig(
                proxy=proxy.url_for(f"me:{SECRET}"),
                headers={"X-Session": "the host's"},
                proxy_headers={"X-Session": "7", "Proxy-Authorization": "Bearer mine"},
            )
            for headers in ({}, {"x-session": "8"}):
                pool.request("GET", "http://a.example/", host=host, headers=headers)
            first, second = proxy.requests
            assert (first.get("X-Session"), second.get("X-Session")) == ("7", "8")
            assert [value for name, value in first.fields if name == "Proxy-Authorization"] == ["Bearer mine"]
            assert proxy.connections == 1


@pytest.mark.parametrize("kind", [PoolManager, PoolOnALoop], ids=["threads", "tasks"])
@pytest.mark.parametrize("proxied", [True, False], ids=["proxy", "origin"])
def test_proxy_connection_close_is_believed_of_a_proxy_alone(kind, proxied):
    closes = b"HTTP/1.1 200 OK\r\nProxy-Connection: close\r\nContent-Length: 2\r\n\r\nok"
    script = [RawConnection.read_request, closes, RawConnection.read_request, closes, RawConnection.read_until_closed]
    with ScriptedServer(script, script) as server, kind(timeout=5) as pool:
        host = HostConfig(proxy=server.url) if proxied else None
        url = "http://origin.example/" if proxied else server.url
        for _ in range(2):
            assert pool.request("GET", url, host=host).data == b"ok"
        assert pool.stats().opened == (2 if proxied else 1)


class TestCheckingTheProxy:
    """Whoever does not check an origin has still given the proxy credentials: two settings."""

    @pytest.mark.parametrize("kind", [PoolManager, PoolOnALoop])
    @pytest.mark.parametrize("url", ["https://a.example/", "http://a.example/"])
    @pytest.mark.parametrize("said", [{"verify": False}, {"verify": False, "proxy_verify": True}])
    def test_an_unchecked_origin_leaves_its_proxy_checked(self, kind, url, said, tls_site, proxy_tls):
        with TunnelProxy(leads_to=leads_to(tls_site), tls=proxy_tls) as proxy, kind() as pool:
            host = HostConfig(proxy=proxy.url_for(f"me:{SECRET}"), **said)
            with pytest.raises(errors.ProxyError, match="the proxy's certificate is refused"):
                pool.request("GET", url, host=host)
            assert not proxy.requests

    @pytest.mark.parametrize("kind", [PoolManager, PoolOnALoop])
    def test_roots_or_no_check_can_be_said_of_the_proxy_itself(self, kind, roots, tls_site, proxy_tls, tmp_path):
        file = tmp_path / "keeppool.toml"
        file.write_text("[default]\nverify = false\nproxy_verify = false\n")
        with TunnelProxy(leads_to=leads_to(tls_site), tls=proxy_tls) as proxy:
            with kind(config=load_config(file)) as pool:
                assert pool.request("GET", "https://a.example/", host=HostConfig(proxy=proxy.url)).status == 200
            with kind(defaults=HostConfig(verify=False)) as pool:
                for said in (False, roots):
                    host = HostConfig(proxy=proxy.url, proxy_verify=said)
                    assert pool.request("GET", "https://a.example/", host=host).status == 200
                assert pool.stats().opened == 2, "connections checked differently are not shared"

    def test_where_nothing_is_said_of_the_proxy_the_origins_roots_hold(self, pool, tls_site, proxy_tls):
        with TunnelProxy(leads_to=leads_to(tls_site), tls=proxy_tls) as proxy:
            assert pool.request("GET", "https://a.example/", host=HostConfig(proxy=proxy.url)).status == 200

    def test_another_proxy_is_not_trusted_because_one_is(self):
        base = HostConfig(proxy="https://one", proxy_verify=False)
        assert HostConfig(proxy="https://two").over(base).proxy_verify is INHERIT
        assert HostConfig(per_host=2).over(base).proxy_verify is False


class TestWithoutAProxy:
    """What says who we are to a proxy is not for an origin."""

    @pytest.mark.parametrize("kind", [PoolManager, PoolOnALoop])
    def test_an_origin_does_not_read_what_is_meant_for_a_proxy(self, kind, site):
        with kind(defaults=HostConfig(headers={"Proxy-Authorization": SECRET})) as pool:
            response = pool.request("GET", f"{site.url}/echo", headers={"proxy-authorization": SECRET})
            assert SECRET not in seen_by_origin(response)
            assert SECRET not in seen_by_origin(pool.request("GET", f"{site.url}/echo"))
