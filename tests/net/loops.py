"""Event loops for tests: each test runs on asyncio's own and on uvloop, and leaves no task and no complaint behind."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import pytest

from keeppool.core.origin import Origin, TlsIdentity
from keeppool.net.dial_tasks import dial
from keeppool.net.stream_tasks import Channel, open_channel
from keeppool.net.tls import TlsStore

try:
    import uvloop
except ImportError:
    uvloop = None

#: Seconds after which a wait is given up; nothing here takes a hundredth of it.
PATIENCE = 20.0

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]


def runner(make_loop: Callable[[], asyncio.AbstractEventLoop]) -> Run[Any]:
    def run(test: Coroutine[Any, Any, T]) -> T:
        with asyncio.Runner(loop_factory=make_loop) as loop_runner:
            return loop_runner.run(_watched(test))

    return run


async def _watched(test: Coroutine[Any, Any, T]) -> T:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with asyncio.timeout(PATIENCE):
        result = await test
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not complaints
    return result


#: Gives the test `run`, which runs a coroutine to its end.
on_both_loops = pytest.mark.parametrize(
    "run",
    [
        pytest.param(runner(asyncio.new_event_loop), id="asyncio"),
        pytest.param(
            runner(uvloop.new_event_loop) if uvloop else None,
            id="uvloop",
            marks=pytest.mark.skipif(uvloop is None, reason="uvloop not installed"),
        ),
    ],
)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until the condition holds; the test's own time limit ends a wait in vain."""
    while not condition():  # noqa: ASYNC110 - nobody sets an event for these
        await asyncio.sleep(0)


async def turns(number: int = 20) -> None:
    """Let the loop turn a few times."""
    for _ in range(number):
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[tuple[Channel, socket.socket]]:
    """A plain channel, and the blocking socket at its other end, both TCP."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    ours.setblocking(False)
    theirs.settimeout(PATIENCE)
    channel = await open_channel(ours)
    with theirs:
        try:
            yield channel, theirs
        finally:
            channel.abort()
            await channel.wait_closed()


def reset(sock: socket.socket) -> None:
    """Close so that the peer gets RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


class TlsPeer:
    """A TLS server on the test's own loop, whose every byte the test sends itself."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self.sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    async def shake(self) -> None:
        """Shake hands. What comes last, in TLS 1.3 the tickets, waits for `flush`."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.flush()
                await self._hear()
            else:
                return

    def sealed(self, data: bytes) -> bytes:
        """Give the ciphertext of `data`, with whatever waited."""
        self.tls.write(data)
        return self._outgoing.read()

    def send(self, data: bytes) -> None:
        """Send `data`, with whatever waited."""
        self.sock.sendall(self.sealed(data))

    def flush(self) -> None:
        self.sock.sendall(self._outgoing.read())

    async def hear_words(self) -> None:
        """Take what comes next, which is TLS's own and no plaintext."""
        await self._hear()
        try:
            data = self.tls.read(1)
        except ssl.SSLWantReadError:
            return
        raise AssertionError(f"plaintext: {data!r}")

    def say_goodbye(self) -> None:
        with contextlib.suppress(ssl.SSLError):
            self.tls.unwrap()
        self.flush()

    async def read(self) -> bytes:
        """Read plaintext; nothing once the client has said goodbye.

        Raises:
            ssl.SSLEOFError: It ended without.
        """
        while True:
            try:
                return self.tls.read(65536)
            except ssl.SSLWantReadError:
                await self._hear()

    async def _hear(self) -> None:
        data = await asyncio.get_running_loop().sock_recv(self.sock, 65536)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()


class TlsPeerWithin(TlsPeer):
    """A TLS server whose bytes go through another one's TLS, as in a tunnel through an https proxy."""

    def __init__(self, outer: TlsPeer, context: ssl.SSLContext) -> None:
        super().__init__(outer.sock, context)
        self.outer = outer

    def send(self, data: bytes) -> None:
        self.outer.send(self.sealed(data))

    def flush(self) -> None:
        self.outer.send(self._outgoing.read())

    async def _hear(self) -> None:
        self._incoming.write(await self.outer.read())


@contextlib.asynccontextmanager
async def secured(
    context: ssl.SSLContext, identity: TlsIdentity, last: bytes = b""
) -> AsyncIterator[tuple[Channel, TlsPeer]]:
    """A channel that was dialled over TLS, and its peer, who says `last` in the same breath as its last flight.

    In TLS 1.3 the tickets are not sent yet.
    """
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)

        async def serve() -> TlsPeer:
            sock, _ = await loop.sock_accept(listener)
            peer = TlsPeer(sock, context)
            await peer.shake()
            if last:
                peer.send(last)
            elif peer.tls.version() != "TLSv1.3":
                peer.flush()  # The client's handshake is not over without it.
            return peer

        origin = Origin(scheme="https", host="127.0.0.1", port=listener.getsockname()[1], tls=identity)
        channel, peer = await asyncio.gather(dial(origin, seconds=PATIENCE, tls=TlsStore()), serve())
    with peer.sock:
        try:
            yield channel, peer
        finally:
            channel.abort()
            await channel.wait_closed()
