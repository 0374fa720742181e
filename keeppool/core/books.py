"""The pool's books: every host, connection and caller there is, and the moves that change them, each in one place.

Decides: nothing. `pool.py` and what is built on it say what is to be done; a move enters it wherever it counts.
Knows: where a slot, a permit and a place in the queue are counted; which order goes with a move.
Does not know: whose turn it is, why something has to go, and whatever `pool.py` does not know either.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sized

from keeppool.config import Limits
from keeppool.core.habits import Habit, Habits
from keeppool.core.idle import Shelf
from keeppool.core.origin import Origin, Proxy
from keeppool.core.records import (
    LONG_AGO,
    Close,
    Connection,
    Counters,
    GiveBack,
    Group,
    Host,
    Order,
    Permits,
    Policy,
    Serve,
    State,
    Ticket,
)
from keeppool.core.tallies import Tallies
from keeppool.core.trust import ages_of
from keeppool.core.waiting import Queue
from keeppool.errors import PoolClosed, QueueFull
from keeppool.reasons import Why

# Looked up on the way of every request; as members of the class they would cost three times as much (Python 3.11).
_BUSY = State.BUSY


class Books:
    """The tables of a pool, and the moves on them.

    Args:
        limits: `total`, `per_proxy` and `waiting` are read here; what may differ by host comes with each request.

    Thread safety: none. The caller holds one lock around every call, or runs on one event loop.
    """

    __slots__ = (
        "_connections",
        "_groups",
        "_habits",
        "_hosts",
        "_looked_at",
        "_permits",
        "_queue",
        "_shelf",
        "_tallies",
        "_tickets",
        "counters",
        "given",
        "is_closed",
        "limits",
        "moved_at",
        "open",
        "orders",
        "reply",
        "shelved",
    )

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        #: What the front end has to do, oldest first; it takes each order off when it is done.
        self.orders: deque[Order] = deque()
        self.counters = Counters()
        #: What the fact under way gives to its reporter or to somebody in the queue, or takes to make room for that;
        #: and what it has for its reporter, while it goes on to serve others. Where an interrupt ends one,
        #: `interrupted` puts both where they belong; the front end clears the first before.
        self.given: Connection | Ticket | None = None
        self.reply: Connection | Ticket | None = None
        self.is_closed = False
        #: Connections held: connecting, busy and idle.
        self.open = 0
        #: When the queue of those who wait for the total last moved.
        self.moved_at = LONG_AGO
        self._hosts: dict[Origin, Host] = {}
        self._groups: dict[Proxy | None, Group] = {}
        self._shelf = Shelf()
        #: The idle connections, to be counted on the way of a request without a call.
        self.shelved: Sized = self._shelf.order
        self._queue = Queue(self.orders)
        self._permits: dict[str, Permits] = {}
        self._habits = Habits()
        self._tallies = Tallies()
        self._looked_at = LONG_AGO
        self._connections = 0
        self._tickets = 0

    # Questions

    def next_expiry(self) -> float:
        """Give a time before which `ticked` has nothing to do."""
        return self._shelf.next_expiry()

    @property
    def idle(self) -> int:
        """Connections on the shelf."""
        return len(self._shelf)

    @property
    def waiting(self) -> int:
        """Callers who wait for room."""
        return self._queue.length - self._queue.bound

    def learned(self, now: float) -> dict[Origin, float]:
        """List the idle limits, in seconds, that servers' silent closes have taught."""
        return self._habits.limits(now)

    def not_keeping(self, now: float) -> list[Origin]:
        """List the origins whose servers hang up behind each response, as far as is known."""
        return self._habits.not_keeping(now)

    def hosts(self) -> Iterator[Host]:
        """Go through the hosts that have a connection or a caller."""
        return iter(self._hosts.values())

    def host_of(self, origin: Origin) -> Host | None:
        """Give the record of an origin, if it has a connection or a caller."""
        return self._hosts.get(origin)

    def group_of(self, origin: Origin) -> Group | None:
        """Give the record of the hosts behind an origin's proxy, or of those without one, if there is one."""
        return self._groups.get(origin.proxy)

    def habit_of(self, origin: Origin, now: float) -> Habit | None:
        """Tell what is known of how an origin's server keeps connections."""
        return self._habits.known(origin, now)

    def idle_connections(self) -> list[Connection]:
        """List what is on the shelf, least recently used first."""
        return self._shelf.all()

    def everything(self) -> list[Connection]:
        """List every connection that has been opened and not closed: idle, and in somebody's hands."""
        return [connection for host in self._hosts.values() for connection in (*host.idle, *host.busy)]

    def permit_keys(self) -> list[str]:
        """List the keys of which the pool has, or wants, connections."""
        return list(self._permits)

    def permit_records(self) -> Iterator[Permits]:
        """Go through what the fleet lets the pool have, by key."""
        return iter(self._permits.values())

    # Moves

    def _admit(self, origin: Origin, policy: Policy, now: float) -> Host:
        group = self._groups.get(origin.proxy)
        if group is None:
            cap = None if origin.proxy is None else self.limits.per_proxy
            group = self._groups[origin.proxy] = Group(origin.proxy, cap)
        group.hosts += 1
        host = self._hosts[origin] = Host(origin, policy, group, self._tallies.come_back(origin))
        host.habit = self._habits.known(origin, now)
        if policy.permit_key is not None:
            self._share_permits(host, policy.permit_key)
        return host

    def _share_permits(self, host: Host, key: str) -> None:
        """Let a new host have its part in the permits of its key."""
        permits = self._permits.get(key)
        if permits is None:
            permits = self._permits[key] = Permits(key, host.policy.permit_cap)
        permits.cap = host.policy.permit_cap
        permits.hosts[host] = None
        host.permits = permits

    def _enter_all(self, permits: Permits) -> None:
        """Let all hosts stand in line that may hope for a permit again."""
        for host in permits.hosts:
            self._queue.enter(host)

    def _forget(self, host: Host) -> None:
        """Drop a host without connections and callers: the tables hold what is alive and nothing else."""
        if not host.open and not host.waiters and self._hosts.get(host.origin) is host:
            del self._hosts[host.origin]
            self._tallies.keep(host.origin, host.tally)
            host.group.hosts -= 1
            if not host.group.hosts:
                del self._groups[host.group.proxy]
            if host.permits is not None:
                self._leave_permits(host, host.permits)

    def _leave_permits(self, host: Host, permits: Permits) -> None:
        """Let go of what the fleet has given for a key of which nobody wants anything any more."""
        del permits.hosts[host]
        if not permits.hosts:
            del self._permits[permits.key]
            self.orders.append(GiveBack(permits.key))

    def _open(self, host: Host, now: float) -> Connection:
        self._connections += 1
        connection = Connection(self._connections, host, now)
        # Nothing is called from here on; see `interrupted`.
        host.open += 1
        host.group.open += 1
        if host.permits is not None:
            host.permits.open += 1
        self.open += 1
        if self.open > self.counters.peak_open:
            self.counters.peak_open = self.open
        self.given = connection
        return connection

    def _hold(self, connection: Connection, now: float) -> None:
        self.given = connection
        connection.state = _BUSY
        connection.taken_at = now
        connection.rested = now - connection.read_at
        connection.generation += 1
        connection.host.busy[connection] = None

    def _vacate(self, connection: Connection) -> None:
        """Give up a slot: the only place that counts down, and lets those stand in line who may now hope for it."""
        connection.state = State.CLOSED
        host = connection.host
        host.open -= 1
        host.group.open -= 1
        self.open -= 1
        permits = host.permits
        if permits is not None:
            permits.open -= 1
        if self._queue.length:
            self._queue.enter(host)
            self._queue.unpark(host.group)
            if permits is not None:
                self._enter_all(permits)

    def _close(self, connection: Connection, why: Why) -> None:
        self._vacate(connection)
        self.counters.closed_by[why] += 1
        self.counters.answered += connection.served
        connection.host.tally.closed(why, connection.served)
        self.orders.append(Close(connection, why))
        if connection.host.permits is not None:
            self._unused(connection.host)

    def _unused(self, host: Host) -> None:
        """Have a permit given back that has come free while others ask; after the order to close its socket."""
        permits = host.permits
        if permits is not None and permits.is_wanted and not permits.is_due:
            permits.is_due = True
            self.orders.append(GiveBack(permits.key))

    def _moved(self, host: Host, now: float) -> None:
        """Take note that the queues move in which a host's callers stand."""
        host.moved_at = host.group.moved_at = self.moved_at = now

    def _close_for_another(self, connection: Connection, why: Why) -> Host:
        """Close a connection whose holder is to get another one in its place."""
        host = connection.host
        del host.busy[connection]
        self._close(connection, why)
        if self.is_closed:
            self._forget(host)
            raise PoolClosed(f"the pool was closed during a request to {host.origin}", origin=str(host.origin))
        return host

    def _proved(self, host: Host, now: float) -> None:
        """Remember that a connection to this host has carried a second exchange."""
        host.habit = self._habits.noted(host.origin, host.habit, now)
        host.habit.proved(now)

    def _learn(self, connection: Connection, why: Why, alive_at: float | None, now: float) -> None:
        """Remember that a server hung up before anything had announced it; the rest is as for `ages_of`."""
        if why is Why.PEER_CLOSED and self.limits.learn:
            host = connection.host
            host.habit = self._habits.noted(host.origin, host.habit, now)
            host.habit.closed(ages_of(connection, alive_at, now), connection.served, connection.read_at, now)

    def _evict(self, connection: Connection, beneficiary: Host) -> None:
        """Close an idle connection so that `beneficiary`, perhaps its own host, has room; that one is not forgotten."""
        self.given = connection  # Until it is closed.
        self._shelf.take(connection)
        self._close(connection, Why.EVICTED)
        if connection.host is not beneficiary:
            self._forget(connection.host)

    def _enqueue(self, host: Host, now: float, unsafe: bool) -> Ticket:
        most = self.limits.waiting
        if most is not None and self.waiting >= most:
            self._forget(host)
            name = str(host.origin)
            text = f"{name}: no connection is free, and Limits(waiting={most}) lets no more callers wait"
            raise QueueFull(text, origin=name, waiting=most)
        return self._queue_up(host, now, unsafe)

    def _queue_up(self, host: Host, now: float, unsafe: bool) -> Ticket:
        """Give a caller a place in the queue."""
        self._tickets += 1
        ticket = self.given = Ticket(self._tickets, host, now, unsafe)
        host.waiters[ticket] = None
        self._queue.length += 1
        if len(host.waiters) == 1 or host.permits is not None:  # Behind others it changes nothing in where they stand.
            self._queue.enter(host)
        self.counters.queued += 1
        return ticket

    def _dequeue(self, ticket: Ticket) -> None:
        del ticket.host.waiters[ticket]
        self._queue.left(ticket.host)

    def _serve(self, ticket: Ticket, connection: Connection, now: float) -> None:
        ticket.connection = connection
        self.given = ticket  # Until it is called.
        self._dequeue(ticket)
        self.counters.waited += now - ticket.since
        self._moved(ticket.host, now)
        self._call(ticket, connection, now)

    def _call(self, ticket: Ticket, connection: Connection, now: float) -> None:
        """Have the caller woken who is served."""
        self.orders.append(Serve(ticket))

    def _count_anew(self) -> None:
        """Put right what an interrupt may have left half written; that takes as long as there are hosts."""
        for group in self._groups.values():
            group.hosts = 0
        for host in self._hosts.values():
            host.group.hosts += 1
        self._groups = {proxy: group for proxy, group in self._groups.items() if group.hosts}
        for permits in list(self._permits.values()):
            for host in list(permits.hosts):
                if self._hosts.get(host.origin) is not host:
                    self._leave_permits(host, permits)
        self._shelf.enter_anew()
        self._queue.enter_anew(self._hosts.values())
