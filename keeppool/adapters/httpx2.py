"""Transports for clients of httpx2; needs httpx2 (the extra `httpx2`), which is imported when one of the names is used.

    client = httpx2.Client(transport=KeepPoolTransport())
    client = httpx2.AsyncClient(transport=AsyncKeepPoolTransport())

openai, anthropic and MCP have clients of httpx2; for those of httpx there is `keeppool.adapters.httpx`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keeppool.adapters.transports.family import transports

if TYPE_CHECKING:
    import httpx2

    from keeppool.adapters.transports.blocking import BlockingTransport
    from keeppool.adapters.transports.tasks import TaskTransport

    class KeepPoolTransport(BlockingTransport, httpx2.BaseTransport):
        """For threads; see `BlockingTransport`."""

    class AsyncKeepPoolTransport(TaskTransport, httpx2.AsyncBaseTransport):
        """For tasks; see `TaskTransport`."""


__all__ = ["AsyncKeepPoolTransport", "KeepPoolTransport"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = transports("httpx2", __name__)
    globals().update(KeepPoolTransport=made.blocking, AsyncKeepPoolTransport=made.tasks)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
