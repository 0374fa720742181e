"""A connection on loan while the rest of an answer's body is read from it, for tasks.

Waits for the network; what is decided is decided in `lease.py`.
"""

from __future__ import annotations

from keeppool.pools.exchange import Exchange
from keeppool.pools.lease import Lease
from keeppool.pools.pool_tasks import LoopedPool
from keeppool.pools.send import left


class TaskLease(Lease):
    """A loan to a task, which awaits each read."""

    __slots__ = ("_looped",)

    def __init__(self, pool: LoopedPool, exchange: Exchange, deadline: float | None) -> None:
        super().__init__(pool, exchange, deadline)
        self._looped = pool

    async def receive(self, size: int) -> bytes:
        """Read up to `size` bytes; none means the server closed."""
        try:
            data: bytes = await self._stream.receive(size, left(self._exchange, self._deadline))
        except OSError as error:
            failure = self._explain(error)
            if failure is None:
                return b""
            raise failure from error
        self._exchange.received += len(data)
        return data

    def receive_now(self, size: int) -> bytes | None:
        """Read what has arrived already, up to `size` bytes; `None` if nothing has, none means the server closed."""
        data: bytes | None = self._stream.receive_now(size)
        return data

    def __del__(self) -> None:
        """Leave the connection of a response that was dropped unread to the event loop."""
        if self._exchange.held is not None:
            super().__del__()
            self._looped.collect_soon()
