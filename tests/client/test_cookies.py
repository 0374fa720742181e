"""Cookies: kept, sent, lent for one call, and the jar as a dictionary."""

from __future__ import annotations

import copy
import http.cookiejar
import pickle
import threading
from http.cookiejar import DefaultCookiePolicy

import pytest
from answers import elsewhere, page

import keeppool
from keeppool import PreparedRequest
from keeppool.client.cookies import CookieJar, jar_of, with_cookies
from keeppool.errors import InvalidHeader, InvalidRequest
from keeppool.urls.address import parse


def received(site) -> str | None:
    """The Cookie header of the site's last request."""
    return site.log[-1].headers.get("cookie")


def test_a_session_keeps_what_is_set_and_sends_it(site, session):
    assert session.get(f"{site.url}/cookies/set?a=1&b=2").cookies.get_dict() == {"a": "1", "b": "2"}
    assert session.cookies.get_dict() == {"a": "1", "b": "2"}
    assert session.get(f"{site.url}/cookies").json() == {"a": "1", "b": "2"}


def test_cookies_of_every_hop_are_kept_and_sent_to_the_next(answering, session):
    site = answering({"/a": elsewhere(302, "/cookies", ("Set-Cookie", "hop=1; Path=/"))})
    response = session.get(f"{site.url}/a", stream=True)
    assert response.json() == {"hop": "1"}
    assert response.cookies.get_dict() == {}
    assert response.history[0].cookies.get_dict() == {"hop": "1"}
    assert session.cookies["hop"] == "1"


def test_a_hop_can_delete_a_cookie(answering, session):
    site = answering({"/a": elsewhere(302, "/cookies", ("Set-Cookie", "a=; Path=/; Max-Age=0"))})
    session.get(f"{site.url}/cookies/set?a=1&b=2")
    assert session.get(f"{site.url}/a").json() == {"b": "2"}


def test_a_calls_own_cookies_are_sent_and_not_kept(site, session):
    session.cookies.set("mine", "1")
    assert session.get(f"{site.url}/cookies", cookies={"call": "2"}).json() == {"mine": "1", "call": "2"}
    assert session.get(f"{site.url}/cookies").json() == {"mine": "1"}


def test_a_calls_own_jar_is_only_read(site, session):
    jar = CookieJar()
    jar.set("call", "1")
    assert session.get(f"{site.url}/cookies", cookies=jar).json() == {"call": "1"}
    session.get(f"{site.url}/cookies/set?a=1", cookies=jar)
    assert jar.get_dict() == {"call": "1"}
    assert session.cookies.get_dict() == {"a": "1"}


def test_a_calls_own_cookies_follow_to_the_same_origin_only(answering, session):
    other = answering({})
    site = answering({"/near": elsewhere(302, "/cookies"), "/far": elsewhere(302, f"{other.url}/cookies")})
    assert session.get(f"{site.url}/near", cookies={"secret": "1"}).json() == {"secret": "1"}
    assert session.get(f"{site.url}/far", cookies={"secret": "1"}).json() == {}


def test_a_cookie_header_of_the_callers_is_sent_alone(site, session):
    session.cookies.set("jar", "1")
    session.get(f"{site.url}/a", headers={"Cookie": "own=1"})
    assert received(site) == "own=1"


def test_cookies_go_where_they_belong(answering, session):
    answers = {
        "/set": page(
            b"",
            None,
            ("Set-Cookie", "everywhere=1; Path=/"),
            ("Set-Cookie", "deep=1; Path=/deep"),
            ("Set-Cookie", "secure=1; Path=/; Secure"),  # This machine itself is as safe as TLS.
            ("Set-Cookie", "foreign=1; Domain=other.example"),
        )
    }
    site = answering(answers)
    session.get(f"{site.url}/set")
    session.get(f"{site.url}/x")
    assert received(site) == "everywhere=1; secure=1"
    session.get(f"{site.url}/deep/x")
    assert received(site) == "deep=1; everywhere=1; secure=1"


def test_a_host_header_by_hand_is_the_cookies_host(answering, session):
    site = answering({"/set": page(b"", None, ("Set-Cookie", "a=1; Path=/"))})
    session.get(f"{site.url}/set", headers={"Host": "inside.example"})
    assert [cookie.domain for cookie in session.cookies] == ["inside.example"]
    session.get(f"{site.url}/x")
    assert received(site) is None
    session.get(f"{site.url}/x", headers={"Host": "inside.example"})
    assert received(site) == "a=1"


def test_no_jar_is_made_while_nothing_sets_a_cookie(site, session):
    session.get(f"{site.url}/echo", params={"a": 1})
    assert session._jar is None


def test_any_jar_or_mapping_can_be_the_sessions(site, session):
    session.cookies = {"a": "1"}
    assert isinstance(session.cookies, CookieJar)
    assert session.get(f"{site.url}/cookies").json() == {"a": "1"}
    session.cookies = jar = http.cookiejar.CookieJar()
    session.get(f"{site.url}/cookies/set?b=2")
    assert [cookie.name for cookie in jar] == ["b"]
    assert session.get(f"{site.url}/cookies", cookies={"c": "3"}).json() == {"b": "2", "c": "3"}


def test_the_sessions_policy_holds_for_calls_with_cookies_too(site, session):
    class Silent(http.cookiejar.DefaultCookiePolicy):
        def return_ok(self, _cookie, _request):
            return False

    session.cookies.set_policy(Silent())
    session.cookies.set("a", "1")
    assert session.get(f"{site.url}/cookies", cookies={"b": "2"}).json() == {}


def test_a_jar_has_a_dictionarys_manners():
    jar = CookieJar()
    assert not jar
    jar["a"] = "1"
    jar.set("b", "2", domain="x.example", path="/p")
    jar.update({"c": "3"})
    assert jar
    assert len(jar) == 3
    assert jar["a"] == jar.get("a") == "1"
    assert jar.get("no") is None
    assert jar.get("no", "default") == "default"
    assert sorted(jar.keys()) == ["a", "b", "c"]
    assert sorted(jar.values()) == ["1", "2", "3"]
    assert dict(jar.items()) == dict(jar) == jar.get_dict() == {"a": "1", "b": "2", "c": "3"}
    assert jar.get_dict(domain="x.example", path="/p") == {"b": "2"}
    assert "a" in jar
    assert "no" not in jar
    del jar["a"]
    jar["c"] = None
    assert jar.get_dict() == {"b": "2"}
    with pytest.raises(KeyError):
        jar["a"]
    with pytest.raises(KeyError):
        del jar["a"]


def test_a_name_on_several_sites_has_to_be_told_apart():
    jar = CookieJar()
    jar.set("a", "1", domain="x.example")
    jar.set("a", "2", domain="y.example")
    with pytest.raises(LookupError, match=r"x\.example/, y\.example/"):
        jar.get("a")
    assert jar.get("a", domain="y.example") == "2"
    jar.set("a", None, domain="x.example")
    assert jar["a"] == "2"


@pytest.mark.parametrize("bad", [("a", 5), (5, "a"), ("a", b"x")])
def test_a_cookie_is_text(bad):
    with pytest.raises(InvalidHeader):
        CookieJar().set(*bad)


@pytest.mark.parametrize("bad", ["a=1", 5, [("a", "1")]])
def test_cookies_are_a_mapping_or_a_jar(bad, session):
    with pytest.raises(InvalidRequest):
        session.get("http://127.0.0.1/", cookies=bad)


def test_a_cookie_cannot_smuggle_a_header(site, session):
    with pytest.raises(InvalidHeader):
        session.get(f"{site.url}/x", cookies={"a": "1\r\nX: y"})


def test_unknown_attributes_are_an_error():
    with pytest.raises(TypeError):
        CookieJar().set("a", "1", colour="red")


def test_copies_and_pickles_are_independent():
    jar = jar_of({"a": "1"})
    for other in (jar.copy(), copy.deepcopy(jar), pickle.loads(pickle.dumps(jar))):
        assert other.get_dict() == {"a": "1"}
        next(iter(other)).value = "9"
        assert jar["a"] == "1"
        other.set("a", "2")
        assert jar["a"] == "1"


def test_many_threads_share_one_jar(site):
    """Setting, sending and counting at once loses nothing and breaks nothing."""
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(20):
                session.get(f"{site.url}/cookies/set?t{number}={turn}")
                assert session.get(f"{site.url}/cookies").json()[f"t{number}"] == str(turn)
        except BaseException as error:
            errors.append(error)

    with keeppool.Session() as session:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert errors == []
        assert session.cookies.get_dict() == {f"t{number}": "19" for number in range(6)}


def test_what_one_thread_looks_through_no_other_takes_away():
    """A policy is asked about each cookie in the middle of the search; another thread clears the jar meanwhile."""
    begun, cleared, seen = threading.Event(), threading.Event(), []

    class Watching(DefaultCookiePolicy):
        def return_ok(self, cookie, request):
            begun.set()
            seen.append(cleared.is_set())
            return super().return_ok(cookie, request)

    def clear() -> None:
        begun.wait(60)
        jar.clear()
        cleared.set()

    jar = CookieJar(Watching())
    for number in range(20_000):
        jar.set(f"c{number}", "v", domain="a.example")
    clearing = threading.Thread(target=clear)
    clearing.start()
    request = with_cookies(PreparedRequest(b"GET", parse("http://a.example/")), jar)
    clearing.join(60)
    assert (len(seen), any(seen), cleared.is_set()) == (20_000, False, True)
    assert request.headers["Cookie"].count("=") == 20_000
    assert len(jar) == 0


def test_cookies_may_be_gone_through_while_they_are_taken_away():
    jar = CookieJar()
    for number in range(5):
        jar.set("a", "1", domain=f"{number}.example")
    for cookie in jar:
        jar.clear(cookie.domain, cookie.path, cookie.name)
    assert (list(jar), bool(jar)) == ([], False)
    jar.set("b", "2", domain="a.example")
    jar.set("b", None)
    jar.set("c", "3", expires=2**40, discard=False)
    jar.set("d", "4")
    jar.clear_session_cookies()
    assert jar.keys() == ["c"]
    with pytest.raises(KeyError):
        jar.clear("b.example")
