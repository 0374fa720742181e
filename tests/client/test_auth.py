"""Schemes that sign requests: what they write, whom they equal, what a session does with them."""

from __future__ import annotations

import base64
import importlib
import subprocess
import sys
from typing import Any

import pytest
import requests.auth

import keeppool
from keeppool import auth
from keeppool.auth import AuthBase, HTTPBasicAuth, HTTPBearerAuth, HTTPProxyAuth
from keeppool.errors import InvalidRequest
from keeppool.testing import Answer


def asked(**arguments: Any) -> keeppool.PreparedRequest:
    return keeppool.Request("GET", "http://a.example/x", **arguments).prepare()


CREDENTIALS = [
    ("user", "password"),
    ("", ""),
    ("us:er", "pass:word"),
    ("Jäsøn", "ÿ"),
    (b"bytes", b"\xff\xfe"),
    ("user", b"mixed"),
]


@pytest.mark.parametrize(("user", "password"), CREDENTIALS)
@pytest.mark.parametrize("name", ["HTTPBasicAuth", "HTTPProxyAuth"])
def test_user_and_password_are_written_as_requests_writes_them(name, user, password):
    ours, theirs = asked(), requests.Request("GET", "http://a.example/x").prepare()
    assert getattr(auth, name)(user, password)(ours) is ours
    getattr(requests.auth, name)(user, password)(theirs)
    for header in ("Authorization", "Proxy-Authorization"):
        assert ours.headers.get(header) == theirs.headers.get(header)


def test_what_iso_8859_1_cannot_write_goes_in_utf_8():
    header = HTTPBasicAuth("用户", "пароль")(asked()).headers["Authorization"]
    assert base64.b64decode(str(header).removeprefix("Basic ")) == "用户:пароль".encode()


def test_numbers_are_taken_for_their_text_with_a_warning_that_shows_no_secret():
    with pytest.warns(DeprecationWarning, match="should be text or bytes, not int") as warned:
        header = HTTPBasicAuth(1234, 5678)(asked()).headers["Authorization"]  # type: ignore[arg-type]
    assert base64.b64decode(str(header).removeprefix("Basic ")) == b"1234:5678"
    assert not any("5678" in str(warning.message) for warning in warned)
    assert {warning.filename for warning in warned} == {__file__}


def test_a_signature_takes_the_place_of_a_header_that_was_there():
    request = asked(headers={"authorization": "old"})
    HTTPBasicAuth("a", "b")(request)
    assert [value for name, value in request.headers.items() if name.lower() == "authorization"] == ["Basic YTpi"]


@pytest.mark.parametrize("module", [auth, requests.auth], ids=["keeppool", "requests"])
def test_equality_is_that_of_requests(module):
    one = module.HTTPBasicAuth("a", "b")
    assert one == module.HTTPBasicAuth("a", "b")
    assert one == module.HTTPProxyAuth("a", "b")
    assert one != module.HTTPBasicAuth("a", "c")
    assert one != module.HTTPBasicAuth("c", "b")
    assert one != ("a", "b")
    with pytest.raises(TypeError):
        hash(one)


# Bearer


def test_a_token_is_written_as_it_is():
    assert HTTPBearerAuth("ab.c-_~+/==")(asked()).headers["Authorization"] == "Bearer ab.c-_~+/=="


def test_a_function_is_asked_for_each_request():
    tokens = iter(["one", "two"])
    scheme = HTTPBearerAuth(lambda: next(tokens))
    assert [scheme(asked()).headers["Authorization"] for _ in range(2)] == ["Bearer one", "Bearer two"]


@pytest.mark.parametrize("token", ["", "secret\n", "se cret", "secret\r\nX: y", "sécret", b"secret", None, 7])
def test_what_is_no_token_is_refused_and_not_shown(token):
    request = asked()
    with pytest.raises(InvalidRequest, match="bearer token must be text") as caught:
        HTTPBearerAuth(token)(request)
    assert "cret" not in str(caught.value)
    assert "Authorization" not in request.headers


def test_equal_tokens_are_equal():
    assert HTTPBearerAuth("a") == HTTPBearerAuth("a")
    assert HTTPBearerAuth("a") != HTTPBearerAuth("b")
    assert HTTPBearerAuth("a") != HTTPBasicAuth("a", "a")
    with pytest.raises(TypeError):
        hash(HTTPBearerAuth("a"))


# The protocol


def test_a_scheme_that_does_not_say_how_to_sign_is_an_error():
    with pytest.raises(NotImplementedError, match="AuthBase does not say"):
        AuthBase()(asked())


def test_a_scheme_without_challenges_answers_none(site, session):
    response = session.get(f"{site.url}/status/401", auth=HTTPBasicAuth("a", "b"))
    assert HTTPBasicAuth("a", "b").answered(response) is None
    assert (response.status_code, response.history, len(site.log)) == (401, [], 1)


def test_a_scheme_of_the_callers_own_may_answer_a_challenge(answering, session):
    class Ticket(AuthBase):
        def __call__(self, request):
            return request

        def answered(self, response):
            if response.status_code != 401 or "X-Ticket" in response.request.headers:
                return None
            again = response.request.copy()
            again.headers["X-Ticket"] = response.headers["X-Take"]
            return again

    def handler(request):
        return Answer(status=200 if request.headers.get("x-ticket") == "7" else 401, headers=(("X-Take", "7"),))

    response = session.get(answering({"/": handler}).url, auth=Ticket())
    assert (response.status_code, [answer.status_code for answer in response.history]) == (200, [401])


def test_a_session_sends_what_its_scheme_signs(site, session):
    session.auth = HTTPBearerAuth("token")
    assert session.get(f"{site.url}/echo").json()["headers"]["authorization"] == "Bearer token"
    way = {"http": site.url}
    seen = session.get("http://a.example/echo", auth=HTTPProxyAuth("a", "b"), proxies=way).json()["headers"]
    assert seen["proxy-authorization"] == "Basic YTpi"


def test_digest_is_loaded_by_those_who_use_it():
    names = "import sys, keeppool.auth as a; print('keeppool.client.auth.digest' in sys.modules, a.HTTPDigestAuth)"
    shown = subprocess.run([sys.executable, "-c", names], capture_output=True, text=True, check=True).stdout
    assert shown == "False <class 'keeppool.client.auth.digest.HTTPDigestAuth'>\n"
    with pytest.raises(AttributeError, match="HTTPNegotiateAuth"):
        _ = importlib.import_module("keeppool.auth").HTTPNegotiateAuth
