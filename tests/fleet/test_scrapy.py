"""Scrapy's crawlers in one fleet: processes of their own, and the servers' count of their sockets."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

import keeppool.testing as testing
from keeppool.testing import Answer, Behaviour, Site, Sites

pytest.importorskip("scrapy")
redis = pytest.importorskip("redis")

from adapters.scrapy_bench import Bench, crawler_with  # noqa: E402
from scrapy import Request  # noqa: E402

from keeppool.adapters.scrapy import KeepPoolDownloadHandler  # noqa: E402

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PROJECT = ROOT / "examples" / "scrapy_fleet"
CAP = 3
#: Pages to start from, of each site; each page n leads to 2n and 2n+1, and back to the first. Those of both sites are
#: two of the batches that a crawler takes at a time, which are as many as the requests it has under way.
FIRST, LAST = range(16, 32), 127
PAGES = range(FIRST[0], LAST + 1)


def tree(request: testing.Request) -> Answer:
    number = int(request.path.rpartition("/")[2])
    links = "".join(f'<a href="/tree/{n}">' for n in (2 * number, 2 * number + 1, FIRST[0]) if n <= LAST)
    return Answer(headers=(("Content-Type", "text/html"),), body=f"<html>{links}</html>".encode())


def trees(sites: Sites) -> list[Site]:
    return [sites.add(Behaviour(delay_s=0.02), host=f"127.0.0.{n}", handler=tree) for n in (2, 3)]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@contextmanager
def crawler(url: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run one of the example's crawlers, warnings as errors, until it is left; its log goes to a file."""
    code = (
        f"import sys; sys.path[:0] = [{str(PROJECT)!r}, {str(ROOT)!r}]; from scrapy.cmdline import execute; execute()"
    )
    # scrapy-redis 0.9.1 says to Scrapy's stats which spider it is, which they do not want to be told any more.
    warnings = ["-W", "error", "-W", "ignore:Passing a 'spider' argument to StatsCollector"]
    command = [sys.executable, *warnings, "-c", code, "crawl", "links", "-s", f"KEEPPOOL_FLEET_PER_HOST={CAP}"]
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=PROJECT, stderr=file, env=os.environ | {"REDIS_URL": url})
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@contextmanager
def all_taken(client: Any) -> Iterator[None]:
    """Wait, at the end, until the crawlers have taken all URLs to start from, as Redis tells it."""
    client.config_set("notify-keyspace-events", "Kg")
    with client.pubsub() as told:
        told.psubscribe("__keyspace@*__:links:start_urls")
        yield
        while (message := told.get_message(timeout=60)) is not None:
            if message["data"] == b"del":
                return
    pytest.fail("the crawlers have not taken the URLs to start from")


def test_two_crawlers_keep_one_cap(redis_port: int, sites: Sites) -> None:
    """In one process, as an AsyncCrawlerProcess has them; each has a pool and is a member of its own."""
    host = sites.add(Behaviour(delay_s=0.01))
    fleet = {"url": f"redis://127.0.0.1:{redis_port}", "timeout": 0.5}
    crawler = crawler_with(KEEPPOOL_FLEET=fleet, KEEPPOOL_FLEET_PER_HOST=2)
    with Bench(KEEPPOOL_FLEET=fleet, KEEPPOOL_FLEET_PER_HOST=2) as bench:

        async def crawl() -> list[int]:
            handlers = [bench.handler, KeepPoolDownloadHandler(crawler)]
            pages = [handlers[n % 2].download_request(Request(f"{host.url}/bytes/{n}")) for n in range(60)]
            sizes = [len(page.body) for page in await asyncio.gather(*pages)]
            for handler in handlers:
                await handler.close()
            return sizes

        assert bench.run(crawl()) == list(range(60))
        assert host.peak_open == 2
        for one in (crawler, bench.crawler):
            assert one.stats.get_value("keeppool/fleet_calls") > 0
            assert one.stats.get_value("keeppool/fleet_failures") == 0
    held = redis.Redis(port=redis_port).hget(f"kp:crawl:{{127.0.0.1:{host.port}}}:held", "*")
    assert int(held) == 0, "what a crawler had is free when it ends"


@pytest.mark.sdk
def test_two_crawlers_share_the_queue_by_scrapy_redis_and_the_cap_by_the_fleet(
    redis_port: int, sites: Sites, tmp_path: Path, stack: ExitStack
) -> None:
    pytest.importorskip("scrapy_redis")
    hosts = trees(sites)
    url = f"redis://127.0.0.1:{redis_port}"
    client = redis.Redis.from_url(url)
    for page in FIRST:
        for host in hosts:
            client.lpush("links:start_urls", json.dumps({"url": f"{host.url}/tree/{page}"}))
    # No page comes before each has taken its part, so that both are at work.
    for host in hosts:
        host.pause()
    with all_taken(client):
        processes = [stack.enter_context(crawler(url, tmp_path / name)) for name in ("one", "two")]
    for host in hosts:
        host.resume()
    for host in hosts:
        assert host.wait_for(lambda host=host: host.requests >= len(PAGES), 60)  # type: ignore[misc]
    for process in processes:
        process.send_signal(signal.SIGINT)
    assert [process.wait(30) for process in processes] == [0, 0]
    texts = [(tmp_path / name).read_text() for name in ("one", "two")]
    for host in hosts:
        assert Counter(request.path for request in host.log) == Counter(f"/tree/{n}" for n in PAGES)
        assert host.peak_open <= CAP
    pages = [int(re.search(r"'item_scraped_count': (\d+)", text)[1]) for text in texts]  # type: ignore[index]
    assert sum(pages) == len(hosts) * len(PAGES)
    assert min(pages) >= len(FIRST), "one of the two did next to nothing"
    left = [client.hget(key, "*") for key in client.keys("kp:*:held")]
    assert set(left) <= {b"0"}, "what a crawler had is free when it ends"
    assert not any("ERROR" in text or "WARNING" in text for text in texts), texts
