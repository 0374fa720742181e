"""`Response`: what it shows, how its body may be taken, and when its connection is free again."""

from __future__ import annotations

import json
import pickle
import socket
from datetime import timedelta

import pytest
from answers import elsewhere, page

from keeppool.client.response.links import parse_links
from keeppool.errors import ConnectError, HTTPError, IncompleteBody, JSONDecodeError, KeepPoolError, StreamConsumedError
from keeppool.testing import Answer, RawConnection, ScriptedServer


def test_the_head_is_shown(answering, session):
    site = answering({"/a": Answer(status=202, headers=(("X-A", "1"), ("X-A", "2"), ("Content-Type", "text/plain")))})
    response = session.get(f"{site.url}/a#f")
    assert response.status_code == 202
    assert response.reason == "Accepted"
    assert response.headers["x-a"] == "1, 2"
    assert response.url == f"{site.url}/a#f"
    assert response.encoding == "ISO-8859-1"
    assert response.history == []
    assert (response.request.method, response.request.url) == ("GET", f"{site.url}/a#f")
    assert response.raw.status == 202
    assert repr(response) == "<Response [202]>"
    assert timedelta(0) < response.elapsed < timedelta(seconds=60)


@pytest.mark.parametrize("status", [200, 204, 304, 399])
def test_below_400_is_ok(site, session, status):
    response = session.get(f"{site.url}/status/{status}")
    assert response.ok
    assert response
    response.raise_for_status()


@pytest.mark.parametrize(
    ("status", "text"), [(404, "404 Client Error: Not Found"), (503, "503 Server Error: Service Unavailable")]
)
def test_from_400_on_it_did_not_work(site, session, status, text):
    response = session.get(f"{site.url}/status/{status}")
    assert not response.ok
    assert not response
    with pytest.raises(HTTPError) as caught:
        response.raise_for_status()
    assert str(caught.value) == f"{text} for url: {site.url}/status/{status} (GET)"
    assert caught.value.response is response
    assert caught.value.request is response.request
    assert response.content == f"{status}\n".encode()


def test_content_and_text_may_be_looked_at_again_and_again(answering, session):
    site = answering({"/a": page("grüße".encode(), "text/plain; charset=utf-8")})
    for stream in (False, True):
        response = session.get(f"{site.url}/a", stream=stream)
        assert response.content is response.content
        assert response.text == response.text == "grüße"
        assert b"".join(response.iter_content(2)) == response.content
        assert list(response) == [response.content]
    assert site.opened == 1


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        ("ü".encode("latin-1"), "text/plain", "ü"),
        ("ü".encode(), "text/plain", "Ã¼"),
        ("ü".encode(), "application/json", "ü"),
        ("ü".encode(), None, "ü"),
        ("ü".encode("utf-16"), None, "ü"),
        (b"a\xff", "text/plain; charset=utf-8", "a\ufffd"),
        ("ü".encode(), "text/plain; charset=nonsense", "ü"),
        (b"", None, ""),
    ],
)
def test_text_is_in_the_encoding_stated_implied_or_guessed(answering, session, body, content_type, text):
    assert session.get(f"{answering({'/a': page(body, content_type)}).url}/a").text == text


def test_the_encoding_may_be_set(answering, session):
    response = session.get(f"{answering({'/a': page('ü'.encode(), 'text/plain')}).url}/a")
    response.encoding = "utf-8"
    assert response.text == "ü"
    response.encoding = None
    assert response.apparent_encoding == "utf-8"
    assert response.text == "ü"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-be"])
@pytest.mark.parametrize("content_type", ["application/json", None])
def test_json_is_read_in_any_unicode(answering, session, encoding, content_type):
    site = answering({"/a": page(json.dumps({"ü": 1}, ensure_ascii=False).encode(encoding), content_type)})
    assert session.get(f"{site.url}/a").json() == {"ü": 1}


def test_json_is_read_in_the_stated_encoding_and_passes_options_on(answering, session):
    site = answering({"/a": page('{"ü": 1.5}'.encode("latin-1"), "application/json; charset=latin-1")})
    assert session.get(f"{site.url}/a").json(parse_float=str) == {"ü": "1.5"}


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"a":', b"\xff\xfe\xfd"])
def test_what_is_no_json_says_where(answering, session, body):
    response = session.get(f"{answering({'/a': page(body, 'application/json')}).url}/a")
    with pytest.raises(JSONDecodeError) as caught:
        response.json()
    error = caught.value
    assert isinstance(error, (json.JSONDecodeError, ValueError, KeepPoolError))
    assert error.response is response
    assert isinstance(error.doc, str)
    assert error.pos >= 0


def test_a_stream_comes_in_pieces_and_is_not_kept(site, session):
    response = session.get(f"{site.url}/bytes/100000", stream=True)
    assert session.stats().busy == 1
    pieces = list(response.iter_content(1000))
    assert max(map(len, pieces)) <= 1000
    assert sum(map(len, pieces)) == 100_000
    assert session.stats().busy == 0
    with pytest.raises(StreamConsumedError) as caught:
        response.content  # noqa: B018
    assert caught.value.response is response
    with pytest.raises(StreamConsumedError):
        response.iter_content()


def test_a_stream_may_be_taken_up_again_but_its_content_not_pretended(site, session):
    response = session.get(f"{site.url}/bytes/100000", stream=True)
    first = next(response.iter_content(10))
    with pytest.raises(StreamConsumedError):
        response.content  # noqa: B018
    rest = b"".join(response.iter_content(None))
    assert first + rest == session.get(f"{site.url}/bytes/100000").content


def test_closing_gives_up_the_body_and_frees_the_slot(site, session):
    with session.get(f"{site.url}/bytes/10000000", stream=True) as response:
        assert session.stats().busy == 1
    assert session.stats().busy == 0
    with pytest.raises(StreamConsumedError):
        response.content  # noqa: B018
    with pytest.raises(StreamConsumedError):
        response.iter_content()


def test_what_was_read_survives_the_close(site, session):
    with session.get(f"{site.url}/bytes/10", stream=True) as response:
        assert len(response.content) == 10
    assert len(response.content) == 10


def test_pieces_of_text_have_whole_characters(answering, session):
    site = answering({"/a": page("grüße€".encode(), "text/plain; charset=utf-8"), "/b": page(b"\xff", "image/png")})
    assert list(session.get(f"{site.url}/a").iter_content(1, decode_unicode=True)) == list("grüße€")
    assert list(session.get(f"{site.url}/b").iter_content(decode_unicode=True)) == [b"\xff"]


@pytest.mark.parametrize("size", [None, 0, -1])
def test_no_size_takes_the_pieces_as_they_come(answering, session, size):
    site = answering({"/a": page((b"one", b"two"), "text/plain")})
    assert list(session.get(f"{site.url}/a").iter_content(size)) == [b"onetwo"]
    assert b"".join(session.get(f"{site.url}/a", stream=True).iter_content(size)) == b"onetwo"


@pytest.mark.parametrize("bad", ["10", 1.5])
def test_a_size_is_a_number(site, session, bad):
    with pytest.raises(TypeError):
        session.get(f"{site.url}/bytes/10").iter_content(bad)


@pytest.mark.parametrize("stream", [False, True])
def test_lines_come_without_their_ends(site, session, stream):
    response = session.get(f"{site.url}/stream/3", stream=stream)
    assert list(response.iter_lines(chunk_size=3)) == [b"line 0", b"line 1", b"line 2"]
    response = session.get(f"{site.url}/stream/2", stream=stream)
    assert list(response.iter_lines(decode_unicode=True, delimiter=" ")) == ["line", "0\nline", "1\n"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_coded_body_is_decoded(site, session, stream):
    plain = session.get(f"{site.url}/bytes/10000").content
    assert session.get(f"{site.url}/gzip", stream=stream).content == plain
    assert b"".join(session.get(f"{site.url}/deflate", stream=stream).iter_content(77)) == plain


def test_a_body_that_broke_off_never_looks_whole(session):
    """Asked a second time, the missing part is still missing."""
    half = [RawConnection.read_request, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"]
    with ScriptedServer(half) as server:
        response = session.get(f"{server.url}/", stream=True)
        with pytest.raises(IncompleteBody) as caught:
            response.content  # noqa: B018
        assert (caught.value.expected, caught.value.actual) == (10, 4)
        with pytest.raises(StreamConsumedError):
            response.content  # noqa: B018


def test_links_and_cookies_are_read_from_the_head(answering, session):
    site = answering(
        {"/a": page(b"", None, ("Link", '</2>; rel="next"'), ("Link", "</9>; rel=last"), ("Set-Cookie", "a=1"))}
    )
    response = session.get(f"{site.url}/a")
    assert response.links["next"]["url"] == "/2"
    assert response.links["last"]["url"] == "/9"
    assert response.cookies is response.cookies
    assert response.cookies["a"] == "1"


def test_links_of_a_hostile_server_are_read_in_no_time():
    """Each of these has thousands of beginnings of something that never ends."""
    for beginning in ("<", "<a", '<a>\\"', '<a>"', "<a>;", "<a>; a", '<a>; a="\\', "<a>;a ", "<a>; rel= "):
        parse_links(beginning + beginning * (200_000 // len(beginning)))
    assert parse_links('<a>; rel="n\\"e,x;t"; b=\'c\', <d>; e') == {
        'n"e,x;t': {"url": "a", "rel": 'n"e,x;t', "b": "c"},
        "d": {"url": "d", "e": ""},
    }


def test_a_repeated_field_has_one_value_and_may_be_had_one_by_one(answering, on):
    site = answering({"/a": page(b"", None, ("Vary", "A"), ("X-One", "1"), ("vary", "B"), ("Set-Cookie", "a=1"))})
    headers = on.wait(on.session().get(f"{site.url}/a")).headers
    assert {name: value for name, value in headers.items() if name != "Content-Length"} == {
        "Vary": "A, B",
        "X-One": "1",
        "Set-Cookie": "a=1",
    }
    assert list(headers.values()) == [headers[name] for name in headers]
    assert (headers["VARY"], headers.get("vary"), headers.get("none", "-"), "vArY" in headers) == (
        "A, B",
        "A, B",
        "-",
        True,
    )
    assert (headers.getlist("Vary"), headers.get_all("vary"), headers.getlist("none")) == (["A", "B"], ["A", "B"], [])
    assert ("vary", "A, B") in headers.lower_items()
    assert (1 in headers, headers == 1) == (False, False)


def test_an_answers_fields_are_a_mapping_that_may_be_changed_copied_and_compared(answering, session):
    site = answering({"/a": page(b"", None, ("Vary", "A"), ("Vary", "B"))})
    headers = session.get(f"{site.url}/a").headers
    twin, pickled = headers.copy(), pickle.loads(pickle.dumps(headers))
    assert headers == twin == pickled == {"VARY": "A, B", "content-length": "0"}
    assert pickled.getlist("vary") == ["A", "B"]
    headers["VARY"] = "C"
    headers.add("vary", "D")
    del headers["content-length"]
    assert (headers, len(headers), repr(headers)) == ({"Vary": "C, D"}, 1, "{'VARY': 'C, D'}")
    assert twin["vary"] == "A, B"


def test_a_pickled_response_is_whole_and_has_no_connection(answering, session):
    site = answering({"/a": elsewhere(302, "/b"), "/b": page(b'{"x": 1}', "application/json", ("Set-Cookie", "a=1"))})
    with session.get(f"{site.url}/a", stream=True) as response:
        copy = pickle.loads(pickle.dumps(response))
    assert copy.raw is None
    assert (copy.status_code, copy.reason, copy.url) == (200, "OK", f"{site.url}/b")
    assert copy.json() == {"x": 1}
    assert copy.headers["content-type"] == "application/json"
    assert copy.cookies.get_dict() == {"a": "1"}
    assert copy.elapsed == response.elapsed
    assert copy.history[0].status_code == 302
    assert copy.request.url == response.request.url
    copy.close()


def test_an_http_error_survives_pickling_with_its_response(site, session):
    response = session.get(f"{site.url}/status/404")
    with pytest.raises(HTTPError) as caught:
        response.raise_for_status()
    error = pickle.loads(pickle.dumps(caught.value))
    assert error.response.status_code == 404
    assert error.response.content == b"404\n"


def test_a_request_that_fails_is_named_by_its_error(session):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/x"
        with pytest.raises(ConnectError) as caught:
            session.post(url, data=b"body")
    assert (caught.value.request.method, caught.value.request.url) == ("POST", url)
    assert pickle.loads(pickle.dumps(caught.value)).request.body == b"body"
