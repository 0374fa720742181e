"""From a URL to where it leads: the origin, the limits and defaults that hold there, the request target.

Decides: which configuration applies to a URL, and what its request head has in common with others of its host.
Knows: the parts of a URL, configuration, host patterns.
Does not know: connections, how a URL is read.

Source: RFC 9110 §4.2 (http and https URIs), §7.2 (Host); RFC 9112 §3.2 (request target forms).
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from functools import cache, lru_cache
from typing import Any, NamedTuple, TypeVar, cast

from keeppool.config import INHERIT, Config, HostConfig, Inherit, Limits, Pace, Timeout
from keeppool.core.keepalive import connection_options
from keeppool.core.origin import Origin, Proxy, TlsIdentity
from keeppool.core.pace import Paced
from keeppool.core.records import Policy
from keeppool.errors import (
    InvalidSchema,
    quoted,
    quoted_url,
)
from keeppool.hosts import DEFAULT_PORTS, HostTable
from keeppool.pools.proxies import proxy_at
from keeppool.pools.request import default_fields
from keeppool.urls.address import Address, authority, parse_as_given
from keeppool.urls.cache import remembered
from keeppool.wire.fields import FieldBlock, field_block
from keeppool.wire.head import MAX_HEAD_BYTES, MAX_HEAD_FIELDS
from keeppool.wire.request import check_target

#: URLs whose way is remembered, and hosts. A scraper sees few hosts and many URLs; an entry of either is under 1 KiB.
REMEMBERED_URLS = 2048
REMEMBERED_HOSTS = 1024

#: Guards the first import of urllib3. Its modules import each other in circles: threads that begin with different ones
#: at the same time get importlib's `_DeadlockError`, or a KeyError (Python 3.11, urllib3 2.8).
_IMPORTING = threading.Lock()


def _replace_lock() -> None:
    """In a forked child the lock may be held by a thread that does not exist there."""
    global _IMPORTING
    _IMPORTING = threading.Lock()


os.register_at_fork(after_in_child=_replace_lock)

#: Fields that only a proxy may read, which is to use them up (RFC 9110 §11.7.2).
FOR_PROXIES = frozenset((b"proxy-authorization",))

T = TypeVar("T")


class Route:
    """What all requests to one host under one configuration share.

    Attributes:
        origin: The pool's key.
        name: The origin as text, for events and errors.
        policy: The limits that hold for it.
        timeout: The waits that hold for it.
        version: `HTTP/1.1` or `HTTP/1.0`, as on the wire.
        idempotent: Whether requests to this host may be applied twice; None leaves it to the method.
        head_bytes: The largest response head taken.
        head_fields: The most fields one may have.
        paced: The pace it keeps; `None` if nothing holds its requests up.
        proxied: What stands before the path in the request line where a proxy needs the whole URL; else empty.
    """

    __slots__ = (
        "_defaults",
        "_host_line",
        "_private",
        "_tail",
        "head_bytes",
        "head_fields",
        "idempotent",
        "name",
        "origin",
        "paced",
        "policy",
        "proxied",
        "timeout",
        "version",
    )

    def __init__(
        self, origin: Origin, policy: Policy, timeout: Timeout, host_line: bytes, defaults: FieldBlock, version: bytes
    ) -> None:
        self.origin = origin
        self.name = str(origin)
        self.policy = policy
        self.timeout = timeout
        self.version = version
        self.proxied = b""
        self.idempotent: bool | None = None
        self.paced: Paced | None = None
        self.head_bytes, self.head_fields = MAX_HEAD_BYTES, MAX_HEAD_FIELDS
        self._host_line = host_line
        # Without a proxy, and inside a tunnel, the origin reads the head: what is meant for a proxy is not for it.
        self._private = frozenset() if origin.is_forwarded else FOR_PROXIES
        self._defaults = defaults
        self._tail: tuple[FieldBlock | None, bytes, bool] = (None, b"", False)

    @property
    def way(self) -> str:
        """How the host is reached, as errors say it behind a URL: by which socket, through which proxy."""
        origin = self.origin
        by = f" by {origin.unix_socket}" if origin.unix_socket else ""
        return by + (f" through {origin.proxy}" if origin.proxy is not None else "")

    def tail(self, fields: FieldBlock) -> tuple[bytes, bool]:
        """Give everything of a request head that follows the target, but for the body's fields and the empty line.

        Args:
            fields: The request's own fields. A session sends the same object with every request, so the last answer
                is kept: this is the head's constant part, made once per origin.

        Returns:
            The bytes, and whether they say `Connection: close`.
        """
        made_for, lines, closes = self._tail
        if made_for is not fields:
            lines, closes = self._make_tail(fields)
            # One assignment of one tuple: another thread sees the old result or the new one, never half of each.
            self._tail = (fields, lines, closes)
        return lines, closes

    def _make_tail(self, fields: FieldBlock) -> tuple[bytes, bool]:
        """Put together the request's fields and the host's: the request's win, unless they only repeat our defaults."""
        said = {name.lower() for name, _ in self._defaults.pairs}
        weak = {name.lower() for name, value in fields.pairs if (name.lower(), value) in library_defaults()}
        dropped = (said & weak) | self._private
        own = [pair for pair in fields.pairs if pair[0].lower() not in dropped]
        names = {name.lower() for name, _ in own} | self._private
        block = field_block([*own, *(pair for pair in self._defaults.pairs if pair[0].lower() not in names)])
        host_line = b"" if b"host" in block.names else self._host_line
        lines = b" " + self.version + b"\r\n" + host_line + block.lines
        return lines, b"close" in connection_options(block.get(b"connection") or b"")


@cache
def library_defaults() -> frozenset[tuple[bytes, bytes]]:
    """List what a request says although nobody has asked for it: a host's own headers win over these."""
    return frozenset((name.lower(), value) for name, value in (*default_fields().pairs, (b"Accept", b"*/*")))


class Located(NamedTuple):
    """A URL's way: the route to its host, and the target for the request line."""

    route: Route
    target: bytes
    url: str


class Locator:
    """Finds routes; remembers them.

    Args:
        config: The pool's whole configuration.

    Thread safety: any thread; the caches are `functools`' own.
    """

    def __init__(self, config: Config) -> None:
        # Not at the first URL: that one may be parsed by several threads at once.
        with _IMPORTING:
            importlib.import_module("urllib3")
        # Imports decoders: a program that runs out of descriptors is to hear of it from the dial, not from these.
        default_fields()
        self._config = config
        self._table = HostTable(config.hosts)
        self.locate = remembered(REMEMBERED_URLS)(self._locate)
        self._route = lru_cache(REMEMBERED_HOSTS)(self._make_route)

    def _locate(self, url: str, override: HostConfig | None = None) -> Located:
        """Find the way to a URL.

        Args:
            url: Text, or the `Address` that was made of it.
            override: What holds for this request beyond what is configured for its host.

        Raises:
            MissingSchema, InvalidSchema, InvalidURL: See `keeppool.errors`. Nothing was sent.
        """
        address = _address_of(url)
        route = self._route(*address.origin, override)
        target = check_target(address.target)
        return Located(route, route.proxied + target, url)

    def configured(self, url: str) -> HostConfig:
        """Give what is configured for a URL's host, the pool's defaults included.

        Raises:
            MissingSchema, InvalidSchema, InvalidURL: As `locate`.
        """
        return self._configured(*_address_of(url).origin)

    def matching(self, url: str) -> list[tuple[str, HostConfig]]:
        """List the entries of `hosts` that match a URL, by pattern, the most specific last.

        Raises:
            MissingSchema, InvalidSchema, InvalidURL: As `locate`.
        """
        return self._table.matching(*_address_of(url).origin)

    def _configured(self, scheme: str, host: str, port: int) -> HostConfig:
        return self._table.resolve(scheme, host, port).over(self._config.defaults)

    def _timeout(self, entry: HostConfig) -> Timeout:
        base = self._config.timeout
        return base if entry.timeout is INHERIT else Timeout.of(entry.timeout, base)

    def _make_route(self, scheme: str, host: str, port: int, override: HostConfig | None) -> Route:
        entry = self._configured(scheme, host, port)
        if override is not None:
            entry = override.over(entry)
        proxy = proxy_at(_or(entry.proxy, None), _pairs(entry.proxy_headers), _proxy_verify(entry))
        limits = self._config.limits
        # Checked where it is written, in Host and for a proxy in the request line, whoever has read the URL.
        place = check_target(authority(scheme, host, port))
        origin = _origin(entry, scheme, host, port, proxy)
        plain_through_proxy = origin.is_forwarded
        route = Route(
            origin,
            _policy(entry, limits, per_host=limits.per_proxy if plain_through_proxy else limits.per_host),
            self._timeout(entry),
            b"Host: %b\r\n" % place,
            field_block(_default_fields(entry, proxy if plain_through_proxy else None)),
            b"HTTP/1.0" if entry.http_version == "1.0" else b"HTTP/1.1",
        )
        route.idempotent = _or(entry.idempotent, None)
        route.paced = paced_of(entry, host, port)
        route.head_bytes = _or(entry.head_bytes, limits.head_bytes) or sys.maxsize
        route.head_fields = _or(entry.head_fields, limits.head_fields) or sys.maxsize
        if plain_through_proxy:
            route.proxied = b"%b://%b" % (scheme.encode(), place)
        return route


def _address_of(url: str) -> Address:
    """Read a URL that nobody has read yet.

    Raises:
        MissingSchema, InvalidSchema, InvalidURL: As `parse_as_given`.
    """
    if not isinstance(url, Address):
        return parse_as_given(url)
    if url.scheme not in DEFAULT_PORTS:
        raise InvalidSchema(
            f"the URL's scheme {quoted(url.scheme)} is neither http nor https: {quoted_url(url.url)}", url=url.url
        )
    return url


def _or(value: T | Inherit, fallback: T) -> T:
    return fallback if value is INHERIT else value


def _pairs(headers: object) -> tuple[tuple[str, str], ...]:
    """Give headers as `HostConfig` keeps them, whatever its annotation lets in."""
    return () if headers is INHERIT else cast("tuple[tuple[str, str], ...]", headers)


def _policy(entry: HostConfig, limits: Limits, per_host: int | None) -> Policy:
    return Policy(
        per_host=_or(entry.per_host, per_host),
        idle_timeout=_or(entry.idle_timeout, limits.idle_timeout),
        max_age=_or(entry.max_age, limits.max_age),
        max_requests=_or(entry.max_requests, limits.max_requests),
        new_for_unsafe=entry.unsafe == "fresh",
    )


def paced_of(entry: HostConfig, host: str, port: int) -> Paced | None:
    """Give the pace that requests to a server keep, whatever way they go; `None` if nothing holds them up.

    Args:
        entry: What is configured for it.
        host: As in the URL.
        port: Likewise.
    """
    pace = cast("Pace | None", _or(entry.pace, None))
    obeys = _or(entry.obey_retry_after, pace is not None)
    if pace is None and not obeys:
        return None
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return Paced(_or(entry.unix_socket, None) or address, pace, obeys)


def _origin(entry: HostConfig, scheme: str, host: str, port: int, proxy: Proxy | None) -> Origin:
    tls = _tls(entry) if scheme == "https" else None
    if proxy is not None and scheme == "http" and not proxy.is_socks:
        host, port = proxy.host, proxy.port
        # What else is said about TLS is meant for the origin's server (see `Origin.tls_hop`).
        tls = TlsIdentity(verify=proxy.verify) if proxy.scheme == "https" else None
    return Origin(
        scheme=scheme,
        host=host,
        port=port,
        tls=tls,
        proxy=proxy,
        source_address=_or(entry.source_address, None),
        unix_socket=_or(entry.unix_socket, None),
        tcp_keepalive=_or(entry.tcp_keepalive, 120.0),
        tag=_or(entry.tag, None),
    )


def _tls(entry: HostConfig) -> TlsIdentity:
    fingerprint = _or(entry.fingerprint, None)
    return TlsIdentity(
        verify=_verify(entry),
        cert=_or(entry.cert, None),
        fingerprint=fingerprint and fingerprint.replace(":", "").lower(),
        server_hostname=_or(entry.server_hostname, None),
        context=_or(cast("Any", entry.ssl_context), None),
    )


def _verify(entry: HostConfig) -> bool | str:
    return True if entry.verify is INHERIT else entry.verify


def _proxy_verify(entry: HostConfig) -> bool | str:
    """Tell how an https proxy is checked: always, unless that is turned off itself; by the roots that were given."""
    if entry.proxy_verify is not INHERIT:
        return entry.proxy_verify
    return entry.verify if isinstance(entry.verify, str) else True


def _default_fields(entry: HostConfig, proxy: Proxy | None) -> list[tuple[str, str]]:
    """List the fields a host's requests carry unless they bring their own.

    `Connection: keep-alive` is the default in HTTP/1.1 and said all the same: Apache httpd tells its `timeout` and
    `max` only to clients that send it.
    """
    fields = [] if proxy is None else proxy.fields
    for_proxy = {name.lower() for name, _ in fields}
    pairs = [pair for pair in _pairs(entry.headers) if pair[0].lower() not in for_proxy] + fields
    names = {name.lower() for name, _ in pairs}
    if "connection" not in names:
        pairs.append(("Connection", "keep-alive" if _or(entry.keep_alive, True) else "close"))
    header = _or(entry.keep_alive_header, None)
    if header is not None and "keep-alive" not in names:
        pairs.append(("Keep-Alive", header))
    return pairs
