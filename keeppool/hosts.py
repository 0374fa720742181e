"""Which configuration holds for a host: the patterns of `hosts={...}`, and the order in which they win.

A pattern is `[scheme://]host[:port]`, upper or lower case alike:

    api.example.com             this host, any scheme and port
    *.cdn.example               every name below cdn.example, at any depth, but not cdn.example itself
    *                           every host
    api.example.com:8443        this host on this port
    [::1]:8080                  an IPv6 address stands in brackets
    https://api.example.com     this scheme, on its default port as in any URL (443; 80 for http)
    https://*.example:8443      all three

All patterns that match are merged with `HostConfig.over`, the least specific first, so the most specific has the last
word on each field. Specific is first what names the host, and only then what stands around it:

    1. host      `*`  <  a shorter wildcard  <  a longer wildcard  <  the host itself (name or address)
    2. around    nothing  <  scheme  <  port  <  scheme and port      (as written: `https://a` has no port)

So `a.example` wins over `https://*.example:8443`, and `a.example:443` over `https://a.example`.

Knows: patterns, and names of hosts: case, one closing dot, IDNA, the spellings of an IPv6 address.
Does not know: URLs, what the entries mean, a pool's defaults (they lie below everything found here).

Source: RFC 9110 §4.2.1 and §4.2.2 (default ports), RFC 3986 §3.2.2 (brackets, case), RFC 5890 §2.3.2.1 (A-labels).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, TypeAlias

from keeppool.checks import bad
from keeppool.config import HostConfig
from keeppool.deferred import have_idna
from keeppool.errors import ConfigError
from keeppool.forks import undivided

DEFAULT_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}

#: What `resolve` returns where nothing matches. Frozen, so one serves all.
_SAYS_NOTHING: Final = HostConfig()

# RFC 1035 §2.3.4: 63 octets a label, 253 characters a name. The underscore is no letter of a host name, but names with
# it exist and resolve.
# Compiled when it is first used: most URLs are read without it.
_NAME: Final = r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\Z"

# Python's codec speaks IDNA 2003, today's resolvers IDNA 2008; the two read these characters as different hosts
# (RFC 5894 §7.2). Refusing them beats giving a host its neighbour's certificate settings.
_READ_DIFFERENTLY: Final = frozenset("\u00df\u03c2\u200c\u200d")


#: Entries by their patterns.
Matching: TypeAlias = tuple[tuple[str, HostConfig], ...]


class HostTable:
    """Finds the merged `HostConfig` of a host.

    A look-up costs one dictionary access for each label of the host's name, however many patterns there are.

    Args:
        hosts: Entries by pattern; see the module's docstring for patterns and their order.

    Raises:
        ConfigError: A malformed pattern, two patterns that mean the same, or an entry that is no HostConfig.
            `field` is "hosts", `value` the pattern.

    Thread safety: immutable; any number of threads may call `resolve`.
    """

    __slots__ = ("_by_host",)

    def __init__(self, hosts: Mapping[str, HostConfig]) -> None:
        self._by_host: dict[str, dict[tuple[str | None, int | None], tuple[str, HostConfig]]] = {}
        for text, entry in hosts.items():
            host, scheme, port = _parsed(text)
            if not isinstance(entry, HostConfig):
                raise bad("hosts", text, f"must be a pattern of a HostConfig, not of a {type(entry).__name__}")
            around = self._by_host.setdefault(host, {})
            if (scheme, port) in around:
                raise bad("hosts", text, "means the same as a pattern before it")
            around[scheme, port] = text, entry

    def resolve(self, scheme: str, host: str, port: int) -> HostConfig:
        """Merge all entries that match, the most specific on top.

        Args:
            scheme: "http" or "https", in any case.
            host: Name or address; any case, Unicode or IDNA, an IPv6 address with or without brackets.
            port: The port, also where it is the scheme's default.

        Returns:
            The merged entry; every field is `INHERIT` where nothing matches.
        """
        return merged(self.matching(scheme, host, port))

    def matching(self, scheme: str, host: str, port: int) -> Matching:
        """List the entries that match with their patterns as they were written, the most specific last.

        Args:
            scheme: As for `resolve`; so are the others.
            host: See there.
            port: See there.
        """
        if not self._by_host:
            return ()
        scheme = scheme.lower()
        around = [(None, None), (None, port), (scheme, port)]
        if DEFAULT_PORTS.get(scheme) == port:
            around.insert(1, (scheme, None))
        by_host = [self._by_host.get(key, {}) for key in _host_keys(_normal_or_as_is(host))]
        return tuple([found for entries in by_host for found in map(entries.get, around) if found is not None])


def merged(matching: Matching) -> HostConfig:
    """Merge entries, the most specific last; of none, every field is `INHERIT`."""
    whole: HostConfig | None = None
    for _, entry in matching:
        whole = entry if whole is None else entry.over(whole)
    return whole or _SAYS_NOTHING


def normal_host(host: str) -> str:
    """Bring the spellings of one host to one form: lower case, A-labels, no closing dot, compressed IPv6.

    Args:
        host: Name or address; an IPv6 address with or without brackets, its zone kept as it is.

    Raises:
        ValueError: The name cannot be encoded, or IDNA 2003 and 2008 disagree about it.

    Source: RFC 5890 §2.3.2.1, RFC 5952 §4, RFC 3986 §3.2.2.
    """
    if ":" in host:
        return normal_ipv6(host.removeprefix("[").removesuffix("]"))
    if not host.isascii():
        if not _READ_DIFFERENTLY.isdisjoint(host):
            raise ValueError("IDNA 2003 and IDNA 2008 disagree about this name")
        have_idna()
        host = host.encode("idna").decode("ascii")
    return host.lower().removesuffix(".")


def normal_ipv6(address: str) -> str:
    """Write an IPv6 address in its one spelling; a zone stays as it is.

    Raises:
        ValueError: It is none.

    Source: RFC 5952 §4, and §5 for IPv4 addresses within.
    """
    with undivided:
        from ipaddress import IPv6Address  # 3 ms to import, for the few URLs and tables that hold one

    read = IPv6Address(address)
    if read.ipv4_mapped is None:
        return str(read)
    # Before Python 3.13 `str` writes these in hexadecimal.
    return f"::ffff:{read.ipv4_mapped}" + (f"%{read.scope_id}" if read.scope_id else "")


def is_name(host: str) -> bool:
    """Tell whether a host, lower case and in its A-labels, is one that a name or an IPv4 address can be.

    One closing dot may stand behind it.

    Source: RFC 1035 §2.3.4 (lengths), RFC 3986 §3.2.2; no name has percent-encoding in it.
    """
    return re.match(_NAME, host.removesuffix(".")) is not None


def _normal_or_as_is(host: str) -> str:
    """A name no pattern can hold still falls under "*", so it must not fail."""
    try:
        return normal_host(host)
    except ValueError:
        return host.lower()


def _host_keys(host: str) -> list[str]:
    """What the table may hold for a host, the least specific first: "*", "*.example", ..., the host itself."""
    keys = ["*"]
    dot = host.rfind(".")
    while dot >= 0:
        keys.append("*" + host[dot:])
        dot = host.rfind(".", 0, dot)
    keys.append(host)
    return keys


def _parsed(text: str) -> tuple[str, str | None, int | None]:
    """Take a pattern apart: its host, which is a normalised name or address, "*", or "*.name"; its scheme; its port."""
    if not isinstance(text, str) or not text:
        raise bad("hosts", text, "a pattern is text and not empty")
    if " " in text or not text.isprintable():
        raise bad("hosts", text, "a pattern holds no spaces and no control characters")
    before, mark, rest = text.partition("://")
    if not mark:
        before, rest = "", text
    if mark and before.lower() not in DEFAULT_PORTS:
        raise bad("hosts", text, "the scheme is http or https")
    if set(rest) & set("/?#@\\"):
        raise bad("hosts", text, "a pattern names scheme, host and port; no path, query or user")
    host, port = _split_port(text, rest)
    return _host_key(text, host), before.lower() or None, _port_number(text, port)


def _split_port(text: str, rest: str) -> tuple[str, str | None]:
    """Take `host[:port]` apart; the brackets of an IPv6 address stay."""
    if rest.startswith("["):
        address, closed, tail = rest.partition("]")
        if not closed or (tail and not tail.startswith(":")):
            raise bad("hosts", text, "an IPv6 address is written [address] or [address]:port")
        return address + closed, tail[1:] if tail else None
    if rest.count(":") > 1:
        raise bad("hosts", text, "an IPv6 address stands in brackets")
    host, colon, port = rest.partition(":")
    return host, port if colon else None


def _port_number(text: str, port: str | None) -> int | None:
    if port is None:
        return None
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise bad("hosts", text, "the port is a number from 1 to 65535")
    return int(port)


def _host_key(text: str, host: str) -> str:
    """Check and normalise a pattern's host to the key it is kept under."""
    if host == "*":
        return host
    if host.startswith("["):
        return _address_key(text, host)
    wild = host.startswith("*.")
    name = host[2:] if wild else host
    if "*" in name:
        raise bad("hosts", text, "* stands alone, or for the first label as in *.example.com")
    name = _checked_name(text, name)
    # Only names have names below them (RFC 6265 §5.1.3); a numeric last label makes it an IPv4 address.
    if wild and name.rpartition(".")[2].isdigit():
        raise bad("hosts", text, "an address has no subdomains")
    return "*." + name if wild else name


def _address_key(text: str, host: str) -> str:
    try:
        return normal_ipv6(host[1:-1])
    except ValueError as error:
        raise bad("hosts", text, f"no IPv6 address in the brackets: {error}") from error


def _checked_name(text: str, name: str) -> str:
    try:
        normal = normal_host(name)
    except ValueError as error:
        raise _no_name(text) from error
    if not re.match(_NAME, normal):
        raise _no_name(text)
    return normal


def _no_name(text: str) -> ConfigError:
    return bad("hosts", text, "not a host's name (one in another script can always be given in its xn-- form)")
