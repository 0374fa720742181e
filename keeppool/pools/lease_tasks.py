"""A connection on loan while the rest of a response's body is read from it, for tasks.

Waits for the network; what is decided is decided in `lease.py`.
"""

from __future__ import annotations

from keeppool.net.stream_tasks import Channel
from keeppool.pools.lease import Lease


class TaskLease(Lease):
    """A loan to a task, which awaits each read."""

    __slots__ = ()

    _stream: Channel

    async def receive(self, size: int) -> bytes:
        """Read up to `size` bytes; none means the server closed."""
        try:
            data = await self._stream.receive(size, self._wait())
        except OSError as error:
            self._check_end(error)
            return b""
        self._exchange.received += len(data)
        return data
