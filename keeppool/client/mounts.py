"""Which adapter sends the requests to a URL: the one mounted for its longest prefix."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from keeppool.errors import InvalidSchema


class Mounts(OrderedDict[str, Any]):
    """Adapters by prefix, the longest first.

    Thread safety: mount before the threads start.
    """

    def mount(self, prefix: str, adapter: Any) -> None:
        """Let an adapter send the requests to URLs that begin with `prefix`, in any case."""
        self[prefix] = adapter
        for shorter in [key for key in self if len(key) < len(prefix)]:
            self.move_to_end(shorter)

    def find(self, url: str) -> Any:
        """Find the adapter of a URL.

        Raises:
            InvalidSchema: No prefix fits.
        """
        for prefix, adapter in self.items():
            if url.lower().startswith(prefix.lower()):
                return adapter
        raise InvalidSchema(f"no adapter is mounted for {url!r}", url=url)
