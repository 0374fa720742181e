"""One dataclass for each thing that can happen in a pool, and `Why`, the one list of reasons to close.

Knows: names and units. Everything is plain data: text, numbers, `Why`.
Does not know: what reports events and what listens. A front end builds an event only when somebody listens, and
    delivers it after the lock is released.

Durations end in `_s` and are seconds; `origin` reads like "https://example.com:443"; `connection` is the number of
the connection in its pool, from 1.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Why(enum.Enum):
    """Why a connection was closed. The same word in orders, events, statistics and documentation."""

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
    #: The exchange on it failed.
    EXCHANGE_FAILED = "exchange_failed"
    #: The pool was closed.
    POOL_CLOSED = "pool_closed"


@dataclass(frozen=True, slots=True)
class RequestQueued:
    """No connection was free; the caller waits. `waiting` callers wait for this origin, this one included."""

    origin: str
    waiting: int


@dataclass(frozen=True, slots=True)
class RequestServed:
    """A caller that had queued got its connection, or the right to dial one, after `waited_s`."""

    origin: str
    waited_s: float


@dataclass(frozen=True, slots=True)
class ConnectionOpened:
    """A connection was dialled in `dial_s`, TLS and proxy included; `resumed` tells whether TLS was resumed."""

    origin: str
    connection: int
    dial_s: float
    resumed: bool


@dataclass(frozen=True, slots=True)
class ConnectFailed:
    """Dialling failed; `error` is the class name of what the caller gets."""

    origin: str
    connection: int
    error: str


@dataclass(frozen=True, slots=True)
class ConnectionReused:
    """A request took an open connection that had carried `served` requests and sat idle for `idle_s`."""

    origin: str
    connection: int
    served: int
    idle_s: float


@dataclass(frozen=True, slots=True)
class ConnectionIdle:
    """A connection went back to the shelf, for `idle_limit_s` at the most (`None`: no limit)."""

    origin: str
    connection: int
    served: int
    idle_limit_s: float | None


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """A connection was closed after `served` requests and `age_s`."""

    origin: str
    connection: int
    why: Why
    served: int
    age_s: float


@dataclass(frozen=True, slots=True)
class ResponseStarted:
    """The head of a response arrived `after_s` after the request was begun."""

    origin: str
    connection: int
    method: str
    status: int
    after_s: float


@dataclass(frozen=True, slots=True)
class RequestResent:
    """A request is sent once more, on a new connection, because the reused one was dead. `sent` bytes had left."""

    origin: str
    method: str
    sent: int


Event = (
    RequestQueued
    | RequestServed
    | ConnectionOpened
    | ConnectFailed
    | ConnectionReused
    | ConnectionIdle
    | ConnectionClosed
    | ResponseStarted
    | RequestResent
)
