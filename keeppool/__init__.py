"""keeppool: an HTTP client whose heart is its connection pool.

    import keeppool

    with keeppool.Session() as session:
        print(session.get("https://example.com/").text)

Every name is imported when it is first used: `import keeppool` alone costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keeppool._version import __version__
from keeppool.deferred import late

if TYPE_CHECKING:
    from keeppool import adapters, auth, cookies, errors, events, observe, presets, requests, testing
    from keeppool import errors as exceptions
    from keeppool.client.api import delete, get, head, options, patch, post, put, request
    from keeppool.client.request.prepared import PreparedRequest
    from keeppool.client.request.request import Request
    from keeppool.client.response.codes import codes
    from keeppool.client.response.response import Response
    from keeppool.client.response.response_tasks import AsyncResponse
    from keeppool.client.session import Session
    from keeppool.client.session_tasks import AsyncSession
    from keeppool.config import INHERIT, Config, HostConfig, Limits, Pace, Timeout
    from keeppool.config_file import load_config
    from keeppool.errors import (
        ChunkedEncodingError,
        ConnectionError,
        ConnectTimeout,
        ContentDecodingError,
        HTTPError,
        InvalidHeader,
        InvalidJSONError,
        InvalidProxyURL,
        InvalidSchema,
        InvalidURL,
        JSONDecodeError,
        MissingSchema,
        ProxyError,
        ReadTimeout,
        RequestException,
        RetryError,
        SSLError,
        StreamConsumedError,
        TooManyRedirects,
        UnrewindableBodyError,
        URLRequired,
    )
    from keeppool.explanation import Explanation
    from keeppool.pools.manager_tasks import AsyncPoolManager
    from keeppool.pools.manager_threads import PoolManager
    from keeppool.pools.outgoing import Outgoing
    from keeppool.probe.habits import Survey
    from keeppool.probe.survey import survey
    from keeppool.requests.mounting.adapter import BaseAdapter, HTTPAdapter
    from keeppool.requests.mounting.adapter_tasks import AsyncHTTPAdapter
    from keeppool.stats import HostLedger, Stats

#: requests' exceptions, all but `Timeout`, which is the setting here, as in httpx and urllib3.
_EXCEPTIONS = (
    "ChunkedEncodingError",
    "ConnectTimeout",
    "ConnectionError",
    "ContentDecodingError",
    "HTTPError",
    "InvalidHeader",
    "InvalidJSONError",
    "InvalidProxyURL",
    "InvalidSchema",
    "InvalidURL",
    "JSONDecodeError",
    "MissingSchema",
    "ProxyError",
    "ReadTimeout",
    "RequestException",
    "RetryError",
    "SSLError",
    "StreamConsumedError",
    "TooManyRedirects",
    "URLRequired",
    "UnrewindableBodyError",
)
_HOMES = {
    "Session": "keeppool.client.session",
    "AsyncSession": "keeppool.client.session_tasks",
    "Response": "keeppool.client.response.response",
    "AsyncResponse": "keeppool.client.response.response_tasks",
    "Request": "keeppool.client.request.request",
    "PreparedRequest": "keeppool.client.request.prepared",
    "BaseAdapter": "keeppool.requests.mounting.adapter",
    "HTTPAdapter": "keeppool.requests.mounting.adapter",
    "AsyncHTTPAdapter": "keeppool.requests.mounting.adapter_tasks",
    "codes": "keeppool.client.response.codes",
    "PoolManager": "keeppool.pools.manager_threads",
    "AsyncPoolManager": "keeppool.pools.manager_tasks",
    "Limits": "keeppool.config",
    "Timeout": "keeppool.config",
    "HostConfig": "keeppool.config",
    "Pace": "keeppool.config",
    "Config": "keeppool.config",
    "INHERIT": "keeppool.config",
    "load_config": "keeppool.config_file",
    "Explanation": "keeppool.explanation",
    "Outgoing": "keeppool.pools.outgoing",
    "Stats": "keeppool.stats",
    "HostLedger": "keeppool.stats",
    "Survey": "keeppool.probe.habits",
    "survey": "keeppool.probe.survey",
    **dict.fromkeys(
        ("delete", "get", "head", "options", "patch", "post", "put", "request"),
        "keeppool.client.api",
    ),
    **dict.fromkeys(_EXCEPTIONS, "keeppool.errors"),
}
_MODULES = {
    "adapters": "keeppool.adapters",
    "auth": "keeppool.auth",
    "cookies": "keeppool.cookies",
    "errors": "keeppool.errors",
    "events": "keeppool.events",
    "exceptions": "keeppool.errors",
    "observe": "keeppool.observe",
    "presets": "keeppool.presets",
    "requests": "keeppool.requests",
    "testing": "keeppool.testing",
}

__all__ = [
    "INHERIT",
    "AsyncHTTPAdapter",
    "AsyncPoolManager",
    "AsyncResponse",
    "AsyncSession",
    "BaseAdapter",
    "ChunkedEncodingError",
    "Config",
    "ConnectTimeout",
    "ConnectionError",
    "ContentDecodingError",
    "Explanation",
    "HTTPAdapter",
    "HTTPError",
    "HostConfig",
    "HostLedger",
    "InvalidHeader",
    "InvalidJSONError",
    "InvalidProxyURL",
    "InvalidSchema",
    "InvalidURL",
    "JSONDecodeError",
    "Limits",
    "MissingSchema",
    "Outgoing",
    "Pace",
    "PoolManager",
    "PreparedRequest",
    "ProxyError",
    "ReadTimeout",
    "Request",
    "RequestException",
    "Response",
    "RetryError",
    "SSLError",
    "Session",
    "Stats",
    "StreamConsumedError",
    "Survey",
    "Timeout",
    "TooManyRedirects",
    "URLRequired",
    "UnrewindableBodyError",
    "__version__",
    "adapters",
    "auth",
    "codes",
    "cookies",
    "delete",
    "errors",
    "events",
    "exceptions",
    "get",
    "head",
    "load_config",
    "observe",
    "options",
    "patch",
    "post",
    "presets",
    "put",
    "request",
    "requests",
    "survey",
    "testing",
]


#: Names of httpx, and what they are called here.
_OF_HTTPX = {
    "Client": "keeppool.Session",
    "AsyncClient": "keeppool.AsyncSession",
    "stream": "keeppool.get(url, stream=True)",
    "RequestError": "keeppool.RequestException",
    "HTTPStatusError": "keeppool.HTTPError",
    "TransportError": "keeppool.RequestException",
    "NetworkError": "keeppool.ConnectionError",
    "ConnectError": "keeppool.errors.ConnectError",
    "ReadError": "keeppool.errors.ReadError",
    "WriteError": "keeppool.errors.SendError",
    "TimeoutException": "keeppool.errors.Timeout",
    "PoolTimeout": "keeppool.errors.PoolTimeout",
    "WriteTimeout": "keeppool.errors.WriteTimeout",
    "RemoteProtocolError": "keeppool.errors.ServerDisconnected, ProtocolError or ChunkedEncodingError",
    "LocalProtocolError": "keeppool.errors.InvalidRequest",
    "UnsupportedProtocol": "keeppool.InvalidSchema",
    "DecodingError": "keeppool.ContentDecodingError",
    "StreamConsumed": "keeppool.StreamConsumedError",
    "HTTPTransport": "keeppool.HTTPAdapter, mounted on a keeppool.requests.Session",
    "AsyncHTTPTransport": "keeppool.AsyncHTTPAdapter, mounted on a keeppool.requests.AsyncSession",
    "BasicAuth": "a (user, password) pair, or keeppool.auth.HTTPBasicAuth",
    "DigestAuth": "keeppool.auth.HTTPDigestAuth",
    "Auth": "keeppool.auth.AuthBase",
    "Cookies": "keeppool.cookies.CookieJar",
    "MockTransport": "keeppool.testing.Site, a server on loopback",
    "ASGITransport": "keeppool.testing.Site, a server on loopback",
    "WSGITransport": "keeppool.testing.Site, a server on loopback",
    "URL": "text, which urllib.parse takes apart",
    "Headers": "a mapping",
    "QueryParams": "a mapping, or (name, value) pairs",
}
#: Modules whose public names people look for on the package: errors to catch, schemes, what listens.
_LOOKED_FOR = ("errors", "auth", "events", "observe", "testing")


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return late(_MODULES[name])
    if name in _OF_HTTPX:
        raise AttributeError(
            f"module 'keeppool' has no attribute {name!r}: here it is {_OF_HTTPX[name]}; see docs/moving-from-httpx.md"
        )
    if name not in _HOMES:
        raise AttributeError(f"module 'keeppool' has no attribute {name!r}{_place_of(name)}")
    value = getattr(late(_HOMES[name]), name)
    globals()[name] = value
    return value


def _place_of(name: str) -> str:
    """Say where a class is that is not here; empty for what is no name of a class, and may be asked for by anybody."""
    if not name[:1].isupper():
        return ""
    found = [f"keeppool.{module}.{name}" for module in _LOOKED_FOR if hasattr(late(f"keeppool.{module}"), name)]
    return f": it is {found[0]}" if found else ""


def __dir__() -> list[str]:
    return sorted(__all__)
