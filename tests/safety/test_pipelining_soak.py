"""A server that breaks at random under requests one behind the other, and callers that leave at random.

Nobody gets another's response, each request ends once, nothing is carried out three times, and no slot is lost.
`KEEPPOOL_REQUESTS` says how many requests; 50000 is what CI asks for once.
"""

from __future__ import annotations

import asyncio
import collections
import os
import random
import sys
from pathlib import Path

import pytest

from keeppool import AsyncPoolManager, HostConfig, Limits, Timeout
from keeppool.core import credit
from keeppool.errors import KeepPoolError

sys.path.append(str(Path(__file__).parents[1] / "pools"))
from piped_peer import Asked, Manner, PipedPeer

REQUESTS = int(os.environ.get("KEEPPOOL_REQUESTS", "1500"))
TASKS = 64


async def broken_off(asked: Asked, roll: float, body: str, cut: int) -> bool:
    """End the connection, in one of the ways that are known, or not."""
    if roll < 0.004:
        return asked.close()
    if roll < 0.008:
        return asked.reset()
    if roll < 0.02:
        whole = asked.response(*(["Connection: close"] if roll > 0.012 else []), body=body)
        asked.send(whole if roll > 0.012 else whole[:cut])
        await asked.flush()
        return asked.close()
    if roll < 0.022:
        asked.send(b"no http at all\r\n\r\n")
        return asked.close()
    return False


def breaking(dice: random.Random) -> Manner:
    """Break now and then, take long, say something in between, or send a response in two pieces."""

    async def manner(asked: Asked) -> bool:
        roll = dice.random()
        body = f"{asked.target}#{'x' * dice.choice([0, 0, 0, 0, 0, 0, 0, 10, 5000, 100000])}"
        if await broken_off(asked, roll, body, dice.randrange(1, 80)):
            return True
        if roll < 0.033:
            await asyncio.sleep(0.4 if roll > 0.032 else dice.random() * 0.03)
        elif roll < 0.04:
            asked.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        data = asked.response(body=body, chunked=dice.random() < 0.3)
        cut = dice.randrange(1, len(data)) if dice.random() < 0.05 else 0
        asked.send(data[:cut])
        await asked.flush()
        await asyncio.sleep(0)
        asked.send(data[cut:])
        return False

    return manner


class Crowd:
    """Callers of every kind, and how each request has ended."""

    def __init__(self, dice: random.Random, url: str, pool: AsyncPoolManager) -> None:
        self._dice = dice
        self._url = url
        self._pool = pool
        self.ends: collections.Counter[str] = collections.Counter()
        self._numbers = iter(range(REQUESTS))

    async def work(self) -> None:
        for number in self._numbers:
            try:
                self.ends[await self._ask(f"/{number}")] += 1
            except KeepPoolError as error:
                self.ends[type(error).__name__] += 1
            except TimeoutError:
                self.ends["cancelled"] += 1

    async def _ask(self, path: str) -> str:
        kind, url, pool = self._dice.random(), self._url + path, self._pool
        if kind < 0.05:
            data = (await pool.request("POST", url, body=b"x")).data
        elif kind < 0.1:
            response = await pool.request("GET", url, stream=True)
            if self._dice.random() < 0.3:
                await response.aclose()
                return "left"
            data = await response.read()
        elif kind < 0.15:
            data = (await asyncio.wait_for(pool.request("GET", url), self._dice.random() * 0.02)).data
        elif kind < 0.2:
            data = (await pool.request("GET", url, timeout=Timeout(5, total=self._dice.random() * 0.05))).data
        else:
            data = (await pool.request("GET", url)).data
        return "well" if data.partition(b"#")[0] == path.encode() else "mixed"


async def soak(seed: int) -> None:
    dice = random.Random(seed)
    async with PipedPeer(breaking(dice)) as peer:
        options = {"defaults": HostConfig(pipelining=8), "timeout": Timeout(5, read=0.3)}
        async with AsyncPoolManager(Limits(per_host=4), **options) as pool:
            crowd = Crowd(dice, peer.url, pool)
            await asyncio.gather(*(crowd.work() for _ in range(TASKS)))
            assert crowd.ends["mixed"] == 0
            assert sum(crowd.ends.values()) == REQUESTS, "a request ended twice, or not at all"
            assert max(peer.executed.values()) <= 2
            assert peer.behind_post == 0
            async with asyncio.timeout(20):  # Responses to those who have left are still on their way.
                while pool.stats().busy or pool.stats().connecting:  # noqa: ASYNC110 - nobody tells of a free slot
                    await asyncio.sleep(0)
            stats = pool.stats()
            assert (stats.busy, stats.waiting, stats.connecting) == (0, 0, 0), "a slot is lost"
            assert stats.peak_open <= 4
            assert stats.piped
            assert stats.requeued
            assert not pool._pool._pipelines


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_server_that_breaks_at_random(monkeypatch, loop):
    """Distrust is short here, or little would ride."""
    monkeypatch.setattr(credit, "DISTRUST", 0.05)
    monkeypatch.setattr(credit, "LONGEST_DISTRUST", 0.05)
    factory = asyncio.new_event_loop if loop == "asyncio" else pytest.importorskip("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(asyncio.wait_for(soak(2026), 900))
