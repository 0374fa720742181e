"""urllib3's `SOCKSProxyManager` with keeppool underneath. Needs PySocks, as urllib3's does."""

from __future__ import annotations

from urllib3.contrib import socks

from keeppool.adapters.urllib3.capped import CappedManager


class SOCKSProxyManager(CappedManager, socks.SOCKSProxyManager):
    """urllib3's manager for SOCKS proxies, capped; see `CappedManager` for the arguments that are new."""
