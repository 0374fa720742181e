"""requests' names, all of one kind: `import keeppool.requests as requests` is the one line that changes.

What stands here is keeppool's own session, responses and errors, under the names and in the places that requests has
for them. `Session` here is a `keeppool.Session` that programs may change from inside as they do requests': by mounted
adapters, methods of their own and hooks. `AsyncSession` is the same for tasks. `Timeout` is the error here, as in
requests, while `keeppool.Timeout` is the setting. docs/moving-from-requests.md lists what differs.

What is for tasks is imported when it is first used: it brings some hundred modules, asyncio among them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keeppool._version import __version__
from keeppool.client.request.prepared import PreparedRequest
from keeppool.client.request.request import Request
from keeppool.client.response.codes import codes
from keeppool.errors import (
    ConnectionError,
    ConnectTimeout,
    HTTPError,
    JSONDecodeError,
    ReadTimeout,
    RequestException,
    Timeout,
    TooManyRedirects,
)
from keeppool.requests import (
    adapters,
    api,
    auth,
    certs,
    cookies,
    exceptions,
    hooks,
    models,
    packages,
    sessions,
    status_codes,
    structures,
    utils,
)
from keeppool.requests.api import delete, get, head, options, patch, post, put, request
from keeppool.requests.exceptions import FileModeWarning, URLRequired
from keeppool.requests.models import Response
from keeppool.requests.sessions import Session, session

if TYPE_CHECKING:
    from keeppool.requests.models import AsyncResponse as AsyncResponse
    from keeppool.requests.sessions import AsyncSession as AsyncSession

__all__ = [
    "AsyncResponse",
    "AsyncSession",
    "ConnectTimeout",
    "ConnectionError",
    "FileModeWarning",
    "HTTPError",
    "JSONDecodeError",
    "PreparedRequest",
    "ReadTimeout",
    "Request",
    "RequestException",
    "Response",
    "Session",
    "Timeout",
    "TooManyRedirects",
    "URLRequired",
    "__version__",
    "adapters",
    "api",
    "auth",
    "certs",
    "codes",
    "cookies",
    "delete",
    "exceptions",
    "get",
    "head",
    "hooks",
    "models",
    "options",
    "packages",
    "patch",
    "post",
    "put",
    "request",
    "session",
    "sessions",
    "status_codes",
    "structures",
    "utils",
]


def __getattr__(name: str) -> Any:
    if name == "AsyncSession":
        return sessions.AsyncSession
    if name == "AsyncResponse":
        return models.AsyncResponse
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
