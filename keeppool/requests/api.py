"""The names of `requests.api`: one function for each verb, on one shared pool."""

from keeppool.client.api import delete, get, head, options, patch, post, put, request

__all__ = ["delete", "get", "head", "options", "patch", "post", "put", "request"]
