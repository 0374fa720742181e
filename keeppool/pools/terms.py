"""`Terms`: what all hosts have in common for which the configuration says the same.

Decides: what a configuration means for a connection and for a request's head; which fields of a host and of a request
    win.
Knows: configuration, its merged entry of a host.
Does not know: hosts and URLs. A crawl sees a new host with every page, and few programs configure hosts one by one, so
    whatever does not need the host's name is made here, once for all of them.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from keeppool.checks import KEY_RULE, bad, is_key
from keeppool.config import INHERIT, Config, HostConfig, Inherit, Limits, Pace, Timeout
from keeppool.core.keepalive import connection_options
from keeppool.core.origin import Origin, Proxy, TlsIdentity
from keeppool.core.records import Policy
from keeppool.deferred import Deferred
from keeppool.pools.request import default_fields
from keeppool.wire.fields import EMPTY, FieldBlock, field_block
from keeppool.wire.head import MAX_HEAD_BYTES, MAX_HEAD_FIELDS

if TYPE_CHECKING:
    from keeppool.core import pace as paces
    from keeppool.core.pace import Paced
    from keeppool.pools import proxies
else:
    paces = Deferred("keeppool.core.pace")
    proxies = Deferred("keeppool.pools.proxies")

#: Fields that only a proxy may read, which is to use them up (RFC 9110 §11.7.2).
FOR_PROXIES = frozenset((b"proxy-authorization",))

T = TypeVar("T")


class Terms:
    """What holds for requests to each of some hosts.

    Args:
        policy: The limits.
        timeout: The waits.
        defaults: The fields that requests carry unless they bring their own.
        is_forwarded: A proxy reads the head. Without one, and inside a tunnel, the origin does: what is meant for a
            proxy is not for it.

    Attributes:
        version: `HTTP/1.1` or `HTTP/1.0`, as on the wire.
        idempotent: Whether requests may be applied twice; None leaves it to the method.
        head_bytes: The largest response head taken.
        head_fields: The most fields one may have.
    """

    __slots__ = (
        "_block",
        "_defaults",
        "_private",
        "head_bytes",
        "head_fields",
        "idempotent",
        "policy",
        "timeout",
        "version",
    )

    def __init__(
        self, policy: Policy, timeout: Timeout, *, defaults: FieldBlock = EMPTY, is_forwarded: bool = False
    ) -> None:
        self.policy = policy
        self.timeout = timeout
        self.version = b"HTTP/1.1"
        self.idempotent: bool | None = None
        self.head_bytes, self.head_fields = MAX_HEAD_BYTES, MAX_HEAD_FIELDS
        self._private = frozenset() if is_forwarded else FOR_PROXIES
        self._defaults = defaults
        self._block: tuple[FieldBlock | None, FieldBlock, bool] = (None, EMPTY, False)

    def fields(self, fields: FieldBlock) -> tuple[FieldBlock, bool]:
        """Give all the fields of a request's head but Host and what the body adds.

        Args:
            fields: The request's own. A session sends the same object with every request, to whatever host, so the
                last answer is kept.

        Returns:
            The fields, and whether they say `Connection: close`.
        """
        made_for, block, closes = self._block
        if made_for is not fields:
            block = self._merged(fields)
            closes = b"close" in connection_options(block.get(b"connection") or b"")
            # One assignment of one tuple: another thread sees the old result or the new one, never half of each.
            self._block = (fields, block, closes)
        return block, closes

    def _merged(self, fields: FieldBlock) -> FieldBlock:
        """Put together the request's fields and the host's: the request's win, unless they only repeat our defaults."""
        said = {name.lower() for name, _ in self._defaults.pairs}
        weak = {name.lower() for name, value in fields.pairs if (name.lower(), value) in library_defaults()}
        dropped = (said & weak) | self._private
        own = [pair for pair in fields.pairs if pair[0].lower() not in dropped]
        names = {name.lower() for name, _ in own} | self._private
        return field_block([*own, *(pair for pair in self._defaults.pairs if pair[0].lower() not in names)])


@cache
def library_defaults() -> frozenset[tuple[bytes, bytes]]:
    """List what a request says although nobody has asked for it: a host's own headers win over these."""
    return frozenset((name.lower(), value) for name, value in (*default_fields().pairs, (b"Accept", b"*/*")))


class OriginTerms(Terms):
    """The same, and what tells the hosts' connections from others.

    Args:
        scheme: Of all the hosts.
        entry: What is configured for them, defaults included.
        config: The pool's.
    """

    __slots__ = ("_entry", "_forwarder", "_identity", "_is_paced", "scheme")

    def __init__(self, scheme: str, entry: HostConfig, config: Config) -> None:
        limits = config.limits
        url = _or(entry.proxy, None)
        proxy = None if url is None else proxies.proxy_at(url, _pairs(entry.proxy_headers), _proxy_verify(entry))
        is_forwarded = proxy is not None and scheme == "http" and not proxy.is_socks
        super().__init__(
            _policy(entry, limits, per_host=limits.per_proxy if is_forwarded else limits.per_host),
            config.timeout if entry.timeout is INHERIT else Timeout.of(entry.timeout, config.timeout),
            defaults=field_block(_default_fields(entry, proxy if is_forwarded else None)),
            is_forwarded=is_forwarded,
        )
        if entry.http_version == "1.0":
            self.version = b"HTTP/1.0"
        self.idempotent = _or(entry.idempotent, None)
        self.head_bytes = _or(entry.head_bytes, limits.head_bytes) or sys.maxsize
        self.head_fields = _or(entry.head_fields, limits.head_fields) or sys.maxsize
        self.scheme = scheme
        self._entry = entry
        self._is_paced = paced_of(entry, "", 0) is not None
        self._identity: dict[str, Any] = {
            "tls": _tls(entry) if scheme == "https" else None,
            "proxy": proxy,
            "source_address": _or(entry.source_address, None),
            "unix_socket": _or(entry.unix_socket, None),
            "tcp_keepalive": _or(entry.tcp_keepalive, 120.0),
            "tag": _or(entry.tag, None),
        }
        self._forwarder = self._by(proxy) if proxy is not None and is_forwarded else None

    def origin(self, host: str, port: int) -> Origin:
        """Give what the connections of one of the hosts are kept under."""
        return self._forwarder or Origin(scheme=self.scheme, host=host, port=port, **self._identity)

    def paced(self, host: str, port: int) -> Paced | None:
        """Give the pace that requests to one of the hosts keep; `None` if nothing holds them up."""
        return paced_of(self._entry, host, port) if self._is_paced else None

    def shared(self, host: str, port: int) -> Policy:
        """Give the limits of one of the hosts in a fleet: what it shares its connections by, and how many there are."""
        cap = _or(self._entry.fleet_per_host, self.policy.per_host)
        return self.policy._replace(permit_key=None if cap is None else key_of(self._entry, host, port), permit_cap=cap)

    def _by(self, proxy: Proxy) -> Origin:
        """Give what all the hosts' connections are kept under, because they lead to the proxy, whatever the host."""
        # What else is said about TLS is meant for the origin's server (see `Origin.tls_hop`).
        tls = TlsIdentity(verify=proxy.verify) if proxy.scheme == "https" else None
        return Origin(scheme=self.scheme, host=proxy.host, port=proxy.port, **{**self._identity, "tls": tls})


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
    return paces.Paced(key_of(entry, host, port), pace, obeys)


def key_of(entry: HostConfig, host: str, port: int) -> str:
    """Name the server that a URL's host is, whatever way leads there: by its address, or as the configuration says."""
    chosen = entry.fleet_key
    if isinstance(chosen, Inherit):
        if path := _or(entry.unix_socket, None):  # It may hold bytes that are no text, as `os.fsdecode` gives them.
            return path.encode("utf-8", "backslashreplace").decode()
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    name = chosen if isinstance(chosen, str) else chosen(host, port)
    if not is_key(name):
        raise bad("fleet_key", name, f"must give {KEY_RULE}")
    return name


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
        pipelining=_or(entry.pipelining, 1),
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
