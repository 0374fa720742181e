"""Which names a dial has to look up, and for which family of addresses.

Decides: that the nearest hop is dialled, a proxy if there is one; and which proxies have to be told an address.
Does not know: resolving, connecting.
"""

from __future__ import annotations

import socket

from keeppool.checks import bad
from keeppool.core.origin import Origin
from keeppool.net.addresses import UNIX, Address
from keeppool.net.options import source_of
from keeppool.net.resolver import Question


def to_be_dialled(origin: Origin, source: Address | None) -> Question:
    """Ask for whom a connection is to be made.

    Args:
        origin: Where to, and how.
        source: The local address to dial from, whose family the other end has to have.

    Raises:
        ConfigError: It is a Unix socket, and the system has none.
    """
    if origin.unix_socket is not None:
        if UNIX is None:
            raise bad("unix_socket", origin.unix_socket, "cannot be used: Python has no Unix sockets on this system")
        return Question(origin.unix_socket, 0, UNIX)
    nearest = origin if origin.proxy is None else origin.proxy
    return Question(nearest.host, nearest.port, socket.AF_UNSPEC if source is None else source.family)


def to_be_told(origin: Origin) -> Question | None:
    """Ask for the origin's address where its proxy has to be told one; else `None`."""
    if origin.proxy is None or origin.proxy.resolves_names:
        return None
    return Question(origin.host, origin.port, socket.AF_INET if origin.proxy.scheme == "socks4" else socket.AF_UNSPEC)


def questions_of(origin: Origin) -> list[Question]:
    """List the names that a dial to an origin asks about."""
    asked = to_be_dialled(origin, source_of(origin)), to_be_told(origin)
    return [question for question in asked if question is not None]
