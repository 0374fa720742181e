"""Pickling and copying a pool, its configuration and its figures: what is plain travels, sockets do not."""

from __future__ import annotations

import copy
import pickle
import ssl

import pytest

from keeppool import INHERIT, Config, HostConfig, HostLedger, Limits, PoolManager, Timeout, presets
from keeppool.errors import PoolClosed
from keeppool.events import Why
from keeppool.stats import HostTally

LIMITS = Limits(per_host=2, total=None, idle_timeout=4.5, learn=False)
HOSTS = {"*.example": HostConfig(per_host=3, headers={"X-A": "1"}, timeout=(1, None)), "a.example": HostConfig(tag="t")}
CONFIG = Config(limits=LIMITS, timeout=Timeout(total=9), defaults=HostConfig(verify=False), hosts=HOSTS)


def pickled(thing):
    return pickle.loads(pickle.dumps(thing))


each_way = pytest.mark.parametrize("way", [pickled, copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"])


@each_way
@pytest.mark.parametrize(
    "thing", [CONFIG, Config(), LIMITS, presets.CHROME, Timeout(read=None), *HOSTS.values(), INHERIT], ids=str
)
def test_configuration_travels_whole(way, thing):
    assert way(thing) == thing


def test_inherit_is_itself_again():
    """It is compared by identity."""
    assert pickled(INHERIT) is INHERIT
    assert pickled(HostConfig()).verify is INHERIT


def test_what_arrives_is_as_frozen_as_what_was_sent():
    with pytest.raises(TypeError):
        pickled(CONFIG).hosts["b.example"] = HostConfig()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_will_do(protocol):
    with PoolManager(config=CONFIG) as pool:
        for thing in (CONFIG, pool.stats()):
            assert pickle.loads(pickle.dumps(thing, protocol)) == thing


def test_an_ssl_context_cannot_travel_and_is_named():
    with pytest.raises(TypeError, match="SSLContext"):
        pickle.dumps(HostConfig(ssl_context=ssl.create_default_context()))


@each_way
def test_figures_travel(way, sites):
    with PoolManager() as pool:
        pool.request("GET", sites.add().url)
        stats = pool.stats()
    twin = way(stats)
    assert twin == stats
    assert twin.as_dict() == stats.as_dict()
    assert (twin.opened, twin.closed_by[Why.EVICTED]) == (1, 0)
    tally = HostTally(requests=3, closed_by={Why.EVICTED: 2})
    assert way(tally) == tally


@each_way
def test_a_pool_arrives_with_its_configuration_and_without_sockets(way, sites):
    site = sites.add()
    with PoolManager(config=CONFIG, limits=LIMITS) as pool:
        pool.request("GET", site.url)
        with way(pool) as twin:
            assert twin.config == pool.config
            assert (twin.stats().open, pool.stats().open) == (0, 1)
            assert twin.request("GET", site.url).data == b"keeppool\n"
            assert site.opened == 2
        assert pool.request("GET", site.url).reused, "closing the twin leaves the pool alone"


@each_way
def test_a_closed_pool_arrives_open(way, sites):
    """It is the configuration that travels, not what became of one pool with it."""
    pool = PoolManager()
    pool.close()
    with pytest.raises(PoolClosed):
        pool.request("GET", sites.add().url)
    with way(pool) as twin:
        assert twin.request("GET", sites.add().url).status == 200


class Crawler(PoolManager):
    """A pool with something of its own."""

    def __init__(self, name: str) -> None:
        super().__init__(LIMITS)
        self.name = name


@each_way
def test_a_subclass_keeps_what_is_its_own(way):
    with Crawler("ant") as crawler, way(crawler) as twin:
        assert (type(twin), twin.name, twin.config) == (Crawler, "ant", crawler.config)


def listener(event):
    """Listen."""


@each_way
def test_a_listener_travels_if_it_can(way):
    with PoolManager(on_event=listener) as pool, way(pool) as twin:
        assert twin._on_event is listener


def test_a_listener_that_cannot_travel_is_named():
    with PoolManager(on_event=lambda event: None) as pool, pytest.raises(AttributeError, match="<lambda>"):
        pickle.dumps(pool)


@each_way
def test_a_ledger_travels_with_its_counts_and_goes_on_alone(way, sites):
    site = sites.add()
    ledger = HostLedger()
    with PoolManager(on_event=ledger) as pool:
        pool.request("GET", site.url)
        twin = way(ledger)
        assert twin.as_dict() == ledger.as_dict()
        pool.request("GET", site.url)
    assert (twin.totals().requests, ledger.totals().requests) == (1, 2)
