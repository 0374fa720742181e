"""What is left out of a recording, and that what is left is enough to play it."""

from __future__ import annotations

import base64
import json

import pytest

import keeppool
from keeppool import har
from keeppool.har.secrets import Secrets
from keeppool.testing import Answer, Replay, Site

#: Stands wherever a secret may.
SECRET = "s3cr3t"


def leaky(request):
    """A server that knows the secret, and says it wherever it can."""
    fields = (
        ("Set-Cookie", f"sid={SECRET}; Path=/; HttpOnly"),
        ("Location", f"/next?access_token={SECRET}&page=2#access_token={SECRET}"),
        ("Content-Type", "application/json"),
    )
    if request.path == "/next":
        return Answer(headers=fields[2:], body=json.dumps({"query": "page" in request.target}).encode())
    body = {"access_token": SECRET, "deep": [{"Refresh_Token": SECRET, "kept": 1}], "password": {"not": "a value"}}
    return Answer(status=302, headers=fields, body=json.dumps(body).encode())


@pytest.fixture
def file(tmp_path):
    return tmp_path / "kept.har"


def test_no_secret_is_in_the_file_and_the_file_is_played(file):
    with Site(handler=leaky) as site:
        url = site.url.replace("http://", f"http://{SECRET}:{SECRET}@") + f"/in?access_token={SECRET}&q=1"
        for mode in ("record", "play"):
            with Replay(file, mode=mode, hide=["X-Own", "pin"]), keeppool.Session() as session:
                headers = {"X-Own": SECRET, "X-Api-Key": SECRET, "Cookie": f"a={SECRET}; b={SECRET}"}
                login = session.post(url, data={"user": "me", "password": SECRET, "PIN": SECRET}, headers=headers)
                assert login.json() == {"query": True}
                assert session.cookies["sid"] == (SECRET if mode == "record" else "***")
                own = session.post(f"{site.url}/next", json={"a": [{"pin": SECRET}], "pin": 7}, auth=("me", SECRET))
                assert own.ok
        assert site.requests == 3
    text = file.read_text()
    assert SECRET not in text
    assert base64.b64encode(f"me:{SECRET}".encode()).decode() not in text
    first = har.load(file)[0]
    assert dict(har.pairs_of(first["request"]["headers"]))["Cookie"] == "a=***; b=***"
    assert "user=me&password=***&PIN=***" in text
    assert dict(har.pairs_of(first["response"]["headers"]))["Set-Cookie"] == "sid=***; Path=/; HttpOnly"
    content = json.loads(first["response"]["content"]["text"])
    expected = {"access_token": "***", "deep": [{"Refresh_Token": "***", "kept": 1}], "password": {"not": "a value"}}
    assert content == expected


def test_what_is_to_be_shown_is_kept(file):
    with Site(handler=leaky) as site, Replay(file, mode="record", show=["Set-Cookie", "access_token"]):
        keeppool.get(f"{site.url}/in", allow_redirects=False)
    entry = har.load(file)[0]
    assert dict(har.pairs_of(entry["response"]["headers"]))["Set-Cookie"].startswith(f"sid={SECRET};")
    assert json.loads(entry["response"]["content"]["text"])["access_token"] == SECRET


def test_a_programs_own_filters_change_and_leave_out(file):
    def without_time(request):
        request["url"] = request["url"].partition("?")[0]
        request["headers"] = []
        return None if request["url"].endswith("/status/200") else request

    def without_body(response):
        response["content"]["text"] = "left out"
        return None if response["status"] == 404 else response

    filters = {"filter_request": without_time, "filter_response": without_body}
    with Site() as site:
        for mode, time in (("record", 1), ("play", 2)):
            with Replay(file, mode=mode, **filters), keeppool.Session() as session:
                text = session.get(f"{site.url}/bytes/9?time={time}").text
                assert text == ("012345678" if mode == "record" else "left out")
                assert session.get(f"{site.url}/status/200").ok, "it goes to the network, now and later"
                if mode == "record":
                    session.get(f"{site.url}/status/404")
        assert site.executed == {"/bytes/9": 1, "/status/200": 2, "/status/404": 1}
    assert len(har.load(file)) == 1
    assert "time=" not in file.read_text()


@pytest.mark.parametrize(
    ("url", "bare"),
    [
        ("http://a.test/", "http://a.test/"),
        ("http://user:p@ss@a.test/x@y", "http://a.test/x@y"),
        ("//user@a.test/", "//a.test/"),
        ("/next?token=1&Password=2&page=3", "/next?token=1&Password=***&page=3"),
        ("?password=1", "?password=***"),
        ("/a?pass%77ord=1&password", "/a?pass%77ord=***&password"),
        ("/a#access_token=1&state=2", "/a#access_token=***&state=2"),
        ("/a?x=http://u@b/", "/a?x=http://u@b/"),
    ],
)
def test_urls_lose_their_secrets(url, bare):
    assert Secrets().in_url(url) == bare


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b'{"a": 1}', "application/json"),
        (b'{"a":1,   "b":\xff}', "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"password=1", "text/plain"),
        (b"a=1&b", "application/x-www-form-urlencoded"),
        (bytes(range(256)), "application/x-www-form-urlencoded"),
        (b"", "application/json"),
    ],
)
def test_a_body_without_secrets_is_left_as_it_is(body, media_type):
    assert Secrets().in_body(body, media_type) == body


def test_parts_of_a_form_lose_theirs():
    body = (
        b'--x\r\nContent-Disposition: form-data; name="user"\r\n\r\nme\r\n'
        b'--x\r\nContent-Disposition: form-data; name="password"\r\nContent-Type: text/plain\r\n\r\na\r\nb\r\n--x--\r\n'
    )
    bare = Secrets().in_body(body, 'multipart/form-data; boundary="x"')
    assert bare == body.replace(b"a\r\nb", b"***")
