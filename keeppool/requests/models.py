"""The names of `requests.models`: requests and answers."""

from keeppool.client.prepared import PreparedRequest
from keeppool.client.request import Request
from keeppool.client.response import Response
from keeppool.client.settings import MAX_REDIRECTS as DEFAULT_REDIRECT_LIMIT

__all__ = ["DEFAULT_REDIRECT_LIMIT", "PreparedRequest", "Request", "Response"]
