"""A crawler of Scrapy's without a spider at work: one download handler, asked directly, on an event loop of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Self

from scrapy.crawler import Crawler
from scrapy.http import Request, Response
from scrapy.utils.misc import build_from_crawler
from scrapy.utils.spider import DefaultSpider
from scrapy.utils.test import get_crawler

from keeppool.adapters.scrapy import KeepPoolDownloadHandler


def crawler_with(**settings: Any) -> Crawler:
    """Make a crawler with these settings."""
    crawler = get_crawler(DefaultSpider, settings)
    crawler.spider = crawler._create_spider()
    return crawler


class Bench:
    """A handler, and the loop it works on. The loop stands still while nothing is asked."""

    def __init__(self, **settings: Any) -> None:
        self._runner = asyncio.Runner()
        self.crawler = crawler_with(**settings)
        self.handler = self.another()

    def another(self) -> KeepPoolDownloadHandler:
        """Make one more handler for the same crawler."""

        async def make() -> KeepPoolDownloadHandler:
            return build_from_crawler(KeepPoolDownloadHandler, self.crawler)

        return self.run(make())

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(coroutine)

    def download(self, url: str | Request, **meta: Any) -> Response:
        request = url if isinstance(url, Request) else Request(url, meta=meta)
        return self.run(self.handler.download_request(request))

    @property
    def stats(self) -> dict[str, Any]:
        """The pool's figures as Scrapy has them, brought up to date."""
        self.handler._pool.tell_figures()
        found = self.crawler.stats.get_stats()
        return {name.removeprefix("keeppool/"): value for name, value in found.items() if name.startswith("keeppool/")}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.run(self.handler.close())
        self._runner.close()
