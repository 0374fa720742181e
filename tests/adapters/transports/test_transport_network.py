"""What lies below a response: `network_stream`, connections that are no HTTP any more, and the `trace` extension."""

import asyncio
import importlib
import ssl
import threading

import pytest
import trustme
from net.proxies import TunnelProxy

from keeppool import Limits
from keeppool.events import ConnectionClosed, Why
from keeppool.testing import RawConnection, ScriptedServer, Site, recorded_events

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REQUEST = RawConnection.read_request
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
UPGRADE = {"Connection": "upgrade", "Upgrade": "echo"}


def echo(connection):
    while True:
        connection.send(connection.read())


def test_an_ordinary_response_tells_of_its_connection_and_keeps_it_to_itself(side):
    with Site() as site:
        network = side.ask("GET", site.url + "/hello").extensions["network_stream"]
        streamed = side.ask_streamed(site.url + "/bytes/1000000").extensions["network_stream"]
    for stream in (network, streamed):
        assert stream.get_extra_info("nothing of this name") is None
        core = importlib.import_module(side.module.__name__.replace("httpx", "httpcore"))
        with pytest.raises(core.WriteError, match="the pool's"):
            finish(stream.write(b"GET / HTTP/1.1\r\n\r\n"))
        with pytest.raises(core.ReadError, match="the pool's"):
            finish(stream.read(10))


def finish(step):
    """Run what may be a coroutine."""
    return asyncio.run(step) if asyncio.iscoroutine(step) else step


def test_addresses_and_the_socket(side):
    def work(client, _):
        response = yield client.get(site.url + "/hello")
        stream = response.extensions["network_stream"]
        assert stream.get_extra_info("server_addr") == ("127.0.0.1", site.port)
        assert stream.get_extra_info("client_addr")[0] == "127.0.0.1"
        assert stream.get_extra_info("socket").fileno() > 0
        assert stream.get_extra_info("ssl_object") is None
        assert stream.get_extra_info("is_readable") is False

    with Site() as site:
        side.call(work)


def test_a_switched_connection_is_the_callers_and_holds_its_slot_until_it_is_closed(side):
    def work(client, transport):
        is_async = hasattr(client, "aclose")
        request = client.build_request("GET", server.url, headers=UPGRADE)
        response = yield client.send(request, stream=True)
        assert response.status_code == 101
        stream = response.extensions["network_stream"]
        assert (yield stream.read(3)) == b"ear"
        assert (yield stream.read(100)) == b"ly"
        for text in (b"one", b"two", bytes(3_000_000)):
            yield stream.write(text)
            left = len(text)
            while left:
                left -= len((yield stream.read(65536)))
        core = importlib.import_module(side.module.__name__.replace("httpx", "httpcore"))
        with pytest.raises(core.ReadTimeout):
            yield stream.read(1, timeout=0.01)
        assert transport.stats().busy == 1
        yield stream.aclose() if is_async else stream.close()
        assert transport.stats().busy == 0
        with pytest.raises(core.ReadError, match="closed"):
            yield stream.read(1)
        yield response.aclose() if is_async else response.close()

    def big_echo(connection):
        for size in (3, 3, 3_000_000):
            connection.send(connection.read_exactly(size))
        connection.read_until_closed()

    events = recorded_events()
    with ScriptedServer([REQUEST, SWITCHED + b"early", big_echo]) as server:
        side.call(work, limits=Limits(per_host=1), on_event=events)
    assert [event.why for event in events.of(ConnectionClosed)] == [Why.SWITCHED]


def test_the_end_of_a_switched_connection_is_read_as_no_bytes(side):
    def work(client, transport):
        response = yield client.send(client.build_request("GET", server.url, headers=UPGRADE), stream=True)
        stream = response.extensions["network_stream"]
        assert (yield stream.read(100)) == b"bye"
        assert (yield stream.read(100)) == b""
        yield response.aclose() if hasattr(client, "aclose") else response.close()
        return transport.stats()

    with ScriptedServer([REQUEST, SWITCHED, b"bye"]) as server:
        assert side.call(work).open == 0


def test_connect_hands_the_connection_over(side):
    def work(client, transport):
        request = client.build_request("CONNECT", server.url, extensions={"target": b"a.example:443"})
        response = yield client.send(request, stream=True)
        stream = response.extensions["network_stream"]
        yield stream.write(b"through")
        got = yield stream.read(100)
        yield response.aclose() if hasattr(client, "aclose") else response.close()
        return got

    with ScriptedServer([REQUEST, b"HTTP/1.1 200 OK\r\n\r\n", echo]) as server:
        assert side.call(work) == b"through"
        assert server.requests[0].target == "a.example:443"


@pytest.mark.parametrize("is_https", [False, True], ids=["http proxy", "https proxy"])
def test_tls_may_be_begun_behind_connect(side, is_https, tmp_path):
    """By hand, through a proxy: what a program does that wants the connection itself."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "a.example").configure_cert(context)
    roots = str(tmp_path / "roots.pem")
    authority.cert_pem.write_to_path(roots)
    core = importlib.import_module(side.module.__name__.replace("httpx", "httpcore"))

    def work(client, transport):
        is_async = hasattr(client, "aclose")

        def connect():
            request = client.build_request("CONNECT", proxy.url, extensions={"target": b"a.example:443"})
            return client.send(request, stream=True)

        response = yield connect()
        trust = ssl.create_default_context(cafile=roots)
        stream = yield response.extensions["network_stream"].start_tls(trust, "a.example", timeout=5)
        assert stream.get_extra_info("ssl_object").version() is not None
        yield stream.write(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        assert (yield stream.read(1000)).endswith(b"ok")
        yield response.aclose() if is_async else response.close()

        response = yield connect()
        with pytest.raises(core.ConnectError):
            yield response.extensions["network_stream"].start_tls(ssl.create_default_context(), "a.example")
        yield response.aclose() if is_async else response.close()
        assert transport.stats().open == 0

    with (
        ScriptedServer([REQUEST, OK, RawConnection.read_until_closed], tls=context) as server,
        TunnelProxy(leads_to=("127.0.0.1", server.port), tls=context if is_https else None) as proxy,
    ):
        side.call(work, verify=roots)


def test_a_101_that_nobody_asked_for_is_a_response_without_a_body(side):
    with ScriptedServer([REQUEST, SWITCHED + b"surprise", RawConnection.read_until_closed]) as server:
        response = side.ask("GET", server.url)
    assert (response.status_code, response.content) == (101, b"")


def test_one_task_reads_while_another_writes(family):
    """Each waits for the other's bytes to be taken: more than both kernels hold."""
    size = 20_000_000

    def serve(connection):
        connection.read_request()
        connection.send(SWITCHED)
        writer = threading.Thread(target=connection.send, args=(bytes(size),))
        writer.start()
        connection.read_exactly(size)
        writer.join()

    async def main():
        async with (
            family.module.AsyncClient(transport=family.AsyncTransport()) as client,
            client.stream("GET", server.url, headers=UPGRADE) as response,
        ):
            stream = response.extensions["network_stream"]

            async def read():
                left = size
                while left:
                    left -= len(await stream.read(65536))

            async with asyncio.timeout(30):
                await asyncio.gather(stream.write(bytes(size)), read())

    with ScriptedServer(serve, timeout=30) as server:
        asyncio.run(main())


def test_the_websockets_of_httpx2_work_over_it(side):
    if side.module.__name__ != "httpx2":
        pytest.skip("httpx has none of its own")
    wsproto = pytest.importorskip("wsproto")

    def serve(connection):
        ws = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        while True:
            ws.receive_data(connection.read())
            for event in ws.events():
                if isinstance(event, wsproto.events.Request):
                    connection.send(ws.send(wsproto.events.AcceptConnection()))
                elif isinstance(event, wsproto.events.TextMessage):
                    connection.send(ws.send(wsproto.events.TextMessage(event.data.upper())))
                elif isinstance(event, wsproto.events.CloseConnection):
                    connection.send(ws.send(event.response()))
                    return

    with ScriptedServer(serve) as server:
        url = server.url.replace("http:", "ws:")
        if type(side).__name__ == "Threads":
            with side.module.Client(transport=side.family.Transport()) as client, client.websocket(url) as ws:
                ws.send_text("hello")
                assert ws.receive_text() == "HELLO"
        else:

            async def main():
                async with (
                    side.module.AsyncClient(transport=side.family.AsyncTransport()) as client,
                    client.websocket(url) as ws,
                ):
                    await ws.send_text("hello")
                    assert await ws.receive_text() == "HELLO"

            asyncio.run(main())


# trace


def traced(side, kind, url, streams=None, **options):
    """Ask twice on one connection, and list the events; `streams` gets the address of each that was connected."""
    told = []

    def take(name, info):
        told.append(name)
        if streams is not None and name == "connection.connect_tcp.complete":
            streams.append(info["return_value"].get_extra_info("server_addr"))

    if type(side).__name__ == "Threads":
        with side.module.Client(transport=kind) as client:
            for _ in range(2):
                try:
                    client.post(url, extensions={"trace": take}, **options)
                except side.module.TransportError:
                    told.append("error")
    else:

        async def awaited(name, info):
            take(name, info)

        async def main():
            async with side.module.AsyncClient(transport=kind) as client:
                for _ in range(2):
                    try:
                        await client.post(url, extensions={"trace": awaited}, **options)
                    except side.module.TransportError:
                        told.append("error")

        asyncio.run(main())
    return told


def kinds(side):
    """Our transport, and the module's own."""
    if type(side).__name__ == "Threads":
        return side.family.Transport(), side.module.HTTPTransport()
    return side.family.AsyncTransport(), side.module.AsyncHTTPTransport()


@pytest.mark.parametrize("path", ["/hello", "/bytes/200000"])
def test_trace_is_told_what_httpcore_tells(side, path):
    streams = []
    with Site() as site:
        ours, theirs = (traced(side, kind, site.url + path, streams, content=b"x") for kind in kinds(side))
        assert ours == theirs
    assert streams == [("127.0.0.1", site.port)] * 2


@pytest.mark.parametrize(
    "script",
    [[REQUEST], [REQUEST, b"nonsense"], [REQUEST, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"]],
    ids=["hang-up", "nonsense", "half"],
)
def test_trace_is_told_of_failures_as_by_httpcore(side, script):
    with ScriptedServer(script) as server:
        ours, theirs = (traced(side, kind, server.url) for kind in kinds(side))
    # A server that ends the connection before the response may do so while a client still sends.
    assert [name for name in ours if "connect" not in name] == [name for name in theirs if "connect" not in name]


def test_trace_is_told_that_nobody_listens(side):
    with Site() as site:
        url = site.url
    ours, theirs = (traced(side, kind, url) for kind in kinds(side))
    assert ours == theirs
