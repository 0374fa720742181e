"""A connection that comes free carries the next caller's request at once, in its place; and what can go wrong then."""

from __future__ import annotations

import asyncio
import errno
import subprocess
import sys
import types
from pathlib import Path

import pytest
from asked_peer import ANSWER, AskedPeer, one_asks_and_one_waits
from interrupted_asking import BEHIND
from loop_peer import until

from keeppool import Limits, Timeout
from keeppool.config import Config
from keeppool.core.keepalive import NO_HINT
from keeppool.core.origin import Origin
from keeppool.core.pool import PoolState
from keeppool.core.records import Connection, Group, Host, Policy
from keeppool.core.tallies import Tally
from keeppool.errors import ReadTimeout, SendError, TotalTimeout
from keeppool.events import ConnectionReused, RequestQueued, RequestServed, Why
from keeppool.net.stream_tasks import READ
from keeppool.pools.exchange import Exchange
from keeppool.pools.manager_tasks import AsyncPoolManager
from keeppool.pools.routes import Locator
from keeppool.wire.fields import EMPTY

ONE = Limits(per_host=1)


class Resumed:
    """A coroutine to be awaited, and how often it was gone on with after a wait."""

    def __init__(self, coroutine) -> None:
        self.times = 0
        self._coroutine = coroutine

    @types.coroutine
    def _steps(self):
        steps = self._coroutine.__await__()
        while True:
            try:
                waited_for = next(steps)
            except StopIteration as end:
                return end.value
            yield waited_for
            self.times += 1

    async def run(self):
        return await self._steps()


def run(main):
    """Run on a new loop; an error that nobody would have heard of is a failure."""
    complaints = []

    async def watched():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with asyncio.timeout(20), AskedPeer() as peer:
            await main(peer)

    asyncio.run(watched())
    assert not complaints


def test_a_waiting_caller_is_woken_once_and_by_its_answer():
    async def main(peer):
        async with AsyncPoolManager(ONE) as pool:
            first = asyncio.create_task(pool.request("GET", f"{peer.url}/first"))
            await peer.has_been_asked(1)
            waiting = Resumed(pool.request("GET", f"{peer.url}/second"))
            second = asyncio.create_task(waiting.run())
            await until(lambda: pool.stats().waiting)
            peer.answer()
            await peer.has_been_asked(2)
            assert waiting.times == 0, "asked, and not yet gone on with"
            peer.answer()
            assert (await second).headers["x-target"] == "/second"
            assert (await first).headers["x-target"] == "/first"
            assert waiting.times == 1
            stats = pool.stats()
            assert (stats.opened, stats.reused, stats.idle) == (1, 1, 1)

    run(main)


def test_who_is_cancelled_after_its_request_has_left_closes_the_connection():
    """Its answer is still to come, and nobody else may get it."""

    async def main(peer):
        async with AsyncPoolManager(ONE) as pool:
            first, second = await one_asks_and_one_waits(peer, pool)
            peer.answer()
            await first
            await peer.has_been_asked(2)
            second.cancel()
            await asyncio.gather(second, return_exceptions=True)
            assert pool.stats().closed_by[Why.EXCHANGE_FAILED] == 1
            third = asyncio.create_task(pool.request("GET", f"{peer.url}/third"))
            await peer.has_been_asked(3)
            peer.answer()
            assert (await third).headers["x-target"] == "/third"
            assert peer.accepted == 2

    run(main)


def test_who_is_cancelled_at_the_moment_of_its_turn_has_sent_nothing():
    async def main(peer):
        async with AsyncPoolManager(ONE) as pool:
            first, second = await one_asks_and_one_waits(peer, pool)
            first.add_done_callback(lambda _: None)
            peer.answer()
            second.cancel()
            await asyncio.gather(first, second, return_exceptions=True)
            assert second.cancelled()
            assert peer.asked == [b"/first"]
            assert pool.stats().idle == 1

    run(main)


@pytest.mark.parametrize(
    ("timeout", "error"),
    [(Timeout(read=0.05, pool=30), ReadTimeout), (Timeout(read=30, pool=30, total=1), TotalTimeout)],
)
def test_an_answer_that_does_not_come_ends_the_wait_as_if_the_caller_had_asked_itself(timeout, error):
    async def main(peer):
        async with AsyncPoolManager(ONE) as pool:
            first, second = await one_asks_and_one_waits(peer, pool, timeout=timeout)
            peer.answer()
            with pytest.raises(error) as caught:
                await second
            await first
            assert caught.value.sent > 0
            assert caught.value.received == 0
            assert peer.asked == [b"/first", b"/second"]
            assert pool.stats().open == 0

    run(main)


def test_the_time_for_getting_a_connection_ends_with_the_sending():
    """The pool timeout is over by the time the answer comes; it was met when the connection came free."""

    async def main(peer):
        async with AsyncPoolManager(ONE) as pool:
            first = asyncio.create_task(pool.request("GET", f"{peer.url}/first"))
            await peer.has_been_asked(1)
            waiting = Resumed(pool.request("GET", f"{peer.url}/second", timeout=Timeout(read=30, pool=1)))
            second = asyncio.create_task(waiting.run())
            await until(lambda: pool.stats().waiting)
            peer.answer()
            await first
            await peer.has_been_asked(2)
            overdue = asyncio.Event()
            asyncio.get_running_loop().call_later(1.2, overdue.set)
            await overdue.wait()
            peer.answer()
            assert (await second).headers["x-target"] == "/second"
            assert waiting.times == 1

    run(main)


def test_a_connection_that_dies_unanswered_is_replaced_for_who_may_ask_again():
    async def main(peer):
        async with AsyncPoolManager(ONE) as pool:
            first, second = await one_asks_and_one_waits(peer, pool)
            peer.answer()
            await first
            await peer.has_been_asked(2)
            peer.hang_up(0)
            await peer.has_been_asked(3)
            peer.answer()
            assert (await second).headers["x-target"] == "/second"
            stats = pool.stats()
            assert (stats.resent, peer.accepted) == (1, 2)

    run(main)


def test_bytes_nobody_asked_for_are_not_taken_for_the_next_callers_answer():
    """They come with the end of the answer before, so the connection is closed, and the caller dials."""

    async def main(peer):
        async with AsyncPoolManager(ONE) as pool:
            first, second = await one_asks_and_one_waits(peer, pool)
            peer.answer(more=ANSWER % b"/poison")
            await first
            await peer.has_been_asked(2)
            assert peer.accepted == 2
            peer.answer()
            assert (await second).headers["x-target"] == "/second"

    run(main)


def test_bytes_that_wait_behind_an_answer_are_not_taken_for_the_next_callers():
    """The answer fills one read to its end: what is behind it is still in the kernel when the connection comes free."""

    async def main(peer):
        async with AsyncPoolManager(ONE) as pool:
            first, second = await one_asks_and_one_waits(peer, pool)
            head = b"HTTP/1.1 200 OK\r\nX-Target: /first\r\nContent-Length: %05d\r\n\r\n"
            size = READ - len(head % 0)
            peer.send(head % size + bytes(size) + ANSWER % b"/poison")
            await peer.has_been_asked(2)
            assert (await first).data == bytes(size)
            peer.answer()
            assert (await second).headers["x-target"] == "/second"
            assert pool.stats().closed_by[Why.UNASKED_DATA] == 1

    run(main)


def test_a_post_that_was_partly_taken_before_the_connection_broke_is_not_sent_again():
    """The first bytes are accepted, the next are refused: what has left may be carried out."""

    async def main(peer):
        async with AsyncPoolManager(ONE) as pool:
            first = asyncio.create_task(pool.request("GET", f"{peer.url}/first"))
            await peer.has_been_asked(1)
            (connection,) = pool._pool._state.everything()
            second = asyncio.create_task(pool.request("POST", f"{peer.url}/second", body=bytes(40_000)))
            await until(lambda: pool.stats().waiting)
            outbox = connection.stream._outbox
            sends = iter([outbox._send])

            def breaks_off(data):
                for send in sends:
                    return send(data[:1000])
                raise ConnectionResetError(errno.ECONNRESET, "as if the server had reset it")

            outbox._send = breaks_off
            peer.answer()
            with pytest.raises(SendError) as caught:
                await second
            await first
            assert (caught.value.sent, caught.value.retry_safe) == (1000, False)
            assert pool.stats().resent == 0
            assert peer.accepted == 1

    run(main)


def test_a_request_of_which_nothing_was_taken_goes_over_another_connection():
    async def main(peer):
        async with AsyncPoolManager(ONE) as pool:
            first, second = await one_asks_and_one_waits(peer, pool)
            (connection,) = pool._pool._state.everything()

            def refuses(data):
                peer.hang_up(0)
                raise BrokenPipeError(errno.EPIPE, "as if the server had closed")

            connection.stream._outbox._send = refuses
            peer.answer()
            await peer.has_been_asked(2)
            peer.answer()
            assert (await second).headers["x-target"] == "/second"
            await first
            assert peer.accepted == 2

    run(main)


def test_what_was_begun_on_a_dead_connection_holds_no_claim_on_the_next_ones_slot():
    """An interrupt may strike between a dead connection's replacement and the next attempt: the slot comes back."""
    host = Host(Origin(scheme="http", host="a.example", port=80), Policy(), Group(None, None), Tally())
    located = Locator(Config()).locate("http://a.example/")
    exchange = Exchange(located, b"GET", EMPTY, None, None, 0.0)
    dead, other = Connection(1, host, 1.0), Connection(2, host, 2.0)
    exchange.begin(dead, 1.0)
    assert exchange.is_holder(other)
    assert exchange.is_holder(dead)
    dead.generation += 1
    assert not exchange.is_holder(dead), "another's by now"


def test_whoever_gave_a_connection_back_holds_it_no_longer_though_it_was_lent_again_in_the_same_moment():
    """Two hand-overs may bear the same time: the clock ticks in steps, and a task's whole turn may fit into one."""
    state, origin = PoolState(Limits()), Origin(scheme="http", host="a.example", port=80)
    exchange = Exchange(Locator(Config()).locate("http://a.example/"), b"GET", EMPTY, None, None, 1.0)
    lent = state.requested(origin, Policy(), 1.0)
    assert isinstance(lent, Connection)
    assert state.connected(lent, 1.0)
    exchange.begin(lent, 1.0)
    assert exchange.is_holder(lent)
    lent.answered(NO_HINT)
    state.released(lent, None, 1.0)
    assert state.requested(origin, Policy(), 1.0) is lent
    assert lent.taken_at == 1.0
    assert not exchange.is_holder(lent), "the next holder's by now"


@pytest.mark.parametrize("ends", ["answered", "in time-out", "cancelled"])
def test_listeners_hear_of_the_turn_when_it_comes_however_it_ends(ends, recorder):
    async def main(peer):
        async with AsyncPoolManager(ONE, on_event=recorder) as pool:
            timeout = Timeout(read=0.05 if ends == "in time-out" else 30)
            first, second = await one_asks_and_one_waits(peer, pool, timeout=timeout)
            await until(lambda: recorder.of(RequestQueued))
            peer.answer()
            await peer.has_been_asked(2)
            assert len(recorder.of(RequestServed)) == 1
            assert len(recorder.of(ConnectionReused)) == 1
            if ends == "answered":
                peer.answer()
            elif ends == "cancelled":
                second.cancel()
            await asyncio.gather(first, second, return_exceptions=True)
            assert len(recorder.of(RequestServed)) == 1
            assert len(recorder.of(ConnectionReused)) == pool.stats().reused == 1

    run(main)


def test_a_body_in_pieces_is_sent_by_the_caller_itself():
    async def main(peer):
        async with AsyncPoolManager(ONE) as pool:
            first = asyncio.create_task(pool.request("GET", f"{peer.url}/first"))
            await peer.has_been_asked(1)
            caller = []

            async def pieces():
                caller.append(asyncio.current_task())
                yield b"piece"

            second = asyncio.create_task(pool.request("PUT", f"{peer.url}/second", body=pieces()))
            await until(lambda: pool.stats().waiting)
            peer.answer()
            await peer.has_been_asked(2)
            await until(lambda: caller)
            assert caller == [second]
            peer.answer()
            assert (await second).status == 200
            await first

    run(main)


@pytest.mark.parametrize("at", ["before", "after", *BEHIND])
def test_an_interrupt_while_asking_for_another_lets_nothing_be_asked_twice(at):
    """In a process of its own: CPython 3.11 counts its recursion wrongly after a Ctrl-C in a task."""
    program = Path(__file__).with_name("interrupted_asking.py")
    done = subprocess.run([sys.executable, program, at], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
