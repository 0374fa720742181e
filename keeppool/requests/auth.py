"""The names of `requests.auth`: schemes that sign requests."""

from keeppool.auth import AuthBase, HTTPBasicAuth, HTTPDigestAuth, HTTPProxyAuth

__all__ = ["AuthBase", "HTTPBasicAuth", "HTTPDigestAuth", "HTTPProxyAuth"]
