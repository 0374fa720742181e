"""Policies: what a program's own decides, holds; jars of the standard library go by theirs."""

from __future__ import annotations

import http.cookiejar
from http.cookiejar import DefaultCookiePolicy
from urllib.request import Request as StandardRequest

import pytest

import keeppool
from keeppool import PreparedRequest
from keeppool.client.cookies import keep_lines, with_cookies
from keeppool.cookies import CookieJar, CookiePolicy
from keeppool.testing import Answer, Site
from keeppool.urls.address import parse


def keep(jar: http.cookiejar.CookieJar, url: str, *lines: str) -> list[str]:
    keep_lines(jar, PreparedRequest(b"GET", parse(url)), list(lines))
    return [cookie.name for cookie in jar]


def sent(jar: http.cookiejar.CookieJar, url: str) -> str | None:
    field = with_cookies(PreparedRequest(b"GET", parse(url)), jar).fields.get(b"cookie")
    return None if field is None else field.decode("latin-1")


class Nobody(http.cookiejar.CookiePolicy):
    """The one that answers on the web recommend."""

    return_ok = set_ok = domain_return_ok = path_return_ok = lambda *_, **__: False
    netscape = True
    rfc2965 = hide_cookie2 = False


def test_a_policy_that_takes_nothing_is_heard():
    jar = CookieJar(Nobody())
    assert keep(jar, "http://a.example/", "a=1") == []
    jar.set("b", "2")
    assert sent(jar, "http://a.example/") is None
    jar.set_policy(CookiePolicy())
    assert keep(jar, "http://a.example/", "a=1") == ["b", "a"]


@pytest.mark.parametrize("kind", [CookiePolicy, DefaultCookiePolicy])
def test_lists_of_domains_are_heard(kind):
    jar = CookieJar(kind(allowed_domains=["a.example", ".b.example"], blocked_domains=["x.b.example"]))
    for host in ("a.example", "www.b.example", "x.b.example", "c.example"):
        keep(jar, f"http://{host}/", "n=1")
    assert jar.list_domains() == ["a.example", "www.b.example"]
    jar.set("byhand", "1", domain="c.example")
    assert sent(jar, "http://c.example/") is None
    assert sent(jar, "http://a.example/") == "n=1"


def test_a_standard_policys_lists_do_not_let_in_what_the_rfc_refuses():
    jar = CookieJar(DefaultCookiePolicy(blocked_domains=["c.example"]))
    assert keep(jar, "http://a.co.uk/", "a=1; Domain=co.uk", "__Host-a=1") == []
    assert keep(jar, "http://a.example/", "a=1") == ["a"]
    assert sent(jar, "http://www.a.example/") is None


def test_a_standard_policy_knows_hosts_without_a_dot_under_its_own_name():
    jar = CookieJar(DefaultCookiePolicy(blocked_domains=["c.example"]))
    for url in ("http://localhost/", "http://intranet/", "http://[::1]/", "http://127.0.0.1/"):
        keep(jar, url, "a=1")
        assert sent(jar, url) == "a=1"


def test_what_a_policy_of_ones_own_allows_is_allowed():
    class Open(DefaultCookiePolicy):
        def set_ok(self, _cookie, _request):
            return True

    jar = CookieJar(Open())
    assert keep(jar, "http://a.example/", "a=1; Domain=other.example", "b=2; Secure") == ["a", "b"]
    assert sent(jar, "http://other.example/") == "a=1"


def test_a_policy_that_judges_domains_is_shown_all_of_them():
    class Everywhere(http.cookiejar.CookiePolicy):
        netscape, rfc2965, hide_cookie2 = True, False, False

        def set_ok(self, _cookie, _request):
            return True

        def return_ok(self, cookie, _request):
            return cookie.name != "c"

    jar = CookieJar(Everywhere())
    for name in "abc":
        jar.set(name, "1", domain=f"{name}.example")
    assert sent(jar, "http://x.example/") == "a=1; b=1"


def test_secure_protocols_are_heard():
    jar = CookieJar(CookiePolicy(secure_protocols=("https", "http")))
    jar.set("a", "1", domain="a.example", secure=True)
    assert sent(jar, "http://a.example/") == "a=1"
    jar.set_policy(CookiePolicy())
    assert sent(jar, "http://a.example/") is None


@pytest.mark.parametrize("kind", [CookiePolicy, DefaultCookiePolicy])
def test_a_policy_may_refuse_by_code_of_its_own_and_ask_its_parent(kind):
    class Choosy(kind):
        def set_ok(self, cookie, request):
            return cookie.name != "bad" and super().set_ok(cookie, request)

        def return_ok(self, cookie, request):
            return cookie.name != "secret" and super().return_ok(cookie, request)

    jar = CookieJar(Choosy())
    assert keep(jar, "http://a.example/", "bad=1", "a=1", "secret=1", "far=1; Domain=b.example") == ["a", "secret"]
    assert sent(jar, "http://a.example/") == "a=1"
    assert sent(jar, "http://www.a.example/") is None


def test_a_method_put_on_a_policy_is_heard():
    jar = CookieJar()
    jar["a"] = "1"
    jar.get_policy().return_ok = lambda _cookie, _request: False
    assert sent(jar, "http://a.example/") is None


def test_no_cookies_without_netscape():
    assert keep(CookieJar(DefaultCookiePolicy(netscape=False)), "http://a.example/", "a=1") == []


def test_the_policy_serves_a_jar_of_the_standard_library():
    jar = http.cookiejar.CookieJar(CookiePolicy())
    assert keep(jar, "http://a.example/", "a=1", "b=2; Domain=a.example", "c=3; Domain=example") == ["a", "b"]
    assert keep(jar, "http://localhost/", "d=4") == ["a", "b", "d"]
    assert sent(jar, "http://a.example/") == "a=1; b=2"
    assert sent(jar, "http://www.a.example/") == "b=2"
    assert sent(jar, "http://localhost/") == "d=4"


def test_a_standard_jar_on_a_session_goes_by_its_own_rules():
    with Site() as site, keeppool.Session() as session:
        site.handler = lambda _request: Answer(headers=(("Set-Cookie", "a=1"), ("Set-Cookie", "b=2; Domain=")))
        session.cookies = jar = http.cookiejar.CookieJar()
        session.get(site.url)
        session.get(site.url, cookies={"mine": "3"})
        assert site.log[-1].headers["cookie"] == "a=1; mine=3"
        assert [cookie.name for cookie in jar] == ["a"]


def test_the_jar_serves_urllib_request():
    jar = CookieJar()
    keep(jar, "http://www.a.example/dir/x", "a=1; Domain=a.example", "b=2")
    request = StandardRequest("http://www.a.example:8080/dir/y?z")
    jar.add_cookie_header(request)
    assert request.get_header("Cookie") == "a=1; b=2"


def test_a_jar_that_keeps_nothing_keeps_nothing():
    class Forgetful(CookieJar):
        def set_cookie(self, cookie):
            pass

    jar = Forgetful()
    assert keep(jar, "http://a.example/", "a=1") == []
    jar.set("a", "1")
    assert not jar


def test_no_policy_sends_a_cookie_that_has_ended():
    class Generous(DefaultCookiePolicy):
        def return_ok(self, _cookie, _request):
            return True

    jar = CookieJar(Generous())
    for number in range(100):  # More than one request takes out.
        jar.set(f"n{number}", "1", expires=1, discard=False)
    jar.set("a", "1")
    assert sent(jar, "http://a.example/") == "a=1"
