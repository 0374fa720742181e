"""From an answer to Scrapy's response: signals and their order, sizes, data loss, time limits, what a response says."""

import asyncio
import hashlib
import logging
import ssl
import threading

import pytest
import trustme
from scrapy import signals
from scrapy.exceptions import StopDownload
from scrapy.http import HtmlResponse, TextResponse
from scrapy_bench import Bench, Request

from keeppool.adapters.scrapy.errors import (
    DownloadCancelledError,
    DownloadFailedError,
    DownloadTimeoutError,
    ResponseDataLossError,
)
from keeppool.testing import Answer, Behaviour, RawConnection, ScriptedServer, Site

REQUEST = RawConnection.read_request


@pytest.fixture
def bench():
    with Bench() as bench:
        yield bench


@pytest.fixture
def heard(bench):
    """What signals said, in their order: ("headers", body_length) or ("bytes", data)."""
    return listen(bench)


def listen(bench, stop_at=None, **stop):
    said = []

    def on_headers(headers, body_length, request, spider):
        assert spider is bench.crawler.spider
        assert "download_latency" in request.meta
        said.append(("headers", body_length))
        if stop_at == "headers":
            raise StopDownload(**stop)

    def on_bytes(data, request, spider):
        assert spider is bench.crawler.spider
        said.append(("bytes", data))
        if stop_at == "bytes":
            raise StopDownload(**stop)

    bench.crawler.signals.connect(on_headers, signals.headers_received, weak=False)
    bench.crawler.signals.connect(on_bytes, signals.bytes_received, weak=False)
    return said


def answering(*steps):
    return ScriptedServer([REQUEST, *steps])


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


# Signals


def test_the_head_is_told_before_the_bytes_and_each_piece_once(bench, heard):
    said = threading.Event()
    wait = lambda connection: connection.wait(said)  # noqa: E731
    bench.crawler.signals.connect(said_once := lambda data: said.set(), signals.bytes_received)
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nbody", wait, b"rest") as server:
        assert bench.download(server.url).body == b"bodyrest"
    assert heard == [("headers", 8), ("bytes", b"body"), ("bytes", b"rest")]
    assert said_once


@pytest.mark.parametrize(
    ("method", "answer", "length"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", 0),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", 0),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0),
        ("GET", CHUNKED + b"0\r\n\r\n", None),
        ("GET", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", None),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0, 0\r\n\r\n", 0),
    ],
)
def test_an_empty_body_is_no_bytes_and_its_stated_length_is_told(bench, heard, method, answer, length):
    with answering(answer) as server:
        assert bench.download(Request(server.url, method=method)).body == b""
    assert heard == [("headers", length)]


@pytest.mark.parametrize(("at", "body"), [("headers", b""), ("bytes", b"body")])
def test_a_receiver_that_stops_the_download_without_failing_gets_what_was_there(bench, at, body):
    listen(bench, at, fail=False)
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nbody", RawConnection.read_until_closed) as server:
        response = bench.download(server.url)
    assert (response.body, response.flags) == (body, ["download_stopped"])
    assert bench.stats["closed/body_unread"] == 1


@pytest.mark.parametrize(("at", "body"), [("headers", b""), ("bytes", b"body")])
def test_a_receiver_that_stops_the_download_and_fails_it_raises_with_the_response(bench, at, body):
    listen(bench, at)
    with (
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nbody", RawConnection.read_until_closed) as server,
        pytest.raises(StopDownload) as stopped,
    ):
        bench.download(server.url)
    assert (stopped.value.response.body, stopped.value.response.flags) == (body, ["download_stopped"])


def test_a_stopped_download_whose_rest_is_there_keeps_its_connection(bench, site):
    listen(bench, "headers", fail=False)
    for _ in range(3):
        assert bench.download(f"{site.url}/bytes/100").flags == ["download_stopped"]
    assert site.opened == 1


def test_an_error_of_a_receiver_is_its_own(bench, site, caplog):
    def broken(**_):
        raise KeyError("a receiver's")

    bench.crawler.signals.connect(broken, signals.headers_received, weak=False)
    assert bench.download(site.url).status == 200
    assert "a receiver's" in caplog.text


# Sizes


def test_an_announced_body_that_is_too_large_is_cancelled_before_anybody_is_told(bench, heard, site, caplog):
    with pytest.raises(DownloadCancelledError, match=r"Expected to receive 100 bytes .* max size \(99\)"):
        bench.download(f"{site.url}/bytes/100", download_maxsize=99)
    assert heard == []
    assert "max size (99)" in caplog.text
    assert bench.download(f"{site.url}/bytes/100", download_maxsize=100).status == 200


def test_a_body_that_grows_too_large_is_cancelled_where_it_does(bench, heard):
    with (
        answering(CHUNKED + b"4\r\nbody\r\n", RawConnection.read_until_closed) as server,
        pytest.raises(DownloadCancelledError, match=r"Received 4 bytes .* max size \(3\)"),
    ):
        bench.download(server.url, download_maxsize=3)
    assert heard == [("headers", None), ("bytes", b"body")]
    assert bench.stats["closed/body_unread"] == 1


def test_a_head_answer_is_not_too_large(bench):
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n") as server:
        assert bench.download(Request(server.url, method="HEAD", meta={"download_maxsize": 5})).status == 200


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", "Expected to receive 4 bytes"),
        (CHUNKED + b"4\r\nbody\r\n0\r\n\r\n", "Received 4 bytes"),
    ],
)
def test_a_large_body_is_warned_of_once(answer, words, caplog):
    with Bench(DOWNLOAD_WARNSIZE=3) as bench, answering(answer) as server:
        assert bench.download(server.url).body == b"body"
    assert [words in record.message for record in caplog.records if "warn size (3)" in record.message] == [True]


def test_0_is_no_limit(site):
    with Bench(DOWNLOAD_MAXSIZE=0, DOWNLOAD_WARNSIZE=0) as bench:
        assert len(bench.download(f"{site.url}/bytes/100000").body) == 100000


# Data loss


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nbody", CHUNKED + b"4\r\nbody\r\n", CHUNKED + b"8\r\nbody"]
)
def test_a_body_that_breaks_off_is_an_error_or_a_flag(bench, answer, caplog):
    with answering(answer) as server:
        for _ in range(2):
            with pytest.raises(ResponseDataLossError):
                bench.download(server.url)
        response = bench.download(server.url, download_fail_on_dataloss=False)
    assert (response.body, response.flags) == (b"body", ["dataloss"])
    assert caplog.text.count("Got data loss") == 1
    with Bench(DOWNLOAD_FAIL_ON_DATALOSS=False) as lenient, answering(answer) as server:
        assert lenient.download(server.url).flags == ["dataloss"]


BROKEN_OFF = {
    "length": (b"Content-Length: 8\r\n\r\nbody", "dataloss"),
    "chunked": (b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n", "dataloss"),
    "close": (b"\r\nbody", "partial"),
}


@pytest.mark.parametrize(("rest", "flag"), BROKEN_OFF.values(), ids=BROKEN_OFF)
def test_a_reset_in_the_middle_of_a_body_leaves_what_came(bench, rest, flag):
    came = threading.Event()
    bench.crawler.signals.connect(lambda data: came.set(), signals.bytes_received, weak=False)
    steps = (b"HTTP/1.1 200 OK\r\n" + rest, lambda connection: connection.wait(came), RawConnection.reset)
    with answering(*steps) as server:
        response = bench.download(server.url, download_fail_on_dataloss=False)
    assert (response.body, response.flags) == (b"body", [flag])
    came.clear()
    with answering(*steps) as server, pytest.raises((DownloadFailedError, ResponseDataLossError)):
        bench.download(server.url)


@pytest.mark.parametrize(
    "rest", [b"zz\r\n", b"4\r\nbodyX\r\n", b"0\r\nno colon\r\n\r\n"], ids=["size", "end of a chunk", "trailer"]
)
@pytest.mark.parametrize("is_at_once", [True, False], ids=["at once", "later"])
def test_a_chunk_or_trailer_that_is_none_leaves_what_came(bench, rest, is_at_once):
    came = threading.Event()
    bench.crawler.signals.connect(lambda data: came.set(), signals.bytes_received, weak=False)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    steps = (head + rest,) if is_at_once else (head, lambda connection: connection.wait(came), rest)
    with answering(*steps) as server:
        response = bench.download(server.url, download_fail_on_dataloss=False)
    assert response.body.startswith(b"hello")
    assert (response.status, response.flags) == (200, ["dataloss"])
    came.clear()
    with answering(*steps) as server, pytest.raises(ResponseDataLossError):
        bench.download(server.url)


# Time


@pytest.mark.parametrize(
    "steps", [(), (b"HTTP/1.1 200 OK\r\n",), (b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nbody",)]
)
def test_the_timeout_covers_everything_from_the_first_to_the_last_byte(bench, steps):
    with (
        answering(*steps, RawConnection.read_until_closed) as server,
        pytest.raises(DownloadTimeoutError, match=server.url),
    ):
        bench.download(server.url, download_timeout=0.05)
    assert bench.handler._pool.stats().open == 0


def test_the_timeout_covers_the_queue_too(site):
    site.pause()
    with Bench(KEEPPOOL_LIMITS={"per_host": 1}) as bench:

        async def both():
            first = asyncio.ensure_future(bench.handler.download_request(Request(site.url)))
            await asyncio.to_thread(site.wait_for, lambda: site.requests == 1)
            with pytest.raises(DownloadTimeoutError, match="waited"):
                await bench.handler.download_request(Request(site.url, meta={"download_timeout": 0.05}))
            site.resume()
            return await first

        assert bench.run(both()).status == 200


def test_the_latency_is_noted_when_the_head_is_there(bench, site):
    request = Request(site.url)
    bench.download(request)
    assert 0 < request.meta["download_latency"] < 60


# What a response says


def test_headers_repeat_and_keep_their_bytes(bench):
    def answer(_request):
        return Answer(headers=(("Set-Cookie", "a=b"), ("Set-Cookie", "c=d"), ("X-Latin", "caf\u00e9")))

    with Site(handler=answer) as site:
        response = bench.download(site.url)
    assert response.headers.getlist("Set-Cookie") == [b"a=b", b"c=d"]
    assert response.headers["X-Latin"] == "caf\u00e9".encode("latin-1")


def test_the_class_is_chosen_from_headers_url_and_body(bench, site):
    site.behaviour = Behaviour(body=b"<!DOCTYPE html>\n<title>.</title>")
    assert type(bench.download(site.url)) is HtmlResponse
    site.behaviour = Behaviour(body=b"words", headers=(("Content-Type", "text/plain"),))
    assert type(bench.download(site.url)) is TextResponse


@pytest.mark.parametrize("path", ["/echo", "/bytes/0", "/status/204"])
@pytest.mark.parametrize("keep", [True, False])
def test_address_certificate_and_protocol_are_there_also_with_an_empty_body_and_a_closed_connection(bench, path, keep):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = trustme.CA().issue_cert("127.0.0.1")
    certificate.configure_cert(context)
    shown = ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())
    with Site(Behaviour(keep_alive=keep), tls=context) as site, Site(Behaviour(keep_alive=keep)) as plain:
        secure, bare = (bench.download(one.url + path) for one in (site, plain))
    assert hashlib.sha256(secure.certificate).digest() == hashlib.sha256(shown).digest()
    assert bare.certificate is None
    for response in (secure, bare):
        assert (str(response.ip_address), response.protocol) == ("127.0.0.1", "HTTP/1.1")
        assert response.url.endswith(path)


def test_tls_is_logged_where_that_is_wanted(caplog):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    caplog.set_level(logging.DEBUG)
    with Bench(DOWNLOADER_CLIENT_TLS_VERBOSE_LOGGING=True) as bench, Site(tls=context) as site, Site() as plain:
        bench.download(plain.url)
        assert "SSL connection" not in caplog.text
        bench.download(site.url)
    assert "SSL connection to 127.0.0.1 using protocol TLSv1.3, cipher TLS_" in caplog.text


# Breaking off


@pytest.mark.parametrize("steps", [(), (b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nbody",)])
def test_a_cancelled_download_frees_its_slot(steps):
    asked = threading.Event()
    with (
        Bench(KEEPPOOL_LIMITS={"per_host": 1}) as bench,
        ScriptedServer(
            [REQUEST, *steps, lambda _: asked.set(), RawConnection.read_until_closed],
            [REQUEST, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"],
        ) as server,
    ):

        async def cancelled():
            task = asyncio.ensure_future(bench.handler.download_request(Request(server.url)))
            assert await asyncio.to_thread(asked.wait, 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await bench.handler.download_request(Request(server.url))

        assert bench.run(cancelled()).body == b"ok"
        assert (bench.stats["opened"], bench.stats["closed/exchange_failed"]) == (2, 1)
