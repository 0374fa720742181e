"""What `stats()` says of a pool at work, for threads and for tasks: counters, caps, how long somebody waits."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading

import pytest

import keeppool
from keeppool import HostConfig, Limits
from keeppool.events import Event, RequestQueued, Why
from keeppool.testing import Behaviour, Site, Sites

#: More than is read with the head: a streamed response holds its connection.
LONG = bytes(1 << 20)


@pytest.fixture
def site(sites: Sites) -> Site:
    return sites.add(Behaviour(body=LONG))


def test_requests_are_counted_by_host_also_when_its_connections_are_gone(sites: Sites) -> None:
    kept, closing = sites.add(), sites.add(Behaviour(keep_alive=False, body=LONG))
    with keeppool.PoolManager() as pool:
        for _ in range(3):
            pool.request("GET", kept.url)
            pool.request("GET", closing.url)
        figures = pool.stats()
        assert list(figures.hosts) == [kept.url]
        host = figures.hosts[kept.url]
        assert (host.requests, host.closed_by, host.cap, host.connect_failed) == (3, {}, 6, 0)
        assert (figures.requests, figures.cap, figures.opened, figures.reused) == (6, 256, 4, 2)
        held = pool.request("GET", closing.url, stream=True)
        host = pool.stats().hosts[closing.url]
        assert (host.busy, host.requests, host.closed_by) == (1, 4, {Why.SERVER_CLOSE: 3})
        held.close()
        assert pool.stats().requests == 7


def test_tasks_count_the_same(sites: Sites) -> None:
    kept, closing = sites.add(), sites.add(Behaviour(keep_alive=False, body=LONG))

    async def main() -> None:
        async with keeppool.AsyncPoolManager() as pool:
            for _ in range(3):
                await pool.request("GET", kept.url)
                await pool.request("GET", closing.url)
            figures = pool.stats()
            assert figures.hosts[kept.url].requests == 3
            assert (figures.requests, figures.cap) == (6, 256)

    asyncio.run(main())


def test_who_waits_and_who_is_held_have_their_seconds(site: Site) -> None:
    queued = threading.Event()

    def note(event: Event) -> None:
        if isinstance(event, RequestQueued):
            queued.set()

    with keeppool.PoolManager(Limits(per_host=1), on_event=note) as pool:
        held = pool.request("GET", site.url, stream=True)
        other = threading.Thread(target=pool.request, args=("GET", site.url))
        other.start()
        assert queued.wait(30)
        figures = pool.stats()
        host = figures.hosts[site.url]
        assert (host.waiting, host.busy, host.cap) == (1, 1, 1)
        assert 0.0 < host.waiting_s == figures.waiting_s <= host.held_s
        held.close()
        other.join(30)
        host = pool.stats().hosts[site.url]
        assert (host.waiting_s, host.held_s) == (0.0, 0.0)


def test_what_has_one_name_is_added_up_caps_too(site: Site) -> None:
    with keeppool.PoolManager() as pool:
        for tag in ("a", "b"):
            pool.request("GET", site.url, host=HostConfig(tag=tag, per_host=2))
        host = pool.stats().hosts[site.url]
        assert (host.open, host.cap, host.requests) == (2, 4, 2)
        pool.request("GET", site.url, host=HostConfig(tag="c", per_host=None))
        assert pool.stats().hosts[site.url].cap is None


def test_a_proxys_connections_stand_beside_its_cap(site: Site) -> None:
    with keeppool.PoolManager(
        Limits(per_proxy=5), defaults=HostConfig(proxy=f"http://user:secret@{site.url[7:]}")
    ) as pool:
        pool.request("GET", "http://far.example/")
        figures = pool.stats()
        (name,) = figures.proxies
        assert name == site.url
        assert (figures.proxies[name].open, figures.proxies[name].cap, figures.proxies[name].hosts) == (1, 5, 1)
        assert "secret" not in str(figures) + figures.to_json() + figures._repr_html_()


def test_a_snapshot_with_all_of_this_can_be_pickled_and_copied(site: Site) -> None:
    with keeppool.PoolManager(Limits(per_proxy=5), defaults=HostConfig(proxy=site.url)) as pool:
        pool.request("GET", "http://far.example/")
        figures = pool.stats()
        assert pickle.loads(pickle.dumps(figures)) == copy.deepcopy(figures) == figures
