"""A crawl over names whose look-up does not come back, and one living host; to be run in a process of its own."""

import json
import socket
import threading

import scrapy
from scrapy.crawler import AsyncCrawlerProcess

from keeppool.testing import Site

HANDLER = "keeppool.adapters.scrapy.KeepPoolDownloadHandler"
NAMES = 12


def hang(host, *arguments, real=socket.getaddrinfo, **options):
    """Look up what is an address; never come back with a name."""
    if ".dead" in host and not options.get("flags", 0) & socket.AI_NUMERICHOST:
        threading.Event().wait()
    return real(host, *arguments, **options)


class Pages(scrapy.Spider):
    name = "pages"
    site: Site
    came = failed = 0

    async def start(self):
        for number in range(NAMES):
            yield scrapy.Request(f"http://host{number}.dead/", errback=self.note, meta={"download_timeout": 1})
        yield scrapy.Request(self.site.url)

    def parse(self, response):
        self.came += 1

    def note(self, failure):
        self.failed += 1


def main(reactor: str) -> None:
    socket.getaddrinfo = hang
    with Site() as site:
        process = AsyncCrawlerProcess(
            {
                "DOWNLOAD_HANDLERS": {"http": HANDLER, "https": HANDLER},
                "LOG_LEVEL": "WARNING",
                "TELNETCONSOLE_ENABLED": False,
                "RETRY_ENABLED": False,
                "TWISTED_REACTOR_ENABLED": reactor == "asyncio",
            }
        )
        crawler = process.create_crawler(Pages)
        process.crawl(crawler, site=site)
        process.start()
    print(json.dumps({"came": crawler.spider.came, "failed": crawler.spider.failed}))
