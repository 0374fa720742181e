"""What a server says about keeping its connections, and how far it is believed.

Decides: whether a connection persists, how long it may sit idle, how many requests it has left.
Knows: the `Connection` and `Keep-Alive` fields, HTTP/1.0's extension and HTTP/1.1's default.
Does not know: sockets, clocks, the pool.

Source: RFC 9112 §9.3 (persistence), RFC 9110 §7.6.1 (Connection), RFC 2068 §19.7.1.1, draft-thomson-hybi-http-timeout
(the Keep-Alive field: `timeout`, `max`, extensions; never a standard, sent by Apache httpd, Node, nginx and others).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from keeppool.reasons import Why

#: The most seconds taken off a server's `timeout`. Its clock starts when it has sent, ours when we have read, and the
#: next request still has to travel: a round trip and a timer's coarseness. Node's and HTTP.jl's clients take 1 s off,
#: undici 2 s; Node and httpd announce 5 s by default, where a second is already a fifth.
MARGIN = 1.0
#: ... but never more than this share of it: a server that says `timeout=1` still has its connection reused.
MARGIN_SHARE = 0.25
#: Bytes of a Keep-Alive value that are looked at. Real ones have under 40; the bound keeps a hostile one cheap.
LONGEST_VALUE = 1024

# Compiled when they are first used: not every server sends the field, and the few values there are are remembered.
_ELEMENT = rb'(?:"(?:[^"\\]|\\.)*"|[^,])+'
_PARAMETER = rb'(?i)[ \t]*([!#$%&\'*+\-.^_`|~0-9A-Za-z]+)[ \t]*=[ \t]*("?)([0-9]{1,9})(?:s(?:ec(?:onds?)?)?)?\2[ \t]*'


class Hint(NamedTuple):
    """A server's `Keep-Alive`: seconds it will wait for the next request, and its count of requests."""

    timeout: int | None = None
    max: int | None = None


NO_HINT = Hint()


def parse_keep_alive(value: bytes) -> Hint:
    """Read a Keep-Alive field value; several lines are to be joined by commas first.

    Every element of the list stands alone: what is not `timeout=` or `max=` with 1 to 9 digits, plain or quoted, is
    skipped and spoils nothing else; a value without either is as good as none. Some servers name the unit, `2s`; it is
    the one that is meant anyhow. Of repeated parameters the smallest counts.

    Source: draft-thomson-hybi-http-timeout-01 §2 (grammar), RFC 9110 §5.6.1 (lists), §5.6.4 (quoted strings).
    """
    return _parsed(value[:LONGEST_VALUE])


# A server says the same few values over and over. Cut first: a cache of hostile ones must not fill memory.
@lru_cache(maxsize=256)
def _parsed(value: bytes) -> Hint:
    seen: dict[bytes, int] = {}
    for element in re.findall(_ELEMENT, value):
        match = re.fullmatch(_PARAMETER, element)
        if match is not None:
            name, number = match[1].lower(), int(match[3])
            seen[name] = min(number, seen.get(name, number))
    hint = Hint(seen.get(b"timeout"), seen.get(b"max"))
    return NO_HINT if hint == NO_HINT else hint


def connection_options(value: bytes) -> frozenset[bytes]:
    """Split a Connection field value into its options, lower case (RFC 9110 §7.6.1)."""
    return frozenset(option.strip(b" \t").lower() for option in value.split(b",")) - {b""}


def says_close(version: int, connection: bytes | None) -> bool:
    """Tell whether a response says, by its version and its Connection field, that its connection ends with it.

    Args:
        version: 10 or 11.
        connection: Value of the response's Connection field, however long; `None` without one.

    Source: RFC 9112 §9.3: `close` wins over everything; HTTP/1.1 persists; HTTP/1.0 persists only with `keep-alive`.
    """
    if connection is None:
        return version < 11
    options = connection_options(connection)
    return b"close" in options or (version < 11 and b"keep-alive" not in options)


@lru_cache(maxsize=64)
def why_not_persistent(version: int, connection: bytes | None) -> Why | None:
    """As `says_close`, remembered: for values of at most `LONGEST_VALUE` bytes. `None` if it does not."""
    return Why.SERVER_CLOSE if says_close(version, connection) else None


def with_proxys_close(connection: bytes | None, proxy_connection: bytes) -> bytes | None:
    """Add a proxy's `Proxy-Connection: close` to a Connection value.

    Proxies that say it and no `Connection` close all the same. Never a standard, so `keep-alive` in it is not believed:
    it may come from a proxy further on that this one passed it through.

    Source: RFC 9112 appendix C.2.2.
    """
    if b"close" not in connection_options(proxy_connection[:LONGEST_VALUE]):
        return connection
    return b"close" if connection is None else connection + b", close"


def idle_limit(hint_timeout: int | None, own: float | None) -> float | None:
    """Give the seconds a connection may sit idle: our own limit or the server's less a margin, the smaller.

    Returns:
        Seconds since the last byte read; 0 means not to keep it; `None` means no limit.
    """
    if hint_timeout is None:
        return own
    believed = hint_timeout - min(MARGIN, hint_timeout * MARGIN_SHARE)
    return believed if own is None else min(own, believed)


def uses_left(served: int, now: int | None, before: int | None, left: int | None) -> int | None:
    """Count the requests a connection may still carry by the server's `max`.

    httpd sends what is left (5, 4, 3, …), Node the whole (5, 5, 5, …). A first value may be either, so the smaller
    reading holds until a second value shows which: one less than before is a countdown, the same is the whole.

    Args:
        served: Responses on this connection, this one included.
        now: This response's `max`, if it has one.
        before: The previous response's `max` on this connection.
        left: What the previous call returned.

    Returns:
        Requests left, 0 or more; `None` while no `max` has been seen.
    """
    if now is None:
        return None if left is None else max(0, left - 1)
    if before is not None and now == before - 1:
        return now
    return max(0, now - served)
