"""A spider that follows the links of a site, and shares the work with all others of its name."""

from urllib.parse import urlsplit

from scrapy_redis.spiders import RedisSpider


class Links(RedisSpider):
    """Takes URLs to start from out of the Redis list `links:start_urls`, as JSON; stays on their hosts."""

    name = "links"

    def make_request_from_data(self, data):
        """Have the pages to start from noted as seen, too, or those that link back to them would bring them twice."""
        request = super().make_request_from_data(data)
        return request and request.replace(dont_filter=False)

    def parse(self, response):
        """Note a page, and ask for those it links to."""
        yield {"page": response.url, "bytes": len(response.body)}
        for link in response.css("a::attr(href)").getall():
            if urlsplit(url := response.urljoin(link)).netloc == urlsplit(response.url).netloc:
                yield response.follow(url)
