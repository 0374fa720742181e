"""The verbs of a session whose program has a `request` of its own: they go through it, as in requests.

Decides: nothing. The verbs that everybody else uses (`verbs.py`) spare themselves the detour, and the arguments it
    would unpack and pack again.
"""

from __future__ import annotations

from typing import Any, Final


class ThroughRequest:
    """Stands in for the verbs of `Verbs`, with their signatures."""

    __slots__ = ()

    VERBS: Final = frozenset(("delete", "get", "head", "options", "patch", "post", "put"))

    request: Any

    def get(self, url: str | bytes, params: Any = None, **options: Any) -> Any:
        """Send a GET request; see `request`."""
        return self.request("GET", url, params=params, **options)

    def options(self, url: str | bytes, **options: Any) -> Any:
        """Send an OPTIONS request; see `request`."""
        return self.request("OPTIONS", url, **options)

    def head(self, url: str | bytes, **options: Any) -> Any:
        """Send a HEAD request; see `request`. Redirects are not followed unless asked for."""
        options.setdefault("allow_redirects", False)
        return self.request("HEAD", url, **options)

    def post(self, url: str | bytes, data: Any = None, json: Any = None, **options: Any) -> Any:
        """Send a POST request; see `request`."""
        return self.request("POST", url, data=data, json=json, **options)

    def put(self, url: str | bytes, data: Any = None, **options: Any) -> Any:
        """Send a PUT request; see `request`."""
        return self.request("PUT", url, data=data, **options)

    def patch(self, url: str | bytes, data: Any = None, **options: Any) -> Any:
        """Send a PATCH request; see `request`."""
        return self.request("PATCH", url, data=data, **options)

    def delete(self, url: str | bytes, **options: Any) -> Any:
        """Send a DELETE request; see `request`."""
        return self.request("DELETE", url, **options)
