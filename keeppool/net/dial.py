"""Opening one connection: from an origin to a stream that is ready for a request.

Decides: where to connect for an origin, in which steps, and which error each failure is.
Knows: the resolver, socket options, the order TCP, CONNECT, TLS; one deadline for all of it.
Does not know: the pool, why a connection is wanted, what is sent on it.

Source: RFC 9110 §4.2 (http and https), §9.3.6 (CONNECT); RFC 9112 §3.2.2 (http through a proxy).
"""

from __future__ import annotations

import errno
import math
import socket
import ssl

from keeppool.config import bad
from keeppool.core.origin import Origin, TlsIdentity
from keeppool.errors import (
    CertificateError,
    ConnectError,
    ConnectTimeout,
    InvalidProxyURL,
    KeepPoolError,
    ProxyError,
    RefusedError,
    ResolveError,
    SSLError,
)
from keeppool.net.addresses import Address, interleaved
from keeppool.net.proxy import open_tunnel
from keeppool.net.race import Deadline, RaceLost, race
from keeppool.net.stream import Stream
from keeppool.net.tls import TlsStore

#: Seconds between the TCP probes that follow the first unanswered one, and how many of them declare the peer dead.
#: Go's defaults (net.KeepAliveConfig); Linux's own 75 s times 9 would add eleven minutes to the silence.
PROBE_INTERVAL = 15
PROBE_COUNT = 9

#: Most seconds of silence Linux takes for TCP_KEEPIDLE (MAX_TCP_KEEPIDLE in its net/tcp.h).
LONGEST_SILENCE = 32767

# Linux and the BSDs call it TCP_KEEPIDLE, macOS TCP_KEEPALIVE; Python 3.11 on macOS has the second name only.
_TCP_KEEPIDLE: int = getattr(socket, "TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE")


def dial(origin: Origin, *, timeout: float | None, tls: TlsStore) -> Stream:
    """Open a connection to an origin: TCP or a Unix socket, CONNECT if it goes through a proxy, TLS.

    `origin.unix_socket` replaces the address of host and port, or of the proxy if there is one. For http through an
    https proxy `origin.tls` says how to check the proxy.

    Args:
        origin: Where to, and how.
        timeout: Seconds for all steps together; `None` for no limit. Resolving a name counts, but cannot be broken
            off (`getaddrinfo` takes no timeout): the resolver's own limits hold, and what it uses up is missing later.
        tls: Contexts and sessions of the pool this connection is for.

    Returns:
        A connected stream without a timeout. `resumed` tells whether TLS resumed an earlier session.

    Raises:
        ResolveError: The name has no address (of the source address's family, where one is set).
        RefusedError: Nobody listens, on any of the addresses.
        ConnectTimeout: The time was up in one of the steps, the proxy's included.
        CertificateError: The certificate is not trusted, not for this host, or not the pinned one.
        SSLError: The TLS handshake failed otherwise.
        ProxyError: The proxy cannot be reached, is not what it should be, or does not open the tunnel.
        ConnectError: Anything else the operating system objects to.
        ConfigError: A certificate file or the source address cannot be used.
        InvalidProxyURL: An https origin through an https proxy, which would be TLS within TLS.

        All of them name the origin; nothing was sent to it, and every socket is closed.
    """
    identity = _identity(origin)
    if identity is not None:
        # Before the clock starts: the first context costs an import and the parsing of all roots; no host is at fault.
        tls.context_for(identity)
    deadline = Deadline(timeout)
    sock = _reach(origin, deadline)
    try:
        if origin.proxy is not None and origin.scheme == "https":
            _tunnel(sock, origin, deadline)
        if identity is None:
            return Stream(sock)
        sock = secured = _secure(sock, origin, identity, tls, deadline)
        return Stream(sock, resumed=bool(secured.session_reused))
    except BaseException:
        sock.close()
        raise


def _identity(origin: Origin) -> TlsIdentity | None:
    """Tell how the connection speaks TLS, to the origin or to an https proxy; `None` if it does not."""
    by_tls_proxy = origin.proxy is not None and origin.proxy.scheme == "https"
    if by_tls_proxy and origin.scheme == "https":
        message = f"{origin}: an https proxy can carry http only; TLS within TLS is not supported"
        raise InvalidProxyURL(message, url=str(origin.proxy))
    if by_tls_proxy or origin.scheme == "https":
        return origin.tls or TlsIdentity()
    return None


def _reach(origin: Origin, deadline: Deadline) -> socket.socket:
    """Connect to the origin, or to the proxy before it."""
    source = _source(origin)
    addresses = _resolve(origin, source)

    def prepare(sock: socket.socket) -> None:
        if sock.family != socket.AF_UNIX:
            _set_options(sock, origin.tcp_keepalive)
        if source is not None and sock.family == source.family:
            sock.bind(source.target)

    try:
        return race(addresses, deadline=deadline, prepare=prepare)
    except RaceLost as lost:
        raise _unreached(origin, deadline, lost) from lost.cause


def _source(origin: Origin) -> Address | None:
    """Read the local address to dial from; its family decides which addresses of the host can be used."""
    if origin.source_address is None:
        return None
    try:
        numeric = socket.AI_NUMERICHOST
        found = socket.getaddrinfo(origin.source_address, 0, type=socket.SOCK_STREAM, flags=numeric)
    except (OSError, ValueError) as error:
        raise bad("source_address", origin.source_address, "must be an IP address") from error
    return Address(found[0][0], found[0][4])


def _resolve(origin: Origin, source: Address | None) -> list[Address]:
    """Ask the system's resolver, which also reads numeric addresses and the hosts file."""
    if origin.unix_socket is not None:
        return [Address(socket.AF_UNIX, origin.unix_socket)]
    host, port = _target(origin)
    family = socket.AF_UNSPEC if source is None else source.family
    try:
        found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    except (OSError, ValueError) as error:  # ValueError: a label is empty, too long, or not to be IDNA-encoded.
        reason = error.strerror if isinstance(error, OSError) else error
        message = f"{origin}: no address for {host}: {reason}"
        if origin.proxy is not None:
            raise ProxyError(message, origin=str(origin)) from error
        raise ResolveError(message, origin=str(origin)) from error
    return interleaved(Address(entry[0], entry[4]) for entry in found)


def _set_options(sock: socket.socket, silence: float | None) -> None:
    """Send small pieces at once, and let the kernel ask after a silent peer if `silence` seconds are given."""
    # A head and a body sent apart must not wait for the server's delayed acknowledgement (40 ms on Linux).
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if silence is None:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    idle = math.ceil(min(max(silence, 1), LONGEST_SILENCE))
    sock.setsockopt(socket.IPPROTO_TCP, _TCP_KEEPIDLE, idle)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_INTERVAL)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBE_COUNT)


def _tunnel(sock: socket.socket, origin: Origin, deadline: Deadline) -> None:
    try:
        open_tunnel(sock, origin, deadline)
    except KeepPoolError:
        raise
    except TimeoutError as error:
        raise _late(origin, deadline, "the proxy did not answer CONNECT") from error
    except OSError as error:
        message = f"{origin}: the connection to the proxy failed: {error.strerror or error}"
        raise ProxyError(message, origin=str(origin)) from error


def _secure(
    sock: socket.socket, origin: Origin, identity: TlsIdentity, tls: TlsStore, deadline: Deadline
) -> ssl.SSLSocket:
    try:
        return tls.handshake(sock, origin, identity, deadline)
    except KeepPoolError:
        raise
    except TimeoutError as error:
        raise _late(origin, deadline, "the TLS handshake was not finished") from error
    except (OSError, ValueError) as error:
        raise _insecure(origin, error) from error


def _unreached(origin: Origin, deadline: Deadline, lost: RaceLost) -> ConnectError:
    """Choose the error for a race that was lost."""
    if lost.is_timeout():
        return _late(origin, deadline, str(lost))
    kind: type[ConnectError] = RefusedError if lost.is_all(errno.ECONNREFUSED) else ConnectError
    if origin.proxy is not None:
        kind = ProxyError
    return kind(f"{origin}: cannot connect{_by(origin)}: {lost}", origin=str(origin))


def _insecure(origin: Origin, error: OSError | ValueError) -> ConnectError:
    """Choose the error for a handshake that failed."""
    reason = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or error
    kind: type[ConnectError] = ConnectError
    if isinstance(error, ssl.SSLCertVerificationError):
        kind = CertificateError
    elif isinstance(error, (ssl.SSLError, ValueError)):
        kind = SSLError
    if origin.scheme == "http":
        kind = ProxyError
    what = "the certificate is refused" if isinstance(error, ssl.SSLCertVerificationError) else "TLS failed"
    return kind(f"{origin}: {what}: {reason}", origin=str(origin))


def _late(origin: Origin, deadline: Deadline, reason: str) -> ConnectTimeout:
    limit = deadline.limit
    within = "" if limit is None else f" within {limit:g} s"
    return ConnectTimeout(f"{origin}: no connection{within}{_by(origin)}: {reason}", origin=str(origin), limit=limit)


def _target(origin: Origin) -> tuple[str, int]:
    return (origin.host, origin.port) if origin.proxy is None else (origin.proxy.host, origin.proxy.port)


def _by(origin: Origin) -> str:
    """Name what the origin's own text leaves out."""
    return "" if origin.source_address is None else f" from {origin.source_address}"
