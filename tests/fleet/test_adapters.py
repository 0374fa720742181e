"""A fleet behind other libraries' interfaces: given by their `config=`, it is not left out in silence."""

from __future__ import annotations

import asyncio
import importlib
import os
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import requests
import urllib3

from keeppool import Config, HostConfig, Timeout
from keeppool.adapters.requests import KeepPoolAdapter
from keeppool.adapters.urllib3 import PoolManager
from keeppool.fleet import Fleet
from keeppool.testing import Behaviour, Site, Sites

pytest.importorskip("redis")

CAP = 3


def config_on(port: int) -> Config:
    return Config(
        fleet=Fleet.from_url(f"redis://127.0.0.1:{port}?name=test&timeout=0.5"),
        defaults=HostConfig(fleet_per_host=CAP, per_host=4, pace=2000),
        timeout=Timeout(pool=30),
    )


def crowd(gets: list[Callable[[str], int]], site: Site) -> None:
    """Ask through several members at once: together they keep the cap."""
    with ThreadPoolExecutor(12) as threads:
        assert set(threads.map(lambda n: gets[n % len(gets)](f"{site.url}/bytes/2000"), range(60))) == {200}
    assert site.peak_open <= CAP


def is_member(stats: Any) -> None:
    assert stats.fleet is not None
    assert (stats.fleet.is_up, stats.fleet.failures) == (True, 0)
    assert stats.fleet.calls


def test_sessions_of_requests_with_the_mount(redis_port: int, sites: Sites) -> None:
    site, sessions = sites.add(Behaviour(delay_s=0.003)), [requests.Session() for _ in range(2)]
    for session in sessions:
        session.mount("http://", KeepPoolAdapter(config=config_on(redis_port)))
    sessions.append(pickle.loads(pickle.dumps(sessions[0])))
    crowd([lambda url, session=session: session.get(url).status_code for session in sessions], site)  # type: ignore[misc]
    for session in sessions:
        is_member(session.get_adapter("http://").poolmanager.stats())
        session.close()


def test_managers_of_urllib3(redis_port: int, sites: Sites) -> None:
    """What is lent and what lies idle is counted; a child has a member of its own."""
    site = sites.add(Behaviour(delay_s=0.003))
    managers = [PoolManager(config=config_on(redis_port)) for _ in range(2)]
    crowd([lambda url, one=one: one.request("GET", url).status for one in managers], site)  # type: ignore[misc]
    for manager in managers:
        is_member(manager.stats())
    child = os.fork()
    if not child:
        code = 1
        try:
            managers[0].request("GET", site.url)
            is_member(managers[0].stats())
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    for manager in managers:
        manager.clear()


def test_urllib3_gets_a_connection_that_another_member_gives_back(redis_port: int, sites: Sites) -> None:
    """All of the cap is in use by one; when it reads on, the other one's request goes."""
    site = sites.add()
    one, two = (PoolManager(config=config_on(redis_port)) for _ in range(2))
    held = [one.request("GET", f"{site.url}/bytes/1000000", preload_content=False) for _ in range(CAP)]
    with pytest.raises(urllib3.exceptions.EmptyPoolError):
        two.request("GET", site.url, pool_timeout=0.1, retries=False)
    for response in held:
        response.drain_conn()
        response.release_conn()
    assert two.request("GET", site.url).status == 200
    assert site.peak_open <= CAP


def test_the_mount_leaves_nothing_of_its_configuration_out(redis_port: int) -> None:
    config = replace(config_on(redis_port), resolver=lambda host, port: ["127.0.0.1"])
    own = KeepPoolAdapter(config=config).poolmanager.config
    assert (own.fleet, own.resolver) == (config.fleet, config.resolver)


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
@pytest.mark.sdk
def test_clients_of_httpx(library: str, redis_port: int, sites: Sites) -> None:
    httpx = pytest.importorskip(library)
    transports = importlib.import_module(f"keeppool.adapters.{library}")
    site = sites.add(Behaviour(delay_s=0.003))
    made = [transports.KeepPoolTransport(config=config_on(redis_port)) for _ in range(2)]
    clients = [httpx.Client(transport=one, timeout=30) for one in made]
    crowd([lambda url, one=one: one.get(url).status_code for one in clients], site)  # type: ignore[misc]
    for one, client in zip(made, clients, strict=True):
        is_member(one.pool.stats())
        client.close()

    async def by_tasks() -> None:
        transport = transports.AsyncKeepPoolTransport(config=config_on(redis_port))
        async with httpx.AsyncClient(transport=transport, timeout=30) as client:
            answers = await asyncio.gather(*(client.get(site.url) for _ in range(20)))
            assert {one.status_code for one in answers} == {200}
            is_member(transport.pool.stats())

    asyncio.run(by_tasks())
    assert site.peak_open <= CAP
