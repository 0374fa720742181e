"""The pool's figures at one moment, for both front ends."""

from __future__ import annotations

from keeppool.core.pool import PoolState
from keeppool.core.records import Host
from keeppool.stats import HostStats, Stats


def snapshot(state: PoolState, now: float) -> Stats:
    """Copy every gauge and counter. To be called under the pool's lock, so that they fit together."""
    hosts: dict[str, HostStats] = {}
    for host in state.hosts():
        name = str(host.origin)
        hosts[name] = _host_stats(host) if name not in hosts else _sum(hosts[name], _host_stats(host))
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
        queued=counters.queued,
        waited_s=counters.waited,
        closed_by=dict(counters.closed_by),
        hosts=hosts,
        learned={str(origin): limit for origin, limit in state.learned(now).items()},
        not_kept=tuple(dict.fromkeys(str(origin) for origin in state.not_keeping(now))),
    )


def _host_stats(host: Host) -> HostStats:
    idle, busy = len(host.idle), len(host.busy)
    return HostStats(
        open=idle + busy,
        idle=idle,
        busy=busy,
        connecting=host.open - idle - busy,
        waiting=len(host.waiters),
    )


def _sum(one: HostStats, other: HostStats) -> HostStats:
    """Add up origins of one name: they differ in what a name does not show, such as TLS settings."""
    return HostStats(
        open=one.open + other.open,
        idle=one.idle + other.idle,
        busy=one.busy + other.busy,
        connecting=one.connecting + other.connecting,
        waiting=one.waiting + other.waiting,
    )
