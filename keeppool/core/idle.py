"""The shelf: every idle connection of the pool, in the order in which they were last used, and when each expires.

Decides: which idle connection is the least recently used, and which have expired.
Does not know: caps and callers; `pool.py` asks and acts.
"""

from __future__ import annotations

from collections import OrderedDict
from heapq import heapify, heappop, heappush

from keeppool.core.records import NEVER, Connection, State

#: The expiry heap may hold entries of connections that have left; it is rebuilt when it is this much longer than the
#: shelf. Small enough not to hold memory, large enough that rebuilding costs nothing per connection.
SLACK = 64


class Shelf:
    """Idle connections of all hosts.

    Putting on, taking off and finding the oldest are O(1). The expiry heap costs nothing on the way of a request: a
    connection keeps the entry of its first stay, and is looked at again when that entry comes up.

    Attributes:
        order: The connections, least recently used first. To be read only.
    """

    __slots__ = ("_expiries", "order")

    def __init__(self) -> None:
        self.order: OrderedDict[Connection, None] = OrderedDict()
        self._expiries: list[tuple[float, int, Connection]] = []

    def __len__(self) -> int:
        return len(self.order)

    def put(self, connection: Connection) -> None:
        """Put a connection on the shelf as the most recently used one; its `expires_at` is set."""
        self.order[connection] = None
        host = connection.host
        host.idle[connection] = None
        if host.group.cap is not None:
            host.group.idle[connection] = None
        if connection.expires_at < connection.entry_at:
            self._enter(connection)

    def renew(self, connection: Connection) -> None:
        """Take note that `expires_at` of a connection on the shelf has changed."""
        if connection.expires_at < connection.entry_at:
            self._enter(connection)

    def take(self, connection: Connection) -> None:
        """Take this connection off the shelf."""
        del self.order[connection]
        del connection.host.idle[connection]
        group = connection.host.group
        if group.cap is not None:
            del group.idle[connection]

    def least_recent(self) -> Connection:
        """Give the idle connection whose last use is longest ago, over all hosts."""
        return next(iter(self.order))

    def next_expiry(self) -> float:
        """Give a time before which nothing on the shelf expires; NEVER if nothing does."""
        return self._expiries[0][0] if self._expiries else NEVER

    def take_expired(self, now: float) -> Connection | None:
        """Take one connection that has expired off the shelf, if there is one."""
        while self._expiries and self._expiries[0][0] <= now:
            _, _, connection = heappop(self._expiries)
            connection.entry_at = NEVER
            if connection.state is not State.IDLE:
                continue
            if connection.expires_at <= now:
                self.take(connection)
                return connection
            self._enter(connection)
        return None

    def all(self) -> list[Connection]:
        """List the idle connections, least recently used first."""
        return list(self.order)

    def _enter(self, connection: Connection) -> None:
        connection.entry_at = connection.expires_at
        heappush(self._expiries, (connection.expires_at, connection.number, connection))
        if len(self._expiries) > 2 * len(self.order) + SLACK:
            self.enter_anew()

    def enter_anew(self) -> None:
        """Drop the entries of connections that are not here; they enter again when they come back."""
        for _, _, connection in self._expiries:
            connection.entry_at = NEVER
        self._expiries.clear()
        for connection in self.order:
            if connection.expires_at < NEVER:
                connection.entry_at = connection.expires_at
                self._expiries.append((connection.expires_at, connection.number, connection))
        heapify(self._expiries)
