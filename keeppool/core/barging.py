"""Barging: for the first milliseconds of its wait, a caller may lose the connection it is given to one who comes by.

Where callers are threads, strict order is dear at a full cap: each thread that gives a connection back wakes another,
and goes to sleep itself as soon as it asks again. So a connection is *lent* to the caller whose turn it is, and as long
as that one has not come for it, a newcomer to the same host takes it instead: most often the thread that has just given
it back, and is running. The caller who has lost it is the first in the queue again. Once it has waited for `PATIENCE`
nobody takes anything from it: what comes free next is its own, and newcomers stand behind it.

No connection is left lying while a caller for it sleeps. Of the callers of a host to whom something is lent, one at a
time is called; when it comes, or gives up, the next one is. One that has come in vain, because somebody was quicker,
takes a nap and looks again by itself. Who has waited for `PATIENCE` is called at once, and every caller looks by itself
when it has waited so long, whether or not it was called.

Nobody barges where callers wait for more than their own host's cap: for a proxy, the total or a fleet's permits. There
it would take from callers of other hosts too.

Invariants, beside those of `pool.py`:
    8. A caller that has waited for `PATIENCE` is overtaken by no newcomer to its host.
    9. Of the callers to whom something is lent at a host, at least one is coming: it was called, or takes a nap.

Knows, and does not know: as `pool.py`. Every fact costs the same as there.

Source: Go's sync.Mutex does so, and hands over after 1 ms: its holders have the lock for microseconds, ours for a
round trip.
"""

from __future__ import annotations

from keeppool.core.pool import PoolState
from keeppool.core.records import Connection, Host, Serve, State, Ticket
from keeppool.core.trust import must_be_new

#: Seconds of waiting after which a caller is overtaken no more. Measured on two cores, 16 threads with six connections
#: to an nginx on loopback (2026-11): 10 ms and 30 ms give the same rate, and the longest wait is as long as this. A
#: server farther away than that is served in strict order, where waking a thread is a small part of the exchange.
PATIENCE = 0.010
#: Seconds for which a caller that has come in vain sleeps before it looks again, and is not woken. As long as others
#: come and go that fast, each call would be in vain: with this, a request costs 0.7 of the CPU that it costs without
#: (same measurement). Should they stop, a connection lies idle for no longer.
NAP = 0.003

# Looked up on the way of every request that has to wait.
_BUSY = State.BUSY


class BargingPoolState(PoolState):
    """The tables of a pool whose callers are threads: each sleeps until it is called, and comes for its connection."""

    __slots__ = ()

    # Facts

    def came(self, ticket: Ticket, now: float) -> Connection | None:
        """A caller in the queue is awake and looks for its connection.

        Returns:
            The connection: the ticket has ended. `None` if it waits on, for `looks_after` seconds, or has failed.
        """
        connection = ticket.connection
        # Somebody was quicker, and is likely to be so again.
        ticket.is_coming = connection is None and ticket.has_lost and now - ticket.since < PATIENCE
        ticket.has_lost = False
        if connection is not None:
            ticket.host.lent.pop(ticket, None)
            self._call_next(ticket.host)
        return connection

    def abandoned(self, ticket: Ticket, now: float) -> None:
        """As in `PoolState`; the next caller is called in the place of one who will not come."""
        ticket.is_coming = False
        host = ticket.host
        host.lent.pop(ticket, None)
        super().abandoned(ticket, now)
        self._call_next(host)

    def interrupted(self, now: float) -> None:
        """As in `PoolState`; all are called to whom something is lent: whether they were is not known."""
        super().interrupted(now)
        for host in self._hosts.values():
            for ticket in host.lent:
                ticket.is_coming = True
                self.orders.append(Serve(ticket))

    # Questions

    @staticmethod
    def looks_after(ticket: Ticket, now: float) -> float | None:
        """Tell for how many seconds a caller sleeps before it looks by itself; `None` if it waits to be called."""
        # Reckoned as in `came`, to the last bit: who takes a nap must wake up from it.
        left = PATIENCE - (now - ticket.since)
        if left <= 0:
            return None
        return min(left, NAP) if ticket.is_coming else left

    def to_overtake(self, host: Host, now: float, unsafe: bool) -> Ticket | None:
        """As in `PoolState`: the youngest of those to whom something is lent, as long as it may lose it."""
        if not host.lent or host.permits is not None or not self._queue.is_clear(host.group):
            return None
        # The last of them is the youngest, and older than all who wait: it is their place that is given up.
        ticket = next(reversed(host.lent))
        connection = ticket.connection
        assert connection is not None, "bug: nothing is lent to it"
        if now - ticket.since >= PATIENCE or (unsafe and must_be_new(connection, now)):
            return None
        most = self.limits.waiting
        return ticket if most is None or self.waiting < most else None

    # Deciding

    def _claim(self, host: Host, now: float, unsafe: bool) -> Connection | Ticket:
        """Give a caller that found nothing idle a slot, or what is lent to a sleeper, or a place in the queue."""
        if self._may_open(host, now):
            return self._open(host, now)
        ticket = self.to_overtake(host, now, unsafe)
        return self._enqueue(host, now, unsafe) if ticket is None else self._overtake(ticket, now)

    # Moving

    def _overtake(self, ticket: Ticket, now: float) -> Connection:
        """Take a connection from the caller it is lent to, who goes back to the front of the queue."""
        connection, host = ticket.connection, ticket.host
        assert connection is not None, "bug: nothing is lent to it"
        # Nothing is called before the caller is in the queue; see `interrupted`.
        self.given, ticket.connection = connection, None
        del host.lent[ticket], host.busy[connection]
        ticket.reuses = False
        ticket.has_lost = True
        self.counters.waited -= connection.taken_at - ticket.since
        host.waiters[ticket] = None
        self._queue.length += 1
        host.waiters.move_to_end(ticket, last=False)
        self._queue.enter(host)
        self._hold(connection, now)
        return connection

    def _call(self, ticket: Ticket, connection: Connection, now: float) -> None:
        """Wake a caller, unless it is coming anyhow, or another one's coming is awaited first."""
        if connection.state is not _BUSY:  # A slot to dial in is nobody's but its caller's.
            ticket.is_coming = True
            super()._call(ticket, connection, now)
            return
        lent = ticket.host.lent
        lent[ticket] = None
        if len(lent) == 1 or now - ticket.since >= PATIENCE:
            self._wake(ticket)

    def _call_next(self, host: Host) -> None:
        """Call the first of those to whom something is lent."""
        if host.lent:
            self._wake(next(iter(host.lent)))

    def _wake(self, ticket: Ticket) -> None:
        if not ticket.is_coming:
            ticket.is_coming = True
            self.orders.append(Serve(ticket))
