"""A whole crawl, to be run in a process of its own, with Scrapy's asyncio reactor or without a reactor.

200 pages of 8 hosts, whose servers drop all idle connections each time 20 pages have come. Prints what both sides saw,
as JSON.
"""

import asyncio
import json

import scrapy
from scrapy.crawler import AsyncCrawlerProcess

from keeppool.testing import Site, Sites

HANDLER = "keeppool.adapters.scrapy.KeepPoolDownloadHandler"
ROUNDS, PAGES, HOSTS = 10, 20, 8


class Pages(scrapy.Spider):
    name = "pages"

    def __init__(self, sites: list[Site]) -> None:
        super().__init__()
        self.sites = sites
        self.came = self.failed = self.dropped = 0
        self.round_done = asyncio.Event()

    async def start(self):
        for number in range(ROUNDS):
            self.round_done.clear()
            for page in range(number * PAGES, (number + 1) * PAGES):
                site = self.sites[page % HOSTS]
                yield scrapy.Request(f"{site.url}/bytes/{page}", callback=self.count, errback=self.note)
            await self.round_done.wait()
            self.dropped += sum(site.drop_idle(reset=number % 2 == 0) for site in self.sites)

    def count(self, response):
        assert len(response.body) == int(response.url.rpartition("/")[2])
        self.came += 1
        self.end_round()

    def end_round(self):
        if (self.came + self.failed) % PAGES == 0:
            self.round_done.set()

    def note(self, failure):
        self.failed += 1
        self.logger.error("%r", failure.value)
        self.end_round()


def main(reactor: str) -> None:
    settings = {
        "DOWNLOAD_HANDLERS": {"http": HANDLER, "https": HANDLER},
        "CONCURRENT_REQUESTS": 32,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 4,
        "KEEPPOOL_LIMITS": {"per_host": 2, "total": 12},
        "LOG_LEVEL": "WARNING",
        "TELNETCONSOLE_ENABLED": False,
        "RETRY_ENABLED": False,
        "TWISTED_REACTOR_ENABLED": reactor == "asyncio",
    }
    with Sites() as sites:
        hosts = [sites.add(host=f"127.0.0.{number}") for number in range(2, 2 + HOSTS)]
        process = AsyncCrawlerProcess(settings)
        crawler = process.create_crawler(Pages)
        process.crawl(crawler, sites=hosts)
        process.start()
        stats = crawler.stats.get_stats()
        seen = {
            "came": crawler.spider.came,
            "failed": crawler.spider.failed,
            "dropped": crawler.spider.dropped,
            "opened": sum(site.opened for site in hosts),
            "requests": sum(site.requests for site in hosts),
            "most_at_one_host": max(site.peak_open for site in hosts),
            "stats": {name: value for name, value in stats.items() if name.startswith("keeppool/")},
            "exceptions": stats.get("downloader/exception_count", 0),
        }
    print(json.dumps(seen))
