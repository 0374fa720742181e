"""urllib3's managers and pools with keeppool underneath: the same names, arguments, responses and errors.

    from keeppool.adapters.urllib3 import PoolManager

    http = PoolManager(maxsize=10, limits=Limits(per_host=4, total=64))

What is new: caps per host, per proxy and in total, over all of a manager's hosts; idle connections closed least
recently used first; the server's `Keep-Alive` hints believed; a probe before each reuse; one safe resend of a request
whose connection turned out stale, beneath `Retry(False)` too. docs/moving-from-urllib3.md has the table of all
arguments. Everything here is a subclass of urllib3's class of that name.

Knows: names; what stands behind them is in the modules beside this one.
"""

from __future__ import annotations

from typing import Any

from keeppool.adapters.urllib3.hosts import HTTPConnectionPool, HTTPSConnectionPool
from keeppool.adapters.urllib3.managers import PoolManager, ProxyManager, connection_from_url, proxy_from_url

__all__ = [
    "HTTPConnectionPool",
    "HTTPSConnectionPool",
    "PoolManager",
    "ProxyManager",
    "SOCKSProxyManager",  # made by `__getattr__`
    "connection_from_url",
    "proxy_from_url",
]


def __getattr__(name: str) -> Any:
    """Load what needs PySocks only when it is asked for.

    Raises:
        ImportError: PySocks is not installed: `pip install 'urllib3[socks]'`.
    """
    if name != "SOCKSProxyManager":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from keeppool.adapters.urllib3.socks import SOCKSProxyManager

    return SOCKSProxyManager
