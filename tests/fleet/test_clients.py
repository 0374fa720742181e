"""A fleet by each kind of client: redis-py's and valkey-py's, for threads and for tasks, a cluster's, Sentinel's."""

from __future__ import annotations

import asyncio
import importlib
import os
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from live import servers

from keeppool import AsyncPoolManager, HostConfig, PoolManager, Timeout
from keeppool.fleet import Fleet
from keeppool.testing import Behaviour, Site, Sites

redis = pytest.importorskip("redis")

CAP = 3
SHARED = HostConfig(fleet_per_host=CAP, pace=1000)


@pytest.fixture(params=["redis", pytest.param("valkey", marks=pytest.mark.sdk)])
def library(request: pytest.FixtureRequest) -> ModuleType:
    return pytest.importorskip(request.param)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[servers.RealServer]]:
    with servers.redis_cluster(tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes


def crowd(fleet: Any, sites: list[Site]) -> Any:
    """Have two pools of threads ask all sites at once; give the figures of one."""
    with PoolManager(fleet=fleet, defaults=SHARED) as one, PoolManager(fleet=fleet, defaults=SHARED) as two:

        def get(n: int) -> int:
            return (one, two)[n % 2].request("GET", sites[n // 2 % len(sites)].url, timeout=Timeout(pool=30)).status

        with ThreadPoolExecutor(12) as threads:
            assert set(threads.map(get, range(20 * len(sites)))) == {200}
        check(sites, one.stats().fleet)
        return one.stats().fleet


def crowd_of_tasks(make: Callable[[], Any], sites: list[Site]) -> None:
    async def ask() -> None:
        fleet = make()
        pools = [AsyncPoolManager(fleet=fleet, defaults=SHARED) for _ in range(2)]
        for _ in range(2):
            requests = [pool.request("GET", site.url, timeout=Timeout(pool=30)) for pool in pools for site in sites]
            assert {one.status for one in await asyncio.gather(*requests)} == {200}
        check(sites, pools[0].stats().fleet)
        for pool in pools:
            await pool.aclose()

    asyncio.run(ask())


def check(sites: list[Site], figures: Any) -> None:
    assert (figures.is_up, figures.failures) == (True, 0)
    assert figures.calls
    assert max(site.peak_open for site in sites) <= CAP


def test_one_server_by_either_library(redis_port: int, sites: Sites, library: ModuleType) -> None:
    some = [sites.add(Behaviour(delay_s=0.002)) for _ in range(3)]
    crowd(Fleet(library.Redis(port=redis_port), "test", timeout=2), some)
    tasks = importlib.import_module(f"{library.__name__}.asyncio")
    crowd_of_tasks(lambda: Fleet(tasks.Redis(port=redis_port), "test", timeout=2), some)


def test_either_library_by_url(redis_port: int, sites: Sites, library: ModuleType) -> None:
    url = f"{library.__name__}://127.0.0.1:{redis_port}?name=test&timeout=2"
    some = [sites.add()]
    crowd(url, some)
    crowd_of_tasks(lambda: url, some)
    fleet = Fleet.from_url(url)
    assert all(recipe.make().__class__.__module__.startswith(library.__name__) for recipe in fleet._recipes.values())


def clusters(library: ModuleType) -> tuple[Any, Any]:
    """Give the cluster's classes of a library, for threads and for tasks."""
    name = "RedisCluster" if library.__name__ == "redis" else "ValkeyCluster"
    modules = (importlib.import_module(f"{library.__name__}{part}.cluster") for part in ("", ".asyncio"))
    threads, tasks = (getattr(module, name) for module in modules)
    return threads, tasks


def test_a_cluster_by_either_library(cluster: list[servers.RealServer], sites: Sites, library: ModuleType) -> None:
    """Each host's record is in one slot, so on one node; a fork and a pickle make clients of their own."""
    some = [sites.add(Behaviour(delay_s=0.002)) for _ in range(6)]
    threads, tasks = clusters(library)
    given = threads(host="127.0.0.1", port=cluster[0].port)
    fleet = Fleet(given, f"of-{library.__name__}", timeout=2)
    crowd(fleet, some)
    holding = [node for node in cluster if any(redis.Redis(port=node.port).scan_iter(f"kp:of-{library.__name__}:*"))]
    assert len(holding) > 1
    crowd(pickle.loads(pickle.dumps(fleet)), some)
    crowd_of_tasks(lambda: Fleet(tasks(host="127.0.0.1", port=cluster[1].port), "tasks", timeout=2), some)
    given.close()


def test_a_cluster_by_url(cluster: list[servers.RealServer], sites: Sites, capsys: Any) -> None:
    """For threads, tasks and the command; its other nodes are found by the one that is named."""
    from keeppool.cli import main

    some = [sites.add() for _ in range(6)]
    url = f"redis://127.0.0.1:{cluster[0].port}?name=by-url&timeout=2&cluster=true"
    crowd(url, some)
    crowd_of_tasks(lambda: url, some)
    with PoolManager(fleet=url, defaults=SHARED) as pool:
        for site in some:
            pool.request("GET", site.url)
        assert main(["fleet", "status", url]) == 0
        out = capsys.readouterr().out
        assert all(f"127.0.0.1:{site.port}" in out for site in some)
        assert main(["fleet", "drop", "by-url", str(os.getpid()), "--url", url]) == 0
        assert "has lost 6 connections" in capsys.readouterr().out


def test_a_client_that_finds_its_server_by_sentinel_is_used_as_it_is(
    tmp_path: Path, redis_port: int, sites: Sites
) -> None:
    with servers.redis_sentinel(tmp_path, redis_port) as sentinel:
        found = redis.Sentinel([(sentinel.host, sentinel.port)], socket_timeout=5).master_for("main")
        crowd(Fleet(found, "test", timeout=2), [sites.add()])
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(Fleet(found, "test"))
