"""`Seam`: where a `Replay` stands in the place of the network.

Decides: whose requests come to it, and that whatever ends first, what was there before is there again.
Knows: the one method of both pool managers that sends.
Does not know: what is answered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any, NoReturn, Protocol

from keeppool.adapters.urllib3.lending import Borrowing, SlotPool
from keeppool.checks import bad
from keeppool.pools.manager import ExchangeArguments, Manager
from keeppool.pools.manager_tasks import AsyncPoolManager
from keeppool.pools.manager_threads import PoolManager
from keeppool.pools.response import Response
from keeppool.pools.response_tasks import AsyncResponse
from keeppool.urls.address import Address, parse_as_given
from keeppool.wire.body import RequestBody


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

    def _refuse(self, origin: str) -> NoReturn:
        """Refuse a request that cannot be seen here."""


class Seam:
    """What stands in the place of a pool manager's sending, and what stood there before.

    Args:
        replay: Who answers.
        pool: The one manager; `None` for all of both kinds. Then drop-ins for urllib3 are refused: they send by
            urllib3's code, and would ask the network.
    """

    def __init__(self, replay: Answerer, pool: Manager | None) -> None:
        self._replay: Answerer | None = replay
        self._replaced: list[tuple[Any, str, Any, Any]] = []
        if pool is None:
            self._put(PoolManager, "_carry", self._carrying(PoolManager, replay._in_thread))
            self._put(AsyncPoolManager, "_carry", self._carrying(AsyncPoolManager, replay._in_task))
            self._put(SlotPool, "lend", self._refusing(replay))
        else:
            answer = replay._in_task if isinstance(pool, AsyncPoolManager) else replay._in_thread
            self._put(pool, "_carry", self._carrying(pool, answer))

    def _put(self, owner: Any, name: str, method: Callable[..., Any]) -> None:
        self._replaced.append((owner, name, vars(owner).get(name), method))
        setattr(owner, name, method)

    def _carrying(self, owner: Any, answer: Callable[..., Any]) -> Callable[..., Any]:
        before = owner._carry

        def carry(*arguments: Any) -> Any:
            if self._replay is None:  # Over, and somebody else's that has begun since is not.
                return before(*arguments)
            pool = arguments[0] if isinstance(owner, type) else owner
            return answer(lambda given: before(*arguments[:-1], given), pool, arguments[-1])

        return carry

    def _refusing(self, replay: Answerer) -> Callable[..., Any]:
        before = SlotPool.lend

        def lend(pool: SlotPool, borrowing: Borrowing) -> Any:
            if self._replay is None:
                return before(pool, borrowing)
            return replay._refuse(borrowing.route.name)

        return lend

    def close(self) -> None:
        """Put back what was there."""
        self._replay = None
        for owner, name, before, put in self._replaced:
            if vars(owner).get(name) is not put:
                continue
            if before is None:
                delattr(owner, name)
            else:
                setattr(owner, name, before)


def pool_of(owner: object) -> Manager:
    """Find the pool manager of a session, of a mounted adapter, or the one that this is itself."""
    for found in (owner, getattr(owner, "pool", None), getattr(owner, "poolmanager", None)):
        if isinstance(found, (PoolManager, AsyncPoolManager)):
            return found
    raise bad("over", owner, "must be a session, a pool manager, or an adapter of keeppool's that is mounted")


def url_of(given: ExchangeArguments) -> str:
    """Write a request's URL as it is compared: without its scheme's own port."""
    address = _address(given)
    return f"{address.scheme}://{address.authority}{address.target}"


def authority_of(given: ExchangeArguments) -> str:
    """Give what a request's Host field says."""
    return _address(given).authority


def _address(given: ExchangeArguments) -> Address:
    """Read a request's URL, as the pool manager does."""
    return given[1] if isinstance(given[1], Address) else parse_as_given(given[1])


def plainly(given: ExchangeArguments) -> ExchangeArguments:
    """Ask for a body as it is sent, and before it is there: so that it comes undecoded."""
    return (*given[:5], True, given[6], False)


async def payload(body: RequestBody) -> bytes:
    """Read a body whole, whoever has to wait for it."""
    if not body.is_async:
        return b"".join(body.payload())
    async with aclosing(body.awaited_payload()) as pieces:
        return b"".join([bytes(piece) async for piece in pieces])
