"""Sessions that follow redirects in a way of their own, and redirects taken step by step."""

from __future__ import annotations

import io

import pytest
from answers import elsewhere, page

import keeppool
import keeppool.requests
from keeppool import Response
from keeppool.errors import InvalidSchema, TooManyRedirects, UnrewindableBodyError
from keeppool.testing import Answer


@pytest.fixture
def session():
    with keeppool.requests.Session() as opened:
        yield opened


def test_a_session_may_look_for_redirects_elsewhere(answering):
    class Refreshing(keeppool.requests.Session):
        def get_redirect_target(self, resp):
            return resp.headers.get("refresh") or super().get_redirect_target(resp)

    site = answering({"/a": page(b"", None, ("Refresh", "/b")), "/b": elsewhere(302, "/c"), "/c": page(b"arrived")})
    with Refreshing() as session:
        answer = session.get(f"{site.url}/a")
        assert (answer.content, [hop.status_code for hop in answer.history]) == (b"arrived", [200, 302])
        assert session.get(f"{site.url}/a", allow_redirects=False).status_code == 200
        assert session.get(f"{site.url}/c", params={"way": "long"}).history == []


def test_a_session_may_look_for_none(answering):
    class Staying(keeppool.requests.Session):
        def get_redirect_target(self, resp):
            return None

    site = answering({"/a": elsewhere(302, "/b")})
    with Staying() as session:
        assert session.get(f"{site.url}/a").status_code == 302
        assert session.get(f"{site.url}/a", headers={"X": "1"}).status_code == 302


def test_a_session_may_keep_the_method(answering):
    class Keeping(keeppool.requests.Session):
        def rebuild_method(self, prepared_request, response):
            prepared_request.method = response.request.method

    site = answering({"/a": elsewhere(301, "/echo"), "/b": elsewhere(302, "/echo")})
    with Keeping() as session:
        seen = session.post(f"{site.url}/a", data="body").json()
        assert (seen["method"], seen["body"]) == ("POST", "body")
        assert session.delete(f"{site.url}/b").json()["method"] == "DELETE"


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_method_that_is_kept_without_its_body_says_so_and_headers_that_were_set_stay(answering, method):
    class Keeping(keeppool.requests.Session):
        def rebuild_method(self, prepared_request, response):
            prepared_request.headers["X-Set"] = "1"
            prepared_request.method = method

    site = answering({"/a": elsewhere(302, "/echo")})
    with Keeping() as session:
        seen = session.post(f"{site.url}/a", data="body", headers={"X-Kept": "1"}).json()
    assert (seen["method"], seen["body"]) == (method, "")
    assert (seen["headers"]["content-length"], seen["headers"]["x-set"], seen["headers"]["x-kept"]) == ("0", "1", "1")


def test_a_kept_method_says_that_its_body_is_gone(answering):
    class Keeping(keeppool.requests.Session):
        def rebuild_method(self, prepared_request, response):
            pass

    site = answering({"/a": elsewhere(302, "/echo")})
    with Keeping() as session:
        seen = session.post(f"{site.url}/a", data="body").json()
    assert (seen["method"], seen["body"], seen["headers"]["content-length"]) == ("POST", "", "0")


def test_a_session_may_send_credentials_along(answering):
    class Trusting(keeppool.requests.Session):
        def should_strip_auth(self, old_url, new_url):
            self.asked = (old_url, new_url)
            return False

    other = answering({})
    site = answering({"/a": elsewhere(302, f"{other.url}/echo")})
    with Trusting() as session:
        seen = session.get(f"{site.url}/a", auth=("user", "pass")).json()["headers"]
        assert seen["authorization"].startswith("Basic ")
        assert session.asked == (f"{site.url}/a", f"{other.url}/echo")
    with keeppool.requests.Session() as session:
        assert "authorization" not in session.get(f"{site.url}/a", auth=("user", "pass")).json()["headers"]


def test_a_session_may_sign_anew(answering):
    class Signing(keeppool.requests.Session):
        def rebuild_auth(self, prepared_request, response):
            prepared_request.headers["Authorization"] = f"for {prepared_request.path_url}"

    site = answering({"/a": elsewhere(302, "/b"), "/b": elsewhere(302, "/echo")})
    with Signing() as session:
        seen = session.get(f"{site.url}/a", headers={"Authorization": "first"}).json()["headers"]
    assert [request.headers["authorization"] for request in site.log[:2]] == ["first", "for /b"]
    assert seen["authorization"] == "for /echo"


def test_signing_takes_what_is_plain_http_to_the_same_host_by_https_only(session):
    for old, new, strips in (
        ("http://a.example/", "https://a.example/", False),
        ("https://a.example/", "http://a.example/", True),
        ("http://a.example/", "http://a.example:80/x", False),
        ("http://a.example/", "http://a.example:8080/", True),
        ("http://a.example:8080/", "https://a.example:8443/", True),
        ("http://a.example/", "http://b.example/", True),
    ):
        assert session.should_strip_auth(old, new) is strips, (old, new)


# Step by step


def test_each_step_is_sent_when_it_is_asked_for(site, session):
    first = session.get(f"{site.url}/redirect/3", allow_redirects=False)
    steps = session.resolve_redirects(first, first.request)
    for number in (2, 1, 0):
        step = next(steps)
        assert (step.url, site.requests) == (f"{site.url}/redirect/{number}", 4 - number)
    with pytest.raises(StopIteration):
        next(steps)
    assert [hop.url for hop in step.history] == [f"{site.url}/redirect/{number}" for number in (3, 2, 1)]


def test_the_next_request_may_be_had_without_sending_it(answering, session):
    site = answering({"/a": elsewhere(307, "/echo")})
    first = session.post(f"{site.url}/a", data=io.BytesIO(b"file"), allow_redirects=False)
    (prepared,) = session.resolve_redirects(first, first.request, yield_requests=True)
    assert (prepared.method, prepared.url, site.requests) == ("POST", f"{site.url}/echo", 1)
    assert session.send(prepared).json()["body"] == "file"


def test_steps_keep_cookies_and_take_settings(answering, session):
    site = answering({"/a": elsewhere(302, "/b", ("Set-Cookie", "a=1; Path=/")), "/b": elsewhere(302, "/cookies")})
    first = session.get(f"{site.url}/a", allow_redirects=False)
    last = list(session.resolve_redirects(first, first.request, stream=True, timeout=5, verify=True, proxies={}))[-1]
    assert last.json() == {"a": "1"}
    assert session.stats().busy == 0


@pytest.mark.parametrize(("location", "kind"), [("/a", TooManyRedirects), ("ftp://a.example/", InvalidSchema)])
def test_a_step_that_cannot_be_taken_tells_the_redirect(answering, session, location, kind):
    site = answering({"/a": elsewhere(302, location)})
    session.max_redirects = 1
    first = session.get(f"{site.url}/a", allow_redirects=False)
    with pytest.raises(kind) as caught:
        list(session.resolve_redirects(first, first.request))
    assert caught.value.response.headers["location"] == location
    assert caught.value.request.url == f"{site.url}/a"


def test_a_body_that_is_gone_is_told_before_the_step(answering, session):
    site = answering({"/a": elsewhere(307, "/b")})
    first = session.post(f"{site.url}/a", data=iter([b"once"]), allow_redirects=False)
    with pytest.raises(UnrewindableBodyError) as caught:
        next(session.resolve_redirects(first, first.request))
    assert caught.value.response is first


def test_no_redirect_leads_from_http_to_a_mounted_scheme(answering, session):
    """It may be one of files on this machine."""

    class Local(keeppool.BaseAdapter):
        def send(self, request, **told):
            raise AssertionError("nobody may come here")

        def close(self):
            pass

    session.mount("local://", Local())
    site = answering({"/a": elsewhere(302, "local://secret")})
    with pytest.raises(InvalidSchema):
        session.get(f"{site.url}/a")


def test_an_answer_that_leads_nowhere_has_no_steps(site, session):
    answer = session.get(site.url)
    assert (list(session.resolve_redirects(answer, answer.request)), answer.next) == ([], None)


# What would be next


def test_next_is_the_request_that_would_follow(answering, session):
    other = answering({})
    site = answering({"/a": elsewhere(303, f"{other.url}/b"), "/c": elsewhere(308, "/d")})
    request = {"data": "body", "auth": ("user", "pass"), "headers": {"X-Kept": "1"}, "allow_redirects": False}
    following = session.post(f"{site.url}/a", **request).next
    assert (following.method, following.url, following.body) == ("GET", f"{other.url}/b", None)
    assert following.headers["X-Kept"] == "1"
    assert not {"Authorization", "Content-Length"} & set(following.headers)
    following = session.post(f"{site.url}/c", **request).next
    assert (following.method, following.url, following.body) == ("POST", f"{site.url}/d", "body")
    assert "Authorization" in following.headers
    assert session.send(following).ok


@pytest.mark.parametrize("made", [lambda: io.BytesIO(b"content"), lambda: b"content"], ids=["file", "bytes"])
def test_next_sends_the_sessions_cookies_and_the_whole_body(answering, on, made):
    session = on.session()
    site = answering({"/a": elsewhere(307, "/echo", ("Set-Cookie", "sid=42; Path=/"))})
    redirect = on.wait(session.post(f"{site.url}/a", data=made(), allow_redirects=False))
    seen = on.wait(session.send(redirect.next)).json()
    assert (seen["method"], seen["headers"]["cookie"], seen["body"]) == ("POST", "sid=42", "content")


def test_next_is_made_as_the_session_makes_it(answering):
    class Own(keeppool.requests.Session):
        def rebuild_method(self, prepared_request, response):
            prepared_request.method = "POST"
            prepared_request.headers["X-Set"] = "1"

        def rebuild_auth(self, prepared_request, response):
            prepared_request.headers["X-Signed"] = "anew"

    site = answering({"/a": elsewhere(302, "/echo", ("Set-Cookie", "a=1"))})
    with Own() as session:
        followed = session.post(f"{site.url}/a", data="x").json()
        seen = session.send(session.post(f"{site.url}/a", data="x", allow_redirects=False).next).json()
    assert (seen["method"], seen["headers"]["x-signed"], seen["headers"]["cookie"]) == ("POST", "anew", "a=1")
    assert seen == followed


@pytest.mark.parametrize("follow", [True, False])
def test_whoever_signs_anew_finds_the_body_at_its_start(answering, follow):
    """A signature that covers the body covers all of it."""
    found = []

    class Signing(keeppool.requests.Session):
        def rebuild_auth(self, prepared_request, response):
            found.append(prepared_request.body.tell())

    site = answering({"/a": elsewhere(307, "/echo")})
    with Signing() as session:
        answer = session.post(f"{site.url}/a", data=io.BytesIO(b"content"), allow_redirects=follow)
        assert (answer if follow else session.send(answer.next)).json()["body"] == "content"
    assert found == [0]


def test_a_body_that_is_gone_is_not_sent_as_an_empty_one(answering, session):
    site = answering({"/a": elsewhere(307, "/echo")})
    following = session.post(f"{site.url}/a", data=iter([b"gone"]), allow_redirects=False).next
    with pytest.raises(UnrewindableBodyError) as caught:
        session.send(following)
    assert caught.value.request is following
    assert site.requests == 1


# Answers made by hand


def test_an_answer_made_by_hand_knows_as_little_as_in_requests():
    made = Response()
    assert (made.url, dict(made.cookies), made.next) == (None, {}, None)
    made.status_code, made.reason, made.headers["Location"] = 302, "Found", "http://a.example/"
    assert (made.is_redirect, made.next) == (True, None)
    made.status_code = 500
    with pytest.raises(keeppool.errors.HTTPError) as caught:
        made.raise_for_status()
    assert (caught.value.response, caught.value.request) == (made, None)
    with pytest.raises(AttributeError):
        made.connection  # noqa: B018
    made.connection = adapter = object()
    assert made.connection is adapter


def test_an_answer_made_by_hand_is_filled_as_tests_of_programs_fill_it():
    made = Response()
    assert (made.status_code, made.content, made.text, made.history, made.elapsed.total_seconds()) == (
        0,
        None,
        "",
        [],
        0,
    )
    made.status_code, made._content, made.encoding, made.url = 201, '{"ü": 1}'.encode(), "utf-8", "http://a.example/"
    made.headers["Content-Type"] = "application/json"
    made.reason = "Created"
    assert (made.ok, made.json(), made.text, made.reason) == (True, {"ü": 1}, '{"ü": 1}', "Created")
    assert (made.is_redirect, made.links, next(iter(made.iter_content(3)))) == (False, {}, b'{"\xc3')
    assert repr(made) == "<Response [201]>"
    made.close()
    with made:
        pass


@pytest.mark.parametrize("read", [lambda made: made.content, lambda made: b"".join(made.iter_content(2))])
def test_its_body_may_be_any_file(read):
    made = Response()
    made.raw = io.BytesIO(b"a file's content")
    assert read(made) == b"a file's content"
    made = Response()
    made.raw = io.BytesIO(b"one\ntwo")
    assert list(made.iter_lines()) == [b"one", b"two"]


def test_a_subclass_may_hang_what_it_likes_on_an_answer(answering, session):
    class Own(Response):
        def __init__(self, answer):
            super().__init__()
            self.__setstate__(answer.__getstate__())
            self.from_cache = True

    site = answering({"/a": Answer(status=404, body=b"content")})
    own = Own(session.get(f"{site.url}/a"))
    assert (own.status_code, own.content, own.from_cache, own.url) == (404, b"content", True, f"{site.url}/a")
    with pytest.raises(keeppool.errors.HTTPError):
        own.raise_for_status()
