"""Late binding: the pool dials, and a new connection goes to whoever waits longest when it is there.

For front ends whose dials belong to the pool. Where no connection is idle, a caller gets a ticket, and with it a dial
(it is *bound*) if there is room for one. Whatever comes free first serves it: its dial, another's, or a connection that
is given back.

Invariants, beside those of `pool.py`:
    5. A dial is under way for at most one caller, and a bound caller counts on exactly one dial.
    6. Within a host everybody who is bound came before everybody who waits for room.
    7. A dial nobody counts on, a *spare* one, is kept only as long as its slot would serve no caller that waits.

A spare dial is finished and its connection shelved, as in Chromium, Go and hyper: two requests that overlap for a
moment would otherwise begin a handshake and throw it away each time, and never have a second connection. If its slot is
needed it is cancelled (Chromium's `CancelRequest` at the socket limit does the same): before any idle connection is
closed, because it has cost the least. It outlives neither the limits of the caller it was begun for nor
`LONGEST_SPARE`, so none piles up (Go #76784).

A dial that takes long may never end: a server that accepts and is silent, a packet filter that drops. Nobody begins to
count on one whose caller has given up unless it is `YOUNG`; the newcomer gets a dial of its own, and the old one goes
on beside it, or gives way where the host is full. Otherwise one such dial would hold up every later caller.

A failed dial fails the caller who counts on it and nobody else, so a dead host sees one dial for each caller, never
more at once than the cap. A request that is sent again dials for itself (`redialled`, `connected`, `connect_failed`):
it must not be given a connection that was used before.

Knows, and does not know: as `pool.py`. Every fact costs the same as there.
"""

from __future__ import annotations

from collections import OrderedDict

from keeppool.config import Limits
from keeppool.core.pool import MOST_PER_TICK, PoolState
from keeppool.core.records import NEVER, Bind, Cancel, Connect, Connection, Host, Permits, Serve, State, Ticket
from keeppool.core.trust import refuses
from keeppool.errors import PoolClosed
from keeppool.reasons import Why

#: Seconds from its beginning within which a dial whose caller gave up is as good as a new one. RFC 8305 §8 waits for
#: an answer to a connection attempt as long ("Connection Attempt Delay", 250 ms) before it begins another beside it.
YOUNG = 0.25
#: Seconds after which a dial nobody counts on is broken off, whatever limit its caller had set, or without one;
#: a dial older than that is passed on to nobody. It is what a dial may take where nobody sets a limit: the default of
#: `Timeout.connect`.
LONGEST_SPARE = 10.0


class LatePoolState(PoolState):
    """The tables of a pool that dials for its callers. `requested` gives a connection to use, or a ticket."""

    __slots__ = ("_spare",)

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        #: Dials nobody counts on, the longest spare first, and since when they are.
        self._spare: OrderedDict[Connection, float] = OrderedDict()

    # Facts

    def dialled(self, connection: Connection, now: float) -> bool:
        """A dial of the pool ended well. False if it was cancelled meanwhile: the front end closes what it got.

        Whoever waits longest for this host gets the connection; the caller who counted on it counts on that one's dial
        from here on.
        """
        if connection.state is not State.CONNECTING:
            return False
        self.counters.opened += 1
        connection.born_at = connection.read_at = now
        host, caller = connection.host, self._unbind(connection)
        self._hold(connection, now)
        if not host.bound:
            self.released(connection, None, now)
            return True
        first, freed = self._first_bound(host)
        self._serve(first, connection, now)
        if caller is None:
            self._offer(freed, now)
        elif caller is not first:
            self._count_on(freed, caller)
            self.orders.append(Bind(caller))
        return True

    def dial_failed(self, connection: Connection, failure: Exception | None, now: float) -> None:
        """A dial of the pool failed; the slot goes to whoever waits.

        Args:
            connection: The one to be dialled.
            failure: What the caller who counts on it gets; `None` if it has to go on with another dial, because only
                a time that another caller had set was up.
            now: The time.
        """
        if connection.state is not State.CONNECTING:
            return
        connection.host.tally.failed += 1
        self.counters.connect_failed += 1
        host, caller = connection.host, self._unbind(connection)
        self._vacate(connection)
        self._unused(host)
        if caller is not None and failure is not None:
            self._fail(caller, failure)
        elif caller is not None:
            self._dial_for(caller, now)
        self._grant(now)
        self._forget(host)

    def found_stale(self, connection: Connection, why: Why, now: float, unsafe: bool = False) -> Connection | Ticket:
        """As `found_dead`, but nobody has to dial: the holder gets an idle connection, or goes before all who wait.

        Where a fleet's lease is over nothing may be dialled, so it goes behind them.

        Raises:
            PoolClosed: The pool was closed meanwhile; the holder has nothing any more.
        """
        self.counters.reused -= 1
        self._learn(connection, why, connection.read_at, now)
        host = self._close_for_another(connection, why)
        other: Connection | Ticket | None = self._take_idle(host, now, unsafe)
        if other is None and self._is_barred(host, now):
            other = self._queue_up(host, now, unsafe)
        elif other is None:
            other = self._bound_ticket(host, _young(host, now), now, unsafe)
            host.bound.move_to_end(other, last=False)
        self._grant(now)
        return other

    def abandoned(self, ticket: Ticket, now: float) -> None:
        """A caller gave up, at whatever moment; what it was given goes on to the next, and so does its dial."""
        connection, ticket.connection = ticket.connection, None
        if connection is not None:
            self.counters.reused -= ticket.reuses
            self.released(connection, None, now)
        elif ticket.failure is None:
            dial = ticket.dial
            self._dequeue(ticket)
            if dial is not None:
                self._offer(dial, now, YOUNG)
            self._forget(ticket.host)

    def ticked(self, now: float, most: int = MOST_PER_TICK) -> None:
        """As in `PoolState`; dials nobody has counted on for long are broken off.

        Nobody can be waiting for their slots (invariant 7).
        """
        super().ticked(now, most)
        while self._spare and self._spare_until() <= now:
            self._cancel(next(iter(self._spare)))

    def closed_by_user(self) -> None:
        """As in `PoolState`; dials are cancelled, and whoever counts on one waits no longer."""
        for host in list(self._hosts.values()):
            while host.bound:
                ticket, dial = self._first_bound(host)
                name = str(host.origin)
                self._fail(ticket, PoolClosed(f"the pool was closed while {name} was dialled", origin=name))
                dial.ticket = None
                self._break_off(dial)
        for dial in list(self._spare):
            self._cancel(dial)
        super().closed_by_user()

    # Questions

    def next_expiry(self) -> float:
        """As in `PoolState`; spare dials expire too."""
        on_the_shelf = self._shelf.next_expiry()
        return min(on_the_shelf, self._spare_until()) if self._spare else on_the_shelf

    @property
    def may_expire(self) -> bool:
        """Whether there is anything that `ticked` could put an end to."""
        return bool(len(self._shelf) or self._spare)

    def _spare_until(self) -> float:
        """Tell when the oldest spare dial is broken off."""
        return next(iter(self._spare.values()), NEVER) + LONGEST_SPARE

    # Deciding

    def _claim(self, host: Host, now: float, unsafe: bool) -> Ticket:
        """Give a caller that found nothing idle a dial to count on, or a place in the queue."""
        # Where others wait for room there is none (invariant 3), and a fifth of what a caller in the queue costs the
        # core is to find that out again. What a fleet allows may have run out meanwhile, and is looked at.
        if host.waiters and host.permits is None:
            return self._enqueue(host, now, unsafe)
        young = _young(host, now) if host.spare else None
        if young is not None or self._may_open(host, now):
            return self._bound_ticket(host, young, now, unsafe)
        return self._enqueue(host, now, unsafe)

    def _can_have_room(self, host: Host) -> bool:
        """As in `PoolState`; a spare dial gives way before an idle connection does."""
        if self._spare and host.permits is not None:
            self._spare_gives_way(host, host.permits)
        elif self._spare and self._may_replace_spare(host):
            return True
        return super()._can_have_room(host)

    def _spare_gives_way(self, host: Host, permits: Permits) -> None:
        """Let a spare dial give way that stands in the way of one for the host, if the host may have one then."""
        while host.spare and host.is_capped:
            self._cancel(next(iter(host.spare)), host)
        group, total = host.group, self.limits.total
        lacks = permits.open >= permits.allowed
        if host.is_full or (group.is_full and not group.can_make_room):
            return
        if lacks and permits.spare is not None:
            self._cancel(permits.spare, host)
        if group.is_full and group.spare:
            self._cancel(next(iter(group.spare)), host)
        elif total is not None and self.open >= total and self._spare:
            self._cancel(next(iter(self._spare)), host)

    def _drop_one(self, permits: Permits) -> bool:
        """As in `PoolState`; a spare dial goes before an idle connection does."""
        if permits.spare is None:
            return super()._drop_one(permits)
        self._cancel(permits.spare)
        return True

    def _may_replace_spare(self, host: Host) -> bool:
        """Tell whether a spare dial has given way to the host, which may have one more connection then."""
        while host.spare and host.is_full:  # More than one where the cap was lowered meanwhile.
            self._cancel(next(iter(host.spare)), host)
        total = self.limits.total
        spare = host.group.spare if host.group.is_full else self._spare
        if host.is_full or not spare or not (host.group.is_full or (total is not None and self.open >= total)):
            return False
        self._cancel(next(iter(spare)), host)
        return True

    def _pass_on(self, connection: Connection, now: float) -> None:
        """Give a reusable connection to its host's oldest caller, who may count on a dial, unless another's turn is it.

        Who is bound holds a slot already and stands in nobody's way: its dial is what comes free then. One that must
        have a new connection waits for that.
        """
        host = connection.host
        if not host.bound or refuses(next(iter(host.bound)), connection, now):
            super()._pass_on(connection, now)
            return
        ticket = self._next_at(host, now) if host.waiters else None
        if ticket is not None and ticket.host is not host:
            self._give_way(connection, now)
            return
        first, freed = self._first_bound(host)
        self._hand_on(connection, first, now)
        if ticket is None:
            self._offer(freed, now)
        else:
            self._reassign(freed, ticket, now, LONGEST_SPARE)

    def _offer(self, dial: Connection, now: float, too_old: float = LONGEST_SPARE) -> None:
        """Find out what becomes of a dial whose caller has gone, or was served."""
        self._reassign(dial, self._next_at(dial.host, now), now, too_old)

    def _reassign(self, dial: Connection, ticket: Ticket | None, now: float, too_old: float) -> None:
        """Let the caller whose turn it is count on a dial, or have its slot; without one it is spare.

        Args:
            dial: Whoever counted on it counts on it no longer.
            ticket: Of the dial's host or another.
            now: The time.
            too_old: The age, in seconds, at which another dial is begun instead.
        """
        dial.ticket = None
        if ticket is None:
            self._spare[dial] = now
            dial.host.spare[dial] = dial.host.group.spare[dial] = None
        elif ticket.host is dial.host and now - dial.born_at < too_old:
            self._promise(dial, ticket, now)
        else:
            self._break_off(dial, ticket.host)
            self._grant(now)
            self._forget(dial.host)

    # Moving

    def _let_in(self, host: Host, now: float) -> None:
        """Begin a dial for the host's oldest caller."""
        ticket = host.oldest
        self._leave_line(ticket, now)
        self._dial_for(ticket, now)
        host.bound[ticket] = None

    def _promise(self, dial: Connection, ticket: Ticket, now: float) -> None:
        """Let a caller who waits for room count on a dial that is under way."""
        self._leave_line(ticket, now)
        self._count_on(dial, ticket)
        ticket.host.bound[ticket] = None
        self.orders.append(Bind(ticket))

    def _leave_line(self, ticket: Ticket, now: float) -> None:
        """Take a caller out of the line for room; it waits on, as one who is bound."""
        self._dequeue(ticket)
        self.counters.waited += now - ticket.since
        self._moved(ticket.host, now)
        self._queue.length += 1
        self._queue.bound += 1

    def _bound_ticket(self, host: Host, spare: Connection | None, now: float, unsafe: bool) -> Ticket:
        """Make a ticket that counts on a spare dial of the host's, or on a new one; there is room for that."""
        self._tickets += 1
        ticket = Ticket(self._tickets, host, now, unsafe)
        host.bound[ticket] = None
        self._queue.length += 1
        self._queue.bound += 1
        if spare is not None:
            self._unbind(spare)
            self._count_on(spare, ticket)
        else:
            self._dial_for(ticket, now)
        return ticket

    def _dial_for(self, ticket: Ticket, now: float) -> None:
        dial = self._open(ticket.host, now)
        self._count_on(dial, ticket)
        self.orders.append(Connect(dial))

    @staticmethod
    def _first_bound(host: Host) -> tuple[Ticket, Connection]:
        """Give the caller who is served next, of those who are bound, and its dial."""
        ticket = next(iter(host.bound))
        assert ticket.dial is not None, "bug: bound to nothing"
        return ticket, ticket.dial

    @staticmethod
    def _count_on(dial: Connection, ticket: Ticket) -> None:
        dial.ticket, ticket.dial = ticket, dial

    def _unbind(self, dial: Connection) -> Ticket | None:
        """Take a dial out of its place: from its caller, who is returned, or from among the spare ones."""
        ticket, dial.ticket = dial.ticket, None
        if ticket is None:
            del self._spare[dial], dial.host.spare[dial], dial.host.group.spare[dial]
        return ticket

    def _cancel(self, dial: Connection, beneficiary: Host | None = None) -> None:
        """Break off a spare dial."""
        self._unbind(dial)
        self._break_off(dial, beneficiary)

    def _break_off(self, dial: Connection, beneficiary: Host | None = None) -> None:
        """Break off a dial that is in nobody's place, so that `beneficiary` has room; that one is not forgotten."""
        dial.host.tally.failed += 1
        self.counters.connect_failed += 1
        self._vacate(dial)
        self.orders.append(Cancel(dial))
        self._unused(dial.host)
        if dial.host is not beneficiary:
            self._forget(dial.host)

    def _serve(self, ticket: Ticket, connection: Connection, now: float) -> None:
        host = ticket.host
        if ticket.dial is None:
            self.counters.waited += now - ticket.since
        host.moved_at = host.group.moved_at = self.moved_at = now  # `_moved`, on the way of each request at a full cap.
        self._dequeue(ticket)
        ticket.connection = connection
        self.orders.append(Serve(ticket))

    def _fail(self, ticket: Ticket, failure: Exception) -> None:
        self._dequeue(ticket)
        ticket.failure = failure
        self.orders.append(Serve(ticket))

    def _dequeue(self, ticket: Ticket) -> None:
        """Take a caller out of whichever line it stands in."""
        if ticket.dial is None:  # What `PoolState` does, on the way of each request at a full cap.
            del ticket.host.waiters[ticket]
            self._queue.left(ticket.host)
            return
        ticket.dial = None
        del ticket.host.bound[ticket]
        self._queue.length -= 1
        self._queue.bound -= 1


def _young(host: Host, now: float) -> Connection | None:
    """Give the longest spare dial of a host that a newcomer may count on, if there is one."""
    return next((dial for dial in host.spare if now - dial.born_at < YOUNG), None)
