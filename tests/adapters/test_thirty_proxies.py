"""Thirty proxies in rotation, chosen for each request, by everything that can choose one.

What is asserted is what the proxies and the origins saw: how many connections, whose credentials.
"""

import base64
import ssl
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
import trustme

import keeppool
from keeppool import HostConfig, Limits
from keeppool.adapters.requests import KeepPoolAdapter
from keeppool.testing import Behaviour, Site

sys.path.append(str(Path(__file__).parents[1] / "net"))
from proxies import SocksProxy, TunnelProxy

PROXIES = 30
ORIGIN = "http://shop.example"


def by_mount(stack, **arguments):
    """requests, with the mount; the proxy in `proxies=`."""
    adapter = KeepPoolAdapter(**arguments)
    session = stack.enter_context(requests.Session())
    session.trust_env = False
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return lambda url, proxy: session.get(url, proxies={"all": proxy}).content, adapter.poolmanager.stats


def by_session(stack, **arguments):
    """A session of keeppool's own; the proxy in `proxies=`."""
    session = stack.enter_context(keeppool.Session(**arguments))
    return lambda url, proxy: session.get(url, proxies={"all": proxy}).content, session.stats


def by_pool(stack, **arguments):
    """The pool alone; the proxy in a `HostConfig` for the request."""
    pool = stack.enter_context(keeppool.PoolManager(**arguments))
    return lambda url, proxy: pool.request("GET", url, host=HostConfig(proxy=proxy)).data, pool.stats


@pytest.fixture(params=[by_mount, by_session, by_pool], ids=["requests", "Session", "PoolManager"])
def client(request):
    """Open a client: gives a call `fetch(url, proxy)` and one for the pool's statistics."""
    with ExitStack() as stack:
        yield lambda **arguments: request.param(stack, **arguments)


@pytest.fixture
def proxies(sites):
    """Thirty sites that are taken for proxies: http through a proxy is a request with the whole URL."""
    return [sites.add(Behaviour(body=b"by proxy"), host=f"127.0.0.{number}") for number in range(2, 2 + PROXIES)]


def url_of(proxy, number=None):
    return proxy.url if number is None else proxy.url.replace("://", f"://user{number}:pass{number}@")


def basic(number):
    return "Basic " + base64.b64encode(f"user{number}:pass{number}".encode()).decode()


def test_every_proxy_gets_its_own_credentials_and_its_share(client, proxies):
    fetch, stats = client(limits=Limits(per_proxy=2, total=256))
    with ThreadPoolExecutor(8) as threads:
        turns = [(proxy, number) for _ in range(4) for number, proxy in enumerate(proxies)]
        list(threads.map(lambda turn: fetch(f"{ORIGIN}/page", url_of(*turn)), turns))
    for number, proxy in enumerate(proxies):
        assert {request.headers["proxy-authorization"] for request in proxy.log} == {basic(number)}
        assert {request.target for request in proxy.log} == {f"{ORIGIN}/page"}
        assert (proxy.requests, proxy.peak_open <= 2) == (4, True)
    assert stats().opened + stats().reused == 4 * PROXIES


def test_the_cap_for_each_proxy_holds_as_it_sees_it(client, proxies):
    fetch, stats = client(limits=Limits(per_proxy=2, total=256))
    chosen = proxies[:3]
    for proxy in chosen:
        proxy.pause()
    with ThreadPoolExecutor(15) as threads:
        answers = [
            threads.submit(fetch, f"http://shop{number}.example/", proxy.url) for proxy in chosen for number in range(5)
        ]
        assert all(proxy.wait_for(lambda proxy=proxy: proxy.requests == 2) for proxy in chosen)
        assert wait_until(lambda: stats().waiting == 9)
        assert [proxy.open_now for proxy in chosen] == [2, 2, 2]
        for proxy in chosen:
            proxy.resume()
        assert {answer.result() for answer in answers} == {b"by proxy"}
    assert [proxy.peak_open for proxy in chosen] == [2, 2, 2]


def test_the_cap_of_the_whole_pool_holds_over_all_proxies(client, proxies):
    fetch, stats = client(limits=Limits(total=20))
    for proxy in proxies:
        proxy.pause()
    with ThreadPoolExecutor(PROXIES) as threads:
        answers = [threads.submit(fetch, f"{ORIGIN}/", proxy.url) for proxy in proxies]
        assert wait_until(lambda: (stats().busy, stats().waiting) == (20, 10))
        assert wait_until(lambda: sum(proxy.requests for proxy in proxies) == 20)
        assert sum(proxy.open_now for proxy in proxies) == 20
        for proxy in proxies:
            proxy.resume()
        assert {answer.result() for answer in answers} == {b"by proxy"}
    assert [proxy.requests for proxy in proxies] == [1] * PROXIES


def test_the_least_recently_used_connection_makes_room(client, proxies):
    fetch, stats = client(limits=Limits(total=10))
    for proxy in proxies:
        fetch(f"{ORIGIN}/", proxy.url)
    assert_open(proxies, proxies[20:])
    fetch(f"{ORIGIN}/", proxies[20].url)  # the oldest becomes the newest,
    fetch(f"{ORIGIN}/", proxies[0].url)  # so it is the next one that goes
    assert_open(proxies, [proxies[20], *proxies[22:], proxies[0]])
    assert proxies[20].opened == 1
    assert proxies[0].opened == 2
    assert stats().idle == 10


def test_a_rotation_within_the_cap_dials_each_proxy_once(client, proxies):
    fetch, stats = client()
    for _ in range(3):
        for proxy in proxies:
            fetch(f"{ORIGIN}/", url_of(proxy, 1))
    assert [proxy.opened for proxy in proxies] == [1] * PROXIES
    assert stats().reused == 2 * PROXIES


def test_one_proxy_with_two_users_keeps_their_connections_apart(client, proxies):
    fetch, _ = client()
    for number in (1, 2, 1, 2):
        fetch(f"{ORIGIN}/", url_of(proxies[0], number))
    by_connection = {(request.connection, request.headers["proxy-authorization"]) for request in proxies[0].log}
    assert by_connection == {(1, basic(1)), (2, basic(2))}


def test_no_credentials_reach_an_origin_directly_or_through_a_proxy(client, proxies, sites):
    origin = sites.add(host="127.0.0.200")
    fetch, _ = client()
    for number, proxy in enumerate(proxies):
        fetch(f"{ORIGIN}/", url_of(proxy, number))
        fetch(f"{origin.url}/", None)
    assert origin.requests == PROXIES
    assert not any("proxy-authorization" in request.headers for request in origin.log)


@pytest.mark.parametrize("kind", [TunnelProxy, SocksProxy])
def test_no_credentials_go_through_a_tunnel(client, kind, tmp_path):
    """Each request asks for another proxy; the origin sees all of them, and no word of who asked the proxies."""
    if kind is SocksProxy:
        pytest.importorskip("python_socks", reason="skipped: python-socks is not installed")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("shop.example").configure_cert(context)
    fetch, stats = client(defaults=HostConfig(verify=str(tmp_path / "ca.pem")), limits=Limits(total=10))
    with ExitStack() as stack:
        origin = stack.enter_context(Site(Behaviour(body=b"tunnelled"), tls=context))
        leads_to = ("127.0.0.1", origin.port)
        some = [
            stack.enter_context(kind(leads_to=leads_to, **({"password": b"pass"} if kind is SocksProxy else {})))
            for _ in range(PROXIES)
        ]
        for number, proxy in enumerate(some):
            assert fetch("https://shop.example/", proxy.url_for(f"user{number}:pass")) == b"tunnelled"
        assert stats().open == 10
        for number, proxy in enumerate(some):
            assert [asked_by(asked) for asked in proxy.requests] == [f"user{number}:pass"]
            assert all(b"user" not in bytes(carried) for carried in proxy.carried)
        assert origin.requests == PROXIES
        assert not any(value.startswith("Basic ") for request in origin.log for value in request.headers.values())


def asked_by(asked):
    if hasattr(asked, "credentials"):
        return asked.credentials
    return f"{asked.user.decode()}:{asked.password.decode()}"


def assert_open(proxies, expected):
    """Wait until the proxies have seen what was closed, and compare."""
    for proxy in proxies:
        wanted = int(proxy in expected)
        assert proxy.wait_for(lambda proxy=proxy, wanted=wanted: proxy.open_now == wanted)


def wait_until(condition, seconds=5.0):
    """Wait for something nobody signals: what a pool's own statistics say."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.005)):
        if condition():
            return True
        pause.wait(0.005)
    return condition()
