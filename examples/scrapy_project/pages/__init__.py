"""A project of Scrapy's whose downloads go over keeppool: `scrapy crawl pages`."""
