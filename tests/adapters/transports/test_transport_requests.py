"""What a client asks for arrives as it is, by the way that was configured, and what comes is given as it is."""

import socket
import ssl
import threading

import pytest
import trustme

from keeppool import Config, HostConfig, Limits, errors, presets
from keeppool.events import ConnectionClosed, ConnectionOpened, Why
from keeppool.testing import Answer, Behaviour, RawConnection, ScriptedServer, Site, recorded_events

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REQUEST = RawConnection.read_request
SERVE = [*[REQUEST, OK] * 5, RawConnection.read_until_closed]


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def server_context(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "a.example").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def roots(authority, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("tls") / "roots.pem")
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


# What goes out


def test_a_request_goes_out_byte_for_byte_as_httpx_sends_it(side):
    """The same client over its own transport is the reference."""

    def sent_by(transport):
        with ScriptedServer(SERVE) as server:
            client = side.module.Client(transport=transport)
            with client:
                client.get(server.url + "/a%7Eb/%2F?q=%20+&x=é", headers={"X-Twice": "1", "Accept": "x"})
                client.post(server.url, json={"a": 1}, headers=[("X-Two", "1"), ("x-two", "2")])
                client.post(server.url, content=iter([b"ab", b"c"]))
                client.request("PROPFIND", server.url)
                client.put(server.url, content=b"")
            received = server.connections[0].received
            return received.replace(server.url.encode(), b"").replace(b":%d" % server.port, b"")

    assert sent_by(side.family.Transport()) == sent_by(side.module.HTTPTransport())


def test_the_target_extension_stands_in_the_request_line(side):
    with ScriptedServer(SERVE) as server:
        side.ask("OPTIONS", server.url, extensions={"target": b"*"})
        side.ask("GET", server.url + "/path", extensions={"target": b"/other?%zz"})
        side.ask("GET", server.url + "/path")
    assert [request.target for request in server.requests] == ["*", "/other?%zz", "/path"]


def test_uploads_of_every_kind(side, tmp_path):
    with Site(handler=lambda request: Answer(status=200, body=request.body)) as site:
        assert side.ask("POST", site.url, content=b"x" * 200_000).content == b"x" * 200_000
        multipart = side.ask("POST", site.url, files={"f": ("n.txt", b"y" * 100_000)}, data={"k": "v"}).content
        assert b"y" * 100_000 in multipart
        assert b'name="k"' in multipart
        assert side.ask("POST", site.url, data={"a": "b c"}).text == "a=b+c"


def test_a_request_whose_connection_died_is_sent_again_where_that_is_safe(side):
    def work(client, transport):
        for _ in range(3):
            response = yield client.get(server.url)
            assert response.text == "ok"

    # Each connection serves one request, promises more, and is gone.
    with ScriptedServer([REQUEST, OK]) as server:
        side.call(work)
        assert len(server.requests) == 3


def test_an_idempotency_key_makes_a_post_one_that_may_be_sent_again(side):
    """The server reads the second request on a connection and closes without a response; the third one is answered."""

    def work(client, transport):
        yield client.get(server.url)
        return (yield client.post(server.url, content=b"x", headers=headers))

    script = [REQUEST, OK, REQUEST]
    headers = {}
    with ScriptedServer(script, SERVE) as server, pytest.raises(side.module.RemoteProtocolError) as caught:
        side.call(work)
    assert caught.value.retry_safe is False
    headers = {"Idempotency-Key": "1"}
    with ScriptedServer(script, SERVE) as server:
        assert side.call(work).text == "ok"


def test_a_dial_that_fails_is_tried_again_as_often_as_retries_says(side):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    events = recorded_events()
    with pytest.raises(side.module.ConnectError):
        side.ask("GET", f"http://127.0.0.1:{port}", transport={"retries": 1, "on_event": events})
    assert len([event for event in events.events if type(event).__name__ == "ConnectFailed"]) == 2


def test_a_host_may_have_its_own_configuration(side):
    with Site() as site:
        hosts = {"127.0.0.1": HostConfig(headers={"X-Own": "yes"})}
        answer = side.ask("GET", site.url + "/echo", transport={"hosts": hosts})
    assert answer.json()["headers"]["x-own"] == "yes"


# What comes


def test_a_response_has_its_fields_as_they_came_and_its_body_undecoded_below(side):
    head = b"HTTP/1.0 299 All Fine\r\nX-Case: A\r\nx-case: B\r\nContent-Length: 3\r\nContent-Type: a/b\r\n\r\nabc"
    with ScriptedServer([REQUEST, head]) as server:
        response = side.ask("GET", server.url)
    assert (response.status_code, response.reason_phrase, response.http_version) == (299, "All Fine", "HTTP/1.0")
    assert response.headers.raw[:2] == [(b"X-Case", b"A"), (b"x-case", b"B")]
    assert response.content == b"abc"
    assert response.elapsed.total_seconds() >= 0
    with Site(Behaviour(coding="gzip")) as site:
        response = side.ask("GET", site.url + "/bytes/5000")
        assert response.headers["content-encoding"] == "gzip"
        assert len(response.content) == 5000
        assert response.num_bytes_downloaded < 5000


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("size", [0, 10, 70_000, 3_000_000])
def test_bodies_of_every_framing_and_size_whole_and_streamed(side, framing, size):
    with Site(Behaviour(framing=framing)) as site:
        whole = side.ask("GET", f"{site.url}/bytes/{size}").content
        assert len(whole) == size
        assert side.ask_streamed(f"{site.url}/bytes/{size}").content == whole
        assert side.ask("HEAD", f"{site.url}/bytes/{size}").content == b""


def test_pieces_of_a_stream_come_as_they_arrive(side):
    def work(client, _):
        response = yield client.send(client.build_request("GET", server.url), stream=True)
        first = True
        if hasattr(client, "aclose"):
            pieces = response.aiter_bytes()
            assert (yield anext(pieces)) == b"first"
            go_on.set()
            assert (yield anext(pieces)) == b"second"
            yield response.aclose()
        else:
            pieces = response.iter_bytes()
            assert next(pieces) == b"first"
            go_on.set()
            assert next(pieces) == b"second"
            response.close()
        return first

    go_on = threading.Event()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"
    with ScriptedServer([REQUEST, head, lambda _: go_on.wait(5), b"6\r\nsecond\r\n0\r\n\r\n"]) as server:
        assert side.call(work)


def test_an_unread_response_saves_its_connection_if_the_rest_is_here_and_closes_it_otherwise(side):
    def work(client, transport):
        for path in ("/bytes/10", "/bytes/9000000"):
            response = yield client.send(client.build_request("GET", site.url + path), stream=True)
            yield response.aclose() if hasattr(client, "aclose") else response.close()
            yield response.aclose() if hasattr(client, "aclose") else response.close()
        return transport.stats()

    with Site() as site:
        stats = side.call(work)
    assert (stats.busy, stats.opened) == (0, 1)
    assert stats.closed_by[Why.BODY_UNREAD] == 1


def test_the_comfort_above_is_the_clients_own(side):
    def answer(request):
        if request.path == "/away":
            return Answer(status=302, headers=(("Location", "/here"), ("Set-Cookie", "a=b")))
        if request.path == "/private" and "authorization" not in request.headers:
            return Answer(status=401, headers=(("WWW-Authenticate", 'Digest realm="r", nonce="n", qop="auth"'),))
        return Answer(status=200, body=repr(request.headers).encode())

    with Site(handler=answer) as site:
        assert "a=b" in side.ask("GET", site.url + "/away", {"follow_redirects": True}).text
        assert side.ask("GET", site.url + "/private", auth=side.module.DigestAuth("u", "p")).status_code == 200


# The way


def test_a_proxy_is_used_that_the_transport_was_given(side):
    with ScriptedServer(SERVE) as proxy:
        side.ask("GET", "http://a.example/x?y", transport={"proxy": proxy.url.replace("//", "//us%20er:pass@")})
        own = side.module.Proxy(proxy.url, auth=("us er", "pa:ss"), headers={"X-For-Proxy": "1"})
        side.ask("GET", "http://a.example/", transport={"proxy": own})
        side.ask("GET", "http://a.example/", transport={"proxy": side.module.URL(proxy.url)})
    assert proxy.requests[0].target == "http://a.example/x?y"
    fields = [request.headers for request in proxy.requests]
    assert fields[0]["proxy-authorization"] == "Basic dXMgZXI6cGFzcw=="
    assert fields[1]["proxy-authorization"] == "Basic dXMgZXI6cGE6c3M="
    assert fields[1]["x-for-proxy"] == "1"
    assert "proxy-authorization" not in fields[2]


def test_the_environment_is_the_transports_own_business(side, monkeypatch):
    with ScriptedServer(SERVE) as proxy, Site() as site:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert side.ask("GET", "http://a.example/").text == "ok"
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert side.ask("GET", site.url + "/hello").text.startswith("keeppool")
        monkeypatch.delenv("NO_PROXY")
        assert side.ask("GET", site.url + "/hello", transport={"trust_env": False}).text.startswith("keeppool")
        direct = {"hosts": {"127.0.0.1": HostConfig(proxy=None)}}
        assert side.ask("GET", site.url + "/hello", transport=direct).text.startswith("keeppool")
    assert len(proxy.requests) == 1


def test_mounts_choose_by_url(side):
    kind = side.family.Transport if type(side).__name__ == "Threads" else side.family.AsyncTransport
    with ScriptedServer(SERVE) as proxy, Site() as site:
        mounts = {"all://a.example": kind(proxy=proxy.url)}
        assert side.ask("GET", "http://a.example/", {"mounts": mounts}).text == "ok"
        assert side.ask("GET", site.url + "/hello", {"mounts": {"all://a.example": kind()}}).status_code == 200


def test_trust_is_given_by_a_path_a_context_or_the_environment(side, server_context, roots, monkeypatch):
    with ScriptedServer([REQUEST, OK], tls=server_context) as server:
        with pytest.raises(side.module.ConnectError) as caught:
            side.ask("GET", server.url)
        assert isinstance(caught.value.__cause__, errors.CertificateError)
        assert side.ask("GET", server.url, transport={"verify": roots}).text == "ok"
        assert side.ask("GET", server.url, transport={"verify": False}).text == "ok"
        context = ssl.create_default_context(cafile=roots)
        assert side.ask("GET", server.url, transport={"verify": context}).text == "ok"
        monkeypatch.setenv("SSL_CERT_FILE", roots)
        assert side.ask("GET", server.url).text == "ok"


def test_sni_hostname_is_asked_for_and_checked(side, server_context, roots):
    names = []
    server_context.sni_callback = lambda _, name, __: names.append(name)
    url = "https://127.0.0.1:{}"
    with ScriptedServer([REQUEST, OK], tls=server_context) as server:
        for name in ("a.example", b"a.example"):
            options = {"transport": {"verify": roots}, "extensions": {"sni_hostname": name}}
            assert side.ask("GET", url.format(server.port), **options).text == "ok"
        with pytest.raises(side.module.ConnectError):
            side.ask("GET", url.format(server.port), **options | {"extensions": {"sni_hostname": "b.example"}})
    server_context.sni_callback = None
    assert names == ["a.example", "a.example", "b.example"]


def test_a_unix_socket(side, tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(OK)

        thread = threading.Thread(target=serve)
        thread.start()
        assert side.ask("GET", "http://socket/", transport={"uds": path}).text == "ok"
        thread.join()


def test_the_modules_own_limits_are_understood(family):
    with family.Transport(limits=family.module.Limits(max_connections=7, keepalive_expiry=3.0)) as transport:
        limits = transport.pool.config.limits
        assert (limits.per_host, limits.per_proxy, limits.total, limits.idle_timeout) == (7, 7, 7, 3.0)


def test_the_defaults_are_those_for_sdks(family):
    with family.Transport() as transport:
        assert transport.pool.config == presets.SDK_CONFIG
    with family.Transport(limits=Limits(per_host=2)) as transport:
        assert transport.pool.config.limits.per_host == 2
        assert transport.pool.config.defaults.tcp_keepalive == 60.0
    with family.Transport(config=Config()) as transport:
        assert transport.pool.config == Config()


def test_what_a_given_pool_says_already_cannot_be_said_beside_it(family):
    with family.Transport() as transport:
        for more in ({"limits": Limits()}, {"verify": False}, {"proxy": "http://a"}, {"on_event": print}):
            with pytest.raises(errors.ConfigError, match="beside a pool"):
                family.Transport(pool=transport.pool, **more)


def test_connections_are_kept_and_capped(side):
    def work(client, transport):
        for _ in range(10):
            yield client.get(site.url + "/hello")

    events = recorded_events()
    with Site() as site:
        side.call(work, on_event=events)
    assert len(events.of(ConnectionOpened)) == 1
    assert [event.served for event in events.of(ConnectionClosed)] == [10]
