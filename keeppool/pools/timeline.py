"""`Timeline`: the moments of one request, noted as they come, for threads and tasks alike.

Knows: the clock.
Does not know: who waits, sends and receives: they say what has happened, and only where somebody listens. Nor what
follows from the moments, which `keeppool/phases.py` does. This is on the way of every request of a pool with a
listener, so nothing is reckoned here that can be reckoned later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from keeppool.clock import clock
from keeppool.core.records import Connection, Ticket
from keeppool.events import Waited
from keeppool.reasons import Room

if TYPE_CHECKING:
    from keeppool.net.laps import Laps
    from keeppool.net.streams import AnyStream


#: What is waited for before anybody has said for what.
_ANY: tuple[Room, int | None] = (Room.TOTAL, None)


class Timeline:
    """The moments of one request.

    Args:
        number: The request's, in its pool.
        started: When it was begun.

    Attributes:
        number: As given.
        started: As given.
        waits: The times in the queue that are over.
        laps: The dial of its connection, or the one that was begun for it; `None` if there is none.
        connection: What the last attempt went over; `None` before the first.
        served: Responses that connection had carried before.
        lost: Seconds of attempts that were repeated.
        resent: How many these were.
        begun_at: When the attempt was begun that is under way, or was the last; `None` between two, and before.
        sent_at: When the kernel had taken the whole request, in the last attempt.
        first_at: When the first byte of the final response came.
        room: What the caller waits for, or has waited for last, and how much of it there is.
        free_at: Since when it has not stood in the queue: until then a dial was none of its business.
        queued_at: Since when it stands in the queue; `None` while it does not.
        url: The request's, where its exchange has none: others talk for it.
        status: The response's, likewise.
        note: What was left on the request before it was sent, for its end.
    """

    __slots__ = (
        "begun_at",
        "connection",
        "first_at",
        "free_at",
        "laps",
        "lost",
        "note",
        "number",
        "queued_at",
        "resent",
        "room",
        "sent_at",
        "served",
        "started",
        "status",
        "url",
        "waits",
    )

    def __init__(self, number: int, started: float) -> None:
        self.number = number
        self.started = self.free_at = started
        self.waits: tuple[Waited, ...] = ()
        self.laps: Laps | None = None
        self.connection: Connection | None = None
        self.served = self.resent = 0
        self.lost = 0.0
        self.begun_at: float | None = None
        self.sent_at: float | None = None
        self.first_at: float | None = None
        self.url = ""
        self.status: int | None = None
        self.note: object = None
        self.queued_at: float | None = None
        self.room = _ANY

    def queued(self, room: tuple[Room, int | None], now: float) -> None:
        """The caller stands in the queue, for this room."""
        self.room, self.queued_at = room, now

    def let_in(self, now: float) -> None:
        """The caller stands in the queue no longer. Safe to repeat."""
        if self.queued_at is not None:
            self.waits += (Waited(*self.room, max(now - self.queued_at, 0.0)),)
            self.queued_at = None
            self.free_at = now

    def begun(self, connection: Connection, now: float) -> None:
        """An attempt begins."""
        self.connection = connection
        self.begun_at = now
        self.sent_at = self.first_at = None
        self.served = connection.served
        self.laps = None if connection.served else self._news_of(connection)

    def _news_of(self, connection: Connection) -> Laps | None:
        """Give the dial of a connection, unless it was over while this request stood in the queue, or had not begun."""
        laps = cast("AnyStream", connection.stream).laps
        return laps if laps is not None and laps.ended is not None and laps.ended > self.free_at else None

    def repeated(self) -> None:
        """The attempt is given up, and the request goes out again."""
        if self.begun_at is not None:
            self.lost += clock() - self.begun_at
            self.resent += 1
            self.begun_at = None

    def sent(self) -> None:
        """The kernel has taken the whole request. Safe to repeat."""
        if self.sent_at is None:
            self.sent_at = clock()

    def heard(self) -> None:
        """Something came."""
        if self.first_at is None:
            self.first_at = clock()

    def heard_interim(self) -> None:
        """What came was an interim response: the final one is still to come."""
        self.first_at = None


def room_of(ticket: Ticket, total: int | None) -> tuple[Room, int | None]:
    """Tell which cap a caller in the queue waits for, and how much room there is under it in all.

    Args:
        ticket: The caller's place; where there is a lock, under it.
        total: The pool's cap.
    """
    host = ticket.host
    if host.is_capped:
        return Room.HOST, host.policy.per_host
    if host.permits is not None and host.lacks_permit:
        return Room.FLEET, host.permits.cap
    return (Room.PROXY, host.group.cap) if host.group.is_full else (Room.TOTAL, total)
