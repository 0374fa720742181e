"""A proxy's URL: what it may look like, and that nothing secret in it is ever shown."""

from __future__ import annotations

import base64
import ssl
import traceback

import pytest

from keeppool import Config, HostConfig, PoolManager, errors, load_config
from keeppool.core.origin import TlsIdentity
from keeppool.pools.proxies import PROXY_PORTS, proxy_at
from keeppool.pools.routes import Locator

SECRET = "hush"


def basic(authorization: str) -> bytes:
    return base64.b64decode(authorization.removeprefix("Basic "))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("proxy.example:3128", "http://proxy.example:3128"),
        ("proxy.example", "http://proxy.example:80"),
        ("localhost:8080", "http://localhost:8080"),
        ("HTTP://Proxy.Example/", "http://proxy.example:80"),
        ("https://proxy.example", "https://proxy.example:443"),
        ("http://[::1]:3128", "http://[::1]:3128"),
        ("socks5://[2001:DB8::1]", "socks5://[2001:db8::1]:1080"),
        ("socks4a://bücher.example", "socks4a://xn--bcher-kva.example:1080"),
        ("SOCKS5H://me:pw@proxy.example:9050", "socks5h://proxy.example:9050"),
    ],
)
def test_a_usable_url(url, shown):
    assert str(proxy_at(url)) == shown


@pytest.mark.parametrize(
    ("user", "pair"),
    [
        ("me:pw", b"me:pw"),
        ("me", b"me:"),
        ("me:", b"me:"),
        ("m%40e:p%3Aw%2F%25", b"m@e:p:w/%"),
        ("me:p@w", b"me:p@w"),
        ("me:p:w", b"me:p:w"),
        ("me:%E4", b"me:\xe4"),
        ("mé:ü", "mé:ü".encode()),
        ("me:p w", b"me:p w"),
    ],
)
@pytest.mark.parametrize("scheme", ["", "http://", "https://"])
def test_credentials_are_decoded_to_the_very_bytes(scheme, user, pair):
    proxy = proxy_at(f"{scheme}{user}@proxy.example:3128")
    assert basic(proxy.authorization) == pair
    assert proxy.host == "proxy.example"


def test_no_credentials_are_none():
    for url in ("http://proxy", "http://@proxy", "socks5://@proxy"):
        assert (proxy_at(url).authorization, proxy_at(url).credentials) == (None, None)


BROKEN = [
    f"ftp://me:{SECRET}@proxy:21",
    f"socks6://me:{SECRET}@proxy:21",
    f"http://me:{SECRET}@",
    f"http://me:{SECRET}@:80",
    f"http://me:{SECRET}@proxy:99999",
    f"http://me:{SECRET}@proxy:0",
    f"http://me:{SECRET}@pro xy:80",
    f"http://me:{SECRET}@proxy:port",
    f"http://me:{SECRET}/@proxy:80",
    f"http://me:{SECRET}?@proxy:80",
    f"http://me:{SECRET}#@proxy:80",
    f"me:{SECRET}://@proxy:80",
    f"http://me:{SECRET}\n@proxy:80",
    f"http://me:{SECRET}\ud800@proxy:80",
    f"http://me:{SECRET}@pro\nxy:80",
    f"http://me:{SECRET}@[::1:80",
    f"socks5://me:{SECRET * 70}@proxy",
    f"socks4://m%00e:{SECRET}@proxy",
    f"socks4a://m%C3%A9:{SECRET}@proxy",
]


@pytest.mark.parametrize("url", BROKEN, ids=ascii)
def test_a_url_that_cannot_be_used_is_refused_and_its_password_not_shown(url):
    with PoolManager() as pool, pytest.raises(errors.InvalidProxyURL) as caught:
        pool.request("GET", "http://a.example/", host=HostConfig(proxy=url))
    shown = "".join(traceback.format_exception(caught.value.__cause__ or caught.value))
    assert SECRET not in shown + str(caught.value) + repr(caught.value) + caught.value.url


def test_an_unknown_scheme_is_told_the_known_ones():
    with pytest.raises(errors.InvalidProxyURL) as caught:
        proxy_at("ftp://proxy")
    assert "http, https, socks4, socks4a, socks5, socks5h" in str(caught.value)
    assert list(PROXY_PORTS) == ["http", "https", "socks4", "socks4a", "socks5", "socks5h"]


class TestSecrets:
    @pytest.fixture
    def host(self) -> HostConfig:
        headers = {"Proxy-Authorization": f"Bearer {SECRET}"}
        return HostConfig(proxy=f"http://me:{SECRET}@127.0.0.1:1", proxy_headers=headers, per_host=2)

    def test_a_configuration_shows_none(self, host):
        assert repr(host) == (
            "HostConfig(per_host=2, proxy='http://***@127.0.0.1:1', proxy_headers=(('Proxy-Authorization', '***'),))"
        )
        assert repr(HostConfig(proxy=None)) == "HostConfig(proxy=None)"
        assert repr(HostConfig(proxy=f"me:{SECRET}@proxy")) == "HostConfig(proxy='***@proxy')"
        assert SECRET not in repr(Config(defaults=host, hosts={"a": host}))

    @pytest.mark.parametrize("scheme", ["http", "https", "socks5", "socks4"])
    @pytest.mark.parametrize("origin", ["http", "https"])
    def test_neither_errors_nor_events_nor_statistics_show_any(self, recorder, scheme, origin):
        headers = {"Proxy-Authorization": f"Bearer {SECRET}"}
        host = HostConfig(proxy=f"{scheme}://{SECRET}:{SECRET}@127.0.0.1:1", proxy_headers=headers)
        with PoolManager(on_event=recorder, defaults=host) as pool:
            with pytest.raises(errors.ProxyError) as caught:
                pool.request("GET", f"{origin}://127.0.0.1:2/")
            said = [
                str(caught.value),
                repr(caught.value.__dict__),
                repr(pool),
                repr(pool.stats()),
                repr(recorder.events),
            ]
            assert SECRET not in "".join(said)
            assert "127.0.0.1:1" in said[0]

    def test_an_origin_shows_none(self, host):
        for url in ("http://a.example/", "https://a.example/"):
            origin = Locator(Config()).locate(url, host).route.origin
            assert SECRET not in repr(origin) + str(origin)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"proxy": f"http://me:{SECRET}@proxy".encode()},
            {"proxy_headers": [("Proxy-Authorization", SECRET, 1)]},
            {"proxy_headers": {"Proxy-Authorization": SECRET.encode()}},
            {"proxy_headers": {"Expect": SECRET}},
            {"proxy_headers": 5},
        ],
        ids=str,
    )
    def test_a_wrong_configuration_shows_none(self, wrong):
        with pytest.raises(errors.ConfigError) as caught:
            HostConfig(**wrong)
        assert caught.value.field in wrong
        assert SECRET not in str(caught.value) + repr(caught.value.value)

    def test_a_wrong_file_shows_none(self, tmp_path):
        file = tmp_path / "pool.toml"
        file.write_text(f'[default]\nproxy_headers = ["Proxy-Authorization", "{SECRET}"]\n')
        with pytest.raises(errors.ConfigError, match=r"default\.proxy_headers=.* must be a table") as caught:
            load_config(file)
        assert SECRET not in str(caught.value)


class TestLayers:
    """Less and more specific entries."""

    A, B = {"Proxy-Authorization": "for a"}, {"Proxy-Authorization": "for b"}

    def test_another_proxy_leaves_the_headers_of_the_first_behind(self):
        below = HostConfig(proxy="http://a", proxy_headers=self.A)
        assert (
            Locator(Config()).locate("https://x/", HostConfig(proxy="http://b").over(below)).route.origin.proxy.fields
            == []
        )
        assert HostConfig(proxy="http://b", proxy_headers=self.B).over(below).proxy_headers == tuple(self.B.items())

    def test_the_same_proxy_keeps_them(self):
        below = HostConfig(proxy="http://a", proxy_headers=self.A)
        assert HostConfig(proxy="http://a").over(below).proxy_headers == tuple(self.A.items())
        assert HostConfig(per_host=1).over(below).proxy_headers == tuple(self.A.items())

    def test_headers_without_a_proxy_are_for_any(self):
        below = HostConfig(proxy_headers=self.A)
        assert HostConfig(proxy="http://b").over(below).proxy_headers == tuple(self.A.items())

    def test_they_are_merged_by_name(self):
        below = HostConfig(proxy="http://a", proxy_headers={"X-One": "1", "X-Two": "2"})
        merged = HostConfig(proxy_headers={"x-two": "3"}).over(below).proxy_headers
        assert merged == (("X-One", "1"), ("x-two", "3"))


def test_what_is_checked_of_an_https_proxy_splits_the_pool_and_what_is_not_does_not():
    """For http URLs TLS is spoken with the proxy alone."""
    locator = Locator(Config(defaults=HostConfig(proxy="https://proxy", verify="/ca.pem")))

    def origin(**more):
        return locator.locate("http://a.example/", HostConfig(**more)).route.origin

    plain = origin()
    assert plain.tls == TlsIdentity(verify="/ca.pem")
    assert origin(cert="/me.pem", fingerprint="ab" * 32, server_hostname="b") == plain
    assert origin(ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)) == plain
    assert origin(proxy_verify="/proxy.pem") != plain
    assert origin(verify=False) != plain
    through = locator.locate("https://a.example/", HostConfig(cert="/me.pem")).route.origin
    assert through.tls_hop() == plain


def test_http_through_socks_keeps_the_origins_own_host_and_limits():
    found = Locator(Config(defaults=HostConfig(proxy="socks5h://proxy"))).locate("http://a.example/x")
    assert (found.route.origin.host, found.target, found.route.policy.per_host) == ("a.example", b"/x", 6)
    assert found.route.name == "http://a.example:80 through socks5h://proxy:1080"
