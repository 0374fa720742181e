"""The pool: who gets which connection, who waits, who must go.

Facts come in as past-tense calls that carry `now`; decisions leave as orders in `orders`, which the front end performs
one by one after its lock is released. Three facts are answered at once, because their reporter needs nothing else to go
on: `requested`, `found_dead` and `redialled` return the connection (to use if BUSY, to dial if CONNECTING), the first
two of them a ticket where there is none to be had.

Invariants, checked after every step by the tests' state machine:
    1. Connecting, busy and idle connections together never exceed a cap, and the counters equal a recount.
    2. A connection is in exactly one place: on the shelf, with one holder, in one ticket, or closed.
    3. A caller waits only if its host, its proxy or the pool is full and nothing idle could be closed to make room.
    4. A ticket ends exactly once: served, failed or abandoned.

The file is long for this house, because whatever the fact, the same few rules decide what follows from it.

Every fact costs O(1), but for the logarithm of the hosts that wait for the total at that moment.

Knows: numbers, records, reasons.
Does not know: sockets, threads, locks, clocks, HTTP; what a move is counted in (`books.py`).
"""

from __future__ import annotations

from keeppool.core.books import Books
from keeppool.core.lifetime import settle
from keeppool.core.origin import Origin
from keeppool.core.records import (
    Claim,
    Connection,
    Group,
    Host,
    Permits,
    Pipeline,
    Policy,
    Serve,
    State,
    Ticket,
)
from keeppool.core.trust import must_be_new, refuses
from keeppool.errors import PoolClosed
from keeppool.reasons import Why

#: How often a released connection may serve its own host although an older caller of another host waits for the total.
#: Keeping the connection saves that host a handshake; the bound keeps the other from starving. At 8 a busy host pays
#: for one handshake in nine requests.
MOST_OVERTAKES = 8
#: Connections one tick closes at the most, so that nobody waits for a long clean-up; the next tick goes on.
MOST_PER_TICK = 64

# Looked up on the way of every request; as members of the class they would cost three times as much (Python 3.11).
_IDLE = State.IDLE


class PoolState(Books):
    """The pool as its front end meets it: told of facts, giving orders.

    Args:
        limits: `total`, `per_proxy` and `waiting` are read here; what may differ by host comes with each request.

    Thread safety: none. The caller holds one lock around every call, or runs on one event loop.
    """

    __slots__ = ()

    # Facts

    def requested(self, origin: Origin, policy: Policy, now: float, unsafe: bool = False) -> Connection | Ticket:
        """A caller wants a connection: the newest idle one, else a new one, else a place in the queue.

        Args:
            origin: Where to.
            policy: The limits that hold there.
            now: The time.
            unsafe: The request could not be sent again. It gets no connection that `trust.must_be_new` forbids; the
                front end watches one for as long as `trust.seconds_to_watch` says before it is used.

        Raises:
            PoolClosed: The pool takes no more requests.
            QueueFull: `limits.waiting` callers already wait.
        """
        host = self._hosts.get(origin)
        if host is None:
            host = self._admit(origin, policy, now)
        elif policy is not host.policy:
            self._change_policy(host, policy, now)
        if host.idle and (connection := self._take_idle(host, now, unsafe)) is not None:
            return connection
        if self.is_closed:
            self._forget(host)
            raise PoolClosed(f"the pool is closed; nothing was sent to {origin}", origin=str(origin))
        return self._claim(host, now, unsafe)

    def connected(self, connection: Connection, now: float) -> bool:
        """The dial ended well. False if the pool was closed meanwhile: the connection is closed by order."""
        self.counters.opened += 1
        connection.born_at = connection.read_at = now
        if self.is_closed:
            self._close(connection, Why.POOL_CLOSED)
            self._forget(connection.host)
            return False
        self._hold(connection, now)
        if self._queue.length:
            self._moved(connection.host, now)
        return True

    def connect_failed(self, connection: Connection, now: float) -> None:
        """The dial failed, or its caller gave up; the slot goes to whoever waits."""
        connection.host.tally.failed += 1
        self.counters.connect_failed += 1
        self._vacate(connection)
        self._unused(connection.host)
        self._grant(now)
        self._forget(connection.host)

    def released(self, connection: Connection, why: Why | None, now: float) -> None:
        """An exchange is over. `why` tells why the connection cannot carry another one, `None` that it can.

        `connection.read_at` is up to date. A caller of its own host takes the connection, unless an older one of
        another host has been passed over often enough; else it goes on the shelf.
        """
        if connection.pipeline is not None:
            return self._released_pipeline(connection, connection.pipeline, why, now)
        # Not `del`: an interrupt may have ended an earlier try right here, and whoever cleans up after it comes again.
        connection.host.busy.pop(connection, None)
        if connection.served == 2:
            self._proved(connection.host, now)
        if why is None:
            why = self._why_spent(connection, now)
        if why is not None:
            if connection in connection.host.idle:  # Only where an interrupt has ended an earlier try.
                self._shelf.take(connection)
            if connection.served:  # One that has carried nothing has never been idle.
                self._learn(connection, why, None, now)
            self._close(connection, why)
            self._grant(now)
            self._forget(connection.host)
        elif self._queue.length:
            self._pass_on(connection, now)
            if connection.host.pipelines is not None:
                self._fill(connection.host, now)
        else:
            self._shelf.put(connection)
            connection.state = _IDLE  # Last: until then whoever cleans up after an interrupt comes again.
        return None

    def found_dead(self, connection: Connection, why: Why, now: float, unsafe: bool = False) -> Connection | Ticket:
        """The connection just handed out turned out unusable. Its holder gets another: idle, or to be dialled.

        Where a fleet's lease is over nothing may be dialled, so its holder waits. `unsafe` is as for `requested`.

        Raises:
            PoolClosed: The pool was closed meanwhile; the holder has nothing any more.
        """
        self.counters.reused -= 1
        self._learn(connection, why, self._looked_at, now)
        host = self._close_for_another(connection, why)
        other: Connection | Ticket | None = self._take_idle(host, now, unsafe)
        if other is None:
            other = self._queue_up(host, now, unsafe) if self._is_barred(host, now) else self._open(host, now)
        self.reply = other
        self._grant(now)
        self.reply = None
        return other

    def redialled(self, connection: Connection, why: Why, now: float) -> Connection:
        """The exchange failed and goes on over a new connection, in the same slot.

        Idle connections of the host that were read from no later are at least as stale: they are closed too, so that
        after a server's restart one request finds out for all. Not where the server has answered: it has no more to do
        with them than before.

        Raises:
            PoolClosed: The pool was closed meanwhile; the holder has nothing any more.
        """
        for idle in list(connection.host.idle) if why is not Why.REQUEST_UNSENT else ():
            if idle.read_at <= connection.read_at:
                self._shelf.take(idle)
                self._close(idle, Why.PEER_CLOSED)
        self._learn(connection, why, None, now)
        host = self._close_for_another(connection, why)
        self.counters.resent += 1
        other = self.reply = self._open(host, now)
        self._grant(now)
        self.reply = None
        return other

    def abandoned(self, ticket: Ticket, now: float) -> None:
        """A caller in the queue gave up, at whatever moment; what it was given goes on to the next."""
        connection, ticket.connection = ticket.connection, None
        if connection is None:
            if ticket.failure is None:
                self._dequeue(ticket)
                self._forget(ticket.host)
        elif connection.state is State.CONNECTING:
            self._not_dialled(connection, now)
        else:
            self.counters.reused -= 1
            self.released(connection, None, now)

    def interrupted(self, now: float) -> None:
        """An interrupt has ended a fact: its reporter has nothing, and others may not have been told what they have.

        Between two steps that call nothing no interrupt strikes. So `given` and `reply` are written in one go with the
        tables. What its reporter has brought, and has still to give back, is left as it is.
        """
        given, reply = self.given, self.reply
        self.given = self.reply = None
        if isinstance(given, Ticket) and given.connection is not None:
            given.host.waiters.pop(given, None)
            self._call(given, given.connection, now)
            given = None
        self._count_anew()
        self._restore(given, now)
        if reply is not given:
            self._restore(reply, now)
        self._grant(now)
        for host in list(self._hosts.values()):
            self._forget(host)

    def _restore(self, given: Connection | Ticket | None, now: float) -> None:
        """Put what nobody has where it belongs, whatever an interrupt has left undone of a move."""
        if isinstance(given, Ticket):
            if given in given.host.waiters:
                self.abandoned(given, now)
        elif given is None:
            return
        elif given.state is State.CONNECTING:
            self._not_dialled(given, now)
        elif given.state is State.BUSY:
            if given in given.host.idle:
                self._shelf.take(given)
            self.released(given, None, now)
        elif given.state is State.IDLE and given not in given.host.idle:
            self._shelf.put(given)  # It was about to be closed, to make room.

    def peer_closed(self, connection: Connection, why: Why, now: float, alive_at: float | None = None) -> None:
        """Something happened on an idle connection: it was closed, or sent bytes nobody asked for.

        Nobody can be waiting for its slot: whoever waits would have had it closed (invariant 3).

        Args:
            connection: Which.
            why: What happened.
            now: The time.
            alive_at: When it was last known to be open; `None` for when all idle connections were looked at last.
        """
        if connection.state is State.IDLE:
            self._learn(connection, why, self._looked_at if alive_at is None else alive_at, now)
            self._shelf.take(connection)
            self._close(connection, why)
            self._forget(connection.host)

    # A fleet's permits. They are asked for by order, and by whoever renews the lease on them.

    def call_begins(self, key: str) -> Claim:
        """The fleet is about to be asked, or told, about a key; permits that nobody wants any more are let go of.

        From here on the pool holds what is claimed, and no more until `permits` says so.
        """
        permits = self._permits.get(key)
        if permits is None:
            return Claim(0, 0, None, None)
        permits.is_due = False
        wanted = self._wanted(permits)
        meant = min(wanted, max(permits.allowed - permits.open, 0))
        permits.allowed = min(permits.allowed, permits.open + meant)
        per_host = next(iter(permits.hosts)).policy.per_host
        return Claim(permits.open + meant, wanted - meant, permits.cap, per_host)

    def permits(self, key: str, n: int, now: float, until: float, *, is_wanted: bool = False) -> int:
        """The fleet lets the pool have `n` connections of a key.

        What serves nobody is closed if it is too much, dials before idle connections; what is busy, when it comes free.

        Args:
            key: Which; that of a host without connections and callers is of no interest any more.
            n: How many, those that are open included.
            now: The time.
            until: When what is not used yet must not be used any more.
            is_wanted: Other members ask for some: what comes free is given back at once.

        Returns:
            How many callers still wait for a permit: the fleet is to be asked again.
        """
        permits = self._permits.get(key)
        if permits is None:
            return 0
        permits.allowed, permits.until, permits.is_wanted, permits.is_over = n, until, is_wanted, False
        permits.expire(now)
        while permits.open > n and self._drop_one(permits):
            pass
        for host in list(permits.hosts):
            self._seat(host, now)
        self._enter_all(permits)
        self._grant(now)
        return self._wanted(permits) if permits.open >= permits.allowed else 0

    def looked(self, now: float) -> None:
        """All idle connections were looked at: those that are not reported as closed were open at that time."""
        self._looked_at = now

    def ticked(self, now: float, most: int = MOST_PER_TICK) -> None:
        """Time passed: close what has expired on the shelf, `most` connections at a time."""
        for _ in range(most):
            connection = self._shelf.take_expired(now)
            if connection is None:
                return
            self._close(connection, connection.expires_by)
            self._forget(connection.host)

    def closed_by_user(self) -> None:
        """The user closed the pool: idle connections close now, busy ones when released, nobody waits on."""
        self.is_closed = True
        for connection in self._shelf.all():
            self._shelf.take(connection)
            self._close(connection, Why.POOL_CLOSED)
        for host in list(self._hosts.values()):
            for ticket in list(host.waiters):
                name = str(host.origin)
                ticket.failure = PoolClosed(f"the pool was closed while a request to {name} waited", origin=name)
                self.orders.append(Serve(ticket))
                self._dequeue(ticket)  # Last: whom an interrupt leaves out is told when the pool is closed again.
            self._forget(host)

    # Questions

    def stalled(self, ticket: Ticket, now: float) -> float:
        """Tell for how many seconds the queue has stood still that a caller stands in, or since the caller is in it.

        A queue moves when somebody in it is served, and when a connection that its callers wait for has been opened.
        A caller waits for its host's cap, else for its proxy's, else for the total.
        """
        host = ticket.host
        held_by = host if host.is_full else host.group if host.group.is_full else self
        return now - max(ticket.since, held_by.moved_at)

    def to_overtake(self, host: Host, now: float, unsafe: bool) -> Ticket | None:
        """Tell from whom a newcomer would take a connection that was given and not fetched (`barging.py`)."""
        return None

    def distrusted(self, now: float) -> list[Origin]:
        """List the origins that are sent no requests behind each other on one connection; where nobody rides, none."""
        return []

    # Deciding

    def _wanted(self, permits: Permits) -> int:
        """Count the callers who could have a connection if there were permits for them."""
        total = self.limits.total
        room = None if total is None else total - self.open
        wanted = 0
        for host in permits.hosts:
            if host.waiters and not host.is_capped and (not host.group.is_full or host.group.can_make_room):
                cap = host.policy.per_host
                wanted += len(host.waiters) if cap is None else min(len(host.waiters), cap - host.open)
        return wanted if room is None else min(wanted, max(room, min(len(self._shelf), 1)))

    def _drop_one(self, permits: Permits) -> bool:
        """Close a connection of a key that serves nobody, because the fleet allows one less; False if there is none."""
        victim = permits.least_recent
        if victim is None:
            return False
        self._shelf.take(victim)
        self._close(victim, Why.FLEET)
        self._forget(victim.host)
        return True

    def _claim(self, host: Host, now: float, unsafe: bool) -> Connection | Ticket:
        """Give a caller that found nothing idle a slot, or a place in the queue."""
        if self._may_open(host, now):
            return self._open(host, now)
        return self._enqueue(host, now, unsafe)

    def _take_idle(self, host: Host, now: float, unsafe: bool) -> Connection | None:
        """Take the host's newest idle connection that has not expired; close the expired ones met on the way."""
        if unsafe and not self._has_trusted(host, now):
            return None
        while host.idle:
            connection = next(reversed(host.idle))
            if now < connection.expires_at:
                self._hold(connection, now)  # First: it is in one place at the least, whenever an interrupt comes.
                self._shelf.take(connection)
                self.counters.reused += 1
                return connection
            self.given = connection
            self._shelf.take(connection)
            self._close(connection, connection.expires_by)
        return None

    def _has_trusted(self, host: Host, now: float) -> bool:
        """Tell whether the host's newest idle connection may carry an unsafe request; if not, make room for another."""
        if host.idle and not must_be_new(next(reversed(host.idle)), now):
            return True
        while host.idle and host.is_capped and not self._is_barred(host, now):
            self._evict(next(iter(host.idle)), host)  # More than one where the cap was lowered meanwhile.
        return False

    def _may_open(self, host: Host, now: float) -> bool:
        """Tell whether the host may have one more connection; close the least recently used idle one if that helps."""
        if host.permits is not None:
            host.permits.expire(now)
        return self._can_have_room(host)

    @staticmethod
    def _is_barred(host: Host, now: float) -> bool:
        """Tell whether a fleet's lease is over, so that nothing may be dialled, not even in the place of another."""
        if host.permits is None:
            return False
        host.permits.expire(now)
        return host.permits.is_over

    def _can_have_room(self, host: Host) -> bool:
        """As `_may_open`, where what the fleet says is up to date."""
        permits = host.permits
        if host.is_full:
            return False
        group, total = host.group, self.limits.total
        if group.is_full and not group.idle:
            return False
        if permits is not None and permits.open >= permits.allowed:
            victim = permits.least_recent
            if victim is None:
                return False
            self._evict(victim, host)
        if group.is_full:
            self._evict(next(iter(group.idle)), host)
        elif total is not None and self.open >= total:
            if not len(self._shelf):
                return False
            self._evict(self._shelf.least_recent(), host)
        return True

    def _pass_on(self, connection: Connection, now: float) -> None:
        """Give a reusable connection, or its slot, to the caller whose turn it is; shelve it if nobody can use it."""
        host = connection.host
        if host.waiters and host.permits is None and self._queue.is_clear(host.group):
            # What `_next_at` finds in the usual case, on the way of each request at a full cap.
            return self._hand_on(connection, next(iter(host.waiters)), now)
        ticket = self._next_at(host, now)
        if ticket is None:
            self._lay_down(connection)
        elif ticket.host is host:
            self._hand_on(connection, ticket, now)
        else:
            self._give_way(connection, now)
        return None

    def _next_at(self, host: Host, now: float) -> Ticket | None:
        """Tell whose turn it is where something of this host has come free: its own oldest's, or an older one's."""
        mine = host.oldest if host.waiters else None
        if host.permits is None and self._queue.is_clear(host.group):
            return mine
        rival_host = self._next_host(host.group, now)
        if host.permits is not None:
            host.permits.expire(now)
            if not host.permits.is_over:
                rival_host = self._older(rival_host, host.permits, host)
        rival = None if rival_host is None else rival_host.oldest
        if mine is None or (rival is not None and not self._may_overtake(mine, rival)):
            return rival
        return mine

    def _next_host(self, group: Group, now: float) -> Host | None:
        """Find the host whose oldest caller is the first of those who could use what has come free in this group."""
        while (host := self._queue.oldest(group)) is not None:
            if host.permits is None or now < host.permits.until:
                break
            host.permits.expire(now)  # It lacks a permit from here on, and is out of the line.
        return host

    def _released_pipeline(self, connection: Connection, pipeline: Pipeline, why: Why | None, now: float) -> None:
        """As `released`, for a connection that others may have boarded; only where callers ride (`riding.py`)."""
        raise NotImplementedError

    def _fill(self, host: Host, now: float) -> None:
        """The caller at the front of a host's line may be another: let it ride; only where callers do (`riding.py`)."""
        raise NotImplementedError

    @staticmethod
    def _older(rival: Host | None, permits: Permits, freed: Host) -> Host | None:
        """Give the host whose oldest caller is the older one: `rival`, or one that lacks what `freed` has let go."""
        for host in permits.hosts:
            if host is freed or not host.waiters or host.is_capped:
                continue
            has_room = host.group is freed.group or not host.group.is_full or host.group.can_make_room
            if has_room and (rival is None or host.oldest.number < rival.oldest.number):
                rival = host
        return rival

    def _hand_on(self, connection: Connection, ticket: Ticket, now: float) -> None:
        """Give an open connection to a caller of its own host, or its slot where it must be a new one."""
        if refuses(ticket, connection, now):
            if self._is_barred(connection.host, now):
                self._pass_by(connection, now)
            else:
                self._give_way(connection, now)
            return
        self._hold(connection, now)
        self.counters.reused += 1
        ticket.reuses = True
        self._serve(ticket, connection, now)

    def _pass_by(self, connection: Connection, now: float) -> None:
        """Keep a connection that the caller whose turn it is must not have, and in whose place nothing may be dialled.

        The first caller of its host gets it who may have it. `_seat` makes room when the fleet's lease holds again.
        """
        ticket = next((one for one in connection.host.waiters if not refuses(one, connection, now)), None)
        if ticket is None:
            self._lay_down(connection)
        else:
            self._hand_on(connection, ticket, now)

    def _lay_down(self, connection: Connection) -> None:
        """Shelve a connection; from then on it can make room for those who share its permits."""
        self._shelf.put(connection)
        connection.state = _IDLE
        if connection.host.permits is not None:
            self._enter_all(connection.host.permits)

    def _seat(self, host: Host, now: float) -> None:
        """Give a host's oldest callers what is idle there, or have it make room, now that something may be dialled."""
        while host.waiters and host.idle:
            ticket = host.oldest
            connection = self._take_idle(host, now, ticket.unsafe)
            if connection is None:
                return
            ticket.reuses = True
            self._serve(ticket, connection, now)

    def _not_dialled(self, connection: Connection, now: float) -> None:
        """Give up the slot of a dial that has not begun; it goes to whoever waits."""
        self._vacate(connection)
        self._unused(connection.host)
        self._grant(now)
        self._forget(connection.host)

    def _give_way(self, connection: Connection, now: float) -> None:
        """Close a good connection, because a caller needs its slot who cannot use it: most often of another host."""
        self._close(connection, Why.EVICTED)
        self._grant(now)
        self._forget(connection.host)

    @staticmethod
    def _may_overtake(mine: Ticket, rival: Ticket) -> bool:
        if rival.number >= mine.number:
            return True
        rival.overtaken += 1
        return rival.overtaken <= MOST_OVERTAKES

    def _grant(self, now: float) -> None:
        """Hand out the room there is, to the oldest caller that can use it."""
        while self._queue.length:
            host = self._queue.oldest()
            if host is None:
                return
            if self._may_open(host, now):
                self._let_in(host, now)
            elif not host.lacks_permit:  # Another may be served where its lease has just run out.
                return

    def _let_in(self, host: Host, now: float) -> None:
        """Give the host's oldest caller the slot there is: from here on it dials."""
        self._serve(host.oldest, self._open(host, now), now)

    def _why_spent(self, connection: Connection, now: float) -> Why | None:
        """Tell why a connection at the end of a good exchange is done for; else set when it expires."""
        if self.is_closed:
            return Why.POOL_CLOSED
        permits = connection.host.permits
        if permits is not None and permits.open > permits.allowed:
            return Why.FLEET
        habit = connection.host.habit
        if habit is None or habit.closes is None:
            return settle(connection, now, None)
        return settle(connection, now, habit.limit_after(connection.rested, now))

    def _change_policy(self, host: Host, policy: Policy, now: float) -> None:
        """The newest request's limits hold for the host, its idle connections included; a higher cap may serve some."""
        host.policy = policy
        if host.permits is not None and policy.permit_key == host.permits.key:
            host.permits.cap = policy.permit_cap
        for connection in list(host.idle):
            why = self._why_spent(connection, now)
            if why is None:
                self._shelf.renew(connection)
            else:
                self._shelf.take(connection)
                self._close(connection, why)
        if host.waiters:
            self._queue.enter(host)
            self._grant(now)
