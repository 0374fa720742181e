"""A place in memory that a connection reads straight into: what comes is there in its order, and nothing is lost."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Generator
from typing import Any

import pytest
from loops import PATIENCE, connected, on_both_loops, reset, turns, until

from keeppool.clock import clock
from keeppool.errors import LoopError
from keeppool.net.place import MOST_AT_ONCE, Place

pytestmark = on_both_loops

#: Seconds after which a wait is over that nothing will end.
SOON = 0.01


def place_of(size: int, seconds: float | None = PATIENCE, deadline: float | None = None) -> Place:
    return Place(memoryview(bytearray(size)), seconds, deadline)


def lying_in(place: Place) -> bytes:
    return bytes(place._room[: place.filled])


class Counted:
    """Something to await that counts how often its task was put to sleep."""

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._coroutine = coroutine
        self.waits = 0

    def __await__(self) -> Generator[Any, Any, None]:
        for future in self._coroutine.__await__():
            self.waits += 1
            yield future


def test_is_filled_by_many_reads_and_one_wait(run) -> None:
    body = os.urandom(3 * MOST_AT_ONCE + 17)

    async def test() -> None:
        async with connected() as (channel, theirs):
            place = place_of(len(body))
            counted = Counted(channel.fill(place))
            sending = asyncio.create_task(asyncio.to_thread(theirs.sendall, body + b"next"))
            await counted
            await sending
            assert lying_in(place) == body
            assert counted.waits == 1
            assert await channel.receive(10, PATIENCE) == b"next"
            assert channel.taken == len(body) + 4

    run(test())


def test_begins_with_what_has_come_before(run) -> None:
    async def test() -> None:
        async with connected() as (channel, theirs):
            theirs.send(b"head and begin")
            assert await channel.receive(9, PATIENCE) == b"head and "
            theirs.send(b"ning")
            await until(lambda: channel._inbox.size == 9)
            place = place_of(12)
            filling = asyncio.create_task(channel.fill(place))
            await until(lambda: place.filled == 9)
            theirs.send(b"endmore")
            await filling
            assert lying_in(place) == b"beginningend"
            assert await channel.receive(10, PATIENCE) == b"more"

    run(test())


def test_leaves_the_rest_of_what_has_come_before(run) -> None:
    async def test() -> None:
        async with connected() as (channel, theirs):
            theirs.send(b"abcdef")
            await until(lambda: channel._inbox.size)
            place = place_of(4)
            await channel.fill(place)
            assert lying_in(place) == b"abcd"
            assert channel.receive_now(10) == b"ef"

    run(test())


def test_what_somebody_else_reads_ahead_comes_before_what_follows(run) -> None:
    """A look at what the kernel has is no place's read; what comes later must not overtake it."""

    async def test() -> None:
        async with connected() as (channel, theirs):
            place = place_of(9)
            filling = asyncio.create_task(channel.fill(place))
            await turns(2)
            theirs.send(b"one")
            await until(lambda: channel._poll.poll(0))
            assert channel.came() == 3
            theirs.send(b"twothree!")
            await filling
            assert lying_in(place) == b"onetwothr"
            assert await channel.receive(10, PATIENCE) == b"ee!"

    run(test())


@pytest.mark.parametrize("act", ["close", "reset"])
def test_keeps_what_came_before_the_end(run, act) -> None:
    async def test() -> None:
        async with connected() as (channel, theirs):
            place = place_of(100)
            filling = asyncio.create_task(channel.fill(place))
            theirs.send(b"some")
            await until(lambda: place.filled)
            theirs.close() if act == "close" else reset(theirs)
            await filling
            assert lying_in(place) == b"some"
            rest = place_of(96)
            if act == "close":
                await channel.fill(rest)
            else:
                with pytest.raises(ConnectionResetError):
                    await channel.fill(rest)
            assert not rest.filled

    run(test())


def test_each_read_begins_its_time_anew(run) -> None:
    async def test() -> None:
        async with connected() as (channel, theirs):
            place = place_of(50)
            filling = asyncio.create_task(channel.fill(place))
            await turns(2)
            for number in range(1, 10):
                before = channel._alarm._deadline
                theirs.send(b"piece")
                await until(lambda number=number: place.filled == number * 5)
                assert channel._alarm._deadline > before
            theirs.send(b"piece")
            await filling
            assert lying_in(place) == b"piece" * 10

    run(test())


def test_silence_ends_it_and_what_came_is_counted(run) -> None:
    async def test() -> None:
        async with connected() as (channel, theirs):
            theirs.send(b"some")
            place = place_of(100, SOON)
            with pytest.raises(TimeoutError):
                await channel.fill(place)
            assert lying_in(place) == b"some"
            theirs.send(b"late")
            assert await channel.receive(10, PATIENCE) == b"late"

    run(test())


def test_no_read_moves_the_deadline(run) -> None:
    async def test() -> None:
        async with connected() as (channel, theirs):

            async def drip() -> None:
                while True:
                    theirs.send(b"x")
                    await asyncio.sleep(SOON / 10)

            dripping = asyncio.create_task(drip())
            place = place_of(1 << 20, PATIENCE, clock() + SOON * 20)
            with pytest.raises(TimeoutError):
                await channel.fill(place)
            dripping.cancel()
            assert place.filled
            late = place_of(1 << 20, PATIENCE, clock())
            with pytest.raises(TimeoutError):
                await channel.fill(late)

    run(test())


@pytest.mark.parametrize("seconds", [None, float("inf"), 1e12])
def test_may_take_any_time_that_can_be_configured(run, seconds) -> None:
    async def test() -> None:
        async with connected() as (channel, theirs):
            place = place_of(6, seconds)
            filling = asyncio.create_task(channel.fill(place))
            theirs.send(b"abc")
            await until(lambda: place.filled == 3)
            theirs.send(b"def")
            await filling
            assert lying_in(place) == b"abcdef"

    run(test())


def test_cancelled_it_gets_nothing_more(run) -> None:
    """Its memory may be somebody else's by then."""

    async def test() -> None:
        async with connected() as (channel, theirs):
            place = place_of(100)
            filling = asyncio.create_task(channel.fill(place))
            theirs.send(b"some")
            await until(lambda: place.filled)
            filling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await filling
            theirs.send(b"more")
            assert await channel.receive(10, PATIENCE) == b"more"
            assert lying_in(place) == b"some"
            place._room.release()  # Nobody holds a part of it any more.

    run(test())


def test_can_be_filled_after_a_pause(run) -> None:
    """More has come than is kept unread, so reading pauses; the place makes it go on."""
    body = os.urandom(4 << 20)

    async def test() -> None:
        async with connected() as (channel, theirs):
            sending = asyncio.create_task(asyncio.to_thread(theirs.sendall, body))
            await until(lambda: channel._is_paused)
            place = place_of(len(body))
            await channel.fill(place)
            await sending
            assert lying_in(place) == body

    run(test())


def test_our_close_ends_it(run) -> None:
    async def test() -> None:
        async with connected() as (channel, _):
            place = place_of(100)
            filling = asyncio.create_task(channel.fill(place))
            await turns(2)
            channel.abort()
            await channel.wait_closed()
            with pytest.raises(OSError, match="Bad file"):
                await filling

    run(test())


def test_another_event_loop_is_refused(run) -> None:
    async def test() -> None:
        async with connected() as (channel, theirs):
            place = place_of(4)
            with pytest.raises(LoopError, match="belongs to another event loop"):
                await asyncio.to_thread(asyncio.run, channel.fill(place))
            theirs.send(b"here")
            await channel.fill(place)
            assert lying_in(place) == b"here"

    run(test())
