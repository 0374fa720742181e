"""`Session` and `AsyncSession` behave the same: each of these tests runs on both, and does not know on which.

`on.wait` awaits what has to be awaited. When a test ends, its sessions are closed; nothing may be lent or waited for.
"""

from __future__ import annotations

import base64
import functools
import io
import json
import pickle
import socket

import pytest
from answers import elsewhere, page
from digest_server import DigestServer
from drivers import DRIVERS
from urllib3.util import Retry

import keeppool
from keeppool import HostConfig, Limits
from keeppool.client.request import Request
from keeppool.client.retries import Retrying
from keeppool.errors import (
    ConfigError,
    HTTPError,
    IncompleteBody,
    InvalidBody,
    InvalidRequest,
    InvalidSchema,
    InvalidURL,
    JSONDecodeError,
    PoolClosed,
    PoolTimeout,
    ReadTimeout,
    RefusedError,
    RetryError,
    ServerDisconnected,
    StreamConsumedError,
    TooManyRedirects,
    TotalTimeout,
    UnrewindableBodyError,
)
from keeppool.testing import Answer, RawConnection, ScriptedServer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(params=DRIVERS, ids=["threads", "tasks"])
def on(request):
    driver = request.param()
    yield driver
    driver.end()


@pytest.fixture
def session(on):
    return on.session()


def refusing(count: int, *headers: tuple[str, str], body: bytes = b"busy"):
    """Refuse so many times, then show what was received."""
    left = iter(range(count))
    return lambda request: (
        page(request.body) if next(left, None) is None else Answer(status=503, headers=headers, body=body)
    )


# Requests


@pytest.mark.parametrize("method", ["get", "options", "post", "put", "patch", "delete"])
def test_each_verb_sends_what_it_is_given(on, session, site, method):
    call = getattr(session, method)(f"{site.url}/echo", params={"a": 1}, data="body", headers={"X-A": "1"})
    seen = on.wait(call).json()
    assert (seen["method"], seen["target"], seen["body"]) == (method.upper(), "/echo?a=1", "body")
    assert seen["headers"]["x-a"] == "1"


def test_head_is_not_followed_and_any_method_may_be_sent(on, session, site):
    assert on.wait(session.head(f"{site.url}/redirect/1")).status_code == 302
    assert on.wait(session.request("PURGE", f"{site.url}/echo")).json()["method"] == "PURGE"


@pytest.mark.parametrize(
    ("body", "text", "media_type"),
    [
        (lambda: {"data": {"a": 1, "b": ["x", "y"]}}, "a=1&b=x&b=y", "application/x-www-form-urlencoded"),
        (lambda: {"json": {"ü": [1, None]}}, '{"\\u00fc": [1, null]}', "application/json"),
        (lambda: {"data": b"bytes"}, "bytes", None),
        (lambda: {"data": io.BytesIO(b"a file")}, "a file", None),
        (lambda: {"data": iter([b"pie", b"ces"])}, "pieces", None),
    ],
    ids=["form", "json", "bytes", "file", "pieces"],
)
def test_bodies(on, session, site, body, text, media_type):
    seen = on.wait(session.post(f"{site.url}/echo", **body())).json()
    assert (seen["body"], seen["headers"].get("content-type")) == (text, media_type)


def test_files_go_out_as_a_multipart_form(on, session, site):
    files = {"upload": ("name.txt", io.BytesIO(b"content"), "text/plain")}
    seen = on.wait(session.post(f"{site.url}/echo", data={"field": "value"}, files=files)).json()
    assert seen["headers"]["content-type"].startswith("multipart/form-data; boundary=")
    assert 'name="field"\r\n\r\nvalue\r\n' in seen["body"]
    assert 'name="upload"; filename="name.txt"\r\nContent-Type: text/plain\r\n\r\ncontent\r\n' in seen["body"]


def test_what_a_session_says_goes_with_every_call(on, session, site):
    session.headers["X-Session"] = "s"
    session.params = {"key": "k"}
    session.auth = ("user", "pass")
    for headers in (None, {"X-Call": "c"}):
        seen = on.wait(session.get(f"{site.url}/echo", headers=headers)).json()
        assert seen["target"] == "/echo?key=k"
        assert seen["headers"]["x-session"] == "s"
        assert seen["headers"]["authorization"] == "Basic " + base64.b64encode(b"user:pass").decode()


def test_calls_share_a_connection(on, session, site):
    for _ in range(3):
        on.wait(session.get(site.url))
    assert (site.opened, session.stats().opened, session.stats().reused) == (1, 1, 2)


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"url": "example.com"}, InvalidURL),
        ({"url": "ftp://a.example/"}, InvalidSchema),
        ({"auth": "user:pass"}, InvalidRequest),
        ({"data": 5}, InvalidBody),
        ({"hooks": [print]}, InvalidRequest),
        ({"timeout": 0}, ConfigError),
        ({"verify": 1}, ConfigError),
        ({"retries": -1}, ConfigError),
        ({"nonsense": 1}, TypeError),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused_before_anything_is_sent(on, session, site, arguments, kind):
    with pytest.raises(kind):
        on.wait(session.get(**({"url": site.url} | arguments)))
    assert site.opened == 0


# Answers


def test_what_an_answer_says(on, session, answering):
    site = answering(
        {
            "/a": Answer(
                status=202, headers=(("X-A", "1"), ("X-A", "2"), ("Content-Type", "text/plain")), body="ü".encode()
            )
        }
    )
    answer = on.wait(session.get(f"{site.url}/a#f"))
    assert (answer.status_code, answer.reason, answer.ok, bool(answer)) == (202, "Accepted", True, True)
    assert (answer.headers["x-a"], answer.url, answer.history) == ("1, 2", f"{site.url}/a#f", [])
    assert (answer.encoding, answer.content) == ("ISO-8859-1", "ü".encode())
    answer.encoding = "utf-8"
    assert answer.text == "ü"
    assert (answer.request.method, answer.request.url) == ("GET", f"{site.url}/a#f")
    assert answer.elapsed.total_seconds() > 0
    assert on.wait(answer.read()) is answer.content


def test_an_answer_takes_what_a_program_hangs_on_it(on, session, site):
    answer = on.wait(session.get(site.url))
    answer.from_cache = True
    answer.status_code = 299
    assert (answer.from_cache, answer.status_code) == (True, 299)


def test_a_refusal_is_an_error_when_it_is_asked_for(on, session, site):
    answer = on.wait(session.get(f"{site.url}/status/404"))
    with pytest.raises(HTTPError, match=r"404 Not Found \(client error\)") as caught:
        answer.raise_for_status()
    assert (caught.value.response, caught.value.request) == (answer, answer.request)


def test_what_is_no_json_is_told_with_its_place(on, session, answering):
    answer = on.wait(session.get(f"{answering({'/a': page(b'{', 'application/json')}).url}/a"))
    with pytest.raises(JSONDecodeError) as caught:
        answer.json()
    assert (caught.value.doc, caught.value.pos, caught.value.response) == ("{", 1, answer)


@pytest.mark.parametrize("stream", [False, True])
def test_a_pickled_answer_is_whole_and_has_no_connection(on, session, answering, stream):
    site = answering({"/a": elsewhere(302, "/b"), "/b": page(b'{"x": 1}', "application/json", ("Set-Cookie", "a=1"))})
    answer = on.wait(session.get(f"{site.url}/a", stream=stream))
    on.wait(answer.read())
    twin = pickle.loads(pickle.dumps(answer))
    assert (type(twin), twin.raw, twin.status_code, twin.url) == (on.Response, None, 200, f"{site.url}/b")
    assert (twin.json(), twin.cookies.get_dict(), twin.elapsed) == ({"x": 1}, {"a": "1"}, answer.elapsed)
    assert twin.history[0].status_code == 302
    with pytest.raises(AttributeError):
        twin.connection  # noqa: B018  # looking is the test


def test_an_answer_made_by_hand(on, session):
    made = on.Response()
    made.status_code, made.url, made.reason = 404, "http://a.example/", "Not Here"
    made._content = b'{"a": 1}'
    assert (made.json(), made.ok, on.wait(made.read())) == ({"a": 1}, False, b'{"a": 1}')
    with pytest.raises(HTTPError, match=r"404 Not Here \(client error\) for http://a\.example/"):
        made.raise_for_status()
    assert on.Response().content is None


# Streams


def test_a_body_is_left_on_its_way_and_read_when_it_is_wanted(on, session, site):
    answer = on.wait(session.get(f"{site.url}/bytes/1000000", stream=True))
    assert session.stats().busy == 1
    assert len(on.wait(answer.read())) == len(answer.content) == 1_000_000
    assert session.stats().busy == 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("size", [None, 0, 3, 100_000])
def test_a_body_comes_in_pieces(on, session, site, stream, size):
    answer = on.wait(session.get(f"{site.url}/bytes/10000", stream=stream))
    pieces = on.all_of(answer.iter_content(size))
    assert len(b"".join(pieces)) == 10_000
    assert max(map(len, pieces)) <= (size or 65536)


@pytest.mark.parametrize("stream", [False, True])
def test_a_body_comes_in_lines_and_in_text(on, session, answering, stream):
    site = answering({"/a": page((b"gr\xc3", b"\xbc\xc3\x9fe\r", b"\nzwei"), "text/plain; charset=utf-8")})
    lines = {"chunk_size": 1, "decode_unicode": True}
    assert on.all_of(on.wait(session.get(f"{site.url}/a", stream=stream)).iter_lines(**lines)) == ["grüße", "zwei"]
    text = on.wait(session.get(f"{site.url}/a", stream=stream)).iter_content(1, decode_unicode=True)
    assert on.all_of(text) == list("grüße\r\nzwei")
    cut = on.wait(session.get(f"{site.url}/a", stream=stream)).iter_lines(delimiter=b"\n")
    assert on.all_of(cut) == ["grüße\r".encode(), b"zwei"]


@pytest.mark.parametrize("path", ["gzip", "deflate"])
def test_a_coded_body_is_decoded_on_its_way(on, session, site, path):
    plain = on.wait(session.get(f"{site.url}/bytes/10000")).content
    assert b"".join(on.all_of(on.wait(session.get(f"{site.url}/{path}", stream=True)))) == plain


def test_what_was_streamed_is_not_there_a_second_time(on, session, site):
    answer = on.wait(session.get(f"{site.url}/bytes/100000", stream=True))
    on.take(answer.iter_content(10), 1)
    with pytest.raises(StreamConsumedError):
        answer.content  # noqa: B018  # looking is the test
    with pytest.raises(StreamConsumedError):
        on.wait(answer.read())
    assert len(b"".join(on.all_of(answer.iter_content(None)))) == 99_990
    with pytest.raises(StreamConsumedError):
        answer.iter_content()


def test_closing_gives_up_the_body_and_frees_the_slot(on, session, site):
    answer = on.wait(session.get(f"{site.url}/bytes/10000000", stream=True))
    on.give_up(answer)
    assert session.stats().busy == 0
    with pytest.raises(StreamConsumedError):
        on.wait(answer.read())
    on.give_up(answer)


def test_a_body_that_broke_off_never_looks_whole(on, session):
    half = [RawConnection.read_request, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"]
    with ScriptedServer(half) as server:
        answer = on.wait(session.get(f"{server.url}/", stream=True))
        with pytest.raises(IncompleteBody) as caught:
            on.wait(answer.read())
        assert (caught.value.expected, caught.value.actual) == (10, 4)
        with pytest.raises(StreamConsumedError):
            on.wait(answer.read())
        with pytest.raises(IncompleteBody) as caught:
            on.wait(session.get(f"{server.url}/"))
        assert caught.value.request.url == f"{server.url}/"


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


def test_a_large_body_of_a_streamed_hop_is_not_read_and_holds_no_slot(on, answering):
    session = on.session(Limits(per_host=1), timeout=keeppool.Timeout(pool=5))
    site = answering({"/a": elsewhere(302, "/b", body=b"x" * 10_000_000)})
    assert on.wait(on.wait(session.get(f"{site.url}/a", stream=True)).read()) == b"keeppool\n"
    assert site.opened == 2


@pytest.mark.parametrize(("status", "method", "body"), [(303, "GET", ""), (307, "POST", "a=1"), (308, "POST", "a=1")])
def test_a_form_is_sent_on_where_the_status_says_so(on, session, answering, status, method, body):
    site = answering({"/form": elsewhere(status, "/echo")})
    seen = on.wait(session.post(f"{site.url}/form", data={"a": 1})).json()
    assert (seen["method"], seen["body"]) == (method, body)


def test_a_redirect_can_be_left_alone_and_taken_step_by_step(on, session, site):
    first = on.wait(session.get(f"{site.url}/redirect/2", allow_redirects=False))
    assert (first.is_redirect, first.next.url) == (True, f"{site.url}/redirect/1")
    steps = on.all_of(session.resolve_redirects(first, first.request))
    assert [(step.status_code, len(step.history)) for step in steps] == [(302, 1), (200, 2)]
    (following,) = on.all_of(session.resolve_redirects(first, first.request, yield_requests=True))
    assert following.url == f"{site.url}/redirect/1"
    assert site.requests == 3


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


# Waits and errors


def test_a_silent_server_is_given_up_and_a_late_one_is_not_mixed_up(on, session, site):
    site.pause()
    for timeout in (0.2, (5, 0.2), keeppool.Timeout(read=0.2)):
        with pytest.raises(ReadTimeout) as caught:
            on.wait(session.get(f"{site.url}/a", timeout=timeout))
        assert (caught.value.limit, caught.value.request.url) == (0.2, f"{site.url}/a")
        assert caught.value.sent > 0
    site.resume()
    assert on.wait(session.get(f"{site.url}/echo", timeout=None)).json()["target"] == "/echo"


def test_a_full_pool_is_told(on, site):
    session = on.session(Limits(per_host=1), timeout=keeppool.Timeout(pool=0))
    held = on.wait(session.get(f"{site.url}/bytes/10000000", stream=True))
    with pytest.raises(PoolTimeout) as caught:
        on.wait(session.get(site.url))
    assert (caught.value.in_use, caught.value.request.url) == (1, site.url + "/")
    on.give_up(held)


def test_a_port_where_nobody_listens(on, session):
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/x"
        with pytest.raises(RefusedError) as caught:
            on.wait(session.post(url, data=b"body"))
    assert (caught.value.request.method, caught.value.request.url) == ("POST", url)
    assert pickle.loads(pickle.dumps(caught.value)).request.body == b"body"


def test_a_closed_session_is_closed(on, session, site):
    on.wait(session.get(site.url))
    on.give_up(session)
    assert site.wait_for(lambda: site.open_now == 0)
    with pytest.raises(PoolClosed):
        on.wait(session.get(site.url))


# Settings that travel, mounts, subclasses


def test_a_pickled_session_keeps_what_was_set_and_opens_connections_of_its_own(on, site):
    original = on.session(Limits(per_host=2), timeout=(3, 30), retries=Retry(3, status_forcelist=[503]))
    original.headers["X-Own"], original.params, original.verify = "1", {"q": ["a"]}, False
    original.cookies.set("kept", "3", domain="127.0.0.1")
    original.mount(f"{site.url}/own", on.Adapter(pool_maxsize=1))
    on.wait(original.get(site.url))
    twin = pickle.loads(pickle.dumps(original))
    assert (type(twin), twin.pool.config) == (on.Session, original.pool.config)
    assert (twin.headers, twin.params, twin.cookies, twin.verify) == (
        *(original.headers, original.params, original.cookies),
        False,
    )
    seen = on.wait(twin.get(f"{site.url}/echo")).json()
    assert (seen["target"], seen["headers"]["x-own"], seen["headers"]["cookie"]) == ("/echo?q=a", "1", "kept=3")
    assert twin.get_adapter(f"{site.url}/own").pool.config.limits.per_host == 1
    assert twin.get_adapter(site.url).pool is twin.pool
    assert site.opened == 2
    on.give_up(twin)


def test_the_longest_prefix_sends_by_a_pool_of_its_own(on, session, site):
    session.mount(f"{site.url}/api", on.Adapter(limits=Limits(per_host=1)))
    session.mount("http://127", on.Adapter())
    assert session.get_adapter(f"{site.url}/API/x").pool.config.limits.per_host == 1
    assert session.get_adapter("https://a.example").pool is session.pool
    assert on.wait(session.get(f"{site.url}/api")).status_code == 200
    assert (session.stats().opened, session.get_adapter(f"{site.url}/api").pool.stats().opened) == (0, 1)
    with pytest.raises(InvalidSchema):
        session.get_adapter("ftp://a.example/")


def test_an_adapters_retries_hold_for_its_urls(on, session, answering):
    site = answering({"/": refusing(1), "/own": refusing(1)})
    session.mount(f"{site.url}/own", on.Adapter(max_retries=Retry(1, status_forcelist=[503])))
    assert on.wait(session.get(f"{site.url}/")).status_code == 503
    assert on.wait(session.get(f"{site.url}/own")).status_code == 200


def test_an_adapters_own_waits_hold_for_its_urls(on, session, site):
    """Also for a second try, and where a subclass passes on that nothing was said."""

    class Own(on.Adapter):
        def send(self, request, **told):
            return super().send(request, **told)

    session.mount(f"{site.url}/a", on.Adapter(timeout=0.2, max_retries=Retry(1)))
    session.mount(f"{site.url}/b", Own(timeout=0.2))
    site.pause()
    for path in ("a", "b"):
        with pytest.raises(ReadTimeout) as caught:
            on.wait(session.get(f"{site.url}/{path}"))
        assert caught.value.limit == 0.2
    site.resume()


def test_a_request_can_be_prepared_changed_and_sent(on, session, site):
    session.headers["X-Session"] = "s"
    prepared = session.prepare_request(Request("post", f"{site.url}/echo", data={"a": 1}, params={"q": 1}))
    prepared.body, prepared.headers["X-Own"] = "longer than before", "1"
    seen = on.wait(session.send(prepared)).json()
    assert (seen["method"], seen["target"], seen["body"]) == ("POST", "/echo?q=1", "longer than before")
    assert (seen["headers"]["content-length"], seen["headers"]["x-own"]) == ("18", "1")
    assert seen["headers"]["x-session"] == "s"
    with pytest.raises(ValueError, match="prepare_request"):
        session.send(Request("GET", site.url))


@pytest.mark.parametrize("verb", ["get", "options", "head", "post", "put", "patch", "delete"])
def test_the_verbs_go_through_a_request_of_the_programs_own(on, site, verb):
    """As in requests, where sessions with a base URL or timeouts of their own are made so."""

    class Based(on.Session):
        def request(self, method, url, *arguments, **options):
            return super().request(method, f"{site.url}{url}", *arguments, **options)

    class Further(Based):
        def request(self, method, url, **options):
            return super().request(method, url, headers={"X-Method": method}, **options)

    session = Further()
    assert on.wait(getattr(session, verb)("/echo")).status_code == 200
    on.give_up(session)
    assert (site.log[0].target, site.log[0].headers["x-method"], site.log[0].method) == ("/echo", *[verb.upper()] * 2)


def test_a_request_put_on_a_session_is_used_by_its_verbs(on, session, site):
    session.request = functools.partial(session.request, headers={"X-Own": "1"})
    assert on.wait(session.post(f"{site.url}/echo", "body")).json()["headers"]["x-own"] == "1"
    assert on.wait(session.get(f"{site.url}/echo", {"a": 1})).json()["target"] == "/echo?a=1"


def test_calls_go_through_a_way_of_preparing_and_sending_of_the_programs_own(on, site):
    class Own(on.Session):
        told: dict[str, object]

        def prepare_request(self, request):
            request.url = f"{site.url}{request.url}"
            return super().prepare_request(request)

        def send(self, request, **told):
            self.told = told
            request.headers["X-Sent"] = "1"
            return super().send(request, **told)

    session = Own()
    seen = on.wait(session.put("/echo", json={"a": 1}, timeout=5, allow_redirects=False)).json()
    on.give_up(session)
    assert (json.loads(seen["body"]), seen["target"], seen["headers"]["x-sent"]) == ({"a": 1}, "/echo", "1")
    assert session.told == {"timeout": 5, "allow_redirects": False}


def test_hosts_and_defaults_are_the_pools(on, site):
    hosts = {"127.0.0.1": HostConfig(headers={"X-Host": "h"}, keep_alive=False)}
    session = on.session(hosts=hosts)
    assert on.wait(session.get(f"{site.url}/echo")).json()["headers"]["x-host"] == "h"
    assert session.stats().open == 0
