"""Events, built from what a front end has just done. Called only when somebody listens.

Decides: nothing.
Knows: records and events.
"""

from __future__ import annotations

from keeppool.core.records import Close, Connection, Serve, State, Ticket
from keeppool.events import (
    ConnectFailed,
    ConnectionClosed,
    ConnectionIdle,
    ConnectionOpened,
    ConnectionReused,
    Event,
    RequestQueued,
    RequestResent,
    RequestServed,
    ResponseStarted,
)
from keeppool.pools.exchange import Exchange
from keeppool.wire.head import ResponseHead


def performed(order: Close | Serve, now: float) -> Event | None:
    """Report an order that was carried out."""
    if isinstance(order, Close):
        connection = order.connection
        age = now - connection.born_at
        return ConnectionClosed(str(connection.origin), connection.number, order.why, connection.served, age)
    return served(order, now)


def served(order: Serve, now: float) -> Event | None:
    """Report that a waiting caller was served; failures reach the caller as an error."""
    ticket = order.ticket
    if ticket.failure is not None:
        return None
    return RequestServed(str(ticket.host.origin), now - ticket.since)


def queued(ticket: Ticket) -> Event:
    """Report that a caller has to wait."""
    return RequestQueued(str(ticket.host.origin), len(ticket.host.waiters))


def opened(connection: Connection, began_at: float) -> Event:
    """Report a successful dial."""
    took = connection.born_at - began_at
    is_resumed = connection.stream is not None and connection.stream.resumed
    return ConnectionOpened(str(connection.origin), connection.number, took, is_resumed)


def connect_failed(connection: Connection, error: BaseException) -> Event:
    """Report a failed dial."""
    return ConnectFailed(str(connection.origin), connection.number, type(error).__name__)


def reused(connection: Connection) -> Event:
    """Report that a request got an open connection."""
    idle = connection.taken_at - connection.read_at
    return ConnectionReused(str(connection.origin), connection.number, connection.served, idle)


def idle(connection: Connection) -> Event | None:
    """Report that a connection is on the shelf; nothing if it went elsewhere."""
    if connection.state is not State.IDLE:
        return None
    limit = connection.expires_at - connection.read_at
    name = str(connection.origin)
    return ConnectionIdle(name, connection.number, connection.served, None if limit == float("inf") else limit)


def answered(exchange: Exchange, head: ResponseHead, after: float) -> Event:
    """Report the head of a response."""
    number, method = exchange.connection.number, exchange.method.decode()
    return ResponseStarted(exchange.route.name, number, method, head.status, after)


def resent(exchange: Exchange) -> Event:
    """Report that a request goes out again; its figures are still those of the attempt that failed."""
    return RequestResent(exchange.route.name, exchange.method.decode(), exchange.sent)
