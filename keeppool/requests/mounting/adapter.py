"""Adapters: what sends the requests of a session, and the responses they give.

Knows: a prepared request goes in, a response comes out, redirects and cookies apart.
Does not know: sessions, beyond the one that has mounted it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from keeppool.adapters.cassettes import recorded
from keeppool.client.request.prepared import PreparedRequest
from keeppool.client.response.response import Response as OwnResponse
from keeppool.client.session import send_over
from keeppool.pools.manager_threads import PoolManager
from keeppool.pools.response import Response as PoolResponse
from keeppool.requests.mounting.pooled import Connected, SendArguments, SendingAdapter, sent_by
from keeppool.requests.mounting.raw import Raw


class BaseAdapter(ABC):
    """What a session can mount: an object with these two methods. Those written for requests fit too."""

    @abstractmethod
    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> Any:
        """Send one request and return its response; redirects, cookies and hooks are the session's."""

    @abstractmethod
    def close(self) -> None:
        """Give up what the adapter holds."""


class HTTPAdapter(SendingAdapter["Response"], BaseAdapter):
    """A pool of its own for the URLs of one prefix: other limits, other retries, nothing shared with the session's.

    Args:
        pool_connections: Accepted as in requests, where it bounds a table that this pool does not need.
        pool_maxsize: Most connections per host; `limits` is the better way. In requests it bounds only what is kept,
            and any number may be open beside; here a cap is a cap, and a request waits for its turn.
        max_retries: How often each request is tried again: a number or a `urllib3.util.Retry`; `None` is 3, as in
            requests.
        pool_block: Accepted as in requests; callers always wait.
        limits: As for `PoolManager`.
        timeout: As for `PoolManager`, where a call gives none.
        hosts: As for `PoolManager`.
        defaults: As for `PoolManager`.
        resolver: As for `PoolManager`.
        config: As for `PoolManager`.
        on_event: As for `PoolManager`.

    Attributes:
        pool: Its `PoolManager`.
        max_retries: As given; 0 for none.
        retrying: The same, read.

    For subclasses: `send`, `add_headers` and `close` are called. The hooks of requests' adapters that are about
    urllib3's pools (`init_poolmanager`, `cert_verify` and their like) are refused with a `TypeError` when such a class
    is made, or one of them is set later, because their TLS settings would not hold.

    Thread safety: any thread.
    """

    pool: PoolManager
    _pool_kind = PoolManager

    def _carry(self, given: SendArguments, stream: bool) -> Response:
        return sent_by(self, send_over(recorded(self.pool), self._step(*given), stream, Response))

    def close(self) -> None:
        """Close the pool: idle connections now, busy ones when they are done."""
        self.pool.close()


class Response(Connected, OwnResponse):
    """A response to a request, which knows what sent it, and has requests' `raw`; all else is `keeppool.Response`."""

    _adapter_kind = HTTPAdapter
    _view: Raw | None = None

    @property
    def raw(self) -> Any:
        """The body as a file, as it was sent unless its `decode_content` is set; or what was set in its place."""
        if self._view is None and isinstance(self._raw, PoolResponse):
            self._view = Raw(self._raw)
        return self._raw if self._view is None else self._view

    @raw.setter
    def raw(self, raw: Any) -> None:
        self._raw, self._view = raw, None
