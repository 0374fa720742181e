"""`Replay` with a file: what is recorded is played as it was, nothing secret is kept, nothing is half done."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
import requests
from testing.fronts import FRONTS, SESSIONS, Front

import keeppool
from keeppool import har
from keeppool.adapters.requests import KeepPoolAdapter
from keeppool.adapters.urllib3 import PoolManager
from keeppool.errors import (
    ConfigError,
    ContentDecodingError,
    HarError,
    InvalidBody,
    InvalidURL,
    PoolClosed,
    RequestException,
)
from keeppool.testing import Answer, Replay, Site, UnexpectedRequest, UnusedResponses

BINARY = bytes(range(256)) * 40


def answers(request):
    """Bodies of every kind; the number of the request tells a recorded response from one asked for anew."""
    count = len(request.body)
    kinds = {
        "/text": Answer(headers=(("Content-Type", "text/plain; charset=iso-8859-1"),), body=b"gr\xfc\xdfe"),
        "/binary": Answer(headers=(("X", "1"), ("x", "2"), ("X", "3")), body=BINARY),
        "/pieces": Answer(body=(b"one", b"two", b"three"), framing="chunked"),
        "/close": Answer(body=b"until the end", framing="close"),
        "/nothing": Answer(status=204),
        "/error": Answer(status=503, body=b"busy"),
        "/gzip": Answer(headers=(("Content-Encoding", "gzip"),), body=gzip.compress(BINARY)),
        "/deflate": Answer(headers=(("Content-Encoding", "deflate"),), body=zlib.compress(b"d" * 999)),
        "/twice": Answer(headers=(("Content-Encoding", "gzip, gzip"),), body=gzip.compress(gzip.compress(b"t"))),
        "/unknown": Answer(headers=(("Content-Encoding", "rot13"),), body=b"nggnpx"),
        "/count": Answer(body=b"%d" % count),
    }
    return kinds.get(request.path)


PATHS = ["/text", "/binary", "/pieces", "/close", "/nothing", "/error", "/gzip", "/deflate", "/unknown"]


@pytest.fixture
def site():
    with Site(handler=answers) as site:
        yield site


@pytest.fixture
def file(tmp_path):
    return tmp_path / "kept.har"


@pytest.mark.parametrize("name", FRONTS)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_played_is_what_was_recorded_and_what_comes_without(name, stream, site, file):
    def run(front):
        found = [front.ask("GET", f"{site.url}{path}", stream=stream) for path in PATHS]
        found.append(front.ask("HEAD", f"{site.url}/binary", stream=stream))
        return [*found, front.ask("POST", f"{site.url}/count", b"four", stream=stream)]

    with Front(name) as front:
        plain = run(front)
        with Replay(file, mode="record"):
            recorded = run(front)
        asked = site.requests
        with Replay(file, complete=True) as replay:
            played = run(front)
    assert plain == recorded == played
    assert site.requests == asked
    assert [request.method for request in replay.calls].count("POST") == 1
    har.parse(file.read_bytes(), is_whole=True)


def test_a_coding_that_nobody_here_writes_is_played_without_it(site, file):
    with keeppool.Session() as session:
        for mode in ("record", "play"):
            with Replay(file, mode=mode):
                response = session.get(f"{site.url}/twice")
                assert response.content == b"t"
    assert "Content-Encoding" not in response.headers


@pytest.mark.parametrize("name", ["PoolManager", "AsyncPoolManager"])
def test_undecoded_bodies_and_damaged_ones_come_as_they_do_from_the_network(name, file):
    damaged = Answer(headers=(("Content-Encoding", "gzip"),), body=b"not gzip")
    with Site(handler=lambda request: damaged if request.path == "/damaged" else answers(request)) as site:
        for mode in ("record", "play"):
            with Front(name) as front, Replay(file, mode=mode):
                bare = front.ask("GET", f"{site.url}/gzip", decode_content=False)
                assert gzip.decompress(bare.body) == BINARY
                with pytest.raises(ContentDecodingError, match="GET http://"):
                    front.ask("GET", f"{site.url}/damaged")


@pytest.mark.parametrize("name", SESSIONS)
def test_redirects_cookies_and_challenges_are_played_step_by_step(name, file):
    def login(request):
        if request.path == "/in":
            return Answer(status=302, headers=(("Location", "/home"), ("Set-Cookie", "sid=very secret; Path=/")))
        if request.path == "/home":
            return Answer(body=request.headers.get("cookie", "none").split("=")[0].encode())
        if "authorization" in request.headers:
            return Answer(body=b"welcome")
        return Answer(status=401, headers=(("WWW-Authenticate", 'Digest realm="r", nonce="n", qop="auth"'),))

    with Site(handler=login) as site:
        for mode in ("record", "play"):
            with Front(name) as front, Replay(file, mode=mode) as replay:
                assert front.ask("GET", f"{site.url}/in").body == b"sid"
                auth = keeppool.auth.HTTPDigestAuth("user", "pass")
                assert front.ask("GET", f"{site.url}/digest", auth=auth).body == b"welcome"
                assert [request.target.rpartition("/")[2] for request in replay.calls] == [
                    "in",
                    "home",
                    *["digest"] * 2,
                ]
        assert site.requests == 4
    assert "secret" not in file.read_text()


def test_the_mount_and_the_functions_are_played_too(site, file):
    def run():
        with requests.Session() as session:
            session.mount("http://", KeepPoolAdapter())
            mounted = session.get(f"{site.url}/gzip", stream=True)
            text = session.get(f"{site.url}/text").text
            return [b"".join(mounted.iter_content(1000)), text, keeppool.get(f"{site.url}/text").text]

    with Replay(file, mode="record"):
        recorded = run()
    with Replay(file, complete=True):
        assert run() == recorded == [BINARY, "grüße", "grüße"]
    assert site.requests == 3


def test_a_body_is_sent_whole_whatever_it_was_made_of(site, file, tmp_path):
    (tmp_path / "upload").write_bytes(b"from a file")

    def once():
        yield b"from "
        yield b"a generator"

    async def awaited():
        for piece in (b"from ", b"a task"):
            yield piece

    for mode in ("record", "play"):
        with Replay(file, mode=mode):
            with keeppool.Session() as session, (tmp_path / "upload").open("rb") as upload:
                assert json.loads(session.post(f"{site.url}/echo", data=upload).text)["body"] == "from a file"
                echoed = session.post(f"{site.url}/echo", data=once()).json()
                assert (echoed["body"], echoed["headers"]["transfer-encoding"]) == ("from a generator", "chunked")
                with pytest.raises(InvalidBody, match=r"POST http.* async iterable"):
                    session.post(f"{site.url}/echo", data=awaited())

            async def post():
                async with keeppool.AsyncSession() as session:
                    return (await session.post(f"{site.url}/echo", data=awaited())).json()["body"]

            assert asyncio.run(post()) == "from a task"


def test_a_body_that_a_redirect_repeats_can_be_had_again(site, file):
    for mode in ("record", "play"):
        with Replay(file, mode=mode), keeppool.Session() as session:
            url = f"{site.url}/redirect/1?status=307&to=/echo"
            assert session.post(url, data=io.BytesIO(b"again")).json()["body"] == "again"
            with pytest.raises(keeppool.errors.UnrewindableBodyError):
                session.post(url, data=iter([b"once"]))


# Which exchange it is


def test_equal_requests_are_played_in_their_order_and_once(file):
    with Site() as site, keeppool.Session() as session:
        count = iter(range(9))
        site.handler = lambda request: Answer(body=b"%d" % next(count))
        with Replay(file, mode="record"):
            assert [session.get(site.url).text for _ in range(2)] == ["0", "1"]
        with Replay(file, strict=False):
            assert [session.get(site.url).text for _ in range(2)] == ["0", "1"]
            with pytest.raises(UnexpectedRequest, match="it was played already"):
                session.get(site.url)
        with Replay(file, repeats=True):
            assert [session.get(site.url).text for _ in range(3)] == ["0", "1", "0"]


def written(file, *entries):
    """Write a recording by hand; each entry is a request's parts and its response's text."""
    made = [har.entry(har.request(*request), har.response(200, "", [], text), started=0) for *request, text in entries]
    har.save(file, made)


JSON = [("Content-Type", "application/json")]
FORM = [("Content-Type", "application/x-www-form-urlencoded")]


def test_json_and_forms_are_compared_by_what_they_say(file):
    written(
        file,
        ("POST", "http://a.test/", JSON, b'{"b": [1, 2], "a": null}', b"json"),
        ("POST", "http://a.test/", FORM, b"a=1&b=%20", b"form"),
        ("POST", "http://a.test/", [("Content-Type", "multipart/form-data; boundary=x")], b"--x--", b"parts"),
        ("GET", "http://a.test/?a=1&b=2", [], None, b"query"),
    )
    with Replay(file, complete=True), keeppool.Session() as session:
        assert session.post("http://A.test", json={"a": None, "b": [1, 2]}).text == "json"
        assert session.post("http://a.test", data="a=1&b=+", headers=dict(FORM)).text == "form"
        parts = {"Content-Type": 'multipart/form-data; boundary="y"'}
        assert session.post("http://a.test", data=b"--y--", headers=parts).text == "parts"
        assert session.get("http://a.test:80/?b=2&a=1#top").text == "query"


@pytest.mark.parametrize(
    ("call", "why"),
    [
        ({"json": {"a": {"b": [1, 3]}}}, r"the body differs at \$\.a\.b\[1\]: '3', not '2'"),
        ({"json": {"a": {}}}, r"\$\.a\.b, which is missing"),
        ({"json": {"a": {"b": [1, 2]}, "c": 1}}, r"\$\.c, which is not expected"),
        ({"data": b"raw"}, r"the body is b'raw', not b'\{"),
        ({}, "the body is empty"),
        ({"json": {"a": {"b": [1, 2]}}, "params": {"q": 1}}, "the query is q=1, not empty"),
    ],
)
def test_an_unexpected_request_is_told_from_the_nearest(call, why, file):
    written(
        file,
        ("POST", "http://a.test/things", JSON, b'{"a": {"b": [1, 2]}}', b"json"),
        *[("GET", f"http://b.test/{number}", [], None, b"") for number in range(5)],
    )
    with Replay(file, strict=False) as replay, keeppool.Session() as session:
        with pytest.raises(UnexpectedRequest, match=why) as caught:
            session.post("http://a.test/things", **call)
        lines = str(caught.value).splitlines()
        assert lines[0].startswith("POST http://a.test/things")
        assert lines[0].endswith("The nearest of 6:")
        assert lines[1].startswith("  - recorded 1: POST http://a.test/things: ")
        assert len(lines) == 4
        assert not isinstance(caught.value, RequestException)
        assert len(replay.calls) == 1


def test_a_refusal_that_the_program_swallows_is_told_at_the_end(file):
    written(file)

    def swallow():
        with Replay(file), suppress(Exception, UnexpectedRequest):
            keeppool.get("http://a.test/")

    with pytest.raises(UnexpectedRequest, match="There is no response at all"):
        swallow()


def test_what_is_compared_can_be_chosen(file):
    def same_tenant(asked, recorded):
        return dict(har.pairs_of(asked["headers"])).get("X-Tenant") == "1"

    written(file, ("GET", "http://a.test/x?at=1", [], None, b"found"))
    with Replay(file, match=["path", same_tenant], repeats=True, strict=False), keeppool.Session() as session:
        assert session.post("https://b.test/x?at=2", data=b"y", headers={"X-Tenant": "1"}).text == "found"
        with pytest.raises(UnexpectedRequest, match="same_tenant says no"):
            session.get("http://a.test/x?at=1")


def test_left_over_recordings_are_told_if_wished(file):
    written(file, ("GET", "http://a.test/1", [], None, b""), ("GET", "http://a.test/2", [], None, b""))
    with pytest.raises(UnusedResponses, match=r"recorded 2: GET http://a\.test/2"), Replay(file, complete=True):
        keeppool.get("http://a.test/1")


def test_a_browsers_recording_is_played(file):
    entries = [
        {
            "request": {"method": "GET", "url": "https://a.test/", "headers": [{"name": ":path", "value": "/"}]},
            "response": {
                "status": 200,
                "httpVersion": "h2",
                "headers": [
                    {"name": ":status", "value": "200"},
                    {"name": "content-encoding", "value": "br"},
                    {"name": "set-cookie", "value": "a=1\nb=2"},
                    {"name": "content-length", "value": "7"},
                ],
                "content": {"mimeType": "text/plain", "text": "Hallo, Welt", "size": 11},
            },
        },
        {"request": {"method": "GET", "url": "https://a.test/lost"}, "response": {"status": 0}},
    ]
    file.write_text(json.dumps({"log": {"entries": entries}}))
    with Replay(file, strict=False, complete=True), keeppool.Session() as session:
        response = session.get("https://a.test")
        assert (response.text, response.headers["content-length"]) == ("Hallo, Welt", "11")
        assert session.cookies.get_dict() == {"a": "1", "b": "2"}
        with pytest.raises(UnexpectedRequest, match="it has got no response"):
            session.get("https://a.test/lost")


def test_a_cookie_that_was_valid_when_recorded_is_so_when_played(file):
    then = datetime(2020, 1, 1, tzinfo=UTC)
    valid, over = then + timedelta(days=1), then - timedelta(days=1)
    fields = [
        ("Set-Cookie", f"{name}=1; Expires={when:%a, %d %b %Y %H:%M:%S} GMT; Path=/")
        for name, when in (("valid", valid), ("over", over))
    ]
    answer = har.response(200, "", fields, b"")
    har.save(file, [har.entry(har.request("GET", "http://a.test/"), answer, started=then.timestamp())])
    with Replay(file), keeppool.Session() as session:
        session.get("http://a.test/")
        assert session.cookies.get_dict() == {"valid": "1"}


# Ways to use a file


def test_once_records_where_there_is_no_file_and_plays_afterwards(site, file):
    for _ in range(2):
        with Replay(file, mode="once"), keeppool.Session() as session:
            session.get(f"{site.url}/text")
    assert site.requests == 1


def test_extend_adds_what_the_file_has_not(site, file):
    for paths in (["/text"], ["/text", "/binary"]):
        with Replay(file, mode="extend"), keeppool.Session() as session:
            for path in paths:
                session.get(f"{site.url}{path}")
    assert site.executed == {"/text": 1, "/binary": 1}
    assert [entry["request"]["url"].rpartition("/")[2] for entry in har.load(file)] == ["text", "binary"]


def test_the_environment_says_the_mode_where_the_test_does_not(site, file, monkeypatch):
    monkeypatch.setenv("KEEPPOOL_REPLAY", "record")
    with Replay(file):
        keeppool.get(f"{site.url}/text")
    monkeypatch.delenv("KEEPPOOL_REPLAY")
    with Replay(file):
        keeppool.get(f"{site.url}/text")
    assert site.requests == 1
    monkeypatch.setenv("KEEPPOOL_REPLAY", "yes")
    with pytest.raises(ConfigError, match="KEEPPOOL_REPLAY='yes': must be one of 'play', 'record', 'once', 'extend'"):
        Replay(file)
    Replay(file, mode="play")


def test_what_passes_is_asked_and_not_recorded(site, file):
    with Replay(file, mode="record", passes=[f"{site.url}/b*"]), keeppool.Session() as session:
        session.get(f"{site.url}/binary?x=1")
        session.get(f"{site.url}/text")
    assert len(har.load(file)) == 1
    with Replay(file, passes=["/b*"]), keeppool.Session() as session:
        assert session.get(f"{site.url}/binary").content == BINARY


def test_an_inner_replay_is_asked_first_and_the_outer_again_afterwards(file):
    with Replay(strict=False) as outer, keeppool.Session() as session:
        outer.on(url="http://a.test/*").respond(content="outer")
        with Replay(passes=["http://a.test/through"]) as inner:
            inner.on("GET").respond(content="inner")
            assert session.get("http://a.test/").text == "inner"
            assert session.get("http://a.test/through").text == "outer"
        assert session.get("http://a.test/").text == "outer"
    assert len(inner.calls) == 1


@pytest.mark.parametrize("name", FRONTS)
def test_one_client_alone_can_be_replayed(name, site):
    with Front(name) as front, Front(name) as other:
        with Replay(over=front.client) as replay:
            replay.on().respond(content="made up")
            assert front.ask("GET", f"{site.url}/text").body == b"made up"
            assert other.ask("GET", f"{site.url}/text").body == b"gr\xfc\xdfe"
        assert front.ask("GET", f"{site.url}/text").body == b"gr\xfc\xdfe"


def test_a_mounted_adapter_alone_can_be_replayed():
    with requests.Session() as session:
        adapter = KeepPoolAdapter()
        session.mount("http://", adapter)
        with Replay(over=adapter) as replay:
            replay.on("GET", "http://a.test/").respond(status=404)
            assert session.get("http://a.test/").status_code == 404


def test_threads_and_tasks_record_and_play_together(site, file):
    async def tasks():
        async with keeppool.AsyncSession() as session:
            got = await asyncio.gather(*(session.get(f"{site.url}/bytes/{size}") for size in range(100, 130)))
            return [len(response.content) for response in got]

    for mode in ("record", "play"):
        with Replay(file, mode=mode, complete=True), keeppool.Session() as session, ThreadPoolExecutor(8) as threads:
            sizes = threads.map(lambda size: len(session.get(f"{site.url}/bytes/{size}").content), range(200))
            assert asyncio.run(tasks()) == list(range(100, 130))
            assert list(sizes) == list(range(200))
    assert site.requests == 230


# What goes wrong


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "is not JSON"),
        ("{}", "log is missing"),
        ('{"log": {"entries": [{}]}}', r"entries\[0\]\.request is missing"),
    ],
)
def test_a_file_that_is_none_replaces_nothing(content, why, file, site):
    file.write_text(content)
    for mode in ("play", "once", "extend"):
        with pytest.raises(HarError, match=why) as caught, Replay(file, mode=mode):
            pass
        assert caught.value.file == str(file)
    assert keeppool.get(f"{site.url}/count").text == "0", "the network is there again"
    assert file.read_text() == content


@pytest.mark.parametrize("fields", [[("a b", "1")], [("a", "1\r2")], [("", "")]])
def test_a_file_with_fields_that_are_none_replaces_nothing(fields, file):
    answers = [har.response(200), har.response(200, "", fields)]
    har.save(file, [har.entry(har.request("GET", "http://a.test/"), answer, started=0) for answer in answers])
    with (
        pytest.raises(HarError, match=r"kept\.har': log\.entries\[1\]\.response\.headers cannot be sent"),
        Replay(file),
    ):
        pass


def test_a_file_with_a_url_that_is_none_replaces_nothing(file):
    written(file, ("GET", "http://a.test/", [], None, b""), ("GET", "http://[::1/", [], None, b""))
    with pytest.raises(HarError, match=r"log\.entries\[1\]\.request\.url cannot be sent"), Replay(file):
        pass


def test_a_body_that_was_not_recorded_is_not_played_as_an_empty_one(file):
    answers = [har.response(200, size=9), har.response(200, size=0), har.response(200, size=-1)]
    urls = ["http://a.test/9", "http://a.test/0", "http://a.test/unknown"]
    har.save(file, [har.entry(har.request("GET", url), one, started=0) for url, one in zip(urls, answers, strict=True)])
    with Replay(file, strict=False, complete=True), keeppool.Session() as session:
        assert [session.get(url).content for url in urls[1:]] == [b"", b""]
        with pytest.raises(UnexpectedRequest, match=r"recorded 1: .*: the body of its response was not recorded"):
            session.get(urls[0])


@pytest.mark.parametrize("name", ["AsyncSession", "AsyncPoolManager"])
def test_a_task_that_is_cancelled_while_it_is_recorded_leaves_nothing(name, file):
    async def run(client):
        task = asyncio.create_task(client.request("GET", site.url))
        while not site.requests:  # noqa: ASYNC110  # another thread counts
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return client.stats().busy

    slow = Site(handler=lambda request: Answer(body=(b"a", b"b"), pause_s=30))
    with slow as site, Front(name) as front, Replay(file, mode="record"):
        assert front.wait(run(front.client)) == 0
    assert har.load(file) == []


def test_a_phrase_with_a_line_end_makes_no_field(file):
    har.save(file, [har.entry(har.request("GET", "http://a.test/"), har.response(200, "OK\r\nX: 1"), started=0)])
    with Replay(file):
        response = keeppool.get("http://a.test/")
        assert (response.reason, response.headers.get("X")) == ("OK X: 1", None)


def test_a_file_that_is_not_there_says_how_to_make_it(file):
    with (
        pytest.raises(HarError, match=r"kept\.har' is not there: mode='record', or KEEPPOOL_REPLAY=record"),
        Replay(file),
    ):
        pass


@pytest.mark.parametrize("error", [KeyboardInterrupt, AssertionError])
@pytest.mark.parametrize("mode", ["record", "extend"])
def test_an_interrupted_recording_leaves_the_old_file(error, mode, site, file):
    written(file, ("GET", "http://a.test/", [], None, b"old"))
    before = file.read_bytes()

    def interrupted(response, **settings):
        raise error

    with pytest.raises(error), Replay(file, mode=mode), keeppool.Session() as session:
        session.get(f"{site.url}/text", hooks={"response": interrupted})
    assert site.requests == 1
    assert file.read_bytes() == before
    assert [found.name for found in file.parent.iterdir()] == [file.name]


def test_what_fails_is_not_recorded(file):
    dead = Site(handler=lambda request: Answer(hang_up=True))
    with dead as site, Replay(file, mode="record"), pytest.raises(keeppool.ConnectionError):
        keeppool.get(site.url)
    assert har.load(file) == []


def test_errors_above_the_network_are_those_there_always_are(file):
    written(file, ("GET", "http://a.test/", [], None, b""))
    with Replay(file), Front("Session") as front, Front("AsyncSession") as tasks:
        for one in (front, tasks):
            with pytest.raises(InvalidURL):
                one.ask("GET", "http://")
            one.wait(one.client.aclose() if hasattr(one.client, "aclose") else one.client.close())
            with pytest.raises(PoolClosed, match=r"GET http://a\.test/?: the pool is closed"):
                one.ask("GET", "http://a.test")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"mode": "record"}, "there is no file"),
        ({"path": "a.har", "mode": "none"}, "mode='none': must be one of"),
        ({"over": object()}, "must be a session, a pool manager"),
        ({"match": "url"}, "must be a list, not one text"),
        ({"match": ["uri"]}, "match='uri': must be a function, or one of url, method"),
        ({"hide": "token"}, "must be a list"),
        ({"passes": ["http://a/?q=1"]}, "without a query"),
        ({"passes": ["a"]}, "must be a URL, a path or a pattern"),
        ({"passes": [3]}, "must be text or a compiled"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(arguments, why):
    with pytest.raises(ConfigError, match=why):
        Replay(**arguments)


def test_one_replay_is_in_use_once_at_a_time(file):
    with Replay() as replay, pytest.raises(RuntimeError, match="in use already"), replay:
        pass
    with replay:
        pass


def test_blocks_that_end_in_the_wrong_order_put_back_what_was_there(site):
    first, second = Replay(), Replay()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.on().respond(content="second")
    assert keeppool.get(f"{site.url}/count").text == "second"
    second.__exit__(None, None, None)
    assert keeppool.get(f"{site.url}/count").text == "0"


def test_a_file_that_cannot_be_written_is_told(site, tmp_path):
    (tmp_path / "folder").write_text("not a folder")
    with pytest.raises(OSError, match="folder"), Replay(tmp_path / "folder" / "a.har", mode="record"):
        keeppool.get(f"{site.url}/text")


def test_a_stream_that_was_recorded_is_freed_when_its_reading_is_broken_off(file):
    """The body breaks off while it is recorded: the program is told as without, and nothing is kept."""
    with Site(
        handler=lambda request: Answer(headers=(("Content-Length", "9"),), body=b"short", framing="close")
    ) as site:
        site_url = site.url
        with Replay(file, mode="record"), keeppool.Session() as session:
            with pytest.raises(keeppool.ChunkedEncodingError):
                session.get(site_url, stream=True)
            assert session.stats().busy == 0
    assert har.load(file) == []


def test_a_programs_own_condition_may_send_requests(site):
    with Replay(passes=[f"{site.url}/*"]) as replay:
        replay.on(where=lambda request: keeppool.get(f"{site.url}/count").ok).respond(content="yes")
        assert keeppool.get("http://a.test/").text == "yes"


def test_a_program_can_ask_whether_it_is_recorded(site, file):
    replay = Replay(file, mode="once")
    assert not replay.is_recording
    for expected in (True, False):
        with replay:
            assert replay.is_recording is expected
            keeppool.get(f"{site.url}/text")


def test_drop_ins_for_urllib3_are_refused_and_not_sent_to_the_network(site):
    def run():
        with Replay(), PoolManager() as pool:
            with pytest.raises(UnexpectedRequest, match=r"to http://127\.0\.0\.1:\d+ by a drop-in for urllib3"):
                pool.request("GET", site.url, retries=False)
            assert pool.stats().open == 0

    with pytest.raises(UnexpectedRequest):
        run()
    with PoolManager() as pool, Replay(over=keeppool.Session()):
        assert pool.request("GET", f"{site.url}/count").data == b"0"
    assert site.requests == 1
