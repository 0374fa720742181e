"""Cancelled at every step: the slot comes back, nobody else's answer is touched, nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import random

import pytest
from loop_peer import LoopPeer, until

from keeppool import Limits, Timeout
from keeppool.pools.manager_tasks import AsyncPoolManager

UPLOAD = bytes(1_500_000)


def run(main):
    """Run on a new loop; whatever nobody would ever have heard of is a failure."""
    complaints = []

    async def watched():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        result = await main()
        gc.collect()
        return result

    result = asyncio.run(watched())
    assert not complaints
    return result


async def whole(pool, url):
    answer = await pool.request("GET", f"{url}/whole/bytes/60000")
    assert answer.data.endswith(b"/whole/bytes/60000")


async def streamed(pool, url):
    async with await pool.request("GET", f"{url}/streamed/bytes/60000", stream=True) as response:
        size = sum([len(piece) async for piece in response.stream(1000)])
    assert size == 60_000 + len("/streamed/bytes/60000")


async def read_and_left(pool, url):
    """No `async with`: the reading itself has to clean up."""
    response = await pool.request("GET", f"{url}/left/bytes/60000", stream=True)
    assert len(await response.read(30_000)) == 30_000
    await response.read()


async def uploaded(pool, url):
    assert (await pool.request("POST", f"{url}/uploaded", body=UPLOAD)).status == 200


async def uploaded_in_pieces(pool, url):
    async def pieces():
        for start in range(0, 600_000, 100_000):
            await asyncio.sleep(0)
            yield bytes(UPLOAD[start : start + 100_000])

    headers = {"Content-Length": "600000"}
    assert (await pool.request("POST", f"{url}/pieces", body=pieces(), headers=headers)).status == 200


async def settled(pool, peer, others):
    """Nothing is held, nobody waits, the next answers are right, and nothing of the pool runs on."""
    await until(lambda: pool.stats().connecting == 0)
    stats = pool.stats()
    assert (stats.busy, stats.waiting) == (0, 0), stats
    assert stats.opened == stats.open + stats.closed, stats
    for number in range(2):
        target = f"/after/{number}/bytes/3"
        assert (await pool.request("GET", peer.url + target)).data == b"xxx" + target.encode()
    await pool.aclose()
    assert pool.stats().open == 0
    assert asyncio.all_tasks() - others - peer.tasks == {asyncio.current_task()}


async def cancel_at(step, work, *, is_warm, is_held):
    """Cancel `work` after so many turns of the loop; True if it was not done by then."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    async with LoopPeer() as peer:
        pool = AsyncPoolManager(Limits(per_host=1), timeout=Timeout(pool=5, read=5))
        if is_warm:
            await pool.request("GET", f"{peer.url}/warm")
        holder = await pool.request("GET", f"{peer.url}/held/bytes/70000", stream=True) if is_held else None
        task = asyncio.create_task(work(pool, peer.url))
        for turn in range(step):
            if holder is not None and turn == 4:
                await holder.read()
            await asyncio.sleep(0)
        is_under_way = task.cancel()
        result = (await asyncio.gather(task, return_exceptions=True))[0]
        assert isinstance(result, asyncio.CancelledError) if is_under_way else result is None
        if holder is not None:
            await holder.read()
        await settled(pool, peer, others)
        # While the server still reads an upload it has not seen its end.
        assert peer.most_open == 1 or "upload" in work.__name__, "dialled before the socket in its place was closed"
        return is_under_way


@pytest.mark.slow
@pytest.mark.parametrize("is_held", [False, True], ids=["free", "queued first"])
@pytest.mark.parametrize("is_warm", [False, True], ids=["new connection", "reused connection"])
@pytest.mark.parametrize("work", [whole, streamed, read_and_left, uploaded, uploaded_in_pieces])
def test_a_request_cancelled_at_any_step_costs_nothing_but_itself(work, is_warm, is_held):
    step = 0
    while run(lambda: cancel_at(step, work, is_warm=is_warm, is_held=is_held)):  # noqa: B023
        # An upload may wait 40 ms for a delayed acknowledgement: thousands of turns in which nothing happens.
        step += 1 if step < 64 else step // 16
    assert step > 6


@pytest.mark.parametrize("cancelled", [0, 1, 2])
def test_a_dial_outlives_the_caller_it_was_begun_for(cancelled):
    """Go #59017, hyper 71541a26: cancelling a request killed the dial others waited for."""

    async def main():
        async with LoopPeer() as peer, AsyncPoolManager(Limits(per_host=1)) as pool:
            tasks = [asyncio.create_task(pool.request("GET", f"{peer.url}/{number}")) for number in range(3)]
            await asyncio.sleep(0)
            assert (pool.stats().connecting, pool.stats().waiting) == (1, 2)
            tasks[cancelled].cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            assert isinstance(answers.pop(cancelled), asyncio.CancelledError)
            assert [answer.status for answer in answers] == [200, 200]
            assert peer.accepted == 1
            assert pool.stats().connect_failed == 0

    run(main)


class Crowd:
    """Requests of which a third are cancelled, each at a step of its own; what they do is drawn from a seed."""

    def __init__(self, pool, url):
        self.chance = random.Random(20260102)
        self.pool = pool
        self.url = url
        self.running = set()
        self.doomed = []
        self.done = []

    async def visit(self, number):
        """Make one request, and check that the answer is its own."""
        chance = self.chance
        target = f"/{number}/bytes/{chance.choice((0, 10, 40_000))}"
        kind = chance.choice(("whole", "streamed", "left", "upload"))
        if kind == "whole":
            answer = (await self.pool.request("GET", self.url + target)).data
        elif kind == "upload":
            body = bytes(chance.choice((10, 300_000)))
            answer = (await self.pool.request("PUT", self.url + target, body=body)).data
        else:
            async with await self.pool.request("GET", self.url + target, stream=True) as response:
                if kind == "left":
                    return
                answer = await response.read()
        assert answer.endswith(target.encode()), "somebody else's answer"

    async def run(self, requests):
        for number in range(requests):
            task = asyncio.create_task(self.visit(number))
            self.running.add(task)
            if self.chance.random() < 1 / 3:
                self.doomed.append((number + self.chance.randrange(60), task))
            self.cancel_until(number)
            await asyncio.sleep(0)
            while len(self.running) > 40:
                over, self.running = await asyncio.wait(self.running, return_when=asyncio.FIRST_COMPLETED)
                self.done += over
        self.cancel_until(requests + 60)
        self.done += (await asyncio.wait(self.running))[0]

    def cancel_until(self, number):
        for _, victim in [entry for entry in self.doomed if entry[0] <= number]:
            victim.cancel()
        self.doomed = [entry for entry in self.doomed if entry[0] > number]


def test_ten_thousand_requests_cancelled_at_random_leave_every_slot_free():
    async def main():
        others = asyncio.all_tasks() - {asyncio.current_task()}
        async with LoopPeer() as peer:
            pool = AsyncPoolManager(Limits(per_host=4), timeout=Timeout(pool=60, read=60))
            crowd = Crowd(pool, peer.url)
            await crowd.run(10_000)
            assert len(crowd.done) == 10_000
            assert 1500 < sum(task.cancelled() for task in crowd.done) < 3500
            assert [task.exception() for task in crowd.done if not task.cancelled() and task.exception()] == []
            await settled(pool, peer, others)

    run(main)
