"""What the pool writes down: a connection, a host, a group of hosts behind one proxy, a caller that waits.

Knows: nothing but fields. Who changes them is `pool.py`, `late.py` and `riding.py`, and they alone.

The file is long for this house, because the records know each other.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple, Protocol

from keeppool.core.habits import Habit
from keeppool.core.keepalive import NO_HINT, Hint, uses_left
from keeppool.core.origin import Origin, Proxy
from keeppool.core.pipelines import Pipelines, Stage
from keeppool.core.tallies import Tally
from keeppool.reasons import Why

if TYPE_CHECKING:
    from keeppool.core.credit import Credit

NEVER = float("inf")
#: Before every time there is.
LONG_AGO = float("-inf")


class Endpoint(Protocol):
    """What a front end writes on a connection: its socket. The core holds it and calls nothing of it.

    Attributes:
        is_tls: Whether it speaks TLS.
        resumed: Whether its TLS resumed an earlier session.
    """

    is_tls: bool
    resumed: bool

    def close(self) -> None:
        """Close the socket, after TLS's close_notify where there is TLS."""

    def abort(self) -> None:
        """Close the socket at once."""


class Waiter(Protocol):
    """What a front end writes on a ticket: the caller who waits. The core holds it and calls nothing of it."""

    def wake(self) -> None:
        """Let the caller go on. Twice does no harm."""


class State(enum.Enum):
    """Where a connection is. All but CLOSED count against the caps."""

    CONNECTING = "connecting"
    BUSY = "busy"
    IDLE = "idle"
    CLOSED = "closed"


class Policy(NamedTuple):
    """The limits that may differ by host; see `keeppool.Limits` for their meaning."""

    per_host: int | None = 6
    idle_timeout: float | None = 55.0
    max_age: float | None = None
    max_requests: int | None = None
    #: Requests that could not be sent again go only over connections on which nothing was sent before.
    new_for_unsafe: bool = False
    #: Requests in flight on one connection at the most, in pools whose callers can ride (`riding.py`).
    pipelining: int = 1
    #: In a fleet: what the host shares its connections by, and how many there may be of that in all members together.
    permit_key: str | None = None
    permit_cap: int | None = None


class Connection:
    """One slot of the pool, from the decision to dial until closed.

    Attributes:
        number: Counts from 1 in its pool.
        host: The record of its origin.
        state: Changed by the pool alone.
        generation: Counts its holders: another number at every hand-over, so that whoever kept the old one can tell.
        unread: The generation of a holder that reads a response's body from it, and the line that asked for that.
        stream: The front end's socket, once it is dialled.
        ticket: While it is dialled by a pool that binds late: the caller who counts on it, if one does.
        born_at: When it was connected.
        read_at: When its last byte was read: a server's idle timer started about then, not when we were done.
        taken_at: While busy: since when.
        rested: While busy: the seconds it had lain idle then.
        served: Responses it has carried.
        hint: What the server last said about keeping it.
        uses_left: Requests the server will still take on it, if it has said so.
        expires_at: While idle: when it must not be used any more.
        expires_by: The reason it will be closed for then.
        entry_at: Time of its entry in the expiry heap; NEVER without one.
        pipeline: While busy: the requests on it, where others may follow the holder's or have done so.
    """

    __slots__ = (
        "born_at",
        "entry_at",
        "expires_at",
        "expires_by",
        "generation",
        "hint",
        "host",
        "number",
        "pipeline",
        "read_at",
        "rested",
        "served",
        "state",
        "stream",
        "taken_at",
        "ticket",
        "unread",
        "uses_left",
    )

    def __init__(self, number: int, host: Host, now: float) -> None:
        self.number = number
        self.host = host
        self.state = State.CONNECTING
        self.generation = 0
        self.stream: Endpoint | None = None
        self.ticket: Ticket | None = None
        self.unread: tuple[int, str] | None = None
        self.born_at = self.read_at = self.taken_at = now
        self.rested = 0.0
        self.served = 0
        self.hint = NO_HINT
        self.uses_left: int | None = None
        self.expires_at = self.entry_at = NEVER
        self.expires_by = Why.IDLE_TIMEOUT
        self.pipeline: Pipeline | None = None

    def answered(self, hint: Hint) -> None:
        """Record that a response's head arrived, with what it said about keeping the connection.

        The one fact that needs no pool and no lock: the connection is busy, so its holder is the only one to look.
        """
        self.served += 1
        if hint is not NO_HINT or self.uses_left is not None:
            self.uses_left = uses_left(self.served, hint.max, self.hint.max, self.uses_left)
            if hint is not NO_HINT:
                # A timeout once announced holds, though a later response speaks of `max` alone.
                self.hint = hint if hint.timeout is not None else Hint(self.hint.timeout, hint.max)

    @property
    def origin(self) -> Origin:
        """The origin it is connected to."""
        return self.host.origin

    @property
    def unread_from(self) -> str | None:
        """The line that asked for the response whose body is still to be read from it, if there is one."""
        return self.unread[1] if self.unread is not None and self.unread[0] == self.generation else None


class Ticket:
    """A caller in the queue. It ends exactly once: served, failed, or abandoned.

    Attributes:
        number: Place in the pool's one order of arrival.
        host: Where it wants to go.
        since: When it began to wait.
        connection: Its connection, once served; to be dialled if CONNECTING.
        reuses: True if that connection was open before; a new one that turns out unusable is the server's doing.
        dial: In a pool that binds late: the dial it counts on. Without one it waits for room.
        failure: Why it will never be served, once failed.
        overtaken: How often a younger caller of another host was served before it.
        unsafe: Its request could not be sent again; see `PoolState.requested`.
        waiter: The caller, as the front end wakes it; `None` once nobody waits.
        rides: Its request may follow others on one connection.
        streams: ... but none may follow it: its response takes as long as its caller does.
        ride: Its place on a connection that it has boarded; `None` as long as it waits for something else.
        returns: How often it was put back to the front of the queue, because its pipeline had ended.
        is_coming: It has been woken and has not come yet, or will look by itself in a moment; see `barging.py`.
        has_lost: Somebody has taken what it was given since it looked last.
        is_last: Its request was sent, and may have been carried out. It goes out once more, on a new connection.
    """

    __slots__ = (
        "connection",
        "dial",
        "failure",
        "has_lost",
        "host",
        "is_coming",
        "is_last",
        "number",
        "overtaken",
        "returns",
        "reuses",
        "ride",
        "rides",
        "since",
        "streams",
        "unsafe",
        "waiter",
    )

    def __init__(self, number: int, host: Host, now: float, unsafe: bool = False) -> None:
        self.number = number
        self.host = host
        self.since = now
        self.connection: Connection | None = None
        self.reuses = False
        self.dial: Connection | None = None
        self.failure: Exception | None = None
        self.overtaken = 0
        self.unsafe = unsafe
        self.waiter: Waiter | None = None
        self.rides = self.streams = self.is_last = self.is_coming = self.has_lost = False
        self.ride: Ride | None = None
        self.returns = 0


class Ride:
    """A place on a connection behind the request that it carries.

    Attributes:
        connection: Which.
        place: Where it stood when it boarded; the first stands at 1.
        is_blind: The head of the first response had not come when it boarded.
        is_sent: The kernel has taken something of the request. Written by the front end.
        is_ghost: Its caller has gone; its response is thrown away.
        streams: See `Ticket`.
    """

    __slots__ = ("connection", "is_blind", "is_ghost", "is_sent", "place", "streams")

    def __init__(self, connection: Connection, place: int, is_blind: bool, streams: bool) -> None:
        self.connection = connection
        self.place = place
        self.is_blind = is_blind
        self.streams = streams
        self.is_sent = self.is_ghost = False


class Pipeline:
    """The requests on one connection.

    Attributes:
        riders: Who comes behind the holder, in the order of their responses. Some are *ghosts*: their callers have
            gone, and their responses are thrown away.
        holder: The holder's own ride, where it has boarded; `None` where it was given the connection.
        stage: How far the holder's response is.
        is_listed: It is in the host's `Pipelines`, by stage and length.
        ghosts: How many of the riders are ghosts.
        moved_at: When the holder's request was sent, had its turn, or was answered by a head.
        ends_by: Why the connection is closed as soon as nobody rides on it any more; `None` if it need not be.
    """

    __slots__ = ("ends_by", "ghosts", "holder", "is_listed", "moved_at", "riders", "stage")

    def __init__(self, now: float) -> None:
        self.riders: OrderedDict[Ticket, Ride] = OrderedDict()
        self.holder: Ride | None = None
        self.stage = Stage.SHUT
        self.is_listed = False
        self.ghosts = 0
        self.moved_at = now
        self.ends_by: Why | None = None

    @property
    def length(self) -> int:
        """How many requests there are."""
        return 1 + len(self.riders)

    @property
    def may_be_boarded(self) -> bool:
        """False behind a ghost, whose response may be of any size, and a streamed one, as slow as its caller."""
        if self.stage is Stage.SHUT or self.ghosts or self.ends_by is not None:
            return False
        last = next(reversed(self.riders.values()), self.holder)
        return last is None or not last.streams


class Host:
    """Everything about one origin. Made by its first request, gone with its last connection and waiter."""

    __slots__ = (
        "bound",
        "busy",
        "credit",
        "group",
        "habit",
        "idle",
        "lent",
        "moved_at",
        "open",
        "origin",
        "permits",
        "pipelines",
        "policy",
        "queued_in",
        "spare",
        "tally",
        "waiters",
    )

    def __init__(self, origin: Origin, policy: Policy, group: Group, tally: Tally) -> None:
        self.origin = origin
        self.policy = policy
        self.group = group
        self.tally = tally
        #: What the fleet lets the pool have here; `None` where no fleet has a say.
        self.permits: Permits | None = None
        self.open = 0
        #: What is known of how its server keeps connections; `None` as long as that is nothing.
        self.habit: Habit | None = None
        #: When its queue last moved; see `PoolState.stalled`.
        self.moved_at = LONG_AGO
        #: Connections in somebody's hands, the longest held first.
        self.busy: dict[Connection, None] = {}
        #: Idle connections, the newest last. A dict because any of them may have to leave at once.
        self.idle: dict[Connection, None] = {}
        #: Callers who wait for room, by arrival. An OrderedDict, so that both the oldest and any other leave in O(1).
        self.waiters: OrderedDict[Ticket, None] = OrderedDict()
        #: Callers who were given a connection and have not come for it yet, the oldest first; see `barging.py`.
        self.lent: dict[Ticket, None] = {}
        #: Callers who count on a dial, and dials nobody counts on; see `late.py`.
        self.bound: OrderedDict[Ticket, None] = OrderedDict()
        self.spare: dict[Connection, None] = {}
        #: Where requests may follow each other: with how many it is trusted, and which connections may be boarded.
        self.credit: Credit | None = None
        self.pipelines: Pipelines[Connection] | None = None
        #: The heap that holds this host, if one does; see `waiting.py`.
        self.queued_in: list[tuple[int, int, Host]] | None = None

    @property
    def is_full(self) -> bool:
        """True if the host has all the connections it may have."""
        return self.is_capped or (self.permits is not None and self.lacks_permit)

    @property
    def is_capped(self) -> bool:
        """True if the host has as many connections as its own cap allows."""
        cap = self.policy.per_host
        return cap is not None and self.open >= cap

    @property
    def lacks_permit(self) -> bool:
        """True if the fleet allows no more, and nothing could be closed that has a permit and serves nobody."""
        permits = self.permits
        if permits is None:
            return False
        return permits.is_over or (permits.open >= permits.allowed and not permits.can_make_room)

    @property
    def oldest(self) -> Ticket:
        """The caller that has waited longest for room."""
        return next(iter(self.waiters))


class Permits:
    """What a fleet lets this pool have of one key: a permit is a connection. All hosts with that key share them.

    Attributes:
        key: The key.
        cap: Connections there may be in all members of the fleet together, by the newest request.
        open: Connections held: connecting, busy and idle.
        allowed: Connections there may be. More than that are worked off as they come free.
        until: When permits that are not used yet must not be used any more: the lease on them may be over.
        is_over: That time has come: nothing is dialled until the fleet has been heard again.
        is_wanted: Other members of the fleet ask for some.
        is_due: The fleet is to be asked; the order for that was given, and nobody has done it yet.
        hosts: The hosts.
    """

    __slots__ = ("allowed", "cap", "hosts", "is_due", "is_over", "is_wanted", "key", "open", "until")

    def __init__(self, key: str, cap: int | None) -> None:
        self.key = key
        self.cap = cap
        self.open = 0
        self.allowed = 0
        self.until = LONG_AGO
        self.is_over = False
        self.is_wanted = False
        self.is_due = False
        self.hosts: dict[Host, None] = {}

    def expire(self, now: float) -> None:
        """Let go of the permits that are not used, if their time is over."""
        if now >= self.until:
            self.allowed = min(self.allowed, self.open)
            self.is_over = True

    @property
    def can_make_room(self) -> bool:
        """True if it holds something that serves nobody. Costs as much as there are hosts: most keys have one."""
        return any(host.idle or host.spare for host in self.hosts)

    @property
    def least_recent(self) -> Connection | None:
        """The idle connection whose last use is longest ago."""
        oldest = [next(iter(host.idle)) for host in self.hosts if host.idle]
        return min(oldest, key=lambda connection: connection.read_at, default=None)

    @property
    def spare(self) -> Connection | None:
        """A dial that nobody counts on; see `late.py`."""
        return next((next(iter(host.spare)) for host in self.hosts if host.spare), None)


class Claim(NamedTuple):
    """What a pool tells its fleet of one key.

    Attributes:
        have: Connections it has, or is about to open because it may.
        want: How many more it could use.
        cap: How many there may be in all members together; `None` for any number.
        per_host: The pool's own cap at one of the hosts.
    """

    have: int
    want: int
    cap: int | None
    per_host: int | None


class Group:
    """The hosts behind one proxy, or all that are reached directly (`proxy` None, no cap of its own)."""

    __slots__ = ("cap", "hosts", "idle", "moved_at", "open", "parked", "proxy", "spare")

    def __init__(self, proxy: Proxy | None, cap: int | None) -> None:
        self.proxy = proxy
        self.cap = cap
        self.open = 0
        #: When the queue of those who wait for the cap last moved.
        self.moved_at = LONG_AGO
        self.hosts = 0
        #: Its idle connections, least recently used first; kept only where there is a cap to make room under.
        self.idle: OrderedDict[Connection, None] = OrderedDict()
        #: Its dials that nobody counts on, the longest under way first; see `late.py`.
        self.spare: OrderedDict[Connection, None] = OrderedDict()
        #: Heap of hosts whose callers wait for this group's cap; see `waiting.py`.
        self.parked: list[tuple[int, int, Host]] = []

    @property
    def is_full(self) -> bool:
        """True if the group has all the connections it may have."""
        return self.cap is not None and self.open >= self.cap

    @property
    def can_make_room(self) -> bool:
        """True if it holds something that serves nobody."""
        return bool(self.idle or self.spare)


class Counters:
    """What has happened so far.

    Attributes:
        opened: Connections dialled successfully.
        reused: Requests given a connection that was open already.
        connect_failed: Dials that failed or were given up.
        resent: Requests that went out a second time, on a new connection.
        piped: Requests sent behind another, on a connection that still carried that one.
        requeued: How often one of these went back to the queue, because its connection had ended first.
        queued: Callers that had to wait.
        waited: Seconds they waited, all together.
        closed_by: Opened connections closed, by reason. `opened - sum(closed_by)` are open now.
        answered: Responses carried by the connections that are closed; those that are open know their own.
        peak_open: Most connections held at once, dialling ones included.
    """

    __slots__ = (
        "answered",
        "closed_by",
        "connect_failed",
        "opened",
        "peak_open",
        "piped",
        "queued",
        "requeued",
        "resent",
        "reused",
        "waited",
    )

    def __init__(self) -> None:
        self.opened = 0
        self.reused = 0
        self.connect_failed = 0
        self.resent = 0
        self.piped = 0
        self.requeued = 0
        self.queued = 0
        self.waited = 0.0
        self.closed_by = dict.fromkeys(Why, 0)
        self.answered = 0
        self.peak_open = 0


class _OfConnection(NamedTuple):
    connection: Connection


class _OfTicket(NamedTuple):
    ticket: Ticket


class _OfKey(NamedTuple):
    key: str


# The orders. Those about one thing are classes of one of these three, because making a named tuple takes fifty times as
# long as a class of one that is there, at each start.


class Close(NamedTuple):
    """Order: close this connection's socket, outside the lock."""

    connection: Connection
    why: Why


class Serve(_OfTicket):
    """Order: wake this caller; its ticket holds the connection, or the failure."""

    __slots__ = ()


class Connect(_OfConnection):
    """Order of a pool that binds late: dial this connection, for whoever will need it then."""

    __slots__ = ()


class Cancel(_OfConnection):
    """Order of a pool that binds late: break off this dial; its slot is another's already."""

    __slots__ = ()


class Bind(_OfTicket):
    """Order of a pool that binds late: this caller counts on a dial that was begun for another."""

    __slots__ = ()


class Board(_OfTicket):
    """Order of a pool whose callers ride: send this caller's request behind those on the connection of its ride."""

    __slots__ = ()


class Return(NamedTuple):
    """Order of a pool whose callers ride: this caller waits again, and what it has sent counts for nothing.

    Attributes:
        ticket: Where it waits.
        is_spent: Its request may have been carried out: this was the one time that it is sent again.
    """

    ticket: Ticket
    is_spent: bool


class Ask(_OfKey):
    """Order of a pool in a fleet: somebody waits for a permit of this key; ask for what is wanted by then."""

    __slots__ = ()


class GiveBack(_OfKey):
    """Order of a pool in a fleet: a permit of this key is not used, and others ask for it or nobody here will."""

    __slots__ = ()


#: What a pool orders; all but the first two are given by pools that bind late, ride or are in a fleet alone.
Order = Close | Serve | Connect | Cancel | Bind | Board | Return | Ask | GiveBack
