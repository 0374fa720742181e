"""What pools log at DEBUG: their connections by the logger `keeppool.pool`, requests by `keeppool.http`.

Decides: the words of each line.
Knows: events, and a request's method and URL, which is written without the user and password in it.
Does not know: whether anybody reads. A pool looks at `is_wanted` when it is made, whenever it opens a connection, and
    when it goes through its idle connections; so that a request pays nothing while nobody does.
"""

from __future__ import annotations

import logging

from keeppool.clock import clock
from keeppool.errors import quoted_url
from keeppool.events import (
    ConnectFailed,
    ConnectionClosed,
    ConnectionOpened,
    ConnectionReused,
    Event,
    RequestQueued,
    RequestResent,
    RequestServed,
    Room,
)

_pool = logging.getLogger("keeppool.pool")
_http = logging.getLogger("keeppool.http")

#: What a caller waits for, in words; all else is a connection.
_WAITS: dict[Room | None, str] = {
    Room.PACE: "not its turn yet, by the host's pace",
    Room.RETRY_AFTER: "held by the server's Retry-After",
}


def is_wanted() -> bool:
    """Tell whether one of the loggers is on."""
    return _pool.isEnabledFor(logging.DEBUG) or _http.isEnabledFor(logging.DEBUG)


def write(event: Event) -> None:
    """Write what has happened to a connection; of responses there is a line with their request."""
    match event:
        case ConnectionOpened():
            resumed = ", TLS resumed" if event.resumed else ""
            _pool.debug(
                "%s: connection %d opened in %.1f ms%s", event.origin, event.connection, event.dial_s * 1000, resumed
            )
        case ConnectFailed():
            _pool.debug("%s: connection %d could not be opened: %s", event.origin, event.connection, event.error)
        case ConnectionReused():
            _pool.debug(
                "%s: connection %d reused after %d requests, idle for %.3f s",
                *(event.origin, event.connection, event.served, event.idle_s),
            )
        case ConnectionClosed():
            _pool.debug(
                "%s: connection %d closed (%s) after %d requests and %.3f s",
                *(event.origin, event.connection, event.why.value, event.served, event.age_s),
            )
        case RequestQueued():
            reason = (
                "no connection free" if event.waits_for is None else _WAITS.get(event.waits_for, "no connection free")
            )
            _pool.debug("%s: %s, %d waiting", event.origin, reason, event.waiting)
        case RequestServed():
            _pool.debug("%s: served after %.3f s in the queue", event.origin, event.waited_s)
        case RequestResent():
            _pool.debug(
                "%s: %s resent on a new connection; %d bytes had been sent", event.origin, event.method, event.sent
            )


def answered(method: bytes, url: str, status: int, seconds: float) -> None:
    """Write that the head of a response is there."""
    _http.debug("%s %s %d in %.1f ms", method.decode(), quoted_url(url), status, seconds * 1000)


def failed(method: bytes, url: str, error: BaseException, began: float) -> None:
    """Write that a request, begun at `began`, has brought no response."""
    seconds = clock() - began
    _http.debug("%s %s %s after %.1f ms", method.decode(), quoted_url(url), type(error).__name__, seconds * 1000)
