"""Scrapy's exceptions: which of keeppool's errors become which, and that Scrapy repeats what is worth repeating."""

import socket
import ssl
import traceback

import pytest
import trustme
from scrapy_bench import Bench, Request, crawler_with

from keeppool import errors
from keeppool.adapters.scrapy import errors as scrapy_errors
from keeppool.adapters.scrapy import names
from keeppool.adapters.scrapy.errors import TABLE, translated
from keeppool.testing import FakeClock, RawConnection, ScriptedServer, Site

REQUEST = RawConnection.read_request


def every_error():
    return {found for found in vars(errors).values() if isinstance(found, type) and issubclass(found, OSError)} - {
        OSError
    }


def test_every_error_of_ours_is_in_the_table():
    mine = {kind for kind in every_error() if issubclass(kind, errors.KeepPoolError)}
    assert len(mine) > 40
    assert mine - set(TABLE) == set()


def test_none_of_scrapys_exceptions_is_an_oserror_which_scrapy_would_always_repeat():
    assert [kind for kind in TABLE.values() if issubclass(kind, OSError)] == []


def test_scrapy_repeats_what_may_go_better_and_nothing_else():
    from scrapy.downloadermiddlewares.retry import RetryMiddleware

    repeated = RetryMiddleware.from_crawler(crawler_with()).exceptions_to_retry
    not_repeated = {kind for kind, theirs in TABLE.items() if not issubclass(theirs, repeated)}
    invalid = {kind for kind in every_error() if issubclass(kind, (errors.ConfigError, errors.InvalidRequest))}
    assert not_repeated == invalid | {errors.PoolClosed, errors.BodyLengthError}


def test_an_error_that_is_not_in_the_table_is_what_its_parent_is():
    class Later(errors.RefusedError):
        pass

    assert isinstance(translated(Later("no")), scrapy_errors.TABLE[errors.RefusedError])


@pytest.fixture
def bench():
    with Bench() as bench:
        yield bench


def fails(bench, url, ours, theirs, **meta):
    with pytest.raises(getattr(scrapy_errors, theirs)) as failed:
        bench.download(Request(url, meta=meta))
    assert isinstance(failed.value.__cause__, ours)
    assert str(failed.value) == str(failed.value.__cause__)
    return failed.value


def test_a_port_nobody_listens_on(bench):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    fails(bench, f"http://127.0.0.1:{port}/", errors.RefusedError, "DownloadConnectionRefusedError")


def test_what_is_logged_of_a_host_that_is_down_is_short(bench):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    error = fails(bench, f"http://127.0.0.1:{port}/", errors.RefusedError, "DownloadConnectionRefusedError")
    logged = "".join(traceback.format_exception(error))
    # The frames of who called the handler, and no others of ours.
    assert logged.count("Traceback") == 1
    assert logged.count("keeppool/pools") == logged.count("keeppool/net") == 0
    assert str(error).count(str(port)) == 1
    assert isinstance(error.__cause__.__cause__, ConnectionRefusedError)


@pytest.fixture
def look_ups(monkeypatch):
    """Names that were looked up. No name exists but those of addresses; the system's own function is not asked."""
    asked = []
    real = socket.getaddrinfo

    def look_up(host, *arguments, **options):
        if host.startswith("127.") or options.get("flags", 0) & socket.AI_NUMERICHOST:
            return real(host, *arguments, **options)
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


def test_a_name_that_leads_nowhere_is_looked_up_once_for_robots_page_and_retries(bench, look_ups):
    for path in ("robots.txt", "", "page", ""):
        error = fails(bench, f"http://nowhere.example/{path}", errors.ResolveError, "CannotResolveHostError")
        assert isinstance(error.__cause__.__cause__, socket.gaierror)
    assert look_ups == ["nowhere.example"]
    fails(bench, "http://elsewhere.example/", errors.ResolveError, "CannotResolveHostError")
    assert look_ups == ["nowhere.example", "elsewhere.example"]


def test_a_name_may_exist_five_seconds_later(bench, look_ups, monkeypatch):
    clock = FakeClock()
    monkeypatch.setattr(names, "clock", clock)
    fails(bench, "http://nowhere.example/", errors.ResolveError, "CannotResolveHostError")
    clock.advance(4.9)
    fails(bench, "http://nowhere.example/", errors.ResolveError, "CannotResolveHostError")
    assert len(look_ups) == 1
    clock.advance(0.2)
    fails(bench, "http://nowhere.example/", errors.ResolveError, "CannotResolveHostError")
    assert len(look_ups) == 2


def test_a_resolver_that_is_down_says_nothing_about_a_name(bench, look_ups, monkeypatch):
    monkeypatch.setattr(names, "_NO_SUCH_NAME", set())
    for _ in range(2):
        fails(bench, "http://nowhere.example/", errors.ResolveError, "CannotResolveHostError")
    assert len(look_ups) == 2


def test_what_a_proxy_looks_up_is_asked_of_the_proxy(bench, look_ups, site):
    fails(bench, "http://nowhere.example/", errors.ResolveError, "CannotResolveHostError")
    response = bench.download("http://nowhere.example/echo", proxy=site.url)
    assert response.status == 200


def test_no_more_names_are_remembered_than_stated():
    unknown = names.UnknownNames()
    error = errors.ResolveError("no address")
    error.__cause__ = socket.gaierror(socket.EAI_NONAME, "no name")
    for number in range(3 * names.MOST_NAMES):
        unknown.note(f"host{number}", error)
        assert len(unknown._until) <= names.MOST_NAMES


@pytest.mark.parametrize(
    ("steps", "ours"),
    [
        ((), errors.ServerDisconnected),
        ((b"HTTP/1.1 200 OK\r\nConte",), errors.TruncatedHead),
        ((b"SSH-2.0-OpenSSH\r\n",), errors.InvalidHead),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n",), errors.InvalidLength),
        ((b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",), errors.InvalidHead),
    ],
)
def test_a_server_that_does_not_answer_in_http(bench, steps, ours):
    with ScriptedServer([REQUEST, *steps]) as server:
        fails(bench, f"{server.url}/", ours, "DownloadFailedError")


def test_a_chunk_that_is_none(bench):
    with ScriptedServer([REQUEST, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"]) as server:
        fails(bench, f"{server.url}/", errors.InvalidChunk, "ResponseDataLossError")


def test_a_certificate_that_is_not_trusted_where_that_is_asked_for():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with Site(tls=context) as site, Bench(DOWNLOAD_VERIFY_CERTIFICATES=True) as bench:
        fails(bench, f"{site.url}/", errors.CertificateError, "DownloadFailedError")


def test_a_pool_that_is_closed(bench, site):
    bench.run(bench.handler._pool.aclose())
    fails(bench, f"{site.url}/", errors.PoolClosed, "DownloadCancelledError")


def test_a_proxy_that_is_not_there(bench, site):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    fails(bench, f"{site.url}/", errors.ProxyError, "DownloadConnectionRefusedError", proxy=f"http://127.0.0.1:{port}")


def test_a_proxys_url_that_is_none(bench, site):
    fails(bench, f"{site.url}/", errors.InvalidProxyURL, "UnsupportedURLSchemeError", proxy="gopher://127.0.0.1")
