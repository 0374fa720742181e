"""Which adapter sends the requests to a URL, and how the session gets on with one that is not its own.

Decides: that the longest prefix wins; what an adapter written for requests is told of a timeout, and what its answer
    still lacks.
Does not know: what an adapter does.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import timedelta
from typing import Any

from keeppool.client.prepared import PreparedRequest
from keeppool.config import Timeout
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


def plain_timeout(timeout: Any) -> Any:
    """Write a timeout as adapters of other people's know it: seconds, a (connect, read) pair, or `None` for none."""
    if isinstance(timeout, Timeout):
        timeout = (timeout.connect, timeout.read)
    return None if timeout == (None, None) else timeout


def adopted(answer: Any, request: PreparedRequest, seconds: float) -> Any:
    """Add to an adapter's answer what its author leaves to the session, as requests' session does.

    Args:
        answer: What the adapter returned.
        request: What it was given.
        seconds: How long it took.
    """
    if not isinstance(getattr(answer, "request", None), PreparedRequest):
        answer.request = request
    if not getattr(answer, "elapsed", None):
        answer.elapsed = timedelta(seconds=seconds)
    return answer
