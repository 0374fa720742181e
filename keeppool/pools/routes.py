"""From a URL to where it leads: the origin, the limits and defaults that hold there, the request target.

Decides: which configuration applies to a URL, and where its head names the host.
Knows: the parts of a URL, host patterns.
Does not know: connections, how a URL is read, what the configuration means (`terms.py`).

Source: RFC 9110 §4.2 (http and https URIs), §7.2 (Host); RFC 9112 §3.2 (request target forms).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from keeppool.config import Config, HostConfig
from keeppool.core.origin import Origin
from keeppool.errors import InvalidSchema, quoted, quoted_url
from keeppool.hosts import DEFAULT_PORTS, HostTable, Matching, merged
from keeppool.pools.request import default_fields
from keeppool.pools.terms import OriginTerms, Terms
from keeppool.urls.address import Address, authority, parse_as_given
from keeppool.urls.cache import remembered
from keeppool.wire.fields import FieldBlock
from keeppool.wire.request import check_target

if TYPE_CHECKING:
    from keeppool.core.pace import Paced

#: URLs whose way is remembered, and hosts. A scraper sees few hosts and many URLs; an entry of either is under 1 KiB.
REMEMBERED_URLS = 2048
REMEMBERED_HOSTS = 1024


class Route:
    """What all requests to one host under one configuration share.

    Args:
        origin: The pool's key.
        terms: What the host has in common with others.
        host_line: The head's, its end included; empty where the requests bring their own.

    Attributes:
        name: The origin as text, for events and errors.
        policy: The limits that hold for it.
        timeout: The waits that hold for it.
        version: As in `Terms`, like those that follow.
        idempotent: Likewise.
        head_bytes: Likewise.
        head_fields: Likewise.
        paced: The pace it keeps; `None` if nothing holds its requests up.
        kept: The last answer of `tail`, and the fields it was given for.
        proxied: What stands before the path in the request line where a proxy needs the whole URL; else empty.
    """

    __slots__ = (
        "_host_line",
        "_terms",
        "head_bytes",
        "head_fields",
        "idempotent",
        "kept",
        "name",
        "origin",
        "paced",
        "policy",
        "proxied",
        "timeout",
        "version",
    )

    def __init__(self, origin: Origin, terms: Terms, host_line: bytes) -> None:
        self.origin = origin
        self.name = str(origin)
        # Taken out of the terms: every request looks at them.
        self.policy = terms.policy
        self.timeout = terms.timeout
        self.version = terms.version
        self.idempotent = terms.idempotent
        self.head_bytes, self.head_fields = terms.head_bytes, terms.head_fields
        self.paced: Paced | None = None
        self.proxied = b""
        self._terms = terms
        self._host_line = host_line
        self.kept: tuple[FieldBlock | None, bytes, bool] = (None, b"", False)

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
                is kept.

        Returns:
            The bytes, and whether they say `Connection: close`.
        """
        made_for, lines, closes = self.kept
        if made_for is not fields:
            block, closes = self._terms.fields(fields)
            host_line = b"" if b"host" in block.names else self._host_line
            lines = b" %b\r\n%b%b" % (self.version, host_line, block.lines)
            # One assignment of one tuple: another thread sees the old result or the new one, never half of each.
            self.kept = (fields, lines, closes)
        return lines, closes


class Located(NamedTuple):
    """A URL's way: the route to its host, and the target for the request line."""

    route: Route
    target: bytes
    url: str


class Locator:
    """Finds routes; remembers them, and the terms that hosts share.

    Args:
        config: The pool's whole configuration.

    Thread safety: any thread; the caches are `functools`' own.
    """

    def __init__(self, config: Config) -> None:
        # Imports decoders: a program that runs out of descriptors is to hear of it from the dial, not from these.
        default_fields()
        self._config = config
        self._table = HostTable(config.hosts)
        self.locate = remembered(REMEMBERED_URLS)(self._locate)
        self._route = lru_cache(REMEMBERED_HOSTS)(self._make_route)
        # By the very entries of the table that match a host: for most programs there are none, whatever the host.
        self._entry = lru_cache(REMEMBERED_HOSTS)(self._make_entry)
        self._terms = lru_cache(REMEMBERED_HOSTS)(self._make_terms)

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
        """Give what is configured for a URL's host, the pool's defaults included: the same for like hosts.

        Raises:
            MissingSchema, InvalidSchema, InvalidURL: As `locate`.
        """
        return self._entry(self.matching(url))

    def matching(self, url: str) -> Matching:
        """List the entries of `hosts` that match a URL, by pattern, the most specific last.

        Raises:
            MissingSchema, InvalidSchema, InvalidURL: As `locate`.
        """
        return self._table.matching(*_address_of(url).origin)

    def _make_entry(self, matching: Matching) -> HostConfig:
        return merged(matching).over(self._config.defaults)

    def _make_terms(self, scheme: str, matching: Matching, override: HostConfig | None) -> OriginTerms:
        entry = self._entry(matching)
        return OriginTerms(scheme, entry if override is None else override.over(entry), self._config)

    def _make_route(self, scheme: str, host: str, port: int, override: HostConfig | None) -> Route:
        terms = self._terms(scheme, self._table.matching(scheme, host, port), override)
        origin = terms.origin(host, port)
        # Checked where it is written, in Host and for a proxy in the request line, whoever has read the URL.
        place = check_target(authority(scheme, host, port))
        route = Route(origin, terms, b"Host: %b\r\n" % place)
        route.paced = terms.paced(host, port)
        if self._config.fleet is not None and not origin.is_forwarded:
            route.policy = terms.shared(host, port)
        if origin.is_forwarded:
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
