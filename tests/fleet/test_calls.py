"""How often Redis is asked, by its own count; and a Redis that hangs, stops and comes back while requests go on."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import pytest
from live import servers

from keeppool import AsyncPoolManager, HostConfig, Limits, PoolManager, Timeout
from keeppool.errors import PoolTimeout
from keeppool.events import FleetChanged, RequestQueued
from keeppool.fleet import Fleet
from keeppool.testing import Behaviour, Recorder, Site, Sites

redis = pytest.importorskip("redis")

CAP = 4
SHARED = HostConfig(fleet_per_host=CAP)
#: So long that no renewal falls into a test.
NEVER_RENEWED = "ttl=3600"


def url_on(port: int, query: str = NEVER_RENEWED) -> str:
    return f"redis://127.0.0.1:{port}?name=test&timeout=0.5&{query}"


class Calls:
    """Counts the calls of the script."""

    def __init__(self, port: int) -> None:
        self._client = redis.Redis(port=port)

    @property
    def made(self) -> int:
        told = self._client.info("commandstats")
        return sum(told[name]["calls"] for name in ("cmdstat_evalsha", "cmdstat_eval") if name in told)


def get(pool: Any, url: str) -> int:
    status: int = pool.request("GET", url, timeout=Timeout(pool=60)).status
    return status


# Counts


def test_a_reused_request_makes_no_call(redis_port: int, sites: Sites) -> None:
    site, calls = sites.add(), Calls(redis_port)
    with PoolManager(fleet=url_on(redis_port), defaults=SHARED) as pool:
        get(pool, site.url)
        before = calls.made
        assert [get(pool, site.url) for _ in range(200)] == [200] * 200
        assert calls.made == before

    async def by_tasks() -> None:
        async with AsyncPoolManager(fleet=url_on(redis_port), defaults=SHARED) as pool:
            await pool.request("GET", site.url)
            before = calls.made
            for _ in range(200):
                await pool.request("GET", site.url)
            assert calls.made == before

    asyncio.run(by_tasks())


@pytest.mark.parametrize("pools", [1, 2])
def test_under_load_one_call_does_for_four_dials_and_more(redis_port: int, sites: Sites, pools: int) -> None:
    """A server that closes each connection: each request is a dial."""
    site, calls = sites.add(Behaviour(keep_alive=False, delay_s=0.003)), Calls(redis_port)
    made = [PoolManager(Limits(per_host=8), fleet=url_on(redis_port), defaults=SHARED) for _ in range(pools)]
    with ThreadPoolExecutor(16) as threads:
        assert set(threads.map(lambda n: get(made[n % pools], site.url), range(400))) == {200}
    assert site.opened == 400
    assert calls.made <= site.opened / 4
    for pool in made:
        pool.close()


@pytest.mark.parametrize("pools", [1, 2])
def test_with_a_pace_starts_are_reserved_in_batches(redis_port: int, sites: Sites, pools: int) -> None:
    """A start that was reserved and comes a moment too early is used all the same, so none is bought twice."""
    site, calls = sites.add(), Calls(redis_port)
    entry = HostConfig(pace=100)
    made = [PoolManager(fleet=url_on(redis_port), defaults=entry) for _ in range(pools)]
    with ThreadPoolExecutor(24) as threads:
        assert set(threads.map(lambda n: get(made[n % pools], site.url), range(120))) == {200}
    assert calls.made <= 120 / 2
    for pool in made:
        pool.close()


class Watched(redis.Connection):  # type: ignore[misc]
    """A connection that notes how many calls each of its writes holds, and which thread it was."""

    batches: list[int] = []  # noqa: RUF012  # each test sets its own
    threads: set[str] = set()  # noqa: RUF012

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        packed = command if isinstance(command, (list, tuple)) else [command]
        count = sum(bytes(part).count(b"\r\nEVALSHA\r\n") for part in packed)
        if count:
            self.batches.append(count)
        self.threads.add(threading.current_thread().name)
        super().send_packed_command(command, check_health)


def watched(port: int, monkeypatch: pytest.MonkeyPatch, ttl: float) -> Fleet:
    monkeypatch.setattr(Watched, "batches", [])
    monkeypatch.setattr(Watched, "threads", set())
    pool = redis.ConnectionPool(connection_class=Watched, host="127.0.0.1", port=port)
    return Fleet(redis.Redis(connection_pool=pool), "test", ttl=ttl, timeout=0.45)


def test_renewals_of_all_hosts_go_in_one_pipeline(redis_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet, hosts = watched(redis_port, monkeypatch, ttl=2), 12
    with Sites() as sites, PoolManager(fleet=fleet, defaults=SHARED) as pool:
        for number in range(hosts):
            get(pool, sites.add(host=f"127.0.0.{number + 2}").url)
        pause = threading.Event()
        while hosts not in Watched.batches:  # bounded by the test's own time limit
            pause.wait(0.05)
    assert Watched.threads == {"keeppool-fleet"}, "somebody else has spoken with Redis"


# While Redis hangs


def stopped(port: int) -> int:
    """Stop a Redis as a machine that swaps would: it takes connections, and says nothing."""
    pid = int(redis.Redis(port=port).info("server")["process_id"])
    os.kill(pid, signal.SIGSTOP)
    return pid


def test_reused_requests_go_on_while_a_call_hangs(redis_port: int, sites: Sites, recorder: Recorder) -> None:
    """From the beginning of a call that hangs until it is given up they are answered as ever, and nobody queues."""
    site = sites.add()
    fleet = f"redis://127.0.0.1:{redis_port}?name=test&ttl=4&timeout=0.9"
    with PoolManager(fleet=fleet, defaults=SHARED, on_event=recorder) as pool:
        get(pool, site.url)
        pid = stopped(redis_port)
        try:
            made, meanwhile = pool.stats().fleet.calls, 0  # type: ignore[union-attr]
            while not recorder.of(FleetChanged):
                get(pool, site.url)
                meanwhile += pool.stats().fleet.calls > made  # type: ignore[union-attr]
        finally:
            os.kill(pid, signal.SIGCONT)
        assert meanwhile >= 20
        assert site.opened == 1
        assert [event.request for event in recorder.of(RequestQueued)] == [1], "the first one, which had to dial"


def test_reused_requests_of_tasks_go_on_while_a_call_hangs(redis_port: int, sites: Sites, recorder: Recorder) -> None:
    site = sites.add()

    async def ask() -> int:
        fleet = f"redis://127.0.0.1:{redis_port}?name=test&ttl=4&timeout=0.9"
        async with AsyncPoolManager(fleet=fleet, defaults=SHARED, on_event=recorder) as pool:
            await pool.request("GET", site.url)
            pid = stopped(redis_port)
            try:
                made, meanwhile = pool.stats().fleet.calls, 0  # type: ignore[union-attr]
                while not recorder.of(FleetChanged):
                    await pool.request("GET", site.url)
                    meanwhile += pool.stats().fleet.calls > made  # type: ignore[union-attr]
            finally:
                os.kill(pid, signal.SIGCONT)
            return meanwhile

    assert asyncio.run(ask()) >= 20
    assert site.opened == 1
    assert [event.request for event in recorder.of(RequestQueued)] == [1], "the first one, which had to dial"


# Redis stopped, and started again


class Load:
    """Threads that ask as often as they can, until the end of the block."""

    def __init__(self, pool: PoolManager, url: str, threads: int = 8) -> None:
        self._pool, self._url, self._over = pool, url, threading.Event()
        self.statuses: list[int] = []
        self._threads = [threading.Thread(target=self._ask) for _ in range(threads)]

    def _ask(self) -> None:
        while not self._over.is_set():
            try:
                self.statuses.append(get(self._pool, self._url))
            except Exception:
                self.statuses.append(0)
                raise

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def more(self, site: Site, count: int) -> None:
        """Wait until so many more requests have been answered."""
        goal = len(self.statuses) + count
        assert site.wait_for(lambda: len(self.statuses) >= goal, 60)


@pytest.mark.parametrize("policy", ["share", "closed", "open"])
def test_no_request_is_lost_while_redis_is_stopped_and_started(
    policy: str, tmp_path: Path, sites: Sites, recorder: Recorder
) -> None:
    """The cap holds where the policy keeps one, nothing is dialled where it forbids that; then all is as before."""
    site = sites.add(Behaviour(delay_s=0.003))
    with servers.redis(tmp_path) as server:
        fleet = url_on(server.port, f"ttl=3&when_down={policy}")
        with PoolManager(fleet=fleet, defaults=SHARED, on_event=recorder) as pool, Load(pool, site.url) as load:
            load.more(site, 100)
            assert site.wait_for(lambda: site.open_now == CAP)
            opened = site.opened
            server.stop()
            recorder.wait_for(FleetChanged, timeout=30)
            load.more(site, 200)
            if policy == "open":
                assert site.wait_for(lambda: site.open_now == Limits().per_host)
            else:
                assert (site.opened, site.peak_open) == (opened, CAP)
            again = servers.Redis(servers.program("redis-server"), server.port, tmp_path)
            try:
                again.wait_until_ready()
                recorder.wait_for(FleetChanged, 2, timeout=60)
                load.more(site, 200)
                assert site.wait_for(lambda: site.open_now == CAP, 30)
                assert Calls(server.port).made
            finally:
                load.__exit__()
                again.stop()
    assert set(load.statuses) == {200}
    assert [event.is_up for event in recorder.of(FleetChanged)][:2] == [False, True]


@pytest.mark.parametrize("for_tasks", [False, True])
def test_where_nothing_is_to_be_dialled_nothing_is_in_the_place_of_what_was_open(
    for_tasks: bool, tmp_path: Path, sites: Sites, recorder: Recorder
) -> None:
    """Its servers close each connection; a caller that comes then waits until Redis is back, or gives up."""
    site = sites.add(Behaviour(keep_alive=False))
    url, late = f"{site.url}/bytes/1000000", Timeout(pool=1)

    def by_threads(server: servers.RealServer, fleet: str) -> str:
        with PoolManager(fleet=fleet, defaults=SHARED, on_event=recorder) as pool:
            held = [pool.request("GET", url, stream=True) for _ in range(2)]
            server.stop()
            recorder.wait_for(FleetChanged, timeout=30)
            with ThreadPoolExecutor(1) as threads:
                asked = threads.submit(pool.request, "GET", site.url, timeout=late)
                assert site.wait_for(lambda: pool.stats().waiting == 1)
                for response in held:
                    response.read()
            with pytest.raises(PoolTimeout) as caught:
                asked.result()
            return str(caught.value.waits_for)

    async def by_tasks(server: servers.RealServer, fleet: str) -> str:
        async with AsyncPoolManager(fleet=fleet, defaults=SHARED, on_event=recorder) as pool:
            held = [await pool.request("GET", url, stream=True) for _ in range(2)]
            server.stop()
            await asyncio.to_thread(recorder.wait_for, FleetChanged, timeout=30)
            asked = asyncio.create_task(pool.request("GET", site.url, timeout=late))
            while not pool.stats().waiting:  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0)
            for response in held:
                await response.read()
            with pytest.raises(PoolTimeout) as caught:
                await asked
            return str(caught.value.waits_for)

    with servers.redis(tmp_path) as server:
        fleet = url_on(server.port, "ttl=3&when_down=closed")
        waited_for = asyncio.run(by_tasks(server, fleet)) if for_tasks else by_threads(server, fleet)
    assert (site.opened, waited_for) == (2, "fleet")


def test_whoever_finds_a_connection_dead_waits_until_redis_is_back(
    tmp_path: Path, sites: Sites, recorder: Recorder
) -> None:
    """Its server has closed it. The caller is in the queue then, and served by a dial; for tasks as well."""
    one, other, patient = sites.add(), sites.add(), Timeout(pool=50)

    async def ask(pool: AsyncPoolManager) -> int:
        assert (await pool.request("GET", other.url)).status == 200
        while pool.stats().fleet.is_up:  # type: ignore[union-attr]  # noqa: ASYNC110 - nobody tells a task of it
            await asyncio.sleep(0.01)
        # The loop has no turn between the close and the request, which so finds it by itself.
        other.drop_idle()
        asked = asyncio.create_task(pool.request("GET", other.url, timeout=patient))
        await asyncio.sleep(0)
        assert pool.stats().waiting == 1
        return (await asked).status

    async def by_tasks(fleet: str) -> int:
        async with AsyncPoolManager(fleet=fleet, defaults=SHARED) as pool:
            status = await ask(pool)
            assert (pool.stats().fleet.is_up, pool.stats().reused) == (True, 0)  # type: ignore[union-attr]
            return status

    with servers.redis(tmp_path) as server, ThreadPoolExecutor(2) as threads:
        fleet = url_on(server.port, "ttl=3&when_down=closed")
        by_task = threads.submit(asyncio.run, by_tasks(fleet))
        with PoolManager(fleet=fleet, defaults=SHARED, on_event=recorder) as pool:
            get(pool, one.url)
            assert other.wait_for(lambda: other.requests == 1)
            server.stop()
            recorder.wait_for(FleetChanged, timeout=30)
            one.drop_idle()
            by_thread = threads.submit(pool.request, "GET", one.url, timeout=patient)
            assert one.wait_for(lambda: pool.stats().waiting == 1)
            assert one.opened == 1
            again = servers.Redis(servers.program("redis-server"), server.port, tmp_path)
            try:
                again.wait_until_ready()
                assert (by_thread.result(60).status, by_task.result(60)) == (200, 200)
            finally:
                again.stop()
    assert (one.opened, other.opened) == (2, 2)


# What is learned while Redis is away. A host without a cap is forgotten between two requests, as nothing is open there.

PACED = HostConfig(fleet_per_host=None, pace=1000)


def test_a_retry_after_that_was_heard_while_redis_was_away_is_told_when_it_is_back(
    tmp_path: Path, sites: Sites, recorder: Recorder
) -> None:
    """It comes so late that nothing is known of its host any more."""
    limits, port = Limits(per_host=None), servers.free_port()
    site = sites.add(Behaviour(status=429, delay_s=1.6, headers=(("Retry-After", "100"), ("Connection", "close"))))
    with PoolManager(limits, fleet=url_on(port), defaults=PACED, on_event=recorder) as pool:
        assert get(pool, site.url) == 429
        assert recorder.of(FleetChanged)[0].is_up is False
        server = servers.Redis(servers.program("redis-server"), port, tmp_path)
        try:
            server.wait_until_ready()
            recorder.wait_for(FleetChanged, 2, timeout=30)
            with PoolManager(limits, fleet=url_on(port), defaults=PACED) as other, pytest.raises(PoolTimeout) as caught:
                other.request("GET", site.url, timeout=Timeout(pool=1))
            assert caught.value.waits_for == "retry-after"
        finally:
            server.stop()


def test_a_pace_is_the_fleets_again_when_redis_is_back(tmp_path: Path, sites: Sites) -> None:
    """Whoever had kept it by itself, and had nothing open, asks again with its next request."""
    limits, port, pause = Limits(per_host=None), servers.free_port(), threading.Event()
    site = sites.add(Behaviour(keep_alive=False))
    with PoolManager(limits, fleet=url_on(port), defaults=PACED) as pool:
        assert get(pool, site.url) == 200
        while pool.stats().fleet.keys:  # type: ignore[union-attr]  # bounded by the test's own time limit
            pause.wait(0.01)
        server = servers.Redis(servers.program("redis-server"), port, tmp_path)
        try:
            server.wait_until_ready()
            while not pool.stats().fleet.is_up:  # type: ignore[union-attr]
                assert get(pool, site.url) == 200
                pause.wait(0.05)
            assert Calls(port).made
        finally:
            server.stop()
