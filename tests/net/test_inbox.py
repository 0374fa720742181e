"""What came on a connection, decrypted: where one layer's bytes and ends become the next one's."""

from __future__ import annotations

import contextlib
import errno
import ssl

import pytest

from keeppool.core.origin import Origin
from keeppool.net.inbox import Inbox
from keeppool.net.tls import TlsStore
from keeppool.net.tls_layer import TlsLayer


class Server:
    """The other end of a layer, in memory."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def shake(self, layer: TlsLayer) -> None:
        steps = layer.handshake()
        said = next(steps)
        with contextlib.suppress(StopIteration):
            while True:
                said = steps.send(self.answer(said))
        self.answer(layer.outgoing())
        self._outgoing.read()

    def answer(self, data: bytes) -> bytes:
        self._incoming.write(data)
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self._outgoing.read()

    def says(self, data: bytes) -> bytes:
        self.tls.write(data)
        return self._outgoing.read()

    def says_goodbye(self) -> bytes:
        with contextlib.suppress(ssl.SSLError):
            self.tls.unwrap()
        return self._outgoing.read()


@pytest.fixture
def shaken(server_context, trusting) -> tuple[Inbox, TlsLayer, Server]:
    """An inbox that is still plain, and the layer and server whose handshake is over."""
    server_context.num_tickets = 0
    layer = TlsStore().layer_for(Origin(scheme="https", host="127.0.0.1", port=443), trusting)
    server = Server(server_context)
    server.shake(layer)
    return Inbox([]), layer, server


def test_what_came_before_a_layer_is_decrypted_by_it(shaken) -> None:
    """The loop may read once more before the dial puts the layer on."""
    inbox, layer, server = shaken
    inbox.came(server.says(b"hello"))
    inbox.came(server.says(b"again"))
    inbox.secure(layer)
    assert list(inbox.chunks) == [b"hello", b"again"]
    assert inbox.size == 10
    assert inbox.end is None


def test_an_end_that_came_before_a_layer_is_the_layers_end(shaken) -> None:
    inbox, layer, server = shaken
    inbox.came(server.says(b"hello"))
    inbox.came(b"")
    inbox.secure(layer)
    assert inbox.take(100) == b"hello"
    with pytest.raises(ssl.SSLEOFError):
        inbox.ended()


def test_a_failure_that_came_before_a_layer_stays(shaken) -> None:
    inbox, layer, _ = shaken
    inbox.failed(ConnectionResetError(errno.ECONNRESET, "reset"))
    inbox.secure(layer)
    with pytest.raises(ConnectionResetError):
        inbox.ended()


def test_a_goodbye_that_came_before_a_layer_outranks_the_end(shaken) -> None:
    inbox, layer, server = shaken
    inbox.came(server.says(b"hello") + server.says_goodbye())
    inbox.came(b"")
    inbox.secure(layer)
    assert inbox.take(100) == b"hello"
    assert inbox.ended() == b""


def test_a_goodbye_in_the_handshakes_last_piece_outranks_the_end(shaken) -> None:
    inbox, layer, server = shaken
    layer.feed(server.says_goodbye())
    inbox.came(b"")
    inbox.secure(layer)
    assert inbox.ended() == b""


def test_bytes_behind_a_goodbye_are_not_read(shaken) -> None:
    inbox, layer, server = shaken
    inbox.secure(layer)
    inbox.came(server.says_goodbye() + b"\x17\x03\x03\x00\x05rest!")
    inbox.came(b"more")
    assert not inbox.chunks
    assert inbox.ended() == b""


def test_bytes_behind_our_close_are_not_kept() -> None:
    inbox = Inbox([])
    inbox.came(b"before")
    inbox.closed()
    inbox.came(b"after")
    assert not inbox.chunks
    with pytest.raises(OSError, match="Bad file descriptor"):
        inbox.ended()


def test_a_chunk_is_given_in_slices_of_any_size() -> None:
    inbox = Inbox([])
    inbox.came(b"abcdefg")
    inbox.came(b"hi")
    assert [inbox.take(size) for size in (3, 1, 100, 100)] == [b"abc", b"d", b"efg", b"hi"]
    assert inbox.size == 0
    assert not inbox.has_news
