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

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from keeppool.config import INHERIT, Inherit
from keeppool.deferred import Deferred
from keeppool.hosts import DEFAULT_PORTS

if TYPE_CHECKING:
    from keeppool.client import no_proxy as no_proxies
    from keeppool.client.no_proxy import NoProxy
else:
    no_proxies = Deferred("keeppool.client.no_proxy")

#: All that is looked at.
NAMES: Final = (
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("REQUEST_METHOD", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "NETRC"),
)

#: Hosts whose proxy is remembered, as many as URLs (`keeppool.urls`); asking again costs 0.1 µs instead of 4.
_REMEMBERED: Final = 1024
#: No decision was made; `None` is one.
_UNDECIDED: Final = ""


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
        self._bypass: NoProxy | None = None
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
            bypass = self._rules() if no_proxy is None else no_proxies.NoProxy(no_proxy)
            goes_direct = bypass.covers(host, port or DEFAULT_PORTS.get(scheme))
            decided = None if goes_direct else self.proxies.get(scheme, self.proxies.get("all"))
            if len(self._decided) >= _REMEMBERED:
                self._decided.clear()
            self._decided[key] = decided
        return decided

    def _rules(self) -> NoProxy:
        if self._bypass is None:
            self._bypass = no_proxies.NoProxy(self.no_proxy)
        return self._bypass


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
    # Not by pathlib, which takes 1 ms to import, for a file that is looked at once.
    if file and os.path.isfile(file):  # noqa: PTH113
        return file
    folders = values.get("SSL_CERT_DIR", "").split(os.pathsep)
    return next((folder for folder in folders if folder and os.path.isdir(folder)), None)  # noqa: PTH112
