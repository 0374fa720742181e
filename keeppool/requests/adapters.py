"""The names of `requests.adapters`: what a session can mount."""

from urllib3.util import Retry

from keeppool.requests.mounting.adapter import BaseAdapter, HTTPAdapter

#: requests' figures. Here they have no effect: a session's limits do.
DEFAULT_POOLSIZE = 10
DEFAULT_RETRIES = 0

__all__ = ["DEFAULT_POOLSIZE", "DEFAULT_RETRIES", "BaseAdapter", "HTTPAdapter", "Retry"]
