"""TLS within TLS for threads: a `TlsLayer` over an `SSLSocket`, with those methods of a socket that `Stream` uses.

Decides: nothing.
Knows: how a socket tells "nothing there yet" from "the time is up" and from "the end".
Does not know: proxies, although only an https proxy that tunnels to an https origin needs it.

Source: RFC 8446 §4.6.2 (a certificate asked for late), §4.6.3 (key updates), §6.1 (closure alerts, one for each layer).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keeppool.deferred import Deferred
from keeppool.net.deadline import Deadline
from keeppool.net.steps import drive
from keeppool.net.tls_layer import TlsLayer

if TYPE_CHECKING:
    import ssl
else:
    ssl = Deferred("ssl")

#: Bytes read at once: what one TLS record carries at most (RFC 8446 §5.1), so all an `SSLSocket` ever gives.
_RECORD = 16384


class LayeredSocket:
    """The inner end of TLS within TLS.

    Args:
        outer: Connected, its handshake done. It belongs to this object from now on.
        layer: New.

    Attributes:
        outer: As given.
        layer: As given.

    Thread safety: one user at a time.
    """

    __slots__ = ("_timeout", "layer", "outer")

    def __init__(self, outer: ssl.SSLSocket, layer: TlsLayer) -> None:
        self.outer = outer
        self.layer = layer
        self._timeout: float | None = None

    def do_handshake(self, deadline: Deadline) -> None:
        """Shake hands with the server at the tunnel's end.

        Raises:
            TimeoutError: The deadline passed.
            OSError: As `TlsLayer.handshake`, or the socket failed. The server was sent the reason, if it still listens.
        """
        try:
            drive(self.layer.handshake(), self.outer, deadline)
        except ssl.SSLError:
            self._send_last(self.layer.outgoing())
            raise
        self._send_all(self.layer.outgoing(), deadline)

    def send(self, data: bytes | bytearray | memoryview) -> int:
        """Send all of `data`, or raise.

        Of up to one TLS record the server sees nothing if this raises: what was not sent is the record's end.
        """
        self._send_all(self.layer.write(data), Deadline(self._timeout))
        return len(data)

    def recv(self, size: int) -> bytes:
        """Read up to `size` bytes; none once the server's close_notify has come.

        Raises:
            ssl.SSLEOFError: The tunnel or the connection ended without the server's close_notify.
            TimeoutError: Nothing within the timeout.
            ssl.SSLWantReadError: The timeout is 0 and nothing is there.
            OSError: The connection failed.
        """
        # One deadline for all reads: a record that comes byte by byte must not last for ever. SSLSocket does the same.
        deadline = None if self._timeout == 0 else Deadline(self._timeout)
        while (data := self.layer.read(size)) is None:
            if deadline is None:
                self.outer.settimeout(0)
            else:
                # A certificate that the server waits for, a key update's answer. Where nothing may be waited for, half
                # of a record might go out, and the rest never: there it goes out with the next `send` or `recv`.
                self._send_all(self.layer.outgoing(), deadline)
                self.outer.settimeout(deadline.left())
            self.layer.feed(self.outer.recv(_RECORD))
        return data

    def recv_into(self, buffer: bytearray | memoryview) -> int:
        """Read into the buffer, at most what fits; 0 once the server's close_notify has come. Raises as `recv`."""
        view = memoryview(buffer).cast("B")
        data = self.recv(len(view))
        view[: len(data)] = data
        return len(data)

    @property
    def session_reused(self) -> bool:
        """Whether the inner TLS resumed a session."""
        return self.layer.session_reused

    def pending(self) -> int:
        """Count what came and was not read yet, in either layer; see `TlsLayer.pending`."""
        return self.layer.pending + self.outer.pending()

    def settimeout(self, seconds: float | None) -> None:
        """Bound each following call as a whole; `None` waits without limit, 0 not at all."""
        self._timeout = seconds

    def gettimeout(self) -> float | None:
        """Give what was last set."""
        return self._timeout

    def fileno(self) -> int:
        """Give the descriptor of the connection; -1 once it is closed."""
        return self.outer.fileno()

    def getpeername(self) -> object:
        """Give the address of the other end: the proxy's."""
        return self.outer.getpeername()

    def unwrap(self) -> None:
        """Send both closure alerts, the inner first, and wait for neither of the peers'.

        Raises:
            OSError, ValueError: As `SSLSocket.unwrap` where the proxy's alert has not come, which is the rule.
        """
        self._send_last(self.layer.close_notify())
        self.outer.unwrap()

    def close(self) -> None:
        """Close the connection without a word."""
        self.outer.close()

    def _send_all(self, data: bytes, deadline: Deadline) -> None:
        if data:
            self.outer.settimeout(deadline.left())
            self.outer.sendall(data)

    def _send_last(self, data: bytes) -> None:
        """Send what fits into the kernel's buffer; nothing may follow it."""
        self.outer.settimeout(0)
        try:
            if data:
                self.outer.send(data)
        except OSError:
            pass  # It was a courtesy: the server finds out when the connection closes.
