"""What a request would get, if one were made now: `PoolState.requested` looked at without moving anything.

Decides: nothing; it says what would be decided. A test holds it against what is decided then.
Knows: the tables, by the questions that may be asked of them.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from keeppool.core.late import YOUNG
from keeppool.core.origin import Origin
from keeppool.core.pool import PoolState
from keeppool.core.records import Connection, Host, Policy
from keeppool.core.trust import must_be_new


class Act(enum.Enum):
    """What would become of the request."""

    #: It takes an idle connection, or one that a sleeping caller has not fetched, after a look whether that is alive.
    REUSE = "reuse"
    #: It gets a new connection.
    DIAL = "dial"
    #: It counts on a dial that is under way and that nobody counts on.
    JOIN = "join"
    #: It gets a new connection, once an idle one is closed to make room.
    EVICT = "evict"
    #: It waits in the queue.
    WAIT = "wait"
    #: It fails at once: too many wait already.
    QUEUE_FULL = "queue_full"
    #: It fails at once: the pool is closed.
    CLOSED = "closed"


class Outlook(NamedTuple):
    """What a request would get now.

    Attributes:
        act: What would happen.
        connection: The one that would be taken, or closed to make room.
        limited_by: The cap that it would wait for, or make room under: "per_host", "per_proxy" or "total".
        ahead: Callers of the same host that wait already.
    """

    act: Act
    connection: Connection | None = None
    limited_by: str | None = None
    ahead: int = 0


def outlook(state: PoolState, origin: Origin, policy: Policy, now: float, unsafe: bool = False) -> Outlook:
    """Tell what `state.requested` would answer. Arguments as there."""
    host = state.host_of(origin)
    is_trusted = host is not None and bool(host.idle) and not (unsafe and must_be_new(next(reversed(host.idle)), now))
    # Those that have expired are closed on the way to the one that is taken.
    expired = [one for one in host.idle if now >= one.expires_at] if host is not None and is_trusted else []
    if host is not None and is_trusted and len(expired) < len(host.idle):
        return Outlook(Act.REUSE, next(one for one in reversed(host.idle) if one not in expired))
    if state.is_closed:
        return Outlook(Act.CLOSED)
    if host is not None and any(now - dial.born_at < YOUNG for dial in host.spare):
        return Outlook(Act.JOIN)
    cap, in_the_way = _limit(state, host, origin, policy, expired)
    if cap is None:
        return Outlook(Act.DIAL)
    if in_the_way:
        return Outlook(Act.EVICT, in_the_way[0], cap)
    overtaken = None if host is None else state.to_overtake(host, now, unsafe)
    if overtaken is not None:
        return Outlook(Act.REUSE, overtaken.connection)
    most = state.limits.waiting
    is_full = most is not None and state.waiting >= most
    return Outlook(Act.QUEUE_FULL if is_full else Act.WAIT, None, cap, 0 if host is None else len(host.waiters))


def _limit(
    state: PoolState, host: Host | None, origin: Origin, policy: Policy, gone: list[Connection]
) -> tuple[str | None, list[Connection]]:
    """Find the cap that forbids one more connection, and what could be closed to make room under it."""
    count = 0 if host is None else host.open - len(gone)
    group, total = state.group_of(origin), state.limits.total
    if policy.per_host is not None and count >= policy.per_host:
        assert host is not None, "bug: full without a connection"
        cap, idle = "per_host", [*host.idle, *host.spare]
    elif group is not None and group.cap is not None and group.open - len(gone) >= group.cap:
        cap, idle = "per_proxy", [*group.spare, *group.idle]
    elif total is not None and state.open - len(gone) >= total:
        spare = [dial for other in state.hosts() for dial in other.spare]
        cap, idle = "total", [*spare, *state.idle_connections()]
    else:
        return None, []
    return cap, [one for one in idle if one not in gone]
