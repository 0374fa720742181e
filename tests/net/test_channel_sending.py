"""Sending on an event loop: what counts as accepted, and peers that read slowly or not at all."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from loops import PATIENCE, connected, on_both_loops, reset

from keeppool.net.outbox import PLAIN_PIECE, Outbox
from keeppool.net.stream_tasks import READ, Channel
from keeppool.net.streams import Liveness

pytestmark = on_both_loops

#: More than the kernel's buffers on both sides hold together.
HUGE = 32 * 1024 * 1024
#: Seconds after which a wait is over that nothing will end.
SOON = 0.01


async def drained(channel: Channel, seconds: float = PATIENCE) -> None:
    """Wait until everything was taken, whatever comes meanwhile."""
    while not await channel.drain(seconds):
        if channel.probe() is not Liveness.IDLE:
            await channel.receive(READ, PATIENCE)


class TestAccepted:
    def test_counts_what_the_kernel_took(self, run) -> None:
        async def test() -> None:
            async with connected() as (channel, _):
                channel.write(b"12345")
                channel.write(memoryview(b"678"))
                assert channel.accepted == 8
                channel.reset_accepted()
                assert channel.accepted == 0

        run(test())

    def test_is_nothing_if_the_peer_was_gone(self, run) -> None:
        """The proof that a request never left."""

        async def test() -> None:
            async with connected() as (channel, theirs):
                reset(theirs)
                with pytest.raises(ConnectionError):
                    channel.write(b"GET / HTTP/1.1\r\n\r\n")
                assert channel.accepted == 0
                with pytest.raises(ConnectionError):
                    channel.write(b"again")
                with pytest.raises(ConnectionError):
                    await channel.drain(PATIENCE)

        run(test())

    def test_is_less_than_was_written_while_the_peer_does_not_read(self, run) -> None:
        async def test() -> None:
            async with connected() as (channel, _):
                channel.write(bytes(HUGE))
                assert channel.unsent
                assert 0 < channel.accepted < HUGE

        run(test())

    def test_is_never_nothing_once_something_was(self, run) -> None:
        """Also where the connection is lost while a piece is under way."""

        async def test() -> None:
            async with connected() as (channel, theirs):
                channel.write(bytes(HUGE))
                channel.reset_accepted()
                reset(theirs)
                with pytest.raises(ConnectionError):
                    await drained(channel)
                assert channel.accepted > 0

        run(test())


class TestDraining:
    def test_waits_until_everything_was_taken(self, run) -> None:
        """Pieces of any size arrive in order while the peer reads slowly."""

        async def test() -> None:
            async with connected() as (channel, theirs):
                theirs.setblocking(False)
                loop = asyncio.get_running_loop()
                wanted = [bytes([turn % 251]) * (1 + turn * 4099 % 300_000) for turn in range(150)]

                async def read() -> bytes:
                    got = bytearray()
                    while data := await loop.sock_recv(theirs, 10_000):
                        got += data
                    return bytes(got)

                reading = asyncio.create_task(read())
                for piece in wanted:
                    channel.write(piece)
                    await drained(channel)
                    assert not channel.unsent
                assert channel.accepted == sum(map(len, wanted))
                channel.close()
                assert await reading == b"".join(wanted)

        run(test())

    def test_queues_what_is_written_meanwhile(self, run) -> None:
        async def test() -> None:
            async with connected() as (channel, theirs):
                theirs.setblocking(False)
                channel.write(bytes(HUGE))
                channel.write(b"last")
                got = bytearray()
                loop = asyncio.get_running_loop()

                async def read() -> None:
                    while len(got) < HUGE + 4:
                        got.extend(await loop.sock_recv(theirs, READ))

                reading = asyncio.create_task(read())
                await drained(channel)
                await reading
                assert len(got) == HUGE + 4
                assert got.endswith(b"last")

        run(test())

    def test_keeps_the_order_when_there_is_room_before_the_loop_knows(self, run) -> None:
        """The rest of the first write is with the transport; the kernel would take the second one at once."""

        async def test() -> None:
            async with connected() as (channel, theirs):
                theirs.setblocking(False)
                channel.write(bytes(HUGE))
                got = bytearray()
                with contextlib.suppress(BlockingIOError):
                    while data := theirs.recv(READ):
                        got += data
                assert got
                channel.write(b"last")

                async def read() -> None:
                    while len(got) < HUGE + 4:
                        got.extend(await asyncio.get_running_loop().sock_recv(theirs, READ))

                reading = asyncio.create_task(read())
                await drained(channel)
                await reading
                assert got.find(b"last") == HUGE

        run(test())

    def test_goes_on_where_the_transport_found_room_at_once(self, run) -> None:
        """Between the kernel's refusal and the transport's try the peer may have read: nobody says "resume" then."""

        class Full:
            """A socket whose buffer is full, and the transport that sends all the same."""

            def __init__(self) -> None:
                self.sent = b""

            def send(self, data: bytes) -> int:
                raise BlockingIOError

            def write(self, data: bytes) -> None:
                self.sent += bytes(data)

            def is_closing(self) -> bool:
                return False

            def get_write_buffer_size(self) -> int:
                return 0

        async def test() -> None:
            full = Full()
            outbox = Outbox(asyncio.get_running_loop(), full, [])
            outbox.transport = full
            outbox.write(bytes(3 * PLAIN_PIECE))
            assert not outbox.unsent
            assert outbox.accepted == len(full.sent) == 3 * PLAIN_PIECE

        run(test())

    def test_has_an_end_if_not_one_byte_is_taken(self, run) -> None:
        async def test() -> None:
            async with connected() as (channel, _):
                channel.write(bytes(HUGE))
                with pytest.raises(TimeoutError):
                    await drained(channel, SOON)
                assert channel.unsent

        run(test())

    def test_stops_for_an_answer(self, run) -> None:
        """A server that refuses a large body stops reading and says so."""

        async def test() -> None:
            async with connected() as (channel, theirs):
                channel.write(bytes(HUGE))
                asyncio.get_running_loop().call_soon(theirs.send, b"HTTP/1.1 413 Too Large\r\n\r\n")
                assert not await channel.drain(PATIENCE)
                assert channel.receive_now(READ) == b"HTTP/1.1 413 Too Large\r\n\r\n"
                with pytest.raises(TimeoutError):
                    await drained(channel, SOON)

        run(test())

    def test_lets_other_tasks_run(self, run) -> None:
        """A peer that takes everything at once must not keep the loop for itself."""

        async def test() -> None:
            async with connected() as (channel, theirs):
                seen: list[int] = []

                async def other() -> None:
                    while True:
                        seen.append(theirs.recv_into(bytearray(HUGE)))
                        await asyncio.sleep(0)

                task = asyncio.create_task(other())
                for _ in range(64):
                    channel.write(bytes(16384))
                    await drained(channel)
                assert len(seen) >= 3
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

        run(test())
