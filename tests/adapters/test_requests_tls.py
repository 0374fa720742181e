"""verify= and cert= under the mount hold for the request that says them, and no connection crosses over."""

import hashlib
import ssl

import pytest
import requests
import trustme

from keeppool import HostConfig
from keeppool.adapters.requests import KeepPoolAdapter
from keeppool.adapters.requests.settings import host_config
from keeppool.errors import ConfigError
from keeppool.testing import Behaviour, RawConnection, ScriptedServer, Site

TheirSSLError = requests.exceptions.SSLError


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority, tmp_path_factory):
    """Paths of the authority's certificate, and of a client's certificate and key, together and apart."""
    folder = tmp_path_factory.mktemp("tls")
    client = authority.issue_cert("client@example.org")
    paths = {name: str(folder / f"{name}.pem") for name in ("ca", "both", "cert", "key")}
    authority.cert_pem.write_to_path(paths["ca"])
    client.private_key_and_cert_chain_pem.write_to_path(paths["both"])
    client.cert_chain_pems[0].write_to_path(paths["cert"])
    client.private_key_pem.write_to_path(paths["key"])
    return paths


@pytest.fixture
def server_context(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


@pytest.fixture
def site(server_context):
    with Site(Behaviour(body=b"secret"), tls=server_context) as running:
        yield running


@pytest.fixture
def session():
    with requests.Session() as session:
        session.trust_env = False
        session.mount("https://", KeepPoolAdapter())
        yield session


def test_a_connection_that_checked_nothing_is_never_lent_to_a_request_that_checks(session, site):
    assert session.get(site.url, verify=False).content == b"secret"
    with pytest.raises(TheirSSLError) as raised:
        session.get(site.url)
    assert raised.value.request.url == f"{site.url}/"
    session.get(site.url, verify=False)
    assert site.requests == 2
    assert len({request.connection for request in site.log}) == 1


def test_trust_and_certificate_separate_connections_and_equal_ones_share(session, site, files):
    ways = [
        {"verify": False},
        {"verify": files["ca"]},
        {"verify": files["ca"], "cert": files["both"]},
        {"verify": files["ca"], "cert": (files["cert"], files["key"])},
        {"verify": files["ca"], "cert": [files["cert"], files["key"]]},
    ]
    for way in [*ways, *ways]:
        assert session.get(site.url, **way).status_code == 200
    assert [request.connection for request in site.log] == [1, 2, 3, 4, 4] * 2


def test_the_sessions_own_settings_and_the_environments_hold(site, files, monkeypatch):
    with requests.Session() as session:
        session.mount("https://", KeepPoolAdapter())
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", files["ca"])
        assert session.get(site.url).status_code == 200
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        session.verify = files["ca"]
        session.cert = files["both"]
        assert session.get(site.url).status_code == 200
    assert site.opened == 2


def test_what_is_configured_for_a_host_is_believed_where_the_session_says_nothing(site, files):
    with requests.Session() as session:
        session.trust_env = False
        session.mount("https://", KeepPoolAdapter(hosts={"127.0.0.1": HostConfig(verify=files["ca"])}))
        with pytest.raises(TheirSSLError):
            session.get(site.url.replace("127.0.0.1", "localhost"))
        assert session.get(site.url).status_code == 200
        assert session.get(site.url, cert=files["both"]).status_code == 200


@pytest.mark.parametrize("verify", [True, "another authority"])
def test_an_https_proxy_before_an_http_origin_is_checked_too(site, files, verify):
    """No session says that anybody may answer, so nobody else may; only what `verify` trusts."""
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", KeepPoolAdapter())
        other = files["cert"]
        proxies = {"http": site.url}
        with pytest.raises(requests.exceptions.ProxyError):
            session.get("http://a.example/", proxies=proxies, verify=verify if verify is True else other)
        assert session.get("http://a.example/", proxies=proxies, verify=files["ca"]).content == b"secret"
        with pytest.raises(requests.exceptions.ProxyError, match="certificate"):
            session.get("http://a.example/", proxies=proxies, verify=False)
        session.mount("http://", KeepPoolAdapter(defaults=HostConfig(proxy_verify=False)))
        assert session.get("http://a.example/", proxies=proxies).content == b"secret"
    assert len({request.connection for request in site.log}) == 2


def test_a_context_and_what_a_call_says_of_certificates_are_not_combined(site, files, authority, monkeypatch):
    """Which of the two holds would be a guess. What the environment says is said of nobody in particular."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with requests.Session() as session:
        session.mount("https://", KeepPoolAdapter(defaults=HostConfig(ssl_context=context)))
        for said in ({"verify": False}, {"verify": files["ca"]}, {"cert": files["both"]}):
            with pytest.raises(requests.exceptions.RequestException, match="ssl_context") as refused:
                session.get(site.url, **said)
            assert next(iter(said)) in str(refused.value)
        assert site.opened == 0
        assert session.get(site.url).content == b"secret"
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.setenv(name, files["cert"])
            assert session.get(site.url).content == b"secret"
            monkeypatch.delenv(name)


@pytest.mark.parametrize("argument", ["verify", "cert"])
def test_a_path_that_leads_nowhere_is_an_os_error_in_requests_words(session, site, argument):
    with pytest.raises(OSError, match="invalid path: /no/such/file"):
        session.get(site.url, **{argument: "/no/such/file"})
    assert site.opened == 0


def test_a_context_given_to_init_poolmanager_is_used(site, authority):
    class OwnContext(KeepPoolAdapter):
        def init_poolmanager(self, *arguments, **keywords):
            context = ssl.create_default_context()
            authority.configure_trust(context)
            super().init_poolmanager(*arguments, **keywords, ssl_context=context)

    with requests.Session() as session:
        session.mount("https://", OwnContext())
        assert session.get(site.url).status_code == 200


def test_cert_verify_of_a_subclass_decides(site, files):
    class Trusting(KeepPoolAdapter):
        def cert_verify(self, conn, url, verify, cert):
            super().cert_verify(conn, url, files["ca"], cert)

    with requests.Session() as session:
        session.trust_env = False
        session.mount("https://", Trusting())
        assert session.get(site.url).status_code == 200


def test_pool_key_attributes_of_a_subclass_decide(site, authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)

    class PerRequest(KeepPoolAdapter):
        def build_connection_pool_key_attributes(self, request, verify, cert=None):
            host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
            return host, {**pool, "ssl_context": context}

    with requests.Session() as session:
        session.trust_env = False
        session.mount("https://", PerRequest())
        assert session.get(site.url).status_code == 200


@pytest.mark.parametrize("is_the_one", [True, False])
def test_the_pinned_certificate_and_no_other_is_accepted(server_context, authority, is_the_one):
    class Pinned(KeepPoolAdapter):
        def init_poolmanager(self, *arguments, **keywords):
            super().init_poolmanager(*arguments, **keywords, assert_fingerprint=pin, cert_reqs="CERT_NONE")

    script = [RawConnection.read_request, b"HTTP/1.1 204 No Content\r\n\r\n"]
    with ScriptedServer(script, script, tls=server_context) as server, requests.Session() as session:
        session.trust_env = False
        der = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((server.host, server.port)))
        pin = hashlib.sha256(der if is_the_one else b"another").hexdigest()
        session.mount("https://", Pinned())
        if is_the_one:
            assert session.get(server.url).status_code == 204
        else:
            with pytest.raises(TheirSSLError):
                session.get(server.url)


@pytest.mark.parametrize("names", [{"assert_hostname": False}, {"assert_hostname": "a", "server_hostname": "b"}])
def test_names_that_cannot_be_had_are_refused(names):
    with pytest.raises(ConfigError, match="assert_hostname"):
        host_config(names)
    assert host_config({"assert_hostname": "a.example"}).server_hostname == "a.example"


@pytest.mark.parametrize("name", ["get_connection_with_tls_context", "get_connection", "proxy_manager_for"])
def test_a_hook_that_would_never_be_called_is_refused_with_its_class(name):
    with pytest.raises(TypeError, match=rf"Own\.{name} would never be called"):
        type("Own", (KeepPoolAdapter,), {name: lambda self, *arguments, **told: None})
    mixin = type("Mixin", (), {name: None})
    with pytest.raises(TypeError, match=name):
        type("Own", (mixin, KeepPoolAdapter), {})
