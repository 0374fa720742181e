"""A Redis whose replies come in part, twice, as something else, or not at all; threads and tasks on four hosts."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from keeppool import AsyncPoolManager, HostConfig, PoolManager, Timeout
from keeppool.events import FleetChanged, RequestQueued
from keeppool.testing import Behaviour, Recorder, ScriptedServer, Sites

pytest.importorskip("redis")
CAP = 3
SHARED = HostConfig(fleet_per_host=CAP)
PATIENT = Timeout(pool=60)

#: What becomes of a reply: of each of those that came in one piece, or of all; `None` ends the connection.
GARBLED: dict[str, Callable[[bytes, int, random.Random], bytes | None]] = {
    "as it is": lambda said, n, dice: said,
    "in part": lambda said, n, dice: said[: dice.randrange(len(said))],
    "twice": lambda said, n, dice: said + said,
    "none": lambda said, n, dice: None,
    "something else": lambda said, n, dice: dice.choice([b"+OK\r\n", b"*0\r\n", b"*8\r\n:9\r\n" + b":1\r\n" * 7]) * n,
    "no protocol": lambda said, n, dice: said[:-3] + b"\x00\xff\r\n",
    "loading": lambda said, n, dice: b"-LOADING Redis is loading the dataset in memory\r\n" * n,
    "moved": lambda said, n, dice: b"-MOVED 3999 127.0.0.1:1\r\n" * n,
    "unknown": lambda said, n, dice: b"-NOSCRIPT No matching script. Please use EVAL.\r\n" * n,
    "a replica": lambda said, n, dice: b"-READONLY You can't write against a read only replica.\r\n" * n,
    "this key": lambda said, n, dice: b"-WRONGTYPE Operation against a key of another kind\r\n" * n,
}


class Garbler:
    """Stands before a Redis, and garbles what it says to members until it is told to stop."""

    def __init__(self, port: int, seed: int) -> None:
        self._port, self._dice = port, random.Random(seed)
        self.is_mad = True
        self.garbled: set[str] = set()

    def __call__(self, connection: Any) -> None:
        # A member that has had enough of a connection closes it.
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port)) as redis:
            while asked := connection.read():
                redis.sendall(asked)
                said: bytes | None = redis.recv(1 << 16)
                calls = asked.count(b"\r\nEVAL")
                if self.is_mad and calls and said:
                    how = self._dice.choice(list(GARBLED))
                    self.garbled.add(how)
                    said = GARBLED[how](said, calls, self._dice)
                if said is None:
                    return
                connection.send(said)


class Work:
    """A crowd at four hosts, and one caller at a host of its own; threads and tasks."""

    def __init__(self, sites: Sites) -> None:
        kinds = [Behaviour(delay_s=0.004)] * 3 + [Behaviour(delay_s=0.004, keep_alive=False)]
        self.crowded = [sites.add(kind) for kind in kinds]
        self.quiet = sites.add(Behaviour())
        self.over = threading.Event()
        self.statuses: set[int] = set()

    def by_thread(self, pool: PoolManager, number: int) -> None:
        dice = random.Random(number)
        while not self.over.is_set():
            site = dice.choice(self.crowded) if number else self.quiet
            self.statuses.add(pool.request("GET", site.url, timeout=PATIENT).status)

    async def by_task(self, pool: AsyncPoolManager, number: int) -> None:
        dice = random.Random(number)
        while not self.over.is_set():
            site = dice.choice(self.crowded)
            self.statuses.add((await pool.request("GET", site.url, timeout=PATIENT)).status)
            await asyncio.sleep(0)

    async def by_tasks(self, fleet: str) -> None:
        async with AsyncPoolManager(fleet=fleet, defaults=SHARED) as pool:
            await asyncio.gather(*(self.by_task(pool, number) for number in range(8)))


def test_a_redis_that_garbles_what_it_says_costs_no_request_and_holds_up_no_connection(
    redis_port: int, sites: Sites, recorder: Recorder
) -> None:
    """When it has come to its senses the cap holds again, and each member has heard so."""
    work, garbler = Work(sites), Garbler(redis_port, seed=1)
    with ScriptedServer(garbler) as server:
        fleet = f"redis://127.0.0.1:{server.port}?name=test&ttl=2&timeout=0.2"
        with PoolManager(fleet=fleet, defaults=SHARED, on_event=recorder) as pool:
            threads = [threading.Thread(target=work.by_thread, args=(pool, number)) for number in range(5)]
            threads.append(threading.Thread(target=asyncio.run, args=(work.by_tasks(fleet),)))
            for thread in threads:
                thread.start()
            assert work.quiet.wait_for(lambda: len(garbler.garbled) == len(GARBLED), 60)
            garbler.is_mad = False
            assert work.quiet.wait_for(lambda: pool.stats().fleet.is_up, 30)  # type: ignore[union-attr]
            for site in work.crowded:
                assert site.wait_for(lambda site=site: site.open_now <= CAP, 30)
            work.over.set()
            for thread in threads:
                thread.join(60)
            assert not [thread for thread in threads if thread.is_alive()]
    assert work.statuses == {200}
    assert recorder.of(FleetChanged)
    assert work.quiet.opened == 1
    queued = [event for event in recorder.of(RequestQueued) if event.origin == work.quiet.url.removesuffix("/")]
    assert len(queued) == 1, "the first one, which had to dial"
