"""Which of the client module's exceptions each failure is, in the table and over real connections."""

import asyncio
import socket
import threading

import pytest

from keeppool import Config, Limits, Timeout, errors
from keeppool.adapters.transports.errors import TABLE, name_for
from keeppool.testing import RawConnection, ScriptedServer, Site

HEAD = b"HTTP/1.1 200 OK\r\n"
OK = HEAD + b"Content-Length: 2\r\n\r\nok"
REQUEST = RawConnection.read_request


def all_errors(root=errors.KeepPoolError):
    return {root}.union(*(all_errors(child) for child in root.__subclasses__() if child.__module__ == root.__module__))


#: The contract, error by error; what is not here never comes out of a pool that does not decode.
CONTRACT = {
    "PoolTimeout": ["PoolTimeout", "QueueFull"],
    "TransportError": ["PoolClosed", "LoopError"],
    "ConnectTimeout": ["ConnectTimeout"],
    "ConnectError": ["ResolveError", "RefusedError", "SSLError", "CertificateError", "ConnectError"],
    "ProxyError": ["ProxyError"],
    "UnsupportedProtocol": ["InvalidSchema", "MissingSchema"],
    "LocalProtocolError": ["InvalidHeader", "InvalidMethod", "InvalidBody", "BodyLengthError"],
    "RemoteProtocolError": [
        "ServerDisconnected",
        "TruncatedHead",
        "InvalidHead",
        "HeadTooLarge",
        "InvalidLength",
        "InvalidChunk",
        "IncompleteBody",
    ],
    "ReadError": ["ReadError", "StreamConsumedError"],
    "WriteError": ["SendError"],
    "ReadTimeout": ["ReadTimeout", "TotalTimeout"],
    "WriteTimeout": ["WriteTimeout"],
}


@pytest.mark.parametrize("theirs", CONTRACT)
def test_each_error_becomes_what_the_contract_says(theirs, family):
    assert issubclass(getattr(family.module, theirs), family.module.TransportError)
    assert {name_for(getattr(errors, ours)) for ours in CONTRACT[theirs]} == {theirs}


@pytest.mark.parametrize("kind", sorted(all_errors(), key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
def test_every_error_becomes_one_that_clients_catch(kind, family):
    assert issubclass(getattr(family.module, name_for(kind)), family.module.RequestError)


def test_the_table_holds_no_line_that_its_parents_say_already():
    root = {errors.KeepPoolError, errors.ExchangeError, errors.PoolError, errors.InvalidURL, errors.PoolClosed}
    for kind in set(TABLE) - root:
        assert TABLE[kind] != TABLE.get(kind.__mro__[1]), kind


def raised_by(side, name, **expected):
    """Expect an error of the module's, with facts on it, and the request."""
    kind = getattr(side.module, name)
    return pytest.raises(kind, check=lambda error: type(error) is kind and _has(error, expected))


def _has(error, expected):
    assert isinstance(error.__cause__, errors.KeepPoolError)
    assert error.request.method in ("GET", "POST")
    for fact, value in expected.items():
        assert getattr(error, fact) == value, fact
    assert error.sent is None or error.sent >= 0
    assert error.received is None or error.received >= 0
    return True


BROKEN_HEADS = {
    "ServerDisconnected": ([REQUEST], 0),
    "InvalidHead": ([REQUEST, b"SSH-2.0-OpenSSH_9.9\r\n"], 21),
    "TruncatedHead": ([REQUEST, HEAD + b"Content-Le"], 27),
    "InvalidLength": ([REQUEST, HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n"], 57),
    "HeadTooLarge": ([REQUEST, HEAD + b"X: %b" % bytes(300_000).replace(b"\0", b"x")], None),
}


@pytest.mark.parametrize("ours", BROKEN_HEADS)
@pytest.mark.parametrize(("method", "is_safe"), [("GET", True), ("POST", False)])
def test_a_server_that_breaks_the_head(side, ours, method, is_safe):
    script, received = BROKEN_HEADS[ours]
    with ScriptedServer(script) as server, raised_by(side, "RemoteProtocolError", retry_safe=is_safe) as caught:
        side.ask(method, server.url)
    assert type(caught.value.__cause__).__name__ == ours
    assert caught.value.sent > 0
    assert caught.value.received == received if received is not None else caught.value.received > 0


def test_a_hang_up_is_told_in_the_words_programs_look_for(side):
    with ScriptedServer([REQUEST]) as server, raised_by(side, "RemoteProtocolError") as caught:
        side.ask("POST", server.url)
    assert "Server disconnected without sending a response." in str(caught.value)
    assert f"POST {server.url}" in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [HEAD + b"Content-Length: 9\r\n\r\nhalf", HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n"],
    ids=["broken off", "bad chunk"],
)
def test_a_body_that_breaks(side, body):
    with ScriptedServer([REQUEST, body]) as server:
        with raised_by(side, "RemoteProtocolError", retry_safe=True):
            side.ask("GET", server.url)
        with raised_by(side, "RemoteProtocolError", retry_safe=True):
            side.ask_streamed(server.url)


def test_a_reset_while_a_body_is_read(side):
    script = [REQUEST, HEAD + b"Content-Length: 100000\r\n\r\nhalf", lambda c: heard.wait(5), RawConnection.reset]

    def work(client, _):
        response = yield client.send(client.build_request("GET", server.url), stream=True)
        heard.set()
        yield response.aread() if hasattr(client, "aclose") else response.read()

    heard = threading.Event()
    with ScriptedServer(script) as server, raised_by(side, "ReadError", retry_safe=True):
        side.call(work)


@pytest.mark.parametrize("script", [[REQUEST], [REQUEST, HEAD + b"Content-Length: 5\r\n\r\nhi"]], ids=["head", "body"])
def test_a_silent_server_is_a_read_timeout(side, script):
    with ScriptedServer([*script, RawConnection.read_until_closed]) as server, raised_by(side, "ReadTimeout"):
        side.ask("GET", server.url, timeout=side.module.Timeout(5, read=0.05))


def test_a_server_that_takes_nothing_is_a_write_timeout(side):
    over = threading.Event()
    try:
        with ScriptedServer([RawConnection.read_head, lambda c: c.wait(over)]) as server:
            timeout = side.module.Timeout(None, write=0.1)
            with raised_by(side, "WriteTimeout", retry_safe=False, received=0):
                side.ask("POST", server.url, content=bytes(50_000_000), timeout=timeout)
            over.set()
    finally:
        over.set()


def test_the_configured_total_is_a_read_timeout(side):
    config = Config(timeout=Timeout(total=0.05))
    with ScriptedServer([REQUEST, RawConnection.read_until_closed]) as server, raised_by(side, "ReadTimeout") as caught:
        side.ask("GET", server.url, transport={"config": config}, timeout=None)
    assert isinstance(caught.value.__cause__, errors.TotalTimeout)


def test_nobody_listens(side):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with raised_by(side, "ConnectError", sent=0, received=0, retry_safe=True) as caught:
        side.ask("POST", f"http://127.0.0.1:{port}")
    assert isinstance(caught.value.__cause__, errors.RefusedError)


@pytest.mark.parametrize("port", [0, 65536, 123456])
def test_a_port_that_cannot_be_dialled(side, port):
    url = side.module.URL("http://127.0.0.1/").copy_with(port=port)
    with raised_by(side, "ConnectError", sent=0, retry_safe=True):
        side.ask("GET", url)


def test_a_name_that_has_no_address(side):
    def nowhere(host, port):
        raise OSError("no such name")

    with raised_by(side, "ConnectError", sent=0) as caught:
        side.ask("GET", "http://no.such.example", transport={"config": Config(resolver=nowhere)})
    assert isinstance(caught.value.__cause__, errors.ResolveError)


def test_a_host_that_does_not_accept_is_a_connect_timeout(side):
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        held = [socket.socket() for _ in range(3)]
        for client in held:
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        with raised_by(side, "ConnectTimeout", sent=0, retry_safe=True):
            timeout = side.module.Timeout(5, connect=0.05)
            side.ask("GET", f"http://127.0.0.1:{full.getsockname()[1]}", timeout=timeout)
        for client in held:
            client.close()


def test_a_server_that_speaks_no_tls(side):
    with ScriptedServer([b"HTTP/1.1 400 Bad Request\r\n\r\n"]) as server, raised_by(side, "ConnectError", sent=0):
        side.ask("GET", server.url.replace("http:", "https:"))


def test_a_proxy_that_refuses(side):
    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    with ScriptedServer([RawConnection.read_head, refusal]) as proxy, raised_by(side, "ProxyError", sent=0) as caught:
        side.ask("GET", "https://a.example/", transport={"proxy": proxy.url})
    assert caught.value.__cause__.status == 403


@pytest.mark.parametrize("waiting", [None, 0], ids=["PoolTimeout", "QueueFull"])
def test_a_pool_without_a_free_connection(side, waiting, request):
    def work(client, transport):
        first = yield client.send(client.build_request("GET", site.url + "/bytes/1000000"), stream=True)
        try:
            yield client.get(site.url, timeout=side.module.Timeout(5, pool=0.01))
        finally:
            yield first.aclose() if hasattr(client, "aclose") else first.close()

    with Site() as site, raised_by(side, "PoolTimeout", sent=0, retry_safe=True) as caught:
        side.call(work, limits=Limits(per_host=1, waiting=waiting))
    assert type(caught.value.__cause__).__name__ in request.node.name


@pytest.mark.parametrize(
    ("method", "url", "options", "theirs"),
    [
        ("GET", "ftp://a.example/", {}, "UnsupportedProtocol"),
        ("GET", "/relative", {}, "UnsupportedProtocol"),
        ("GE T", "http://a.example/", {}, "LocalProtocolError"),
        ("GET", "http://a.example/", {"headers": {"X": "a\nb"}}, "LocalProtocolError"),
        ("GET", "http://a.example/", {"headers": {"a b": "c"}}, "LocalProtocolError"),
        ("GET", "http://a.example/", {"extensions": {"target": b"/a b"}}, "LocalProtocolError"),
    ],
)
def test_what_cannot_be_put_into_http_is_refused_before_anything_is_sent(side, method, url, options, theirs):
    kind = getattr(side.module, theirs)
    with pytest.raises(kind) as caught:
        side.ask(method, url, **options)
    assert (caught.value.sent, caught.value.received, caught.value.retry_safe) == (0, 0, True)


@pytest.mark.parametrize("length", ["3", "300000"])
def test_a_body_that_is_not_as_long_as_announced(side, length):
    with Site() as site, pytest.raises(side.module.LocalProtocolError):
        side.ask("POST", site.url, content=b"four", headers={"Content-Length": length})


def test_what_the_callers_body_raises_is_raised_unchanged(side, family):
    class Own(Exception):
        pass

    def pieces():
        yield b"first"
        raise Own

    async def awaited():
        yield b"first"
        raise Own

    content = pieces() if "Threads" in type(side).__name__ else awaited()
    with Site() as site, pytest.raises(Own) as caught:
        side.ask("POST", site.url, content=content)
    assert caught.value.__cause__ is None


def test_what_is_read_behind_a_close_is_a_read_error_that_proves_nothing(side):
    def work(client, _):
        response = yield client.send(client.build_request("GET", site.url + "/bytes/9000000"), stream=True)
        is_async = hasattr(client, "aclose")
        pieces = response.aiter_raw() if is_async else response.iter_raw()
        (yield anext(pieces)) if is_async else next(pieces)
        yield response.aclose() if is_async else response.close()
        (yield anext(pieces)) if is_async else next(pieces)

    with Site() as site, raised_by(side, "ReadError", retry_safe=False, sent=None):
        side.call(work)


# Bad use


def test_a_closed_transport_says_so(family):
    transport = family.Transport()
    transport.close()
    transport.close()
    with pytest.raises(family.module.TransportError, match="closed"):
        transport.handle_request(family.module.Request("GET", "http://a.example"))


def test_http2_is_refused_in_the_modules_own_words(family):
    for kind in (family.Transport, family.AsyncTransport):
        with pytest.raises(family.module.UnsupportedProtocol, match="http2"):
            kind(http2=True)


@pytest.mark.parametrize(
    "arguments",
    [
        {"limits": 5},
        {"hosts": 5},
        {"defaults": 5},
        {"config": 5},
        {"retries": -1},
        {"retries": "two"},
        {"proxy": 5},
        {"trust_env": 1},
        {"verify": 5},
        {"cert": 5},
        {"pool": 5},
        {"uds": 5},
        {"local_address": 5},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_arguments_that_mean_nothing(family, arguments):
    for kind in (family.Transport, family.AsyncTransport):
        with pytest.raises(errors.ConfigError) as caught:
            kind(**arguments)
        renamed = {"uds": "unix_socket", "local_address": "source_address"}
        assert [caught.value.field] == [renamed.get(name, name) for name in arguments]


def test_the_other_modules_client_gets_an_error_of_its_own_tree(family):
    other = pytest.importorskip({"httpx": "httpx2", "httpx2": "httpx"}[family.name])
    with (
        other.Client(transport=family.Transport()) as client,
        pytest.raises(other.TransportError, match=f"{family.name}, not of {other.__name__}:"),
    ):
        client.get("http://a.example")


def test_a_request_of_no_client_at_all(family):
    with pytest.raises(family.module.TransportError):
        family.Transport().handle_request(object())


def test_a_transport_for_the_other_client_says_which_one_it_takes(family):
    async def ask():
        async with family.module.AsyncClient(transport=family.Transport()) as client:
            await client.get("http://127.0.0.1:1/")

    with pytest.raises(AttributeError, match=rf"it is for {family.name}\.Client alone; .*AsyncKeepPoolTransport"):
        asyncio.run(ask())
    client = family.module.Client(transport=family.AsyncTransport())
    with pytest.raises(AttributeError, match=rf"it is for {family.name}\.AsyncClient alone; .* KeepPoolTransport"):
        client.get("http://127.0.0.1:1/")


def test_an_argument_that_a_transport_does_not_have_says_what_it_is(family):
    with pytest.raises(
        TypeError, match=r"KeepPoolTransport\(\) has no argument 'timeout': it is timeout= of the client"
    ):
        family.Transport(timeout=5)
    with pytest.raises(TypeError, match=r"limits=keeppool\.Limits\(idle_timeout"):
        family.AsyncTransport(keepalive_expiry=5)
    with pytest.raises(AttributeError, match=r"no attribute 'nothing'$"):
        family.Transport().nothing  # noqa: B018
