"""How urllib3's words on connections (`maxsize`, `block`, proxies) and ours (`limits`, `hosts`) become one.

Decides: the caps of each host, and how long a caller waits for a connection.
Knows: configuration, and what one of urllib3's host pools was given.
Does not know: connections; they are the lending pool's, of which each `Lender` has one.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from types import MethodType
from typing import Any, Final, cast

from keeppool.adapters.urllib3.lending import SlotPool
from keeppool.checks import bad, check_listener
from keeppool.config import INHERIT, Config, HostConfig, Limits, Timeout, check_config
from keeppool.core.origin import Origin, Proxy
from keeppool.core.records import Policy
from keeppool.events import Event
from keeppool.hosts import HostTable
from keeppool.pools import janitor
from keeppool.pools.pool import wanted_by
from keeppool.pools.routes import Route
from keeppool.pools.terms import Terms, key_of, paced_of
from keeppool.stats import Stats

#: Hosts whose terms are remembered. An entry is under 1 KiB; a scraper sees few at a time.
REMEMBERED_HOSTS = 1024
_LIMITS: Final = tuple(field.name for field in fields(Limits))
#: What a `HostConfig` may say here. Everything else (certificates, proxies, headers, …) is given to urllib3 itself.
HONOURED = (
    "fleet_key",
    "fleet_per_host",
    "idempotent",
    "idle_timeout",
    "max_age",
    "max_requests",
    "obey_retry_after",
    "pace",
    "per_host",
)


class BorrowedOrigin(Origin):
    """An origin as urllib3 tells them apart.

    Attributes:
        pool_key: urllib3's own key: certificates, contexts, proxy headers, socket options and all the rest. Origins
            that differ in any of it share nothing.
    """

    __slots__ = ("pool_key",)

    def __init__(self, *, pool_key: Hashable, **settings: Any) -> None:
        super().__init__(**settings)
        self.pool_key = pool_key
        self._key = (self._key, pool_key)
        self._hash = hash(self._key)


class Lender:
    """One capped pool, its terms for each host, and its listener: what all host pools of one manager share.

    Args:
        limits: As for `keeppool.PoolManager`.
        hosts: Likewise.
        config: Likewise; an argument given beside it wins.
        on_event: Likewise.
        maxsize: urllib3's; without limits of ours, no cap is smaller.

    Raises:
        ConfigError: A host entry says something that urllib3's own arguments decide here.
    """

    def __init__(
        self,
        limits: Limits | None,
        hosts: Mapping[str, HostConfig] | None,
        config: Config | None,
        on_event: Callable[[Event], None] | None,
        maxsize: int,
    ) -> None:
        base = check_config(config)
        check_listener(on_event)
        self._is_explicit = limits is not None or config is not None
        usual = base.limits if config is not None else _limits_for(maxsize)
        # Once more a configuration, which checks what it is made of.
        base = replace(base, limits=usual if limits is None else limits, hosts=base.hosts if hosts is None else hosts)
        self.limits = base.limits
        self._timeout = base.timeout
        self._table = HostTable(_checked(base.hosts))
        self._defaults = _checked({"*": base.defaults})["*"]
        self._on_event = on_event
        self._routes: dict[Hashable, Route] = {}
        self.pool = SlotPool(
            self.limits, None if on_event is None else cast("MethodType", self._hear), wanted_by(on_event)
        )
        self._is_shared = base.fleet is not None
        if base.fleet is not None:
            self.pool.join(base.fleet)
        # The last user of this one leaves the sockets to the janitor.
        weakref.finalize(self, janitor.adopt, self.pool)

    def route(self, scheme: str, host: str, port: int, proxy: Proxy | None, key: Hashable, size: PoolSize) -> Route:
        """Give the origin, and the limits that hold there, of one of urllib3's host pools.

        Args:
            scheme: Of whom the pool dials, the proxy included.
            host: Likewise.
            port: Likewise.
            proxy: What the connections go through.
            key: All else that tells one pool from another.
            size: urllib3's words on its number of connections.
        """
        memory = (scheme, host, port, proxy, key, size)
        route = self._routes.get(memory)
        if route is None:
            origin = BorrowedOrigin(scheme=scheme, host=host, port=port, proxy=proxy, pool_key=key)
            if len(self._routes) >= REMEMBERED_HOSTS:
                self._routes.clear()
            route = self._routes[memory] = self._make_route(origin, size)
        return route

    def wait(self, is_blocking: bool, pool_timeout: float | None) -> Timeout:
        """Tell how long a borrower waits in the queue: as urllib3 says, or as long as our configuration does."""
        if pool_timeout is None:
            return Timeout(None) if is_blocking else self._timeout
        return Timeout(None, pool=pool_timeout)

    def stats(self) -> Stats:
        """Take a snapshot of all gauges and counters, at one moment."""
        return self.pool.stats()

    def _make_route(self, origin: Origin, size: PoolSize) -> Route:
        entry = self._table.resolve(origin.scheme, origin.host, origin.port).over(self._defaults)
        policy = Policy(
            per_host=self._cap(entry, size),
            idle_timeout=_or(entry.idle_timeout, self.limits.idle_timeout),
            max_age=_or(entry.max_age, self.limits.max_age),
            max_requests=_or(entry.max_requests, self.limits.max_requests),
        )
        if self._is_shared and not size.is_forwarding:
            cap = _or(entry.fleet_per_host, policy.per_host)
            key = None if cap is None else key_of(entry, origin.host, origin.port)
            policy = policy._replace(permit_key=key, permit_cap=cap)
        terms = Terms(policy, self._timeout)
        terms.idempotent = _or(entry.idempotent, None)
        route = Route(origin, terms, b"")
        route.paced = paced_of(entry, origin.host, origin.port)
        return route

    def _cap(self, entry: HostConfig, size: PoolSize) -> int | None:
        """Choose the cap of one host.

        `block` is a promise that no more than `maxsize` are in use, so nothing raises that. Without it `maxsize` only
        said how many are kept, which the caps do better; a caller that asked for many gets at least that many.
        """
        limits = self.limits
        cap = limits.per_proxy if size.is_forwarding else limits.per_host
        if not self._is_explicit and cap is not None:
            cap = max(cap, size.maxsize)
        cap = _or(entry.per_host, cap)
        if size.is_blocking:
            cap = size.maxsize if cap is None else min(cap, size.maxsize)
        return cast("int | None", cap)

    def _hear(self, event: Event) -> None:
        if self._on_event is not None:
            self._on_event(event)


@dataclass(frozen=True, slots=True)
class PoolSize:
    """What one of urllib3's pools was given for its number of connections.

    Attributes:
        maxsize: At least 1.
        is_blocking: Never more than `maxsize` at a time.
        is_forwarding: The pool is a proxy's, for all plain http behind it.
    """

    maxsize: int
    is_blocking: bool
    is_forwarding: bool


def refuse_own(kind: type, named: Iterable[str]) -> None:
    """Refuse settings of ours among urllib3's arguments, which it would not know with the first request, or ever.

    Raises:
        TypeError: There is one; the message says how it is given.
    """
    for name in named:
        if name in _LIMITS or name in HONOURED:
            way = f"limits=Limits({name}=…)" if name in _LIMITS else f'hosts={{"*": HostConfig({name}=…)}}'
            raise TypeError(f"{kind.__name__}() has no argument {name!r}: it is {way}")


def _limits_for(maxsize: int) -> Limits:
    """Give the default limits, raised where a caller has asked urllib3 for more."""
    usual = Limits()
    most = {name: max(getattr(usual, name), maxsize) for name in ("per_host", "per_proxy", "total")}
    return replace(usual, **most)


def _checked(hosts: Mapping[str, HostConfig]) -> Mapping[str, HostConfig]:
    """Refuse entries that would be ignored: a certificate nobody looks at is worse than an error."""
    for pattern, entry in hosts.items():
        if not isinstance(entry, HostConfig):
            continue  # HostTable says what is wrong with it.
        for name in (field.name for field in fields(entry) if field.init):
            if name not in HONOURED and getattr(entry, name) is not INHERIT:
                rule = f"{name} is given to urllib3 here, by its arguments; an entry may set {', '.join(HONOURED)}"
                raise bad("hosts", {pattern: entry}, rule)
    return hosts


def _or(value: Any, fallback: Any) -> Any:
    return fallback if value is INHERIT else value
