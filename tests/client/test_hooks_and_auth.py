"""Hooks and authentication of a session: which of several counts, in which order, and requests' own schemes."""

from __future__ import annotations

import base64

import pytest
from answers import elsewhere
from digest_server import DigestServer
from drivers import of_requests

import keeppool
import keeppool.requests
from keeppool import HostConfig, Request
from keeppool.errors import InvalidRequest, ReadTimeout
from keeppool.testing import Answer


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def sent_by(session, url, **arguments) -> dict[str, str]:
    return session.get(f"{url}/echo", **arguments).json()["headers"]


def plain_digest() -> DigestServer:
    """One whose challenge needs no escapes: requests does not write them back."""
    return DigestServer(realm=b"realm", opaque=b"opaque")


# Hooks


@of_requests
def test_a_calls_hooks_stand_in_the_place_of_the_sessions(site, session):
    seen = []
    session.hooks = {"response": lambda answer, **_: seen.append("session")}
    session.get(site.url)
    session.get(site.url, hooks={"response": lambda answer, **_: seen.append("call")})
    session.get(site.url, hooks={"response": []})
    assert seen == ["session", "call", "session"]


def test_several_hooks_see_what_the_one_before_made_of_it(site, session):
    made = keeppool.Response()
    seen = []
    hooks = [lambda answer, **_: made, lambda answer, **_: seen.append(answer), lambda answer, **_: None]
    assert session.get(site.url, hooks={"response": hooks}) is made
    assert seen == [made]


@pytest.mark.parametrize("hooks", [print, [print], {"response": 5}, {"response": [print, "no"]}], ids=str)
def test_what_cannot_be_a_hook_is_refused(site, session, hooks):
    with pytest.raises((InvalidRequest, TypeError)):
        session.get(site.url, hooks=hooks)
    assert site.opened == 0


def test_an_event_there_is_not_is_refused_as_in_requests(site, session):
    for refused in (
        lambda: session.get(site.url, hooks={"nope": print}),
        lambda: Request(hooks={"nope": print}).prepare(),
    ):
        with pytest.raises(ValueError, match="nope"):
            refused()
    assert site.opened == 0


def test_an_answer_a_hook_has_put_in_place_is_closed_if_a_later_one_fails(on, answering):
    site = answering({"/a": Answer(body=b"a"), "/b": Answer(body=b"b" * 3_000_000)})
    session = on.session()

    def other(answer, **told):
        return session.get(f"{site.url}/b", stream=True)

    def fails(answer, **told):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        on.wait(session.get(f"{site.url}/a", hooks={"response": [other, fails]}))
    assert (session.stats().busy, caught.value.args) == (0, ())


@of_requests
def test_a_hook_sees_the_answer_after_authentication(answering, session):
    """Whether the scheme is ours or requests', which is a hook itself."""
    requests = pytest.importorskip("requests")
    site = answering({"/private": plain_digest()})
    for scheme in (keeppool.auth.HTTPDigestAuth, requests.auth.HTTPDigestAuth):
        seen = []
        session.get(
            f"{site.url}/private",
            auth=scheme("Mufasa", "Circle of Life"),
            hooks={"response": lambda answer, seen=seen, **_: seen.append(answer.status_code)},
        )
        assert seen == [200]


def test_hooks_go_along_with_redirects_and_may_be_taken_out(site, session):
    seen = []

    def note(answer, **_):
        seen.append(answer.status_code)

    request = Request("GET", f"{site.url}/redirect/2", hooks={"response": note})
    session.send(session.prepare_request(request))
    assert seen == [302, 302, 200]
    assert request.deregister_hook("response", note)
    assert not request.deregister_hook("response", note)
    session.send(session.prepare_request(request))
    assert len(seen) == 3
    with pytest.raises(ValueError, match="no event 'args'"):
        request.register_hook("args", note)


def test_a_hook_is_told_what_the_session_says_too(site, session):
    told = {}
    session.verify, session.proxies = False, {"https": "http://proxy.example", "all": None}
    session.get(site.url, hooks={"response": lambda answer, **settings: told.update(settings)})
    assert told == {
        "timeout": None,
        "verify": False,
        "cert": None,
        "stream": False,
        "proxies": {"https": "http://proxy.example", "all": None},
    }
    for timeout, written in ((5, 5), ((1, 2), (1, 2)), (None, (None, None))):
        session.get(site.url, timeout=timeout, hooks={"response": lambda answer, **more: told.update(more)})
        assert told["timeout"] == written


def test_what_a_hook_sends_itself_is_bounded_as_configured(site):
    """A hook that passes on what it was told must not lose the session's waits."""

    def again(answer, **told):
        site.pause()
        return answer.connection.send(answer.request.copy(), **told)

    with keeppool.requests.Session(timeout=0.2) as session:
        with pytest.raises(ReadTimeout) as caught:
            session.get(site.url, hooks={"response": again})
        site.resume()
    assert caught.value.limit == 0.2


# Authentication


def test_the_calls_word_counts_before_the_sessions_and_that_before_the_urls(site, session):
    url = site.url.replace("//", "//url:u@")
    assert sent_by(session, url)["authorization"] == basic("url", "u")
    session.auth = ("session", "s")
    assert sent_by(session, url, auth=("call", "c"))["authorization"] == basic("call", "c")
    assert sent_by(session, url)["authorization"] == basic("session", "s")
    assert sent_by(session, site.url)["authorization"] == basic("session", "s")
    assert sent_by(session, site.url, headers={"Authorization": "loses"})["authorization"] == basic("session", "s")


@pytest.mark.parametrize("empty", [(), "", []], ids=repr)
def test_what_is_empty_asks_for_no_signature(site, session, empty):
    session.auth = ("session", "s")
    assert "authorization" not in sent_by(session, site.url.replace("//", "//url:u@"), auth=empty)


def test_a_password_that_is_a_number_is_taken_for_its_text_and_warned_of(site, session):
    with pytest.warns(DeprecationWarning, match="password"):
        assert sent_by(session, site.url, auth=("user", 123))["authorization"] == basic("user", "123")


def test_a_function_may_write_the_body_anew_and_leave_its_length_to_us(site, on):
    """As a scheme does that puts its signature into the form, with the fields it was shown before."""

    def signed(request):
        shown = dict(request.headers)
        request.body = f"{request.body}&signature=1"
        request.prepare_headers(shown)
        return request

    def prepared_again(request):
        request.prepare_body(request.body, None)
        return request

    session = on.session()
    for scheme, body in ((signed, "a=1&signature=1"), (prepared_again, "a=1")):
        seen = on.wait(session.post(f"{site.url}/echo", data={"a": 1}, auth=scheme)).json()
        assert (seen["body"], seen["headers"]["content-length"]) == (body, str(len(body)))
    assert site.requests == 2


def test_a_function_may_change_and_replace_the_request(site, session):
    def sign(request):
        request.body = request.body.upper() + ", AND MORE"
        request.url += "?signed=1"
        request.headers["X-Length"] = request.headers["Content-Length"]
        return request

    seen = session.post(f"{site.url}/echo", data="body", auth=sign).json()
    assert (seen["body"], seen["target"], seen["headers"]["content-length"]) == (
        "BODY, AND MORE",
        "/echo?signed=1",
        "14",
    )

    def replace(request):
        made = request.copy()
        made.method = "PUT"
        return made

    assert session.post(f"{site.url}/echo", data="body", auth=replace).json()["method"] == "PUT"


@pytest.fixture
def netrc(monkeypatch, tmp_path):
    """Let the netrc file say what the test writes."""
    file = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(file))
    return file.write_text


def test_netrc_speaks_where_nobody_else_does(site, session, netrc):
    netrc("machine 127.0.0.1 login net password rc")
    assert sent_by(session, site.url)["authorization"] == basic("net", "rc")
    assert sent_by(session, site.url, headers={"authorization": "own"})["authorization"] == "own"
    assert sent_by(session, site.url, auth=("call", "c"))["authorization"] == basic("call", "c")
    session.headers["Authorization"] = "sessions own"
    assert sent_by(session, site.url)["authorization"] == "sessions own"


def test_netrc_is_not_asked_where_the_environment_is_not_to_be_trusted(site, session, netrc):
    netrc("default login net password rc")
    session.trust_env = False
    assert "authorization" not in sent_by(session, site.url)


def test_netrc_gives_each_host_of_a_chain_its_own(answering, session, netrc):
    netrc("machine 127.0.0.1 login one password 1\nmachine 127.0.0.2 login two password 2")
    other = answering({}, host="127.0.0.2")
    site = answering({"/a": elsewhere(302, f"{other.url}/echo")})
    answer = session.get(f"{site.url}/a")
    assert site.log[0].headers["authorization"] == basic("one", "1")
    assert answer.json()["headers"]["authorization"] == basic("two", "2")


# requests' own schemes


@pytest.fixture
def theirs():
    return pytest.importorskip("requests").auth


def test_requests_basic_scheme_signs_our_requests(site, session, theirs):
    assert sent_by(session, site.url, auth=theirs.HTTPBasicAuth("user", "pass"))["authorization"] == basic(
        "user", "pass"
    )
    session.auth = theirs.HTTPProxyAuth("user", "pass")
    session.proxies = {"http": site.url}
    assert sent_by(session, "http://a.example")["proxy-authorization"] == basic("user", "pass")


@of_requests
@pytest.mark.parametrize("stream", [False, True])
def test_requests_digest_scheme_answers_through_our_connection(answering, session, theirs, stream):
    server = plain_digest()
    site = answering({"/private": server, "/a": elsewhere(307, "/private")})
    session.auth = theirs.HTTPDigestAuth("Mufasa", "Circle of Life")
    answer = session.put(f"{site.url}/private", data=b"content", stream=stream)
    assert (answer.content, [one.status_code for one in answer.history]) == (b"content", [401])
    assert isinstance(answer, keeppool.Response)
    assert session.put(f"{site.url}/a", data=b"again", stream=stream).content == b"again"
    assert session.stats().busy == 0
    assert server.refused[0] == "no proof"


@of_requests
def test_requests_digest_scheme_gives_up_after_one_refusal(answering, session, theirs):
    site = answering({"/private": plain_digest()})
    answer = session.get(f"{site.url}/private", auth=theirs.HTTPDigestAuth("Mufasa", "wrong"))
    assert (answer.status_code, site.requests) == (401, 2)


@of_requests
def test_a_cookie_set_with_the_challenge_is_kept(answering, session, theirs):
    server = plain_digest()

    def challenging(request):
        answer = server(request)
        return Answer(
            status=answer.status, headers=(*answer.headers, ("Set-Cookie", "seen=1; Path=/")), body=answer.body
        )

    site = answering({"/private": challenging})
    for scheme in (theirs.HTTPDigestAuth, keeppool.auth.HTTPDigestAuth):
        session.cookies.clear()
        assert session.get(f"{site.url}/private", auth=scheme("Mufasa", "Circle of Life")).ok
        assert session.cookies.get_dict() == {"seen": "1"}


def test_a_scheme_of_requests_keeps_to_the_sessions_tls_settings(secured, theirs):
    """The answer to the challenge goes out as the first request did: by `verify`, of the call, session or host."""
    secured.handler = plain_digest()
    auth = theirs.HTTPDigestAuth("Mufasa", "Circle of Life")
    with keeppool.requests.Session() as session:
        assert session.get(f"{secured.url}/a", auth=auth, verify=False).status_code == 200
        session.verify = False
        assert session.get(f"{secured.url}/b", auth=theirs.HTTPDigestAuth("Mufasa", "Circle of Life")).ok
    with keeppool.requests.Session(defaults=HostConfig(verify=False)) as session:
        assert session.get(f"{secured.url}/c", auth=theirs.HTTPDigestAuth("Mufasa", "Circle of Life")).ok
