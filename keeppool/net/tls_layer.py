"""TLS without a socket: ciphertext and plaintext as bytes, moved by whoever owns the transport.

Decides: nothing; OpenSSL does.
Knows: OpenSSL's memory buffers, and which of its signs means "more", "the end" and "broken off".
Does not know: sockets, event loops, which roots the context trusts.

One layer serves TLS within TLS on threads (`net/layered.py`) and all TLS on asyncio.

Source: RFC 8446 §4.6 (messages after the handshake), §6.1 (closure alerts).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keeppool.deferred import Deferred
from keeppool.net.steps import Steps

if TYPE_CHECKING:
    import ssl
else:
    ssl = Deferred("ssl")


class TlsLayer:
    """One connection's TLS.

    Args:
        context: What is trusted and shown.
        server_hostname: For SNI and the certificate's check; as `TlsStore.layer_for` writes it.
        session: To be resumed, if the server still knows it; made by the same context.

    Attributes:
        context: As given.

    Raises:
        ValueError: No certificate can have this name, or the session is another context's.

    Thread safety: one user at a time.
    """

    __slots__ = ("_incoming", "_outgoing", "_tls", "context")

    def __init__(self, context: ssl.SSLContext, server_hostname: str, session: ssl.SSLSession | None = None) -> None:
        self.context = context
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname, session=session)

    def handshake(self) -> Steps[None]:
        """Shake hands and check the certificate, as far as the context says.

        Whether it succeeds or fails, the last flight stays in `outgoing`, because nothing may answer it: the finish of
        a TLS 1.3 handshake, or the alert that tells the server why not.

        Raises:
            ssl.SSLError: The handshake failed; SSLCertVerificationError if the certificate is refused, SSLEOFError if
                the transport ended.
        """
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self.feed((yield self.outgoing()))
            else:
                return

    def feed(self, data: bytes) -> None:
        """Take ciphertext from the transport; none means that the transport has ended."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def read(self, size: int) -> bytes | None:
        """Give up to `size` bytes of plaintext, at least one.

        Returns:
            Plaintext; `None` if more ciphertext is needed; no bytes once the peer's close_notify has come.

        Raises:
            ssl.SSLEOFError: The transport ended without a close_notify: what came may have been cut short.
            ssl.SSLError: What came is no TLS, or was altered. The layer is of no further use.
        """
        try:
            return self._tls.read(size)
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLZeroReturnError:  # Instead of no bytes, where ours is sent too.
            return b""

    def write(self, data: bytes | bytearray | memoryview) -> bytes:
        """Encrypt everything.

        Returns:
            Ciphertext to send, with whatever `outgoing` held before.

        Raises:
            ssl.SSLError: The layer is of no further use.
        """
        left = memoryview(data).cast("B")
        while left:
            left = left[self._tls.write(left) :]
        return self.outgoing()

    def close_notify(self) -> bytes:
        """Give the closure alert; it is sent without waiting for the server's (RFC 8446 §6.1 asks for none)."""
        try:
            self._tls.unwrap()
        except (ssl.SSLError, ValueError):
            pass  # The server's own is not there, or there never was a handshake.
        return self.outgoing()

    def outgoing(self) -> bytes:
        """Give the ciphertext that handshake or read have made: a last flight, a key update's answer, an alert."""
        return self._outgoing.read()

    @property
    def pending(self) -> int:
        """Bytes that came and were not read yet, decrypted or not; 0 whenever the last `read` gave `None`.

        Not all of them need be plaintext: session tickets are among them, and closure alerts.
        """
        return self._tls.pending() + self._incoming.pending

    @property
    def session(self) -> ssl.SSLSession | None:
        """What a later connection may resume; in TLS 1.3 not before something was read."""
        return self._tls.session

    @property
    def session_reused(self) -> bool:
        """Whether the handshake resumed a session; named as that of an `SSLSocket`."""
        return bool(self._tls.session_reused)

    def version(self) -> str | None:
        """Name the protocol, such as `TLSv1.3`."""
        return self._tls.version()

    def cipher(self) -> str | None:
        """Name the cipher suite, as OpenSSL does."""
        chosen = self._tls.cipher()
        return None if chosen is None else chosen[0]

    def getpeercert(self, binary_form: bool = False) -> Any:
        """Give the server's certificate, as `ssl.SSLSocket.getpeercert` does."""
        return self._tls.getpeercert(binary_form)
