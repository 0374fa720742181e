"""A stream over TLS within TLS answers its questions as one over plain TLS does."""

from __future__ import annotations

import socket
import ssl
import threading

import pytest
from net.proxies import TunnelProxy

from keeppool.core.origin import Origin, Proxy
from keeppool.errors import CertificateError
from keeppool.net.dial import dial
from keeppool.net.stream import Stream
from keeppool.net.streams import Liveness
from keeppool.net.tls import TlsStore


class Inner:
    """The server within: driven by the test, between the outer TLS connection's bytes."""

    def __init__(self, outer: ssl.SSLSocket, context: ssl.SSLContext) -> None:
        self.outer = outer
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)

    def shake(self) -> None:
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.outer.sendall(self.outgoing.read())
                self.incoming.write(self.outer.recv(65536))
            else:
                return

    def flush(self) -> None:
        self.outer.sendall(self.outgoing.read())

    def read(self) -> bytes:
        while True:
            try:
                return self.tls.read(65536)
            except ssl.SSLWantReadError:
                data = self.outer.recv(65536)
                self.incoming.write(data) if data else self.incoming.write_eof()

    def goodbye(self) -> None:
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.unwrap()


@pytest.fixture
def both(server_context, trusting):
    """A stream through an https proxy, and the server within; nothing was said after the handshakes."""
    server_context.num_tickets = 0  # They would make every stream readable.
    server_context.post_handshake_auth = True
    server_context.verify_mode = ssl.CERT_OPTIONAL
    found: list[Inner] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            raw, _ = listener.accept()
            raw.settimeout(20)
            outer = server_context.wrap_socket(raw, server_side=True, suppress_ragged_eofs=False)
            while not outer.recv(4096).endswith(b"\r\n\r\n"):
                pass
            outer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            found.append(Inner(outer, server_context))
            found[0].shake()

        thread = threading.Thread(target=accept)
        thread.start()
        proxy = Proxy(scheme="https", host="127.0.0.1", port=listener.getsockname()[1], verify=trusting.verify)
        origin = Origin(scheme="https", host="a.example", port=443, tls=trusting, proxy=proxy)
        stream = dial(origin, seconds=20, tls=TlsStore())
        thread.join(20)
        yield stream, found[0]
        stream.abort()
        found[0].outer.close()


def arrived(stream: Stream) -> None:
    """Wait until something is there to be read."""
    assert stream.wait_readable(20)


def test_it_is_tls_and_idle(both):
    stream, _ = both
    assert stream.is_tls
    assert stream.probe() is Liveness.IDLE


def test_bytes_go_both_ways(both):
    stream, inner = both
    assert stream.send(b"ping") == 4
    assert inner.read() == b"ping"
    inner.tls.write(b"pong")
    inner.flush()
    assert stream.receive(2) == b"po"
    buffer = bytearray(10)
    assert stream.receive_into(buffer) == 2
    assert buffer[:2] == b"ng"


def test_bytes_nobody_asked_for_are_data(both):
    stream, inner = both
    inner.tls.write(b"x")
    inner.flush()
    arrived(stream)
    assert stream.probe() is Liveness.DATA


@pytest.mark.parametrize("outer_records", [1, 2])
def test_a_second_answer_behind_the_first_is_data_wherever_it_waits(both, outer_records):
    """In one outer record, it is in our buffers and the socket shows nothing."""
    stream, inner = both
    inner.tls.write(b"first")
    if outer_records == 2:
        inner.flush()
    inner.tls.write(b"second")
    inner.flush()
    assert stream.receive(5) == b"first"
    if outer_records == 2:
        arrived(stream)
    assert stream.probe() is Liveness.DATA


def test_a_goodbye_behind_an_answer_is_a_close_wherever_it_waits(both):
    stream, inner = both
    inner.tls.write(b"last")
    inner.goodbye()
    inner.flush()
    assert stream.receive(100) == b"last"
    assert stream.probe() is Liveness.CLOSED


def test_the_proxys_end_is_a_close(both):
    stream, inner = both
    inner.outer.close()
    arrived(stream)
    assert stream.probe() is Liveness.CLOSED


@pytest.mark.parametrize("polite", [True, False])
def test_an_end_is_only_an_end_with_the_servers_goodbye(both, polite):
    stream, inner = both
    if polite:
        inner.goodbye()
        inner.flush()
    inner.outer.close()
    if polite:
        assert stream.receive(100) == b""
    else:
        with pytest.raises(ssl.SSLEOFError):
            stream.receive(100)


def test_nothing_in_time_is_a_timeout(both):
    stream, _ = both
    stream.set_timeout(0.01)
    with pytest.raises(TimeoutError):
        stream.receive(1)
    with pytest.raises(TimeoutError):
        stream.wait_readable(0.01)
    assert stream.receive_now(10) is None
    assert stream.probe() is Liveness.IDLE


def test_a_record_that_never_ends_is_a_timeout(both):
    """Its bytes come one by one, each in time."""
    stream, inner = both
    inner.tls.write(bytes(16000))
    record = inner.outgoing.read()
    stop = threading.Event()

    def dribble() -> None:
        for byte in record:
            if stop.is_set():
                return
            inner.outer.sendall(bytes([byte]))
            stop.wait(0.005)

    thread = threading.Thread(target=dribble)
    stream.set_timeout(0.2)
    thread.start()
    with pytest.raises(TimeoutError):
        stream.receive(1)
    stop.set()
    thread.join(20)


def test_recv_now_reads_what_is_there(both):
    stream, inner = both
    assert stream.receive_now(10) is None
    inner.tls.write(b"now")
    inner.flush()
    arrived(stream)
    assert stream.receive_now(10) == b"now"


def test_a_close_says_both_goodbyes(both):
    stream, inner = both
    stream.close()
    assert inner.read() == b""
    assert inner.outer.recv(10) == b""


def test_an_abort_says_none(both):
    stream, inner = both
    stream.abort()
    with pytest.raises((ssl.SSLEOFError, ConnectionError)):
        inner.outer.recv(10)
    assert stream.sock.fileno() == -1


def test_a_send_to_nobody_is_an_error(both):
    stream, inner = both
    inner.outer.close()

    def flood() -> None:
        for _ in range(1000):
            stream.send(bytes(16384))

    with pytest.raises((ConnectionError, ssl.SSLError)):
        flood()


def test_a_server_whose_certificate_is_refused_is_told(serve, speak_tls, server_context, trusting):
    server = serve(speak_tls)
    with TunnelProxy(leads_to=(server.host, server.port), tls=server_context) as proxy:
        through = Proxy(scheme="https", host="127.0.0.1", port=proxy.port, verify=trusting.verify)
        wanted = Origin(scheme="https", host="b.example", port=443, tls=trusting, proxy=through)
        with pytest.raises(CertificateError):
            dial(wanted, seconds=20, tls=TlsStore())
        assert "ALERT_BAD_CERTIFICATE" in str(server.seen())


def test_a_certificate_asked_for_after_the_handshake_is_sent_while_an_answer_is_awaited(both):
    """RFC 8446 §4.6.2: the server waits for it, and only then says something."""
    stream, inner = both
    inner.tls.verify_client_post_handshake()
    inner.tls.write(b"")
    inner.flush()
    answer: list[bytes] = []
    thread = threading.Thread(target=lambda: answer.append(stream.receive(100)))
    thread.start()
    inner.incoming.write(inner.outer.recv(65536))
    with pytest.raises(ssl.SSLWantReadError):
        inner.tls.read(1)
    inner.tls.write(b"answer")
    inner.flush()
    thread.join(20)
    assert answer == [b"answer"]
