"""CONNECT: what is asked, which answers open the tunnel, and what each other answer becomes."""

from __future__ import annotations

import contextlib
import socket

import pytest

from keeppool.errors import CertificateError, ConnectTimeout, HeadTooLarge, ProxyError
from keeppool.net.dial import dial
from keeppool.net.tls import TlsStore


@pytest.fixture
def store() -> TlsStore:
    return TlsStore()


def head(conn: socket.socket) -> bytes:
    """Read a request's head and not a byte more."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        data += conn.recv(1)
    return data


@pytest.fixture
def answering(serve, origin, proxy, store):
    """Dial an https origin through a proxy that gives `answer` and closes; give its error and what it was asked."""

    def once(answer: bytes, host: str = "a.example", timeout: float = 20, **more):
        def handle(conn: socket.socket) -> bytes:
            asked = head(conn)
            conn.sendall(answer)
            conn.shutdown(socket.SHUT_WR)
            conn.recv(65536)
            return asked

        server = serve(handle)
        wanted = origin(443, scheme="https", host=host, proxy=proxy(server, **more))
        with pytest.raises(Exception) as caught:  # noqa: PT011
            dial(wanted, seconds=timeout, tls=store)
        assert caught.value.origin == str(wanted)
        return caught.value, server.seen()

    return once


def tunnel_to(speak_tls, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n"):
    """A handler: the tunnel's end and the origin behind it in one."""

    def handle(conn: socket.socket):
        asked = head(conn)
        conn.sendall(answer)
        return asked, speak_tls(conn)

    return handle


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 Connection established\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nProxy-Agent: old\r\n\r\n",
        b"HTTP/1.1 204 Why not\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_a_tunnel_carries_tls_to_the_origin(serve, speak_tls, origin, proxy, store, ca_file, answer) -> None:
    """Any 2xx opens it, and has no body whatever its fields say (RFC 9110 §9.3.6)."""
    from keeppool.core.origin import TlsIdentity

    server = serve(tunnel_to(speak_tls, answer))
    wanted = origin(8443, scheme="https", host="a.example", tls=TlsIdentity(verify=ca_file), proxy=proxy(server))
    stream = dial(wanted, seconds=20, tls=store)
    assert stream.is_tls
    stream.send(b"ping")
    assert stream.receive(100) == b"hello"
    stream.close()
    asked, handshake = server.seen()
    assert asked == b"CONNECT a.example:8443 HTTP/1.1\r\nHost: a.example:8443\r\n\r\n"
    assert handshake.name == "a.example"


def test_the_proxy_gets_its_credentials_and_the_origin_does_not(
    serve, speak_tls, origin, proxy, store, trusting
) -> None:
    server = serve(tunnel_to(speak_tls))
    through = proxy(server, authorization="Basic dTpw")
    stream = dial(origin(443, scheme="https", host="a.example", tls=trusting, proxy=through), seconds=20, tls=store)
    stream.close()
    asked, handshake = server.seen()
    assert b"\r\nProxy-Authorization: Basic dTpw\r\n" in asked
    assert handshake.data == b""


def test_an_ipv6_origin_is_asked_for_in_brackets(answering) -> None:
    _, asked = answering(b"HTTP/1.1 502 No\r\n\r\n", host="2001:db8::1")
    assert asked.startswith(b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n")


def test_a_reason_of_any_length_is_cut_and_escaped(answering) -> None:
    """Row E7: it is the proxy's, and may be a terminal's command."""
    error, _ = answering(b"HTTP/1.1 403 \x1b[2J\x9b" + b"x" * 60_000 + b"\r\nContent-Length: 0\r\n\r\n")
    assert error.status == 403
    assert len(str(error)) <= 1010
    assert str(error).isprintable()
    assert "403" in str(error)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 3\r\n\r\nno!", 407),
        (b"HTTP/1.1 502\r\n\r\n", 502),
        (b"HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n\r\n", 302),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 101),
    ],
)
def test_every_other_status_is_a_refusal(answering, answer, status) -> None:
    error, _ = answering(answer, authorization="Basic c2VjcmV0")
    assert isinstance(error, ProxyError)
    assert error.status == status
    assert f"the proxy refused the tunnel: {status}" in str(error)
    assert "c2VjcmV0" not in str(error)


def test_bytes_behind_the_answer_are_not_taken_for_the_origins(answering) -> None:
    error, _ = answering(b"HTTP/1.1 200 OK\r\n\r\n\x15\x03\x03\x00\x02\x01\x00")
    assert isinstance(error, ProxyError)
    assert "more than its answer" in str(error)


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.9\r\n", b"HTTP/1.1 maybe\r\n\r\n", b"\r\n\r\n"])
def test_garbage(answering, answer) -> None:
    error, _ = answering(answer)
    assert isinstance(error, ProxyError)
    assert "is not HTTP" in str(error)
    assert error.__cause__ is not None


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nProxy-Ag"])
def test_a_proxy_that_closes(answering, answer) -> None:
    error, _ = answering(answer)
    assert isinstance(error, ProxyError)
    assert "without an answer" in str(error)


@pytest.mark.parametrize(
    "piece",
    [b"X-Padding: " + b"x" * 1000 + b"\r\n", b"\r\nHTTP/1.1 100 Continue\r\n"],
    ids=["one head", "interim heads"],
)
def test_an_endless_answer_is_given_up(serve, origin, proxy, store, piece) -> None:
    """The proxy writes until it is cut off."""

    def endless(conn: socket.socket) -> None:
        head(conn)
        conn.sendall(b"HTTP/1.1 100 Continue\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                conn.sendall(piece)

    server = serve(endless)
    with pytest.raises(ProxyError) as caught:
        dial(origin(443, scheme="https", host="a.example", proxy=proxy(server)), seconds=20, tls=store)
    assert isinstance(caught.value.__cause__, HeadTooLarge)
    server.seen()


def test_a_proxy_that_does_not_answer(black_hole_socket, origin, proxy, store) -> None:
    """The kernel accepts for a listener nobody serves."""
    black_hole_socket.listen(5)
    port = black_hole_socket.getsockname()[1]
    with pytest.raises(ConnectTimeout, match="the proxy did not answer CONNECT") as caught:
        dial(origin(443, scheme="https", host="a.example", proxy=proxy(port)), seconds=0.1, tls=store)
    assert caught.value.limit == 0.1


def test_a_proxy_that_hangs_up_hard(serve, origin, proxy, store) -> None:
    """A reset is the proxy's failure, and its error is the cause."""

    def reset(conn: socket.socket) -> None:
        conn.recv(1)  # The rest stays unread: closing now sends RST.

    server = serve(reset)
    with pytest.raises(ProxyError):
        dial(origin(443, scheme="https", host="a.example", proxy=proxy(server)), seconds=20, tls=store)
    server.seen()


def test_an_origin_that_fails_behind_the_tunnel_is_not_the_proxys_fault(serve, speak_tls, origin, proxy, store) -> None:
    server = serve(tunnel_to(speak_tls))
    with pytest.raises(CertificateError):
        dial(origin(443, scheme="https", host="a.example", proxy=proxy(server)), seconds=20, tls=store)
