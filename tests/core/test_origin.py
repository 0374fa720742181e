"""The pool's key: whatever makes two requests not interchangeable makes two origins."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from keeppool.core.origin import Origin, Proxy, TlsIdentity

BASE = Origin(scheme="https", host="a", port=443, tls=TlsIdentity())
SETTINGS = tuple(inspect.signature(Origin).parameters)
PROXY = Proxy(scheme="http", host="p", port=3128)
OTHER = {
    "scheme": "http",
    "host": "b",
    "port": 8443,
    "tls": None,
    "proxy": PROXY,
    "source_address": "127.0.0.2",
    "unix_socket": "/run/a.sock",
    "tcp_keepalive": None,
    "tag": "mine",
}
OTHER_TLS = {
    "verify": False,
    "cert": ("a.pem", "a.key"),
    "fingerprint": "00" * 32,
    "server_hostname": "b",
    "context": object(),
}


def varied(**changes: Any) -> Origin:
    """Make the same origin, but for some settings."""
    return Origin(**{name: getattr(BASE, name) for name in SETTINGS} | changes)


def test_equal_settings_make_equal_origins() -> None:
    same = varied(tls=TlsIdentity())
    assert (same, hash(same)) == (BASE, hash(BASE))
    assert BASE != "https://a:443"


@pytest.mark.parametrize("name", SETTINGS)
def test_each_setting_tells_origins_apart(name: str) -> None:
    assert varied(**{name: OTHER[name]}) != BASE


@pytest.mark.parametrize("name", TlsIdentity._fields)
def test_each_tls_setting_tells_origins_apart(name: str) -> None:
    """curl CVE-2016-5420, CVE-2022-27782: reused with another client certificate, with other TLS options."""  # noqa: D403
    assert varied(tls=TlsIdentity(**{name: OTHER_TLS[name]})) != BASE


@pytest.mark.parametrize("change", [{"scheme": "https"}, {"host": "q"}, {"port": 1}, {"authorization": "Basic eDp5"}])
def test_each_setting_of_the_proxy_tells_origins_apart(change: dict[str, str]) -> None:
    assert varied(proxy=PROXY) != varied(proxy=PROXY._replace(**change))


@pytest.mark.parametrize(
    ("origin", "text"),
    [
        (BASE, "https://a:443"),
        (Origin(scheme="http", host="::1", port=80), "http://[::1]:80"),
        (varied(unix_socket="/run/a.sock"), "https://a:443 by /run/a.sock"),
        (varied(proxy=PROXY._replace(authorization="secret")), "https://a:443 through http://p:3128"),
    ],
)
def test_an_origin_reads_like_a_url_and_tells_no_secret(origin: Origin, text: str) -> None:
    assert str(origin) == text
    assert "secret" not in repr(origin)
