"""What a call's arguments become: query, form, JSON, fields, credentials."""

from __future__ import annotations

import base64
import io
import json
import pickle

import pytest

from keeppool.client.request.encode import basic, encoded_body, encoded_query
from keeppool.client.request.headers import Headers
from keeppool.client.request.prepare import authenticated, prepare
from keeppool.client.request.prepared import PreparedRequest
from keeppool.errors import BodyLengthError, InvalidBody, InvalidHeader, InvalidJSONError, InvalidRequest
from keeppool.urls.address import parse


def made(method=b"GET", url="http://a.example/", auth=None, **arguments) -> PreparedRequest:
    order = ("session_headers", "headers", "session_params", "params", "data", "json")
    given = {"session_headers": Headers()} | arguments
    address = parse(url)
    request = prepare(method, address, *[given.get(name) for name in order])
    return authenticated(request, auth if auth is not None else address.credentials)


@pytest.mark.parametrize(
    ("params", "query"),
    [
        (None, ""),
        ({}, ""),
        ({"a": 1, "b": "x y"}, "a=1&b=x+y"),
        ({"a": [1, 2], "b": ("3",)}, "a=1&a=2&b=3"),
        ({"a": None, "b": [None, 1]}, "b=1"),
        ({"a": ""}, "a="),
        ([("a", 1), ("a", 2)], "a=1&a=2"),
        ([("a", [1, None])], "a=1"),
        ({b"a": b"\xff"}, "a=%FF"),
        ({"ä": "€"}, "%C3%A4=%E2%82%AC"),
        ({"a": True, "f": 1.5}, "a=True&f=1.5"),
        ({"a": {"k": "v"}}, "a=k"),
        ("a=b c", "a=b%20c"),
        (b"a=%20", "a=%20"),
    ],
)
def test_parameters_become_a_query(params, query):
    assert encoded_query(None, params) == query


@pytest.mark.parametrize(
    ("session", "own", "query"),
    [
        ({"key": "k"}, None, "key=k"),
        ({"key": "k"}, {"a": 1}, "key=k&a=1"),
        ({"key": "k", "b": 2}, {"key": "other"}, "b=2&key=other"),
        ({"key": "k", "b": 2}, {"key": None}, "b=2"),
        ({"key": "k"}, [("a", 1), ("a", 2)], "key=k&a=1&a=2"),
        ({"key": "k"}, "raw", "raw"),
        ("raw", {"a": 1}, "raw&a=1"),
    ],
)
def test_a_calls_parameters_win_over_the_sessions(session, own, query):
    assert encoded_query(session, own) == query


@pytest.mark.parametrize("bad", [5, [1, 2], [("a", "b", "c")], {"a": "\ud800"}])
def test_parameters_that_are_no_pairs_are_refused(bad):
    with pytest.raises(InvalidRequest):
        encoded_query(None, bad)


def test_a_mapping_or_a_list_of_pairs_is_a_form():
    for data in ({"a": "1", "b": ["ü", None]}, [("a", "1"), ("b", "ü")], (("a", "1"), ("b", "ü"))):
        body, media_type = encoded_body(data, None)
        assert body == "a=1&b=%C3%BC"
        assert media_type == b"application/x-www-form-urlencoded"


def test_data_that_is_false_is_no_data():
    for data in (None, {}, [], "", b""):
        assert encoded_body(data, None) == (None, None)
        assert encoded_body(data, {"x": 1})[0] == b'{"x": 1}'


def test_data_wins_over_json():
    assert encoded_body("x", {"y": 1}) == ("x", None)


def test_json_is_written_in_ascii_with_its_type():
    body, media_type = encoded_body(None, ["ü", 1.5, None])
    assert json.loads(body) == ["ü", 1.5, None]
    assert body.isascii()
    assert media_type == b"application/json"


@pytest.mark.parametrize("falsy", [0, False, "", [], {}])
def test_json_that_is_false_is_sent(falsy):
    assert encoded_body(None, falsy)[0] == json.dumps(falsy).encode()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), object(), {1, 2}, {("a",): 1}])
def test_what_json_cannot_say_is_refused(bad):
    with pytest.raises(InvalidJSONError):
        encoded_body(None, bad)


@pytest.mark.parametrize("bad", [["text"], [("a", "b", "c")], [5], {"a": "\ud800"}])
def test_a_list_without_pairs_is_no_form(bad):
    with pytest.raises(InvalidBody):
        encoded_body(bad, None)


@pytest.mark.parametrize("data", ["text", b"bytes", bytearray(b"x"), io.BytesIO(b"x"), iter([b"x"])])
def test_everything_else_goes_out_as_it_is(data):
    assert encoded_body(data, None) == (data, None)


@pytest.mark.parametrize("bad", [5, 1.5, object(), io.StringIO("text")])
def test_a_body_that_cannot_be_sent_is_refused(bad):
    with pytest.raises(InvalidBody):
        made(b"POST", data=bad)


def test_the_callers_content_type_stays():
    request = made(b"POST", data={"a": 1}, headers={"content-type": "application/x-own"})
    assert request.fields.lines == b"content-type: application/x-own\r\n"


def test_the_callers_length_is_checked_and_not_sent_twice():
    request = made(b"POST", data=iter([b"abc"]), headers={"Content-Length": "3"})
    assert request.headers == {"Content-Length": "3"}
    with pytest.raises(BodyLengthError):
        made(b"POST", data=b"abcd", headers={"Content-Length": "3"})
    with pytest.raises(InvalidHeader):
        made(b"POST", data=b"abcd", headers={"Content-Length": "many"})


def test_an_empty_post_says_so_and_an_empty_get_does_not():
    assert made(b"POST").headers == {"Content-Length": "0"}
    assert made(b"GET").headers == {}


@pytest.mark.parametrize(
    ("credentials", "token"),
    [
        (("user", "pass"), b"user:pass"),
        (("üser", "päss"), "üser:päss".encode("latin-1")),
        (("user", "€"), "user:€".encode()),
        ((b"user", b"\xff"), b"user:\xff"),
        (["user", ""], b"user:"),
    ],
)
def test_credentials_are_written_for_basic_authentication(credentials, token):
    assert base64.b64decode(basic(credentials).removeprefix(b"Basic ")) == token


@pytest.mark.parametrize("bad", ["user:pass", ("user",), ("a", "b", "c"), ("user", 5), (None, "x"), object()])
def test_credentials_that_are_no_pair_of_text_are_refused(bad):
    with pytest.raises(InvalidRequest):
        basic(bad)


def test_credentials_given_win_over_the_urls_and_over_a_header():
    token = "Basic " + base64.b64encode(b"u:p").decode()
    assert made(auth=("u", "p")).headers == {"Authorization": token}
    assert made(url="http://u:p@a.example/").headers == {"Authorization": token}
    assert made(url="http://x:y@a.example/", auth=("u", "p")).headers == {"Authorization": token}
    assert made(auth=("u", "p"), headers={"authorization": "Bearer x"}).headers == {"Authorization": token}
    assert made(headers={"authorization": "Bearer x"}).headers == {"Authorization": "Bearer x"}


@pytest.mark.parametrize(
    "headers",
    [{"A b": "x"}, {"A": "x\r\nB: y"}, {"A": "x\ny"}, {"A": "\x00"}, {"": "x"}, {"A": 5}, {5: "x"}, {"A": ["x"]}],
)
def test_headers_http_cannot_carry_are_refused(headers):
    with pytest.raises(InvalidHeader):
        made(headers=headers)


def test_a_request_shows_what_it_sends():
    request = made(b"POST", "http://u:p@a.example/x#f", data="ü", headers=[("A", "1"), ("A", "2")])
    assert request.method == "POST"
    assert request.url == "http://a.example/x#f"
    assert request.body == "ü"
    assert request.headers["a"] == "1, 2"
    assert request.headers["content-length"] == "2"
    assert repr(request) == "<PreparedRequest [POST]>"


def test_a_pickled_request_keeps_its_fields_and_a_body_of_bytes():
    request = pickle.loads(pickle.dumps(made(b"POST", data={"a": 1}, headers={"A": "1"})))
    assert (request.method, request.url, request.body) == ("POST", "http://a.example/", "a=1")
    assert request.headers["content-length"] == "3"
    assert pickle.loads(pickle.dumps(made(b"POST", data=iter([b"x"])))).body is None
