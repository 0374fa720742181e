"""A project of Scrapy for several crawlers: one queue by scrapy-redis, one cap for each host by a fleet of keeppool.

Start it on as many machines, and as often, as you like, and give it work from anywhere. It needs the extras `scrapy`
and `fleet`, and the package scrapy-redis:

    REDIS_URL=redis://redis.internal scrapy crawl links
    redis-cli -h redis.internal lpush links:start_urls '{"url": "https://example.com/"}'

Each crawler waits for more when there is nothing left, until Ctrl-C.
"""
