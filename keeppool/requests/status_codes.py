"""The name of `requests.status_codes`."""

from keeppool.client.codes import codes

__all__ = ["codes"]
