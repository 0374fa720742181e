"""Settings: all there is to do for keeppool are the two lines at the end, and the second is for taste."""

SPIDER_MODULES = ["pages.spiders"]
TELNETCONSOLE_ENABLED = False

DOWNLOAD_HANDLERS = dict.fromkeys(("http", "https"), "keeppool.adapters.scrapy.KeepPoolDownloadHandler")
KEEPPOOL_LIMITS = {"per_host": 2, "idle_timeout": 30.0}
