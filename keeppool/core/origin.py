"""What makes two requests share a connection.

Knows: everything that makes two requests not interchangeable is a field here, so that a connection made under one
setting can never serve a request under another.
Does not know: URLs and configuration; `pools/locate.py` builds origins from those.

Source: RFC 9110 §4.3.1 (origin), RFC 9112 §9.3 (persistence is per connection, not per name).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsIdentity:
    """How TLS is spoken and what is checked. Two different identities never share a connection.

    Attributes:
        verify: True for certifi's roots, a path for those, False for no check.
        cert: Client certificate: path, or (certificate, key) paths.
        fingerprint: Hex digest the server's certificate must have, lower case, without colons.
        server_hostname: Name for SNI and for the check of the certificate.
        context: The caller's own SSLContext, compared by identity.
    """

    verify: bool | str = True
    cert: str | tuple[str, str] | None = None
    fingerprint: str | None = None
    server_hostname: str | None = None
    context: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A proxy and the credentials used with it (`authorization` is the Proxy-Authorization value, or None)."""

    scheme: str
    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.scheme}://{_bracketed(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Origin:
    """The key of the pool's tables. Equal origins share connections.

    Attributes:
        scheme: "http" or "https", lower case.
        host: Lower case, IDNA-encoded; an IPv6 address without brackets, zone id included.
        port: Always given, also where it is the scheme's default.
        tls: None for http.
        proxy: None to go direct. For http through a proxy `host` and `port` are the proxy's: any such request may
            use any such connection (RFC 9112 §3.2.2).
        source_address: Local address to dial from.
        unix_socket: Path to dial instead of host and port.
        tcp_keepalive: Seconds of silence before TCP probes.
        tag: The caller's own distinction.
    """

    scheme: str
    host: str
    port: int
    tls: TlsIdentity | None = None
    proxy: Proxy | None = None
    source_address: str | None = None
    unix_socket: str | None = None
    tcp_keepalive: float | None = 120.0
    tag: str | None = None
    _key: tuple[Any, ...] = field(init=False, repr=False)
    _hash: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Hashed once: the pool looks the origin up for each request, and a dozen fields cost more than the look-up.
        key = (
            self.scheme,
            self.host,
            self.port,
            self.tls,
            self.proxy,
            self.source_address,
            self.unix_socket,
            self.tcp_keepalive,
            self.tag,
        )
        object.__setattr__(self, "_key", key)
        object.__setattr__(self, "_hash", hash(key))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origin) and self._key == other._key

    def __str__(self) -> str:
        text = f"{self.scheme}://{_bracketed(self.host)}:{self.port}"
        if self.unix_socket:
            text += f" by {self.unix_socket}"
        if self.proxy is not None:
            text += f" through {self.proxy}"
        return text


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
