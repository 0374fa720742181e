"""`Seam`: where a `Replay` stands in the place of the network.

Decides: whose requests come to it, and that whatever ends first, what was there before is there again.
Knows: the one method of both pool managers that sends.
Does not know: what is answered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from keeppool.config import bad
from keeppool.pools.manager import ExchangeArguments, Manager
from keeppool.pools.manager_tasks import AsyncPoolManager
from keeppool.pools.manager_threads import PoolManager
from keeppool.pools.response import Response
from keeppool.pools.response_tasks import AsyncResponse


class Answerer(Protocol):
    """What answers in the place of the network."""

    def _in_thread(
        self, carry: Callable[[ExchangeArguments], Response], pool: Manager, given: ExchangeArguments
    ) -> Any:
        """Answer a request of a thread."""

    async def _in_task(
        self, carry: Callable[[ExchangeArguments], Awaitable[AsyncResponse]], pool: Manager, given: ExchangeArguments
    ) -> Any:
        """Answer a request of a task."""


class Seam:
    """What stands in the place of a pool manager's sending, and what stood there before.

    Args:
        replay: Who answers.
        pool: The one manager; `None` for all of both kinds.
    """

    def __init__(self, replay: Answerer, pool: Manager | None) -> None:
        self._replay: Answerer | None = replay
        owners: tuple[Any, ...] = (PoolManager, AsyncPoolManager) if pool is None else (pool,)
        self._replaced = [(owner, vars(owner).get("_carry"), self._put(owner, replay)) for owner in owners]

    def _put(self, owner: Any, replay: Answerer) -> Callable[..., Any]:
        before = owner._carry
        is_async = issubclass(owner if isinstance(owner, type) else type(owner), AsyncPoolManager)
        answer = replay._in_task if is_async else replay._in_thread

        def carry(*arguments: Any) -> Any:
            if self._replay is None:  # Over, and somebody else's that has begun since is not.
                return before(*arguments)
            pool = arguments[0] if isinstance(owner, type) else owner
            return answer(lambda given: before(*arguments[:-1], given), pool, arguments[-1])

        owner._carry = carry
        return carry

    def close(self) -> None:
        """Put back what was there."""
        self._replay = None
        for owner, before, put in self._replaced:
            if vars(owner).get("_carry") is not put:
                continue
            if before is None:
                del owner._carry
            else:
                owner._carry = before


def pool_of(owner: object) -> Manager:
    """Find the pool manager of a session, of a mounted adapter, or the one that this is itself."""
    for found in (owner, getattr(owner, "pool", None), getattr(owner, "poolmanager", None)):
        if isinstance(found, (PoolManager, AsyncPoolManager)):
            return found
    raise bad("over", owner, "must be a session, a pool manager, or an adapter of keeppool's that is mounted")
