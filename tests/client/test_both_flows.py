"""`Session` and `AsyncSession` lead a call to its end the same way.

`on.wait` awaits what has to be awaited. When a test ends, its sessions are closed; nothing may be lent or waited for.
"""

from __future__ import annotations

import gzip
import io
import pickle
from dataclasses import replace

import pytest
from answers import elsewhere, page
from digest_server import DigestServer
from drivers import on_requests
from urllib3.util import Retry

import keeppool
from keeppool import Limits
from keeppool.client.retries.retrying import Retrying
from keeppool.errors import (
    KeepPoolError,
    RetryError,
    ServerDisconnected,
    StreamConsumedError,
    TooManyRedirects,
    TotalTimeout,
    UnrewindableBodyError,
)
from keeppool.testing import Answer, RawConnection, ScriptedServer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def session(on):
    return on.session()


def refusing(count: int, *headers: tuple[str, str], body: bytes = b"busy"):
    """Refuse so many times, then show what was received."""
    left = iter(range(count))
    return lambda request: (
        page(request.body) if next(left, None) is None else Answer(status=503, headers=headers, body=body)
    )


# Redirects and cookies


def test_a_chain_is_followed_and_remembered(on, session, site):
    answer = on.wait(session.get(f"{site.url}/redirect/3"))
    assert [hop.status_code for hop in answer.history] == [302] * 3
    assert [len(hop.history) for hop in answer.history] == [0, 1, 2]
    assert [hop.content for hop in answer.history] == [b"moved\n"] * 3
    assert (answer.url, site.opened) == (f"{site.url}/redirect/0", 1)
    assert {type(hop) for hop in (*answer.history, answer)} == {on.Response}


def test_a_streamed_chain_uses_one_connection(on, session, site):
    answer = on.wait(session.get(f"{site.url}/redirect/3", stream=True))
    assert on.wait(answer.read()) == b"arrived\n"
    assert site.opened == 1


def test_the_small_bodies_of_a_streamed_chain_stay_to_be_looked_at(on, session, site):
    answer = on.wait(session.get(f"{site.url}/redirect/3", stream=True))
    assert [hop.content for hop in answer.history] == [b"moved\n"] * 3
    assert [on.wait(hop.read()) for hop in answer.history] == [b"moved\n"] * 3
    assert on.all_of(answer.history[0].iter_content(4)) == [b"move", b"d\n"]
    assert on.wait(answer.read()) == b"arrived\n"
    assert pickle.loads(pickle.dumps(answer)).history[0].text == "moved\n"


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("coding", [(), ("Content-Encoding", "gzip")], ids=["plain", "gzip"])
def test_however_such_a_body_is_framed_and_coded(on, session, answering, framing, coding):
    body = bytes(range(256)) * 20
    hop = elsewhere(302, "/b", *filter(None, [coding]), body=gzip.compress(body) if coding else body)
    answer = on.wait(session.get(f"{answering({'/a': replace(hop, framing=framing)}).url}/a", stream=True))
    assert (answer.history[0].content, on.wait(answer.read())) == (body, b"keeppool\n")


def test_a_large_body_of_a_streamed_hop_is_not_read_and_holds_no_slot(on, answering):
    session = on.session(Limits(per_host=1), timeout=keeppool.Timeout(pool=5))
    site = answering({"/a": elsewhere(302, "/b", body=b"x" * 10_000_000)})
    answer = on.wait(session.get(f"{site.url}/a", stream=True))
    with pytest.raises(StreamConsumedError):
        answer.history[0].content  # noqa: B018
    assert on.wait(answer.read()) == b"keeppool\n"
    assert site.opened == 2


@pytest.mark.parametrize("body", [gzip.compress(bytes(20_000_000)), b"no gzip at all"], ids=["too large", "damaged"])
def test_what_a_hops_small_body_cannot_be_decoded_to_is_not_kept_and_fails_nobody(on, session, answering, body):
    site = answering({"/a": elsewhere(302, "/b", ("Content-Encoding", "gzip"), body=body)})
    answer = on.wait(session.get(f"{site.url}/a", stream=True))
    for _ in range(2):
        with pytest.raises(StreamConsumedError):
            answer.history[0].content  # noqa: B018
        with pytest.raises(KeepPoolError):
            on.wait(answer.history[0].raw.read())
    assert on.wait(answer.read()) == b"keeppool\n"


@on_requests
def test_a_hop_that_somebody_has_begun_to_read_is_not_kept(on, session, site):
    """Its rest would look like the whole."""
    first = on.wait(session.get(f"{site.url}/redirect/1", stream=True, allow_redirects=False))
    assert on.take(first.iter_content(2), 1) == [b"mo"]
    (last,) = on.all_of(session.resolve_redirects(first, first.request))
    with pytest.raises(StreamConsumedError):
        first.content  # noqa: B018
    assert (last.content, site.opened) == (b"arrived\n", 1)


def test_a_refused_redirect_has_its_small_body(on, session, site):
    session.max_redirects = 0
    with pytest.raises(TooManyRedirects) as caught:
        on.wait(session.get(f"{site.url}/redirect/3", stream=True))
    assert caught.value.response.content == b"moved\n"


@pytest.mark.parametrize(("status", "method", "body"), [(303, "GET", ""), (307, "POST", "a=1"), (308, "POST", "a=1")])
def test_a_form_is_sent_on_where_the_status_says_so(on, session, answering, status, method, body):
    site = answering({"/form": elsewhere(status, "/echo")})
    seen = on.wait(session.post(f"{site.url}/form", data={"a": 1})).json()
    assert (seen["method"], seen["body"]) == (method, body)


@on_requests
def test_a_redirect_can_be_left_alone_and_taken_step_by_step(on, session, site):
    first = on.wait(session.get(f"{site.url}/redirect/2", allow_redirects=False))
    assert (first.is_redirect, first.next.url) == (True, f"{site.url}/redirect/1")
    steps = on.all_of(session.resolve_redirects(first, first.request))
    assert [(step.status_code, len(step.history)) for step in steps] == [(302, 1), (200, 2)]
    (following,) = on.all_of(session.resolve_redirects(first, first.request, yield_requests=True))
    assert following.url == f"{site.url}/redirect/1"
    assert site.requests == 3


@on_requests
def test_too_many_redirects_end_with_the_last_one(on, session, site):
    session.max_redirects = 2
    with pytest.raises(TooManyRedirects) as caught:
        on.wait(session.get(f"{site.url}/redirect/3", stream=True))
    assert (caught.value.response.status_code, len(caught.value.response.history)) == (302, 2)
    first = on.wait(session.get(f"{site.url}/redirect/3", allow_redirects=False))
    with pytest.raises(TooManyRedirects) as caught:
        on.all_of(session.resolve_redirects(first, first.request))
    assert caught.value.response.url == f"{site.url}/redirect/1"


def test_a_body_that_is_gone_is_not_sent_again(on, session, answering):
    site = answering({"/form": elsewhere(307, "/echo")})
    with pytest.raises(UnrewindableBodyError) as caught:
        on.wait(session.post(f"{site.url}/form", data=iter([b"once"])))
    assert (caught.value.response.status_code, caught.value.request.method, site.requests) == (307, "POST", 1)


def test_a_total_timeout_is_meant_for_the_whole_chain(on, session, answering):
    site = answering({"/a": elsewhere(302, "/a")})
    session.max_redirects = 10**9
    with pytest.raises(TotalTimeout) as caught:
        on.wait(session.get(f"{site.url}/a", timeout=keeppool.Timeout(total=0.2)))
    assert caught.value.request.url == f"{site.url}/a"


def test_cookies_of_every_hop_are_kept_and_sent(on, session, answering):
    site = answering({"/a": elsewhere(302, "/cookies", ("Set-Cookie", "hop=1; Path=/"))})
    assert on.wait(session.get(f"{site.url}/a", cookies={"own": "2"})).json() == {"hop": "1", "own": "2"}
    assert on.wait(session.get(f"{site.url}/cookies")).json() == {"hop": "1"}
    assert session.cookies.get_dict() == {"hop": "1"}


def test_secrets_stay_with_their_origin(on, session, answering):
    other = answering({})
    site = answering({"/a": elsewhere(302, f"{other.url}/echo")})
    call = session.get(f"{site.url}/a", auth=("user", "pass"), headers={"Cookie": "own=1", "X-Kept": "1"})
    seen = on.wait(call).json()["headers"]
    assert not {"authorization", "cookie"} & set(seen)
    assert seen["x-kept"] == "1"


# Retries


def test_what_is_refused_is_tried_again_after_a_pause(on, answering):
    site = answering({"/": refusing(2, ("Retry-After", "7"))})
    pauses: list[float] = []
    policy = Retrying(Retry(3, status_forcelist=[503]), sleep=pauses.append)
    assert on.wait(on.session(retries=policy).put(f"{site.url}/", data=io.BytesIO(b"file"))).content == b"file"
    assert (pauses, site.requests, site.opened) == ([7, 7], 3, 1)


@pytest.mark.parametrize("stream", [False, True])
def test_the_last_refusal_is_told(on, answering, stream):
    """Its connection is free, also where the caller wanted to read the answer himself."""
    site = answering({"/": refusing(9, body=b"x" * 5_000_000)})
    session = on.session(retries=Retry(1, status_forcelist=[503]))
    with pytest.raises(RetryError) as caught:
        on.wait(session.get(f"{site.url}/", stream=stream))
    assert (caught.value.tries, caught.value.response.status_code, site.requests) == (2, 503, 2)
    assert session.stats().busy == 0


def test_a_connection_that_dies_unanswered_is_tried_again_if_that_is_safe(on, session):
    with ScriptedServer([RawConnection.read_request], [RawConnection.read_request, OK]) as server:
        assert on.wait(session.get(server.url, retries=1)).content == b"ok"
    with ScriptedServer([RawConnection.read_request]) as server:
        with pytest.raises(ServerDisconnected) as caught:
            on.wait(session.post(server.url, data=b"order", retries=1))
        assert len(server.connections) == 1
    assert (caught.value.sent > 0, caught.value.received, caught.value.retry_safe) == (True, 0, False)
    assert (caught.value.request.body, caught.value.request.method) == (b"order", "POST")


# Authentication and hooks


def test_a_digest_challenge_is_answered_and_remembered(on, session, answering):
    server = DigestServer()
    site = answering({"/private": server})
    session.auth = keeppool.auth.HTTPDigestAuth("Mufasa", "Circle of Life")
    answer = on.wait(session.post(f"{site.url}/private", data=io.BytesIO(b"file")))
    assert (answer.content, [challenge.status_code for challenge in answer.history]) == (b"file", [401])
    assert on.wait(session.get(f"{site.url}/private")).history == []
    assert (server.refused, list(server.counts.values()), site.opened) == (["no proof"], [[1, 2]], 1)


def test_a_refused_digest_is_the_answer(on, session, answering):
    site = answering({"/private": DigestServer()})
    answer = on.wait(session.get(f"{site.url}/private", auth=keeppool.auth.HTTPDigestAuth("Mufasa", "wrong")))
    assert (answer.status_code, site.requests) == (401, 2)


def test_hooks_see_every_answer_with_the_settings_of_its_sending(on, session, site):
    seen = []

    def note(answer, **settings):
        seen.append((answer.status_code, settings["timeout"], settings["verify"], settings["stream"]))

    session.verify = False
    on.wait(session.get(f"{site.url}/redirect/1", hooks={"response": note}, timeout=(5, 7)))
    assert seen == [(302, (5, 7), False, False), (200, (5, 7), False, False)]


@on_requests
def test_hooks_run_in_the_order_they_were_added(on, session, site):
    session.hooks["response"] = [lambda answer, **_: setattr(answer, "order", ["first"])]
    session.hooks["response"].append(lambda answer, **_: answer.order.append("second"))
    assert on.wait(session.get(site.url)).order == ["first", "second"]


def test_what_a_hook_returns_is_the_answer(on, session, site):
    other = on.Response()
    other.status_code = 299
    answer = on.wait(session.get(f"{site.url}/redirect/1", hooks={"response": lambda answer, **_: other}))
    assert answer is other
    assert site.requests == 1


@pytest.mark.parametrize("path", ["bytes/10000000", "redirect/1"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_hook_that_fails_fails_the_call_and_frees_the_slot(on, session, site, path, stream):
    def fail(answer, **_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        on.wait(session.get(f"{site.url}/{path}", hooks={"response": fail}, stream=stream))
    assert session.stats().busy == 0


def test_a_scheme_that_fails_on_the_answer_frees_the_slot(on, session, site):
    class Failing(keeppool.auth.AuthBase):
        def __call__(self, request):
            return request

        def answered(self, response):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        on.wait(session.get(f"{site.url}/bytes/10000000", auth=Failing(), stream=True))
    assert session.stats().busy == 0
