"""A spider for six small sites on this machine, which it starts itself. They hang up after every fifth answer."""

import scrapy

from keeppool.testing import Behaviour, Sites


class NumberedPages(scrapy.Spider):
    """Asks each site for ten pages; the figures of the pool are among the stats that Scrapy logs in the end."""

    name = "pages"

    async def start(self):
        """Start the sites, and ask for their pages."""
        self.sites = Sites()
        hosts = [self.sites.add(Behaviour(close_after=5)) for _ in range(6)]
        for page in range(10):
            for host in hosts:
                yield scrapy.Request(f"{host.url}/bytes/{page}")

    def parse(self, response):
        """Note where a page came from."""
        yield {"page": response.url.rpartition("/")[2], "from": str(response.ip_address), "bytes": len(response.body)}

    def closed(self, reason):
        """Stop the sites."""
        self.sites.close()
