"""TLS without a socket: every split of the ciphertext gives the same plaintext and the same end."""

from __future__ import annotations

import ssl

import pytest
import trustme

from keeppool.net.tls_layer import TlsLayer


class Server:
    """The other end: OpenSSL's server between two buffers."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)

    def shake(self, data: bytes) -> bytes:
        """Take a flight, give the next one."""
        self.incoming.write(data)
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self.outgoing.read()

    def say(self, data: bytes) -> bytes:
        """Give `data` encrypted, with the session tickets before it."""
        self.tls.write(data)
        return self.outgoing.read()

    def goodbye(self) -> bytes:
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.unwrap()
        return self.outgoing.read()


@pytest.fixture
def server_context(leaf: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    return context


@pytest.fixture
def trusting_context(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


@pytest.fixture
def connect(server_context, trusting_context):
    """Make both ends, their handshake done, the server's flights cut into pieces of `size` bytes."""

    def make(size: int = 100_000, name: str = "a.example", session: ssl.SSLSession | None = None):
        layer, server = TlsLayer(trusting_context, name, session), Server(server_context)
        steps = layer.handshake()
        flight = next(steps)
        try:
            while True:
                answer = server.shake(flight)
                flight = b"".join([steps.send(piece) for piece in pieces(answer, size)])
        except StopIteration:
            pass
        server.outgoing.write(server.shake(layer.outgoing()))  # Session tickets, to go with what is said first.
        return layer, server

    return make


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_any_split_gives_the_same_bytes(connect, size):
    layer, server = connect(size)
    got = []
    for piece in pieces(server.say(b"hello") + server.say(b" world") + server.goodbye(), size):
        layer.feed(piece)
        while (data := layer.read(100)) is not None:
            got.append(data)
            if not data:
                break
    assert b"".join(got) == b"hello world"
    assert got[-1] == b""


def test_everything_written_is_encrypted_however_long(connect):
    layer, server = connect()
    data = bytes(range(256)) * 1000
    server.incoming.write(layer.write(memoryview(data)))
    got = b""
    while len(got) < len(data):
        got += server.tls.read(65536)
    assert got == data


def test_pending_counts_what_came_and_was_not_read_in_whatever_form(connect):
    layer, server = connect()
    assert layer.pending == 0
    layer.feed(server.say(b"hello"))
    assert layer.pending > 5
    assert layer.read(2) == b"he"
    assert layer.pending == 3
    assert layer.read(10) == b"llo"
    assert layer.read(10) is None
    assert layer.pending == 0


def test_session_tickets_are_no_data(connect):
    layer, server = connect()
    tickets = server.outgoing.read()
    assert tickets
    layer.feed(tickets)
    assert layer.pending
    assert layer.read(10) is None
    assert layer.pending == 0


def test_an_end_without_goodbye_is_told_from_one_with_it(connect):
    layer, server = connect()
    layer.feed(server.say(b"half"))
    layer.feed(b"")
    assert layer.read(10) == b"half"
    with pytest.raises(ssl.SSLEOFError):
        layer.read(10)
    polite, server = connect()
    polite.feed(server.goodbye())
    polite.feed(b"")
    assert polite.read(10) == b""


def test_goodbye_is_given_once_and_never_waits(connect):
    layer, server = connect()
    server.incoming.write(layer.close_notify())
    assert server.tls.read(1) == b""
    assert layer.close_notify() == b""


def test_goodbye_before_any_hello_is_nothing(trusting_context):
    assert TlsLayer(trusting_context, "a.example").close_notify() == b""


def test_reading_after_both_goodbyes_is_the_end(connect):
    layer, server = connect()
    layer.close_notify()
    layer.feed(server.goodbye())
    assert layer.read(10) == b""


def test_a_session_can_be_resumed(connect):
    first, server = connect()
    assert not first.session_reused
    first.feed(server.say(b"x"))
    first.read(10)
    second, _ = connect(session=first.session)
    assert second.session_reused
    assert second.version() == "TLSv1.3"


def test_a_refused_certificate_leaves_an_alert_for_the_server(trusting_context, server_context):
    layer, server = TlsLayer(trusting_context, "b.example"), Server(server_context)
    steps = layer.handshake()
    answer = server.shake(next(steps))
    with pytest.raises(ssl.SSLCertVerificationError):
        steps.send(answer)
    with pytest.raises(ssl.SSLError, match="ALERT_BAD_CERTIFICATE"):
        server.shake(layer.outgoing())


def test_a_handshake_that_breaks_off(trusting_context):
    steps = TlsLayer(trusting_context, "a.example").handshake()
    next(steps)
    with pytest.raises(ssl.SSLEOFError):
        steps.send(b"")


def test_an_altered_record_is_refused(connect):
    layer, server = connect()
    record = bytearray(server.say(b"hello"))
    record[-1] ^= 1
    layer.feed(bytes(record))
    with pytest.raises(ssl.SSLError, match="BAD_RECORD_MAC"):
        layer.read(10)


def test_it_can_show_the_servers_certificate(connect, leaf):
    layer, _ = connect()
    der = ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())
    assert layer.getpeercert(binary_form=True) == der
