"""The requests of a part that is made of threads.

Knows: the pool for threads, and how its responses are read. Does not know: what an outcome means.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.soak.asking import LIMITS, World, headers, pool_of, timeout, upload
from benchmarks.soak.ledger import Ledger
from benchmarks.soak.plan import Plan
from benchmarks.soak.watch import PAUSE, Watch
from keeppool import PoolManager
from keeppool.pools.response import Response
from keeppool.stats import Stats

#: More than the caps let in at once: there is a queue.
CALLERS = 12


class Crowd:
    """Callers in threads, over one pool, and two more that are in a fleet."""

    def __init__(self, world: World, ledger: Ledger, watch: Watch) -> None:
        self._world = world
        self._ledger = ledger
        self._watch = watch
        hosts = world.hosts(pipelining=1)
        self.pools = [PoolManager(LIMITS, hosts=hosts, fleet=fleet) for fleet in (None, *world.fleets)]

    def run(self, numbers: Iterator[Plan]) -> None:
        """Send all these requests."""
        lock = threading.Lock()

        def following() -> Plan | None:
            with lock:
                return next(numbers, None)

        threads = [threading.Thread(target=self._call, args=(slot, following)) for slot in range(CALLERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _call(self, slot: int, following: Callable[[], Plan | None]) -> None:
        while (plan := following()) is not None:
            self._watch.began(slot, plan)
            try:
                self._ask(plan)
            except BaseException as error:
                self._ledger.failed(plan, error, is_cancelled=False)
        self._watch.ended(slot)

    def _sent(self, plan: Plan) -> Response:
        return pool_of(self.pools, plan).request(
            plan.method,
            self._world.url(plan),
            headers=headers(plan),
            body=upload(plan),
            timeout=timeout(plan, may_cancel=False),
            stream=plan.manner in ("stream", "leave", "drop"),
            host=self._world.proxies.get(plan.host),
        )

    def _ask(self, plan: Plan) -> None:
        manner, response = plan.manner, self._sent(plan)
        status, identity = response.status, response.headers.get("X-Id")
        if manner == "drop":
            del response  # Unread, and nobody closes it.
            return self._ledger.came(plan, status, identity, None)
        if manner == "leave":
            body: Any = response.read(10)
            response.close()
            return self._ledger.came(plan, status, identity, body, is_left=True)
        body = b"".join(response.stream(500 + plan.chance % 2000)) if manner == "stream" else response.data
        return self._ledger.came(plan, status, identity, body)


class Front:
    """The crowd, as `caller.py` drives it."""

    loop = None
    crowd = Crowd

    def __init__(self, world: World, ledger: Ledger, watch: Watch) -> None:
        self._crowd = self.crowd(world, ledger, watch)

    def run(self, plans: Iterator[Plan]) -> None:
        """Send all these requests."""
        self._crowd.run(plans)

    def stats(self) -> list[Stats]:
        """Give the pools' figures."""
        return [pool.stats() for pool in self._crowd.pools]

    def pause(self) -> None:
        """Let a moment pass."""
        time.sleep(PAUSE)

    def close(self) -> None:
        """Close the pools."""
        for pool in self._crowd.pools:
            pool.close()

    def end(self) -> None:
        """Let go of everything else: there is nothing."""

    def left(self) -> dict[str, list[str]]:
        """Tell what is left on the event loop: there is none."""
        return {}
