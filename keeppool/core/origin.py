"""What makes two requests share a connection.

Knows: everything that makes two requests not interchangeable is a field here, so that a connection made under one
setting can never serve a request under another.
Does not know: URLs and configuration; `pools/routes.py` builds origins from those.

Source: RFC 9110 §4.3.1 (origin), RFC 9112 §9.3 (persistence is per connection, not per name).
"""

from __future__ import annotations

from typing import Any, NamedTuple


class TlsIdentity(NamedTuple):
    """How TLS is spoken and what is checked. Two different identities never share a connection.

    A named tuple, as `Proxy` is: two frozen data classes would add 0.9 ms to the start, 1.5 % of it.

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


class Proxy(NamedTuple):
    """A proxy, and what it is sent about us. What is secret stays out of every text.

    Attributes:
        scheme: "http" or "https"; "socks4" or "socks5", which are asked for addresses; "socks4a" or "socks5h", which
            are asked for names.
        host: As in `Origin`.
        port: Always given.
        authorization: Value of Proxy-Authorization, unless `headers` have their own.
        headers: Fields for an http or https proxy, in the order they are sent.
        credentials: User and password for a SOCKS proxy.
        verify: How an https proxy's certificate is checked, as in `TlsIdentity`; True for any other proxy.
    """

    scheme: str
    host: str
    port: int
    authorization: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    credentials: tuple[bytes, bytes] | None = None
    verify: bool | str = True

    def __str__(self) -> str:
        return f"{self.scheme}://{_bracketed(self.host)}:{self.port}"

    def __repr__(self) -> str:
        return f"<Proxy {self}>"

    @property
    def is_socks(self) -> bool:
        """Whether it passes bytes on whatever they are, also those of an http origin."""
        return self.scheme.startswith("socks")

    @property
    def resolves_names(self) -> bool:
        """Whether it is given the origin's name; otherwise it wants an address."""
        return self.scheme not in ("socks4", "socks5")

    @property
    def fields(self) -> list[tuple[str, str]]:
        """List the fields it is sent: with CONNECT, or with each request for an http origin."""
        names = {name.lower() for name, _ in self.headers}
        said_twice = self.authorization is None or "proxy-authorization" in names
        return [*self.headers, *([] if said_twice else [("Proxy-Authorization", str(self.authorization))])]


class Origin:
    """The key of the pool's tables. Equal origins share connections.

    Never changed; to have that enforced would cost each new host 2 µs of 140. It compares and shows itself in its own
    way, so a data class would save its `__init__` alone, and making that takes a quarter of a millisecond at the start.

    Attributes:
        scheme: "http" or "https", lower case.
        host: Lower case, IDNA-encoded; an IPv6 address without brackets, zone id included.
        port: Always given, also where it is the scheme's default.
        tls: None for http, unless it goes through an https proxy: then how to check that one.
        proxy: None to go direct. For http through an http or https proxy `host` and `port` are the proxy's: any such
            request may use any such connection (RFC 9112 §3.2.2).
        source_address: Local address to dial from.
        unix_socket: Path to dial instead of host and port.
        tcp_keepalive: Seconds of silence before TCP probes.
        tag: The caller's own distinction.
    """

    __slots__ = (
        "_hash",
        "_key",
        "host",
        "port",
        "proxy",
        "scheme",
        "source_address",
        "tag",
        "tcp_keepalive",
        "tls",
        "unix_socket",
    )

    def __init__(
        self,
        *,
        scheme: str,
        host: str,
        port: int,
        tls: TlsIdentity | None = None,
        proxy: Proxy | None = None,
        source_address: str | None = None,
        unix_socket: str | None = None,
        tcp_keepalive: float | None = 120.0,
        tag: str | None = None,
    ) -> None:
        self.scheme = scheme
        self.host = host
        self.port = port
        self.tls = tls
        self.proxy = proxy
        self.source_address = source_address
        self.unix_socket = unix_socket
        self.tcp_keepalive = tcp_keepalive
        self.tag = tag
        # Hashed once: the pool looks the origin up for each request, and a dozen fields cost more than the look-up.
        self._key: tuple[Any, ...] = (
            scheme,
            host,
            port,
            tls,
            proxy,
            source_address,
            unix_socket,
            tcp_keepalive,
            tag,
        )
        self._hash = hash(self._key)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origin) and self._key == other._key

    def __repr__(self) -> str:
        return f"<Origin {self}>"

    @property
    def is_tunnelled(self) -> bool:
        """Whether a proxy passes on what is sent without reading it."""
        return self.proxy is not None and (self.scheme == "https" or self.proxy.is_socks)

    @property
    def is_forwarded(self) -> bool:
        """Whether a proxy reads each request and sends it on."""
        return self.proxy is not None and not self.is_tunnelled

    @property
    def identity(self) -> TlsIdentity | None:
        """How TLS is spoken with the origin itself; None if it is not."""
        return (self.tls or TlsIdentity()) if self.scheme == "https" else None

    def tls_hop(self) -> Origin | None:
        """Give the https proxy on the way, as the origin an http request through it has; None if there is none.

        It is checked by its own name and by its own setting: whoever does not check an origin's certificate has still
        given the proxy credentials. It is shown no certificate, and no fingerprint or name meant for the server is
        asked of it. A caller's own context may hold all of these, so it is not used either.
        """
        proxy = self.proxy
        if proxy is None or proxy.scheme != "https":
            return None
        return Origin(
            scheme="http",
            host=proxy.host,
            port=proxy.port,
            tls=TlsIdentity(verify=proxy.verify),
            proxy=proxy,
            source_address=self.source_address,
            unix_socket=self.unix_socket,
            tcp_keepalive=self.tcp_keepalive,
            tag=self.tag,
        )

    def identities(self) -> list[TlsIdentity]:
        """Give how TLS is spoken with each that speaks it: with an https proxy on the way, and with the origin."""
        if self.scheme == "http" and self.proxy is None:
            return []
        hop = self.tls_hop()
        spoken = (None if hop is None else hop.tls, self.identity)
        return [identity for identity in spoken if identity is not None]

    def __str__(self) -> str:
        # Forwarded requests share their connections, whatever host they are for.
        text = "http://*" if self.is_forwarded else f"{self.scheme}://{_bracketed(self.host)}:{self.port}"
        if self.unix_socket:
            text += f" by {self.unix_socket}"
        if self.proxy is not None:
            text += f" through {self.proxy}"
        return text


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
