"""What the environment says about proxies, certificates and netrc: looked at for each request, read when it changed.

Decides: which variable wins, which hosts `no_proxy` lets go direct.
Knows: the variables requests, curl and OpenSSL know; the keys of requests' `proxies` mappings.
Does not know: what a proxy's URL may be, what a netrc file says, what is set on a session, settings that lie
    outside the environment (a desktop's, the Windows registry's).

Localhost is nothing special, as in requests and curl: a proxy is used for it too, unless `no_proxy` names it.

Source: there is no standard; https://everything.curl.dev/usingcurl/proxies/env.html and requests' documentation
    ("Proxies", "SSL Cert Verification") say what people expect. `HTTP_PROXY` under CGI: CVE-2016-5385 ("httpoxy").
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from keeppool.config import INHERIT, Inherit
from keeppool.hosts import DEFAULT_PORTS, normal_host

#: All that is looked at.
NAMES: Final = (
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("REQUEST_METHOD", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "NETRC"),
)

#: Hosts whose proxy is remembered, as many as URLs (`keeppool.urls`); asking again costs 0.1 µs instead of 4.
_REMEMBERED: Final = 1024
#: No decision was made; `None` is one.
_UNDECIDED: Final = ""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Environment:
    """The process's environment, remembered as it was seen last.

    Thread safety: any thread.
    """

    __slots__ = ("_environ", "_get", "_has_none_of", "_keys", "_known")

    def __init__(self) -> None:
        self._known: tuple[tuple[Any, ...], Settings | None] = ((), None)
        self._bind()

    def read(self) -> Settings | None:
        """Return what is set, the same object as long as nothing changes; `None` if nothing is."""
        if os.environ is not self._environ:
            self._bind()
        if self._has_none_of(self._keys):
            return None
        values = tuple(map(self._get, self._keys))
        seen, settings = self._known
        if values != seen:
            found = ((name, os.environ.get(name)) for name in self._names())
            settings = Settings({name: value for name, value in found if value is not None})
            # One assignment: another thread never sees values with the settings of others.
            self._known = (values, settings)
        return settings

    def _bind(self) -> None:
        """Find the fastest way to look: at the dictionary below `os.environ`, which encodes each name.

        With nothing set a look takes 0.2 µs so, and 9 µs through `os.environ` (measured 2026-11, Python 3.11).
        """
        environ: Any = os.environ
        data = getattr(environ, "_data", None)
        encode = getattr(environ, "encodekey", None)
        if isinstance(data, dict) and encode is not None:
            keys, mapping = tuple(encode(name) for name in NAMES), data
        else:
            keys, mapping = NAMES, environ
        # A tuple, not a set: `isdisjoint` would go through the dictionary if that is the smaller of two sets, and
        # stumble over another thread's change.
        self._keys: tuple[Any, ...] = keys
        self._get: Callable[[Any], Any] = mapping.get
        self._has_none_of: Callable[[Iterable[Any]], bool] = mapping.keys().isdisjoint
        self._environ = environ

    def _names(self) -> tuple[str, ...]:
        """Return the names to read: on Windows case does not count, and HTTP_PROXY must not pass for http_proxy."""
        return NAMES if len(set(self._keys)) == len(NAMES) else tuple(name for name in NAMES if name.isupper())


class Settings:
    """What an environment says.

    Args:
        values: Variables by name; only `NAMES` are looked at.

    Attributes:
        proxies: Proxy URLs by scheme, "http", "https" or "all"; a lower-case variable wins over an upper-case one.
            `HTTP_PROXY` does not count where `REQUEST_METHOD` is set: under CGI a client's `Proxy` header sets it.
        no_proxy: The hosts to reach without a proxy, as they are written.
        ca_bundle: Where trusted certificates are: `REQUESTS_CA_BUNDLE`, else `CURL_CA_BUNDLE`, else OpenSSL's
            `SSL_CERT_FILE`, else the first folder of `SSL_CERT_DIR`. The latter two count only if they exist, as
            OpenSSL itself has it; many an image sets them in advance. `None` if nothing is said.
        netrc: `NETRC`; `None` if it is not set. Empty, or the path of no file, it means that there is none.

    Thread safety: any thread.
    """

    __slots__ = ("_bypass", "_decided", "ca_bundle", "netrc", "no_proxy", "proxies")

    def __init__(self, values: Mapping[str, str]) -> None:
        self.proxies: Mapping[str, str] = _proxies(values)
        self.no_proxy = values.get("no_proxy") or values.get("NO_PROXY") or ""
        self.ca_bundle = _ca_bundle(values)
        self.netrc = values.get("NETRC")
        self._bypass = NoProxy(self.no_proxy)
        self._decided: dict[tuple[str, str, int | None, str | None], str | None] = {}

    def proxy_for(self, scheme: str, host: str, port: int | None, no_proxy: str | None = None) -> str | None:
        """Return the URL of the proxy to go through, `None` to go direct. Remembered.

        Args:
            scheme: "http" or "https".
            host: The name or address, with or without an IPv6 address's brackets.
            port: `None` for the scheme's own.
            no_proxy: What counts instead of the environment's; requests takes it as `proxies={"no_proxy": …}`.
        """
        if not self.proxies:
            return None
        key = (scheme, host, port, no_proxy)
        decided = self._decided.get(key, _UNDECIDED)
        if decided is _UNDECIDED:
            bypass = self._bypass if no_proxy is None else NoProxy(no_proxy)
            goes_direct = bypass.covers(host, port or DEFAULT_PORTS.get(scheme))
            decided = None if goes_direct else self.proxies.get(scheme, self.proxies.get("all"))
            if len(self._decided) >= _REMEMBERED:
                self._decided.clear()
            self._decided[key] = decided
        return decided


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


def select_proxy(scheme: str, host: str, proxies: Mapping[str, str | None] | None) -> str | None | Inherit:
    """Choose from a mapping as requests takes it for `proxies`; `None` to go direct, INHERIT if it says nothing.

    The first of these keys that is there decides, also if its value is `None` or empty: `scheme://host`, `scheme`,
    `all://host`, `all`.

    Args:
        scheme: The URL's.
        host: The URL's, lower case, without port; an IPv6 address without brackets.
        proxies: Proxy URLs by key.
    """
    if not proxies:
        return INHERIT
    for key in (f"{scheme}://{host}", scheme, f"all://{host}", "all"):
        if key in proxies:
            return proxies[key] or None
    return INHERIT


def _proxies(values: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for scheme in ("http", "https", "all"):
        proxy = values.get(f"{scheme}_proxy")
        if proxy is None and not (scheme == "http" and "REQUEST_METHOD" in values):
            proxy = values.get(f"{scheme.upper()}_PROXY")
        if proxy:  # Empty in lower case switches off what is set in upper case.
            found[scheme] = proxy
    return found


def _ca_bundle(values: Mapping[str, str]) -> str | None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if values.get(name):
            return values[name]
    file = values.get("SSL_CERT_FILE")
    if file and Path(file).is_file():
        return file
    folders = values.get("SSL_CERT_DIR", "").split(os.pathsep)
    return next((folder for folder in folders if folder and Path(folder).is_dir()), None)


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
