"""Canned responses: which requests they are for, which of them comes, and what is said of those that never do."""

from __future__ import annotations

import re
import threading

import pytest
from testing.fronts import FRONTS, SESSIONS, Front

import keeppool
from keeppool.errors import ConfigError, ReadTimeout, RefusedError
from keeppool.testing import Answer, Replay, UnexpectedRequest, UnusedResponses

URL = "http://api.test/items/7"


@pytest.mark.parametrize("name", FRONTS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_made_up_response_is_like_any_other(name, stream):
    with Front(name) as front, Replay() as replay:
        items = replay.on("get", "http://api.test/items/*")
        items.respond(202, headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")], content=b"\0\xff")
        got = front.ask("GET", URL, stream=stream)
        assert got == (202, [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Content-Length", "2")], b"\0\xff")
        assert [(call.method, call.target) for call in items.calls] == [("GET", URL)]


@pytest.mark.parametrize("name", SESSIONS)
def test_json_and_text_say_what_they_are(name):
    with Front(name) as front, Replay() as replay:
        replay.on(url="/json").respond(json={"ü": None})
        replay.on(url="/text").respond(content="ü", headers={"X": "1"})
        replay.on(url="/html").respond(content="<p>", headers={"content-type": "text/html"})
        json, text, html = (front.ask("GET", f"http://a.test/{kind}") for kind in ("json", "text", "html"))
        assert (json.body, ("Content-Type", "application/json") in json.headers) == (b'{"\\u00fc": null}', True)
        assert (text.body, ("Content-Type", "text/plain; charset=utf-8") in text.headers) == ("ü".encode(), True)
        assert [value for field, value in html.headers if field.lower() == "content-type"] == ["text/html"]


@pytest.mark.parametrize("name", FRONTS)
def test_a_made_up_error_names_the_request_it_is_raised_for(name):
    with Front(name) as front, Replay() as replay:
        replay.on("GET").fail(ReadTimeout("made up", limit=3.0))
        replay.on("POST").fail(ZeroDivisionError("mine"))
        for path in ("one", "two"):
            with pytest.raises(ReadTimeout, match=f"GET http://a.test/{path}: made up") as caught:
                front.ask("GET", f"http://a.test/{path}")
            assert caught.value.limit == 3.0
        with pytest.raises(ZeroDivisionError, match="mine"):
            front.ask("POST", "http://a.test/")


def test_retries_and_redirects_meet_made_up_responses():
    with Replay() as replay, keeppool.Session(retries=2) as session:
        flaky = replay.on("GET", "http://a.test/")
        flaky.fail(RefusedError("gone"), times=1).fail(ReadTimeout("slow"), times=1).respond(
            302, headers={"Location": "http://b.test/x"}
        )
        replay.on(url="http://b.test/x").respond(content="there")
        response = session.get("http://a.test/")
        assert (response.text, len(response.history), len(flaky.calls)) == ("there", 1, 3)


def test_responses_come_one_after_the_other():
    with Replay() as replay, keeppool.Session() as session:
        replay.on(url=URL).respond(500, times=2).respond(content="at last")
        assert [session.get(URL).status_code for _ in range(4)] == [500, 500, 200, 200]


def test_the_first_that_fits_and_is_not_used_up_answers():
    with Replay(strict=False) as replay, keeppool.Session() as session:
        replay.on(url="http://api.test/*").respond(content="one", times=1)
        replay.on("GET", URL).respond(content="two", times=1)
        assert [session.get(URL).text for _ in range(2)] == ["one", "two"]
        with pytest.raises(UnexpectedRequest, match=r"canned 1: .*used up after 1 times"):
            session.get(URL)


@pytest.mark.parametrize("name", FRONTS)
def test_a_function_makes_the_response_from_the_request(name):
    def mirrored(request):
        assert threading.current_thread() is threading.main_thread()
        return Answer(status=201, headers=(("X-Path", request.path),), body=request.body[::-1])

    with Front(name) as front, Replay() as replay:
        replay.on("POST").respond(mirrored)
        got = front.ask("POST", "http://a.test/up?q=1", b"abc")
        assert (got.status, got.headers[0], got.body) == (201, ("X-Path", "/up"), b"cba")


def test_what_a_function_raises_goes_to_the_program():
    def broken(request):
        raise LookupError("in the test")

    with Replay() as replay:
        replay.on().respond(broken)
        with pytest.raises(LookupError, match="in the test"):
            keeppool.get("http://a.test/")


def test_a_made_up_body_that_is_damaged_fails_as_any_other():
    with Replay() as replay, keeppool.PoolManager() as pool:
        wrong = Answer(headers=(("Content-Encoding", "gzip"),), body=b"\x1f\x8b")
        replay.on().respond(wrong)
        with pytest.raises(keeppool.errors.ContentDecodingError, match=r"GET http://a\.test/"):
            pool.request("GET", "http://a.test/")


# Which requests


@pytest.mark.parametrize(
    ("url", "asked", "fits"),
    [
        (URL, URL, True),
        (URL, f"{URL}?page=2", True),
        (URL, f"{URL}/more", False),
        ("HTTP://API.test:80/items/7", URL, True),
        ("http://api.test", "http://api.test/", True),
        ("http://api.test/items/?", "http://api.test/items/", True),
        ("http://api.test/items/?", "http://api.test/items/?a=1", False),
        ("http://api.test/?a=1&b=2", "http://api.test/?b=2&a=1", True),
        ("http://api.test/?a=1", "http://api.test/?a=1&b=2", False),
        ("http://api.test/?a=1", "http://api.test/?a=2", False),
        ("http://api.test/*", URL, True),
        ("http://api.test/*/7", URL, True),
        ("http://api.test/*/8", URL, False),
        ("http://*.test/items/7", URL, True),
        ("http://*.test", "http://api.test/", True),
        ("http://*.test", URL, False),
        ("http://*", URL, True),
        ("*", URL, True),
        ("*/7", URL, True),
        ("/items/7", URL, True),
        ("/items/*", f"{URL}?a=1", True),
        ("/items", URL, False),
        ("http://api.test/i.ems/7", URL, False),
        (re.compile(r"http://api\.test/items/\d+"), URL, True),
        (re.compile(r"http://api\.test/items/\d+"), f"{URL}1?x", False),
        (re.compile(r"items"), URL, False),
        ("https://api.test/items/7", URL, False),
        ("http://api.test/gr%C3%BC%C3%9Fe", "http://api.test/grüße", True),
        ("http://api.test/grüße", "http://api.test/grüße", True),
    ],
)
def test_urls_are_matched(url, asked, fits):
    with Replay(strict=False) as replay:
        replay.on(url=url).respond(content="it")
        if fits:
            assert keeppool.get(asked).text == "it"
        else:
            with pytest.raises(UnexpectedRequest, match=r"the URL is another|the query is"):
                keeppool.get(asked)


@pytest.mark.parametrize(
    ("conditions", "call", "why"),
    [
        ({"method": "PUT"}, {}, "the method is POST, not PUT"),
        ({"params": {"a": [1, 2]}}, {"params": {"a": [2, 1]}}, None),
        ({"params": {"a": 1, "b": None}}, {"params": {"a": 1}}, None),
        ({"params": {}}, {"params": {"a": 1}}, "the query is a=1, not empty"),
        ({"headers": {"x-key": "1"}}, {"headers": {"X-Key": "1"}}, None),
        ({"headers": {"x-key": re.compile(r"\d+")}}, {"headers": {"X-Key": "12"}}, None),
        ({"headers": {"x-key": re.compile(r"\d+")}}, {"headers": {"X-Key": "12a"}}, "the field x-key is another than"),
        ({"headers": {"x-key": "1"}}, {}, "the field x-key is missing"),
        ({"headers": {"x-key": None}}, {}, None),
        ({"headers": {"x-key": None}}, {"headers": {"X-Key": "1"}}, "the field x-key is there"),
        ({"headers": {"host": "a.test"}}, {}, None),
        ({"content": b"raw"}, {"data": b"raw"}, None),
        ({"content": "räw"}, {"data": "räw".encode()}, None),
        ({"content": re.compile("r.w")}, {"data": b"raw"}, None),
        ({"content": re.compile("r.w")}, {"data": b"rawer"}, "the body does not match 'r.w'"),
        ({"content": b"raw"}, {}, "the body is empty, not b'raw'"),
        ({"data": {"a": [1, 2], "b": ""}}, {"data": {"a": [1, 2], "b": ""}}, None),
        ({"data": {"a": 1}}, {"data": {"a": 2}}, "the body differs at"),
        ({"data": {"a": 1}}, {"json": {"a": 1}}, "the body"),
        ({"json": {"a": [1, None]}}, {"json": {"a": [1, None]}}, None),
        ({"json": None}, {"data": "null", "headers": {"Content-Type": "application/json"}}, None),
        ({"json": {"a": 1}}, {"json": {"a": 2}}, r"the body differs at \$\.a: '2', not '1'"),
        ({"where": lambda request: request.body == b""}, {}, None),
        ({"where": lambda request: False}, {}, "<lambda> says no"),
    ],
)
def test_conditions_hold_or_say_why_not(conditions, call, why):
    with Replay(strict=False) as replay:
        conditions = {"url": "http://a.test/", **conditions}
        replay.on(**conditions).respond(content="it")
        if why is None:
            assert keeppool.post("http://a.test/", **call).text == "it"
        else:
            with pytest.raises(UnexpectedRequest, match=why):
                keeppool.post("http://a.test/", **call)


def test_a_secret_that_does_not_fit_is_not_shown():
    with Replay(strict=False) as replay:
        replay.on(headers={"Authorization": "Bearer right"}).respond()
        with pytest.raises(UnexpectedRequest) as caught:
            keeppool.get("http://user:password@a.test/", headers={"Authorization": "Bearer secret"})
    assert "secret" not in str(caught.value)
    assert "password" not in str(caught.value)
    with Replay(strict=False) as replay:
        replay.on("POST", params={"access_token": "right"}, data={"password": "right", "user": "me"})
        with pytest.raises(UnexpectedRequest) as caught:
            keeppool.post("http://a.test/?access_token=s3cr3t", data={"password": "s3cr3t", "user": "you"})
        assert "access_token=***" in str(caught.value)
        assert "the body differs at $[0]" in str(caught.value)
        replay.on("GET", params={"access_token": "***"}).respond()
        with pytest.raises(UnexpectedRequest, match="it differs in what is secret") as hidden:
            keeppool.get("http://a.test/?access_token=s3cr3t")
    assert "s3cr3t" not in f"{caught.value}{hidden.value}"


# At the end


@pytest.mark.parametrize(
    ("say", "times"),
    [
        (lambda canned: canned, 0),
        (lambda canned: canned.respond(), 0),
        (lambda canned: canned.respond(times=2), 1),
        (lambda canned: canned.respond(times=1).respond(times=1), 1),
        (lambda canned: canned.respond(times=1).respond(), 1),
    ],
)
def test_what_was_not_asked_for_is_told(say, times):
    def run():
        with Replay() as replay:
            say(replay.on("GET", "http://a.test/"))
            for _ in range(times):
                keeppool.get("http://a.test/")

    with pytest.raises(UnusedResponses, match=r"canned 1: GET http://a\.test/\Z"):
        run()


def test_what_was_not_asked_for_is_no_error_without_strictness_or_after_another_error():
    with Replay(strict=False) as replay:
        replay.on().respond()
    replay = Replay()
    replay.on().respond()
    with pytest.raises(ZeroDivisionError), replay:
        raise ZeroDivisionError


def test_all_that_was_asked_for_is_no_error():
    with Replay() as replay:
        replay.on("GET").respond(times=2).respond()
        replay.on("POST").respond(times=1)
        for _ in range(3):
            keeppool.get("http://a.test/")
        keeppool.post("http://a.test/")


def test_a_pattern_without_a_response_says_so():
    with Replay(strict=False) as replay:
        replay.on("GET")
        with pytest.raises(UnexpectedRequest, match="canned 1: GET any URL: was given no response"):
            keeppool.get("http://a.test/")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"method": 3}, "method=3: must be text"),
        ({"url": 3}, "must be text or a compiled regular expression"),
        ({"url": "items"}, "must be a URL, a path or a pattern"),
        ({"url": "ftp://a.test/"}, "must be a URL, a path or a pattern"),
        ({"url": "http://user:secret@/x"}, r"\A(?!.*secret)"),
        ({"url": "http://a.test/?a=1", "params": {"a": 1}}, "the URL has a query of its own"),
        ({"params": 3}, "must be a mapping or"),
        ({"params": [("a", 1, 2)]}, "must be a mapping or"),
        ({"content": b"", "json": 1}, "only one can be told"),
        ({"data": {}, "json": None}, "only one can be told"),
    ],
)
def test_conditions_that_cannot_be_meant_are_refused(arguments, why):
    replay = Replay()
    with pytest.raises(ConfigError, match=why):
        replay.on(**arguments)
    with replay:
        pass  # Nothing was added that would be missed.


@pytest.mark.parametrize(
    ("say", "why"),
    [
        (lambda canned: canned.respond(99), "must be a final status"),
        (lambda canned: canned.respond("200"), "must be a final status"),
        (lambda canned: canned.respond(json=1, content=""), "only one can be told"),
        (lambda canned: canned.respond(content=3), "must be bytes or text"),
        (lambda canned: canned.respond(Answer(), content=b""), "says all of the response"),
        (lambda canned: canned.respond(Answer(delay_s=1)), "delay_s=1: needs a connection"),
        (lambda canned: canned.respond(Answer(hang_up=True)), "hang_up=True: needs a connection"),
        (lambda canned: canned.respond(times=0), "times=0: must be 1 or more"),
        (lambda canned: canned.respond().respond(), "has no end, so this never comes"),
        (lambda canned: canned.fail("no error"), "must be an instance of an exception"),
        (lambda canned: canned.fail(ReadTimeout), "must be an instance of an exception"),
    ],
)
def test_responses_that_cannot_be_meant_are_refused(say, why):
    with pytest.raises(ConfigError, match=why):
        say(Replay().on())


def test_a_function_that_makes_no_answer_is_told():
    with Replay() as replay:
        replay.on().respond(lambda request: "text")
        with pytest.raises(ConfigError, match=r"a function must give a keeppool\.testing\.Answer"):
            keeppool.get("http://a.test/")


def test_a_url_in_the_place_of_the_method_is_said():
    with (
        Replay() as replay,
        pytest.raises(ConfigError, match="must be a method such as GET, or None; the URL comes second"),
    ):
        replay.on("https://api.test/items")
