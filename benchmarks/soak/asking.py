"""From a plan to a request's arguments, and from a response's bytes to what it is: the same for threads and tasks.

Knows: keeppool's arguments. Does not know: waiting.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from benchmarks.soak.plan import BEHIND, REAL, Plan
from benchmarks.soak.real import REDIS
from keeppool import HostConfig, Limits, Timeout

#: The caps that the servers hold against what they count.
CAPS: Mapping[str, int] = {
    "host": 4,
    "forwarded": 5,
    "tunnelled": 5,
    "no-tunnel": 5,
    "fleet": 3,
    "behind": 10_000,  # Its connections are those of other programs.
    "total": 24,
}
LIMITS = Limits(per_host=CAPS["host"], per_proxy=CAPS["forwarded"], total=CAPS["total"])
#: Seconds after which a request that has not ended never will: more than a pool's own waits together.
PATIENCE = 180
#: On a machine that is busy with other things everything takes long; only what never ends is a fault.
WHOLE = Timeout(60, stall=120)
#: For servers that fall silent.
SHORT = Timeout(60, stall=120, read=0.1)
SILENT = frozenset({"silent", "cut, silent"})
AnyPool = TypeVar("AnyPool")
_LARGE = b"u" * 400_000
_SMALL = b"u" * 120


#: Hosts that speak TLS, or should.
TLS = frozenset({"tls-1", "tls-2", "no-tls", "nginx-tls"})
#: Real proxies, through which requests go to `BEHIND`.
PROXIES = frozenset({"squid", "tinyproxy"})


class World(NamedTuple):
    """Where a part's servers are.

    Attributes:
        ports: Of each host.
        roots: To trust.
        proxies: How requests are sent through each real proxy.
    """

    ports: Mapping[str, int]
    roots: str
    proxies: Mapping[str, HostConfig]

    @classmethod
    def at(cls, ports: Mapping[str, int], roots: str) -> World:
        """Make it."""
        proxies = {
            name: HostConfig(proxy=f"http://127.0.0.1:{ports[name]}", tag=name) for name in PROXIES if name in ports
        }
        return cls(ports, roots, proxies)

    @property
    def fleets(self) -> list[str]:
        """Give the fleets of further pools, by URL."""
        return (
            [f"redis://127.0.0.1:{self.ports[REDIS]}/0?name=soak&when_down=closed&timeout=2"] * 2
            if REDIS in self.ports
            else []
        )

    def url(self, plan: Plan) -> str:
        """Give a request's URL."""
        host, number = plan.host, plan.number
        if host == "forwarded":
            return f"http://{'ab'[plan.chance >> 8 & 1]}.forwarded.test/{number}"
        if host in ("tunnelled", "no-tunnel"):
            return f"https://{host}.test/{number}"
        if host in PROXIES:
            return f"http://127.0.0.1:{self.ports[BEHIND]}/{number}"
        return f"http{'s' if host in TLS else ''}://127.0.0.1:{self.ports[host]}/{number}"

    def hosts(self, pipelining: int) -> dict[str, HostConfig]:
        """Give the table of hosts."""

        def proxied(name: str) -> HostConfig:
            return HostConfig(proxy=f"http://127.0.0.1:{self.ports[name]}", verify=self.roots)

        def at(name: str, **fields: Any) -> dict[str, HostConfig]:
            return {f"127.0.0.1:{self.ports[name]}": HostConfig(**fields)}

        return {
            "*.forwarded.test": HostConfig(proxy=f"http://127.0.0.1:{self.ports['forwarded']}"),
            "tunnelled.test": proxied("tunnelled"),
            "no-tunnel.test": proxied("no-tunnel"),
            **at("tls-1", verify=self.roots),
            **at("tls-2", verify=self.roots),
            **(at("fleet", fleet_per_host=CAPS["fleet"]) if REDIS in self.ports else {}),
            **(at("nginx-tls", verify=self.roots) if "nginx-tls" in self.ports else {}),
            **at("keyless", idempotent=False),
            **at("piped", pipelining=pipelining),
            **at("unpiped", pipelining=pipelining),
        }


def pool_of(pools: Sequence[AnyPool], plan: Plan) -> AnyPool:
    """Choose the pool for a request: the first, or by chance one of those that are in a fleet."""
    return pools[1 + plan.chance % 2] if plan.host == "fleet" else pools[0]


def headers(plan: Plan) -> dict[str, str] | None:
    """Give a request's own fields."""
    fields = {}
    if plan.is_keyed:
        fields["Idempotency-Key"] = f'"{plan.number}"'
    if plan.host in REAL:
        fields["X-Id"] = str(plan.number)
    if plan.upload == "expecting":
        fields["Expect"] = "100-continue"
    return fields or None


def upload(plan: Plan) -> Any:
    """Give a request's body."""
    match plan.upload:
        case "none":
            return None
        case "large":
            return _LARGE
        case "file":
            return io.BytesIO(_SMALL)
        case "generator":
            return _pieces()
        case _:
            return _SMALL[: plan.chance % 100 + 1]


def _pieces() -> Iterator[bytes]:
    yield from (_SMALL, _SMALL, _SMALL)


def seconds_until_cut(plan: Plan) -> float:
    """Give how long a caller that leaves early waits: from a tenth of a millisecond to a hundredth of a second."""
    return 0.0001 * 10 ** (plan.chance % 1000 / 500)


def timeout(plan: Plan, *, may_cancel: bool) -> Timeout:
    """Give a request's own timeout."""
    if plan.manner == "total" or (plan.manner == "cancel" and not may_cancel):
        return Timeout(60, stall=120, read=SHORT.read if plan.fault in SILENT else 60, total=seconds_until_cut(plan))
    return SHORT if plan.fault in SILENT else WHOLE
