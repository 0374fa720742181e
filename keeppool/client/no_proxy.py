"""`NoProxy`: the rules of a `no_proxy` list, which hosts are reached direct.

Decides: whether a host falls under such a list.
Knows: names, addresses and networks.
Does not know: where the list stands; only programs that have a proxy need this.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from contextlib import suppress

from keeppool.hosts import normal_host

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class NoProxy:
    """The rules of a `no_proxy` list: which hosts are reached direct.

    Entries are separated by commas or white space; case does not count. Each is one of

    - `*`: every host,
    - `example.com`, `.example.com` or `*.example.com`: that host and all below it,
    - an IP address, or a network such as `10.0.0.0/8` or `fd00::/8`: hosts given as such an address. Names are not
      resolved,
    - a host or address with a port, `example.com:8080` or `[::1]:8080`: only at that port.

    What is none of these matches nothing.

    Args:
        text: The list.
    """

    __slots__ = ("_all", "_names", "_networks")

    def __init__(self, text: str) -> None:
        entries = re.split(r"[,\s]+", text.lower())
        self._all = "*" in entries
        self._networks: list[tuple[_Network, int | None]] = []
        names: set[str] = set()
        for entry in filter(None, entries):
            network = _network_and_port(entry)
            if network is None:
                names.add(_name(entry))
            else:
                self._networks.append(network)
        self._names = frozenset(names)

    def covers(self, host: str, port: int | None) -> bool:
        """Tell whether a host is to be reached direct."""
        if self._all:
            return True
        address = _address(host.strip("[]"))
        if address is not None:
            return any(address in network and own in (None, port) for network, own in self._networks)
        return any(name in self._names or f"{name}:{port}" in self._names for name in _names_above(_name(host)))


def _network_and_port(entry: str) -> tuple[_Network, int | None] | None:
    """Read an address or network, perhaps with a port behind; `None` if it is a name."""
    network = _network(entry)
    if network is not None:
        return network, None
    host, _, port = entry.rpartition(":")
    network = _network(host) if port.isdecimal() else None
    return None if network is None else (network, int(port))


def _name(entry: str) -> str:
    """Write a name as URLs have it: in its A-labels, without the signs for all that is below it."""
    name, colon, port = entry.removeprefix("*").lstrip(".").lower().partition(":")
    with suppress(ValueError):  # Where it cannot be encoded, no host has such a name.
        name = normal_host(name)
    return name + colon + port


def _network(text: str) -> _Network | None:
    """Read an address or a network; brackets may stand around the address."""
    address, slash, bits = text.partition("/")
    try:
        return ipaddress.ip_network(address.strip("[]") + slash + bits, strict=False)
    except ValueError:
        return None


def _address(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _names_above(host: str) -> Iterable[str]:
    """Yield the host's name and those of the domains it is in."""
    while host:
        yield host
        host = host.partition(".")[2]
