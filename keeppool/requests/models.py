"""The names of `requests.models`: requests and responses."""

from keeppool.client.request.prepared import PreparedRequest
from keeppool.client.request.request import Request
from keeppool.client.settings import MAX_REDIRECTS as DEFAULT_REDIRECT_LIMIT
from keeppool.requests.mounting.adapter import Response

__all__ = ["DEFAULT_REDIRECT_LIMIT", "PreparedRequest", "Request", "Response"]
