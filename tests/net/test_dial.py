"""Opening connections: where to, with which options, and which error each failure is."""

from __future__ import annotations

import pickle
import socket

import pytest

from keeppool.errors import ConfigError, ConnectError, ConnectTimeout, ProxyError, RefusedError, ResolveError
from keeppool.net.dial import dial
from keeppool.net.options import LONGEST_SILENCE, PROBE_COUNT, PROBE_INTERVAL
from keeppool.net.tls import TlsStore

TLS = TlsStore()

#: A name that no resolver is asked for: the whole is longer than DNS allows (RFC 1035 §2.3.4).
UNRESOLVABLE = ".".join(["a" * 60] * 5 + ["invalid"])


def peer(conn: socket.socket) -> tuple:
    """A handler that tells who came."""
    return conn.getpeername()


def test_a_dialled_stream_carries_bytes(serve, origin) -> None:
    server = serve()
    stream = dial(origin(server), seconds=5, tls=TLS)
    stream.send(b"ping")
    assert stream.receive(100) == b"hello"
    assert not stream.is_tls
    assert not stream.resumed
    stream.close()
    assert server.seen() == b"ping"


def test_a_stream_starts_without_a_timeout(serve, origin) -> None:
    """What is left of the dial's deadline must not cut the exchange short."""
    stream = dial(origin(serve()), seconds=5, tls=TLS)
    assert stream.sock.gettimeout() is None
    stream.abort()


@pytest.mark.parametrize("timeout", [None, float("inf")])
def test_no_limit_is_no_limit(serve, origin, timeout) -> None:
    dial(origin(serve()), seconds=timeout, tls=TLS).abort()


def test_a_name_is_resolved(serve, origin) -> None:
    dial(origin(serve(), host="localhost"), seconds=5, tls=TLS).abort()


def test_ipv6_is_dialled(serve, origin) -> None:
    server = serve(peer, host="::1")
    dial(origin(server, host="::1"), seconds=5, tls=TLS).abort()
    assert server.seen()[0] == "::1"


def test_small_pieces_go_out_at_once(serve, origin) -> None:
    stream = dial(origin(serve()), seconds=5, tls=TLS)
    assert stream.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    stream.abort()


@pytest.mark.parametrize(("seconds", "idle"), [(120.0, 120), (0.2, 1), (0, 1), (1e9, LONGEST_SILENCE)])
@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="reads Linux's option back")
def test_the_kernel_asks_after_a_silent_peer(serve, origin, seconds, idle) -> None:
    """Seconds that the kernel does not take are brought within what it takes."""
    stream = dial(origin(serve(), tcp_keepalive=seconds), seconds=5, tls=TLS)
    assert stream.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    options = [
        stream.sock.getsockopt(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    ]
    assert options == [idle, PROBE_INTERVAL, PROBE_COUNT]
    stream.abort()


def test_the_kernels_probes_can_be_off(serve, origin) -> None:
    stream = dial(origin(serve(), tcp_keepalive=None), seconds=5, tls=TLS)
    assert not stream.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    stream.abort()


def test_a_unix_socket_replaces_host_and_port(serve, origin, tmp_path) -> None:
    """The host is not even resolved."""
    path = tmp_path / "a.sock"
    server = serve(path=path)
    stream = dial(origin(1, host=UNRESOLVABLE, unix_socket=str(path)), seconds=5, tls=TLS)
    stream.send(b"ping")
    assert stream.receive(100) == b"hello"
    stream.close()
    assert server.seen() == b"ping"


def test_a_missing_unix_socket_is_named(origin, tmp_path) -> None:
    path = tmp_path / "none.sock"
    with pytest.raises(ConnectError, match=r"none\.sock: No such file") as caught:
        dial(origin(80, unix_socket=str(path)), seconds=5, tls=TLS)
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_the_server_sees_the_source_address(serve, origin) -> None:
    server = serve(peer)
    dial(origin(server, source_address="127.0.0.9"), seconds=5, tls=TLS).abort()
    assert server.seen()[0] == "127.0.0.9"


def test_a_source_address_of_somebody_else_is_named(serve, origin) -> None:
    with pytest.raises(ConnectError, match=r"from 192\.0\.2\.1: 127\.0\.0\.1: Cannot assign"):
        dial(origin(serve(), source_address="192.0.2.1"), seconds=5, tls=TLS)


def test_a_source_address_of_the_other_family_leaves_no_address(serve, origin) -> None:
    with pytest.raises(ResolveError):
        dial(origin(serve(), source_address="::1"), seconds=5, tls=TLS)


def test_a_source_address_must_be_an_address(origin) -> None:
    with pytest.raises(ConfigError) as caught:
        dial(origin(80, source_address="eth0"), seconds=5, tls=TLS)
    assert caught.value.field == "source_address"


def test_refused(origin, closed_port) -> None:
    wanted = origin(closed_port)
    with pytest.raises(RefusedError) as caught:
        dial(wanted, seconds=5, tls=TLS)
    assert caught.value.origin == str(wanted)
    assert str(caught.value) == f"{wanted}: cannot connect: 127.0.0.1: Connection refused"
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


def test_an_error_survives_pickling(origin, closed_port) -> None:
    with pytest.raises(RefusedError) as caught:
        dial(origin(closed_port), seconds=5, tls=TLS)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.origin) == (str(caught.value), caught.value.origin)


def test_a_name_without_an_address(origin) -> None:
    with pytest.raises(ResolveError, match="no address for aaa") as caught:
        dial(origin(80, host=UNRESOLVABLE), seconds=5, tls=TLS)
    assert isinstance(caught.value.__cause__, socket.gaierror)


@pytest.mark.parametrize("host", ["a..invalid", "a" * 64 + ".invalid", "a\0b.invalid"])
def test_a_name_that_is_none(origin, host) -> None:
    """Python refuses these with ValueError before it asks anybody."""
    with pytest.raises(ResolveError):
        dial(origin(80, host=host), seconds=5, tls=TLS)


def test_no_answer_in_time(origin, black_hole) -> None:
    host, port = black_hole
    with pytest.raises(ConnectTimeout) as caught:
        dial(origin(port, host=host), seconds=0.05, tls=TLS)
    assert caught.value.limit == 0.05
    assert str(caught.value) == f"http://{host}:{port}: no connection within 0.05 s: 127.0.0.1: no answer"
    assert isinstance(caught.value.__cause__, TimeoutError)


def test_an_http_origin_through_a_proxy_is_the_proxy_itself(serve, origin, proxy) -> None:
    """RFC 9112 §3.2.2: no tunnel; the request names its target."""
    server = serve()
    stream = dial(origin(server, proxy=proxy(server)), seconds=5, tls=TLS)
    stream.send(b"GET http://a.example/ HTTP/1.1\r\n\r\n")
    assert stream.receive(100) == b"hello"
    stream.close()
    assert server.seen().startswith(b"GET http://a.example/")


def test_a_proxy_that_is_not_there(origin, proxy, closed_port) -> None:
    for scheme in ("http", "https"):
        with pytest.raises(ProxyError, match=r"through http://127\.0\.0\.1:.*Connection refused") as caught:
            dial(origin(closed_port, scheme=scheme, proxy=proxy(closed_port)), seconds=5, tls=TLS)
        assert caught.value.status is None
        assert isinstance(caught.value.__cause__, ConnectionRefusedError)


def test_a_proxy_without_an_address(origin) -> None:
    from keeppool.core.origin import Proxy

    with pytest.raises(ProxyError, match="no address for"):
        dial(origin(80, proxy=Proxy(scheme="http", host=UNRESOLVABLE, port=80)), seconds=5, tls=TLS)


def test_a_proxy_that_does_not_answer_in_time(origin, proxy, black_hole) -> None:
    with pytest.raises(ConnectTimeout):
        dial(origin(443, scheme="https", proxy=proxy(black_hole[1])), seconds=0.05, tls=TLS)
