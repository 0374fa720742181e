"""A pytest plugin that puts keeppool's drop-ins in the place of urllib3's classes, for urllib3's own tests.

Loaded with `-p urllib3_replaced`, before anything of the suite has imported urllib3's names.
"""

from __future__ import annotations

import urllib3
import urllib3.connection
import urllib3.connectionpool
import urllib3.http2.connection  # derives from urllib3's own connection, so it has to be there before that is replaced
import urllib3.poolmanager

import keeppool.adapters.urllib3 as dropin
from keeppool.adapters.urllib3.connection import LeanConnection, LeanHTTPSConnection

NAMES = ("HTTPConnectionPool", "HTTPSConnectionPool", "PoolManager", "ProxyManager", "proxy_from_url")
#: Some tests compare a connection's class with these.
CONNECTIONS = {"HTTPConnection": LeanConnection, "VerifiedHTTPSConnection": LeanHTTPSConnection}

for module in (urllib3, urllib3.connectionpool, urllib3.poolmanager):
    for name in NAMES:
        if hasattr(module, name):
            setattr(module, name, getattr(dropin, name))
for name, connection in CONNECTIONS.items():
    setattr(urllib3.connection, name, connection)
