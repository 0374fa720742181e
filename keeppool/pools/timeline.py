"""`Timeline`: when each step of one request was done, for threads and tasks alike; and the times that follow from it.

Decides: which moment belongs to which phase, so that the phases of a request follow one another without a gap.
Knows: the clock; the steps of a dial.
Does not know: who waits, sends and receives. They say what has happened, and only where somebody listens.
"""

from __future__ import annotations

from typing import NamedTuple

from keeppool.clock import clock
from keeppool.core.records import Connection, Ticket
from keeppool.events import Room, Waited
from keeppool.net.laps import Lap, Laps


class Phases(NamedTuple):
    """A request's time, in the order of its parts; the names are `keeppool.events.RequestDone`'s."""

    blocked_s: float
    lost_s: float
    name_s: float | None
    connect_s: float | None
    proxy_s: float | None
    tls_s: float | None
    sending_s: float | None = None
    first_byte_s: float | None = None
    receiving_s: float | None = None


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
        sent_at: When the kernel had taken the whole request, in the last attempt.
        first_at: When the first byte of the final response came.
        begun_at: When the attempt was begun that is under way, or was the last; `None` between two, and before.
        room: What the caller waits for, or has waited for last, and how much of it there is.
        url: The request's, where its exchange has none: others talk for it.
        status: The response's, likewise.
    """

    __slots__ = (
        "_queued_at",
        "begun_at",
        "connection",
        "first_at",
        "laps",
        "lost",
        "number",
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
        self.started = started
        self.waits: list[Waited] = []
        self.laps: Laps | None = None
        self.connection: Connection | None = None
        self.served = 0
        self.lost = 0.0
        self.resent = 0
        self.sent_at: float | None = None
        self.first_at: float | None = None
        self.url = ""
        self.status: int | None = None
        self.begun_at: float | None = None
        self._queued_at: float | None = None
        self.room: tuple[Room, int | None] = (Room.TOTAL, None)

    # What happens, as it happens

    def queued(self, room: tuple[Room, int | None], now: float) -> None:
        """The caller stands in the queue, for this room."""
        self.room, self._queued_at = room, now

    def let_in(self, now: float) -> None:
        """The caller stands in the queue no longer. Safe to repeat."""
        if self._queued_at is not None:
            self.waits.append(Waited(*self.room, max(now - self._queued_at, 0.0)))
            self._queued_at = None

    def begun(self, connection: Connection, laps: Laps | None, now: float) -> None:
        """An attempt begins, on a connection that was dialled as `laps` tells."""
        self.connection = connection
        self.served = connection.served
        is_news = laps is not None and laps.ended is not None and laps.ended > self.started and not self.served
        self.laps = laps if is_news else None
        self.begun_at = now
        self.sent_at = self.first_at = None

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

    # What follows

    def phases(self, ended: float) -> Phases:
        """Divide the time between `started` and `ended`; they add up to it."""
        begun = ended if self.begun_at is None else self.begun_at
        dialling = self._dialling(begun)
        blocked = max(begun - self.started - self.lost - sum(dialling.values()), 0.0)
        phases = Phases(blocked, self.lost, *map(dialling.get, (Lap.NAME, Lap.CONNECT, Lap.PROXY, Lap.TLS)))
        if self.begun_at is None:
            return phases
        # A response may come before the request is sent whole: then that is where the sending ends.
        sent = min(at for at in (self.sent_at, self.first_at, ended) if at is not None)
        sending = max(sent - begun, 0.0)
        if self.sent_at is None and self.first_at is None:
            return phases._replace(sending_s=sending)
        first = ended if self.first_at is None else self.first_at
        receiving = None if self.first_at is None else max(ended - first, 0.0)
        return phases._replace(sending_s=sending, first_byte_s=max(first - sent, 0.0), receiving_s=receiving)

    def _dialling(self, until: float) -> dict[Lap, float]:
        """Add up the steps of the dial, as far as they lie within the request's own time."""
        laps, spent = self.laps, dict[Lap, float]()
        if laps is None:
            return spent
        ends = [at for _, at in laps.begun[1:]] + [until if laps.ended is None else laps.ended]
        for (lap, began), end in zip(laps.begun, ends, strict=True):
            spent[lap] = spent.get(lap, 0.0) + max(min(end, until) - max(began, self.started), 0.0)
        return spent


def room_of(ticket: Ticket, total: int | None) -> tuple[Room, int | None]:
    """Tell which cap a caller in the queue waits for, and how much room there is under it in all.

    Args:
        ticket: The caller's place; where there is a lock, under it.
        total: The pool's cap.
    """
    host = ticket.host
    if host.is_full:
        return Room.HOST, host.policy.per_host
    return (Room.PROXY, host.group.cap) if host.group.is_full else (Room.TOTAL, total)
