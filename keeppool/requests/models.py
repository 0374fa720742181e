"""The names of `requests.models`: requests and responses, and for tasks the response, which brings asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keeppool.client.request.prepared import PreparedRequest
from keeppool.client.request.request import Request
from keeppool.client.response.redirect import STATUSES
from keeppool.client.settings import MAX_REDIRECTS as DEFAULT_REDIRECT_LIMIT
from keeppool.requests.mounting.adapter import Response

if TYPE_CHECKING:
    from keeppool.requests.mounting.adapter_tasks import AsyncResponse as AsyncResponse

REDIRECT_STATI = tuple(sorted(STATUSES))

__all__ = ["DEFAULT_REDIRECT_LIMIT", "REDIRECT_STATI", "AsyncResponse", "PreparedRequest", "Request", "Response"]


def __getattr__(name: str) -> Any:
    if name != "AsyncResponse":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from keeppool.requests.mounting.adapter_tasks import AsyncResponse

    return AsyncResponse


def __dir__() -> list[str]:
    return __all__
