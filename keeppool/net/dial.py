"""Opening one connection: from an origin to a stream that is ready for a request.

Decides: where to connect for an origin, in which steps, and which error each failure is.
Knows: the resolver, the order TCP, CONNECT, TLS; one deadline for all of it.
Does not know: the pool, why a connection is wanted, what is sent on it.

Source: RFC 9110 §4.2 (http and https), §9.3.6 (CONNECT); RFC 9112 §3.2.2 (http through a proxy).
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from keeppool.core.origin import Origin, TlsIdentity
from keeppool.deferred import Deferred
from keeppool.net.addresses import for_socks, interleaved
from keeppool.net.dialling import Dialling
from keeppool.net.failures import shaking_hands, tunnelling
from keeppool.net.questions import to_be_told
from keeppool.net.race import RaceLost, race
from keeppool.net.resolver import BlockingResolver
from keeppool.net.stream import Stream
from keeppool.net.tls import TlsStore

if TYPE_CHECKING:
    import ssl

    from keeppool.net import proxy as proxies
    from keeppool.net import steps as stepwise
    from keeppool.net.laps import Laps
    from keeppool.net.layered import LayeredSocket
else:
    ssl = Deferred("ssl")
    # For those who go through a proxy.
    proxies = Deferred("keeppool.net.proxy")
    stepwise = Deferred("keeppool.net.steps")


def dial(
    origin: Origin,
    *,
    seconds: float | None,
    tls: TlsStore,
    resolver: BlockingResolver | None = None,
    laps: Laps | None = None,
) -> Stream:
    """Open a connection to an origin: TCP or a Unix socket, TLS to an https proxy, CONNECT or SOCKS, TLS.

    `origin.unix_socket` replaces the address of host and port, or of the proxy if there is one. What an https proxy
    has to show is what `Origin.tls_hop` says.

    Args:
        origin: Where to, and how.
        seconds: For all steps together, resolving names included; `None` for no limit.
        tls: Contexts and sessions of the pool this connection is for.
        resolver: Asked for names; one whose addresses all failed is forgotten. `None` for one that keeps nothing.
        laps: Told of each step as it begins.

    Returns:
        A connected stream without a timeout. `resumed` tells whether the TLS next to the caller resumed a session.

    Raises:
        ResolveError: The name has no address (of the source address's family, where one is set).
        RefusedError: Nobody listens, on any of the addresses.
        ConnectTimeout: The time was up in one of the steps, the look-up and the proxy's included.
        CertificateError: The certificate is not trusted, not for this host, or not the pinned one.
        SSLError: The TLS handshake failed otherwise.
        ProxyError: The proxy cannot be reached, is not what it should be, or does not open the way. If its certificate
            was refused, `__cause__` is `ssl`'s error.
        ConnectError: Anything else the operating system objects to.
        ConfigError: A certificate file or the source address cannot be used.
        InvalidProxyURL: A SOCKS proxy, and python-socks is not installed.

        All of them name the origin; nothing was sent to it, and every socket is closed.
    """
    resolver = resolver or BlockingResolver()
    with Dialling(origin, resolver) as dialling:
        return _open(dialling, tls, resolver, seconds, laps)


def _open(
    dialling: Dialling, tls: TlsStore, resolver: BlockingResolver, seconds: float | None, laps: Laps | None
) -> Stream:
    origin = dialling.origin
    hop, identity = origin.tls_hop(), origin.identity
    # Before the clock starts: the first context costs an import and the parsing of all roots; no host is at fault.
    for checked in origin.identities():
        tls.context_for(checked)
    deadline = dialling.begin(seconds, laps)
    steps = None if origin.proxy is None else proxies.tunnel_steps(origin, _address_for_proxy(dialling, resolver))
    sock = _reach(dialling, resolver)
    opened: socket.socket | LayeredSocket = sock
    try:
        if hop is not None:
            with shaking_hands(origin, deadline, by_proxy=True):
                opened = sock = tls.handshake(sock, hop, hop.tls or TlsIdentity(), deadline)
        if steps is not None:
            with tunnelling(origin, deadline):
                stepwise.drive(steps, sock, deadline)
        if identity is not None:
            with shaking_hands(origin, deadline, by_proxy=False):
                if isinstance(sock, ssl.SSLSocket):
                    opened = tls.handshake_within(sock, origin, identity, deadline)
                else:
                    opened = tls.handshake(sock, origin, identity, deadline)
        return Stream(opened, resumed=_is_resumed(opened), laps=laps)
    except BaseException:
        opened.close()
        raise


def _is_resumed(sock: socket.socket | LayeredSocket) -> bool:
    return bool(getattr(sock, "session_reused", False))  # A plain socket has no session.


def _reach(dialling: Dialling, resolver: BlockingResolver) -> socket.socket:
    """Connect to the origin, or to the proxy before it."""
    question, prepare = dialling.next_hop()
    addresses = interleaved(resolver.resolve(question, dialling.deadline))
    try:
        return race(addresses, deadline=dialling.connects(), prepare=prepare)
    except RaceLost as lost:
        dialling.lost(lost)
    return _reach(dialling, resolver)


def _address_for_proxy(dialling: Dialling, resolver: BlockingResolver) -> str | None:
    """Give the origin's address, if its proxy needs one."""
    question = to_be_told(dialling.origin)
    return None if question is None else for_socks(resolver.resolve(dialling.looks_up(question), dialling.deadline))
