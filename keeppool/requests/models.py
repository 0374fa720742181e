"""The names of `requests.models`: requests and responses, and the response for tasks."""

from keeppool.client.request.prepared import PreparedRequest
from keeppool.client.request.request import Request
from keeppool.client.settings import MAX_REDIRECTS as DEFAULT_REDIRECT_LIMIT
from keeppool.requests.mounting.adapter import Response
from keeppool.requests.mounting.adapter_tasks import AsyncResponse

__all__ = ["DEFAULT_REDIRECT_LIMIT", "AsyncResponse", "PreparedRequest", "Request", "Response"]
