"""Authentication schemes: what signs a request and may answer a challenge.

    session.auth = keeppool.auth.HTTPDigestAuth("user", "password")

`AuthBase` tells how a scheme of your own is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keeppool.client.auth.base import AuthBase
from keeppool.client.auth.schemes import HTTPBasicAuth, HTTPBearerAuth, HTTPProxyAuth

if TYPE_CHECKING:
    from keeppool.client.auth.digest import HTTPDigestAuth as HTTPDigestAuth

__all__ = ["AuthBase", "HTTPBasicAuth", "HTTPBearerAuth", "HTTPDigestAuth", "HTTPProxyAuth"]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    """Load the scheme Digest, and the hash functions with it, only when it is asked for."""
    if name != "HTTPDigestAuth":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from keeppool.client.auth.digest import HTTPDigestAuth

    return HTTPDigestAuth
