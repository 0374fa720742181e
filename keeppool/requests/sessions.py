"""The names of `requests.sessions`, and for tasks the session, which brings asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keeppool.client.request.prepared import PreparedRequest
from keeppool.client.request.request import Request
from keeppool.requests.mounting.adapter import HTTPAdapter
from keeppool.requests.mounting.session import Session

if TYPE_CHECKING:
    from keeppool.requests.mounting.session_tasks import AsyncSession as AsyncSession


def session() -> Session:
    """Make a session; `Session()` does the same."""
    return Session()


__all__ = ["AsyncSession", "HTTPAdapter", "PreparedRequest", "Request", "Session", "session"]


def __getattr__(name: str) -> Any:
    if name != "AsyncSession":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from keeppool.requests.mounting.session_tasks import AsyncSession

    return AsyncSession


def __dir__() -> list[str]:
    return __all__
