"""Settings: scrapy-redis moves the requests, keeppool's fleet shares the caps; both by the same Redis."""

import os

SPIDER_MODULES = ["links.spiders"]
TELNETCONSOLE_ENABLED = False

REDIS_URL = os.environ.get("REDIS_URL", "redis://localhost")

# The queue, and which pages were seen. Without SCHEDULER_PERSIST the first crawler that ends empties both for all.
SCHEDULER = "scrapy_redis.scheduler.Scheduler"
DUPEFILTER_CLASS = "scrapy_redis.dupefilter.RFPDupeFilter"
SCHEDULER_PERSIST = True

# Connections: six to each host, in all crawlers together.
DOWNLOAD_HANDLERS = dict.fromkeys(("http", "https"), "keeppool.adapters.scrapy.KeepPoolDownloadHandler")
KEEPPOOL_FLEET = REDIS_URL
KEEPPOOL_FLEET_PER_HOST = 6
