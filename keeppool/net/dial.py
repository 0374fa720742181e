"""Opening one connection: from an origin to a stream that is ready for a request.

Decides: where to connect for an origin, in which steps, and which error each failure is.
Knows: the resolver, the order TCP, CONNECT, TLS; one deadline for all of it.
Does not know: the pool, why a connection is wanted, what is sent on it.

Source: RFC 9110 §4.2 (http and https), §9.3.6 (CONNECT); RFC 9112 §3.2.2 (http through a proxy).
"""

from __future__ import annotations

import socket
import ssl
from typing import TypeVar

from keeppool.core.origin import Origin, TlsIdentity
from keeppool.net.addresses import Address, for_socks, interleaved
from keeppool.net.deadline import Deadline
from keeppool.net.failures import reaching, shaking_hands, tunnelling, unresolved
from keeppool.net.layered import LayeredSocket
from keeppool.net.options import preparation, source_of
from keeppool.net.proxy import tunnel_steps
from keeppool.net.race import race
from keeppool.net.steps import drive
from keeppool.net.stream import Stream
from keeppool.net.tls import TlsStore

T = TypeVar("T")


def dial(origin: Origin, *, seconds: float | None, tls: TlsStore) -> Stream:
    """Open a connection to an origin: TCP or a Unix socket, TLS to an https proxy, CONNECT or SOCKS, TLS.

    `origin.unix_socket` replaces the address of host and port, or of the proxy if there is one. What an https proxy
    has to show is what `Origin.tls_hop` says.

    Args:
        origin: Where to, and how.
        seconds: For all steps together; `None` for no limit. Resolving a name counts, but cannot be broken
            off (`getaddrinfo` takes no timeout): the resolver's own limits hold, and what it uses up is missing later.
        tls: Contexts and sessions of the pool this connection is for.

    Returns:
        A connected stream without a timeout. `resumed` tells whether the TLS next to the caller resumed a session.

    Raises:
        ResolveError: The name has no address (of the source address's family, where one is set).
        RefusedError: Nobody listens, on any of the addresses.
        ConnectTimeout: The time was up in one of the steps, the proxy's included.
        CertificateError: The certificate is not trusted, not for this host, or not the pinned one.
        SSLError: The TLS handshake failed otherwise.
        ProxyError: The proxy cannot be reached, is not what it should be, or does not open the way. If its certificate
            was refused, `__cause__` is `ssl`'s error.
        ConnectError: Anything else the operating system objects to.
        ConfigError: A certificate file or the source address cannot be used.
        InvalidProxyURL: A SOCKS proxy, and python-socks is not installed.

        All of them name the origin; nothing was sent to it, and every socket is closed.
    """
    hop, identity = origin.tls_hop(), origin.identity
    # Before the clock starts: the first context costs an import and the parsing of all roots; no host is at fault.
    for checked in (hop and hop.tls, identity):
        if isinstance(checked, TlsIdentity):
            tls.context_for(checked)
    deadline = Deadline(seconds)
    steps = tunnel_steps(origin, _address_for_proxy(origin))
    sock = _reach(origin, deadline)
    opened: socket.socket | LayeredSocket = sock
    try:
        if hop is not None:
            with shaking_hands(origin, seconds, by_proxy=True):
                opened = sock = tls.handshake(sock, hop, hop.tls or TlsIdentity(), deadline)
        if steps is not None:
            with tunnelling(origin, seconds):
                drive(steps, sock, deadline)
        if identity is not None:
            with shaking_hands(origin, seconds, by_proxy=False):
                if isinstance(sock, ssl.SSLSocket):
                    opened = tls.handshake_within(sock, origin, identity, deadline)
                else:
                    opened = tls.handshake(sock, origin, identity, deadline)
        return Stream(opened, resumed=_is_resumed(opened))
    except BaseException:
        opened.close()
        raise


def _is_resumed(sock: socket.socket | LayeredSocket) -> bool:
    if isinstance(sock, LayeredSocket):
        return sock.layer.resumed
    return isinstance(sock, ssl.SSLSocket) and bool(sock.session_reused)


def _reach(origin: Origin, deadline: Deadline) -> socket.socket:
    """Connect to the origin, or to the proxy before it."""
    source = source_of(origin)
    addresses = _resolve(origin, source)
    prepare = preparation(origin, source)
    with reaching(origin, deadline.seconds):
        return race(addresses, deadline=deadline, prepare=prepare)


def _resolve(origin: Origin, source: Address | None) -> list[Address]:
    """Give the addresses to be dialled, in the order they are tried."""
    if origin.unix_socket is not None:
        return [Address(socket.AF_UNIX, origin.unix_socket)]
    family = socket.AF_UNSPEC if source is None else source.family
    nearest = origin if origin.proxy is None else origin.proxy
    return interleaved(_look_up(origin, nearest.host, nearest.port, family, by_proxy=origin.proxy is not None))


def _address_for_proxy(origin: Origin) -> str | None:
    """Give the origin's address, if its proxy has to be told one."""
    if origin.proxy is None or origin.proxy.resolves_names:
        return None
    family = socket.AF_INET if origin.proxy.scheme == "socks4" else socket.AF_UNSPEC
    return for_socks(_look_up(origin, origin.host, origin.port, family, by_proxy=False))


def _look_up(origin: Origin, host: str, port: int, family: int, *, by_proxy: bool) -> list[Address]:
    """Ask the system's resolver, which also reads numeric addresses and the hosts file."""
    try:
        found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    except (OSError, ValueError) as error:  # ValueError: a label is empty, too long, or not to be IDNA-encoded.
        raise unresolved(origin, host, error, by_proxy=by_proxy) from error
    return [Address(entry[0], entry[4]) for entry in found]
