"""`Response` and `AsyncResponse` behave the same, whole and on their way.

`on.wait` awaits what has to be awaited. When a test ends, its sessions are closed; nothing may be lent or waited for.
"""

from __future__ import annotations

import pickle

import pytest
from answers import elsewhere, page

from keeppool.errors import (
    HTTPError,
    IncompleteBody,
    JSONDecodeError,
    StreamConsumedError,
)
from keeppool.testing import Answer, RawConnection, ScriptedServer


@pytest.fixture
def session(on):
    return on.session()


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
    with pytest.raises(HTTPError, match="404 Client Error: Not Found") as caught:
        answer.raise_for_status()
    assert (caught.value.response, caught.value.request) == (answer, answer.request)


def test_what_is_no_json_is_told_with_its_place(on, session, answering):
    answer = on.wait(session.get(f"{answering({'/a': page(b'{', 'application/json')}).url}/a"))
    with pytest.raises(JSONDecodeError) as caught:
        answer.json()
    assert (caught.value.doc, caught.value.pos, caught.value.response) == ("{", 1, answer)
    assert "/a: the response (200, application/json) is not JSON: Expecting" in str(caught.value)


def test_what_is_no_json_says_what_it_is_instead(on, session, answering):
    site = answering(
        {"/a": Answer(status=502, headers=(("Content-Type", f"text/html; x={'y' * 300}"),)), "/b": Answer()}
    )
    with pytest.raises(JSONDecodeError, match=r"\(502, text/html; x=y{47}\) is not JSON: Expecting value") as caught:
        on.wait(session.get(f"{site.url}/a")).json()
    assert caught.value.msg == "Expecting value"
    with pytest.raises(JSONDecodeError, match=r"\(200, no Content-Type\) is not JSON"):
        on.wait(session.get(f"{site.url}/b")).json()


@pytest.mark.parametrize("body", [b"[" * 100_000, b"7" * 5000], ids=["nested", "digits"])
@pytest.mark.parametrize("media", ["application/json", "application/json; charset=latin1"])
def test_json_beyond_what_can_be_parsed_is_the_same_error(on, session, answering, body, media):
    answer = on.wait(session.get(f"{answering({'/a': page(body, media)}).url}/a"))
    with pytest.raises(JSONDecodeError) as caught:
        answer.json()
    assert caught.value.response is answer


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
    with pytest.raises(HTTPError, match=r"404 Client Error: Not Here for url: http://a\.example/$"):
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
