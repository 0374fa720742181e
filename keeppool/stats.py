"""What a pool has done and holds: `Stats`, a snapshot a pool takes of itself, and `HostLedger`, a count per host.

Knows: names, units and sums. A ledger learns all it knows from events.
Does not know: the pool. A ledger is handed over as the pool's `on_event`; without a listener no event is built.

Both show themselves to people too: `print(stats)` is a small table, a notebook draws one.

Units: durations are seconds and their names end in `_s`; everything else is a number of connections, callers or
requests. Gauges show what is the case now, counters what has happened since the pool was made.

The file is long, because each figure is documented where it stands.
"""

from __future__ import annotations

import copy
import json
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from keeppool.deferred import Deferred
from keeppool.reasons import Why
from keeppool.tables import as_html, as_text, seconds

if TYPE_CHECKING:
    from keeppool import events
    from keeppool.events import Event
else:
    # Needed by ledgers: a pool that nobody listens to builds no event, and making these classes takes it 7 ms.
    events = Deferred("keeppool.events")

#: The version of what `Stats.to_dict` gives. Keys may be added under one number; one that is taken away, or comes to
#: mean something else, raises it.
SCHEMA: Final = 1
#: Hosts that a table for people shows: what fits on a screen beside the rest.
_MOST_SHOWN: Final = 12
_HEADINGS: Final = ("host", "open", "busy", "idle", "waiting", "requests")


class _Snapshot:
    """What can be pickled and copied although it shows mappings that cannot be changed."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapping proxy can neither be pickled nor copied deeply; what it shows can.
        values = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]  # each is a dataclass
        plain = {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}
        return partial(type(self), **plain), ()


class _Turnover(_Snapshot):
    """What follows from the counters that a snapshot and a tally have in common."""

    __slots__ = ()

    opened: int
    reused: int
    closed_by: Mapping[Why, int]

    @property
    def closed(self) -> int:
        """Connections closed, for whatever reason."""
        return sum(self.closed_by.values())

    @property
    def reuse_ratio(self) -> float:
        """The share of connections handed out that were already open, from 0.0 to 1.0; 0.0 before the first."""
        return self.reused / (self.reused + self.opened) if self.reused else 0.0

    def _derived(self) -> dict[str, Any]:
        reasons = {why.value: count for why, count in self.closed_by.items()}
        return {"closed_by": reasons, "closed": self.closed, "reuse_ratio": self.reuse_ratio}


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStats(_Snapshot):
    """What one origin has, and has had. The counters of a host without connections are kept, and the most recent 1,024.

    Attributes:
        open: Gauge: connections that are open: idle + busy.
        idle: Gauge: of these, waiting for a request.
        busy: Gauge: of these, carrying one.
        connecting: Gauge: connections being dialled; they count against the caps too.
        waiting: Gauge: callers in the queue.
        cap: The most connections it may have; `None`: no limit.
        waiting_s: Gauge: seconds the caller that has waited longest has waited.
        held_s: Gauge: seconds the connection held longest has been carrying its request.
        requests: Counter: responses whose head arrived.
        connect_failed: Counter: dials that failed, or were given up.
        closed_by: Counter for each reason for which a connection was closed; reasons that did not occur are no keys.
    """

    open: int = 0
    idle: int = 0
    busy: int = 0
    connecting: int = 0
    waiting: int = 0
    cap: int | None = None
    waiting_s: float = 0.0
    held_s: float = 0.0
    requests: int = 0
    connect_failed: int = 0
    closed_by: Mapping[Why, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "closed_by", MappingProxyType(dict(self.closed_by)))

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON: reasons by their text."""
        figures = {f.name: getattr(self, f.name) for f in fields(self)}
        return figures | {"closed_by": {why.value: count for why, count in self.closed_by.items()}}

    def __add__(self, other: HostStats) -> HostStats:
        """Add up what two hosts have, or two origins of one name: each of them has its cap to itself."""
        return HostStats(
            open=self.open + other.open,
            idle=self.idle + other.idle,
            busy=self.busy + other.busy,
            connecting=self.connecting + other.connecting,
            waiting=self.waiting + other.waiting,
            cap=None if self.cap is None or other.cap is None else self.cap + other.cap,
            waiting_s=max(self.waiting_s, other.waiting_s),
            held_s=max(self.held_s, other.held_s),
            requests=self.requests + other.requests,
            connect_failed=self.connect_failed + other.connect_failed,
            closed_by=Counter(self.closed_by) + Counter(other.closed_by),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyStats:
    """What the hosts behind one proxy hold together.

    Attributes:
        open: Gauge: connections through it, dialling ones included.
        cap: The most it may have; `None`: no limit.
        hosts: Gauge: origins with a connection or a caller.
    """

    open: int = 0
    cap: int | None = None
    hosts: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceStats:
    """The line of one host that has a pace, or whose server's `Retry-After` is heard.

    Attributes:
        waiting: Callers in line.
        started: Counter: requests that have started, what the pool has sent again included.
        next_s: Seconds until the next may be let go, 0 for at once; `None` if others under way decide that.
        held_s: Seconds for which the server's `Retry-After` holds on; 0 if it does not.
    """

    waiting: int = 0
    started: int = 0
    next_s: float | None = 0.0
    held_s: float = 0.0

    def __str__(self) -> str:
        held = f", held by Retry-After for another {seconds(self.held_s)}" if self.held_s else ""
        return f"{self.started:,} started, {self.waiting} in line{held}"

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A connection that is carrying a request now.

    Attributes:
        origin: Where to, as in `Stats.hosts`.
        connection: Its number in the pool, as in events.
        held_s: Seconds since its request got it.
        served: Responses it has carried, this one included once its head is there.
        unread_since: The line of the program that asked for the response whose body is still to be read, such as
            "crawl.py:33"; `None` as long as the response is not in the program's hands.
    """

    origin: str
    connection: int
    held_s: float
    served: int
    unread_since: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetKeyStats:
    """What a pool knows of one key of its fleet.

    Attributes:
        open: Connections it has, dialling ones included.
        allowed: Connections it may have.
        used: Connections of all members, as of the last call.
        members: Members that hold or ask, likewise.
        asking: Other members that asked, likewise.
    """

    open: int = 0
    allowed: int = 0
    used: int = 0
    members: int = 0
    asking: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetStats:
    """A pool's part in a fleet.

    Attributes:
        name: The fleet's.
        member: This pool's name in it.
        is_up: False while Redis does not answer; then `when_down` holds.
        when_down: The policy for that.
        calls: Counter: questions to Redis, one a key.
        failures: Counter: times it did not answer.
        keys: What is known of each key the pool has something to do with.
    """

    name: str = ""
    member: str = ""
    is_up: bool = True
    when_down: str = ""
    calls: int = 0
    failures: int = 0
    keys: Mapping[str, FleetKeyStats] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        figures = {f.name: getattr(self, f.name) for f in fields(self)}
        return figures | {"keys": {key: one.as_dict() for key, one in self.keys.items()}}

    def __str__(self) -> str:
        state = "Redis answers" if self.is_up else f"Redis does not answer, and when_down is {self.when_down}"
        open_, asked = sum(one.open for one in self.keys.values()), sum(one.asking > 0 for one in self.keys.values())
        failed = f", {self.failures:,} in vain" if self.failures else ""
        asking = f"; others ask at {asked}" if asked else ""
        return f"{state}; {self.calls:,} calls{failed}; {open_} open, hosts: {len(self.keys)}{asking}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats(_Turnover):
    """A snapshot of a whole pool, taken at one moment: the gauges fit together.

    Printed it is a small table; a notebook shows one too. Neither holds more than origins and numbers.

    Attributes:
        open: Gauge: connections that are open: idle + busy.
        idle: Gauge: of these, waiting for a request.
        busy: Gauge: of these, carrying one.
        connecting: Gauge: connections being dialled; they count against the caps too.
        waiting: Gauge: callers in the queue.
        peak_open: The most connections held at once, dialling ones included: what the caps are about.
        opened: Counter: connections dialled with success.
        reused: Counter: requests that took a connection which was already open.
        connect_failed: Counter: dials that failed.
        resent: Counter: requests sent once more because their reused connection was dead.
        piped: Counter: requests sent behind others on one connection; see `HostConfig.pipelining`.
        requeued: Counter: how often one of these went back to the queue, because its connection had ended first.
        queued: Counter: requests that had to wait for a connection.
        waited_s: Counter: seconds all of these have waited together.
        closed_by: Counter for each reason to close; every `Why` is a key, also where nothing was closed for it.
        hosts: Gauges and counters by origin, named like "https://example.com:443", of those that have a connection or a
            caller.
        learned: Seconds after which idle connections of an origin are closed because its server was seen to close
            them silently; see `Limits.learn`.
        not_kept: Origins whose servers were seen, twice, to hang up right behind a response without having said so, and
            have kept no connection since. Requests that could not be sent again get new connections there.
        distrusted: Origins that have broken off requests sent behind each other, and are sent none like that for a
            while; see `HostConfig.pipelining`.
        cap: The most connections the pool may have; `None`: no limit.
        waiting_s: Gauge: seconds the caller that has waited longest has waited.
        requests: Counter: responses whose head arrived.
        proxies: Gauges by proxy, named like "http://proxy.example:3128".
        paces: The lines of hosts with a pace, by host and port, as "example.com:443". Callers in them are not counted
            as `waiting`, `queued` and `waited_s`, which are about connections.
        fleet: The pool's part in a fleet; `None` if it is in none.
    """

    open: int = 0
    idle: int = 0
    busy: int = 0
    connecting: int = 0
    waiting: int = 0
    peak_open: int = 0
    opened: int = 0
    reused: int = 0
    connect_failed: int = 0
    resent: int = 0
    piped: int = 0
    requeued: int = 0
    queued: int = 0
    waited_s: float = 0.0
    closed_by: Mapping[Why, int] = field(default_factory=dict)
    hosts: Mapping[str, HostStats] = field(default_factory=dict)
    learned: Mapping[str, float] = field(default_factory=dict)
    not_kept: tuple[str, ...] = ()
    distrusted: tuple[str, ...] = ()
    cap: int | None = None
    waiting_s: float = 0.0
    requests: int = 0
    proxies: Mapping[str, ProxyStats] = field(default_factory=dict)
    paces: Mapping[str, PaceStats] = field(default_factory=dict)
    fleet: FleetStats | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "closed_by", _every_reason(self.closed_by))
        object.__setattr__(self, "hosts", MappingProxyType(dict(self.hosts)))
        object.__setattr__(self, "learned", MappingProxyType(dict(self.learned)))
        object.__setattr__(self, "proxies", MappingProxyType(dict(self.proxies)))
        object.__setattr__(self, "paces", MappingProxyType(dict(self.paces)))

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON: reasons by their text, `closed` and `reuse_ratio` included."""
        hosts = {origin: host.as_dict() for origin, host in self.hosts.items()}
        proxies = {proxy: one.as_dict() for proxy, one in self.proxies.items()}
        paces = {key: pace.as_dict() for key, pace in self.paces.items()}
        figures = {f.name: getattr(self, f.name) for f in fields(self)}
        plain = {"hosts": hosts, "proxies": proxies, "learned": dict(self.learned), "not_kept": list(self.not_kept)}
        fleet = None if self.fleet is None else self.fleet.as_dict()
        own = {"paces": paces, "fleet": fleet, "distrusted": list(self.distrusted)}
        return figures | self._derived() | plain | own

    def to_dict(self) -> dict[str, Any]:
        """Give `as_dict` for another program: with `schema`, the version of what the keys mean (now 1)."""
        return {"schema": SCHEMA, **self.as_dict()}

    def to_json(self, *, indent: int | None = None) -> str:
        """Write `to_dict` as JSON.

        Args:
            indent: As for `json.dumps`.
        """
        return json.dumps(self.to_dict(), indent=indent)

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Stats:
        """Read what `to_dict` has given, perhaps in another process and by another version.

        Args:
            told: As `json.loads` gives it. Keys that are not known are left out, those that are missing are as in an
                empty pool.

        Raises:
            ValueError: Its schema is another one.
        """
        if told.get("schema") != SCHEMA:
            raise ValueError(
                f"these figures have schema {told.get('schema')!r}; this version of keeppool reads {SCHEMA}"
            )
        values = _known(cls, told) | {
            "hosts": {name: HostStats(**_known(HostStats, host)) for name, host in told.get("hosts", {}).items()},
            "proxies": {name: ProxyStats(**_known(ProxyStats, one)) for name, one in told.get("proxies", {}).items()},
            "fleet": _fleet_of(told.get("fleet")),
            "paces": {key: PaceStats(**_known(PaceStats, one)) for key, one in told.get("paces", {}).items()},
            "not_kept": tuple(told.get("not_kept", ())),
            "distrusted": tuple(told.get("distrusted", ())),
        }
        return cls(**values)

    def __str__(self) -> str:
        return as_text(self._facts(), _HEADINGS, self._rows())

    def _repr_html_(self) -> str:
        return as_html("Connections", self._facts(), _HEADINGS, self._rows())

    def _facts(self) -> list[tuple[str, str]]:
        """Say the figures of the whole pool in words."""
        limit = "" if self.cap is None else f" of {self.cap}"
        opening = f", {self.connecting} being opened" if self.connecting else ""
        facts = [
            ("open", f"{self.open}{limit}: {self.busy} busy, {self.idle} idle{opening}; peak {self.peak_open}"),
            ("requests", self._turnover()),
        ]
        if self.queued:
            now = f"{self.waiting} now, the oldest for {seconds(self.waiting_s)}" if self.waiting else "nobody now"
            average = seconds(self.waited_s / self.queued)
            facts.append(("waiting", f"{now}; {self.queued:,} had to, {average} on average"))
        if self.closed:
            most = sorted(((count, why.value) for why, count in self.closed_by.items() if count), reverse=True)
            facts.append(("closed", f"{self.closed:,}: {', '.join(f'{count:,} {why}' for count, why in most)}"))
        facts += [
            (f"proxy {name}", f"{one.open}{'' if one.cap is None else f' of {one.cap}'}, for {one.hosts} hosts")
            for name, one in self.proxies.items()
        ]
        if self.fleet is not None:
            facts.append((f"fleet {self.fleet.name}", str(self.fleet)))
        facts += [(f"pace of {key}", str(one)) for key, one in self.paces.items()]
        facts += [("learned", f"{name} is kept {seconds(limit_s)} idle") for name, limit_s in self.learned.items()]
        facts += [("learned", f"{name} keeps no connection") for name in self.not_kept]
        facts += [("learned", f"{name} breaks off pipelined requests") for name in self.distrusted]
        return facts

    def _turnover(self) -> str:
        reuse = f"; {self.reuse_ratio:.1%} took a connection that was open" if self.opened or self.reused else ""
        resent = f"; {self.resent:,} resent" if self.resent else ""
        failed = f"; failed dials: {self.connect_failed:,}" if self.connect_failed else ""
        piped = f"; {self.piped:,} sent behind another, {self.requeued:,} back in the queue" if self.piped else ""
        return f"{self.requests:,} answered{reuse}{piped}{resent}{failed}"

    def _rows(self) -> list[tuple[str, ...]]:
        """Give the hosts on which most is going on, as rows of a table."""
        most = sorted(self.hosts.items(), key=lambda item: _interest(item[1]), reverse=True)
        rows: list[tuple[str, ...]] = [
            (
                name,
                f"{host.open}{'' if host.cap is None else f'/{host.cap}'}",
                str(host.busy),
                str(host.idle),
                str(host.waiting),
                f"{host.requests:,}",
            )
            for name, host in most[:_MOST_SHOWN]
        ]
        if len(most) > _MOST_SHOWN:
            rows.append((f"and {len(most) - _MOST_SHOWN:,} hosts more", *[""] * 5))
        return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class HostTally(_Turnover):
    """What a ledger has counted, for one origin or for all.

    Attributes:
        requests: Responses whose head arrived.
        opened: Connections dialled with success.
        reused: Requests that took a connection which was already open.
        open: Connections open now: opened, less those closed again.
        peak_open: The most connections ever open at once.
        connect_failed: Dials that failed.
        resent: Requests sent once more because their reused connection was dead.
        closed_by: Connections closed for each reason; every `Why` is a key.
    """

    requests: int = 0
    opened: int = 0
    reused: int = 0
    open: int = 0
    peak_open: int = 0
    connect_failed: int = 0
    resent: int = 0
    closed_by: Mapping[Why, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "closed_by", _every_reason(self.closed_by))

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON: reasons by their text, `closed` and `reuse_ratio` included."""
        return {f.name: getattr(self, f.name) for f in fields(self)} | self._derived()


class HostLedger:
    """Counts events per origin; give it to a pool as `on_event`.

    It remembers each origin it has seen, so it grows with their number and not with that of requests or
    connections. Events of two threads may arrive in another order than they happened: `open` may then be off by one
    until the second has arrived, the counters never.

    Thread safety: any number of threads may report and read.
    """

    __slots__ = ("_by_origin", "_lock", "_total")

    def __init__(self) -> None:
        # Guards both fields below. Held for a few additions; nothing else is called under it.
        self._lock = threading.Lock()
        self._by_origin: dict[str, _Counts] = {}
        self._total = _Counts()

    def __call__(self, event: Event) -> None:
        """Count one event. Kinds that are not counted are ignored."""
        with self._lock:
            self._total.add(event)
            counts = self._by_origin.get(event.origin)
            if counts is None:
                counts = self._by_origin[event.origin] = _Counts()
            counts.add(event)

    def __getstate__(self) -> tuple[dict[str, _Counts], _Counts]:
        # As of one moment, so copied under the lock, which itself cannot travel.
        with self._lock:
            return copy.deepcopy((self._by_origin, self._total))

    def __setstate__(self, state: tuple[dict[str, _Counts], _Counts]) -> None:
        self._lock = threading.Lock()
        self._by_origin, self._total = state

    def hosts(self) -> dict[str, HostTally]:
        """What was counted for each origin, in the order they were first seen."""
        with self._lock:
            return {origin: counts.tally() for origin, counts in self._by_origin.items()}

    def totals(self) -> HostTally:
        """The same over all origins. `peak_open` is the peak of the sum, not the sum of the peaks."""
        with self._lock:
            return self._total.tally()

    def as_dict(self) -> dict[str, Any]:
        """Both for JSON, `{"totals": {...}, "hosts": {origin: {...}}}`, read at one moment."""
        with self._lock:
            total = self._total.tally()
            hosts = {origin: counts.tally() for origin, counts in self._by_origin.items()}
        return {"totals": total.as_dict(), "hosts": {origin: tally.as_dict() for origin, tally in hosts.items()}}


class _Counts:
    """The running counts behind one `HostTally`. The ledger's lock guards it."""

    __slots__ = ("closed_by", "connect_failed", "open", "opened", "peak_open", "requests", "resent", "reused")

    def __init__(self) -> None:
        self.requests = self.opened = self.reused = self.open = self.peak_open = 0
        self.connect_failed = self.resent = 0
        self.closed_by: dict[Why, int] = {}

    def add(self, event: Event) -> None:
        match event:
            case events.ResponseStarted():
                self.requests += 1
            case events.ConnectionReused():
                self.reused += 1
            case events.ConnectionOpened():
                self.opened += 1
                self.open += 1
                self.peak_open = max(self.peak_open, self.open)
            case events.ConnectionClosed():
                self.closed_by[event.why] = self.closed_by.get(event.why, 0) + 1
                self.open -= 1
            case events.ConnectFailed():
                self.connect_failed += 1
            case events.RequestResent():
                self.resent += 1
            case _:
                pass  # queueing and shelving change none of these numbers

    def tally(self) -> HostTally:
        return HostTally(**{name: getattr(self, name) for name in self.__slots__})


def _interest(host: HostStats) -> tuple[int, ...]:
    """Rank a host among others: who waits is of more interest than what works, and that than what is idle."""
    return host.waiting, host.busy + host.connecting, host.open, host.requests


def _known(kind: type[Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """Take the fields of a kind of figures out of what another process tells."""
    values = {f.name: told[f.name] for f in fields(kind) if f.name in told}
    reasons = {why.value: why for why in Why}
    if "closed_by" in values:
        values["closed_by"] = {reasons[why]: n for why, n in values["closed_by"].items() if why in reasons}
    return values


def _fleet_of(told: Mapping[str, Any] | None) -> FleetStats | None:
    if told is None:
        return None
    keys = {key: FleetKeyStats(**_known(FleetKeyStats, one)) for key, one in told.get("keys", {}).items()}
    return FleetStats(**(_known(FleetStats, told) | {"keys": keys}))


def _every_reason(counts: Mapping[Why, int]) -> Mapping[Why, int]:
    return MappingProxyType({why: counts.get(why, 0) for why in Why})
