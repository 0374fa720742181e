"""What came on one asyncio connection and was not taken yet, decrypted.

Decides: nothing.
Knows: which bytes are plaintext and which only serve TLS, and how the end of each layer becomes the end of the next.
Does not know: the event loop, who waits, how much is too much.

Bytes are decrypted as soon as they come, so that a session ticket is known from data while a connection is idle.

Source: RFC 8446 §4.6.1 (tickets), §6.1 (closure alerts).
"""

from __future__ import annotations

import errno
import os
from collections import deque
from copy import copy
from typing import Final

from keeppool.net.stream import TLS_RECORD
from keeppool.net.tls_layer import TlsLayer


class Inbox:
    """The receiving side of a `Channel`.

    Args:
        layers: The connection's TLS, outermost first; the channel's own list, which `secure` makes grow.

    Attributes:
        chunks: What can be read, in the order it came. No chunk is empty.
        size: Bytes in `chunks`.
        taken: Bytes that were taken since the connection was opened.
        end: What comes behind them: no bytes for the peer's end, an error for a failure, `None` if more may come. The
            error is never raised itself, only copies are: its traceback would keep the reader alive, and us with it.
    """

    __slots__ = ("_layers", "chunks", "end", "size", "taken")

    def __init__(self, layers: list[TlsLayer]) -> None:
        self._layers = layers
        self.chunks: deque[bytes | memoryview] = deque()
        self.size = self.taken = 0
        self.end: OSError | bytes | None = None

    @property
    def has_news(self) -> bool:
        """Whether there is something to read: bytes, the end or a failure."""
        return bool(self.chunks) or self.end is not None

    def came(self, data: bytes) -> None:
        """Record what came from the kernel; no bytes mean that the peer has closed."""
        if self.end is None:
            self._open(data, 0)

    def failed(self, error: BaseException | None) -> None:
        """Record that no more will come, because of `error` or because we closed."""
        if self.end is None:
            self.end = copy(error) if isinstance(error, OSError) else our_close()

    def closed(self) -> None:
        """Forget what came: the connection was closed on this side."""
        self.chunks.clear()
        self.size = 0
        self.end = our_close()

    def take(self, size: int) -> bytes:
        """Take up to `size` bytes of the first chunk."""
        data = self.chunks.popleft()
        if len(data) > size:
            view = memoryview(data)
            self.chunks.appendleft(view[size:])
            data = view[:size]
        self.size -= len(data)
        self.taken += len(data)
        return bytes(data)

    def ended(self) -> bytes:
        """Give no bytes, or raise what ended the connection."""
        if isinstance(self.end, OSError):
            raise copy(self.end)
        return b""

    def secure(self, layer: TlsLayer) -> None:
        """Decrypt from now on by one more layer, beginning with what is there already."""
        received, end = list(self.chunks), self.end
        self.chunks.clear()
        self.size, self.end = 0, None
        depth = len(self._layers)
        self._layers.append(layer)
        self._open(None, depth)  # What came in one piece with the end of the handshake.
        for data in received:
            self._open(bytes(data), depth)
        if isinstance(end, OSError):
            self.failed(end)
        elif end is not None:
            self._open(end, depth)

    def _open(self, data: bytes | None, depth: int) -> None:
        """Lead bytes through the layers from `depth` on; `None` for those that the layer has got already."""
        try:
            if data is None:
                self._read_out(depth)
            else:
                self._decrypt(data, depth)
        except OSError as error:
            self.failed(error)

    def _decrypt(self, data: bytes, depth: int) -> None:
        """Lead bytes through the layers from `depth` on; no bytes are the end of what carries that layer."""
        if depth == len(self._layers):
            return self._record(data)
        self._layers[depth].feed(data)
        return self._read_out(depth, ended=not data)

    def _read_out(self, depth: int, *, ended: bool = False) -> None:
        layer = self._layers[depth]
        # Not asked if nothing is there: that answer would be an exception.
        while layer.pending or ended:
            plain = layer.read(TLS_RECORD)
            if plain is None:
                return
            self._decrypt(plain, depth + 1)
            if not plain:
                return

    def _record(self, data: bytes) -> None:
        if data:
            self.chunks.append(data)
            self.size += len(data)
        else:
            self.end = b""


def our_close() -> OSError:
    """Build the error for a connection that is used after it was closed; a socket has the same."""
    return OSError(errno.EBADF, _CLOSED)


_CLOSED: Final = os.strerror(errno.EBADF)
