"""What a user can decide: `Limits`, `Timeout`, `Pace`, `HostConfig` and the `Config` that holds them.

Decides: the defaults; how one entry lies over another.
Knows: which settings there are, what each is for, and which have to agree.
Does not know: which values one may have (`checks.py`), how hosts are matched (`hosts.py`), where files are
    (`config_file.py`), or what a pool does with it.

One meaning everywhere: durations are float seconds, `None` is "no limit", 0 is "none at all". In a `HostConfig`,
`INHERIT` is "not set here". Everything is frozen, keyword-only and checked at birth.

The file is long, because each field is documented here, beside the others it has to agree with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar, Final

from keeppool.checks import (
    HOST_CHECKS,
    INHERIT,
    LIMIT_CHECKS,
    Inherit,
    Spelled,
    bad,
    check_count,
    check_listener,
    check_rate,
    check_seconds,
    header_pairs,
    is_key,
    presentable,
    shown,
)
from keeppool.errors import ConfigError, quoted

#: What programs may import from here; what is checked, and how it is shown, stands in `checks.py`.
__all__ = [
    "HOST_FIELDS",
    "INHERIT",
    "Config",
    "HostConfig",
    "Inherit",
    "Limits",
    "LookUp",
    "Pace",
    "PaceArgument",
    "Timeout",
    "TimeoutArgument",
    "bad",
    "check_config",
    "check_count",
    "check_listener",
    "check_seconds",
    "is_key",
    "presentable",
    "shown",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(metaclass=Spelled):
    """How many connections a pool holds and for how long. `None` means no limit.

    Idle, busy and dialling connections count alike against the three caps.

    Attributes:
        per_host: Most connections to one origin. 6 is what browsers have used since 2008 (Firefox 3, IE 8, Chrome).
        per_proxy: Most connections through one proxy, all hosts together. 32 is Firefox's and Chrome's figure.
        total: Most connections of the whole pool. 256 is Chrome's figure.
        waiting: Most callers that may queue; the next one gets `QueueFull`.
        idle_timeout: Seconds a connection may sit unused before it is closed. 55 stays below the 60 s at which
            common load balancers hang up; a server's own `Keep-Alive: timeout=` can only shorten it.
        max_age: Seconds since dialling after which a connection takes no further request.
        max_requests: Requests one connection may carry.
        learn: Keep connections for a shorter time where the server was seen to close idle ones without saying so.
        dns_ttl: Seconds the addresses of a name are kept. 10 is what aiohttp keeps them, and short enough for a host
            that moves; a dial that fails at all of them forgets them at once. 0 asks for each connection.
        head_bytes: Largest response head taken; also the most that interim responses before it may have together.
            256 KiB is what Chrome takes.
        head_fields: Most fields a response head may have. 2048 ordinary ones are 256 KiB.

    Raises:
        ConfigError: A value is of the wrong type, negative, or 0 where that would admit no connection at all.
    """

    _otherwise: ClassVar[Mapping[str, str]] = {
        "max_connections": "total=…, and per_host=… for each host",
        "max_keepalive_connections": "total=…: idle connections are among these",
        "keepalive_expiry": "idle_timeout=…",
        "maxsize": "per_host=…",
        "pool_maxsize": "per_host=…",
        "num_pools": "total=…, which counts connections",
        "pool_connections": "total=…, which counts connections",
        "limit": "total=…",
        "limit_per_host": "per_host=…",
        "timeout": "timeout= beside it, of a session, a pool or a call",
        "pace": "HostConfig(pace=…)",
        "pipelining": "HostConfig(pipelining=…)",
    }
    _at_first: ClassVar[str] = "Limits(per_host=…, total=…)"

    per_host: int | None = 6
    per_proxy: int | None = 32
    total: int | None = 256
    waiting: int | None = None
    idle_timeout: float | None = 55.0
    max_age: float | None = None
    max_requests: int | None = None
    learn: bool = True
    dns_ttl: float | None = 10.0
    head_bytes: int | None = 262144
    head_fields: int | None = 2048

    def __post_init__(self) -> None:
        for name, check in LIMIT_CHECKS.items():
            check(name, getattr(self, name))


@dataclass(frozen=True, slots=True, init=False)
class Timeout(metaclass=Spelled):
    """The longest a caller waits for each thing, in seconds. `None` waits without limit.

    A number says what `connect`, `read` and `stall` are; a pair, what `connect` and `read` are; `None`, or a pair of
    it, lifts every limit. Keywords set what they name: `Timeout(5, connect=1)` is 5 but for connecting.

    Args:
        seconds: A number, a `(connect, read)` pair, or `None`. Left out, the defaults hold.
        connect: As the attribute; so are the others.
        read: See there.
        write: See there.
        stall: See there.
        pool: See there.
        total: See there.

    Attributes:
        connect: For one connection to be open, TLS and proxy included. 10 by default.
        read: Between two pieces of the response; also for the server to take a piece of the request. 60 by default.
        write: For the server to take a piece of the request, if that is not `read`; INHERIT, the default, for as long.
        stall: In the queue for a connection, while that does not move: no connection that could serve somebody in it
            is given back, opened or closed. A queue that moves may be as long as it is. 60 by default.
        pool: In the queue for a connection, whether it moves or not. No limit by default.
        total: For the whole request, from the call to the last byte of the body. No limit by default.

    Raises:
        ConfigError: A value is no number, or negative, or 0 (which could never be met, but by `pool` and `stall`).
    """

    _otherwise: ClassVar[Mapping[str, str]] = {
        "timeout": "the first argument, Timeout(5)",
        "sock_connect": "connect=…",
        "sock_read": "read=…",
        "idle": "Limits(idle_timeout=…)",
        "idle_timeout": "Limits(idle_timeout=…)",
    }
    _at_first: ClassVar[str] = "a (connect, read) pair is one, Timeout((3, 20)), or Timeout(connect=3, read=20)"

    # 10 s are enough for a dial that a lost packet or two delay. A server that is silent for 60 s, or a queue that
    # stands still for as long, is not going to come to life.
    connect: float | None = 10.0
    read: float | None = 60.0
    stall: float | None = 60.0
    pool: float | None = None
    total: float | None = None
    write: float | None | Inherit = INHERIT

    def __init__(
        self,
        seconds: float | tuple[float | None, float | None] | None | Inherit = INHERIT,
        *,
        connect: float | None | Inherit = INHERIT,
        read: float | None | Inherit = INHERIT,
        stall: float | None | Inherit = INHERIT,
        pool: float | None | Inherit = INHERIT,
        total: float | None | Inherit = INHERIT,
        write: float | None | Inherit = INHERIT,
    ) -> None:
        waits = dict(_DEFAULT_WAITS)
        if seconds is not INHERIT:
            waits.update(_waits(seconds))
        given = {"connect": connect, "read": read, "stall": stall, "pool": pool, "total": total, "write": write}
        for name, value in given.items():
            wait = waits[name] if value is INHERIT else value
            if wait is not INHERIT:
                check_seconds(name, wait, zero=name in ("pool", "stall"))
            object.__setattr__(self, name, wait)

    @property
    def sending(self) -> float | None:
        """How long the server may take no piece of the request: `write`, or `read` where that is not set."""
        return self.read if isinstance(self.write, Inherit) else self.write

    @classmethod
    def of(cls, value: TimeoutArgument, base: Timeout) -> Timeout:
        """Read the forms requests allows: a number, a `(connect, read)` pair, `None`, or a `Timeout`.

        Args:
            value: As for `Timeout`. A `urllib3.util.Timeout` is taken too; what it leaves open comes from `base`.
            base: Where what is not said comes from. Where nothing is to have a limit (`None`), that is nothing.

        Raises:
            ConfigError: None of these, or a value of the wrong type or out of range.
        """
        if isinstance(value, Timeout):
            return value
        if hasattr(value, "connect_timeout"):
            return _foreign_timeout(value, base)
        return replace(base, **_waits(value))


#: What a `Timeout` is that was told nothing.
_DEFAULT_WAITS: Final[Mapping[str, Any]] = {entry.name: entry.default for entry in fields(Timeout)}

_TIMEOUT_RULE: Final = "must be a keeppool.Timeout, seconds, a (connect, read) pair, or None"


def _waits(value: Any) -> dict[str, Any]:
    """Read what a number, a pair or `None` says of each wait."""
    if value is None or value == (None, None):
        return dict.fromkeys(_DEFAULT_WAITS)
    if isinstance(value, tuple):
        if len(value) != 2:
            raise bad("timeout", value, "a tuple holds (connect, read)")
        return {"connect": value[0], "read": value[1], "write": INHERIT}
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise bad("timeout", value, _TIMEOUT_RULE)
    check_seconds("timeout", value, zero=False)
    return {"connect": value, "read": value, "write": INHERIT, "stall": value}


def _foreign_timeout(value: Any, base: Timeout) -> Timeout:
    """Read a `urllib3.util.Timeout`: a wait that was not set is neither a number nor `None` there."""
    given = {"connect": value.connect_timeout, "read": value.read_timeout, "total": value.total}
    known = {name: wait for name, wait in given.items() if wait is None or isinstance(wait, (int, float))}
    if known.get("total") is None:
        known["total"] = base.total
    return replace(base, **known)


#: A function of the program's own that resolves names; see `Config`.
LookUp = Callable[[str, int], Any]

TimeoutArgument = Timeout | float | tuple[float | None, float | None] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace(metaclass=Spelled):
    """How quickly requests to one host may follow each other, however many connections there are.

    Attributes:
        per_second: Requests that may start in a second, such as 2 or 0.5; `None` where `interval` says it.
        interval: Seconds between two of them; `None` where `per_second` says it.
        burst: Requests that may start at once after a silence. They are made up for: over a longer time the pace holds.
        since: What the interval is counted from: "start" of the last request, or the "end" of its response. With "end"
            a host has one request at a time.

    Raises:
        ConfigError: Not exactly one of `per_second` and `interval`, or a value of the wrong type or out of range.
    """

    _otherwise: ClassVar[Mapping[str, str]] = {
        "rate": "per_second=…",
        "per_minute": "per_second=…, or interval=…, the seconds between two",
        "per_hour": "per_second=…, or interval=…, the seconds between two",
        "delay": "interval=…",
    }
    _at_first: ClassVar[str] = "Pace(per_second=…) or Pace(interval=…)"

    per_second: float | None = None
    interval: float | None = None
    burst: int = 1
    since: str = "start"

    def __post_init__(self) -> None:
        for name in ("per_second", "interval"):
            check_rate(name, getattr(self, name))
        if (self.per_second is None) is (self.interval is None):
            raise bad("per_second", self.per_second, "must be set, or interval, and not both")
        if isinstance(self.burst, bool) or not isinstance(self.burst, int) or self.burst < 1:
            raise bad("burst", self.burst, "must be a whole number from 1 on")
        if self.since not in ("start", "end"):
            raise bad("since", self.since, 'must be "start" or "end"')
        if self.since == "end" and self.burst > 1:
            raise bad("burst", self.burst, 'must be 1 with since="end": there is one request at a time')

    @property
    def gap(self) -> float:
        """Seconds from one start to the next, as far as `burst` lets it be."""
        if self.interval is not None:
            return self.interval
        assert self.per_second is not None, "bug: neither is set"
        return 1 / self.per_second

    @classmethod
    def of(cls, value: PaceArgument) -> Pace | None:
        """Read the forms `HostConfig(pace=)` takes: a `Pace`, a number per second, a mapping of its fields, or `None`.

        Raises:
            ConfigError: None of these, or a value of the wrong type or out of range.
        """
        if value is None or isinstance(value, Pace):
            return value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return cls(per_second=value)
        if not isinstance(value, Mapping):
            raise bad("pace", value, "must be a Pace, requests per second as a number, a mapping of both, or None")
        names = [entry.name for entry in fields(cls)]
        for name in value:
            if name not in names:
                raise bad("pace", name, f"has no such field; there are {', '.join(names)}")
        return cls(**value)


#: What `HostConfig(pace=)` takes.
PaceArgument = Pace | float | Mapping[str, Any] | None


# It has a `__repr__`; without `repr=False` one is made all the same, at each start.
@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class HostConfig(metaclass=Spelled):
    """What is different for some hosts. Every field may be left at `INHERIT`.

    Used in `hosts={"api.example.com": HostConfig(per_host=2)}`, as a pool's `defaults`, and for one request.

    Attributes:
        per_host: See `Limits`.
        idle_timeout: See `Limits`.
        max_age: See `Limits`.
        max_requests: See `Limits`.
        head_bytes: See `Limits`.
        head_fields: See `Limits`.
        timeout: A `Timeout`; or seconds, a pair of them, or `None`, as for `Timeout`. What these leave open is as in
            the pool's.
        headers: Header fields sent unless the request brings its own of that name. Not those that frame a body, which
            are a matter of each request.
        verify: True to trust certifi's roots, a path (file or folder of PEM) to trust those, False to trust anyone.
        cert: Path of the client's certificate in PEM, or a `(certificate, key)` pair of paths.
        fingerprint: Hex digest (SHA-256, SHA-1 or MD5) the server's certificate must have.
        server_hostname: Name for SNI and for checking the certificate, if not the URL's host.
        ssl_context: A ready `ssl.SSLContext`, instead of `verify` and `cert`: it takes the place of those of a less
            specific entry, and cannot be combined with them in one, nor below a more specific one. `None` beside those
            takes away the context of a less specific entry.
        proxy: URL of the proxy to go through, credentials included; `None` goes direct. Its scheme is http, https,
            socks4, socks4a, socks5 or socks5h; http if it has none.
        proxy_headers: Header fields for an http or https proxy: sent with CONNECT, or with each request for an http
            URL unless that has its own of the name. A Proxy-Authorization here wins over credentials in the URL. An
            entry that names another proxy leaves those of the less specific one behind.
        proxy_verify: How the certificate of an https proxy is checked: True for certifi's roots, a path (file or folder
            of PEM) for those, False not at all. Where it is not set, the roots that `verify` names, if it names some;
            `verify=False` is about the origin and does not turn this off. An entry that names another proxy leaves that
            of the less specific one behind.
        http_version: "1.1", or "1.0" to speak HTTP/1.0 and ask for keep-alive as its extension did.
        keep_alive: False sends `Connection: close` and uses each connection once.
        keep_alive_header: The client's own `Keep-Alive` request header, such as "timeout=30, max=100".
        source_address: Local address to dial from.
        unix_socket: Path of a Unix domain socket to dial instead of host and port.
        tcp_keepalive: Seconds of silence before TCP keep-alive probes; `None` switches them off. This is the
            operating system's check of a dead peer and has nothing to do with HTTP keep-alive. 120 s stays below
            the 350 s after which common network gateways drop a silent connection.
        tag: Requests with different tags never share a connection.
        idempotent: True if applying a request twice does no harm, whatever its method; False if even a GET must not
            be sent again; None leaves it to the method. Only asked when a reused connection died unanswered.
        unsafe: "fresh" gives requests that could not be sent again (POST, or a body that cannot be replayed) always a
            new connection, on which nothing has been sent; "any" an idle one too, unless its server is known not to
            keep connections.
        pace: How quickly requests may follow each other: a `Pace`, a number of them per second, a mapping of `Pace`'s
            fields, or `None` for as quickly as they come. It holds for a host and port as a whole, whatever proxy, tag
            or TLS settings requests have, redirects, retries and what the pool sends again included.
        obey_retry_after: True lets a 429 or 503 with `Retry-After` hold every request to the host for that long. Where
            it is not set, that is so where a `pace` is.
        pipelining: Requests in flight on one connection at the most. 1 is off, and the default. More let GET and
            OPTIONS follow each other without waiting for the response, once all connections are taken; for tasks only,
            and neither through a proxy that forwards nor where there is a `pace`. docs/pipelining.md says where that
            helps, and what it risks.
        fleet_per_host: Most connections that all members of a fleet may have to the host together; see
            `keeppool.fleet.Fleet`. `None` for no such limit; where it is not set, `per_host`. Without a fleet it is not
            looked at.
        fleet_key: What the members share it by: text, or a function from host and port to text, such as one that gives
            the registered domain; where it is not set, host and port. It goes for the `pace` too.

    Raises:
        ConfigError: A value of the wrong type or out of range; names field, value and rule.
    """

    _otherwise: ClassVar[Mapping[str, str]] = {
        **{name: f"{name}=… of Limits" for name in ("total", "per_proxy", "waiting", "learn", "dns_ttl")},
        **{name: f"timeout=Timeout({name}=…)" for name in ("connect", "read", "write", "stall", "pool")},
        "max_connections": "per_host=…",
        "keepalive_expiry": "idle_timeout=…",
        "user_agent": 'headers={"User-Agent": "…"}',
        "auth": "auth= of a session or a call",
        "retries": "retries= of a session or a call",
        "proxies": "proxy=…",
    }
    _at_first: ClassVar[str] = "HostConfig(per_host=…, timeout=…)"

    per_host: int | None | Inherit = INHERIT
    idle_timeout: float | None | Inherit = INHERIT
    max_age: float | None | Inherit = INHERIT
    max_requests: int | None | Inherit = INHERIT
    head_bytes: int | None | Inherit = INHERIT
    head_fields: int | None | Inherit = INHERIT
    timeout: TimeoutArgument | Inherit = INHERIT
    headers: Mapping[str, str] | Iterable[tuple[str, str]] | Inherit = INHERIT
    verify: bool | str | Inherit = INHERIT
    cert: str | tuple[str, str] | None | Inherit = INHERIT
    fingerprint: str | None | Inherit = INHERIT
    server_hostname: str | None | Inherit = INHERIT
    ssl_context: Any | Inherit = INHERIT
    proxy: str | None | Inherit = INHERIT
    proxy_headers: Mapping[str, str] | Iterable[tuple[str, str]] | Inherit = INHERIT
    proxy_verify: bool | str | Inherit = INHERIT
    http_version: str | Inherit = INHERIT
    keep_alive: bool | Inherit = INHERIT
    keep_alive_header: str | None | Inherit = INHERIT
    source_address: str | None | Inherit = INHERIT
    unix_socket: str | None | Inherit = INHERIT
    tcp_keepalive: float | None | Inherit = INHERIT
    tag: str | None | Inherit = INHERIT
    idempotent: bool | None | Inherit = INHERIT
    unsafe: str | Inherit = INHERIT
    pipelining: int | Inherit = INHERIT
    pace: PaceArgument | Inherit = INHERIT
    obey_retry_after: bool | Inherit = INHERIT
    fleet_per_host: int | None | Inherit = INHERIT
    fleet_key: str | Callable[[str, int], str] | Inherit = INHERIT
    _hash: int = field(default=0, init=False, repr=False, compare=False)

    def __hash__(self) -> int:
        # Made once: routes are remembered by it, and every request with an override looks one up. 25 values cost 1 µs.
        if not self._hash:
            object.__setattr__(self, "_hash", hash(tuple(getattr(self, name) for name in HOST_FIELDS)) or 1)
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        # Not the hash: another process hashes text in another way.
        return partial(HostConfig, **self._given()), ()

    def __post_init__(self) -> None:
        for name, check in HOST_CHECKS.items():
            value = getattr(self, name)
            if value is not INHERIT:
                check(name, value)
        for name in ("headers", "proxy_headers"):
            value = getattr(self, name)
            if value is not INHERIT:
                object.__setattr__(self, name, header_pairs(name, value))
        if self.pace is not INHERIT:
            object.__setattr__(self, "pace", _pace_of(self.pace))
        if self.timeout is not INHERIT:
            _check_timeout(self.timeout)
        if self.ssl_context is not INHERIT and self.ssl_context is not None:
            self._check_context_alone()

    def over(self, base: HostConfig) -> HostConfig:
        """Lay this entry over a less specific one: what is set here wins, headers are merged by name.

        Raises:
            ConfigError: `verify` or `cert` is set here, and an `ssl_context` there: what is set here would not hold.
        """
        given = self._given()
        below = {name: getattr(base, name) for name in HOST_FIELDS}
        if base.proxy is not INHERIT and given.get("proxy", base.proxy) != base.proxy:
            # They may hold credentials, which are for the other proxy; and that one alone is trusted unseen.
            below["proxy_headers"] = below["proxy_verify"] = INHERIT
        if given.get("ssl_context") is not None:
            if isinstance(base.verify, str) and below["proxy_verify"] is INHERIT:
                below["proxy_verify"] = base.verify  # Roots for a proxy too, to which no context is shown.
            below["verify"] = below["cert"] = INHERIT
        values = below | given
        for name in ("headers", "proxy_headers"):
            if name in given and below[name] is not INHERIT:
                values[name] = _merged(below[name], given[name])
        return HostConfig(**values)

    def _check_context_alone(self) -> None:
        """Refuse a context beside what would not hold then: it is checked by the context, or not at all."""
        for name in ("verify", "cert"):
            if (value := getattr(self, name)) is not INHERIT and not (name == "cert" and value is None):
                rule = "cannot be combined with an ssl_context, which says both; ssl_context=None beside it takes one "
                raise bad(name, value, rule + "that is configured away")

    def __repr__(self) -> str:
        return f"HostConfig({', '.join(f'{name}={shown(name, value)}' for name, value in self._given().items())})"

    def _given(self) -> dict[str, Any]:
        return {name: value for name in HOST_FIELDS if (value := getattr(self, name)) is not INHERIT}


#: What an entry may set, in the order it is documented.
HOST_FIELDS: Final = tuple(entry.name for entry in fields(HostConfig) if entry.init)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(metaclass=Spelled):
    """A whole configuration: what `load_config` returns and what a pool or session takes as `config=`.

    Attributes:
        limits: Caps and lifetimes of the pool.
        timeout: Default waits.
        defaults: What holds for every host.
        hosts: Entries by pattern; see `keeppool.hosts` for the patterns and their order.
        resolver: Asked for the addresses of names instead of the system's resolver: a function from host and port to
            addresses as text, such as `["192.0.2.1", "2001:db8::1"]`, in the order they are to be tried. It is called
            in a thread of the pool's own, so it may wait; on event loops it may be a coroutine function instead. What
            it raises becomes a `ResolveError`. Where a proxy resolves names, nobody is asked here.
        fleet: A `keeppool.fleet.Fleet`: all pools of the same fleet share their hosts' caps and paces.
    """

    _at_first: ClassVar[str] = "Config(limits=…, timeout=…)"

    limits: Limits = field(default_factory=Limits)
    timeout: Timeout = field(default_factory=Timeout)
    defaults: HostConfig = field(default_factory=HostConfig)
    hosts: Mapping[str, HostConfig] = field(default_factory=dict)
    resolver: LookUp | None = None
    fleet: Any = None

    def __post_init__(self) -> None:
        if self.fleet is not None and (isinstance(self.fleet, (str, bytes, type)) or not hasattr(self.fleet, "join")):
            rule = "must be a keeppool.fleet.Fleet, as Fleet(client) or Fleet.from_url(url) makes one, or None"
            raise bad("fleet", self.fleet, rule)
        if self.resolver is not None and not callable(self.resolver):
            raise bad("resolver", self.resolver, "must be a function from host and port to addresses")
        for name, kind in (("limits", Limits), ("timeout", Timeout), ("defaults", HostConfig)):
            if not isinstance(getattr(self, name), kind):
                like = "" if kind is Timeout else f", such as {kind.__name__}(per_host=6)"
                raise bad(name, getattr(self, name), f"must be a keeppool.{kind.__name__}{like}")
        if not isinstance(self.hosts, Mapping):
            raise bad("hosts", self.hosts, "must map patterns (str) to HostConfigs")
        for pattern, entry in self.hosts.items():
            if not isinstance(pattern, str):
                raise bad("hosts", pattern, "must map patterns (str) to HostConfigs")
            if not isinstance(entry, HostConfig):
                raise bad("hosts", pattern, f"must map to a HostConfig(...), not to {quoted(entry)}")
        object.__setattr__(self, "hosts", MappingProxyType(dict(self.hosts)))

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapping proxy can neither be pickled nor copied deeply; what it shows can.
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)} | {"hosts": dict(self.hosts)}
        return partial(type(self), **values), ()


def check_config(config: object) -> Config:
    """Give what an argument `config` means: itself, or an empty configuration for `None`.

    Raises:
        ConfigError: It is no `Config`.
    """
    if config is None:
        return Config()
    if not isinstance(config, Config):
        raise bad("config", config, "must be a Config, such as load_config(path) returns")
    return config


def _check_timeout(value: Any) -> None:
    """Only check it: what a number or a pair leaves open is the pool's to say, which is not known here."""
    if value is not None and not isinstance(value, (Timeout, int, float, tuple)):
        raise bad("timeout", value, _TIMEOUT_RULE)
    Timeout.of(value, Timeout())


def _pace_of(value: PaceArgument) -> Pace | None:
    """Read a pace; an error names the field of it that is wrong as a part of `pace`."""
    try:
        return Pace.of(value)
    except ConfigError as error:
        name = "pace" if error.field == "pace" else f"pace.{error.field}"
        raise bad(name, error.value, error.rule) from error


def _merged(below: Any, above: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Lay headers over others: a name that is set above is not taken from below."""
    names = {name.lower() for name, _ in above}
    return tuple(pair for pair in below if pair[0].lower() not in names) + above
