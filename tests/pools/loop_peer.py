"""A server on the test's own event loop, so that nothing happens between two steps but what the loop does.

It reads requests and answers `/bytes/N` with N bytes in small pieces, one a turn of the loop; every answer names its
request, so that a mixed-up one is seen.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self

#: Bytes of an answer's body that go out in one turn of the loop.
PIECE = 16384
#: Most turns of the loop until something that has been set in motion must be over. An idle uvloop makes 20,000 of them
#: while a thread reads the trusted certificates.
MOST_TURNS = 1_000_000


class LoopPeer:
    """A server whose every step is a turn of the event loop it shares with the client.

    Attributes:
        bodies: What came with each request, by target.
        open: Connections that are open now.
        most_open: Most that were open at once.
        accepted: Connections so far.
    """

    def __init__(self) -> None:
        self.bodies: dict[str, list[bytes]] = {}
        self.open = self.most_open = self.accepted = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """The server's own tasks."""
        return set(self._tasks)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    await self._answer(reader, writer)
        finally:
            self.open -= 1
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        target = head.split(" ", 2)[1]
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
        body = await reader.readexactly(int(fields.get("content-length", 0)))
        self.bodies.setdefault(target, []).append(body)
        size = int(target.rpartition("/")[2]) if "/bytes/" in target else 0
        text = target.encode()
        answer = b"HTTP/1.1 200 OK\r\nX-Target: %b\r\nContent-Length: %d\r\n\r\n" % (text, size + len(text))
        # In three pieces at least: a head that comes in two, and the body's end apart.
        for piece in (answer[:20], answer[20:], *(b"x" * min(PIECE, size - at) for at in range(0, size, PIECE)), text):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)


async def until(condition) -> None:
    """Let the loop turn until something is so; a bound on turns, not on time."""
    for _ in range(MOST_TURNS):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("never came true")
