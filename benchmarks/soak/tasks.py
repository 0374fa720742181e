"""The requests of a part that is made of tasks.

Knows: the pool for tasks, how its responses are read, how a task is cancelled. Does not know: what an outcome means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from benchmarks.soak.asking import LIMITS, World, headers, pool_of, seconds_until_cut, timeout, upload
from benchmarks.soak.ledger import Ledger
from benchmarks.soak.plan import Plan
from benchmarks.soak.watch import PAUSE, Watch
from keeppool import AsyncPoolManager
from keeppool.stats import Stats

#: More than the caps let in at once: there is a queue, and requests ride.
CALLERS = 64


class Crowd:
    """Callers in tasks, over one pool, and two more that are in a fleet."""

    def __init__(self, world: World, ledger: Ledger, watch: Watch) -> None:
        self._world = world
        self._ledger = ledger
        self._watch = watch
        hosts = world.hosts(pipelining=8)
        self.pools = [AsyncPoolManager(LIMITS, hosts=hosts, fleet=fleet) for fleet in (None, *world.fleets)]

    async def run(self, plans: Iterator[Plan]) -> None:
        """Send all these requests."""
        await asyncio.gather(*(self._call(slot, plans) for slot in range(CALLERS)))

    async def _call(self, slot: int, plans: Iterator[Plan]) -> None:
        for plan in plans:
            self._watch.began(slot, plan)
            is_cancelled = plan.manner == "cancel"
            try:
                if is_cancelled:
                    await asyncio.wait_for(self._ask(plan), seconds_until_cut(plan))
                else:
                    await self._ask(plan)
            except Exception as error:
                self._ledger.failed(plan, error, is_cancelled=is_cancelled)
        self._watch.ended(slot)

    async def _ask(self, plan: Plan) -> None:
        manner = plan.manner
        response = await pool_of(self.pools, plan).request(
            plan.method,
            self._world.url(plan),
            headers=headers(plan),
            body=upload(plan),
            timeout=timeout(plan, may_cancel=True),
            stream=manner in ("stream", "leave", "drop"),
            host=self._world.proxies.get(plan.host),
        )
        status, identity = response.status, response.headers.get("X-Id")
        if manner == "drop":
            del response  # Unread, and nobody closes it.
            return self._ledger.came(plan, status, identity, None)
        if manner == "leave":
            body: Any = await response.read(10)
            await response.aclose()
            return self._ledger.came(plan, status, identity, body, is_left=True)
        if manner == "stream":
            body = b"".join([piece async for piece in response.stream(500 + plan.chance % 2000)])
        else:
            body = response.data
        return self._ledger.came(plan, status, identity, body)


class Front:
    """The crowd, as `caller.py` drives it, on an event loop of its own."""

    def __init__(self, world: World, ledger: Ledger, watch: Watch) -> None:
        self._runner = asyncio.Runner()
        self.loop = self._runner.get_loop()
        self._crowd = self._runner.run(self._open(world, ledger, watch))

    async def _open(self, world: World, ledger: Ledger, watch: Watch) -> Crowd:
        return Crowd(world, ledger, watch)

    def run(self, plans: Iterator[Plan]) -> None:
        """Send all these requests."""
        self._runner.run(self._crowd.run(plans))

    def stats(self) -> list[Stats]:
        """Give the pools' figures."""
        return [pool.stats() for pool in self._crowd.pools]

    def pause(self) -> None:
        """Let a moment pass, on the loop."""
        self._runner.run(asyncio.sleep(PAUSE))

    def close(self) -> None:
        """Close the pools."""
        for pool in self._crowd.pools:
            self._runner.run(pool.aclose())

    def end(self) -> None:
        """Close the event loop."""
        self._runner.close()

    def left(self) -> dict[str, list[str]]:
        """Tell which tasks and timers are left on the event loop."""
        timers = [repr(timer) for timer in getattr(self.loop, "_scheduled", ()) if not timer.cancelled()]
        return {"task left": [repr(task) for task in asyncio.all_tasks(self.loop)], "timer left": timers}
