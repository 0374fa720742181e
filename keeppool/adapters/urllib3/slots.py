"""What stands in the place of the queue in urllib3's host pools.

Knows: what people do to that queue: count it, look at the end of it, take a connection, put one back.
Does not know: which connections there are; its host pool is asked.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any, Protocol

from urllib3.exceptions import ClosedPoolError, EmptyPoolError


class QueueOwner(Protocol):
    """The host pool behind a queue."""

    def lent(self) -> int:
        """Count what is in somebody's hands."""

    def idle_conns(self) -> list[Any]:
        """List the idle connections, the one that will be used next at the end."""

    def has_objects(self) -> bool:
        """Tell whether there is a connection's object to be taken, open or closed."""

    def borrow(self, timeout: float | None) -> Any:
        """Take a connection, as `_get_conn` does, whatever a subclass makes of that."""

    def take_back(self, conn: Any) -> None:
        """Take one back, as `_put_conn` does, whatever a subclass makes of that."""


class SlotQueue:
    """Stands in the place of urllib3's queue, for code that looks at it or takes from it. The core has all there is.

    Args:
        maxsize: urllib3's.
    """

    def __init__(self, maxsize: int = 0) -> None:
        self.maxsize = maxsize
        self.pool: Callable[[], QueueOwner | None] = _nobody

    @property
    def queue(self) -> list[Any]:
        """List the idle connections, the one that will be used next at the end."""
        pool = self.pool()
        return [] if pool is None else pool.idle_conns()

    def qsize(self) -> int:
        """Count the slots of `maxsize` that are in nobody's hands."""
        pool = self.pool()
        return 0 if pool is None else max(0, self.maxsize - pool.lent())

    def empty(self) -> bool:
        """Tell whether all are taken."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Tell whether none is taken."""
        return self.qsize() >= self.maxsize

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Give a connection back. The empty slots with which urllib3 fills a new queue are none."""
        pool = self.pool()
        if pool is not None and item is not None:
            pool.take_back(item)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take a connection, connected or not.

        Args:
            block: Wait for a slot, and make a connection that was never used. Without it only what is there is given:
                urllib3 empties the queue that way when the process ends, and goes on until nothing comes any more.
            timeout: Seconds to wait.

        Raises:
            queue.Empty: Nothing is there, all are taken, or the pool is closed.
        """
        pool = self.pool()
        if pool is None or not (block or pool.has_objects()):
            raise queue.Empty
        try:
            return pool.borrow(timeout if block else 0)
        except (EmptyPoolError, ClosedPoolError) as error:
            raise queue.Empty from error

    def get_nowait(self) -> Any:
        """Take a connection if one can be had at once."""
        return self.get(block=False)


def _nobody() -> None:
    """Stand for the pool of a queue that has none yet."""
