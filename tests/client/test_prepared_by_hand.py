"""Prepared requests that a program changes before it sends them, copies, pickles, and prepares step by step."""

from __future__ import annotations

import copy
import io
import pickle

import pytest

import keeppool
from keeppool import PreparedRequest, Request
from keeppool.client.request.headers import Headers
from keeppool.errors import (
    BodyLengthError,
    InvalidHeader,
    InvalidMethod,
    InvalidURL,
    MissingSchema,
    UnrewindableBodyError,
)
from keeppool.urls.address import parse
from keeppool.wire.body import request_body
from keeppool.wire.fields import field_block


def sent(site, prepared) -> dict:
    with keeppool.Session() as session:
        return session.send(prepared).json()


@pytest.fixture
def form(site):
    return Request("POST", f"{site.url}/echo", data={"a": "1"}, headers={"X-A": "1"}).prepare()


# Changed after preparing


def test_a_header_that_is_changed_added_or_taken_out_counts(site, form):
    form.headers["x-a"] = "2"
    form.headers.update({"X-B": b"3", "Content-Type": "text/plain"})
    seen = sent(site, form)["headers"]
    assert (seen["x-a"], seen["x-b"], seen["content-type"]) == ("2", "3", "text/plain")
    del form.headers["X-A"]
    form.headers["X-B"] = None
    assert not {"x-a", "x-b"} & set(sent(site, form)["headers"])
    form.headers = {"Only": "this"}
    seen = sent(site, form)
    assert (seen["headers"]["only"], seen["body"], seen["headers"]["content-length"]) == ("this", "a=1", "3")


@pytest.mark.parametrize("looked_at", [False, True])
@pytest.mark.parametrize(
    ("body", "text", "length"),
    [
        ("longer than before", "longer than before", "18"),
        (b"x", "x", "1"),
        (None, "", "0"),
        (io.BytesIO(b"a file"), "a file", "6"),
        ("ü", "\u00c3\u00bc", "2"),
    ],
    ids=["text", "bytes", "none", "file", "text beyond ASCII"],
)
def test_the_length_follows_a_new_body(site, form, body, text, length, looked_at):
    if hasattr(body, "seek"):
        body.seek(0)
    if looked_at:
        assert form.headers["Content-Length"] == "3"
    form.body = body
    assert form.headers["content-length"] == length
    seen = sent(site, form)
    assert (seen["body"], seen["headers"]["content-length"]) == (text, length)
    assert "transfer-encoding" not in seen["headers"]


def test_a_body_of_unknown_length_goes_out_in_chunks_and_one_of_known_length_does_not(site, form):
    form.body = iter([b"one", b"two"])
    assert (form.headers.get("Transfer-Encoding"), form.headers.get("Content-Length")) == ("chunked", None)
    form.body = b"whole"
    assert (form.headers.get("Transfer-Encoding"), form.headers.get("Content-Length")) == (None, "5")
    form.body = iter([b"one", b"two"])
    assert sent(site, form)["body"] == "onetwo"


ASKS_FOR_MORE = "DELETE /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("looked_at", [False, True])
@pytest.mark.parametrize(
    "first",
    [b"x" * len(ASKS_FOR_MORE), b"short", iter([b"pieces"]), None],
    ids=["same length", "shorter", "chunked", "none"],
)
def test_a_body_prepared_again_is_framed_again_and_never_read_as_the_next_request(site, first, looked_at):
    prepared = Request("POST", f"{site.url}/echo", data=first).prepare()
    if looked_at:
        assert len(prepared.headers) > 0
    prepared.prepare_body(ASKS_FOR_MORE, None)
    assert prepared.headers.get("Transfer-Encoding") is None
    assert prepared.headers["Content-Length"] == str(len(ASKS_FOR_MORE))
    seen = sent(site, prepared)
    assert (seen["body"], seen["headers"]["content-length"]) == (ASKS_FOR_MORE, str(len(ASKS_FOR_MORE)))
    assert site.requests == 1


def test_a_body_prepared_again_may_be_of_unknown_length_or_none_at_all(site, form):
    form.prepare_body(iter([b"one", b"two"]), None)
    assert (form.headers.get("Transfer-Encoding"), form.headers.get("Content-Length")) == ("chunked", None)
    assert sent(site, form)["body"] == "onetwo"
    form.prepare_body(None, None)
    assert (form.headers.get("Transfer-Encoding"), form.headers.get("Content-Length")) == (None, "0")
    assert sent(site, form)["body"] == ""


def test_a_length_stated_before_the_first_body_is_meant_for_it(site):
    made = PreparedRequest()
    made.prepare_method("POST")
    made.prepare_url(f"{site.url}/echo", None)
    made.prepare_headers({"Content-Length": "6"})
    made.prepare_body(iter([b"one", b"two"]), None)
    seen = sent(site, made)
    assert (seen["body"], seen["headers"]["content-length"]) == ("onetwo", "6")


def test_headers_prepared_again_still_say_where_the_body_ends(site, form):
    form.prepare_headers({"X-B": "2"})
    assert form.headers == {"X-B": "2", "Content-Length": "3"}
    assert sent(site, form)["body"] == "a=1"
    form.prepare_headers({"Transfer-Encoding": "chunked"})
    assert form.headers == {"Transfer-Encoding": "chunked"}
    assert sent(site, form)["body"] == "a=1"


@pytest.mark.parametrize(
    ("payload", "fields"),
    [
        (request_body(b"abc", content_length=3), []),
        (request_body(iter([b"abc"]), chunked=True), []),
        (request_body(b"abc"), [("Content-Length", "3")]),
        (request_body(b"abc", content_length=3), [("Content-Length", "2")]),
        (request_body(b"abc", content_length=3), [("Transfer-Encoding", "chunked")]),
        (request_body(b"abc", content_length=3), [("Content-Length", "3"), ("Transfer-Encoding", "chunked")]),
        (None, [("Content-Length", "3")]),
        (None, [("Transfer-Encoding", "chunked")]),
    ],
)
def test_nothing_goes_out_unless_exactly_one_field_tells_where_it_ends(site, payload, fields):
    prepared = PreparedRequest(b"POST", parse(f"{site.url}/echo"), field_block(fields), payload)
    with keeppool.Session() as session, pytest.raises(InvalidHeader):
        session.send(prepared)
    assert site.opened == 0


def test_a_request_that_becomes_a_post_says_that_its_body_is_empty(site, session):
    prepared = session.prepare_request(Request("GET", f"{site.url}/echo"))
    prepared.method = "POST"
    assert sent(site, prepared)["headers"]["content-length"] == "0"


def test_a_length_by_hand_is_held_against_the_body(form):
    form.headers["Content-Length"] = "2"
    with keeppool.Session() as session, pytest.raises(BodyLengthError):
        session.send(form)
    form.headers["Content-Length"] = "many"
    with keeppool.Session() as session, pytest.raises(InvalidHeader):
        session.send(form)


def test_method_and_url_may_be_changed_and_are_checked(site, form):
    form.method, form.url = "PUT", f"{site.url}/echo?ü=1#f"
    assert (form.url, form.path_url) == (f"{site.url}/echo?%C3%BC=1#f", "/echo?%C3%BC=1")
    seen = sent(site, form)
    assert (seen["method"], seen["target"]) == ("PUT", "/echo?%C3%BC=1")
    with pytest.raises(InvalidMethod):
        form.method = "NO GOOD"
    with pytest.raises(MissingSchema):
        form.url = "example.com"
    form.method = form.url = None
    assert (form.method, form.url) == (None, None)


@pytest.mark.parametrize("verb", [b"GET / HTTP/1.1\r\nX-Smuggled: 1\r\n\r\nGET", b"", b"\xff"])
def test_a_method_written_past_every_check_is_checked_before_it_goes_out(site, form, verb):
    form.verb = verb
    with keeppool.Session() as session, pytest.raises(InvalidMethod):
        session.send(form)
    assert site.opened == 0


def test_a_header_that_cannot_be_sent_is_refused_when_it_would_be(site, form):
    form.headers["X-A"] = "a\r\nSmuggled: yes"
    with keeppool.Session() as session, pytest.raises(InvalidHeader):
        session.send(form)
    assert site.requests == 0


def test_it_can_be_sent_again_and_by_several_sessions(site, form):
    assert [sent(site, form)["body"] for _ in range(3)] == ["a=1"] * 3


def test_an_iterator_that_was_sent_is_not_sent_again_as_nothing(site, form):
    form.body = iter([b"once"])
    assert sent(site, form)["body"] == "once"
    with keeppool.Session() as session, pytest.raises(UnrewindableBodyError):
        session.send(form)
    assert site.requests == 1


# Copied and pickled


def test_a_copy_goes_its_own_way(site, form):
    form.register_hook("response", print)
    twin = form.copy()
    twin.headers["X-A"], twin.body, twin.method = "2", "other", "PUT"
    twin.deregister_hook("response", print)
    assert (form.headers["X-A"], form.body, form.method, form.hooks["response"]) == ("1", "a=1", "POST", [print])
    seen = sent(site, twin)
    assert (seen["method"], seen["body"], seen["headers"]["x-a"]) == ("PUT", "other", "2")
    form.hooks["response"].clear()
    assert sent(site, form)["body"] == "a=1"


@pytest.mark.parametrize("way", [lambda it: pickle.loads(pickle.dumps(it)), copy.deepcopy], ids=["pickle", "deepcopy"])
def test_a_pickled_one_is_sent_as_the_original_would_be(site, form, way):
    form.headers["X-Late"] = "1"
    twin = way(form)
    assert (twin.method, twin.url, twin.body, twin.headers) == (form.method, form.url, form.body, form.headers)
    assert sent(site, twin)["body"] == "a=1"
    twin.body = "changed"
    assert sent(site, twin)["headers"]["content-length"] == "7"


@pytest.mark.parametrize("body", [iter([b"pieces"]), io.BytesIO(b"file")], ids=["pieces", "file"])
def test_one_that_lost_its_body_in_a_pickle_is_not_sent(site, body):
    """It would announce a body that never comes: the next request on the connection would be taken for it."""
    twin = pickle.loads(pickle.dumps(Request("POST", f"{site.url}/echo", data=body).prepare()))
    assert twin.body is None
    with keeppool.Session() as session, pytest.raises(InvalidHeader, match="there is none"):
        session.send(twin)
    assert site.opened == 0
    twin.body = b"a new one"
    assert sent(site, twin)["body"] == "a new one"


# Prepared step by step


def test_the_steps_make_what_preparing_at_once_makes(site):
    arguments = {"headers": {"X-A": "1"}, "data": {"a": 1}, "params": {"q": 1}, "auth": ("user", "pass")}
    at_once = Request("post", f"{site.url}/echo", cookies={"c": "1"}, **arguments).prepare()
    made = PreparedRequest()
    made.prepare_method("post")
    made.prepare_url(f"{site.url}/echo", {"q": 1})
    made.prepare_headers({"X-A": "1"})
    made.prepare_cookies({"c": "1"})
    made.prepare_body({"a": 1}, None)
    made.prepare_auth(("user", "pass"))
    made.prepare_hooks(None)
    assert (made.method, made.url, made.headers, made.body) == (
        *(at_once.method, at_once.url, at_once.headers),
        at_once.body,
    )
    seen = sent(site, made)
    assert (seen["target"], seen["headers"]["cookie"], seen["headers"]["content-length"]) == ("/echo?q=1", "c=1", "3")


def test_a_request_alone_has_nothing_of_a_sessions(site):
    prepared = Request("GET", site.url).prepare()
    assert dict(prepared.headers) == {}
    with keeppool.Session() as session:
        session.headers["X-Session"], session.auth, session.params = "s", ("user", "pass"), {"q": 1}
        session.cookies["c"] = "1"
        own = session.prepare_request(Request("GET", site.url, headers={"Accept": None}))
    assert own.url == f"{site.url}/?q=1"
    assert (own.headers["X-Session"], own.headers["Cookie"]) == ("s", "c=1")
    assert own.headers["Authorization"].startswith("Basic ")
    assert "Accept" not in own.headers


def test_files_and_data_make_a_form(site, session):
    files = [("f", ("a.txt", b"one", "text/plain", {"X-Part": "1"})), ("f", b"two"), ("g", io.StringIO("three"))]
    prepared = session.prepare_request(Request("POST", f"{site.url}/echo", data={"a": [1, 2]}, files=files))
    seen = session.send(prepared).json()
    boundary = seen["headers"]["content-type"].removeprefix("multipart/form-data; boundary=")
    parts = seen["body"].split(f"--{boundary}")
    assert len(parts) == 7
    assert [part.rpartition("\r\n\r\n")[2].strip() for part in parts[1:-1]] == ["1", "2", "one", "two", "three"]
    assert "X-Part: 1" in parts[3]
    assert int(seen["headers"]["content-length"]) == len(seen["body"])


def test_a_request_may_be_looked_at_and_changed_before_it_is_prepared():
    request = Request("GET", "http://a.example/")
    assert (request.headers, request.data, request.params, request.files) == ({}, [], {}, [])
    assert (request.json, request.auth, request.cookies, request.hooks) == (None, None, None, {"response": []})
    request.method, request.url, request.json = "put", "http://b.example/", {"a": 1}
    prepared = request.prepare()
    assert (prepared.method, prepared.url, prepared.body) == ("PUT", "http://b.example/", b'{"a": 1}')
    assert repr(request) == "<Request [put]>"


def test_headers_are_ours_and_may_be_any_mapping(form):
    assert isinstance(form.headers, Headers)
    form.headers = {"A": "1"}
    assert isinstance(form.headers, Headers)
    assert form.headers["a"] == "1"


def test_a_program_may_hang_something_on_it(form):
    form.trace = "id"
    assert form.trace == "id"
    with pytest.raises(InvalidURL):
        Request("GET", None).prepare()
