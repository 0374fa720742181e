"""What holds for a URL, and who has decided it: the configuration laid open, beside what the pool knows.

Decides: which entry has the last word on each setting; the merging itself is `HostConfig.over`, watched at work.
Knows: configuration, routes, the core's outlook.
Does not know: sessions; they say by whom an override was made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any, Final

from keeppool.checks import HIDDEN, PRIVATE_NAME, shown
from keeppool.config import HOST_FIELDS, INHERIT, Config, HostConfig, Limits, Timeout
from keeppool.core.keepalive import NO_HINT
from keeppool.core.outlook import Act, Outlook, outlook
from keeppool.core.pool import PoolState
from keeppool.core.records import Connection
from keeppool.errors import plain_url
from keeppool.explanation import BUILT_IN, Explanation, Setting
from keeppool.hosts import Matching
from keeppool.pools.routes import Route
from keeppool.tables import seconds

#: Fields of a `HostConfig` that `Limits` have too.
_SHARED: Final = tuple(name for name in HOST_FIELDS if hasattr(Limits(), name))
_WAITS: Final = tuple(field.name for field in fields(Timeout))
_WAY: Final = ("proxy", "proxy_headers", "proxy_verify", "source_address", "unix_socket", "tcp_keepalive")
_TLS: Final = ("verify", "cert", "fingerprint", "server_hostname", "ssl_context")
_HEADERS: Final = ("headers", "proxy_headers")
#: What is the case where nobody has said anything; for every other field that is nothing.
_BUILT_IN: Final[Mapping[str, Callable[[Route], Any]]] = {
    "verify": lambda route: True,
    "tcp_keepalive": lambda route: route.origin.tcp_keepalive,
    "http_version": lambda route: route.version.decode().removeprefix("HTTP/"),
    "keep_alive": lambda route: True,
    "unsafe": lambda route: "any",
    "pipelining": lambda route: 1,
}
_KINDS: Final = {"repeatable": False, "unrepeatable": True}


class _Decided:
    """The entries that match, laid over each other, and who has said what is left of each.

    Attributes:
        entry: What `HostConfig.over` makes of them.
        by: Who has decided each field that is set.
    """

    def __init__(self, layers: list[tuple[str | Mapping[str, str], HostConfig]]) -> None:
        self.entry = HostConfig()
        self.by: dict[str, str] = {}
        self._headers: dict[tuple[str, str], str] = {}
        for who, entry in layers:
            self._lay(who, entry)

    def _lay(self, who: str | Mapping[str, str], entry: HostConfig) -> None:
        merged = entry.over(self.entry)
        for name in HOST_FIELDS:
            said = getattr(entry, name) is not INHERIT
            # What an entry does not say it may take away or bring along: a proxy's headers, with another proxy.
            if said or getattr(merged, name) != getattr(self.entry, name):
                word = who if isinstance(who, str) else who.get(name, "")
                self.by[name] = word
                for header, _ in getattr(entry, name) if said and name in _HEADERS else ():
                    self._headers[name, header.lower()] = word
        self.entry = merged

    def headers(self, name: str) -> Iterator[tuple[str, str, str]]:
        """Give a field's header fields, each with who has set it."""
        pairs: Any = getattr(self.entry, name)
        for header, value in () if pairs is INHERIT else pairs:
            yield header, value, self._headers[name, header.lower()]


def explained(
    url: str,
    config: Config,
    matching: Matching,
    route: Route,
    override: tuple[HostConfig | None, str | Mapping[str, str]],
    found: tuple[tuple[str, ...], Mapping[str, str]],
) -> Explanation:
    """Put together what holds for a URL.

    Args:
        url: The URL.
        config: The pool's.
        matching: Entries of `hosts` for it by pattern, the most specific last.
        route: What all of it comes to.
        override: What holds beyond the configuration, and who has said so, or who has said each field of it.
        found: What `seen` has found in the pool.
    """
    layers: list[tuple[str | Mapping[str, str], HostConfig]] = [("defaults", config.defaults)]
    layers += [(f'hosts["{pattern}"]', entry) for pattern, entry in matching]
    if override[0] is not None:
        layers.append((override[1], override[0]))
    decided = _Decided(layers)
    settings = [*_limits(config, route, decided), *_waits(config, route, layers), *_others(route, decided)]
    learned, now = found
    return Explanation(
        url=plain_url(url),
        origin=route.name,
        entries=tuple([pattern for pattern, _ in reversed(matching)]),
        settings=tuple(settings),
        learned=learned,
        now=now,
    )


def seen(route: Route) -> Callable[[PoolState, float], tuple[tuple[str, ...], Mapping[str, str]]]:
    """Make the question what a pool has learned of an origin, and what a request to it would get; for `Pool.look`."""

    def question(state: PoolState, now: float) -> tuple[tuple[str, ...], Mapping[str, str]]:
        outlooks = {
            kind: outlook(state, route.origin, route.policy, now, is_unsafe) for kind, is_unsafe in _KINDS.items()
        }
        words = {kind: _in_words(found, state, route, now) for kind, found in outlooks.items()}
        return tuple(_learned(state, route, now)), words

    return question


def _limits(config: Config, route: Route, decided: _Decided) -> Iterator[Setting]:
    limits, plain = config.limits, Limits()
    for name in (*_SHARED, *(name for name in Limits.__slots__ if name not in _SHARED)):
        value, by = getattr(decided.entry, name, INHERIT), decided.by.get(name)
        field = name
        if value is INHERIT:
            if name == "per_host" and route.origin.is_forwarded:
                field = "per_proxy"  # All that a proxy forwards shares the connections to it.
            value = getattr(limits, field)
            by = BUILT_IN if value == getattr(plain, field) else "limits"
        yield Setting("limits", name, repr(value), by or BUILT_IN)
    yield _setting("limits", "pipelining", route, decided)


def _waits(config: Config, route: Route, layers: list[tuple[str | Mapping[str, str], HostConfig]]) -> Iterator[Setting]:
    """Tell who decides each wait: a host's timeout that is a number or a pair leaves some to the pool's."""
    said = [(who, entry.timeout) for who, entry in layers if entry.timeout is not INHERIT]
    for name in _WAITS:
        base, value = getattr(config.timeout, name), getattr(route.timeout, name)
        if value is INHERIT:  # `write`: as long as a read.
            value = route.timeout.sending
        by = BUILT_IN if base == getattr(Timeout(), name) else "timeout"
        if said:
            who, timeout = said[-1]
            marked = Timeout.of(timeout, Timeout(**dict.fromkeys(_WAITS, _MARK)))
            if getattr(marked, name) != _MARK:
                by = who if isinstance(who, str) else who.get("timeout", "")
        yield Setting("timeout", name, repr(value), by)


#: A wait that nobody sets: seconds enough for the age of the earth, and a fraction that no one writes.
_MARK: Final = 143_297_641_728_000_000.5


def _others(route: Route, decided: _Decided) -> Iterator[Setting]:
    known = (*_SHARED, "timeout", "pipelining")
    tls = _TLS if route.origin.scheme == "https" else ()
    rest = tuple(name for name in HOST_FIELDS if name not in (*known, *_WAY, *_TLS))
    for topic, names in (("way", _WAY), ("tls", tls), ("request", rest)):
        for name in names:
            if name in _HEADERS:
                for header, value, by in decided.headers(name):
                    is_private = name == "proxy_headers" or re.search(PRIVATE_NAME, header.lower())
                    yield Setting(topic, f"{name}.{header}", HIDDEN if is_private else repr(value), by)
                continue
            yield _setting(topic, name, route, decided)


def _setting(topic: str, name: str, route: Route, decided: _Decided) -> Setting:
    """Give a setting that only entries decide: neither `Limits` nor `Timeout` has it."""
    value = getattr(decided.entry, name)
    if value is not INHERIT:
        return Setting(topic, name, shown(name, value), decided.by[name])
    made = _BUILT_IN.get(name)
    return Setting(topic, name, repr(made(route) if made is not None else None), BUILT_IN)


def _learned(state: PoolState, route: Route, now: float) -> Iterator[str]:
    """Say what is known of an origin's server."""
    habit = state.habit_of(route.origin, now)
    host = state.host_of(route.origin)
    if habit is not None:
        if habit.hangs_up:
            yield "its server hangs up behind its responses without saying so, and has kept no connection since"
        elif habit.is_proved:
            yield "its server keeps connections: one has carried a second request"
        limit = habit.limit_after(0.0, now)
        if limit is not None:
            yield f"idle connections are closed after {seconds(limit)}: its server was seen to close them silently"
    for connection in reversed(list(host.idle)) if host is not None else ():
        hint = connection.hint
        if hint is not NO_HINT:
            words = (("timeout", hint.timeout), ("max", hint.max))
            said = ", ".join([f"{name}={value}" for name, value in words if value is not None])
            yield f"its server says Keep-Alive: {said}"
            return


def _in_words(found: Outlook, state: PoolState, route: Route, now: float) -> str:
    """Say what a request would get."""
    one = found.connection
    match found.act:
        case Act.REUSE:
            assert one is not None, "bug: nothing to reuse"
            text = f"takes connection {one.number}, {_history(one, now)}, if a look finds it alive"
        case Act.EVICT:
            assert one is not None, "bug: nothing to close"
            what = f"closes connection {one.number} to {one.origin} ({_history(one, now)}) to make room"
            text = f"{what} under {found.limited_by}, and opens a new one"
        case Act.WAIT:
            text = f"waits for room under {found.limited_by}, behind {found.ahead} others"
            if route.policy.pipelining > 1:
                text = f"{text}, or is sent behind another request on one connection, where that may be"
        case Act.JOIN:
            text = "gets the connection that is being opened"
        case Act.DIAL:
            text = "opens a new connection"
        case Act.QUEUE_FULL:
            text = f"fails at once: {state.waiting} callers already wait, which is as many as may"
        case Act.CLOSED:
            text = "fails: the pool is closed"
    return f"{text} ({_taken(state, route)})"


def _history(connection: Connection, now: float) -> str:
    return f"idle for {seconds(now - connection.read_at)}, {connection.served} served"


def _taken(state: PoolState, route: Route) -> str:
    """Say how much of each cap is taken."""
    host, group = state.host_of(route.origin), state.group_of(route.origin)
    taken = [("per_host", 0 if host is None else host.open, route.policy.per_host)]
    if route.origin.proxy is not None:
        taken.append(("per_proxy", 0 if group is None else group.open, state.limits.per_proxy))
    taken.append(("total", state.open, state.limits.total))
    return ", ".join([f"{name} {count}/{'∞' if cap is None else cap}" for name, count, cap in taken])
