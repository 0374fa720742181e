"""A program cancels every task it finds, the fleet's among them, and goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from keeppool import AsyncPoolManager, HostConfig, Pace, Timeout
from keeppool.testing import Behaviour, Sites

redis = pytest.importorskip("redis")


def url_on(port: int, query: str) -> str:
    return f"redis://127.0.0.1:{port}?name=test&{query}"


def cancel_the_fleets() -> int:
    tasks = [task for task in asyncio.all_tasks() if task.get_name() == "keeppool-fleet"]
    return sum(task.cancel() for task in tasks)


async def until(is_so: object) -> None:
    async with asyncio.timeout(30):
        while not is_so():  # type: ignore[operator]  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "entry",
    [
        HostConfig(fleet_per_host=2),
        HostConfig(fleet_per_host=None, pace=100),
        HostConfig(fleet_per_host=2, pace=Pace(interval=0.001, since="end")),
    ],
    ids=["cap", "pace", "both"],
)
def test_whoever_waits_is_served_though_the_call_for_it_was_cancelled(
    entry: HostConfig, redis_port: int, sites: Sites
) -> None:
    site, pid = sites.add(), int(redis.Redis(port=redis_port).info("server")["process_id"])

    async def ask() -> int:
        async with AsyncPoolManager(fleet=url_on(redis_port, "timeout=4"), defaults=entry) as pool:
            os.kill(pid, signal.SIGSTOP)
            try:
                asked = asyncio.create_task(pool.request("GET", site.url, timeout=Timeout(pool=25)))
                await until(lambda: pool.stats().fleet.calls)  # type: ignore[union-attr]
                assert cancel_the_fleets() == 1
            finally:
                os.kill(pid, signal.SIGCONT)
            status = (await asked).status
            assert pool.stats().fleet.failures == 0  # type: ignore[union-attr]
            return status

    assert asyncio.run(ask()) == 200


def test_a_caller_that_comes_afterwards_and_one_that_was_refused_are_served(redis_port: int, sites: Sites) -> None:
    """The task is cancelled while it sleeps between two calls, as the cap is used up."""
    site, entry = sites.add(Behaviour(delay_s=0.01)), HostConfig(fleet_per_host=1)

    async def ask() -> set[int]:
        url = url_on(redis_port, "timeout=0.9")
        async with (
            AsyncPoolManager(fleet=url, defaults=entry) as one,
            AsyncPoolManager(fleet=url, defaults=entry) as two,
        ):
            held = await one.request("GET", f"{site.url}/bytes/1000000", stream=True)
            asked = [asyncio.create_task(two.request("GET", site.url, timeout=Timeout(pool=25)))]
            await until(lambda: two.stats().fleet.calls > 1)  # type: ignore[union-attr]
            assert cancel_the_fleets() == 2
            await asyncio.sleep(0)
            asked.append(asyncio.create_task(two.request("GET", site.url, timeout=Timeout(pool=25))))
            await held.read()
            return {(await one).status for one in asked}

    assert asyncio.run(ask()) == {200}
    assert site.peak_open == 1


def test_a_lease_is_renewed_on_though_nobody_asks(redis_port: int, sites: Sites) -> None:
    site = sites.add()

    async def keep() -> None:
        async with AsyncPoolManager(fleet=url_on(redis_port, "ttl=3&timeout=0.7")) as pool:
            await pool.request("GET", site.url)
            assert cancel_the_fleets() == 1
            await asyncio.sleep(0)
            calls = pool.stats().fleet.calls  # type: ignore[union-attr]
            await until(lambda: pool.stats().fleet.calls > calls)  # type: ignore[union-attr]
            assert pool.stats().idle == 1

    asyncio.run(keep())


PROGRAM = """
import asyncio, sys
from keeppool import AsyncPoolManager, HostConfig

async def main():
    global pool
    pool = AsyncPoolManager(fleet=sys.argv[2], defaults=HostConfig(fleet_per_host=1))
    await pool.request("GET", sys.argv[1])
    others = [asyncio.create_task(pool.request("GET", sys.argv[1])) for _ in range(20)]
    await others[0]
    await asyncio.get_running_loop().run_in_executor(None, print, "done")

asyncio.run(main())
"""


def test_a_loop_that_ends_hears_of_no_new_task(redis_port: int, sites: Sites, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    site = sites.add(Behaviour(delay_s=0.01))
    command = [sys.executable, str(program), site.url, url_on(redis_port, "timeout=0.9")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("done\n", "")
