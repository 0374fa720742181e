"""A server on the test's own event loop that answers when the test says so, and notes what it was asked."""

from __future__ import annotations

import asyncio

from loop_peer import until

ANSWER = b"HTTP/1.1 200 OK\r\nX-Target: %b\r\nContent-Length: 2\r\n\r\nok"


class AskedPeer:
    """Notes each request, and answers it when the test says so.

    Attributes:
        asked: The requests' targets.
        accepted: Connections so far.
    """

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.accepted = 0
        self._came = asyncio.Condition()
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *exc_info):
        self._server.close()
        for writer in self._writers:
            writer.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader, writer):
        self._tasks.append(asyncio.get_running_loop().create_task(self._serve(reader, writer)))

    async def _serve(self, reader, writer):
        self.accepted += 1
        self._writers.append(writer)
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            async with self._came:
                self.asked.append(head.split(b" ")[1])
                self._came.notify_all()

    async def has_been_asked(self, times):
        async with self._came:
            await self._came.wait_for(lambda: len(self.asked) >= times)

    def answer(self, more=b"", connection=-1):
        self._writers[connection].write(ANSWER % self.asked[-1] + more)

    def send(self, data):
        self._writers[-1].write(data)

    def hang_up(self, connection=-1):
        self._writers[connection].close()


async def one_asks_and_one_waits(peer, pool, **options):
    """Let two callers want the one connection; give both tasks, the first one's answer not sent yet."""
    first = asyncio.create_task(pool.request("GET", f"{peer.url}/first"))
    await peer.has_been_asked(1)
    second = asyncio.create_task(pool.request("GET", f"{peer.url}/second", **options))
    await until(lambda: pool.stats().waiting)
    return first, second
