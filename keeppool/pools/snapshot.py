"""The pool's figures at one moment, for both front ends."""

from __future__ import annotations

from heapq import nsmallest

from keeppool.core.pool import PoolState
from keeppool.core.records import Group, Host
from keeppool.pools.turns import Turns
from keeppool.stats import Held, HostStats, ProxyStats, Stats


def snapshot(state: PoolState, turns: Turns, now: float) -> Stats:
    """Copy every gauge and counter. To be called under the pool's lock, so that they fit together."""
    hosts: dict[str, HostStats] = {}
    groups: dict[Group, None] = {}
    carried = 0
    for host in state.hosts():
        name = str(host.origin)
        live = sum([one.served for one in (*host.idle, *host.busy)])
        found = _host_stats(host, live, now)
        hosts[name] = found if name not in hosts else hosts[name] + found
        groups[host.group] = None
        carried += live
    counters = state.counters
    return Stats(
        open=state.idle + sum(host.busy for host in hosts.values()),
        idle=state.idle,
        busy=sum(host.busy for host in hosts.values()),
        connecting=sum(host.connecting for host in hosts.values()),
        waiting=state.waiting,
        peak_open=counters.peak_open,
        opened=counters.opened,
        reused=counters.reused,
        connect_failed=counters.connect_failed,
        resent=counters.resent,
        piped=counters.piped,
        requeued=counters.requeued,
        distrusted=tuple(dict.fromkeys(str(origin) for origin in state.distrusted(now))),
        queued=counters.queued,
        waited_s=counters.waited,
        closed_by=dict(counters.closed_by),
        hosts=hosts,
        learned={str(origin): limit for origin, limit in state.learned(now).items()},
        not_kept=tuple(dict.fromkeys(str(origin) for origin in state.not_keeping(now))),
        cap=state.limits.total,
        waiting_s=max((host.waiting_s for host in hosts.values()), default=0.0),
        requests=counters.answered + carried,
        proxies={str(group.proxy): _proxy_stats(group) for group in groups if group.proxy is not None},
        paces=turns.stats(now),
    )


def longest_held(state: PoolState, now: float, most: int) -> list[Held]:
    """Tell of the connections in callers' hands, the longest held first, `most` of them. To be called as `snapshot`."""
    busy = (one for host in state.hosts() for one in host.busy)
    longest = nsmallest(most, busy, key=lambda one: one.taken_at)
    return [
        Held(
            origin=str(one.origin),
            connection=one.number,
            held_s=now - one.taken_at,
            served=one.served,
            unread_since=one.unread_from,
        )
        for one in longest
    ]


def _host_stats(host: Host, live: int, now: float) -> HostStats:
    """Give the figures of one host; its open connections have carried `live` responses."""
    idle, busy = len(host.idle), len(host.busy)
    return HostStats(
        open=idle + busy,
        idle=idle,
        busy=busy,
        connecting=host.open - idle - busy,
        waiting=len(host.waiters),
        cap=host.policy.per_host,
        waiting_s=now - host.oldest.since if host.waiters else 0.0,
        held_s=now - next(iter(host.busy)).taken_at if host.busy else 0.0,
        requests=host.tally.answered + live,
        connect_failed=host.tally.failed,
        closed_by=host.tally.closed_by,
    )


def _proxy_stats(group: Group) -> ProxyStats:
    return ProxyStats(open=group.open, cap=group.cap, hosts=group.hosts)
