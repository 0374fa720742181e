"""What is set on a socket before it connects: options, and the address it connects from.

Decides: how long the kernel lets a peer be silent before it asks, and gives up.
Knows: the names of the operating systems' options.
Does not know: where the socket will connect to, and who waits for it.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Callable
from typing import Final

from keeppool.checks import bad
from keeppool.core.origin import Origin
from keeppool.net.addresses import Address

#: Seconds between the TCP probes that follow the first unanswered one, and how many of them declare the peer dead.
#: Go's defaults (net.KeepAliveConfig); Linux's own 75 s times 9 would add eleven minutes to the silence.
PROBE_INTERVAL = 15
PROBE_COUNT = 9

#: Most seconds of silence Linux takes for TCP_KEEPIDLE (MAX_TCP_KEEPIDLE in its net/tcp.h).
LONGEST_SILENCE = 32767

# Linux, the BSDs and Windows call it TCP_KEEPIDLE, macOS TCP_KEEPALIVE; Python 3.11 on macOS has the second name only.
# An old Windows has none of the three: there the kernel asks at its own times, which are hours.
_KEEPIDLE: Final[int | None] = getattr(socket, "TCP_KEEPIDLE", getattr(socket, "TCP_KEEPALIVE", None))
_KEEPINTVL: Final[int | None] = getattr(socket, "TCP_KEEPINTVL", None)
_KEEPCNT: Final[int | None] = getattr(socket, "TCP_KEEPCNT", None)


def source_of(origin: Origin) -> Address | None:
    """Read the local address to dial from; its family decides which addresses of the host can be used.

    Raises:
        ConfigError: It is no address.
    """
    if origin.source_address is None:
        return None
    try:
        numeric = socket.AI_NUMERICHOST
        found = socket.getaddrinfo(origin.source_address, 0, type=socket.SOCK_STREAM, flags=numeric)
    except (OSError, ValueError) as error:
        raise bad("source_address", origin.source_address, "must be an IP address") from error
    return Address(found[0][0], found[0][4])


def preparation(origin: Origin, source: Address | None) -> Callable[[socket.socket], None]:
    """Give the function that prepares each socket of a race for its `connect`."""
    options = () if origin.unix_socket is not None else _options(origin.tcp_keepalive)

    def prepare(sock: socket.socket) -> None:
        for level, name, value in options:
            sock.setsockopt(level, name, value)
        if source is not None and sock.family == source.family:
            sock.bind(source.target)

    return prepare


def _options(silence: float | None) -> tuple[tuple[int, int, int], ...]:
    """Send small pieces at once, and let the kernel ask after a silent peer if `silence` seconds are given."""
    # A head and a body sent apart must not wait for the server's delayed acknowledgement (40 ms on Linux).
    at_once = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if silence is None:
        return (at_once,)
    idle = math.ceil(min(max(silence, 1), LONGEST_SILENCE))
    named = ((_KEEPIDLE, idle), (_KEEPINTVL, PROBE_INTERVAL), (_KEEPCNT, PROBE_COUNT))
    more = [(socket.IPPROTO_TCP, option, value) for option, value in named if option is not None]
    return (at_once, (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), *more)
