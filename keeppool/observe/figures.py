"""Pools' figures as metrics want them: summed over the pools that are watched, by server, with a bound.

Decides: which hosts have a name of their own: in gauges the busiest at the moment, in what is added up over time the
    first that were seen, because a series must not lose a host again.
Knows: what pools are called in `Stats` and in events. Does not know: any format of metrics.

Source: OpenTelemetry's semantic conventions for `server.address` and `server.port`; what goes beyond the bound is
`_OTHER`, which they use for methods that are not known.
"""

from __future__ import annotations

import logging
import re
import threading
import weakref
from collections import Counter
from collections.abc import Iterable
from functools import reduce
from operator import add
from types import ModuleType
from typing import Any, Final, NamedTuple, Protocol

from keeppool import forks
from keeppool.checks import bad, check_count
from keeppool.errors import LoopError
from keeppool.events import Why
from keeppool.stats import HostStats, ProxyStats, Stats

#: Hosts with a name of their own, unless it is said otherwise: a few thousand series, which Prometheus bears.
HOSTS: Final = 100
OTHER: Final = "_OTHER"
#: The boundaries that the conventions give for the durations of requests and of connections, in seconds.
REQUEST_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
CONNECTION_BUCKETS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
#: States of a connection, as the conventions name them, and the attribute of `HostStats`; the last is one of ours.
STATES: Final = (("active", "busy"), ("idle", "idle"), ("connecting", "connecting"))
#: The methods of RFC 9110 and RFC 5789, which the conventions know; all others are `_OTHER`.
_METHODS: Final = frozenset(("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"))
# Scheme, host and port of an origin's name, or of a URL.
_PLACE: Final = re.compile(r"([a-z0-9]+)://(?:[^/?#]*@)?(\[[^\]]*\]|[^/?#:\s]+)(?::([0-9]+))?")
_PORTS: Final = {"http": 80, "https": 443}


class Server(NamedTuple):
    """A server as metrics name it; the port is 0 where there is none to be named."""

    address: str
    port: int


class Watched(Protocol):
    """What has figures: a session or a pool manager."""

    def stats(self) -> Stats:
        """Take a snapshot; from any thread."""


class Sums(NamedTuple):
    """What has been counted in all pools together.

    Attributes:
        counts: By the name of the attribute of `Stats`.
        closed_by: By reason.
        hosts: By server, no more than the bound.
        caps: The pools' totals and their proxies' caps, by scope and name.
    """

    counts: Counter[str]
    closed_by: Counter[Why]
    hosts: dict[Server, HostStats]
    caps: dict[tuple[str, Server | None], int]


#: Counters of a pool: what is added up over pools, and kept when one is gone.
COUNTERS: Final = ("requests", "opened", "reused", "connect_failed", "resent", "queued", "waited_s")


class Pools:
    """The pools that are watched, held weakly; what one has counted until it was last read stays when it goes.

    Args:
        hosts: How many hosts have a name of their own.

    Thread safety: any thread.
    """

    def __init__(self, hosts: int) -> None:
        check_count("hosts", hosts, least=1)
        if hosts is None:
            raise bad("hosts", hosts, "must be a whole number: what is told by host needs a bound")
        self._most = hosts
        # Guards the three below; nothing else is called under it.
        self._lock = threading.Lock()
        self._watched: dict[int, tuple[weakref.ref[Watched], Stats]] = {}
        self._counts: Counter[str] = Counter()
        self._closed_by: Counter[Why] = Counter()
        _all.add(self)

    def forget_parent(self) -> None:
        """In a forked child: a thread that does not exist there may have held the lock."""
        self._lock = threading.Lock()

    def watch(self, watched: Watched) -> None:
        """Count a session or pool manager in.

        Raises:
            ConfigError: It is none.
        """
        if not callable(getattr(watched, "stats", None)) or isinstance(watched, (type, ModuleType)):
            raise bad("watched", watched, "must be a session or a pool manager")
        reference = weakref.ref(watched)
        with self._lock:
            self._watched.setdefault(id(reference), (reference, Stats()))
            # The same one twice would be counted twice.
            same = [key for key, (other, _) in self._watched.items() if other() is watched]
            for key in same[1:]:
                del self._watched[key]

    def sums(self) -> Sums:
        """Read all pools. One whose event loop is blocked is taken as it was read last."""
        with self._lock:
            watched = list(self._watched.items())
        read = [(key, reference, _read(reference, before)) for key, (reference, before) in watched]
        with self._lock:
            for key, reference, stats in read:
                if reference() is not None:
                    self._watched[key] = reference, stats
                elif key in self._watched:
                    del self._watched[key]
                    _add(self._counts, self._closed_by, stats)
            counts, closed_by = self._counts.copy(), self._closed_by.copy()
        alive = [stats for _, reference, stats in read if reference() is not None]
        for stats in alive:
            _add(counts, closed_by, stats)
        return Sums(counts, closed_by, self._hosts(alive), _caps(alive))

    def _hosts(self, alive: Iterable[Stats]) -> dict[Server, HostStats]:
        """Add up hosts of one name, and those beyond the bound, the busiest first."""
        by_server: dict[Server, HostStats] = {}
        for stats in alive:
            for name, host in stats.hosts.items():
                server = server_of(name)
                by_server[server] = host if server not in by_server else by_server[server] + host
        if len(by_server) <= self._most:
            return by_server
        busiest = sorted(by_server.items(), key=lambda item: _interest(item[1]), reverse=True)
        named = dict(busiest[: self._most])
        return named | {Server(OTHER, 0): reduce(add, [host for _, host in busiest[self._most :]])}


#: Everything of this process that is read, for life after fork.
_all: weakref.WeakSet[Pools] = weakref.WeakSet()


def _after_fork() -> None:
    for pools in list(_all):
        pools.forget_parent()


forks.in_child(_after_fork)


class Named:
    """Gives servers their names in what is added up over time: the first `most` their own, the others `_OTHER`.

    Thread safety: any thread; two that come first at once may both get a name, which is one more than `most`.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[str, Server] = {}

    def server(self, place: str) -> Server:
        """Name the server of an origin or URL."""
        matched = _PLACE.match(place)
        key = place if matched is None else matched[0]
        known = self._known.get(key)
        if known is not None:
            return known
        if len(self._known) >= self._most:
            return Server(OTHER, 0)
        return self._known.setdefault(key, server_of(place))


def server_of(place: str) -> Server:
    """Take the server out of an origin's name, such as "https://example.com:443 through …", or out of a URL."""
    matched = _PLACE.match(place)
    if matched is None:
        return Server(OTHER, 0)
    scheme, host, port = matched[1], matched[2], matched[3]
    number = int(port) if port else 0 if host == "*" else _PORTS.get(scheme, 0)
    return Server(host.strip("[]").lower(), number)


def method_of(method: str) -> str:
    """Name a method as the conventions do."""
    return method if method in _METHODS else OTHER


def _read(reference: weakref.ref[Watched], before: Stats) -> Stats:
    watched = reference()
    if watched is None:
        return before
    try:
        return watched.stats()
    except LoopError as error:
        logging.getLogger("keeppool").warning("figures of a %s are old: %s", type(watched).__name__, error)
        return before


def _add(counts: Counter[str], closed_by: Counter[Why], stats: Stats) -> None:
    values: dict[str, Any] = {name: getattr(stats, name) for name in COUNTERS}
    counts.update(values)
    closed_by.update(stats.closed_by)


def _caps(alive: Iterable[Stats]) -> dict[tuple[str, Server | None], int]:
    caps: Counter[tuple[str, Server | None]] = Counter()
    for stats in alive:
        if stats.cap is not None:
            caps["total", None] += stats.cap
        proxies: dict[str, ProxyStats] = dict(stats.proxies)
        for name, proxy in proxies.items():
            if proxy.cap is not None:
                caps["proxy", server_of(name)] += proxy.cap
    return dict(caps)


def _interest(host: HostStats) -> tuple[int, ...]:
    return host.waiting, host.busy + host.connecting, host.open, host.requests
