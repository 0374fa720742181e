"""In which order the addresses of one host are tried.

Decides: the order, from the resolver's own preference and the families at hand.
Knows: an address is a family and what `connect` takes for it; that Windows' Python has no Unix sockets.
Does not know: resolving, connecting, time.

Source: RFC 8305 §4 (sorting addresses).
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from socket import AF_INET
from typing import Any, Final, NamedTuple

#: The family of Unix sockets; `None` where there are none.
UNIX: Final[int | None] = getattr(socket, "AF_UNIX", None)


class Address(NamedTuple):
    """One place to connect to.

    Attributes:
        family: The socket's address family, such as `socket.AF_INET6`.
        target: What `socket.connect` takes for that family: a tuple that begins with host and port, or a path.
    """

    family: int
    target: Any

    def __str__(self) -> str:
        return str(self.target[0]) if isinstance(self.target, tuple) else str(self.target)


def interleaved(addresses: Iterable[Address]) -> list[Address]:
    """Alternate the families, so that one family that leads nowhere costs one attempt and not all of them.

    The first family is the first address's, and within a family the order stays: the resolver has sorted by
    RFC 6724 already. One address of the first family goes ahead, RFC 8305's default "First Address Family Count".

    Args:
        addresses: As the resolver gave them; repeats are dropped.

    Returns:
        Each address once.
    """
    given = list(dict.fromkeys(addresses))
    if len(given) == 1:
        return given
    families: dict[int, list[Address]] = {}
    for address in given:
        families.setdefault(address.family, []).append(address)
    queues = list(families.values())
    longest = max(map(len, queues), default=0)
    return [queue[turn] for turn in range(longest) for queue in queues if turn < len(queue)]


def for_socks(addresses: Iterable[Address]) -> str:
    """Choose the one address a SOCKS proxy is asked for: the resolver's first IPv4 one, if there is any.

    The resolver's order tells what this machine reaches, not what the proxy does; version 4 knows IPv4 only, and
    python-socks, when it resolves by itself, prefers it for version 5 too.

    Args:
        addresses: As the resolver gave them; at least one.

    Returns:
        The address as text, without a zone: that means something on this machine only.
    """
    chosen = min(addresses, key=lambda address: address.family != AF_INET)
    return str(chosen).partition("%")[0]
