"""Adapters for tasks: what sends the requests of an `AsyncSession`, and the responses they give.

Knows: a prepared request goes in, a response comes out, redirects and cookies apart.
Does not know: sessions, beyond the one that has mounted it.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from keeppool.adapters.cassettes_tasks import recorded
from keeppool.client.response.response_tasks import AsyncResponse as OwnResponse
from keeppool.client.session_tasks import send_over
from keeppool.pools.manager_tasks import AsyncPoolManager
from keeppool.requests.mounting.pooled import Connected, SendArguments, SendingAdapter, sent_by


class AsyncHTTPAdapter(SendingAdapter[Coroutine[Any, Any, "AsyncResponse"]]):
    """A pool of its own for the URLs of one prefix: other limits, other retries, nothing shared with the session's.

    Args:
        pool_connections: Accepted as in requests, where it bounds a table that this pool does not need.
        pool_maxsize: Most connections per host; `limits` is the better way. In requests it bounds only what is kept,
            and any number may be open beside; here a cap is a cap, and a request waits for its turn.
        max_retries: How often each request is tried again: a number or a `urllib3.util.Retry`; `None` is 3, as in
            requests.
        pool_block: Accepted as in requests; callers always wait.
        limits: As for `AsyncPoolManager`.
        timeout: As for `AsyncPoolManager`, where a call gives none.
        hosts: As for `AsyncPoolManager`.
        defaults: As for `AsyncPoolManager`.
        resolver: As for `AsyncPoolManager`.
        config: As for `AsyncPoolManager`.
        on_event: As for `AsyncPoolManager`.

    Attributes:
        pool: Its `AsyncPoolManager`.
        max_retries: As given; 0 for none.
        retrying: The same, read.

    For subclasses: `send`, `add_headers` and `aclose` are called. The hooks of requests' adapters that are about
    urllib3's pools (`init_poolmanager`, `cert_verify` and their like) are refused with a `TypeError` when such a class
    is made, or one of them is set later, because their TLS settings would not hold.

    Thread safety: none; one event loop.
    """

    pool: AsyncPoolManager
    _pool_kind = AsyncPoolManager

    async def _carry(self, given: SendArguments, stream: bool) -> AsyncResponse:
        return sent_by(self, await send_over(recorded(self.pool), self._step(*given), stream, AsyncResponse))

    async def aclose(self) -> None:
        """Close the pool: idle connections now, busy ones when they are done."""
        await self.pool.aclose()


class AsyncResponse(Connected, OwnResponse):
    """A response to a request, which knows what sent it; all else is `keeppool.AsyncResponse`."""

    _adapter_kind = AsyncHTTPAdapter
