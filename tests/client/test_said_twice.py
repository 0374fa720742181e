"""Certificates said in two places, and what is said to a proxy where there is none: on both sessions."""

from __future__ import annotations

import ssl

import pytest
from drivers import on_requests

import keeppool
from keeppool import HostConfig
from keeppool.errors import ConfigError

UNVERIFIED = ssl._create_unverified_context()


@pytest.fixture
def trusting(authority):
    """A context that checks certificates, and trusts the authority of `secured`."""
    made = ssl.create_default_context()
    authority.configure_trust(made)
    return made


@pytest.mark.parametrize("said", [{"verify": True}, {"verify": False}, {"verify": "ca.pem"}, {"cert": "client.pem"}])
def test_a_hosts_context_and_a_calls_word_are_not_combined(on, secured, said):
    session = on.session(hosts={"127.0.0.1": HostConfig(ssl_context=UNVERIFIED)})
    for _ in range(2):
        with pytest.raises(ConfigError, match="ssl_context") as refused:
            on.wait(session.get(secured.url, **said))
        assert refused.value.field == next(iter(said))
    assert secured.opened == 0
    assert on.wait(session.get(secured.url)).status_code == 200


@pytest.mark.parametrize("name", ["verify", "cert"])
def test_nor_a_sessions(on, secured, name):
    session = on.session(defaults=HostConfig(ssl_context=UNVERIFIED))
    setattr(session, name, "some.pem")
    with pytest.raises(ConfigError, match=f"{name}='some.pem'.*ssl_context"):
        on.wait(session.get(secured.url))
    assert secured.opened == 0


@pytest.mark.parametrize("said", [{"verify": True}, {"verify": False}, {"verify": "ca.pem"}, {"cert": "client.pem"}])
def test_nor_are_the_two_in_one_configuration(on, said):
    with pytest.raises(ConfigError, match="ssl_context") as refused:
        HostConfig(ssl_context=UNVERIFIED, **said)
    assert next(iter(said)) in str(refused.value)
    with pytest.raises(ConfigError, match="ssl_context"):
        on.wait(
            on.session(defaults=HostConfig(ssl_context=UNVERIFIED), hosts={"*": HostConfig(**said)}).get("https://a/")
        )


def test_the_nearer_context_takes_the_place_of_what_was_said_farther_away(on, secured, trusting):
    session = on.session(
        defaults=HostConfig(verify="no-such.pem", cert="no-such.pem"),
        hosts={"127.0.0.1": HostConfig(ssl_context=trusting)},
    )
    assert on.wait(session.get(secured.url)).status_code == 200


def test_a_context_can_be_taken_away_by_name(on, secured, roots):
    session = on.session(
        defaults=HostConfig(ssl_context=ssl.create_default_context()),
        hosts={"127.0.0.1": HostConfig(ssl_context=None, verify=roots)},
    )
    assert on.wait(session.get(secured.url)).status_code == 200


def test_what_the_environment_says_does_not_count_as_said(on, secured, trusting, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such.pem")
    session = on.session(defaults=HostConfig(ssl_context=trusting))
    assert on.wait(session.get(secured.url)).status_code == 200


@on_requests
def test_preparing_and_sending_apart_says_nothing_of_its_own(on, secured, trusting):
    """As requests' documentation has it; `verify=True` is what a session says that was told nothing."""
    session = on.session(defaults=HostConfig(ssl_context=trusting))
    request = session.prepare_request(keeppool.Request("GET", secured.url))
    settings = session.merge_environment_settings(request.url, {}, None, None, None)
    assert on.wait(session.send(request, **settings)).status_code == 200


def test_asking_for_a_check_that_a_context_does_not_make_is_refused(on, secured):
    session = on.session(defaults=HostConfig(ssl_context=UNVERIFIED))
    request = session.prepare_request(keeppool.Request("GET", secured.url))
    with pytest.raises(ConfigError, match="ssl_context"):
        on.wait(session.send(request, verify=True))


@on_requests
def test_an_adapter_of_its_own_has_the_same_rule(on, secured):
    session = on.session()
    session.mount("https://", on.Adapter(defaults=HostConfig(ssl_context=UNVERIFIED)))
    with pytest.raises(ConfigError, match="ssl_context"):
        on.wait(session.get(secured.url, verify="ca.pem"))
    assert on.wait(session.get(secured.url)).status_code == 200


@pytest.mark.parametrize(
    "said",
    [{"headers": {"Proxy-Authorization": "Basic abc"}}, {"auth": keeppool.auth.HTTPProxyAuth("user", "secret")}],
    ids=["header", "scheme"],
)
def test_what_is_said_to_a_proxy_is_not_said_to_an_origin(on, site, said, monkeypatch):
    session = on.session()
    assert "proxy-authorization" not in on.wait(session.get(f"{site.url}/echo", **said)).json()["headers"]
    monkeypatch.setenv("http_proxy", site.url)
    through = on.wait(session.get("http://a.example/echo", **said))
    assert "proxy-authorization" in through.json()["headers"]
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert "proxy-authorization" not in on.wait(session.get(f"{site.url}/echo", **said)).json()["headers"]


def test_the_environments_roots_check_the_proxy_of_an_origin_nobody_checks(on, secured, roots, monkeypatch):
    """Behind a company's proxy the environment is where its authority is named."""
    monkeypatch.setenv("http_proxy", secured.url)
    session = on.session()
    with pytest.raises(keeppool.errors.ProxyError, match="certificate"):
        on.wait(session.get("http://a.example/", verify=False))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", roots)
    assert on.wait(session.get("http://a.example/", verify=False)).status_code == 200
