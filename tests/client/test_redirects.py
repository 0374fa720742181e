"""Redirects: which are followed, with which method, body and fields, and what stays behind."""

from __future__ import annotations

import io

import pytest
from answers import elsewhere

import keeppool
from keeppool.client.response.redirect import left_of, method_after
from keeppool.errors import InvalidSchema, InvalidURL, TooManyRedirects, TotalTimeout, UnrewindableBodyError
from keeppool.testing import Answer, Behaviour

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE")


@pytest.mark.parametrize("method", METHODS)
def test_the_method_follows_the_status(method):
    verb = method.encode()
    assert method_after(307, verb) == method_after(308, verb) == verb
    assert method_after(303, verb) == method_after(302, verb) == (b"HEAD" if method == "HEAD" else b"GET")
    assert method_after(301, verb) == (b"GET" if method == "POST" else verb)


def test_a_chain_is_followed_and_remembered(site, session):
    response = session.get(f"{site.url}/redirect/3")
    assert response.status_code == 200
    assert [hop.status_code for hop in response.history] == [302, 302, 302]
    assert [len(hop.history) for hop in response.history] == [0, 1, 2]
    assert [hop.content for hop in response.history] == [b"moved\n"] * 3
    assert response.url == f"{site.url}/redirect/0"
    assert site.opened == 1


def test_a_streamed_chain_uses_one_connection(site, session):
    """The body of each hop is read away before the next request."""
    with session.get(f"{site.url}/redirect/3", stream=True) as response:
        assert response.content == b"arrived\n"
    assert site.opened == 1


def test_a_large_body_of_a_streamed_hop_is_not_read(answering, session):
    site = answering({"/a": elsewhere(302, "/b", body=b"x" * 10_000_000)})
    with session.get(f"{site.url}/a", stream=True) as response:
        assert response.content == b"keeppool\n"
    assert site.opened == 2
    assert session.stats().busy == 0


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_form_is_not_sent_on(answering, session, status):
    site = answering({"/form": elsewhere(status, "/echo")})
    response = session.post(f"{site.url}/form", data={"a": 1}, headers={"X-Kept": "1"})
    assert (response.history[0].request.body, response.request.body) == ("a=1", None)
    seen = response.json()
    assert (seen["method"], seen["body"]) == ("GET", "")
    assert not {"content-type", "content-length", "transfer-encoding"} & set(seen["headers"])
    assert seen["headers"]["x-kept"] == "1"


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("body", [b"bytes", "text", io.BytesIO(b"file"), {"a": "form"}, [("a", "pairs")]])
def test_a_temporary_redirect_takes_the_body_along(answering, session, status, body):
    site = answering({"/form": elsewhere(status, "/echo")})
    if isinstance(body, io.BytesIO):
        body.seek(0)
    response = session.post(f"{site.url}/form", data=body)
    first, second = site.log
    assert first.method == second.method == "POST"
    assert first.body == second.body != b""
    assert first.headers.get("content-type") == second.headers.get("content-type")
    assert response.history[0].request.body == response.request.body


def test_a_file_is_sent_again_from_where_it_stood(answering, session):
    site = answering({"/form": elsewhere(307, "/echo")})
    file = io.BytesIO(b"skipped, sent")
    file.seek(9)
    assert session.post(f"{site.url}/form", data=file).json()["body"] == "sent"


def test_a_put_that_moved_for_good_keeps_its_body(answering, session):
    """Sent without one it would empty the resource it was to fill."""
    site = answering({"/old": elsewhere(301, "/echo")})
    seen = session.put(f"{site.url}/old", data="content").json()
    assert (seen["method"], seen["body"]) == ("PUT", "content")


def test_a_body_that_is_gone_is_not_sent_again(answering, session):
    site = answering({"/form": elsewhere(307, "/echo")})
    with pytest.raises(UnrewindableBodyError) as caught:
        session.post(f"{site.url}/form", data=iter([b"once"]))
    assert caught.value.response.status_code == 307
    assert caught.value.request.method == "POST"
    assert site.requests == 1
    assert session.stats().busy == 0


def test_head_is_not_followed_unless_asked_for(site, session):
    assert session.head(f"{site.url}/redirect/1").status_code == 302
    assert session.head(f"{site.url}/redirect/1", allow_redirects=True).status_code == 200
    assert {request.method for request in site.log} == {"HEAD"}


def test_a_redirect_that_is_not_followed_tells_what_would_be_next(answering, session):
    site = answering({"/form": elsewhere(303, "/there", body=b"see there")})
    response = session.post(f"{site.url}/form", data="x", allow_redirects=False)
    assert response.is_redirect
    assert not response.is_permanent_redirect
    assert response.content == b"see there"
    assert (response.next.method, response.next.url) == ("GET", f"{site.url}/there")
    assert site.requests == 1


def test_what_would_be_next_takes_the_sessions_cookies_along_whatever_was_sent(answering, session):
    site = answering({"/a": elsewhere(307, "/there")})
    response = session.get(f"{site.url}/a", allow_redirects=False)
    session.cookies.set("sid", "42")
    assert response.next.headers["Cookie"] == "sid=42"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=302),
        elsewhere(302, ""),
        elsewhere(300, "/there"),
        elsewhere(304, "/there"),
        elsewhere(305, "/there"),
        elsewhere(200, "/there"),
        elsewhere(201, "/there"),
        elsewhere(404, "/there"),
    ],
)
def test_other_answers_lead_nowhere(answering, session, answer):
    site = answering({"/a": answer})
    response = session.get(f"{site.url}/a")
    assert response.status_code == answer.status
    assert not response.is_redirect
    assert response.next is None
    assert site.requests == 1


def test_permanent_redirects_are_told_apart(answering, session):
    for status in (301, 302, 303, 307, 308):
        site = answering({"/a": elsewhere(status, "/b")})
        response = session.get(f"{site.url}/a", allow_redirects=False)
        assert response.is_permanent_redirect is (status in (301, 308))


def test_too_many_redirects_end_with_the_last_one(site, session):
    session.max_redirects = 3
    assert len(session.get(f"{site.url}/redirect/3").history) == 3
    with pytest.raises(TooManyRedirects) as caught:
        session.get(f"{site.url}/redirect/4", stream=True)
    assert caught.value.response.status_code == 302
    assert len(caught.value.response.history) == 3
    assert session.stats().busy == 0


@pytest.mark.parametrize(
    ("location", "kind"), [("ftp://a.example/", InvalidSchema), ("https://", InvalidURL), ("http://[x/", InvalidURL)]
)
def test_a_redirect_to_nowhere_is_an_error_with_the_response(answering, session, location, kind):
    site = answering({"/a": elsewhere(302, location)})
    with pytest.raises(kind) as caught:
        session.get(f"{site.url}/a", stream=True)
    assert caught.value.response.headers["location"] == location
    assert caught.value.request.url == f"{site.url}/a"
    assert session.stats().busy == 0


def test_a_total_timeout_is_meant_for_the_whole_chain():
    limit = keeppool.Timeout(total=50, read=7)
    assert left_of(limit, 50.0, 20.0) == keeppool.Timeout(total=30, read=7)
    with pytest.raises(TotalTimeout) as caught:
        left_of(limit, 50.0, 50.0)
    assert caught.value.limit == 50
    assert left_of(None, None, 99.0) is None
    assert left_of(keeppool.Timeout(), None, 99.0) == keeppool.Timeout()


def test_a_total_timeout_ends_a_chain_that_would_never_end(answering, session):
    site = answering({"/a": elsewhere(302, "/a")})
    session.max_redirects = 10**9
    with pytest.raises(TotalTimeout):
        session.get(f"{site.url}/a", timeout=keeppool.Timeout(total=0.2))
    assert session.stats().busy == 0


def test_secrets_stay_with_their_origin(answering, session):
    """Authorization, a Cookie header and Host are for the first server; everything else goes along."""
    other = answering({})
    site = answering({"/a": elsewhere(302, f"{other.url}/echo")})
    seen = session.get(
        f"{site.url}/a",
        auth=("user", "pass"),
        headers={"Cookie": "own=1", "Proxy-Authorization": "x", "Host": "inside.example", "X-Kept": "1"},
    ).json()["headers"]
    assert not {"authorization", "cookie", "proxy-authorization"} & set(seen)
    assert seen["host"] == other.url.removeprefix("http://")
    assert seen["x-kept"] == "1"
    assert site.log[0].headers["host"] == "inside.example"


def test_within_an_origin_authorization_goes_along(answering, session):
    site = answering({"/a": elsewhere(302, "/echo")})
    url = site.url.replace("http://", "http://user:pass@")
    assert session.get(f"{url}/a").json()["headers"]["authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    "said",
    [{"headers": {"Proxy-Authorization": "Basic abc"}}, {"auth": keeppool.auth.HTTPProxyAuth("user", "secret")}],
    ids=["header", "scheme"],
)
def test_what_was_meant_for_a_proxy_does_not_go_along_even_within_an_origin(answering, session, said):
    site = answering({"/": elsewhere(302, "/echo")})
    session.proxies = {"http": site.url}
    assert "proxy-authorization" in session.get("http://a.example/echo", **said).json()["headers"]
    assert "proxy-authorization" not in session.get("http://a.example/", **said).json()["headers"]


def test_credentials_in_a_location_are_not_used(answering, session):
    site = answering({})
    site.handler = lambda request: (
        elsewhere(302, site.url.replace("//", "//evil:pass@") + "/echo") if request.path == "/a" else None
    )
    response = session.get(f"{site.url}/a")
    assert "authorization" not in response.json()["headers"]
    assert response.url == f"{site.url}/echo"


def test_the_fragment_goes_along_unless_there_is_a_new_one(answering, session):
    site = answering({"/a": elsewhere(302, "/b"), "/c": elsewhere(302, "/d#new")})
    assert session.get(f"{site.url}/a#old").url == f"{site.url}/b#old"
    assert session.get(f"{site.url}/c#old").url == f"{site.url}/d#new"


def test_a_location_in_utf_8_is_quoted(answering, session):
    site = answering({"/a": elsewhere(302, "/gr\u00c3\u00bc\u00c3\u009f e")})
    assert session.get(f"{site.url}/a").url == f"{site.url}/gr%C3%BC%C3%9F%20e"
    assert site.log[-1].target == "/gr%C3%BC%C3%9F%20e"


def test_a_configured_total_timeout_bounds_the_whole_chain_of_redirects(sites):
    """Each hop alone would be in time."""
    site = sites.add(Behaviour(delay_s=0.2))
    with keeppool.Session(timeout=keeppool.Timeout(total=0.5)) as session, pytest.raises(TotalTimeout):
        session.get(f"{site.url}/redirect/10")
