"""The total of a crawl: what happens where there are more hosts than connections, and what is said of it."""

import pytest
from scrapy_bench import Bench

from keeppool.adapters.scrapy import pool as scrapy_pool

HOSTS, ROUNDS = 5, 60


def go_round(bench, hosts):
    for _ in range(ROUNDS):
        for site in hosts:
            bench.download(site.url)
    return bench.stats


@pytest.fixture
def hosts(sites):
    return [sites.add(host=f"127.0.0.{number}") for number in range(2, 2 + HOSTS)]


def test_a_crawl_that_goes_round_more_hosts_than_connections_is_told_of_once(hosts, caplog):
    with Bench(KEEPPOOL_LIMITS={"total": HOSTS - 1}) as bench:
        stats = go_round(bench, hosts)
        assert stats["evicted_share"] > scrapy_pool.HIGH_SHARE
        assert stats["closed/evicted"] == stats["opened"] - HOSTS + 1
        said = [record.getMessage() for record in caplog.records if record.name == scrapy_pool.__name__]
        assert len(said) == 1
        assert 'KEEPPOOL_LIMITS = {"total": N}' in said[0]
        assert f"the {HOSTS - 1} connections there may be" in said[0]
        go_round(bench, hosts)
        assert len([record for record in caplog.records if record.name == scrapy_pool.__name__]) == 1


def test_one_that_has_room_keeps_its_connections_and_says_nothing(hosts, caplog):
    with Bench() as bench:
        stats = go_round(bench, hosts)
        assert stats["opened"] == HOSTS
        assert "evicted_share" not in stats
    assert not caplog.records


def test_a_few_evictions_are_no_reason_for_a_word(hosts, caplog):
    with Bench(KEEPPOOL_LIMITS={"total": 1}) as bench:
        for site in hosts:
            for _ in range(ROUNDS):
                bench.download(site.url)
        assert bench.stats["closed/evicted"] == HOSTS - 1
    assert not [record for record in caplog.records if record.name == scrapy_pool.__name__]
