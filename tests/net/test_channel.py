"""One plain connection on an event loop, and the peers it may have."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import gc
import socket
import struct
import termios
import warnings
import weakref

import pytest
from loops import PATIENCE, connected, on_both_loops, reset, turns, until

from keeppool.errors import LoopError
from keeppool.net.stream_tasks import READ, Channel
from keeppool.net.streams import Liveness

pytestmark = on_both_loops

#: More than the kernel's buffers on both sides hold together.
HUGE = 32 * 1024 * 1024
#: Seconds after which a wait is over that nothing will end.
SOON = 0.01


def unread(sock: socket.socket) -> int:
    """Count the bytes the kernel has for this socket."""
    return struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.FIONREAD, b"\0\0\0\0"))[0]


def flood(channel: Channel) -> None:
    """Write until that fails."""
    for _ in range(10_000):
        channel.write(bytes(READ))


async def all_of(channel: Channel, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += await channel.receive(READ, PATIENCE)
    return data


class TestBytes:
    def test_go_both_ways(self, run) -> None:
        async def test() -> None:
            async with connected() as (channel, theirs):
                channel.write(b"ping")
                assert not channel.unsent
                assert theirs.recv(10) == b"ping"
                theirs.send(b"pong")
                assert await channel.receive(10, PATIENCE) == b"pong"
                assert (channel.is_tls, channel.resumed, channel.tls) == (False, False, None)
                assert channel.loop is asyncio.get_running_loop()

        run(test())

    def test_come_one_at_a_time(self, run) -> None:
        """Each is read as it comes: nothing waits for more."""

        async def test() -> None:
            async with connected() as (channel, theirs):
                for byte in range(200):
                    theirs.send(bytes([byte]))
                    assert await channel.receive(READ, PATIENCE) == bytes([byte])

        run(test())

    def test_are_given_in_the_size_that_is_asked_for(self, run) -> None:
        async def test() -> None:
            async with connected() as (channel, theirs):
                theirs.send(b"abcdef")
                got = [await channel.receive(4, PATIENCE), await channel.receive(4, PATIENCE)]
                assert got == [b"abcd", b"ef"]
                assert channel.receive_now(4) is None

        run(test())

    def test_are_seen_before_the_loop_has_read_them(self, run) -> None:
        async def test() -> None:
            async with connected() as (channel, theirs):
                assert channel.receive_now(10) is None
                theirs.send(b"early")
                assert channel.receive_now(2) == b"ea"
                assert channel.receive_now(10) == b"rly"
                theirs.close()
                assert channel.receive_now(10) == b""

        run(test())

    def test_before_the_end_are_read_first(self, run) -> None:
        async def test() -> None:
            async with connected() as (channel, theirs):
                theirs.send(b"bye")
                theirs.close()
                assert await channel.receive(10, PATIENCE) == b"bye"
                assert await channel.receive(10, PATIENCE) == b""
                assert await channel.receive(10, PATIENCE) == b""

        run(test())

    def test_can_be_sent_to_a_peer_that_has_said_all_it_had_to_say(self, run) -> None:
        async def test() -> None:
            async with connected() as (channel, theirs):
                theirs.shutdown(socket.SHUT_WR)
                assert await channel.receive(10, PATIENCE) == b""
                await turns()
                channel.write(b"still here")
                assert theirs.recv(100) == b"still here"

        run(test())

    def test_nobody_takes_stop_the_peer(self, run) -> None:
        """Reading pauses: what the kernel has for us stays there turn after turn, and the peer keeps the rest.

        Once they are taken, all of them come.
        """

        async def test() -> None:
            async with connected() as (channel, theirs):
                theirs.setblocking(False)
                sending = asyncio.create_task(asyncio.get_running_loop().sock_sendall(theirs, bytes(HUGE)))
                stable = 0
                while stable < 200:
                    before = unread(channel.sock)
                    await asyncio.sleep(0)
                    stable = stable + 1 if before and before == unread(channel.sock) else 0
                    assert not sending.done()
                assert len(await all_of(channel, HUGE)) == HUGE
                await sending

        run(test())


class TestTime:
    def test_ends_a_wait_and_loses_nothing(self, run) -> None:
        async def test() -> None:
            async with connected() as (channel, theirs):
                with pytest.raises(TimeoutError):
                    await channel.receive(10, SOON)
                theirs.send(b"late")
                assert await channel.receive(10, SOON * 1000) == b"late"

        run(test())

    def test_of_a_short_wait_does_not_cut_the_next_one_short(self, run) -> None:
        """The alarm of the first wait rings during the second."""

        async def test() -> None:
            async with connected() as (channel, theirs):
                theirs.send(b"one")
                assert await channel.receive(10, SOON) == b"one"
                asyncio.get_running_loop().call_later(SOON * 5, theirs.send, b"two")
                assert await channel.receive(10, PATIENCE) == b"two"

        run(test())

    def test_of_a_long_wait_does_not_make_the_next_one_longer(self, run) -> None:
        async def test() -> None:
            async with connected() as (channel, theirs):
                theirs.send(b"one")
                assert await channel.receive(10, 1000) == b"one"
                with pytest.raises(TimeoutError):
                    await channel.receive(10, SOON)

        run(test())

    @pytest.mark.parametrize("seconds", [None, float("inf"), 1e12, 5])
    def test_may_be_any_that_can_be_configured(self, run, seconds) -> None:
        async def test() -> None:
            async with connected() as (channel, theirs):
                asyncio.get_running_loop().call_soon(theirs.send, b"x")
                assert await channel.receive(10, seconds) == b"x"

        run(test())

    def test_without_limit_is_not_ended_by_an_older_alarm(self, run) -> None:
        async def test() -> None:
            async with connected() as (channel, theirs):
                theirs.send(b"one")
                assert await channel.receive(10, SOON) == b"one"
                asyncio.get_running_loop().call_later(SOON * 5, theirs.send, b"two")
                assert await channel.receive(10, None) == b"two"

        run(test())


class TestCancelling:
    def test_a_wait_leaves_what_comes_for_the_next(self, run) -> None:
        async def test() -> None:
            async with connected() as (channel, theirs):
                waiting = asyncio.create_task(channel.receive(10, PATIENCE))
                await turns()
                waiting.cancel()
                theirs.send(b"kept")
                await asyncio.gather(waiting, return_exceptions=True)
                assert waiting.cancelled()
                assert await channel.receive(10, PATIENCE) == b"kept"

        run(test())

    def test_at_the_moment_of_arrival_loses_nothing(self, run) -> None:
        """The bytes are recorded and the task is woken, but cancelled before it runs."""

        async def test() -> None:
            async with connected() as (channel, theirs):
                waiting = asyncio.create_task(channel.receive(10, PATIENCE))
                await turns()
                theirs.send(b"kept")
                await until(lambda: channel.probe() is Liveness.DATA)
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
                assert waiting.cancelled()
                assert await channel.receive(10, PATIENCE) == b"kept"

        run(test())

    def test_leaves_the_watch_working(self, run) -> None:
        async def test() -> None:
            async with connected() as (channel, theirs):
                waiting = asyncio.create_task(channel.receive(10, PATIENCE))
                await turns()
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
                heard = asyncio.Event()
                channel.watch(heard.set)
                theirs.close()
                await heard.wait()

        run(test())


def say(theirs: socket.socket) -> None:
    theirs.send(b"x")


def half_close(theirs: socket.socket) -> None:
    theirs.shutdown(socket.SHUT_WR)


def say_and_close(theirs: socket.socket) -> None:
    theirs.send(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    theirs.close()


#: What a peer may do to an idle connection, and what it is then.
IDLE_NEWS = pytest.mark.parametrize(
    ("act", "liveness"),
    [
        (say, Liveness.DATA),
        (half_close, Liveness.CLOSED),
        (socket.socket.close, Liveness.CLOSED),
        (say_and_close, Liveness.CLOSED),
        (reset, Liveness.CLOSED),
    ],
)


class TestBeingIdle:
    def test_is_what_a_silent_connection_is(self, run) -> None:
        async def test() -> None:
            async with connected() as (channel, _):
                assert channel.probe() is Liveness.IDLE

        run(test())

    @IDLE_NEWS
    def test_ends_with_news_the_loop_has_not_delivered_yet(self, run, act, liveness) -> None:
        """No turn of the loop between the peer's act and the probe."""

        async def test() -> None:
            async with connected() as (channel, theirs):
                act(theirs)
                assert channel.probe() is liveness
                assert channel.probe() is liveness

        run(test())

    @IDLE_NEWS
    def test_ends_with_news_the_loop_has_delivered(self, run, act, liveness) -> None:
        async def test() -> None:
            async with connected() as (channel, theirs):
                heard = asyncio.Event()
                channel.watch(heard.set)
                act(theirs)
                await heard.wait()
                await turns()
                assert channel.probe() is liveness

        run(test())

    @IDLE_NEWS
    def test_is_watched_once(self, run, act, liveness) -> None:
        async def test() -> None:
            async with connected() as (channel, theirs):
                calls: list[Liveness] = []
                channel.watch(lambda: calls.append(channel.probe()))
                act(theirs)
                await until(lambda: calls)
                await turns()
                assert calls == [liveness]

        run(test())

    def test_a_watch_is_not_told_of_what_came_for_the_one_before(self, run) -> None:
        """It would have been told for nothing, and would not hear of what comes later."""

        async def test() -> None:
            async with connected() as (channel, theirs):
                heard = asyncio.Event()
                channel.watch(lambda: pytest.fail("called off"))
                theirs.send(b"early")
                await until(lambda: unread(channel.sock) == 5 or channel.came() == 5)
                assert channel.came() == 5
                channel.watch(None)
                assert channel.received(READ) == b"early"
                channel.watch(heard.set)
                await turns(3)
                assert not heard.is_set()
                theirs.close()
                await asyncio.wait_for(heard.wait(), PATIENCE)

        run(test())

    def test_is_not_watched_any_more_once_that_was_called_off(self, run) -> None:
        """Not even where the loop has read the news already and the call was due."""

        async def test() -> None:
            async with connected() as (channel, theirs):
                calls: list[int] = []
                channel.watch(lambda: calls.append(1))
                theirs.send(b"x")
                assert channel.probe() is Liveness.DATA
                channel.watch(None)
                await turns()
                assert not calls

        run(test())

    def test_is_heard_of_too_late(self, run) -> None:
        """What came before anybody watched is told all the same, and not from within `watch`."""

        async def test() -> None:
            async with connected() as (channel, theirs):
                theirs.close()
                await until(lambda: channel.probe() is Liveness.CLOSED)
                await turns()
                heard = asyncio.Event()
                channel.watch(heard.set)
                assert not heard.is_set()
                await heard.wait()

        run(test())


class TestFailing:
    def test_a_reset_is_the_operating_systems_error(self, run) -> None:
        """As often as it is asked for, each time anew."""

        async def test() -> None:
            async with connected() as (channel, theirs):
                reset(theirs)
                raised = []
                for _ in range(2):
                    with pytest.raises(ConnectionResetError) as caught:
                        await channel.receive(10, PATIENCE)
                    raised.append(caught.value)
                assert raised[0] is not raised[1]
                assert raised[0].errno == errno.ECONNRESET

        run(test())

    def test_a_reset_ends_a_wait(self, run) -> None:
        async def test() -> None:
            async with connected() as (channel, theirs):
                asyncio.get_running_loop().call_soon(reset, theirs)
                with pytest.raises(ConnectionResetError):
                    await channel.receive(10, PATIENCE)

        run(test())

    def test_last_words_can_be_read_after_a_failed_write(self, run) -> None:
        """The server answers, closes with the request half read, and resets what comes after."""

        async def test() -> None:
            async with connected() as (channel, theirs):
                channel.write(b"POST / HTTP/1.1\r\n\r\n")
                await turns()
                theirs.send(b"HTTP/1.1 413 Too Large\r\n\r\n")
                theirs.close()
                with pytest.raises(ConnectionError):
                    flood(channel)
                assert await channel.receive(READ, PATIENCE) == b"HTTP/1.1 413 Too Large\r\n\r\n"

        run(test())

    @pytest.mark.parametrize("writing", [False, True])
    def test_an_error_holds_nobody(self, run, writing) -> None:
        """What a failed connection keeps has no traceback, which would hold its reader until a garbage collection."""

        class Witness:
            pass

        async def fail(channel: Channel, gone: list[bool]) -> None:
            witness = Witness()
            weakref.finalize(witness, gone.append, True)
            with contextlib.suppress(OSError):
                if writing:
                    channel.write(b"x")
                await channel.receive(10, PATIENCE)

        async def test() -> None:
            async with connected() as (channel, theirs):
                reset(theirs)
                gone: list[bool] = []
                gc.disable()
                try:
                    await fail(channel, gone)
                    assert gone == [True]
                finally:
                    gc.enable()

        run(test())


class TestClosing:
    @pytest.mark.parametrize("way", [Channel.close, Channel.abort])
    def test_is_seen_by_the_peer_and_may_be_done_twice(self, run, way) -> None:
        async def test() -> None:
            async with connected() as (channel, theirs):
                way(channel)
                way(channel)
                await channel.wait_closed()
                assert theirs.recv(10) == b""
                assert channel.sock.fileno() == -1
                await channel.wait_closed()

        run(test())

    def test_leaves_nothing_to_use(self, run) -> None:
        async def test() -> None:
            async with connected() as (channel, theirs):
                theirs.send(b"x")
                await until(lambda: channel.probe() is Liveness.DATA)
                channel.watch(lambda: pytest.fail("told of its own close"))
                channel.close()
                assert channel.probe() is Liveness.CLOSED
                for failing in (channel.receive(10, None), asyncio.to_thread(channel.receive_now, 10)):
                    with pytest.raises(OSError, match="Bad file descriptor"):
                        await failing
                with pytest.raises(OSError, match="Bad file descriptor"):
                    channel.write(b"x")
                await channel.wait_closed()

        run(test())

    def test_ends_another_tasks_wait(self, run) -> None:
        async def test() -> None:
            async with connected() as (channel, _):
                waiting = asyncio.create_task(channel.receive(10, None))
                await turns()
                channel.close()
                with pytest.raises(OSError, match="Bad file descriptor"):
                    await waiting

        run(test())

    def test_does_not_wait_for_a_peer_that_does_not_read(self, run) -> None:
        async def test() -> None:
            async with connected() as (channel, _):
                channel.write(bytes(HUGE))
                channel.close()
                await channel.wait_closed()

        run(test())

    def test_works_after_the_loop_has_ended(self, run, open_files) -> None:
        """The loop's own transport complains, rightly, and the socket is closed."""

        async def test() -> Channel:
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            theirs.close()
            loop = asyncio.get_running_loop()
            _, channel = await loop.create_unix_connection(lambda: Channel(loop, ours), sock=ours)
            return channel

        before = open_files()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            channel = run(test())
            channel.close()
            assert channel.sock.fileno() == -1
            del channel
            gc.collect()
        assert open_files() == before


class TestAnotherLoop:
    @pytest.mark.parametrize(
        "use",
        [
            lambda channel: channel.write(b"x"),
            lambda channel: channel.receive(1, None),
            lambda channel: channel.close(),
            lambda channel: channel.abort(),
        ],
        ids=["write", "receive", "close", "abort"],
    )
    def test_is_refused(self, run, use) -> None:
        async def test() -> None:
            async with connected() as (channel, theirs):

                async def elsewhere() -> None:
                    result = use(channel)
                    if result is not None:
                        await result

                with pytest.raises(LoopError, match="belongs to another event loop"):
                    await asyncio.to_thread(asyncio.run, elsewhere())
                channel.write(b"alive")
                assert theirs.recv(10) == b"alive"

        run(test())
