"""Scrapy's download handler over keeppool's pool; needs Scrapy.

DOWNLOAD_HANDLERS = {
"http": "keeppool.adapters.scrapy.KeepPoolDownloadHandler",
"https": "keeppool.adapters.scrapy.KeepPoolDownloadHandler",
}
"""

from keeppool.adapters.scrapy.handler import KeepPoolDownloadHandler

__all__ = ["KeepPoolDownloadHandler"]
