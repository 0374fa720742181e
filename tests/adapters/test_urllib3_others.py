"""Other people's classes, patched libraries, proxies and TLS: the caps hold, and their code has its say."""

import gc
import io
import ssl
import subprocess
import sys
import threading
from http import client

import pytest
import trustme
import urllib3
from adapters.urllib3s import SERVE, answer_once_then
from net.proxies import SocksProxy, TunnelProxy
from urllib3.connection import HTTPConnection, HTTPSConnection

import keeppool.adapters.urllib3 as dropin
from keeppool import Limits
from keeppool.adapters.urllib3 import HTTPConnectionPool, PoolManager, ProxyManager
from keeppool.adapters.urllib3.connection import LeanConnection, LeanHTTPSConnection, lean_class
from keeppool.adapters.urllib3.response import ResponseFile
from keeppool.events import ConnectionClosed, Why
from keeppool.testing import Behaviour, RawConnection, ScriptedServer, Site


class TheirConnection(HTTPConnection):
    """Talks in a way of its own, as botocore's does."""

    def putheader(self, header, *values):
        super().putheader(header, *values)

    def request(self, method, url, body=None, headers=None, **options):
        super().request(method, url, body, {**(headers or {}), "X-Theirs": "1"}, **options)


class TheirPool(urllib3.HTTPConnectionPool):
    """A pool class somebody brings along."""

    ConnectionCls = TheirConnection


@pytest.fixture
def theirs(recorder):
    with PoolManager(limits=Limits(per_host=2), on_event=recorder) as http:
        http.pool_classes_by_scheme = {"http": TheirPool, "https": urllib3.HTTPSConnectionPool}
        yield http


def test_their_classes_keep_their_say_and_our_caps_hold(theirs, sites):
    site = sites.add(Behaviour(delay_s=0.005))
    threads = [threading.Thread(target=theirs.request, args=("GET", f"{site.url}/echo")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert {request.headers["x-theirs"] for request in site.log} == {"1"}
    assert (site.requests, site.peak_open) == (8, 2)
    assert isinstance(theirs.connection_from_url(site.url), (TheirPool, HTTPConnectionPool))


def test_a_class_put_into_the_mapping_later_is_capped_too(http, site):
    http.pool_classes_by_scheme["http"] = TheirPool
    assert isinstance(http.connection_from_url(site.url), HTTPConnectionPool)
    assert http.request("GET", f"{site.url}/echo").json()["headers"]["x-theirs"] == "1"
    assert http.stats().idle == 1


def test_hints_are_believed_with_their_classes_too(theirs, sites):
    site = sites.add(Behaviour(hint_max=3, hint_style="constant"))
    for _ in range(7):
        theirs.request("POST", site.url, retries=False)
    assert (site.late, site.opened) == (0, 3)


def test_a_stale_connection_of_theirs_is_replaced_too(theirs):
    with ScriptedServer(answer_once_then(RawConnection.close), SERVE) as server:
        theirs.request("GET", server.url)
        assert theirs.request("GET", server.url, retries=False).data == b"ok"
        assert theirs.stats().resent == 1


@pytest.mark.parametrize("end", ["closed", "dropped"])
def test_their_response_frees_its_slot_when_it_is_given_up(theirs, site, end):
    response = theirs.request("GET", f"{site.url}/bytes/3000000", preload_content=False)
    if end == "closed":
        response.close()
    else:
        del response
        gc.collect()
    theirs._lender.pool.sweep()
    assert theirs.stats().open == 0


def test_their_response_that_is_released_unread_closes_its_connection(theirs, site, recorder):
    theirs.request("GET", f"{site.url}/bytes/3000000", preload_content=False).release_conn()
    assert [event.why for event in recorder.of(ConnectionClosed)] == [Why.BODY_UNREAD]


def test_a_pool_class_that_is_none_of_urllib3s_is_left_alone(http):
    class Memory:
        def __init__(self, host, port, **_):
            self.host = host

        def urlopen(self, *_, **__):
            return urllib3.HTTPResponse(b"remembered", status=200, preload_content=False)

    http.pool_classes_by_scheme["http"] = Memory
    assert http.request("GET", "http://a.example").data == b"remembered"


@pytest.mark.parametrize(
    ("cls", "lean"),
    [(HTTPConnection, LeanConnection), (HTTPSConnection, LeanHTTPSConnection), (TheirConnection, TheirConnection)],
)
def test_only_classes_that_talk_as_urllib3_does_are_made_lean(cls, lean):
    assert lean_class(cls) is lean


def test_a_class_with_a_dial_of_its_own_is_made_lean(site):
    dialled = []

    class OwnDial(HTTPConnection):
        def _new_conn(self):
            dialled.append(self.host)
            return super()._new_conn()

    class OwnPool(HTTPConnectionPool):
        ConnectionCls = OwnDial

    with OwnPool(site.host, site.port) as pool:
        response = pool.urlopen("GET", "/")
        assert isinstance(response._original_response, ResponseFile)
    assert dialled == [site.host]


@pytest.mark.parametrize("name", ["putrequest", "putheader", "endheaders", "send", "getresponse"])
def test_whoever_patches_http_client_is_called(http, site, monkeypatch, name):
    """As Sentry and tracers do, at any time."""
    http.request("GET", site.url)
    called = []
    connection = client.HTTPConnection
    true = getattr(connection, name)
    monkeypatch.setattr(connection, name, lambda self, *args, **kw: called.append(name) or true(self, *args, **kw))
    assert http.request("GET", site.url).status == 200
    assert called
    assert site.opened == 1


def test_debug_output_is_http_clients(http, site, capsys):
    http.request("GET", site.url)
    (idle,) = http.connection_from_url(site.url).pool.queue
    idle.set_debuglevel(1)
    http.request("GET", site.url)
    assert "send: b'GET / HTTP/1.1" in capsys.readouterr().out


def test_a_connection_can_be_used_by_hand_as_urllib3s(http, site):
    pool = http.connection_from_url(site.url)
    conn = pool._get_conn()
    conn.request("GET", "/echo")
    assert conn.getresponse().status == 200
    pool._put_conn(conn)
    assert http.stats().open == 0


# TLS


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def roots(authority, tmp_path_factory):
    path = tmp_path_factory.mktemp("roots") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture
def tls(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "a.example").configure_cert(context)
    return context


def test_tls_connections_are_shared_and_stale_ones_replaced(tls, roots):
    with (
        ScriptedServer(answer_once_then(RawConnection.close), SERVE, tls=tls) as server,
        PoolManager(ca_certs=roots) as http,
    ):
        http.request("GET", server.url)
        for _ in range(3):
            assert http.request("GET", server.url, retries=False).data == b"ok"
        assert (len(server.connections), http.stats().resent) == (2, 1)


def test_a_large_request_over_tls_arrives_whole(tls, roots):
    with ScriptedServer(SERVE, tls=tls) as server, PoolManager(ca_certs=roots) as http:
        http.request("POST", server.url, body=bytes(60_000))
        assert len(server.requests[0].body) == 60_000


def test_an_untrusted_server_is_urllib3s_error(tls):
    with Site(tls=tls) as site, PoolManager() as http:
        with pytest.raises(urllib3.exceptions.MaxRetryError) as raised:
            http.request("GET", site.url, retries=0)
        assert isinstance(raised.value.reason, urllib3.exceptions.SSLError)
        assert http.stats().open == 0


def test_unverified_requests_share_nothing_with_verified_ones(tls, roots):
    with Site(tls=tls) as site, PoolManager(ca_certs=roots) as http:
        http.request("GET", site.url)
        lax = http.connection_from_url(site.url, pool_kwargs={"cert_reqs": "CERT_NONE"})
        with pytest.warns(urllib3.exceptions.InsecureRequestWarning):
            lax.urlopen("GET", "/")
        http.request("GET", site.url)
        assert site.opened == 2


# Proxies


def test_plain_http_goes_through_a_proxy_over_one_connection(site):
    with TunnelProxy(leads_to=(site.host, site.port)) as proxy, ProxyManager(proxy.url) as http:
        for host in ("a.example", "b.example", "a.example"):
            assert http.request("GET", f"http://{host}/echo").status == 200
        assert proxy.connections == http.stats().opened == 1


def test_a_tunnel_is_dug_once_and_dug_again_for_a_resend(tls, roots):
    with (
        ScriptedServer(answer_once_then(RawConnection.close), SERVE, tls=tls) as server,
        TunnelProxy(leads_to=("127.0.0.1", server.port)) as proxy,
        ProxyManager(proxy.url, ca_certs=roots) as http,
    ):
        for _ in range(4):
            assert http.request("GET", "https://a.example/", retries=False).data == b"ok"
        assert (proxy.connections, http.stats().resent) == (2, 1)
        assert {request.headers["host"] for request in server.requests} == {"a.example"}


def test_all_tunnels_through_a_proxy_share_its_cap(tls, roots):
    limits = Limits(per_proxy=2)
    with (
        Site(tls=tls) as site,
        TunnelProxy(leads_to=(site.host, site.port)) as proxy,
        ProxyManager(proxy.url, ca_certs=roots, limits=limits, assert_hostname=False) as http,
    ):
        for host in ("a.example", "b.example", "c.example", "a.example"):
            http.request("GET", f"https://{host}/")
        assert http.stats().peak_open == 2
        assert http.stats().closed_by[Why.EVICTED] == 2


def test_a_proxy_that_is_not_there_is_urllib3s_error():
    refused = pytest.raises(urllib3.exceptions.MaxRetryError)
    with dropin.proxy_from_url("http://127.0.0.1:1") as http, refused as raised:
        http.request("GET", "http://a.example/", retries=0)
    assert isinstance(raised.value.reason, urllib3.exceptions.ProxyError)


def test_a_socks_proxy_carries_lean_connections(site):
    pytest.importorskip("socks")
    with (
        SocksProxy(leads_to=(site.host, site.port)) as proxy,
        dropin.SOCKSProxyManager(f"socks5h://127.0.0.1:{proxy.port}", limits=Limits(per_host=1)) as http,
    ):
        assert isinstance(http, urllib3.PoolManager)
        for _ in range(3):
            response = http.request("GET", "http://a.example/echo")
        assert isinstance(response._original_response, ResponseFile)
        assert (proxy.connections, http.stats().reused) == (1, 2)


def test_an_unknown_name_is_missed():
    with pytest.raises(AttributeError, match="no attribute 'Poolmanager'"):
        dropin.Poolmanager  # noqa: B018  # looking it up is the test


def test_connection_from_url_gives_a_pool_with_a_core_of_its_own(site, tls):
    with dropin.connection_from_url(site.url) as pool:
        assert type(pool) is HTTPConnectionPool
        assert pool.request("GET", "/").status == 200
    assert type(dropin.connection_from_url("https://a.example")) is dropin.HTTPSConnectionPool


def test_finalizers_may_run_at_any_moment(http, site):
    """A response in a cycle is collected wherever the collector runs, inside the pool's lock too."""
    threshold = gc.get_threshold()
    try:
        gc.set_threshold(1)
        for _ in range(20):
            response = http.request("GET", f"{site.url}/bytes/300000", preload_content=False)
            cycle = [response]
            cycle.append(cycle)
            del response, cycle
            gc.collect()
            with pytest.warns(ResourceWarning, match="dropped unread"):
                http.request("GET", site.url)
    finally:
        gc.set_threshold(*threshold)
    assert http.stats().busy == 0


@pytest.mark.parametrize("headers", [dict, urllib3.HTTPHeaderDict], ids=["dict", "header dictionary"])
def test_credentials_for_a_proxy_never_reach_an_origin(site, tls, roots, headers):
    given = headers({"proxy-authorization": "Basic secret", "X-One": "1"})
    with PoolManager(headers=given) as http:
        http.request("GET", site.url)
        http.request("GET", site.url, headers=given, body=io.BytesIO(b"read by urllib3"))
    with Site(tls=tls) as far, TunnelProxy(leads_to=(far.host, far.port)) as proxy:
        with ProxyManager(proxy.url, ca_certs=roots, proxy_headers={"Proxy-Authorization": "Basic secret"}) as http:
            http.request("GET", "https://a.example/", headers=given)
        assert proxy.requests[0].get("proxy-authorization") == "Basic secret"
        seen = [*site.log, *far.log]
    assert [request.headers.get("proxy-authorization") for request in seen] == [None] * 3
    assert [request.headers["x-one"] for request in seen] == ["1"] * 3
    assert given["proxy-authorization"] == "Basic secret"


def test_credentials_reach_the_proxy_that_reads_the_request(site):
    with ProxyManager(site.url) as http:
        http.request("GET", "http://origin.example/", headers={"Proxy-Authorization": "Basic secret"})
    assert site.log[0].headers["proxy-authorization"] == "Basic secret"


def test_credentials_stay_where_the_caller_says_that_no_header_is_to_be_removed(site):
    given = {"Proxy-Authorization": "Basic secret"}
    with PoolManager() as http:
        http.request("GET", site.url, headers=given, retries=urllib3.Retry(remove_headers_on_redirect=[]))
        http.request("GET", site.url, headers=given, retries=urllib3.Retry(2))
    assert [request.headers.get("proxy-authorization") for request in site.log] == ["Basic secret", None]


def test_the_log_is_urllib3s_own(site, caplog):
    caplog.set_level("DEBUG")
    with PoolManager() as http:
        for _ in range(2):
            http.request("GET", site.url)
    assert {record.name for record in caplog.records} == {"urllib3.connectionpool"}


def test_pyopenssl_in_urllib3s_place_of_ssl_is_used(sites, tmp_path):
    """In a process of its own, because it is put there for the whole process. Its sockets lack what others have."""
    authority, server = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.cert_pem.write_to_path(tmp_path / "roots.pem")
    site = sites.add(tls=server)
    program = f"""
import warnings
from urllib3.contrib import pyopenssl
from keeppool.adapters.urllib3 import PoolManager

warnings.simplefilter("ignore", DeprecationWarning)
pyopenssl.inject_into_urllib3()
with PoolManager(ca_certs={str(tmp_path / "roots.pem")!r}) as http:
    print([http.request("GET", {site.url!r}, retries=False).status for _ in range(3)])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == ("[200, 200, 200]\n", 0), done.stderr
    assert site.opened == 1
