"""What went wrong with the standard library's rules, each through a session and a real server."""

from __future__ import annotations

import asyncio
import http.cookiejar
import sys
import threading
from collections.abc import Iterator

import pytest

import keeppool
from keeppool import PreparedRequest
from keeppool.client.cookies import CookieJar, keep_lines, with_cookies
from keeppool.client.cookies.store import MOST_OF_A_DOMAIN
from keeppool.testing import Answer, Site
from keeppool.urls.address import parse


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        yield site


@pytest.fixture
def session() -> Iterator[keeppool.Session]:
    with keeppool.Session() as session:
        yield session


def get(session: keeppool.Session, site: Site, host: str, *lines: str, path: str = "/") -> str | None:
    """Ask a site for a page of a host, which sets these cookies; give the Cookie field that came."""
    site.handler = lambda _request: Answer(headers=tuple(("Set-Cookie", line) for line in lines))
    session.get(f"{site.url}{path}", headers={"Host": host})
    return site.log[-1].headers.get("cookie")


def jar_with(*sets: tuple[str, str]) -> CookieJar:
    jar = CookieJar()
    for url, line in sets:
        keep_lines(jar, PreparedRequest(b"GET", parse(url)), [line])
    return jar


def sent(jar: http.cookiejar.CookieJar, url: str) -> str | None:
    field = with_cookies(PreparedRequest(b"GET", parse(url)), jar).fields.get(b"cookie")
    return None if field is None else field.decode("latin-1")


def test_a_cookie_without_a_domain_is_for_its_host_alone(site, session):
    get(session, site, "example.org", "sid=1")
    assert get(session, site, "user.example.org") is None
    assert get(session, site, "example.org") == "sid=1"


def test_a_stranger_cannot_end_a_cookie(site, session):
    get(session, site, "bank.example", "d=1; Domain=bank.example")
    get(session, site, "evil.test", "d=; Domain=bank.example; Max-Age=0")
    assert get(session, site, "bank.example") == "d=1"


@pytest.mark.parametrize(
    ("host", "domain", "neighbour"),
    [
        ("1.2.3.4", ".3.4", "9.9.3.4"),
        ("shop.co.uk", "co.uk", "other.co.uk"),
        ("me.github.io", "github.io", "you.github.io"),
    ],
)
def test_nobody_sets_cookies_for_strangers(site, session, host, domain, neighbour):
    get(session, site, host, f"a=1; Domain={domain}")
    assert get(session, site, neighbour) is None
    assert get(session, site, host) is None


@pytest.mark.parametrize(
    "line", ["a=1; Domain=localhost", "a=1; Secure", 'a=1; Path="/"', 'a=1; Max-Age="3600"', "a=1; Domain="]
)
def test_what_curl_and_browsers_keep_of_localhost_is_kept(session, line):
    with Site(host="localhost") as site:
        site.handler = lambda _request: Answer(headers=(("Set-Cookie", line),))
        for _ in range(2):
            session.get(f"http://localhost:{site.port}/")
        assert site.log[-1].headers.get("cookie") == "a=1"


@pytest.mark.parametrize(
    "lines", [("a=1; Max-Age=60", "a=; Max-Age=0"), ("a=1", "a=1; expires=Thu Jan  1 00:00:00 GMT 1970")]
)
def test_a_cookie_that_is_ended_in_the_same_response_is_gone(site, session, lines):
    get(session, site, "a.example", *lines)
    assert not session.cookies
    assert get(session, site, "a.example") is None


def test_a_host_by_hand_is_as_safe_as_the_way_to_it(site, session):
    get(session, site, "inside.example", "a=1; Secure")
    assert not session.cookies
    get(session, site, "localhost", "a=1; Secure")
    assert get(session, site, "localhost") == "a=1"
    elsewhere = session.prepare_request(keeppool.Request("GET", "http://192.0.2.1/", headers={"Host": "localhost"}))
    assert "Cookie" not in elsewhere.headers


def test_a_prefix_is_held_to_its_promise():
    assert not jar_with(("https://a.example/", "__Host-x=1; Secure; Path=/; Domain=a.example"))
    assert jar_with(("https://a.example/", "__Host-x=1; Secure; Path=/"))


def test_http_does_not_overwrite_what_came_over_tls():
    jar = jar_with(
        ("https://a.example/", "a=1; Secure"), ("http://a.example/", "a=2"), ("http://a.example/", "a=; Max-Age=0")
    )
    assert sent(jar, "https://a.example/") == "a=1"
    assert sent(jar, "http://a.example/") is None


# What it costs


def calls_of(work) -> int:
    """Count the functions that are called, Python's and C's."""
    count = 0

    def seen(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def crowded(domains: int, jar: CookieJar | None = None) -> CookieJar:
    jar = CookieJar() if jar is None else jar
    for number in range(domains):
        jar.set("session", "x", domain=f"www.site{number}.example", expires=2**40, discard=False)
    return jar


def test_a_request_costs_the_same_beside_ten_thousand_other_domains(site, session):
    def cost() -> int:
        # A response may come in two pieces, which costs a few calls more: the least of ten has come in one.
        return min(calls_of(lambda: session.get(site.url)) for _ in range(10))

    costs = []
    for domains in (1, 10_000):
        session.cookies = crowded(domains)
        costs.append(cost())
        session.cookies.set("mine", "1", domain="127.0.0.1")
        costs.append(cost())
        assert site.log[-1].headers["cookie"] == "mine=1"
    assert costs[:2] == costs[2:]


def test_a_task_costs_the_same_beside_ten_thousand_other_domains(site):
    """Each of thirty requests at once on a loop held it up for as long as the jar was large."""

    async def ask(domains: int) -> int:
        async with keeppool.AsyncSession() as session:
            session.cookies = crowded(domains)
            request = session.prepare_request(keeppool.Request("GET", site.url))
            answers = await asyncio.gather(*(session.get(site.url) for _ in range(30)))
            assert [answer.status_code for answer in answers] == [200] * 30
            return calls_of(lambda: session.with_cookies(request))

    assert asyncio.run(ask(1)) == asyncio.run(ask(10_000))


@pytest.mark.parametrize("line", ["a=1", "a=1; Domain=a.example; Max-Age=60", "a=; Max-Age=0"])
def test_a_response_costs_the_same_beside_ten_thousand_other_domains(line):
    costs = []
    for domains in (1, 10_000):
        jar = crowded(domains)
        request = PreparedRequest(b"GET", parse("http://www.a.example/"))
        keep_lines(jar, request, [line])
        costs.append(calls_of(lambda jar=jar, request=request: keep_lines(jar, request, [line])))
    # The heap of ends is as deep as the logarithm of the jar.
    assert costs[1] - costs[0] <= 1


def test_ten_thousand_cookies_that_end_at_once_hold_up_nobody():
    jar = CookieJar()
    for number in range(10_000):
        jar.set("a", "1", domain=f"{number}.example", expires=1, discard=False)
    cost = calls_of(lambda: sent(jar, "http://a.example/"))
    assert cost < 1500
    for _ in range(200):
        sent(jar, "http://a.example/")
    assert len(jar) == 0


def test_a_cookie_that_is_renewed_for_ever_leaves_nothing_behind():
    jar = CookieJar()
    for _ in range(2000):
        keep_lines(jar, PreparedRequest(b"GET", parse("http://a.example/")), ["a=1; Max-Age=60"])
    assert len(jar) == 1
    assert len(jar._store._ends) < 200


def test_a_server_cannot_make_its_next_cookies_dear():
    """A Secure one may not be covered from http: looking for it costs the same beside thousands below the domain."""
    costs = []
    for hosts in (10, 10, 5000):  # The first fills what is remembered of names.
        jar = CookieJar()
        for number in range(hosts):
            jar.set("a", "1", domain=f"h{number}.evil.example", path="/x", secure=True)
        request = PreparedRequest(b"GET", parse("http://www.evil.example/"))
        costs.append(calls_of(lambda jar=jar, request=request: keep_lines(jar, request, ["a=1; Domain=evil.example"])))
        keep_lines(jar, request, ["a=2; Domain=evil.example; Path=/x/y"])
        assert [cookie.value for cookie in jar].count("2") == 0
    assert costs[1] == costs[2]


def test_a_secure_cookie_that_has_ended_is_in_nobodys_way():
    jar = CookieJar()
    jar.set("a", "1", domain="a.example", secure=True, expires=1, discard=False)
    jar.set("b", "1", domain="a.example", secure=True)
    jar.set("b", "2", domain="a.example")
    keep_lines(jar, PreparedRequest(b"GET", parse("http://a.example/")), ["a=3", "b=4"])
    assert jar.get_dict() == {"a": "3", "b": "4"}


def test_a_jar_that_is_emptied_leaves_nothing_behind():
    jar = crowded(100)
    jar.set("s", "1", domain="a.b.example", secure=True)
    for cookie in jar:
        jar.clear(cookie.domain, cookie.path, cookie.name)
    store = jar._store
    assert (store.nested, store.count, store._order, len(store._received)) == ({}, 0, {}, 0)
    assert (store._secure, store._secure_below) == (set(), {})


# Limits


def test_a_domain_has_its_share_and_the_least_used_go_first():
    jar = CookieJar()
    request = PreparedRequest(b"GET", parse("https://www.a.example/"))
    jar.set("mine", "by hand", domain="a.example")
    lines = ["secure=1; Secure; Path=/s", "used=1; Path=/u", "old=1; Path=/o"]
    keep_lines(jar, request, lines)
    keep_lines(jar, request, [f"n{number}=1; Path=/deep" for number in range(MOST_OF_A_DOMAIN - 3)])
    assert sent(jar, "https://www.a.example/u") == "used=1; mine=by hand"
    keep_lines(jar, request, ["one=1", "two=2"])
    gone = {"old", "n0"}
    assert {"mine", "secure", "used", "one", "two"} <= set(jar.keys())
    assert gone.isdisjoint(jar.keys())
    assert len(jar) == MOST_OF_A_DOMAIN + 1


def test_a_domain_of_nothing_but_secure_cookies_has_its_share_too():
    jar = CookieJar()
    request = PreparedRequest(b"GET", parse("https://www.a.example/"))
    keep_lines(jar, request, [f"n{number}=1; Secure" for number in range(MOST_OF_A_DOMAIN + 5)])
    assert jar.keys() == [f"n{number}" for number in range(5, MOST_OF_A_DOMAIN + 5)]


def test_hosts_without_end_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr("keeppool.client.cookies.store.MOST", 100)
    jar = CookieJar()
    jar.set("mine", "by hand", domain="a.example")
    for number in range(500):
        keep_lines(jar, PreparedRequest(b"GET", parse(f"http://h{number}.example/")), ["a=1", "b=2"])
        assert sent(jar, "http://h0.example/") == "a=1; b=2", "it is used again and again"
    assert len(jar) == 101
    assert jar["mine"] == "by hand"
    assert sent(jar, "http://h499.example/") == "a=1; b=2"


def test_what_is_set_by_hand_has_no_limit():
    jar = crowded(0)
    for number in range(1000):
        jar.set(f"n{number}", "1", domain="a.example")
    assert len(jar) == 1000


def test_threads_that_share_a_jar_lose_nothing():
    jar = CookieJar()
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(300):
                url = f"http://h{turn % 7}.example/"
                keep_lines(
                    jar,
                    PreparedRequest(b"GET", parse(url)),
                    [f"t{number}={turn}; Max-Age=60", "gone=1", "gone=; Max-Age=0"],
                )
                assert f"t{number}={turn}" in (sent(jar, url) or "")
                list(jar)
                jar.set(f"own{number}", "1", domain="own.example")
                jar.clear("own.example", "/", f"own{number}")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert sorted(jar.keys()) == sorted([f"t{number}" for number in range(6)] * 7)
