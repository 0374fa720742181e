"""By which proxy, and under which TLS settings, calls go: every voice, and which of several is heard."""

from __future__ import annotations

import certifi
import pytest
from drivers import of_requests
from net.proxies import TunnelProxy

import keeppool
from keeppool import HostConfig, Limits, Request
from keeppool.errors import CertificateError, ConnectError, InvalidProxyURL
from keeppool.testing import Answer

#: A name that leads nowhere: only a proxy has an answer for it.
FAR = "http://far.example/"


@pytest.fixture
def proxy():
    with TunnelProxy() as running:
        yield running


@pytest.fixture
def other():
    with TunnelProxy() as running:
        yield running


def asked(proxy: TunnelProxy) -> list[str]:
    return [request.target for request in proxy.requests]


# Proxies


def test_a_sessions_proxy_and_a_calls_which_wins(proxy, other, session):
    session.proxies = {"http": proxy.url}
    assert session.get(FAR).text == "ok"
    assert session.get(f"{FAR}other", proxies={"http": other.url}).text == "ok"
    assert (asked(proxy), asked(other)) == ([FAR], [f"{FAR}other"])


def test_none_goes_direct(proxy, site, session):
    session.proxies = {"http": proxy.url}
    for direct in ({"http": None}, {"http": ""}, {"http://127.0.0.1": None}):
        assert session.get(f"{site.url}/echo", proxies=direct).json()["target"] == "/echo"
    session.proxies = {"all": proxy.url, "http://127.0.0.1": None}
    assert session.get(site.url).ok
    assert session.get(FAR).text == "ok"
    assert asked(proxy) == [FAR]


def test_proxies_for_other_schemes_and_hosts_say_nothing_of_this_one(proxy, other, monkeypatch):
    """Neither do they switch off what is configured, nor what the environment says."""
    elsewhere = {"https": other.url, "http://elsewhere.example": other.url}
    with keeppool.Session(defaults=HostConfig(proxy=proxy.url)) as session:
        assert session.get(FAR, proxies=elsewhere).text == "ok"
        session.proxies = elsewhere
        assert session.get(FAR).text == "ok"
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    with keeppool.Session() as session:
        assert session.get(FAR, proxies=elsewhere).text == "ok"
    assert (len(asked(proxy)), asked(other)) == (3, [])


def test_an_https_origin_is_reached_through_a_tunnel(secured, session):
    with TunnelProxy(leads_to=("127.0.0.1", secured.port)) as proxy:
        answer = session.get("https://127.0.0.1:9/a", proxies={"https": proxy.url}, verify=False)
        assert (answer.ok, asked(proxy)) == (True, ["127.0.0.1:9"])


def test_redirects_follow_the_same_rules(proxy, answering, session):
    site = answering({"/a": Answer(status=302, headers=(("Location", FAR),))})
    session.proxies = {"http": proxy.url, "http://127.0.0.1": None}
    assert session.get(f"{site.url}/a").text == "ok"
    assert asked(proxy) == [FAR]


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_the_environments_proxy_is_used(monkeypatch, proxy, session, name):
    monkeypatch.setenv(name, proxy.url)
    assert session.get(FAR).text == "ok"
    assert session.get(FAR, params={"a": 1}, headers={"X": "1"}).text == "ok"
    monkeypatch.delenv(name)
    with pytest.raises(ConnectError):
        session.get(FAR)


def test_no_proxy_lets_hosts_go_direct(monkeypatch, proxy, site, session):
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    assert session.get(site.url).text == "ok", "as requests has it, also a host on this machine"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,b.example")
    assert session.get(f"{site.url}/echo").json()["target"] == "/echo"
    assert session.get(FAR, proxies={"no_proxy": "b.example"}).text == "ok"
    monkeypatch.delenv("NO_PROXY")
    assert session.get(f"{site.url}/echo", proxies={"no_proxy": "127.0.0.1"}).json()["target"] == "/echo"
    assert len(asked(proxy)) == 2


def test_configuration_a_session_and_a_call_are_heard_before_the_environment(monkeypatch, proxy, other, site):
    monkeypatch.setenv("HTTP_PROXY", other.url)
    with keeppool.Session(hosts={"far.example": HostConfig(proxy=proxy.url)}) as session:
        assert session.get(FAR).text == "ok"
    with keeppool.Session(defaults=HostConfig(proxy=None)) as session:
        assert session.get(f"{site.url}/echo").json()["target"] == "/echo"
    with keeppool.Session() as session:
        assert session.get(f"{site.url}/echo", proxies={"http": None}).json()["target"] == "/echo"
        session.proxies["http"] = proxy.url
        assert session.get(FAR).text == "ok"
    assert (asked(proxy), asked(other)) == ([FAR, FAR], [])


def test_an_environment_that_is_not_trusted_says_nothing(monkeypatch, proxy, site, session):
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    session.trust_env = False
    assert session.get(f"{site.url}/echo").json()["target"] == "/echo"
    assert session.get(f"{site.url}/echo", verify=True).json()["target"] == "/echo"
    assert asked(proxy) == []


@of_requests
def test_a_mounted_adapters_configuration_is_heard_before_the_environment(monkeypatch, proxy, other, session):
    monkeypatch.setenv("HTTP_PROXY", other.url)
    assert session.get(FAR).text == "ok"
    session.mount(FAR, keeppool.HTTPAdapter(defaults=HostConfig(proxy=proxy.url)))
    assert session.get(FAR).text == "ok"
    assert (asked(proxy), asked(other)) == ([FAR], [FAR])


def test_a_proxy_that_is_none_is_told_with_its_request(monkeypatch, session):
    monkeypatch.setenv("HTTP_PROXY", "gopher://proxy")
    for arguments in ({}, {"proxies": {"http": "gopher://proxy"}}):
        with pytest.raises(InvalidProxyURL) as caught:
            session.get(FAR, **arguments)
        assert caught.value.request.url == FAR


@of_requests
def test_what_holds_for_a_url_is_told_to_programs_that_prepare_and_send_apart(monkeypatch, proxy, session):
    monkeypatch.setenv("HTTPS_PROXY", "http://elsewhere.example")
    monkeypatch.setenv("HTTP_PROXY", "http://elsewhere.example")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "roots.pem")
    session.proxies = {"http": proxy.url}
    session.cert = ("cert", "key")
    said = session.merge_environment_settings(FAR, {"ftp": "http://ftp"}, None, None, None)
    assert said == {
        "proxies": {"http": proxy.url, "ftp": "http://ftp"},
        "stream": False,
        "verify": "roots.pem",
        "cert": ("cert", "key"),
    }
    said = session.merge_environment_settings("https://far.example", {"http": None}, True, False, "own")
    assert said == {"proxies": {"https": "http://elsewhere.example"}, "stream": True, "verify": False, "cert": "own"}
    request = session.prepare_request(Request("GET", FAR))
    assert session.rebuild_proxies(request, None) == {"http": proxy.url}
    settings = session.merge_environment_settings(request.url, {}, None, False, None)
    session.cert = None
    assert session.send(request, **settings | {"cert": None}).text == "ok"


def test_a_urllib3_timeout_is_one(site, session):
    urllib3 = pytest.importorskip("urllib3")
    site.pause()
    with pytest.raises(keeppool.errors.ReadTimeout) as caught:
        session.get(site.url, timeout=urllib3.Timeout(connect=5, read=0.2))
    assert caught.value.limit == 0.2
    site.resume()


# Certificates


def test_the_environments_certificates_are_trusted(monkeypatch, secured, roots):
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, roots)
        with keeppool.Session() as session:
            assert session.get(f"{secured.url}/a").ok
            assert session.get(f"{secured.url}/a", verify=True, headers={"X": "1"}).ok
            session.trust_env = False
            with pytest.raises(CertificateError):
                session.get(f"{secured.url}/a")
        monkeypatch.delenv(name)


def test_what_a_call_session_or_host_says_of_certificates_wins_over_the_environment(monkeypatch, secured, roots):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", roots)
    with keeppool.Session(hosts={"127.0.0.1": HostConfig(verify=True)}) as session, pytest.raises(CertificateError):
        session.get(f"{secured.url}/a")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    with keeppool.Session() as session:
        assert session.get(f"{secured.url}/a", verify=roots).ok
        session.verify = False
        assert session.get(f"{secured.url}/a").ok, "unlike in requests, which checks here all the same"


@pytest.mark.parametrize("first", [False, True])
def test_an_unverified_connection_is_never_lent_to_a_call_that_verifies(secured, roots, first):
    """Whichever comes first; one connection per host, so that lending it would be the easy way."""
    with keeppool.Session(Limits(per_host=1)) as session:
        for verify in (first, not first) * 2:
            if verify:
                with pytest.raises(CertificateError):
                    session.get(f"{secured.url}/a", verify=True)
            else:
                assert session.get(f"{secured.url}/a", verify=False).ok
        assert session.get(f"{secured.url}/a", verify=roots).ok
    assert {request.path for request in secured.log} == {"/a"}
    assert secured.requests == 3


def test_a_redirect_keeps_the_calls_word_on_certificates(secured, roots, session):
    for verify in (False, roots):
        assert len(session.get(f"{secured.url}/redirect/2", verify=verify).history) == 2
