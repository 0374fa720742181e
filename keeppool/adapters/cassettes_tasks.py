"""vcrpy's cassettes for tasks; what is decided is decided in `cassettes.py`."""

from __future__ import annotations

from contextlib import aclosing
from typing import cast

from keeppool.adapters.cassettes import Recording, asked, plainly
from keeppool.fakers import cassette, seen
from keeppool.pools.manager import ExchangeArguments
from keeppool.pools.manager_tasks import AsyncPoolManager
from keeppool.pools.recalled import locate, recall
from keeppool.pools.response_tasks import AsyncResponse
from keeppool.wire.body import RequestBody


def recorded(pool: AsyncPoolManager) -> AsyncPoolManager:
    """Give what sends for a pool manager now: itself, or what plays from the cassette in use and records there."""
    tape = cassette()
    return pool if tape is None else cast("AsyncPoolManager", _Recorded(tape, pool))


class _Recorded(Recording):
    """For tasks."""

    async def _answer(self, given: ExchangeArguments) -> AsyncResponse:
        locate(self._pool, given)
        request, given = asked(given, None if given[3] is None else await _payload(given[3]))
        found = self._played(request)
        if found is None:
            with seen():
                raw = await self._pool.exchange(*plainly(given))
            found = self._record(request, raw.head, await raw.read())
        response = recall(self._pool, AsyncResponse, given, found.on_the_wire(given[0]))
        if not given[5]:
            await response.preload()
        return response


async def _payload(body: RequestBody) -> bytes:
    if not body.is_async:
        return b"".join(body.payload())
    async with aclosing(body.awaited_payload()) as pieces:
        return b"".join([bytes(piece) async for piece in pieces])
