"""Who is at the other end of a connection: its address, and what TLS has shown of it.

Knows: how a socket writes an address. Does not know: whether any of it is to be trusted; the handshake decided that.

Source: RFC 8446 §4.1.3 (version and cipher), §4.4.2 (the server's certificate).
"""

from __future__ import annotations

from dataclasses import dataclass

from keeppool.net.tls_layer import TlsLayer


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection, as it was when the connection was made.

    Attributes:
        address: The IP address that was dialled, the proxy's if there is one; `None` for a Unix socket.
        certificate: The origin's certificate in DER; `None` without TLS.
        tls_version: Such as "TLSv1.3"; `None` without TLS.
        cipher: OpenSSL's name of the cipher suite; `None` without TLS.
    """

    address: str | None
    certificate: bytes | None = None
    tls_version: str | None = None
    cipher: str | None = None


def peer_of(name: object, layer: TlsLayer | None) -> Peer:
    """Note what is known of the other end.

    Args:
        name: As `socket.getpeername` gives it, or `None`.
        layer: The connection's innermost TLS, its handshake done; `None` without TLS.
    """
    address = str(name[0]) if isinstance(name, tuple) else None
    if layer is None:
        return Peer(address)
    return Peer(address, layer.getpeercert(binary_form=True), layer.version(), layer.cipher())
