"""What pools log at DEBUG: their connections by the logger `keeppool.pool`, requests by `keeppool.http`.

Decides: the words of each line.
Knows: events, and a request's method and URL, which is written without the user and password in it.
Does not know: whether anybody reads. A pool looks at `is_wanted` when it is made, whenever it opens a connection, and
    when it goes through its idle connections; so that a request pays nothing while nobody does.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING

from keeppool.clock import clock
from keeppool.deferred import Deferred
from keeppool.errors import quoted_url
from keeppool.reasons import Room

if TYPE_CHECKING:
    import logging

    from keeppool import events
    from keeppool.events import Event
else:
    logging = Deferred("logging")
    events = Deferred("keeppool.events")

#: What a caller waits for, in words; all else is a connection.
_WAITS: dict[Room | None, str] = {
    Room.PACE: "not its turn yet, by the host's pace",
    Room.RETRY_AFTER: "held by the server's Retry-After",
}


@cache
def _loggers() -> tuple[logging.Logger, logging.Logger]:
    """Give the loggers of pools and of requests."""
    return logging.getLogger("keeppool.pool"), logging.getLogger("keeppool.http")


def is_wanted() -> bool:
    """Tell whether one of the loggers is on. Where `logging` was never imported, nobody can have turned it on."""
    if "logging" not in sys.modules:
        return False
    pool, http = _loggers()
    return pool.isEnabledFor(logging.DEBUG) or http.isEnabledFor(logging.DEBUG)


def write(event: Event) -> None:
    """Write what has happened to a connection; of responses there is a line with their request."""
    debug = _loggers()[0].debug
    match event:
        case events.ConnectionOpened():
            resumed = ", TLS resumed" if event.resumed else ""
            debug("%s: connection %d opened in %.1f ms%s", event.origin, event.connection, event.dial_s * 1000, resumed)
        case events.ConnectFailed():
            debug("%s: connection %d could not be opened: %s", event.origin, event.connection, event.error)
        case events.ConnectionReused():
            debug(
                "%s: connection %d reused after %d requests, idle for %.3f s",
                *(event.origin, event.connection, event.served, event.idle_s),
            )
        case events.ConnectionClosed():
            debug(
                "%s: connection %d closed (%s) after %d requests and %.3f s",
                *(event.origin, event.connection, event.why.value, event.served, event.age_s),
            )
        case events.RequestQueued():
            reason = (
                "no connection free" if event.waits_for is None else _WAITS.get(event.waits_for, "no connection free")
            )
            debug("%s: %s, %d waiting", event.origin, reason, event.waiting)
        case events.RequestServed():
            debug("%s: served after %.3f s in the queue", event.origin, event.waited_s)
        case events.RequestBoarded():
            debug("%s: sent as request %d on connection %d", event.origin, event.place, event.connection)
        case events.RequestRequeued():
            rest = "; it may have been carried out, and is sent once more" if event.spent else ""
            debug("%s: %s waits again, because its connection has ended%s", event.origin, event.method, rest)
        case events.RequestResent():
            debug("%s: %s resent on a new connection; %d bytes had been sent", event.origin, event.method, event.sent)


def answered(method: bytes, url: str, status: int, seconds: float) -> None:
    """Write that the head of a response is there."""
    _loggers()[1].debug("%s %s %d in %.1f ms", method.decode(), quoted_url(url), status, seconds * 1000)


def failed(method: bytes, url: str, error: BaseException, began: float) -> None:
    """Write that a request, begun at `began`, has brought no response."""
    seconds, kind = clock() - began, type(error).__name__
    _loggers()[1].debug("%s %s %s after %.1f ms", method.decode(), quoted_url(url), kind, seconds * 1000)
