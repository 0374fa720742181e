"""A connection on loan while the rest of a response's body is read from it, for tasks.

Waits for the network; what is decided is decided in `lease.py`.
"""

from __future__ import annotations

import asyncio

from keeppool.net.place import Place
from keeppool.net.stream_tasks import Channel
from keeppool.pools.lease import LIBRARIES, Lease, line_outside


class TaskLease(Lease):
    """A loan to a task, which awaits each read."""

    __slots__ = ()

    _stream: Channel

    def _asked_at(self) -> str | None:
        """Name the line that asked for the response, or the task if it was made of the request itself.

        What lies below a task's own frame is whoever runs the event loop.
        """
        task = asyncio.current_task()
        if task is None:
            return None
        place = line_outside((*LIBRARIES, "asyncio."), getattr(task.get_coro(), "cr_frame", None))
        return place or f"an unknown place in the task {task.get_name()!r}"

    @property
    def stream(self) -> Channel:
        """What is on loan."""
        return self._stream

    @property
    def is_stranded(self) -> bool:
        """Whether the connection's event loop is closed, so that nothing more can be read."""
        return self._stream.loop.is_closed()

    def check_loop(self, *, to_end: bool = False) -> None:
        """Refuse another event loop than the connection's, before anything is changed.

        Args:
            to_end: The loan is to be ended, which can be done anywhere once that loop is closed.

        Raises:
            LoopError: It is another.
        """
        if not (to_end and self.is_stranded):
            self._stream.check_loop()

    @property
    def may_fill(self) -> bool:
        """Whether what comes can be read straight into its place; over TLS it has to be decrypted first."""
        return not self._stream.is_tls

    async def fill(self, room: memoryview) -> int:
        """Read as many bytes as `room` has, and tell how many came: fewer where the server has closed."""
        place = Place(room, self._exchange.timeout.read, self._deadline)
        try:
            await self._stream.fill(place)
        except BaseException as error:
            self._exchange.received += place.filled  # Before an error tells of it.
            if isinstance(error, OSError):
                self._ended(error)
            raise
        return place.filled

    async def receive(self, size: int) -> bytes:
        """Read up to `size` bytes; none means the server closed."""
        try:
            return await self._stream.receive(size, self._wait())
        except OSError as error:
            return self._ended(error)
