"""What a user can decide: `Limits`, `Timeout`, `Pace`, `HostConfig` and the `Config` that holds them.

Knows: which values are possible. Everything is frozen, keyword-only and checked at birth.
Does not know: how hosts are matched (`hosts.py`), where files are (`config_file.py`), or what a pool does with it.

One meaning everywhere: durations are float seconds, `None` is "no limit", 0 is "none at all". In a `HostConfig`,
`INHERIT` is "not set here".

The file is long, because each field is documented and checked here, beside the others it has to agree with.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from types import MappingProxyType
from typing import Any, Final, TypeGuard

from keeppool.errors import MOST_QUOTED, ConfigError, quoted


class Inherit(enum.Enum):
    """The type of `INHERIT`, so that type checkers can tell it from a value."""

    INHERIT = "inherit"

    def __repr__(self) -> str:
        return "INHERIT"


#: What stands where a value may be a secret.
HIDDEN: Final = "***"
#: Names of header fields whose values may be secrets, in lower case.
PRIVATE_NAME: Final = re.compile("auth|cookie|token|secret|session|csrf|key|password")
_HEADERS: Final = ("headers", "proxy_headers")
_SECRETS: Final = ("proxy", "ssl_context", *_HEADERS)
# The user and password of a URL, or of what somebody has written instead of one.
_USER: Final = r"(?<=//)[^/?#]*@|^[^/?#]*@"  # Compiled when it is first used.
#: Bits of the largest number a float can hold.
_MOST_BITS: Final = 1023

#: In a `HostConfig`: this entry does not decide; a less specific one, or the pool's `Limits` and `Timeout`, do.
INHERIT: Final = Inherit.INHERIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
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
        for name in ("per_host", "per_proxy", "total", "max_requests", "head_bytes", "head_fields"):
            check_count(name, getattr(self, name), least=1)
        check_count("waiting", self.waiting, least=0)
        check_seconds("idle_timeout", self.idle_timeout)
        check_seconds("max_age", self.max_age)
        _check_bool("learn", self.learn)
        check_seconds("dns_ttl", self.dns_ttl)


@dataclass(frozen=True, slots=True, init=False)
class Timeout:
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


#: What a key in a fleet has to be: in Redis' names braces have a meaning, and a lone surrogate has no bytes.
KEY_RULE: Final = "non-empty text without braces and lone surrogates"
_KEY = re.compile(r"[^{}\ud800-\udfff]+")
_TIMEOUT_RULE: Final = "must be a Timeout, seconds, a (connect, read) pair, or None"


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
class Pace:
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

    per_second: float | None = None
    interval: float | None = None
    burst: int = 1
    since: str = "start"

    def __post_init__(self) -> None:
        for name in ("per_second", "interval"):
            _check_rate(name, getattr(self, name))
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


def _check_rate(name: str, value: object) -> None:
    """Let pass `None` and finite numbers above 0; raise ConfigError otherwise."""
    if value is None:
        return
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or (isinstance(value, int) and value.bit_length() > _MOST_BITS) or not 0 < value < math.inf:  # type: ignore[operator]
        raise bad(name, value, "must be a finite number above 0, or None")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostConfig:
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
        for name, check in _HOST_CHECKS.items():
            value = getattr(self, name)
            if value is not INHERIT:
                check(name, value)
        for name in ("headers", "proxy_headers"):
            value = getattr(self, name)
            if value is not INHERIT:
                object.__setattr__(self, name, _header_pairs(name, value))
        if self.pace is not INHERIT:
            object.__setattr__(self, "pace", _pace_of(self.pace))
        if self.timeout is not INHERIT:
            # Only checked: what a number or a pair leaves open is the pool's to say, which is not known here.
            Timeout.of(self.timeout, Timeout())
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

#: Fields and arguments of which it is known what they are for; a key of a file that is none may be anything misspelt.
_KNOWN: Final = frozenset(
    (
        *HOST_FIELDS,
        *(entry.name for entry in fields(Limits)),
        *(entry.name for entry in fields(Pace)),
        *("config", "connect", "hosts", "path", "pool", "preset", "read", "stall", "total", "users"),
        *("name", "ttl", "when_down"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
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
                raise bad(name, getattr(self, name), f"must be a {kind.__name__}{like}")
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


def bad(name: str, value: object, rule: str, file: str = "", kind: str = "") -> ConfigError:
    """Build the error that names field, value and rule (and the file, if there is one).

    Args:
        name: The field; in a file with its place.
        value: As given. What may be a secret in it is neither shown nor kept.
        rule: What holds for the field.
        file: Where it came from.
        kind: The field whose value it is, if `name` does not end with that.
    """
    place = f"{quoted(file)[1:-1]}: " if file else ""
    kept = presentable(kind or name.rpartition(".")[2], value)
    if len(name) > MOST_QUOTED:
        name = f"{name[:MOST_QUOTED]}…"
    return ConfigError(f"{place}{name}={_written(kept)}: {rule}", field=name, value=kept, rule=rule, file=file)


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


def check_count(name: str, value: object, *, least: int) -> None:
    """Let pass `None` and whole numbers from `least` on; raise ConfigError otherwise."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise bad(name, value, "must be a whole number, or None for no limit")
    if value < least:
        raise bad(name, value, f"must be {least} or more, or None for no limit")


def check_listener(on_event: object) -> None:
    """Let pass `None` and what can be called; raise ConfigError otherwise."""
    if on_event is not None and not callable(on_event):
        raise bad("on_event", on_event, "must be a function that takes an event, or None")


def check_seconds(name: str, value: object, *, zero: bool = True) -> None:
    """Let pass `None` and finite or infinite seconds not below zero; raise ConfigError otherwise."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise bad(name, value, "must be seconds as a number, or None for no limit")
    if not isinstance(value, float) and value.bit_length() > _MOST_BITS:
        raise bad(name, value, "must be seconds that a clock can count, or None for no limit")
    if math.isnan(value) or value < 0 or (value == 0 and not zero):
        raise bad(name, value, f"must be {'0 or more' if zero else 'more than 0'} seconds, or None for no limit")


def _header_pairs(field: str, value: Any) -> tuple[tuple[str, str], ...]:
    """Freeze headers given as a mapping or as pairs; the order given is the order sent."""
    try:
        pairs = tuple((n, v) for n, v in (value.items() if isinstance(value, Mapping) else value))
    except (TypeError, ValueError):
        raise bad(field, value, "must be a mapping or a list of (name, value) pairs") from None
    for pair in pairs:
        if not all(isinstance(part, str) for part in pair):
            raise bad(field, pair, "names and values must be text")
        if pair[0].lower() in ("content-length", "transfer-encoding", "expect", "trailer"):
            rule = "tells how one request's body is sent, so it cannot be set for all of a host's"
            raise bad(field, pair, rule)
    return pairs


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


def presentable(field: str, value: object) -> object:
    """Give a wrong value as an error may show and keep it: nothing that may be a secret, and not much.

    Numbers are no secrets. Text is none where the field tells what it is for, except a user and password in it. Of
    anything else only the type is shown.
    """
    if value is None or value is INHERIT or isinstance(value, (bool, int, float)):
        return quoted(value) if isinstance(value, int) and value.bit_length() > _MOST_BITS else value
    if isinstance(value, tuple) and field in ("timeout", "cert"):
        return tuple([presentable(field, part) for part in value[:3]])
    if field in _HEADERS and isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        return value[0][:MOST_QUOTED], HIDDEN
    if not isinstance(value, str):
        return f"<{type(value).__name__}>"
    if field in _SECRETS or field not in _KNOWN:
        return HIDDEN
    return re.sub(_USER, "***@", value) if "@" in value else value


def _written(value: object) -> str:
    return f"({', '.join(map(_written, value))})" if isinstance(value, tuple) else quoted(value)


def shown(field: str, value: Any) -> str:
    """Write a value of a `HostConfig`'s field as `repr` does, without credentials."""
    if field == "proxy_headers":
        return repr(tuple((name, HIDDEN) for name, _ in value))
    if field == "headers":
        return repr(tuple((name, HIDDEN if PRIVATE_NAME.search(name.lower()) else text) for name, text in value))
    if field == "proxy" and value is not None and "@" in value:
        scheme, mark, _ = value.partition("://")
        return repr(f"{scheme + mark if mark else ''}***@{value.rpartition('@')[2]}")
    return repr(value)


def _check_text(name: str, value: object) -> None:
    if value is not None and (not isinstance(value, str) or not value):
        raise bad(name, value, "must be non-empty text, or None")


def _check_bool(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise bad(name, value, "must be True or False")


def _check_verify(name: str, value: object) -> None:
    if not isinstance(value, bool) and (not isinstance(value, str) or not value):
        rule = "must be True, False, or the path of a file or folder of certificates"
        if hasattr(value, "wrap_socket"):
            rule = f"{rule}; an ssl.SSLContext is given as HostConfig(ssl_context=...), in hosts= or defaults="
        raise bad(name, value, rule)


def _check_cert(name: str, value: object) -> None:
    pair = isinstance(value, tuple) and len(value) == 2 and all(isinstance(part, str) for part in value)
    if value is not None and not pair and not isinstance(value, str):
        raise bad(name, value, "must be a path, or a (certificate, key) pair of paths")


def _check_fingerprint(name: str, value: object) -> None:
    _check_text(name, value)
    digest = value.replace(":", "") if isinstance(value, str) else "0" * 32
    if len(digest) not in (32, 40, 64) or not set(digest.lower()) <= set("0123456789abcdef"):
        raise bad(name, value, "must be 32, 40 or 64 hex digits (MD5, SHA-1, SHA-256), colons allowed")


def _check_http_version(name: str, value: object) -> None:
    if value not in ("1.0", "1.1"):
        raise bad(name, value, 'must be "1.0" or "1.1"')


def _check_idempotent(name: str, value: object) -> None:
    if value is not None:
        _check_bool(name, value)


def _check_pipelining(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise bad(name, value, "must be a whole number from 1, which is off")


def _check_unsafe(name: str, value: object) -> None:
    if value not in ("any", "fresh"):
        raise bad(name, value, 'must be "any" or "fresh"')


def _check_timeout(name: str, value: object) -> None:
    if value is not None and not isinstance(value, (Timeout, int, float, tuple)):
        raise bad(name, value, _TIMEOUT_RULE)


def is_key(text: object) -> TypeGuard[str]:
    """Tell whether something is what `KEY_RULE` says."""
    return isinstance(text, str) and _KEY.fullmatch(text) is not None


def _check_fleet_key(name: str, value: object) -> None:
    if not callable(value) and not is_key(value):
        raise bad(name, value, f"must be {KEY_RULE}, or a function from host and port to such text")


def _check_least_one(name: str, value: object) -> None:
    check_count(name, value, least=1)


def _check_context(name: str, value: object) -> None:
    # By what it can do: whether it is one of ssl's own is seen where it is used, which spares this module the import.
    if value is not None and not hasattr(value, "wrap_bio"):
        raise bad(name, value, "must be an ssl.SSLContext, or None")


_HOST_CHECKS: Mapping[str, Callable[[str, object], None]] = {
    "per_host": _check_least_one,
    "idle_timeout": check_seconds,
    "max_age": check_seconds,
    "max_requests": _check_least_one,
    "head_bytes": _check_least_one,
    "head_fields": _check_least_one,
    "timeout": _check_timeout,
    "verify": _check_verify,
    "cert": _check_cert,
    "fingerprint": _check_fingerprint,
    "server_hostname": _check_text,
    "ssl_context": _check_context,
    "proxy": _check_text,
    "proxy_verify": _check_verify,
    "http_version": _check_http_version,
    "keep_alive": _check_bool,
    "keep_alive_header": _check_text,
    "source_address": _check_text,
    "unix_socket": _check_text,
    "tcp_keepalive": check_seconds,
    "tag": _check_text,
    "idempotent": _check_idempotent,
    "unsafe": _check_unsafe,
    "pipelining": _check_pipelining,
    "obey_retry_after": _check_bool,
    "fleet_per_host": _check_least_one,
    "fleet_key": _check_fleet_key,
}
