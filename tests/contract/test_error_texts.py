"""What the errors of calls say: method and URL, seconds and limit, target and proxy, each in its place and once.

Every leaf of the tree that a call can raise has a case here, which raises it by a public call on both sessions.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import trustme
import urllib3

from contract.test_errors import CLASSES
from keeppool import AsyncSession, Limits, Session, Timeout, errors
from keeppool.errors import KeepPoolError
from keeppool.testing import RawConnection, ScriptedServer

OK = b"HTTP/1.1 200 OK\r\n"
SECRET = "hush"

Step = bytes | Callable[[RawConnection], object]


@dataclass
class Case:
    """A call that fails.

    Attributes:
        says: What stands in the text behind method and URL.
        answer: What a server does with each connection behind the request; `None` for no server.
        settings: Of the session.
        call: Arguments of the call.
        method: Likewise.
        then: Done with the response.
        url: Where to, with `{place}` for the server's host and port.
        before: Done with the session first; on an event loop awaited.
    """

    says: str
    answer: tuple[Step, ...] | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    call: dict[str, Any] = field(default_factory=dict)
    method: str = "GET"
    then: Callable[[Any], Any] | None = None
    url: str = "http://user:hush@{place}/path?q=1"
    tls: bool = False


def nobodys_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def no_answer(connection: RawConnection) -> None:
    connection.read_until_closed()


NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
#: More than the sockets of both ends hold.
LARGE = bytes(32_000_000)
REDIRECT = b"HTTP/1.1 307 Moved\r\nLocation: /path?q=1\r\nContent-Length: 0\r\n\r\n"

CASES = {
    "ConfigError": Case("timeout='soon'", call={"timeout": "soon"}),
    "InvalidSchema": Case("http and https", url="ftp://user:hush@{place}/path"),
    "MissingSchema": Case("scheme", url="no-scheme/path"),
    "InvalidProxyURL": Case("the proxy's URL", call={"proxies": {"http": "http://me:hush@:1"}}),
    "InvalidMethod": Case("not a token", method="B A D"),
    "InvalidHeader": Case("header", call={"headers": {"X": "a\nb"}}),
    "InvalidBody": Case("body", method="POST", call={"data": 5}),
    "InvalidJSONError": Case("json", method="POST", call={"json": {1, 2}}),
    "JSONDecodeError": Case("Expecting value", (OK + b"Content-Length: 1\r\n\r\n<",), then=lambda r: r.json()),
    "RefusedError": Case("cannot connect: ", url="http://user:hush@127.0.0.1:{nobody}/path?q=1"),
    "ResolveError": Case("no address", settings={"resolver": lambda host, port: []}, url="http://u:hush@a.invalid/path"),
    "ProxyError": Case("cannot connect to the proxy: ", call={"proxies": {"http": "http://me:hush@127.0.0.1:{nobody}"}}),
    "CertificateError": Case("the certificate is refused", (OK,), tls=True, url="https://user:hush@{place}/path?q=1"),
    "ServerDisconnected": Case("without a response", (RawConnection.close,), method="POST"),
    "SendError": Case("failed while the request was sent", (RawConnection.reset,), method="POST", call={"data": LARGE}),
    "ReadError": Case("failed in the middle of the body", (OK + b"Content-Length: 9\r\n\r\nab", RawConnection.reset)),
    "ReadTimeout": Case("sent nothing for 0.05 s (read timeout)", (no_answer,), {"timeout": Timeout(read=0.05)}),
    "TotalTimeout": Case("the total timeout of 0.05 s", (no_answer,), {"timeout": Timeout(total=0.05)}),
    "BodyLengthError": Case(
        "Content-Length", (OK,), method="POST", call={"data": iter([b"ab"]), "headers": {"Content-Length": "9"}}
    ),
    "InvalidHead": Case("HTTP", (b"SSH-2.0-OpenSSH\r\n\r\n",)),
    "HeadTooLarge": Case("head", (OK + b"X: " + b"y" * 5000 + b"\r\n\r\n",), {"limits": Limits(head_bytes=1000)}),
    "TruncatedHead": Case("in the middle of the response's head", (b"HTTP/1.1 200 O", RawConnection.close)),
    "InvalidLength": Case("Content-Length", (OK + b"Content-Length: nine\r\n\r\n",)),
    "InvalidChunk": Case("chunk", (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",)),
    "IncompleteBody": Case("closed after 2 of 9", (OK + b"Content-Length: 9\r\n\r\nab", RawConnection.close)),
    "ContentDecodingError": Case("gzip", (OK + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\nno gzip!!",)),
    "HTTPError": Case("404 Client Error: Not Found", (NOT_FOUND,), then=lambda r: r.raise_for_status()),
    "TooManyRedirects": Case("leads on after", (REDIRECT, RawConnection.close)),
    "UnrewindableBodyError": Case("read from an iterator", (REDIRECT,), method="POST", call={"data": iter([b"once"])}),
}  # fmt: skip
#: Leaves with a test of their own below, and those that no call raises.
APART = {"PoolTimeout", "PoolClosed", "QueueFull", "ConnectTimeout", "WriteTimeout", "RetryError"}
APART |= {"RepeatedReadTimeout"}
APART |= {"StreamConsumedError", "LoopError", "CookieFileError", "HarError"}


def leaves() -> set[str]:
    return {
        name for name, cls in CLASSES.items() if not any(issubclass(o, cls) and o is not cls for o in CLASSES.values())
    }


def test_every_leaf_has_a_case():
    assert leaves() - APART <= set(CASES)


@pytest.fixture(scope="module")
def context() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(made)
    return made


def threads(case: Case, url: str, call: dict[str, Any]) -> None:
    with Session(**case.settings) as session:
        response = session.request(case.method, url, **call)
        if case.then is not None:
            case.then(response)


def tasks(case: Case, url: str, call: dict[str, Any]) -> None:
    async def main() -> None:
        async with AsyncSession(**case.settings) as session:
            response = await session.request(case.method, url, **call)
            if case.then is not None:
                case.then(response)

    asyncio.run(main())


@pytest.mark.parametrize("front", [threads, tasks])
@pytest.mark.parametrize("name", CASES)
def test_method_and_url_stand_in_front_of_what_happened(name, front, context):
    case, nobody = CASES[name], nobodys_port()
    answer = [
        RawConnection.read_head if name in ("BodyLengthError", "SendError") else RawConnection.read_request,
        *(case.answer or (OK,)),
    ]
    with ScriptedServer(answer, tls=context if case.tls else None) as server:
        url = case.url.format(place=f"{server.host}:{server.port}", nobody=nobody)
        call = {key: _filled(value, nobody) for key, value in _fresh(case.call).items()}
        with pytest.raises(KeepPoolError) as caught:
            front(case, url, call)
        server.errors.clear()
    error = caught.value
    shown = url.replace("user:hush@", "***@").replace("u:hush@", "***@")
    assert type(error) is CLASSES[name]
    text = str(error)
    assert case.says in text
    assert SECRET not in text
    if name not in ("InvalidMethod", "MissingSchema"):  # These quote what was wrong besides.
        assert text.count(case.method) == 1
        assert text.count(shown.partition("***@")[2]) == 1
    assert text.startswith(case.method) or name == "HTTPError"  # Which begins with the status, as in requests.
    assert error.reason in text


def _fresh(call: dict[str, Any]) -> dict[str, Any]:
    """Give iterators anew, which the first front has used up."""
    return {key: iter([b"once"]) if isinstance(value, Iterator) else value for key, value in call.items()}


def _filled(value: Any, nobody: int) -> Any:
    return (
        {key: text.replace("{nobody}", str(nobody)) for key, text in value.items()}
        if isinstance(value, dict)
        else value
    )


# What takes more than one call, or another front


@pytest.fixture
def holding() -> Iterator[tuple[Session, str]]:
    """A session whose only connection is held by a response that nobody reads, and a URL of its host."""
    script = [RawConnection.read_request, OK + b"Content-Length: 9\r\n\r\nab", RawConnection.read_until_closed]
    with ScriptedServer(script) as server, Session(Limits(per_host=1, waiting=0)) as session:
        response = session.get(server.url, stream=True)
        yield session, f"http://user:{SECRET}@{server.host}:{server.port}/path"
        response.close()


def told(caught: pytest.ExceptionInfo[KeepPoolError], url: str, method: str = "GET") -> str:
    """Give what is said behind method and URL."""
    text = str(caught.value)
    place = url.replace(f"user:{SECRET}@", "")
    assert text.startswith(f"{method} {place}")
    assert SECRET not in text
    return text.removeprefix(f"{method} {place}")


def test_what_never_leaves_the_pool(holding):
    session, url = holding
    with pytest.raises(errors.QueueFull) as full:
        session.get(url)
    assert told(full, url)
    waits = Timeout(pool=0.05)
    with (
        Session(Limits(per_host=1)) as other,
        other.get(url.replace(f"user:{SECRET}@", ""), stream=True),
        pytest.raises(errors.PoolTimeout) as late,
    ):
        other.get(url, timeout=waits)
    assert "0.05" in told(late, url)
    session.close()
    with pytest.raises(errors.PoolClosed) as closed:
        session.get(url)
    assert told(closed, url)


@pytest.mark.parametrize("front", [threads, tasks])
def test_a_server_that_takes_no_more_of_a_body(front):
    given_up = threading.Event()
    script = [RawConnection.read_head, lambda connection: connection.wait(given_up)]
    with ScriptedServer(script) as server:
        url = f"http://user:{SECRET}@{server.host}:{server.port}/path"
        case = Case("", method="POST", settings={"timeout": Timeout(read=0.05)})
        with pytest.raises(errors.WriteTimeout) as caught:
            front(case, url, {"data": LARGE})
        given_up.set()
    assert told(caught, url, "POST") == ": the server took no byte of the request for 0.05 s (read timeout)"
    assert 0 < caught.value.sent < len(LARGE)
    assert not caught.value.retry_safe


def test_a_dial_that_takes_too_long_says_target_and_proxy_once_each():
    with ScriptedServer([RawConnection.read_until_closed]) as proxy, Session(timeout=Timeout(connect=0.05)) as session:
        url, way = "https://a.example/path", {"https": f"http://me:{SECRET}@{proxy.host}:{proxy.port}"}
        with pytest.raises(errors.ConnectTimeout) as caught:
            session.get(url, proxies=way)
        text = told(caught, url)
    assert text.startswith(f" through http://{proxy.host}:{proxy.port}: no connection within 0.05 s")
    assert "connect timeout" in text
    assert (str(caught.value).count("a.example"), text.count(str(proxy.port))) == (1, 1)


def test_a_refusing_proxy_and_its_target_are_named_once_each():
    with Session() as session, pytest.raises(errors.ProxyError) as caught:
        session.get("http://a.example/path", proxies={"http": f"http://me:{SECRET}@127.0.0.1:{nobodys_port()}"})
    text = told(caught, "http://a.example/path")
    assert (str(caught.value).count("a.example"), text.count("127.0.0.1")) == (1, 1)


def test_tries_that_are_used_up():
    busy = [RawConnection.read_request, b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", RawConnection.close]
    retry = urllib3.Retry(1, status_forcelist=[503], backoff_factor=0)
    with ScriptedServer(busy) as server, Session(retries=retry) as session:
        with pytest.raises(errors.RetryError) as caught:
            session.get(f"{server.url}/path")
        assert "was answered 503" in told(caught, f"{server.url}/path")


def test_tries_that_end_in_silence():
    with ScriptedServer([RawConnection.read_request, RawConnection.read_until_closed]) as server:
        with Session(retries=1, timeout=Timeout(read=0.05)) as session, pytest.raises(errors.ConnectionError) as caught:
            session.get(f"{server.url}/path")
        text = told(caught, f"{server.url}/path")
    assert text == ": the server sent nothing for 0.05 s (read timeout); no tries left after 2"
    error = caught.value
    assert isinstance(error, errors.ReadTimeout)
    assert (error.tries, error.limit, error.sent > 0, error.retry_safe) == (2, 0.05, True, True)
    assert type(error.__cause__) is errors.ReadTimeout


def test_a_body_that_was_read_already():
    script = [RawConnection.read_request, OK + b"Content-Length: 2\r\n\r\nok"]
    with ScriptedServer(script) as server, Session() as session:
        response = session.get(f"{server.url}/path", stream=True)
        assert list(response.iter_content(1))
        with pytest.raises(errors.StreamConsumedError) as caught:
            _ = response.content
        assert told(caught, f"{server.url}/path")


def test_another_loop():
    session = AsyncSession()

    async def use() -> None:
        async with session:
            with pytest.raises(errors.RefusedError):
                await session.get(url)
            with pytest.raises(errors.LoopError) as caught:
                await asyncio.to_thread(lambda: asyncio.run(session.get(url)))
            assert told(caught, url)

    url = f"http://127.0.0.1:{nobodys_port()}/path"
    asyncio.run(use())


def test_a_long_url_is_cut_and_an_error_is_named_once():
    with Session() as session, pytest.raises(errors.RefusedError) as caught:
        session.get(f"http://127.0.0.1:{nobodys_port()}/{'x' * 5000}")
    text = str(caught.value)
    assert 200 < len(text) < 320
    assert "…: cannot connect" in text
    assert str(errors.name_call(caught.value, "GET", "http://other/")) == text
