"""Caps, counted by the server: what it sees open at once is what the pool may hold."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from keeppool import Limits, PoolManager, Timeout
from keeppool.core.origin import Origin
from keeppool.core.pool import PoolState
from keeppool.core.records import Connection, Policy
from keeppool.events import ConnectionClosed, Why
from keeppool.testing import Behaviour, Site

THREADS = 60
REQUESTS_EACH = 5
ORIGINS = 4
CAPS = [(1, 256), (2, 256), (6, 256), (6, 10), (4, 3), (1, 1)]
#: So long that only a caller who is never served meets it.
PATIENCE = Timeout(connect=30, read=30, pool=60)


def one_site_of_many_names(sites):
    """A site that answers on every loopback address: to the pool each is an origin, the site counts them together."""
    return sites.add(host="0.0.0.0")


def names(site: Site, count: int) -> list[str]:
    """URLs of that many origins, from 127.0.1.1 on."""
    return [f"http://127.0.{1 + n // 250}.{1 + n % 250}:{site.port}" for n in range(count)]


def crowd(pool: PoolManager, urls: list[str], everyone_is_there: threading.Barrier) -> list[int]:
    """Let all threads go round the origins at once, each from another one on; give every answer's status."""

    def visit(first: int) -> list[int]:
        everyone_is_there.wait(30)
        return [pool.request("GET", urls[(first + n) % len(urls)]).status for n in range(REQUESTS_EACH)]

    with ThreadPoolExecutor(THREADS) as threads:
        return [status for statuses in threads.map(visit, range(THREADS)) for status in statuses]


@pytest.mark.parametrize(("per_host", "total"), CAPS)
def test_a_crowd_never_makes_a_server_see_more_sockets_than_the_cap_per_host(sites, per_host, total):
    hosts = [sites.add(Behaviour(delay_s=0.001), host=f"127.0.0.{n + 2}") for n in range(ORIGINS)]
    with PoolManager(Limits(per_host=per_host, total=total), timeout=PATIENCE) as pool:
        answers = crowd(pool, [site.url for site in hosts], threading.Barrier(THREADS))
        after = pool.stats()
    assert answers == [200] * (THREADS * REQUESTS_EACH)
    assert sum(site.requests for site in hosts) == THREADS * REQUESTS_EACH
    assert max(site.peak_open for site in hosts) <= min(per_host, total)
    assert (after.busy, after.connecting, after.waiting) == (0, 0, 0)


@pytest.mark.parametrize(("per_host", "total"), CAPS)
def test_a_crowd_never_makes_the_servers_see_more_sockets_than_the_total(sites, per_host, total):
    site = one_site_of_many_names(sites)
    most = min(total, ORIGINS * per_host)
    site.pause()
    with PoolManager(Limits(per_host=per_host, total=total), timeout=PATIENCE) as pool:
        everyone_is_there = threading.Barrier(THREADS, action=release_when(site, most))
        answers = crowd(pool, names(site, ORIGINS), everyone_is_there)
    assert answers == [200] * (THREADS * REQUESTS_EACH)
    assert site.requests == THREADS * REQUESTS_EACH
    assert site.peak_open == most, "held back by the server, the crowd fills the caps, and no more"


def release_when(site: Site, requests: int):
    """Once everyone is there, let a thread wait until the server holds so many requests, then have it answer."""

    def watch() -> None:
        site.wait_for(lambda: site.requests >= requests, 30)
        site.resume()

    return lambda: threading.Thread(target=watch).start()


def test_the_socket_that_makes_room_is_the_one_used_longest_ago(sites, recorder):
    a, b, c, d = (sites.add(host=f"127.0.0.{n}") for n in range(2, 6))
    with PoolManager(Limits(total=3), on_event=recorder) as pool:
        for site in (a, b, c, a, d):
            pool.request("GET", site.url)
        assert b.wait_for(lambda: b.open_now == 0)
        assert [site.open_now for site in (a, c, d)] == [1, 1, 1]
        assert a.opened == 1, "A was visited twice over one socket"
        assert [(event.origin, event.why) for event in recorder.of(ConnectionClosed)] == [(b.url, Why.EVICTED)]


def test_two_thousand_hosts_share_the_total(sites):
    site = one_site_of_many_names(sites)
    with PoolManager(Limits(total=100)) as pool:
        for url in names(site, 2000):
            assert pool.request("GET", url).status == 200
        assert (site.opened, site.peak_open) == (2000, 100)
        assert len(pool.stats().hosts) == 100, "a host leaves the tables with its last socket"


def test_after_the_idle_time_many_hosts_have_left_nothing(sites):
    site = one_site_of_many_names(sites)
    with PoolManager(Limits(total=None, idle_timeout=1.0)) as pool:
        for url in names(site, 200):
            assert pool.request("GET", url).status == 200
        assert site.wait_for(lambda: site.open_now == 0, 10)
        assert dict(pool.stats().hosts) == {}


def test_the_tables_are_empty_once_ten_thousand_hosts_have_been_idle():
    state = PoolState(Limits(total=None))
    policy = Policy(idle_timeout=55.0)
    for number in range(10_000):
        connection = state.requested(Origin(scheme="http", host=f"{number}.example", port=80), policy, 0.0)
        assert isinstance(connection, Connection)
        state.connected(connection, 0.0)
        state.released(connection, None, 0.0)
    assert (state.open, state.idle) == (10_000, 10_000)
    while state.next_expiry() <= 55.0:
        state.ticked(55.0)
    assert (state.open, state.idle, list(state.hosts())) == (0, 0, [])
    assert state.counters.closed_by[Why.IDLE_TIMEOUT] == len(state.orders) == 10_000
