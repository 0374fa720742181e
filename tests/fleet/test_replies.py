"""What may stand where a fleet's Redis should, and what it may say: no request is lost, no other host held up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from keeppool import AsyncPoolManager, HostConfig, Pace, PoolManager, Timeout
from keeppool.cli import main
from keeppool.errors import PoolTimeout
from keeppool.events import FleetChanged
from keeppool.fleet import Fleet
from keeppool.fleet.redis_client import Recipe
from keeppool.fleet.script import PARTS, keys_of, reply_of
from keeppool.testing import Behaviour, Recorder, ScriptedServer, Sites

redis = pytest.importorskip("redis")
CAP = 4
SHARED = HostConfig(fleet_per_host=CAP)


def pool_on(port: int, **options: Any) -> PoolManager:
    return PoolManager(fleet=f"redis://127.0.0.1:{port}?name=test&timeout=0.5", defaults=SHARED, **options)


def get(pool: Any, url: str) -> int:
    status: int = pool.request("GET", url, timeout=Timeout(pool=30)).status
    return status


@pytest.mark.parametrize("part", PARTS)
def test_a_key_of_another_kind_is_in_the_way_of_its_host_alone(redis_port: int, sites: Sites, part: str) -> None:
    """Somebody else uses one of the names: that host goes by the policy, the others by the cap. For tasks as well."""
    foiled, other = sites.add(Behaviour(delay_s=0.005)), sites.add(Behaviour(delay_s=0.005))
    client = redis.Redis(port=redis_port)
    name = keys_of("test", f"127.0.0.1:{foiled.port}")[PARTS.index(part)]
    client.lpush(name, "of another kind")

    async def crowd() -> list[int]:
        fleet = f"redis://127.0.0.1:{redis_port}?name=test&timeout=0.5"
        async with AsyncPoolManager(fleet=fleet, defaults=SHARED) as pool:
            urls = [foiled.url, other.url] * 20
            return [one.status for one in await asyncio.gather(*(pool.request("GET", url) for url in urls))]

    with pool_on(redis_port) as pool, ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda n: get(pool, (foiled, other)[n % 2].url), range(60))) == {200}
        assert pool.stats().fleet.is_up  # type: ignore[union-attr]
    assert set(asyncio.run(crowd())) == {200}
    assert max(foiled.peak_open, other.peak_open) <= CAP


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        b"+OK\r\n" * 20,
        b":1\r\n" * 20,
        b"*-1\r\n" * 20,
        b"*1\r\n$1\r\nx\r\n" * 20,
        (b"*8\r\n" + b"$3\r\nnan\r\n" * 8) * 20,
        (b"*8\r\n" + b":-5\r\n" * 8) * 20,
        (b"*8\r\n" + b":99999999999999999999999\r\n" * 8) * 20,
        b"-LOADING Redis is loading the dataset in memory\r\n" * 20,
        b"-READONLY You can't write against a read only replica.\r\n" * 20,
        b"-OOM command not allowed when used memory > 'maxmemory'.\r\n" * 20,
        b"-NOSCRIPT No matching script.\r\n" * 20,
        b"-MASTERDOWN Link with MASTER is down\r\n" * 20,
        b"\x00\xff" * 100,
        b"",
    ],
    ids=lambda said: said[:14],
)
def test_whatever_stands_there_no_request_is_lost(said: bytes, sites: Sites, recorder: Recorder) -> None:
    """It counts as no Redis: the policy holds. What a healthy one would have granted is not."""
    site = sites.add(Behaviour(delay_s=0.002))

    def speak(connection: Any) -> None:
        while True:
            connection.read()
            connection.send(said)
            if not said:
                return

    with ScriptedServer(speak) as server:
        port = server.port

        async def crowd() -> list[int]:
            fleet = f"redis://127.0.0.1:{port}?name=test&timeout=0.2"
            async with AsyncPoolManager(fleet=fleet, defaults=SHARED) as pool:
                return [one.status for one in await asyncio.gather(*(pool.request("GET", site.url) for _ in range(20)))]

        fleet = f"redis://127.0.0.1:{port}?name=test&timeout=0.2"
        with PoolManager(fleet=fleet, defaults=SHARED, on_event=recorder) as pool, ThreadPoolExecutor(4) as threads:
            assert set(threads.map(lambda _: get(pool, site.url), range(20))) == {200}
            told = recorder.of(FleetChanged)
            assert [event.is_up for event in told] == [False]
        assert set(asyncio.run(crowd())) == {200}


def test_a_reply_that_comes_byte_by_byte_without_end_is_waited_for_no_longer(sites: Sites, recorder: Recorder) -> None:
    """Each read of the client is quick."""
    site = sites.add()

    def dribble(connection: Any) -> None:
        connection.read()
        pause = threading.Event()
        with contextlib.suppress(OSError):
            connection.send(b"$1000000\r\n")
            while not pause.wait(0.02):
                connection.send(b"x")

    async def by_task(fleet: str) -> int:
        async with AsyncPoolManager(fleet=fleet, defaults=SHARED) as pool:
            return (await pool.request("GET", site.url, timeout=Timeout(pool=20))).status

    with ScriptedServer(dribble) as server:
        fleet = f"redis://127.0.0.1:{server.port}?name=test&timeout=0.2"
        with PoolManager(fleet=fleet, defaults=SHARED, on_event=recorder) as pool:
            assert pool.request("GET", site.url, timeout=Timeout(pool=20)).status == 200
            assert [event.is_up for event in recorder.of(FleetChanged)] == [False]
        assert asyncio.run(by_task(fleet)) == 200


@pytest.mark.parametrize(
    "raw", [None, 5, b"OK", [], [1] * 7, [1] * 7 + ["x"], [1] * 7 + ["inf"], [-1] * 8, {}, [None] * 8]
)
def test_what_is_no_reply_is_refused(raw: Any) -> None:
    with pytest.raises(ValueError, match="no reply"):
        reply_of(raw)


def test_a_script_that_is_flushed_all_the_time_is_sent_again(redis_port: int, sites: Sites) -> None:
    client, over = redis.Redis(port=redis_port), threading.Event()

    def flush() -> None:
        while not over.is_set():
            client.script_flush()

    flushing = threading.Thread(target=flush)
    flushing.start()
    try:
        hosts = [sites.add(Behaviour(keep_alive=False)) for _ in range(3)]
        with pool_on(redis_port) as pool, ThreadPoolExecutor(8) as threads:
            assert set(threads.map(lambda n: get(pool, hosts[n % 3].url), range(60))) == {200}
            assert pool.stats().fleet.failures == 0  # type: ignore[union-attr]
    finally:
        over.set()
        flushing.join()


def test_a_replica_that_takes_no_writes_is_no_redis(redis_port: int, sites: Sites) -> None:
    client = redis.Redis(port=redis_port)
    client.execute_command("REPLICAOF", "127.0.0.1", "1")
    site = sites.add()
    with pool_on(redis_port) as pool:
        assert get(pool, site.url) == 200
        assert pool.stats().fleet.is_up is False  # type: ignore[union-attr]


def test_a_redis_that_refuses_is_connected_to_anew(redis_port: int, sites: Sites) -> None:
    """It has become a replica; its name may lead to the new master by the next time. For tasks as well."""
    admin, site, pause = redis.Redis(port=redis_port), sites.add(), threading.Event()

    def is_left() -> bool:
        return len(admin.client_list(_type="normal")) == 1

    async def by_tasks() -> None:
        fleet = f"redis://127.0.0.1:{redis_port}?name=test&timeout=0.5"
        async with AsyncPoolManager(fleet=fleet, defaults=SHARED) as pool:
            assert (await pool.request("GET", site.url)).status == 200
            while not is_left():
                await asyncio.to_thread(pause.wait, 0.01)
            assert pool.stats().fleet.is_up is False  # type: ignore[union-attr]

    admin.execute_command("REPLICAOF", "127.0.0.1", "1")
    with pool_on(redis_port) as pool:
        assert get(pool, site.url) == 200
        while not is_left():  # bounded by the test's own time limit
            pause.wait(0.01)
        assert pool.stats().fleet.is_up is False  # type: ignore[union-attr]
    asyncio.run(by_tasks())


def test_a_redis_without_memory_loses_no_request(redis_port: int, sites: Sites) -> None:
    redis.Redis(port=redis_port).config_set("maxmemory", "1")
    site = sites.add()
    with pool_on(redis_port) as pool:
        assert get(pool, site.url) == 200


#: The page's sentence on rights: the keys, and the commands of members and of `keeppool fleet`.
RIGHTS = re.compile(r"An ACL needs `(~[^`]+)`.* and the commands (.*?); `keeppool fleet` needs (.*?)\stoo", re.DOTALL)


def test_a_user_with_the_rights_that_the_page_names_can_do_all_of_it(
    redis_port: int, sites: Sites, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Cap, pace, an end, a Retry-After, the command; and nothing of another fleet."""
    found = RIGHTS.search(Path("docs/fleet.md").read_text(encoding="utf-8"))
    assert found is not None
    keys, commands, of_command = (
        found[1].replace("<name>", "crawl"),
        *(re.findall("`([A-Z]+)`", found[n]) for n in (2, 3)),
    )
    admin = redis.Redis(port=redis_port)

    def allow(allowed: list[str]) -> None:
        admin.execute_command("ACL", "SETUSER", "member", "reset", "on", ">pw", keys, *(f"+{one}" for one in allowed))

    allow(commands)
    url = f"redis://member:pw@127.0.0.1:{redis_port}/0?name=crawl&timeout=0.5"
    site = sites.add(Behaviour(delay_s=0.005))
    busy = sites.add(Behaviour(status=429, headers=(("Retry-After", "1"),)))
    for pace in (Pace(per_second=1000, burst=5), Pace(interval=0.001, since="end")):
        defaults = HostConfig(fleet_per_host=2, pace=pace)
        with PoolManager(fleet=url, defaults=defaults) as one, PoolManager(fleet=url, defaults=defaults) as two:
            with ThreadPoolExecutor(6) as threads:
                assert set(threads.map(lambda n: get((one, two)[n % 2], site.url), range(20))) == {200}
            assert get(one, busy.url) == get(two, busy.url) == 429
            figures = one.stats().fleet
            assert figures is not None
            assert (figures.is_up, figures.failures) == (True, 0)
    with PoolManager(fleet=url.replace("crawl", "other"), defaults=SHARED) as pool:
        assert get(pool, site.url) == 200
        assert pool.stats().fleet.is_up is False  # type: ignore[union-attr]
    monkeypatch.setenv("KEEPPOOL_FLEET", url)
    with PoolManager(fleet=url, defaults=SHARED) as pool:
        get(pool, site.url)
        assert main(["fleet", "status"]) == 1
        allow(commands + of_command)
        assert main(["fleet", "status"]) == 0
        assert main(["fleet", "drop", "crawl", str(os.getpid())]) == 0
    assert "has lost 1 connection" in capsys.readouterr().out


def test_a_ctrl_c_while_the_thread_begins_leaves_a_member_that_works(
    redis_port: int, sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may come before the thread has started, and after: another one begins with the next call, and one goes on."""
    for before in (True, False):
        site, start = sites.add(), threading.Thread.start

        def interrupted(thread: threading.Thread, *, before: bool = before, start: Any = start) -> None:
            if thread.name != "keeppool-fleet":
                start(thread)
                return
            monkeypatch.setattr(threading.Thread, "start", start)
            if not before:
                start(thread)
            raise KeyboardInterrupt

        with pool_on(redis_port) as pool:
            monkeypatch.setattr(threading.Thread, "start", interrupted)
            with pytest.raises(KeyboardInterrupt):
                get(pool, site.url)
            assert get(pool, site.url) == 200
            mine = [one for one in threading.enumerate() if one.name == "keeppool-fleet"]
            for one in mine[:-1]:
                one.join(30)
        assert site.peak_open <= CAP


def test_where_no_thread_can_be_had_requests_wait_for_one(
    redis_port: int, sites: Sites, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody else hears of it: neither who is told of a response, nor who has to do with hosts of no fleet."""
    shared, own, start = sites.add(), sites.add(), threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "keeppool-fleet":
            raise RuntimeError("can't start new thread")
        start(thread)

    with pool_on(redis_port, hosts={f"127.0.0.1:{own.port}": HostConfig(fleet_per_host=None)}) as pool:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(PoolTimeout) as caught:
            pool.request("GET", shared.url, timeout=Timeout(pool=0.1))
        assert caught.value.waits_for == "fleet"
        assert get(pool, own.url) == 200
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(get, pool, shared.url)
            while not pool.stats().waiting:
                pass
            monkeypatch.setattr(threading.Thread, "start", start)
            assert waiting.result() == 200
    assert [one.getMessage() for one in caplog.records if one.name == "keeppool.fleet"] == [
        "fleet test: nobody can ask Redis, as there is no thread (can't start new thread)"
    ]


# What a client was made of


def test_a_client_of_the_programs_own_arguments_is_made_again_with_them(redis_port: int) -> None:
    """Objects too; pickled, as far as they can be."""
    admin = redis.Redis(port=redis_port)
    admin.execute_command("ACL", "SETUSER", "member", "reset", "on", ">pw", "~*", "+@all")
    provider = redis.UsernamePasswordCredentialProvider("member", "pw")
    given = redis.Redis(port=redis_port, credential_provider=provider, socket_timeout=50, decode_responses=True)
    for recipe in (Recipe(given, 0.5), pickle.loads(pickle.dumps(Recipe(given, 0.5)))):
        made = recipe.make()
        assert made.execute_command("ACL", "WHOAMI") == "member"
        assert made.connection_pool.connection_kwargs["socket_timeout"] == 0.5
        recipe.close(made)
    given = redis.Redis(port=redis_port, redis_connect_func=lambda connection: connection.on_connect())
    with pytest.raises(TypeError, match="redis_connect_func"):
        pickle.dumps(Fleet(given))


def test_replies_as_text_and_by_the_newer_protocol_are_read(redis_port: int, sites: Sites) -> None:
    for options in ({"decode_responses": True}, {"protocol": 2}, {"protocol": 3}):
        fleet = Fleet(redis.Redis(port=redis_port, **options), "test", timeout=0.5)
        with PoolManager(fleet=fleet, defaults=HostConfig(fleet_per_host=CAP, pace=1000)) as pool:
            assert get(pool, sites.add().url) == 200
            assert pool.stats().fleet.failures == 0  # type: ignore[union-attr]


def test_a_blocking_pool_of_connections_does_as_well(redis_port: int, sites: Sites) -> None:
    client = redis.Redis(connection_pool=redis.BlockingConnectionPool(port=redis_port, max_connections=1, timeout=1))
    with PoolManager(fleet=Fleet(client, "test", timeout=0.5), defaults=SHARED) as pool:
        assert get(pool, sites.add().url) == 200
        assert pool.stats().fleet.failures == 0  # type: ignore[union-attr]
