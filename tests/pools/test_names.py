"""Names through a pool, on both fronts: timeouts hold, dead names delay no living one, a program may resolve itself."""

from __future__ import annotations

import asyncio
import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

import keeppool
from keeppool import AsyncPoolManager, Config, HostConfig, Limits, PoolManager, Timeout, errors
from keeppool.testing import Site
from tests.pools.on_a_loop import PoolOnALoop

PATIENCE = 20.0


@pytest.fixture
def site():
    with Site() as made:
        yield made


@pytest.fixture(params=[PoolManager, PoolOnALoop], ids=["threads", "loop"])
def make(request):
    """Pools that are closed afterwards."""
    with ExitStack() as stack:
        yield lambda *arguments, **options: stack.enter_context(request.param(*arguments, **options))


class Names:
    """A resolver's function: names that begin with "dead" are never answered for before the end."""

    def __init__(self, addresses=("127.0.0.1",)):
        self.asked = queue.SimpleQueue()
        self.end = threading.Event()
        self.addresses = list(addresses)

    def __call__(self, host, port):
        self.asked.put((host, port))
        if host.startswith("dead"):
            assert self.end.wait(PATIENCE)
        return self.addresses

    def all_asked(self):
        return [self.asked.get_nowait() for _ in range(self.asked.qsize())]


@pytest.fixture
def names():
    made = Names()
    yield made
    made.end.set()


def test_a_programs_function_is_asked_once_and_its_addresses_are_kept(make, site, names):
    pool = make(Limits(max_requests=1), resolver=names)
    for _ in range(3):
        assert pool.request("GET", f"http://a.example:{site.port}/").status == 200
    assert names.all_asked() == [("a.example", site.port)]


def test_without_a_time_to_keep_them_it_is_asked_for_each_connection(make, site, names):
    pool = make(Limits(max_requests=1, dns_ttl=0), resolver=names)
    for _ in range(3):
        pool.request("GET", f"http://a.example:{site.port}/")
    assert len(names.all_asked()) == 3


def test_addresses_that_all_failed_are_asked_for_again(make, site, names):
    names.addresses = ["127.0.0.250"]  # Where nobody listens.
    pool = make(resolver=names)
    with pytest.raises(errors.RefusedError):
        pool.request("GET", f"http://a.example:{site.port}/")
    names.addresses = ["127.0.0.1"]
    assert pool.request("GET", f"http://a.example:{site.port}/").status == 200
    assert len(names.all_asked()) == 2


def test_the_connect_timeout_bounds_the_look_up(make, names):
    with pytest.raises(errors.ConnectTimeout, match="no address for dead yet"):
        make(resolver=names).request("GET", "http://dead/", timeout=Timeout(connect=0.02))


def test_the_total_timeout_bounds_the_look_up(make, names):
    with pytest.raises(errors.ConnectTimeout, match="no address for dead yet"):
        make(resolver=names).request("GET", "http://dead/", timeout=Timeout(connect=None, total=0.02))


def test_a_host_that_has_moved_is_found_by_the_request_that_finds_its_old_address_dead(make, site, names):
    pool = make(Limits(max_requests=1), resolver=names)
    names.addresses = ["127.0.0.1"]
    pool.request("GET", f"http://a.example:{site.port}/")
    site.close()
    with Site(host="127.0.0.9", port=site.port) as moved:
        names.addresses = ["127.0.0.9"]
        assert pool.request("GET", f"http://a.example:{moved.port}/").status == 200


def test_what_the_function_raises_is_the_cause(make):
    def fail(host, port):
        raise LookupError(f"no table has {host}")

    with pytest.raises(errors.ResolveError, match=r"no address for a\.example: no table has a\.example") as caught:
        make(resolver=fail).request("GET", "http://a.example/")
    assert isinstance(caught.value.__cause__, LookupError)


def test_the_config_may_hold_it_and_an_argument_wins(make, site, names):
    def other(host, port):
        raise AssertionError("not to be asked")

    pool = make(config=Config(resolver=other), resolver=names)
    assert pool.request("GET", f"http://a.example:{site.port}/").status == 200
    pool = make(config=Config(resolver=names))
    assert pool.request("GET", f"http://a.example:{site.port}/").status == 200


@pytest.mark.parametrize("manager", [PoolManager, AsyncPoolManager])
@pytest.mark.parametrize("resolver", ["127.0.0.1", 5, ["127.0.0.1"]])
def test_what_is_no_function_is_refused(manager, resolver):
    with pytest.raises(errors.ConfigError, match="resolver"):
        manager(resolver=resolver)


def test_a_literal_address_is_never_asked_about(make, site, names):
    make(resolver=names).request("GET", f"http://127.0.0.1:{site.port}/")
    assert names.all_asked() == []


def test_where_a_proxy_resolves_only_the_proxys_name_is_asked_about(make, site, names):
    pool = make(resolver=names, defaults=HostConfig(proxy=f"http://proxy.example:{site.port}"))
    assert pool.request("GET", "http://a.example/").status == 200
    assert names.all_asked() == [("proxy.example", site.port)]


def test_threads_reach_a_living_name_beside_forty_dead_ones(site, names):
    with PoolManager(resolver=names) as pool, ThreadPoolExecutor(41) as threads:
        dead = [
            threads.submit(pool.request, "GET", f"http://dead{number}/", timeout=Timeout(connect=PATIENCE))
            for number in range(40)
        ]
        assert pool.request("GET", f"http://living:{site.port}/").status == 200
        assert not any(future.done() for future in dead)
        names.addresses = ["127.0.0.250"]
        names.end.set()


def test_tasks_reach_a_living_name_beside_forty_dead_ones_and_the_loop_ends(site, names):
    async def main():
        async with AsyncPoolManager(resolver=names) as pool:
            dead = [asyncio.create_task(pool.request("GET", f"http://dead{number}/")) for number in range(40)]
            assert (await pool.request("GET", f"http://living:{site.port}/")).status == 200
            assert await asyncio.to_thread(lambda: "done") == "done"
            for task in dead:
                task.cancel()

    asyncio.run(main())  # The dead names are still being looked up: a loop that waited for its threads would stay.
    assert not names.end.is_set()


def test_a_coroutine_function_serves_a_loop_and_is_refused_for_threads(site):
    async def look_up(host, port):
        await asyncio.sleep(0)
        return "127.0.0.1"

    async def main():
        async with AsyncPoolManager(resolver=look_up) as pool:
            return (await pool.request("GET", f"http://a.example:{site.port}/")).status

    assert asyncio.run(main()) == 200
    with pytest.raises(errors.ConfigError, match="a coroutine function is for event loops"):
        PoolManager(resolver=look_up)


def test_the_setting_is_public_and_documented():
    assert "resolver" in keeppool.Config.__dataclass_fields__
    assert keeppool.Limits().dns_ttl == 10.0
