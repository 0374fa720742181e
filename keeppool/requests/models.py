"""The names of `requests.models`: requests and answers."""

from keeppool.client.request.prepared import PreparedRequest
from keeppool.client.request.request import Request
from keeppool.client.response.response import Response
from keeppool.client.settings import MAX_REDIRECTS as DEFAULT_REDIRECT_LIMIT

__all__ = ["DEFAULT_REDIRECT_LIMIT", "PreparedRequest", "Request", "Response"]
