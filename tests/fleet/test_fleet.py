"""Pools in a fleet, with a real Redis: the server's own count of sockets, and what happens when Redis is not there."""

from __future__ import annotations

import asyncio
import copy
import math
import multiprocessing
import os
import pickle
import re
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from live import servers

from keeppool import AsyncPoolManager, Config, HostConfig, PoolManager, Session, Timeout
from keeppool.errors import ConfigError, PoolTimeout
from keeppool.events import FleetChanged
from keeppool.fleet import Fleet, member
from keeppool.fleet.duties import Duties
from keeppool.fleet.membership import Told
from keeppool.testing import Behaviour, Recorder, Site, Sites

redis = pytest.importorskip("redis")
CAP = 4
SHARED = HostConfig(fleet_per_host=CAP)
SLOW = Behaviour(delay_s=0.01)


def fleet_on(port: int, **options: Any) -> Fleet:
    # A machine under load may take longer than a tenth of a second.
    return Fleet(redis.Redis(port=port), "test", **{"timeout": 0.5, **options})


def get(pool: Any, url: str) -> int:
    status: int = pool.request("GET", url, timeout=Timeout(pool=30)).status
    return status


def test_two_pools_of_threads_keep_one_cap(redis_port: int, sites: Sites) -> None:
    site, fleet = sites.add(SLOW), fleet_on(redis_port)
    with PoolManager(fleet=fleet, defaults=SHARED) as one, PoolManager(fleet=fleet, defaults=SHARED) as two:
        with ThreadPoolExecutor(16) as threads:
            statuses = list(threads.map(lambda n: get((one, two)[n % 2], site.url), range(200)))
        assert statuses == [200] * 200
        assert site.peak_open <= CAP
        figures = one.stats().fleet
        assert figures is not None
        assert figures.is_up
        assert figures.keys[f"127.0.0.1:{site.port}"].members == 2
        assert re.search(r"^fleet test +Redis answers; \d+ calls; \d open, hosts: 1", str(one.stats()), re.MULTILINE)


def test_a_task_that_ends_hears_of_what_becomes_due_while_it_closes_its_client(
    redis_port: int, sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asked on for a request that came in this moment: it waited until it gave up."""
    import redis.asyncio

    monkeypatch.setattr(member, "LINGER", 0.0)
    site = sites.add(Behaviour(keep_alive=False))

    async def twice() -> list[int]:
        fleet = Fleet(redis.asyncio.Redis(port=redis_port), "test", timeout=0.5)
        async with AsyncPoolManager(fleet=fleet, defaults=SHARED) as pool:

            async def ask() -> int:
                return (await pool.request("GET", site.url, timeout=Timeout(pool=20))).status

            meanwhile: list[asyncio.Task[int]] = []
            disconnect = redis.asyncio.ConnectionPool.disconnect

            async def disconnect_slowly(self: Any, *arguments: Any) -> None:
                if not meanwhile:
                    meanwhile.append(asyncio.create_task(ask()))
                    await asyncio.sleep(0)
                await disconnect(self, *arguments)

            monkeypatch.setattr(redis.asyncio.ConnectionPool, "disconnect", disconnect_slowly)
            first = await ask()
            async with asyncio.timeout(20):
                while not meanwhile:  # noqa: ASYNC110 - nobody tells of a task that ends
                    await asyncio.sleep(0.01)
            return [first, await meanwhile[0]]

    assert asyncio.run(twice()) == [200, 200]


def test_two_pools_of_tasks_keep_one_cap(redis_port: int, sites: Sites) -> None:
    import redis.asyncio

    site = sites.add(SLOW)

    async def crowd() -> None:
        fleet = Fleet(redis.asyncio.Redis(port=redis_port), "test")
        async with (
            AsyncPoolManager(fleet=fleet, defaults=SHARED) as one,
            AsyncPoolManager(fleet=fleet, defaults=SHARED) as two,
        ):
            await asyncio.gather(
                *((one, two)[n % 2].request("GET", site.url, timeout=Timeout(pool=30)) for n in range(200))
            )

    asyncio.run(crowd())
    assert site.peak_open <= CAP


def test_redis_hears_of_a_dial_that_was_broken_off_when_its_socket_is_closed(redis_port: int) -> None:
    """Its end takes some turns of the loop; whoever gets the permit must not be at the server before."""
    import redis.asyncio

    async def breaks_off(server: socket.socket) -> None:
        port = server.getsockname()[1]
        fleet = Fleet(redis.asyncio.Redis(port=redis_port), "test", timeout=0.5)
        async with AsyncPoolManager(fleet=fleet, defaults=SHARED) as manager:
            pool = manager._pool
            asked = asyncio.create_task(manager.request("GET", f"https://127.0.0.1:{port}/"))
            dialled, _ = await asyncio.get_running_loop().sock_accept(server)
            with dialled:
                dialled.setblocking(False)
                assert await asyncio.get_running_loop().sock_recv(dialled, 1 << 16), "the handshake has begun"
                asked.cancel()
                await asyncio.wait([asked])
                told = Told(0, math.inf, is_wanted=True, starts=[], hold=0.0, parties=None)
                pool.fleet_told(f"127.0.0.1:{port}", told)
                await pool.fleet_settled()
                assert dialled.recv(1) == b"", "it is closed by now, or this raises BlockingIOError"

    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        asyncio.run(breaks_off(silent))


def test_a_reused_request_makes_no_call(redis_port: int, sites: Sites) -> None:
    site = sites.add(Behaviour())
    with PoolManager(fleet=fleet_on(redis_port), defaults=SHARED) as pool:
        get(pool, site.url)
        calls = pool.stats().fleet.calls  # type: ignore[union-attr]
        for _ in range(50):
            get(pool, site.url)
        assert pool.stats().fleet.calls <= calls + 1  # type: ignore[union-attr]  # a renewal may fall into it


def test_who_comes_later_has_its_share_soon_where_one_has_all(redis_port: int, sites: Sites) -> None:
    """Who has idle connections and a lease of a minute calls often enough all the same, as all of the cap is taken."""
    site, fleet = sites.add(SLOW), fleet_on(redis_port, ttl=60)
    with PoolManager(fleet=fleet, defaults=SHARED) as one, PoolManager(fleet=fleet, defaults=SHARED) as two:
        for response in [one.request("GET", f"{site.url}/bytes/1000000", stream=True) for _ in range(CAP)]:
            response.read()
        assert one.stats().idle == CAP
        assert two.request("GET", site.url, timeout=Timeout(pool=10)).status == 200
        assert site.peak_open <= CAP


def test_origins_of_one_key_share_it(redis_port: int, sites: Sites) -> None:
    """Two sites that are one server, as the configuration says; an idle connection to one makes way for the other."""
    one, two = sites.add(Behaviour()), sites.add(Behaviour())
    entry = HostConfig(fleet_per_host=1, fleet_key=lambda host, _: host)
    with PoolManager(fleet=fleet_on(redis_port), defaults=entry) as pool:
        for site in (one, two, one):
            get(pool, site.url)
        assert pool.stats().open == 1


@pytest.mark.parametrize("key", ["a\udc80", "{a}", "", b"a", None])
def test_a_key_that_a_function_makes_has_to_be_text_for_redis(key: Any, redis_port: int, sites: Sites) -> None:
    entry = HostConfig(fleet_per_host=1, fleet_key=lambda host, _: key)
    with PoolManager(fleet=fleet_on(redis_port), defaults=entry) as pool:
        with pytest.raises(ConfigError, match="without braces and lone surrogates"):
            pool.request("GET", sites.add(Behaviour()).url)
        assert pool.stats().open == 0


def test_the_path_of_a_unix_socket_that_is_no_text_is_a_key_all_the_same(tmp_path: Path, redis_port: int) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    entry = HostConfig(fleet_per_host=1, unix_socket=path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        with PoolManager(fleet=fleet_on(redis_port), defaults=entry) as pool:
            response = ThreadPoolExecutor(1).submit(pool.request, "GET", "http://localhost/")
            accepted, _ = listener.accept()
            with accepted:
                accepted.recv(65536)
                accepted.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
                assert response.result().status == 204
                assert pool.stats().fleet.is_up is True  # type: ignore[union-attr]


@pytest.mark.parametrize("policy", ["share", "open"])
def test_without_redis_requests_go_on(policy: str, sites: Sites, recorder: Recorder) -> None:
    site = sites.add(SLOW)
    with PoolManager(fleet=fleet_on(servers.free_port(), when_down=policy), defaults=SHARED, on_event=recorder) as pool:
        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(lambda _: get(pool, site.url), range(20))) == [200] * 20
        assert site.peak_open == 1 if policy == "share" else site.peak_open <= 6
        assert recorder.of(FleetChanged)[0].is_up is False
        assert pool.stats().fleet.is_up is False  # type: ignore[union-attr]
        assert f"Redis does not answer, and when_down is {policy}; " in str(pool.stats())


def test_without_redis_nothing_new_is_dialled_where_that_is_the_policy(sites: Sites) -> None:
    site = sites.add(Behaviour())
    with PoolManager(fleet=fleet_on(servers.free_port(), when_down="closed"), defaults=SHARED) as pool:
        with pytest.raises(PoolTimeout) as caught:
            pool.request("GET", site.url, timeout=Timeout(pool=0.3))
        assert caught.value.waits_for == "fleet"
        assert str(caught.value).endswith(", as its Redis does not answer and when_down is closed")
        assert site.opened == 0


def test_redis_comes_back_and_is_asked_again(tmp_path: Path, sites: Sites, recorder: Recorder) -> None:
    site = sites.add(SLOW)
    with (
        servers.redis(tmp_path) as server,
        PoolManager(fleet=fleet_on(server.port, ttl=3), defaults=SHARED, on_event=recorder) as pool,
    ):
        get(pool, site.url)
        server.stop()
        recorder.wait_for(FleetChanged, timeout=20)
        assert get(pool, site.url) == 200, "a connection that is open is used"
        again = servers.Redis(servers.program("redis-server"), server.port, tmp_path)
        try:
            again.wait_until_ready()
            recorder.wait_for(FleetChanged, 2, timeout=30)
            assert [event.is_up for event in recorder.of(FleetChanged)][:2] == [False, True]
        finally:
            again.stop()


def test_while_redis_is_left_alone_who_asks_is_told_what_holds_and_soon() -> None:
    """A paced request asks twice, for its start and for a permit; the pause after some failures is half a minute."""
    duties = Duties(20, "share")
    duties.due("host", 0)
    duties.begun("host")
    for _ in range(10):
        duties.failed(0)
    duties.postponed("host", 0, claims=True, has_cap=False)
    assert not duties.ready(1)
    duties.due("host", 1)
    assert duties.ready(1) == ["host"], "it has not been told of a cap yet"
    assert not duties.may_call(1)
    duties.postponed("host", 1, claims=True, has_cap=True)
    duties.due("host", 1)
    assert not duties.ready(1), "it has just been told, so this is no reason to tell it for ever"
    assert duties.ready(1.5) == ["host"]
    assert not duties.may_call(1.5)


def _hold(port: int, url: str, told: Any) -> None:
    pool = PoolManager(fleet=fleet_on(port, ttl=3), defaults=SHARED)
    held = [pool.request("GET", f"{url}/bytes/1000000", stream=True) for _ in range(CAP)]
    told.send(len(held))
    time.sleep(60)


def test_what_a_killed_process_held_is_free_when_its_lease_is_over(redis_port: int, sites: Sites) -> None:
    site = sites.add(Behaviour())
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_hold, args=(redis_port, site.url, theirs), daemon=True)
    process.start()
    assert ours.poll(30)
    assert ours.recv() == CAP
    with PoolManager(fleet=fleet_on(redis_port, ttl=3), defaults=SHARED) as pool:
        with pytest.raises(PoolTimeout):
            pool.request("GET", site.url, timeout=Timeout(pool=0.2))
        os.kill(process.pid, signal.SIGKILL)  # type: ignore[arg-type]
        process.join()
        with ThreadPoolExecutor(CAP) as threads:
            assert list(threads.map(lambda _: get(pool, site.url), range(CAP))) == [200] * CAP


def test_a_pace_is_the_fleets(redis_port: int, sites: Sites) -> None:
    """Bounded from below: two pools together take as long as one would."""
    site, fleet = sites.add(Behaviour()), fleet_on(redis_port)
    entry = HostConfig(pace=20)
    with PoolManager(fleet=fleet, defaults=entry) as one, PoolManager(fleet=fleet, defaults=entry) as two:
        began = time.monotonic()
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda n: get((one, two)[n % 2], site.url), range(20)))
        assert time.monotonic() - began >= 18 / 20


def test_a_retry_after_that_one_hears_holds_the_others(redis_port: int, sites: Sites) -> None:
    site, fleet = sites.add(Behaviour(status=429, headers=(("Retry-After", "100"),))), fleet_on(redis_port)
    entry = HostConfig(pace=1000)
    with PoolManager(fleet=fleet, defaults=entry) as one, PoolManager(fleet=fleet, defaults=entry) as two:
        get(one, site.url)

        def ask_on() -> None:
            for _ in range(1000):  # What was reserved before it was heard may still go.
                two.request("GET", site.url, timeout=Timeout(pool=2))

        with pytest.raises(PoolTimeout) as caught:
            ask_on()
        assert caught.value.waits_for == "retry-after"


def test_a_fleet_can_be_pickled_with_its_pool(redis_port: int, sites: Sites) -> None:
    site = sites.add(Behaviour())
    with Session(fleet=fleet_on(redis_port), defaults=SHARED) as session:
        session.get(site.url)
        with pickle.loads(pickle.dumps(session)) as other:
            assert other.get(site.url).status_code == 200
            members = {session.pool.stats().fleet.member, other.pool.stats().fleet.member}
            assert len(members) == 2


def test_a_fleet_is_the_same_in_a_copy_of_the_settings_it_stands_in() -> None:
    """Scrapy copies its settings; a client of a cluster has locks, of which there is no copy."""
    fleet = Fleet(type("Cluster", (), {"evalsha": None, "lock": threading.Lock()})())
    assert copy.deepcopy({"KEEPPOOL_FLEET": fleet})["KEEPPOOL_FLEET"] is fleet


def test_a_forked_child_is_a_member_of_its_own(redis_port: int) -> None:
    with Site() as site, PoolManager(fleet=fleet_on(redis_port), defaults=SHARED) as pool:
        get(pool, site.url)
        mine = pool.stats().fleet.member  # type: ignore[union-attr]
        ours, theirs = socket.socketpair()
        child = os.fork()
        if not child:
            try:
                assert get(pool, site.url) == 200
                theirs.sendall(pool.stats().fleet.member.encode())  # type: ignore[union-attr]
            finally:
                os._exit(0)
        with ours, theirs:
            ours.settimeout(30)
            theirs_name = ours.recv(200).decode()
        os.waitpid(child, 0)
        assert theirs_name != mine
        assert get(pool, site.url) == 200


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda client: Fleet(None), "client"),
        (lambda client: Fleet("redis://localhost"), "client"),
        (lambda client: Fleet(type(client)), "client"),
        (lambda client: Fleet(redis), "client"),
        (lambda client: Fleet(client, ""), "name"),
        (lambda client: Fleet(client, ttl="20"), "ttl"),
        (lambda client: Fleet(client, ttl=None), "ttl"),
        (lambda client: Fleet(client, ttl=math.nan), "ttl"),
        (lambda client: Fleet(client, timeout=None), "timeout"),
        (lambda client: Config(fleet=Fleet), "fleet"),
        (lambda client: HostConfig(fleet_key="{a}"), "fleet_key"),
        (lambda client: Fleet(client, "a:b"), "name"),
        (lambda client: Fleet(client, ttl=0.5), "ttl"),
        (lambda client: Fleet(client, timeout=10), "timeout"),
        (lambda client: Fleet(client, when_down="panic"), "when_down"),
        (lambda client: AsyncPoolManager(fleet=Fleet(client)), "fleet"),
        (lambda client: Config(fleet="redis://localhost"), "fleet"),
        (lambda client: HostConfig(fleet_per_host=0), "fleet_per_host"),
        (lambda client: HostConfig(fleet_key=""), "fleet_key"),
        (lambda client: HostConfig(fleet_key="a\udc80"), "fleet_key"),
        (lambda client: Fleet(client, "a\udc80"), "name"),
    ],
    ids=range(21),
)
def test_what_cannot_be_meant_is_named(make: Any, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make(redis.Redis())
    assert caught.value.field == field
