"""The environment's say on proxies and certificates: which variable wins, which hosts go direct, when it is read."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from requests.utils import get_environ_proxies
from requests.utils import select_proxy as select_proxy_of_requests

from keeppool.client.environment import NAMES, Environment, Settings, select_proxy
from keeppool.client.no_proxy import NoProxy
from keeppool.config import INHERIT


@pytest.fixture(autouse=True)
def _bare(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


# When it is read


def test_nothing_is_said_where_nothing_is_set():
    assert Environment().read() is None


@pytest.mark.parametrize("name", [name for name in NAMES if name != "REQUEST_METHOD"])
def test_each_variable_is_noticed_when_it_is_set_changed_and_removed(monkeypatch, name):
    environment = Environment()
    monkeypatch.setenv(name, "/one")
    first = environment.read()
    assert first is not None
    assert environment.read() is first
    monkeypatch.setenv(name, "/two")
    second = environment.read()
    assert second is not None
    assert second is not first
    monkeypatch.delenv(name)
    assert environment.read() is None


def test_other_variables_do_not_matter(monkeypatch):
    environment = Environment()
    monkeypatch.setenv("http_proxy", "http://proxy")
    settings = environment.read()
    monkeypatch.setenv("PROXY", "http://other")
    assert environment.read() is settings


@pytest.mark.parametrize("before", [{}, {"http_proxy": "http://first"}])
def test_an_environment_that_is_replaced_as_a_whole_is_noticed(monkeypatch, before):
    """Some programs and tests assign a plain dictionary."""
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    environment = Environment()
    environment.read()
    monkeypatch.setattr(os, "environ", {"http_proxy": "http://second", "HTTP_PROXY": "http://third"})
    settings = environment.read()
    assert settings is not None
    assert settings.proxies == {"http": "http://second"}
    monkeypatch.setattr(os, "environ", {})
    assert environment.read() is None


def test_where_case_does_not_count_a_clients_proxy_header_is_still_no_proxy(monkeypatch):
    """As on Windows, where http_proxy and HTTP_PROXY are one variable."""
    blind = os._Environ({}, str.upper, str, str, str)  # type: ignore[attr-defined]
    monkeypatch.setattr(os, "environ", blind)
    data = blind._data
    data.update({"HTTP_PROXY": "http://proxy"})
    environment = Environment()
    settings = environment.read()
    assert settings is not None
    assert settings.proxies == {"http": "http://proxy"}
    data.update({"REQUEST_METHOD": "GET"})
    settings = environment.read()
    assert settings is not None
    assert settings.proxies == {}


# Which variable wins


@pytest.mark.parametrize(
    ("values", "proxies"),
    [
        (
            {"http_proxy": "a", "HTTP_PROXY": "b", "https_proxy": "c", "ALL_PROXY": "d"},
            {"http": "a", "https": "c", "all": "d"},
        ),
        ({"HTTPS_PROXY": "b"}, {"https": "b"}),
        ({"http_proxy": "", "HTTP_PROXY": "b"}, {}),
        ({"HTTP_PROXY": "b", "HTTPS_PROXY": "c", "REQUEST_METHOD": "GET"}, {"https": "c"}),
        ({"http_proxy": "a", "HTTP_PROXY": "b", "REQUEST_METHOD": "GET"}, {"http": "a"}),
        ({"HTTP_PROXY": "b", "REQUEST_METHOD": ""}, {}),
    ],
)
def test_lower_case_wins_and_cgi_makes_upper_case_http_proxy_void(values, proxies):
    assert Settings(values).proxies == proxies


def test_a_scheme_without_a_proxy_of_its_own_takes_the_one_for_all():
    settings = Settings({"http_proxy": "http://h", "all_proxy": "socks5://a"})
    assert settings.proxy_for("http", "x.example", 80) == "http://h"
    assert settings.proxy_for("https", "x.example", 443) == "socks5://a"
    assert Settings({"http_proxy": "http://h"}).proxy_for("https", "x.example", 443) is None


def test_a_list_of_exceptions_passed_by_hand_counts_instead():
    settings = Settings({"all_proxy": "http://p", "no_proxy": "a.example"})
    assert settings.proxy_for("http", "a.example", 80) is None
    assert settings.proxy_for("http", "a.example", 80, no_proxy="b.example") == "http://p"
    assert settings.proxy_for("http", "b.example", 80, no_proxy="b.example") is None
    assert settings.proxy_for("http", "a.example", 80, no_proxy="") == "http://p"


def test_a_port_that_is_not_given_is_the_schemes_own():
    settings = Settings({"all_proxy": "http://p", "NO_PROXY": "a.example:443"})
    assert settings.proxy_for("https", "a.example", None) is None
    assert settings.proxy_for("http", "a.example", None) == "http://p"


def test_what_is_remembered_is_bounded_and_stays_right():
    settings = Settings({"all_proxy": "http://p", "no_proxy": "direct.example"})
    for _ in range(2):
        for number in range(3000):
            assert settings.proxy_for("http", f"{number}.proxied.example", 80) == "http://p"
            assert settings.proxy_for("http", f"{number}.direct.example", 80) is None
    assert len(settings._decided) <= 1024


def test_the_certificates_are_those_of_requests_variables_first(tmp_path):
    file, folder = tmp_path / "bundle.pem", tmp_path / "certificates"
    file.touch()
    folder.mkdir()
    values = {
        "REQUESTS_CA_BUNDLE": "/no/such/1",
        "CURL_CA_BUNDLE": "/no/such/2",
        "SSL_CERT_FILE": str(file),
        "SSL_CERT_DIR": os.pathsep.join(["", "/no/such/3", str(folder), str(tmp_path)]),
    }
    found = []
    while values:
        found.append(Settings(values).ca_bundle)
        del values[next(iter(values))]
    assert found == ["/no/such/1", "/no/such/2", str(file), str(folder)]
    assert Settings({}).ca_bundle is None
    assert Settings({"REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": "x"}).ca_bundle == "x"


def test_openssls_variables_count_only_if_they_lead_somewhere(tmp_path):
    assert Settings({"SSL_CERT_FILE": "/no/such", "SSL_CERT_DIR": "/no/such/4"}).ca_bundle is None
    assert Settings({"SSL_CERT_FILE": "/no/such", "SSL_CERT_DIR": str(tmp_path)}).ca_bundle == str(tmp_path)


def test_netrc_is_told_apart_from_not_set():
    assert Settings({}).netrc is None
    assert Settings({"NETRC": ""}).netrc == ""
    assert Settings({"NETRC": "~/x"}).netrc == "~/x"


# Which hosts go direct


@pytest.mark.parametrize(
    ("rules", "host", "port", "goes_direct"),
    [
        ("", "a.example", 80, False),
        (",, ,", "a.example", 80, False),
        ("*", "a.example", 80, True),
        ("b.example, *", "::1", 80, True),
        ("a.example", "a.example", 80, True),
        ("A.Example", "a.eXAMPLE", 80, True),
        ("a.example", "sub.a.example", 80, True),
        ("a.example", "nota.example", 80, False),
        ("a.example", "example", 80, False),
        (".a.example", "a.example", 80, True),
        (".a.example", "x.y.a.example", 80, True),
        ("*.a.example", "x.a.example", 80, True),
        ("a.example.", "a.example", 80, True),
        ("a.example", "a.example.", 80, True),
        ("b.example a.example\tc.example", "a.example", 80, True),
        ("a.example:8080", "a.example", 8080, True),
        ("a.example:8080", "sub.a.example", 8080, True),
        ("a.example:8080", "a.example", 80, False),
        (".", "a.example", 80, False),
        ("localhost", "localhost", 80, True),
        ("b.example", "localhost", 80, False),
        ("b.example", "127.0.0.1", 80, False),
        ("10.0.0.1", "10.0.0.1", 80, True),
        ("10.0.0.1", "10.0.0.2", 80, False),
        ("0.0.1", "10.0.0.1", 80, False),
        ("10.0.0.1:81", "10.0.0.1", 81, True),
        ("10.0.0.1:81", "10.0.0.1", 80, False),
        ("10.0.0.1:x", "10.0.0.1", 80, False),
        ("10.0.0.0/8", "10.1.2.3", 80, True),
        ("10.1.2.3/8", "10.200.0.1", 80, True),
        ("10.0.0.0/8", "11.0.0.1", 80, False),
        ("10.0.0.0/8", "ten.example", 80, False),
        ("10.0.0.0/33", "10.0.0.0", 80, False),
        ("::1", "::1", 80, True),
        ("[::1]", "::1", 80, True),
        ("::1", "[0:0::1]", 80, True),
        ("[::1]:81", "::1", 81, True),
        ("[::1]:81", "::1", 80, False),
        ("fd00::/8", "fd12:3456::1", 80, True),
        ("fd00::/8", "fe80::1", 80, False),
        ("fe80::/10", "fe80::1%eth0", 80, True),
        ("::/0", "10.0.0.1", 80, False),
    ],
)
def test_the_rules(rules, host, port, goes_direct):
    assert NoProxy(rules).covers(host, port) is goes_direct


@given(st.text(max_size=60), st.text(max_size=20), st.none() | st.integers(0, 65535))
@example("a:²,[,]:80,::1%x,/,1.2.3.4/", "", None)
def test_no_rule_and_no_host_is_an_error(rules, host, port):
    NoProxy(rules).covers(host, port)


_HOSTS = st.sampled_from(["a.example", "b.a.example", "xa.example", "localhost", "10.1.2.3", "192.168.7.1"])
_PORTS = st.sampled_from(["", ":8080", ":80"])
_RULES = st.lists(
    st.sampled_from(
        [
            "a.example",
            ".a.example",
            "b.a.example:8080",
            "a.example:80",
            "localhost",
            "10.1.2.3",
            "10.0.0.0/8",
            "192.168.7.0/24",
        ]
    ),
    max_size=3,
)
_PROXIES = st.none() | st.sampled_from(["", "http://one", "http://two"])


@given(st.fixed_dictionaries(dict.fromkeys(NAMES[:8], _PROXIES)), st.none() | _RULES, _HOSTS, _PORTS, st.booleans())
def test_the_proxy_is_the_one_requests_would_take(values, rules, host, port, is_cgi):
    values |= {"no_proxy": None if rules is None else ",".join(rules), "NO_PROXY": None}
    values |= {"REQUEST_METHOD": "GET" if is_cgi else None}
    url = f"http://{host}{port}/"
    # requests compares ports only where the URL states one.
    assume(port or not any(rule.endswith(":80") for rule in rules or ()))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.delenv(name, raising=False)
            if value is not None:
                patch.setenv(name, value)
        expected = select_proxy_of_requests(url, get_environ_proxies(url))
        settings = Environment().read()
    parts = urlsplit(url)
    proxy = None if settings is None else settings.proxy_for("http", parts.hostname or "", parts.port)
    assert proxy == expected


# requests' mappings


_KEYS = ["http://a.example", "http", "all://a.example", "all", "https", "https://a.example", "http://b.example"]


@given(st.dictionaries(st.sampled_from(_KEYS), st.sampled_from(["http://p", "http://q"]) | st.none()))
def test_the_proxy_from_a_mapping_is_the_one_requests_takes(proxies):
    chosen = select_proxy("http", "a.example", proxies)
    assert (None if chosen is INHERIT else chosen) == select_proxy_of_requests("http://a.example:81/x", proxies)


@given(st.dictionaries(st.sampled_from(_KEYS), st.none()))
def test_a_key_without_a_proxy_says_more_than_no_key(proxies):
    """A call's `{"http": None}` goes direct although a session or an environment has a proxy."""
    speaks = {"http://a.example", "http", "all://a.example", "all"} & proxies.keys()
    assert select_proxy("http", "a.example", proxies) is (None if speaks else INHERIT)


def test_without_a_mapping_there_is_no_proxy_and_an_empty_one_switches_off():
    assert select_proxy("http", "a.example", None) is INHERIT
    assert select_proxy("http", "a.example", {"http": "", "all": "http://p"}) is None
