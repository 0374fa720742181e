"""The name of `requests.status_codes`."""

from keeppool.client.response.codes import codes

__all__ = ["codes"]
