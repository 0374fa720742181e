"""The same program with requests and with keeppool: the server sees the same, the program sees the same.

Where keeppool differs on purpose, a test says so and why.
"""

from __future__ import annotations

import io
import itertools
import json as json_module
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from answers import elsewhere, page

import keeppool
from keeppool.testing import Answer, Request, Site

requests = pytest.importorskip("requests")

FAILURES = (requests.RequestException, keeppool.errors.KeepPoolError)

#: Fields that tell the two apart by name, or in which they differ without consequence.
_OWN = {"user-agent", "accept-encoding", "host", "connection"}


class Pair:
    """Runs a program once with each library, each on a site of its own."""

    def __init__(self, start: Callable[..., Site]) -> None:
        self._start = start

    def run(self, program: Callable[[Any, str], Any], answers: dict[str, Any] | None = None) -> list[tuple[Any, Any]]:
        """Return, for each library, what the program returned and what the server saw, addresses made equal."""
        outcomes = []
        with requests.Session() as theirs, keeppool.Session() as ours:
            theirs.trust_env = False
            for session in (theirs, ours):
                site = self._start(answers or {})
                result = program(session, site.url)
                outcomes.append((anonymous(result, site.url), [sent(request) for request in site.log]))
        return outcomes

    def agree(self, program: Callable[[Any, str], Any], answers: dict[str, Any] | None = None) -> Any:
        """Assert that both saw and sent the same; return what the program returned."""
        theirs, ours = self.run(program, answers)
        assert ours == theirs
        return ours[0]


@pytest.fixture
def pair(answering: Callable[..., Site]) -> Iterator[Pair]:
    return Pair(answering)


def sent(request: Request) -> tuple[str, str, dict[str, str], bytes]:
    fields = {name: value for name, value in request.headers.items() if name not in _OWN}
    if not request.body and request.method not in ("POST", "PUT", "PATCH"):
        # requests says `Content-Length: 0` with every method but GET and HEAD; nothing asks for it (RFC 9110 §8.6).
        fields.pop("content-length", None)
    return request.method, request.target, fields, request.body


def anonymous(result: Any, url: str) -> Any:
    return result.replace(url, "SITE") if isinstance(result, str) else result


@pytest.mark.parametrize(
    "params",
    [
        None,
        {},
        {"a": 1, "b": "x y&z"},
        {"a": [1, 2, None], "b": None, "c": ()},
        [("a", "1"), ("a", "2")],
        (("a", "ü"),),
        {"ü": "€", "p": "100%", "s": "/?#[]@!$&'()*+,;=~-._"},
        {b"a": b"\xff"},
        {1: 2.5, "t": True},
        {"a": {"k": "v"}},
        {"a": "", "b": [""]},
        "a=b&c=d e",
        b"a=b",
        "a=%20&b=\u00fc",
    ],
)
@pytest.mark.parametrize("path", ["/x", "/x?q=1", "/x#f", "/x?q=1#f"])
def test_parameters(pair, params, path):
    pair.agree(lambda session, url: session.get(url + path, params=params).url)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/a b",
        "/ä/€?ö=ü",
        "/%e4%2F%7e%41",
        "/100%",
        "/a/../b/./c",
        "/.well-known",
        "/a//b",
        "/?",
        "/?a=b?c",
        "?a",
        "/[x]?[y]",
        '/"<>\\^`{|}',
        "/;p=1?;q",
        "/x#a b",
    ],
)
def test_urls(pair, path):
    pair.agree(lambda session, url: session.get(url + path).url)


@pytest.mark.parametrize(
    ("path", "theirs", "ours"),
    [("/a%zz%20", "/a%25zz%2520", "/a%25zz%20"), ("/x?a=100%&b=%41", "/x?a=100%25&b=%2541", "/x?a=100%25&b=A")],
)
def test_an_escape_beside_a_lone_percent_sign(pair, path, theirs, ours):
    """Different on purpose: requests quotes all escapes again if one is none, so another resource is asked for."""
    (_, their_log), (_, our_log) = pair.run(lambda session, url: session.get(url + path).url)
    assert (their_log[0][1], our_log[0][1]) == (theirs, ours)


@pytest.mark.parametrize("prefix", ["  ", "\n"])
def test_white_space_before_a_url_is_dropped(pair, prefix):
    pair.agree(lambda session, url: session.get(prefix + url + "/x").url)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": {"a": 1, "b": ["x", None, "ü"]}},
        {"data": [("a", 1), ("a", 2)]},
        {"data": {}},
        {"data": ""},
        {"data": "text ü"},
        {"data": b"\x00\xff"},
        {"data": {}, "json": {"x": 1}},
        {"data": "wins", "json": {"x": 1}},
        {"json": {"ü": [1, None, True, 1.5]}},
        {"json": []},
        {"json": None},
        {"json": 0},
        {"data": {"a": "b"}, "headers": {"Content-Type": "own/type"}},
        {"json": 1, "headers": {"content-type": "own/type"}},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["post", "put", "patch"])
def test_bodies(pair, method, body):
    pair.agree(lambda session, url: getattr(session, method)(f"{url}/echo", **body).json()["body"])


def test_files_and_iterators(pair):
    def program(session, url):
        file = io.BytesIO(b"skipped, sent")
        file.seek(9)
        session.post(f"{url}/echo", data=file)
        session.post(f"{url}/echo", data=iter([b"one", b"two"]))

    pair.agree(program)


@pytest.mark.parametrize(
    "headers",
    [None, {}, {"X-A": "1"}, {"x-session": None}, {"X-SESSION": "own"}, {"Accept": None}, {b"X-B": b"\xe4"}],
    ids=str,
)
def test_headers_of_session_and_call(pair, headers):
    def program(session, url):
        session.headers["X-Session"] = "s"
        session.get(f"{url}/x", headers=headers)

    pair.agree(program)


def test_parameters_of_session_and_call(pair):
    def program(session, url):
        session.params = {"key": "k", "b": 1}
        return [
            session.get(f"{url}/x").url.removeprefix(url),
            session.get(f"{url}/x", params={"b": 2, "key": None}).url.removeprefix(url),
            session.get(f"{url}/x", params="raw").url.removeprefix(url),
        ]

    pair.agree(program)


@pytest.mark.parametrize("auth", [("user", "pass"), ("ü", "ß"), ("user", "")])
def test_basic_authentication(pair, auth):
    pair.agree(lambda session, url: session.get(f"{url}/x", auth=auth, headers={"Authorization": "loses"}).text)


def test_credentials_in_the_url(pair):
    def program(session, url):
        return session.get(url.replace("//", "//us%40er:p%3Ass@") + "/echo").json()["headers"]["authorization"]

    pair.agree(program)


FOLLOWED = list(itertools.product(["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE"], [301, 302, 303, 307, 308]))
FOLLOWED.remove(("PUT", 301))  # See the test below.


@pytest.mark.parametrize(("method", "status"), FOLLOWED)
def test_redirects(pair, method, status):
    body = {"data": {"a": "1"}} if method in ("POST", "PUT") else {}

    def program(session, url):
        response = session.request(method, f"{url}/a", headers={"X-Kept": "1"}, allow_redirects=True, **body)
        assert response.url == f"{url}/b"
        return [hop.status_code for hop in (*response.history, response)]

    assert pair.agree(program, {"/a": elsewhere(status, "/b", body=b"moved")}) == [status, 200]


def test_a_put_that_moved_for_good(pair):
    """Different on purpose: requests repeats the PUT without its body and would empty the resource."""
    answers = {"/a": elsewhere(301, "/b")}
    (_, theirs), (_, ours) = pair.run(lambda session, url: session.put(f"{url}/a", data="content").text, answers)
    assert theirs[1][0] == ours[1][0] == "PUT"
    assert (theirs[1][3], ours[1][3]) == (b"", b"content")


@pytest.mark.parametrize(
    "location",
    [
        "/b",
        "b?c=d",
        "../b",
        "?q",
        "//{host}/b",
        "{site}/b",
        "/b#new",
        "/b c",
        "/gr\u00c3\u00bc\u00c3\u009fe",
        "/b%20c",
    ],
)
def test_locations(pair, location):
    def answer(request: Request) -> Answer | None:
        if request.query:
            return None
        host = request.headers["host"]
        return elsewhere(302, location.format(host=host, site=f"http://{host}"))

    def program(session, url):
        response = session.get(f"{url}/deep/a#old")
        return f"{response.url} {response.status_code} {len(response.history)}"

    pair.agree(program, {"/deep/a": answer})


def test_a_chain_with_cookies_and_fields_dropped(pair):
    """Authorization and cookies given by hand within one origin: the first goes along, the second does not."""
    answers = {
        "/a": elsewhere(302, "/b", ("Set-Cookie", "one=1; Path=/")),
        "/b": elsewhere(307, "/c", ("Set-Cookie", "two=2; Path=/"), ("Set-Cookie", "one=; Path=/; Max-Age=0")),
        "/c": elsewhere(301, "/d", ("Set-Cookie", "deep=3; Path=/deep")),
    }

    def program(session, url):
        response = session.get(f"{url}/a", headers={"Cookie": "own=1"}, auth=("user", "pass"))
        cookies = [hop.cookies.get_dict() for hop in (*response.history, response)]
        return cookies, session.cookies.get_dict()

    assert pair.agree(program, answers)[1] == {"two": "2", "deep": "3"}


def test_authorization_stays_with_its_host(pair, answering):
    other = answering({})

    def program(session, url):
        return session.get(f"{url}/a", auth=("user", "pass"), headers={"Cookie": "own=1"}).json()["headers"]

    answers = {"/a": elsewhere(302, f"{other.url}/echo")}
    (theirs, _), (ours, _) = pair.run(program, answers)
    for seen in (theirs, ours):
        assert not {"authorization", "cookie"} & set(seen)


def test_a_calls_cookies_on_another_host(pair, answering):
    """Different on purpose: requests sends a call's cookies to whatever host a redirect names."""
    other = answering({})
    answers = {"/a": elsewhere(302, f"{other.url}/cookies")}
    (theirs, _), (ours, _) = pair.run(
        lambda session, url: session.get(f"{url}/a", cookies={"secret": "1"}).json(), answers
    )
    assert (theirs, ours) == ({"secret": "1"}, {})


def test_cookies_of_session_and_call(pair):
    def program(session, url):
        session.get(f"{url}/cookies/set?a=1&b=2")
        session.cookies.set("c", "3")
        session.cookies.update({"d": "4"})
        first = session.get(f"{url}/cookies", cookies={"b": "5", "e": "6"}).json()
        second = session.get(f"{url}/cookies").json()
        jar = session.cookies
        return first, second, jar.get_dict(), jar["a"], jar.get("no", "x"), "c" in jar, sorted(jar.keys())

    pair.agree(program)


@pytest.mark.parametrize(
    "value",
    [
        "a=1",
        'a="quoted value"',
        "a=b=c; Path=/; HttpOnly; SameSite=Lax",
        "a=1; Path=/other",
        "a=1; Domain=.example.org",
        "a=1; Expires=Wed, 21 Oct 2015 07:28:00 GMT",
        "a=1; Max-Age=100000",
        "",
        ";;;",
    ],
)
def test_set_cookie(pair, value):
    def program(session, url):
        response = session.get(f"{url}/a/b")
        return response.cookies.get_dict(), session.get(f"{url}/a/c").status_code

    pair.agree(program, {"/a/b": page(b"", None, ("Set-Cookie", value))})


@pytest.mark.parametrize(
    ("value", "theirs", "ours"),
    [
        ("a=1; Secure", None, "a=1"),  # From 127.0.0.1, which is as safe as TLS.
        ("a", "a", "a"),
        ("=x", None, "x"),
        ('a="x\\"y"', 'a="xy"', 'a="x\\"y"'),
        ("a=1; Max-Age=x", None, "a=1"),
        ("a=1; Path=/a; Path=/z", "a=1", None),
        ("a=1; Domain=", None, "a=1"),
    ],
)
def test_set_cookie_by_the_rfc(pair, value, theirs, ours):
    """Different on purpose: http.cookiejar, and so requests, goes by rules that are older than browsers'."""

    def program(session, url):
        session.get(f"{url}/a/b")
        session.get(f"{url}/a/c")

    (_, their_log), (_, our_log) = pair.run(program, {"/a/b": page(b"", None, ("Set-Cookie", value))})
    assert (their_log[1][2].get("cookie"), our_log[1][2].get("cookie")) == (theirs, ours)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("ü".encode("latin-1"), "text/plain"),
        ("ü".encode(), "text/html; charset=UTF-8"),
        ("ü".encode(), "text/html; charset='utf-8'; x=y"),
        ("ü".encode(), "application/json"),
        ("ü".encode("koi8-r", "replace"), "text/plain; charset=koi8-r"),
        (b"a\xffb", "text/plain; charset=utf-8"),
        ("grüße aus köln".encode(), None),
        ("grüße aus köln".encode(), "text/plain; charset=nonsense"),
        (b"", "text/plain"),
        (b"", None),
        ("<p>ü".encode(), "application/xhtml+xml"),
    ],
)
def test_text(pair, body, content_type):
    def program(session, url):
        response = session.get(f"{url}/a")
        return response.encoding, response.text

    pair.agree(program, {"/a": page(body, content_type)})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-32-be", "latin-1"])
@pytest.mark.parametrize("content_type", [None, "application/json; charset={}"])
def test_json(pair, encoding, content_type):
    if content_type is None and encoding == "latin-1":
        encoding = "utf-8-sig"  # Nobody can tell Latin-1 from the bytes; requests and we only guess.
    body = json_module.dumps({"k": "ü"}, ensure_ascii=False).encode(encoding)
    answers = {"/a": page(body, content_type and content_type.format(encoding))}
    assert pair.agree(lambda session, url: session.get(f"{url}/a").json(), answers) == {"k": "ü"}


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b'{"a": 1} x', b"nul"])
def test_json_errors(pair, body):
    def program(session, url):
        with pytest.raises(json_module.JSONDecodeError) as caught:
            session.get(f"{url}/a").json()
        error = caught.value
        assert isinstance(error, OSError)
        return error.msg, error.doc, error.pos, error.lineno, error.colno

    pair.agree(program, {"/a": page(body, "application/json")})


@pytest.mark.parametrize("status", [200, 204, 302, 399, 400, 404, 499, 500, 503, 599])
def test_status(pair, status):
    def program(session, url):
        response = session.get(f"{url}/status/{status}")
        if not response.ok:
            with pytest.raises(FAILURES) as caught:
                response.raise_for_status()
            assert type(caught.value).__name__ == "HTTPError"
            assert caught.value.response is response
            side = "Client" if status < 500 else "Server"
            assert str(caught.value).startswith(f"{status} {side} Error: {response.reason or ''}")
            assert f" for url: {response.url}" in str(caught.value)
        return response.ok, bool(response)

    pair.agree(program)


def test_streams(pair):
    def program(session, url):
        lines = list(session.get(f"{url}/stream/5", stream=True).iter_lines(decode_unicode=True))
        with session.get(f"{url}/gzip", stream=True) as response:
            decoded = b"".join(response.iter_content(100))
        return lines, decoded, session.get(f"{url}/bytes/10").iter_content(3).__next__()

    pair.agree(program)


def test_links(pair):
    value = '<https://a.example/?p=2>; rel="next", <https://a.example/?p=9>; rel="last"; title="end"'
    pair.agree(lambda session, url: session.get(f"{url}/a").links, {"/a": page(b"", None, ("Link", value))})


@pytest.mark.parametrize(
    "url",
    ["", "example.com", "/path", "//example.com/", "ftp://example.com/", "mailto:a@b.example", "http://", "http:///x"],
)
def test_bad_urls_raise_errors_of_the_same_name(url):
    with requests.Session() as theirs, keeppool.Session() as ours:
        names = []
        for session in (theirs, ours):
            with pytest.raises(FAILURES) as caught:
                session.get(url)
            names.append(type(caught.value).__name__)
    assert names[0] == names[1]


@pytest.mark.parametrize("headers", [{"A": "x\ny"}, {"A": 5}, {"A\n": "x"}, {"A": ["x"]}])
def test_bad_headers_raise_errors_of_the_same_name(headers):
    with requests.Session() as theirs, keeppool.Session() as ours:
        for session in (theirs, ours):
            with pytest.raises(FAILURES) as caught:
                session.get("http://127.0.0.1/", headers=headers)
            assert type(caught.value).__name__ == "InvalidHeader"


def test_too_many_redirects(pair):
    def program(session, url):
        session.max_redirects = 2
        with pytest.raises(FAILURES) as caught:
            session.get(f"{url}/redirect/3")
        response = caught.value.response
        return type(caught.value).__name__, response.status_code, len(response.history)

    assert pair.agree(program) == ("TooManyRedirects", 302, 2)


def test_every_attribute_of_a_response_in_wide_use_is_there(site, session):
    """Ours has what 229 files of 16 projects use of requests' (adapters' `connection` apart)."""
    used = "apparent_encoding close content cookies elapsed encoding headers history is_permanent_redirect is_redirect"
    used += " iter_content iter_lines json links next ok raise_for_status raw reason request status_code text url"
    response = session.get(f"{site.url}/a")
    assert [name for name in used.split() if not hasattr(response, name)] == []
