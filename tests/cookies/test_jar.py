"""The jar as people use it: by hand, as a dictionary, pickled; and what is refused."""

from __future__ import annotations

import copy
import functools
import http.cookiejar
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest

import keeppool
import keeppool.requests
from keeppool import PreparedRequest
from keeppool.client.cookies import jar_of, keep_lines, with_cookies
from keeppool.client.cookies.matching import domain_matches
from keeppool.client.cookies.received import LONGEST_LIFE
from keeppool.client.cookies.suffixes import is_public_suffix
from keeppool.cookies import CookieConflictError, CookieJar
from keeppool.errors import InvalidHeader
from keeppool.urls.address import parse


def kept(*lines: str, url: str = "https://www.a.example/dir/x") -> CookieJar:
    jar = CookieJar()
    keep_lines(jar, PreparedRequest(b"GET", parse(url)), list(lines))
    return jar


def sent(jar: CookieJar, url: str, own: CookieJar | None = None) -> str | None:
    request = PreparedRequest(b"GET", parse(url), jar=own)
    field = with_cookies(request, jar).fields.get(b"cookie")
    return None if field is None else field.decode("latin-1")


def test_requests_jar_is_this_one():
    assert keeppool.requests.cookies.RequestsCookieJar is CookieJar
    assert keeppool.requests.cookies.CookieConflictError is CookieConflictError
    assert issubclass(CookieJar, http.cookiejar.CookieJar)


def test_a_cookie_shows_what_was_said_of_it():
    [cookie] = kept("a=1; Domain=a.example; Path=/dir; Secure; httponly; samesite=LAX; Max-Age=60; Colour=red")
    assert (cookie.domain, cookie.domain_specified, cookie.path, cookie.path_specified) == (
        ".a.example",
        True,
        "/dir",
        True,
    )
    assert (cookie.secure, cookie.discard, cookie.version) == (True, False, 0)
    assert 0 < cookie.expires - time.time() <= 60
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.get_nonstandard_attr("SameSite") == "Lax"
    assert cookie.get_nonstandard_attr("Colour") == "red"
    [cookie] = kept("a=1; SameSite=Some")
    assert (cookie.domain, cookie.domain_specified, cookie.path, cookie.discard) == (
        "www.a.example",
        False,
        "/dir",
        True,
    )
    assert not cookie.has_nonstandard_attr("SameSite")


@pytest.mark.parametrize("line", ["a=1; Max-Age=99999999999", "a=1; Expires=Fri, 31 Dec 9999 23:59:59 GMT"])
def test_no_server_keeps_a_cookie_for_more_than_four_hundred_days(line):
    [cookie] = kept(line)
    assert 0 <= time.time() + LONGEST_LIFE - cookie.expires < 60


def test_a_cookie_by_hand_lives_as_long_as_it_says():
    jar = CookieJar()
    assert jar.set("a", "1", expires=2**40, discard=False).expires == 2**40


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("a;b", "1", "';'"),
        ("a=b", "1", "'='"),
        ("a\n", "1", r"'\\n'"),
        ("a\x00", "1", r"'\\x00'"),
        ("a", "secret;2", "';'"),
        ("a", "secret\r\nX: y", r"'\\r'"),
        ("a", "secret\x7f", r"'\\x7f'"),
        ("", "", "both are empty"),
        ("a", 5, "must be text"),
        (5, "secret", "must be text"),
        ("a", b"secret", "must be text"),
    ],
)
def test_a_name_or_value_no_cookie_can_have_is_refused_by_name_and_nothing_is_set(name, value, word):
    jar = jar_of({"old": "1"})
    with pytest.raises(InvalidHeader, match=word) as caught:
        jar.set(name, value)
    assert caught.value.name == name
    assert "secret" not in str(caught.value)
    into_jar = functools.partial(keeppool.requests.cookies.cookiejar_from_dict, cookiejar=jar)
    for way in (jar.update, jar_of, into_jar, lambda cookies: setattr(keeppool.Session(), "cookies", cookies)):
        with pytest.raises(InvalidHeader, match=word):
            way({"good": "1", name: value})
    with keeppool.Session() as session, pytest.raises(InvalidHeader, match=word):
        session.get("http://127.0.0.1:9/", cookies={"good": "1", name: value})
    assert jar.items() == [("old", "1")]


@pytest.mark.parametrize("value", ['"quoted"', "a b", "a=b", "ä", "€", "a\tb", "", "{}[]()<>@,:\\/?"])
def test_everything_else_is_a_value(value):
    jar = jar_of({"a": value})
    assert jar["a"] == value
    assert sent(jar, "http://a.example/") in (f"a={value}", f"a={value}".encode().decode("latin-1"))


def test_a_domain_by_hand_is_for_the_hosts_below_it_too_in_any_spelling():
    jar = CookieJar()
    jar.set("a", "1", domain="BÜCHER.example")
    assert jar.list_domains() == ["xn--bcher-kva.example"]
    assert sent(jar, "http://bücher.example/") == sent(jar, "http://www.bücher.example/") == "a=1"
    assert jar.get("a", domain="bücher.example") == "1"
    jar.set("a", "2", domain=".bücher.example")
    assert sent(jar, "http://bücher.example/") == "a=2"
    jar.clear(".bücher.example")
    assert not jar
    jar.set("b", "1", domain="[::1]")
    jar.set("c", "1", domain="localhost.local")  # As requests' users have learned to write it.
    assert sent(jar, "http://[::1]/") == "b=1"
    assert sent(jar, "http://localhost/") == "c=1"


def test_a_port_by_hand_is_heard():
    jar = CookieJar()
    jar.set("a", "1", port="8080,81")
    assert sent(jar, "http://a.example:81/") == "a=1"
    assert sent(jar, "http://a.example/") is None


def test_a_calls_own_cookie_stands_in_place_of_the_sessions():
    jar = kept("a=1", "b=2; Path=/", url="http://a.example/")
    own = CookieJar()
    own.set("b", "own", domain="a.example")
    own.set("stray", "3")
    assert sent(jar, "http://a.example/", own) == "a=1; b=own; stray=3"
    assert jar.get_dict() == {"a": "1", "b": "2"}


def test_clearing_says_what_is_not_there():
    jar = kept("a=1", "b=2")
    for missing in [("b.example",), ("www.a.example", "/x"), ("www.a.example", "/dir", "c")]:
        with pytest.raises(KeyError):
            jar.clear(*missing)
    for wrong in [{"path": "/"}, {"name": "a"}, {"domain": "www.a.example", "name": "a"}]:
        with pytest.raises(ValueError, match="needs its domain"):
            jar.clear(**wrong)
    jar.clear("www.a.example", "/dir", "a")
    assert jar.keys() == ["b"]
    jar.clear("www.a.example")
    assert len(jar) == 0


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, CookieJar.copy, lambda jar: pickle.loads(pickle.dumps(jar))])
def test_a_copy_knows_all_its_jar_knew(way):
    jar = kept("b=1; Max-Age=60", "a=2; Path=/", "c=3; Domain=a.example")
    twin = way(jar)
    assert [vars(cookie) for cookie in twin] == [vars(cookie) for cookie in jar]
    assert sent(twin, "https://www.a.example/dir/") == sent(jar, "https://www.a.example/dir/") == "b=1; c=3; a=2"
    keep_lines(twin, PreparedRequest(b"GET", parse("https://www.a.example/dir/x")), ["b=; Max-Age=0"])
    assert "b" in jar
    assert "b" not in twin


def test_cookies_that_end_with_the_session_and_those_that_have_ended_can_be_cleared():
    jar = kept("a=1", "b=2; Max-Age=60")
    jar.set("c", "3", expires=1, discard=False)
    jar.clear_expired_cookies()
    assert jar.keys() == ["a", "b"]
    jar.clear_session_cookies()
    assert jar.keys() == ["b"]


def test_no_cookie_is_no_import():
    code = """
import sys, keeppool, keeppool.testing
with keeppool.testing.Site() as site, keeppool.Session() as session:
    session.get(site.url)
print([name for name in sys.modules if "cookie" in name or "publicsuffix" in name])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


@pytest.mark.parametrize(
    ("host", "domain", "matches"),
    [
        ("a.example", "a.example", True),
        ("www.a.example", "a.example", True),
        ("ba.example", "a.example", False),
        ("a.example", "www.a.example", False),
        ("1.2.3.4", "3.4", False),
        ("1.2.3.4", "1.2.3.4", True),
        ("::1", "1", False),
        ("a.1", "1", False),
    ],
)
def test_a_domain_is_a_host_or_the_end_of_its_name(host, domain, matches):
    assert domain_matches(host, domain) is matches


# Public suffixes

SUFFIXES = [
    ("com", True),
    ("localhost", True),
    ("co.uk", True),
    ("com.au", True),
    ("ac.jp", True),
    ("co.uk.", True),
    ("example.com", False),
    ("example.co.uk", False),
    ("a.localhost", False),
]
ONLY_LISTED = [
    ("github.io", True),
    ("b.ck", True),
    ("www.ck", False),
    ("a.www.ck", False),
    ("kobe.jp", True),
    ("x.kobe.jp", True),
    ("city.kobe.jp", False),
    ("xn--55qx5d.cn", True),
    ("compute.amazonaws.com", True),
    ("s3.amazonaws.com", True),
    ("amazonaws.com", False),
]


@pytest.mark.parametrize(("domain", "is_suffix"), SUFFIXES + ONLY_LISTED)
def test_a_public_suffix_is_known(domain, is_suffix):
    assert is_public_suffix(domain) is is_suffix


def test_the_list_is_read_as_its_own_package_reads_it():
    from publicsuffixlist import PSLFILE, PublicSuffixList

    def a_label(name):
        return name.encode("idna").decode("ascii")

    theirs = PublicSuffixList()
    names = [name for name, _ in SUFFIXES + ONLY_LISTED]
    lines = Path(PSLFILE).read_text(encoding="utf-8").splitlines()
    rules = [line.lstrip("!*.") for line in lines if line.strip() and not line.startswith("//")]
    ours = {name for name in rules for name in (name, f"x.{name}") if is_public_suffix.__wrapped__(a_label(name))}
    assert len(rules) > 9000
    assert ours == {name for name in rules for name in (name, f"x.{name}") if theirs.is_public(a_label(name))}
    assert [is_public_suffix(name) for name in names] == [theirs.is_public(name.rstrip(".")) for name in names]


@pytest.mark.parametrize(("domain", "is_suffix"), SUFFIXES)
def test_without_the_list_what_cannot_be_mistaken_is_known(domain, is_suffix, monkeypatch):
    monkeypatch.setattr("keeppool.client.cookies.suffixes._rules", lambda: None)
    assert is_public_suffix.__wrapped__(domain) is is_suffix


def test_without_the_package_there_is_no_list(monkeypatch):
    from keeppool.client.cookies import suffixes

    monkeypatch.setitem(sys.modules, "publicsuffixlist", None)
    assert suffixes._rules.__wrapped__() is None
    monkeypatch.setattr(suffixes, "_rules", lambda: None)
    assert is_public_suffix.__wrapped__("github.io") is False
