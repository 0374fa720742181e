"""urllib3's managers that need nothing but urllib3, and its two functions that make one or a host pool.

Knows: names. What makes them capped is `capped.py`.
"""

from __future__ import annotations

from typing import Any

import urllib3

from keeppool.adapters.urllib3.capped import CappedManager
from keeppool.adapters.urllib3.hosts import HTTPConnectionPool, HTTPSConnectionPool


class PoolManager(CappedManager):
    """urllib3's `PoolManager`, capped; see `CappedManager` for the arguments that are new."""


class ProxyManager(CappedManager, urllib3.ProxyManager):
    """urllib3's `ProxyManager`, capped; see `CappedManager` for the arguments that are new."""


def proxy_from_url(url: str, **kw: Any) -> ProxyManager:
    """Make a manager that sends everything through a proxy, as urllib3's function of that name."""
    return ProxyManager(proxy_url=url, **kw)


def connection_from_url(url: str, **kw: Any) -> HTTPConnectionPool:
    """Make the host pool for a URL, as urllib3's function of that name; it has a core of its own."""
    parsed = urllib3.util.parse_url(url)
    scheme = parsed.scheme or "http"
    pool = HTTPSConnectionPool if scheme == "https" else HTTPConnectionPool
    return pool(parsed.host, port=parsed.port or urllib3.connectionpool.port_by_scheme.get(scheme, 80), **kw)
