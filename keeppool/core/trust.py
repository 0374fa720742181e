"""May a request that could not be sent again ride on this connection?

A server, or a proxy, may hang up right behind a response without having said so. Its close is on its way then, and what
is sent meanwhile is lost; of a POST nobody can know whether it was carried out. So such a request does not ride on a
connection to an origin that has never kept one, as long as a close may be on its way.

Decides: whether the connection is watched for a moment first, and whether it is to be a new one in any case.
Does not know: how to watch; the pool's tables.

Source: RFC 9110 §9.2.2 (idempotent methods), RFC 9112 §9.3.1 (a client must not repeat others by itself).
"""

from __future__ import annotations

from keeppool.core.habits import Ages
from keeppool.core.records import Connection, Ticket

#: Seconds from a response's last byte for which a connection to an unproved origin is watched before an unsafe request
#: rides on it. Measured from the last byte to the close (2026-11, loopback, two cores with other load of 2 to 9, 1 and
#: 8 threads, 1,600 requests each): Python's http.server, gunicorn sync, tinyproxy 1.11 and `keeppool.testing.Site` took
#: 0.5 ms at the median of the slowest, 1.3 ms for 99 in 100, 5.3 ms at the most. This is five times that. An origin
#: that does keep connections pays it once, for its first unsafe request that follows within that time.
LOOK = 0.025
#: Seconds of silence after which a connection is trusted even to an origin that was seen to hang up: it keeps this one,
#: or its close would have come, from the other side of the earth too (0.3 s for a round trip).
SETTLED = 0.5


def seconds_to_watch(connection: Connection, now: float) -> float:
    """Tell for how long a connection is to be watched before an unsafe request rides on it; 0 for not at all.

    Watched once: what is silent for `LOOK` seconds after its response is taken to be kept. An origin that is proved
    costs nothing, and so does a connection on which nothing was sent yet.
    """
    habit = connection.host.habit
    if (habit is not None and habit.is_proved) or not connection.served:
        return 0.0
    return max(0.0, LOOK - (now - connection.read_at))


def must_be_new(connection: Connection, now: float) -> bool:
    """Tell whether an unsafe request must not ride on an idle connection, or on one that has just been given back."""
    host = connection.host
    if not connection.served:
        return False
    if host.policy.new_for_unsafe:
        return True
    habit = host.habit
    return habit is not None and habit.hangs_up and now - connection.read_at < SETTLED


def refuses(ticket: Ticket, connection: Connection, now: float) -> bool:
    """Tell whether a caller in the queue must not have a connection that has just been given back."""
    if ticket.is_last and connection.served:
        return True
    return ticket.unsafe and must_be_new(connection, now)


def ages_of(connection: Connection, alive_at: float | None, now: float) -> Ages:
    """Tell how long a connection had lain idle when it was closed.

    Args:
        connection: Idle; or in the hands of a caller for whom it was found dead.
        alive_at: When it was last known to be open; `None` if it still was when it was taken, and the request on it met
            the close.
        now: When the close was noticed.
    """
    if alive_at is None:
        rested = max(connection.taken_at - connection.read_at, 0.0)
        return Ages(rested, rested)
    high = max(now - connection.read_at, 0.0)
    return Ages(min(max(alive_at - connection.read_at, 0.0), high), high)
