"""`Session`: what its calls share, what a call may say differently, and the way a plain call takes."""

from __future__ import annotations

import ssl
import threading

import pytest

import keeppool
from keeppool.client.request.headers import Headers
from keeppool.errors import (
    CertificateError,
    ConfigError,
    InvalidHeader,
    InvalidMethod,
    InvalidRequest,
    InvalidURL,
    PoolClosed,
    ReadTimeout,
)
from keeppool.testing import Site, recorded_events


@pytest.mark.parametrize("method", ["get", "options", "post", "put", "patch", "delete"])
def test_each_verb_sends_its_method(site, session, method):
    seen = getattr(session, method)(f"{site.url}/echo", params={"a": 1}, data="body", headers={"X-A": "1"}).json()
    assert (seen["method"], seen["target"], seen["body"]) == (method.upper(), "/echo?a=1", "body")
    assert seen["headers"]["x-a"] == "1"


def test_head_has_no_body(site, session):
    response = session.head(f"{site.url}/bytes/10")
    assert response.headers["content-length"] == "10"
    assert response.content == b""


def test_any_method_may_be_sent(site, session):
    assert session.request("purge-All", f"{site.url}/echo").json()["method"] == "purge-All"
    assert session.request("get", f"{site.url}/echo").json()["method"] == "GET"
    with pytest.raises(InvalidMethod):
        session.request("NO GOOD", site.url)


def test_the_first_arguments_may_be_given_by_position(site, session):
    """In requests' order: that is how they are often called."""
    assert session.get(f"{site.url}/echo", {"a": 1}).json()["target"] == "/echo?a=1"
    assert session.put(f"{site.url}/echo", "data").json()["body"] == "data"
    assert session.post(f"{site.url}/echo", None, [1]).json()["body"] == "[1]"
    seen = session.request("POST", f"{site.url}/echo", {"a": 1}, "data", {"X-A": "1"}, {"c": "2"}).json()
    assert (seen["target"], seen["body"]) == ("/echo?a=1", "data")
    assert (seen["headers"]["x-a"], seen["headers"]["cookie"]) == ("1", "c=2")


def test_the_default_headers_say_who_and_what_is_understood(site, session):
    assert session.headers["user-agent"] == f"keeppool/{keeppool.__version__}"
    session.get(f"{site.url}/a")
    seen = site.log[0].headers
    assert seen["user-agent"] == f"keeppool/{keeppool.__version__}"
    assert seen["accept"] == "*/*"
    assert seen["accept-encoding"].startswith("gzip, deflate")


def test_changed_headers_are_sent_from_the_next_call_on(site, session):
    session.get(f"{site.url}/a")
    session.headers.update({"X-A": "1", "accept": None})
    session.get(f"{site.url}/a")
    session.headers["X-A"] = "2"
    session.get(f"{site.url}/a", headers={"user-agent": None})
    session.headers = {"Only": "this"}
    session.get(f"{site.url}/a")
    first, second, third, last = (request.headers for request in site.log)
    assert "x-a" not in first
    assert second["x-a"] == "1"
    assert "accept" not in second
    assert third["x-a"] == "2"
    assert "user-agent" not in third
    assert last["only"] == "this"
    assert "user-agent" not in last
    assert isinstance(session.headers, Headers)


def test_a_sessions_parameters_go_with_every_call(site, session):
    session.params = {"key": "k"}
    assert session.get(f"{site.url}/echo?a=1", params={"b": 2}).json()["target"] == "/echo?a=1&key=k&b=2"
    assert session.get(f"{site.url}/echo").json()["target"] == "/echo?key=k"


def test_an_empty_post_says_that_it_is_empty(site, session):
    """Also on the short way."""
    for method in ("POST", "PUT", "PATCH", "OPTIONS"):
        assert session.request(method, f"{site.url}/echo").json()["headers"]["content-length"] == "0"
    for method in ("GET", "DELETE"):
        assert "content-length" not in session.request(method, f"{site.url}/echo").json()["headers"]


def test_the_short_and_the_long_way_send_the_same(site, session):
    """An argument that says nothing new changes nothing."""
    for arguments in ({}, {"params": {}}, {"headers": {}}, {"data": ""}, {"cookies": {}}):
        session.get(f"{site.url}/a b?c=ü#d", **arguments)
    assert len({(request.target, *request.pairs) for request in site.log}) == 1


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"url": "example.com"}, InvalidURL),
        ({"url": None}, InvalidURL),
        ({"params": 5}, InvalidRequest),
        ({"headers": {"A": 5}}, InvalidHeader),
        ({"auth": "user:pass"}, InvalidRequest),
        ({"timeout": 0}, ConfigError),
        ({"timeout": -1}, ConfigError),
        ({"timeout": True}, ConfigError),
        ({"timeout": "5"}, ConfigError),
        ({"timeout": (1, 2, 3)}, ConfigError),
        ({"timeout": [1, 2]}, ConfigError),
        ({"verify": 1}, ConfigError),
        ({"verify": ""}, ConfigError),
        ({"cert": 5}, ConfigError),
        ({"nonsense": 1}, TypeError),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_sent(site, session, arguments, kind):
    with pytest.raises(kind):
        session.get(**({"url": f"{site.url}/a"} | arguments))
    assert site.opened == 0


def test_a_call_may_have_its_own_timeout(site, session):
    site.pause()
    for timeout in (0.2, (5, 0.2), keeppool.Timeout(read=0.2)):
        with pytest.raises(ReadTimeout) as caught:
            session.get(f"{site.url}/a", timeout=timeout)
        assert caught.value.limit == 0.2
        assert caught.value.request.url == f"{site.url}/a"
    site.resume()
    assert session.get(f"{site.url}/a", timeout=None).ok


def test_true_is_not_one_second(site, session):
    """Although Python holds them for equal, so that a cache would too."""
    assert session.get(f"{site.url}/a", timeout=1).ok
    with pytest.raises(ConfigError):
        session.get(f"{site.url}/a", timeout=True)


def test_the_sessions_timeout_holds_where_a_call_says_nothing(site):
    site.pause()
    with keeppool.Session(timeout=(5, 0.2)) as session, pytest.raises(ReadTimeout):
        session.get(f"{site.url}/a")


def test_limits_hosts_and_listeners_are_the_pools(site):
    events = recorded_events()
    hosts = {"127.0.0.1": keeppool.HostConfig(headers={"X-Host": "h"}, keep_alive=False)}
    with keeppool.Session(keeppool.Limits(per_host=1), hosts=hosts, on_event=events) as session:
        assert session.pool.config.limits.per_host == 1
        assert session.get(f"{site.url}/echo").json()["headers"]["x-host"] == "h"
        assert session.get(f"{site.url}/echo", headers={"x-host": "own"}).json()["headers"]["x-host"] == "own"
        assert session.stats().open == 0
        assert len(events) > 0


def test_a_closed_session_is_closed(site):
    with keeppool.Session() as session:
        session.get(f"{site.url}/a")
    assert site.wait_for(lambda: site.open_now == 0)
    with pytest.raises(PoolClosed):
        session.get(f"{site.url}/a")


def test_many_threads_share_one_session(site):
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(30):
                sent = f"{number}-{turn}"
                seen = session.post(f"{site.url}/echo", data=sent, headers={"X-Sent": sent}).json()
                assert (seen["body"], seen["headers"]["x-sent"]) == (sent, sent)
        except BaseException as error:
            errors.append(error)

    with keeppool.Session(keeppool.Limits(per_host=3)) as session:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert errors == []
    assert site.peak_open <= 3
    assert site.requests == 240


def test_a_call_without_verification_lends_its_connection_to_no_other(secured, session):
    """The next call dials anew and refuses the certificate; and the first one's connection serves its like."""
    assert session.get(f"{secured.url}/a", verify=False).ok
    with pytest.raises(CertificateError):
        session.get(f"{secured.url}/a")
    opened = secured.opened
    assert session.get(f"{secured.url}/a", verify=False).ok
    assert secured.opened == opened


def test_verification_holds_for_redirects_too(secured, site, session):
    with pytest.raises(CertificateError):
        session.get(f"{site.url}/redirect/1", params={"to": f"{secured.url}/a"})
    assert session.get(f"{site.url}/redirect/3", params={"to": f"{secured.url}/a"}, verify=False).ok


def test_a_sessions_verification_may_be_set_and_a_call_may_differ(secured, session, authority, tmp_path):
    roots = str(tmp_path / "roots.pem")
    authority.cert_pem.write_to_path(roots)
    assert session.verify is True
    session.verify = roots
    assert session.get(f"{secured.url}/a").ok
    with pytest.raises(CertificateError):
        session.get(f"{secured.url}/a", verify=True)
    session.verify = False
    assert session.get(f"{secured.url}/a").ok
    session.verify = True
    with pytest.raises(CertificateError):
        session.get(f"{secured.url}/a")


def test_the_configuration_decides_until_verify_is_set(secured):
    with keeppool.Session(defaults=keeppool.HostConfig(verify=False)) as session:
        assert session.get(f"{secured.url}/a").ok
        with pytest.raises(CertificateError):
            session.get(f"{secured.url}/a", verify=True)
        session.verify = True
        with pytest.raises(CertificateError):
            session.get(f"{secured.url}/a")


def test_a_client_certificate_is_shown_where_it_is_asked_for(authority, tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    own = authority.issue_cert("client@a.example")
    roots, certificate, key = (str(tmp_path / name) for name in ("roots.pem", "cert.pem", "key.pem"))
    authority.cert_pem.write_to_path(roots)
    own.cert_chain_pems[0].write_to_path(certificate)
    own.private_key_pem.write_to_path(key)
    with Site(tls=context) as site, keeppool.Session() as session:
        assert session.get(f"{site.url}/a", verify=roots, cert=(certificate, key)).ok
        with pytest.raises(keeppool.errors.KeepPoolError):
            session.get(f"{site.url}/a", verify=roots)
        session.verify, session.cert = roots, (certificate, key)
        assert session.cert == (certificate, key)
        assert session.get(f"{site.url}/a").ok
