"""Events, built from what a front end has just done. Called only when somebody listens.

Decides: nothing.
Knows: records, timelines and events.
"""

from __future__ import annotations

from collections.abc import Sequence

from keeppool.core.records import Close, Connection, State, Ticket
from keeppool.events import (
    ConnectFailed,
    ConnectionClosed,
    ConnectionIdle,
    ConnectionOpened,
    ConnectionReused,
    Event,
    RequestBoarded,
    RequestDone,
    RequestQueued,
    RequestRequeued,
    RequestResent,
    RequestServed,
    ResponseStarted,
    Why,
)
from keeppool.net.laps import Laps
from keeppool.pools.exchange import Exchange, number_of
from keeppool.pools.outgoing import without_user
from keeppool.pools.send import BodyFailed
from keeppool.pools.timeline import Timeline
from keeppool.wire.head import ResponseHead

#: Why a connection was closed whose response's body has not come to its end.
_INCOMPLETE = frozenset((Why.BODY_UNREAD, Why.EXCHANGE_FAILED))

_NO_LINES: Sequence[bytes] = ()
_VERSIONS = {10: "1.0", 11: "1.1"}


def closed(order: Close, now: float) -> Event:
    """Report that a connection was closed."""
    connection = order.connection
    age = now - connection.born_at
    return ConnectionClosed(str(connection.origin), connection.number, order.why, connection.served, age)


def served(ticket: Ticket, exchange: Exchange, now: float) -> Event:
    """Report that a waiting caller has got a connection, or the slot for one; failures reach it as an error."""
    return RequestServed(str(ticket.host.origin), now - ticket.since, number_of(exchange))


def boarded(connection: Connection, exchange: Exchange) -> Event:
    """Report that a request is sent behind others."""
    return RequestBoarded(exchange.route.name, connection.number, exchange.position, number_of(exchange))


def requeued(exchange: Exchange, *, is_spent: bool) -> Event:
    """Report that a request's connection has ended too early for it."""
    return RequestRequeued(exchange.route.name, exchange.method.decode(), is_spent, number_of(exchange))


def queued(ticket: Ticket, exchange: Exchange) -> Event:
    """Report that a caller has to wait."""
    timeline = exchange.timeline
    room = None if timeline is None else timeline.room[0]
    return RequestQueued(str(ticket.host.origin), len(ticket.host.waiters), number_of(exchange), room)


def opened(connection: Connection, began_at: float, request: int) -> Event:
    """Report a successful dial, for a request with this number."""
    took = connection.born_at - began_at
    is_resumed = connection.stream is not None and connection.stream.resumed
    return ConnectionOpened(str(connection.origin), connection.number, took, is_resumed, request)


def connect_failed(connection: Connection, error: BaseException, request: int) -> Event:
    """Report a failed dial, for a request with this number."""
    return ConnectFailed(str(connection.origin), connection.number, type(error).__name__, request)


def reused(connection: Connection, exchange: Exchange) -> Event:
    """Report that a request got an open connection."""
    idle = connection.taken_at - connection.read_at
    return ConnectionReused(exchange.route.name, connection.number, connection.served, idle, number_of(exchange))


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
    return ResponseStarted(exchange.route.name, number, method, head.status, after, number_of(exchange))


def resent(exchange: Exchange) -> Event:
    """Report that a request goes out again; its figures are still those of the attempt that failed."""
    return RequestResent(exchange.route.name, exchange.method.decode(), exchange.sent, number_of(exchange))


def done(
    exchange: Exchange, timeline: Timeline, error: BaseException | None, why: Why | None, now: float
) -> RequestDone:
    """Report the end of a request.

    Args:
        exchange: The request.
        timeline: What was noted of it.
        error: What has ended it; `None` if it has not failed.
        why: Why its connection cannot be used again; `None` also if that is not known.
        now: When it has ended.
    """
    if timeline.queued_at is not None:
        timeline.let_in(now)
    number = peer = status = version = kind = None
    sent = received = 0
    reason, lines = "", _NO_LINES
    connection, laps, route = timeline.connection, timeline.laps, exchange.route
    if connection is not None:
        number, sent, received = connection.number, exchange.sent, exchange.received
        dialled: Laps | None = connection.stream.laps  # type: ignore[union-attr]  # what was used has an `AnyStream`
        if dialled is not None:
            peer = dialled.peer
        if timeline.begun_at is not None and (head := exchange.answer) is not None:
            status, version, reason, lines = head.status, _VERSIONS[head.version], head.reason, head.lines
    if error is not None:
        kind = type(error.error if isinstance(error, BodyFailed) else error).__name__
    text = exchange.head
    end = text.find(b"\r\n\r\n") + 4  # A small body may be in the same piece.
    url = exchange.url or timeline.url
    # By position: with thirty names it would take three times as long.
    return RequestDone(
        timeline.number,
        exchange.method.decode(),
        url if "@" not in url else without_user(url),
        route.name,
        number,
        timeline.served,
        exchange.position,
        status or timeline.status,
        kind,
        error is None and why not in _INCOMPLETE,
        timeline.resent,
        timeline.waits,
        timeline.started,
        None if laps is None else laps.dial(timeline.free_at),
        timeline.lost,
        timeline.begun_at,
        timeline.sent_at,
        timeline.first_at,
        now,
        sent,
        received,
        peer,
        version,
        reason,
        route.policy.per_host,
        text if end == len(text) else text[:end],
        lines,
        timeline.note,
    )
