"""What carries a channel on asyncio's own event loops; `test_channel*.py` tests all that both loops do alike."""

from __future__ import annotations

import asyncio
import gc
import socket

import pytest
from loops import connected, until

from keeppool.net.transport_tasks import SocketTransport


def run(test):
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(asyncio.wait_for(test(), 20))


def test_aborting_closes_the_socket_at_once():
    async def test():
        async with connected() as (channel, theirs):
            channel.abort()
            assert channel.sock.fileno() == -1
            assert theirs.recv(1) == b""

    run(test)


def test_an_error_of_whoever_takes_what_came_ends_the_connection_and_is_told():
    async def test():
        told = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))

        def fail():
            raise LookupError("ours")

        async with connected() as (channel, theirs):
            channel.read_with(fail)
            theirs.send(b"x")
            await until(lambda: told)
            assert str(told[0]) == "ours"
            assert channel.sock.fileno() == -1
            assert theirs.recv(1) == b""

    run(test)


def test_closing_in_the_middle_of_a_read_is_the_end_of_it():
    async def test():
        async with connected() as (channel, theirs):
            channel.read_with(channel.abort)
            theirs.send(b"x")
            await until(lambda: channel.sock.fileno() == -1)
            assert asyncio.get_running_loop().remove_reader(theirs.fileno()) is False

    run(test)


def test_the_end_is_told_once_and_does_not_keep_the_loop_busy():
    async def test():
        async with connected() as (channel, theirs):
            theirs.close()
            assert await channel.receive(1, None) == b""
            assert asyncio.get_running_loop().remove_reader(channel.sock.fileno()) is False
            assert await channel.receive(1, None) == b""

    run(test)


def test_what_the_kernel_refused_goes_out_as_it_makes_room():
    async def test():
        sent = b"0123456789" * 400_000
        loop = asyncio.get_running_loop()
        async with connected() as (channel, theirs):

            async def read():
                came = b""
                while len(came) < len(sent):
                    came += await loop.sock_recv(theirs, 1 << 20)
                return came

            theirs.setblocking(False)
            channel.write(sent)
            assert channel.unsent
            reading = asyncio.create_task(read())
            while channel.unsent:
                await channel.drain(20)
            assert await reading == sent
            assert loop.remove_writer(channel.sock.fileno()) is False

    run(test)


def test_a_closed_connection_needs_no_garbage_collector():
    def transports():
        return sum(isinstance(one, SocketTransport) for one in gc.get_objects())

    async def test():
        async with connected() as (channel, _):
            assert transports() == before + 1
            channel.abort()
        del channel
        await asyncio.sleep(0)
        return transports()

    gc.collect()
    gc.disable()
    try:
        before = transports()
        assert run(test) == before
    finally:
        gc.enable()


def test_an_error_of_whoever_goes_on_writing_ends_the_connection_and_leaves_nothing_watched():
    """Left watched, it would keep the loop busy, and its number would be in the way of the next socket that has it."""

    class Failing(asyncio.BufferedProtocol):
        def resume_writing(self):
            raise MemoryError("ours")

    async def test():
        told = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        number = ours.fileno()
        with theirs:
            transport = SocketTransport(loop, ours, Failing())
            transport.write(b"x")
            await until(lambda: told)
            assert theirs.recv(2) == b"x"
            assert transport.is_closing()
            assert theirs.recv(1) == b""
        assert [str(error) for error in told] == ["ours"]
        assert loop.remove_writer(number) is False

    run(test)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_of_a_read_closes_the_connection(error):
    state = {}

    async def test():
        async with connected() as (channel, theirs):

            def interrupted():
                state["closed"] = lambda: channel.sock.fileno() == -1
                raise error

            channel.read_with(interrupted)
            theirs.send(b"x")
            await asyncio.sleep(20)

    with pytest.raises(error):
        run(test)
    assert state["closed"]()
