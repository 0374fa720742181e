"""Transports for clients of httpx; needs httpx (the extra `httpx`), which is imported when one of the names is used.

    client = httpx.Client(transport=KeepPoolTransport())
    client = httpx.AsyncClient(transport=AsyncKeepPoolTransport())

httpx2, which goes on from httpx, has a room of its own: `keeppool.adapters.httpx2`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keeppool.adapters.transports.family import transports

if TYPE_CHECKING:
    import httpx

    from keeppool.adapters.transports.blocking import BlockingTransport
    from keeppool.adapters.transports.tasks import TaskTransport

    class KeepPoolTransport(BlockingTransport, httpx.BaseTransport):
        """For threads; see `BlockingTransport`."""

    class AsyncKeepPoolTransport(TaskTransport, httpx.AsyncBaseTransport):
        """For tasks; see `TaskTransport`."""


__all__ = ["AsyncKeepPoolTransport", "KeepPoolTransport"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = transports("httpx", __name__)
    globals().update(KeepPoolTransport=made.blocking, AsyncKeepPoolTransport=made.tasks)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
