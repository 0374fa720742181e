"""`Why`, the one list of reasons to close, `Room`, what a caller waits for, and `Step`, what a dial is at.

The same words everywhere.

Knows: names. Does not know: what is closed, who waits, who dials.

They stand here because every request needs them, and events and phases only programs that listen. The first two are
public as `keeppool.events.Why` and `keeppool.events.Room`.
"""

from __future__ import annotations

import enum
from typing import Final

#: Where programs find them; in pickles and in `repr` too.
_HOME: Final = "keeppool.events"


class Why(enum.Enum):
    """Why a connection was closed. The same word in orders, events, statistics and documentation."""

    __module__ = _HOME
    #: A member is equal to itself alone. An enum's own hash is two functions, and a connection's end counts by it.
    __hash__ = object.__hash__

    #: The server closed it while it was idle, as a look at it or the next request found out.
    PEER_CLOSED = "peer_closed"
    #: Bytes arrived that no request had asked for (RFC 9112 §9.2).
    UNASKED_DATA = "unasked_data"
    #: It sat idle for the pool's own `idle_timeout`.
    IDLE_TIMEOUT = "idle_timeout"
    #: The server's `Keep-Alive: timeout=` was about to pass.
    HINT_TIMEOUT = "hint_timeout"
    #: The server's `Keep-Alive: max=` is used up.
    HINT_MAX = "hint_max"
    #: The server has been seen to close silently after about this idle time.
    LEARNED_TIMEOUT = "learned_timeout"
    #: Older than `max_age`.
    MAX_AGE = "max_age"
    #: Carried `max_requests` requests.
    MAX_REQUESTS = "max_requests"
    #: Least recently used; closed to make room for another host.
    EVICTED = "evicted"
    #: The server sent `Connection: close`, or speaks HTTP/1.0 without keep-alive.
    SERVER_CLOSE = "server_close"
    #: The request had `Connection: close` (`keep_alive=False`, or the request's own header).
    CLIENT_CLOSE = "client_close"
    #: Only the close tells where the response's body ends (RFC 9112 §6.3).
    CLOSE_DELIMITED = "close_delimited"
    #: The response's framing was ambiguous: Transfer-Encoding with Content-Length, or in HTTP/1.0.
    AMBIGUOUS_FRAMING = "ambiguous_framing"
    #: The response came before the request was fully sent.
    REQUEST_UNSENT = "request_unsent"
    #: The body was not read to its end.
    BODY_UNREAD = "body_unread"
    #: The connection is no longer HTTP (101, or CONNECT).
    SWITCHED = "switched"
    #: The fleet allows one less: other members ask for it, or there are more than its cap.
    FLEET = "fleet"
    #: The exchange on it failed.
    EXCHANGE_FAILED = "exchange_failed"
    #: The pool was closed.
    POOL_CLOSED = "pool_closed"


class Room(enum.Enum):
    """What a caller waits for: the cap that is used up, or its turn at a host that has a pace."""

    __module__ = _HOME

    #: `per_host`: its host has all the connections it may have.
    HOST = "host"
    #: `per_proxy`: its proxy has.
    PROXY = "proxy"
    #: `total`: the whole pool has.
    TOTAL = "total"
    #: Its fleet's cap: other members have what there is.
    FLEET = "fleet"
    #: It is not its turn yet.
    PACE = "pace"
    #: Its host's server has said, by `Retry-After`, when to come again.
    RETRY_AFTER = "retry-after"


class Step(enum.Enum):
    """A step of opening a connection."""

    __module__ = "keeppool.phases"

    NAME = "name"
    CONNECT = "connect"
    PROXY = "proxy"
    TLS = "tls"
