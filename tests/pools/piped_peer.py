"""A server on the test's own event loop that echoes each path in the body of its response, and breaks when it is told.

What it does with a request, the path says, or a function that is asked for each: so that a test says of every single
response how it goes wrong.
"""

from __future__ import annotations

import asyncio
import collections
import re
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from typing import Self

_TARGET = re.compile(rb"^([A-Z]+) (\S+) HTTP/1\.[01]\r\n")

Manner = Callable[["Asked"], Awaitable[bool] | bool | None]


class Asked:
    """One request, as the server has got it, and what can be done with it.

    Attributes:
        method: GET, POST, ...
        target: The path.
        number: Counts the requests of its connection from 1.
        behind: How many requests lay behind it in the server's buffer when it was read.
    """

    def __init__(self, peer: PipedPeer, writer: asyncio.StreamWriter, head: bytes, number: int, behind: int) -> None:
        match = _TARGET.match(head)
        assert match is not None, head
        self.method, self.target = match[1].decode(), match[2].decode()
        self.head = head
        self.number = number
        self.behind = behind
        self.peer = peer
        self._writer = writer

    def response(self, *fields: str, body: str | None = None, chunked: bool = False, status: str = "200 OK") -> bytes:
        """Give the response that is right: its body is the path."""
        payload = (self.target if body is None else body).encode()
        lines = [f"HTTP/1.1 {status}", *fields]
        if chunked:
            framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (payload[:3], payload[3:]) if piece)
            return "\r\n".join([*lines, "Transfer-Encoding: chunked", "", ""]).encode() + framed + b"0\r\n\r\n"
        return "\r\n".join([*lines, f"Content-Length: {len(payload)}", "", ""]).encode() + payload

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def flush(self) -> None:
        await self._writer.drain()

    def close(self) -> bool:
        """Close the connection; True, as a manner returns that has ended it."""
        self._writer.close()
        return True

    def reset(self) -> bool:
        """Close it with a reset, whatever is still on its way."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
        return True


def echo(asked: Asked) -> None:
    """Respond as one should."""
    asked.send(asked.response())


def _heads(reader: asyncio.StreamReader) -> int:
    """Count the requests that lie in a connection's buffer."""
    return bytes(reader._buffer).count(b"\r\n\r\n")  # type: ignore[attr-defined]


class PipedPeer:
    """The server.

    Args:
        manner: What is done with each request; True ends its connection.
        context: For TLS.

    Attributes:
        executed: How often each target was asked for, and the method.
        deepest: The most requests that lay behind one that was read.
        accepted: Connections so far.
    """

    def __init__(self, manner: Manner = echo, context: ssl.SSLContext | None = None) -> None:
        self.manner = manner
        self.executed: collections.Counter[str] = collections.Counter()
        self.methods: collections.Counter[str] = collections.Counter()
        self.behind_post = 0
        self.deepest = 0
        self.accepted = 0
        self._context = context
        self._tasks: set[asyncio.Task[None]] = set()
        self._readers: set[asyncio.StreamReader] = set()

    @property
    def unread(self) -> int:
        """How many requests have come in, on all connections, and have not been read."""
        return sum(_heads(reader) for reader in self._readers)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._readers.add(reader)
        self.accepted += 1
        try:
            await self._answer_all(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self._readers.discard(reader)
            writer.close()

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = 0
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"\r\ncontent-length: (\d+)", head, re.IGNORECASE)
            if length:
                await reader.readexactly(int(length[1]))
            number += 1
            behind = _heads(reader)
            asked = Asked(self, writer, head, number, behind)
            self.executed[asked.target] += 1
            self.methods[asked.method] += 1
            self.behind_post += behind if asked.method == "POST" else 0
            self.deepest = max(self.deepest, behind)
            is_over = self.manner(asked)
            if isinstance(is_over, Awaitable):
                is_over = await is_over
            if is_over:
                return
            await writer.drain()
