"""`CappedManager`: what makes any of urllib3's managers capped.

Decides: which host pools share a core (those of one manager).
Does not know: connections; `hosts.py` and `lending.py` do.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import urllib3

from keeppool import forks
from keeppool.adapters.urllib3.bodies import prepared_body, starting_point
from keeppool.adapters.urllib3.hosts import HTTPConnectionPool, HTTPSConnectionPool
from keeppool.adapters.urllib3.terms import Lender, refuse_own
from keeppool.config import Config, HostConfig, Limits, check_config
from keeppool.events import Event
from keeppool.stats import Stats

#: Every manager of the process, for `_replace_locks`.
_managers: weakref.WeakSet[CappedManager] = weakref.WeakSet()
#: What our host pools are given beside urllib3's own arguments.
_OURS = frozenset(("_lender", "_pool_key"))


class CappedManager(urllib3.PoolManager):
    """What makes any of urllib3's managers capped.

    Args:
        *args: urllib3's.
        limits: How many connections, over all hosts, and for how long; also a preset such as `presets.CHROME`.
        hosts: What is different for some hosts, by pattern: `per_host`, `idle_timeout`, `max_age`, `max_requests` and
            `idempotent`. The rest of a host's settings are given to urllib3 by its own arguments.
        config: Both in one, as `keeppool.load_config` returns it, and the waits that hold where urllib3's `timeout` is
            not given; an argument given beside it wins.
        on_event: Called with each `keeppool.events` event, in the thread where it happened, never under a lock.
        **kw: urllib3's.

    Raises:
        ConfigError: An argument is invalid.
        TypeError: A field of `Limits` or `HostConfig` is given as an argument of its own.

    Thread safety: any thread may call any method.
    """

    def __init__(
        self,
        *args: Any,
        limits: Limits | None = None,
        hosts: Mapping[str, HostConfig] | None = None,
        config: Config | None = None,
        on_event: Callable[[Event], None] | None = None,
        **kw: Any,
    ) -> None:
        if config is not None:
            waits = check_config(config).timeout
            kw.setdefault("timeout", urllib3.Timeout(connect=waits.connect, read=waits.read, total=waits.total))
        refuse_own(type(self), kw)
        super().__init__(*args, **kw)
        self._lender = Lender(limits, hosts, config, on_event, kw.get("maxsize", 1))
        _managers.add(self)

    def stats(self) -> Stats:
        """Take a snapshot of all gauges and counters, at one moment."""
        return self._lender.stats()

    def urlopen(self, method: str, url: str, redirect: bool = True, **kw: Any) -> Any:  # type: ignore[override]
        """Send a request and follow redirects; see urllib3.

        Raises:
            urllib3.exceptions.UnrewindableBodyError: A redirect wants a body again that cannot be put back to its
                start.
        """
        if kw.get("body") is not None:
            kw["body"] = prepared_body(kw["body"])
            kw["body_pos"] = starting_point(kw["body"], kw.get("body_pos"))
        return super().urlopen(method, url, redirect=redirect, **kw)

    def clear(self) -> None:
        """Forget all host pools and close their connections: idle ones now, busy ones when they come back."""
        super().clear()
        self._lender.pool.clear()

    @property
    def pool_classes_by_scheme(self) -> dict[str, type[Any]]:
        """Host pool classes, each the capped kind of what was set."""
        return self._pool_classes

    @pool_classes_by_scheme.setter
    def pool_classes_by_scheme(self, classes: Mapping[str, type[Any]]) -> None:
        self._pool_classes = CappedClasses(classes)

    def connection_from_pool_key(self, pool_key: Any, request_context: dict[str, Any]) -> Any:
        """Give the host pool of a key; a new one shares the manager's core."""
        context = {**request_context, "_lender": self._lender, "_pool_key": pool_key}
        return super().connection_from_pool_key(pool_key, context)

    def _new_pool(self, scheme: str, host: str, port: int, request_context: dict[str, Any] | None = None) -> Any:
        """Make a host pool. A class that is none of urllib3's is made as urllib3 would."""
        if request_context and not issubclass(self.pool_classes_by_scheme[scheme], HTTPConnectionPool):
            request_context = {name: value for name, value in request_context.items() if name not in _OURS}
        return super()._new_pool(scheme, host, port, request_context)


class CappedClasses(dict[str, type[Any]]):
    """Host pool classes by scheme, capped when they are looked up, so that later assignments are too."""

    def __getitem__(self, scheme: str) -> type[Any]:
        return capped_class(super().__getitem__(scheme))


_URLLIB3S = urllib3.HTTPConnectionPool
#: The capped kind of each class that was asked for.
_capped: dict[type[Any], type[Any]] = {_URLLIB3S: HTTPConnectionPool, urllib3.HTTPSConnectionPool: HTTPSConnectionPool}


def capped_class(cls: type[Any]) -> type[Any]:
    """Give the kind of a host pool class that has our queue underneath; the class itself if it is none of urllib3's."""
    if issubclass(cls, HTTPConnectionPool) or not issubclass(cls, _URLLIB3S):
        return cls
    if cls not in _capped:
        _capped[cls] = type(f"Capped{cls.__name__}", (HTTPConnectionPool, cls), {"__doc__": cls.__doc__})
    return _capped[cls]


def _replace_locks() -> None:
    """In a forked child the lock of a manager's host pools may be held by a thread that does not exist there."""
    for manager in list(_managers):
        manager.pools.lock = threading.RLock()


forks.in_child(_replace_locks)
