"""Keep-Alive and Connection: what a server says about its connections, read element by element."""

from __future__ import annotations

import re

from keeppool.core.keepalive import (
    LONGEST_VALUE,
    NO_HINT,
    Hint,
    connection_options,
    idle_limit,
    parse_keep_alive,
    uses_left,
    why_not_persistent,
    with_proxys_close,
)
from tests.fuzz.oracles import in_steps
from tests.fuzz.target import target


@target(covers=("core/keepalive.py",))
def keeping(data: bytes) -> None:
    """Lines: Keep-Alive, Connection, Proxy-Connection, and the values of `max` in the responses that followed."""
    keep, connection, proxy, *counts = [*data.split(b"\n"), b"", b"", b""][: max(3, data.count(b"\n") + 1)]
    hint = in_steps(30, 100, len(keep), lambda: parse_keep_alive(keep))
    assert hint == expected(keep[:LONGEST_VALUE])
    assert parse_keep_alive(keep) == hint
    check_idle(hint)
    check_options(connection)
    check_proxy(connection, proxy)
    check_count([int(count) for count in counts if re.fullmatch(rb"[0-9]{1,6}", count)])


def elements(value: bytes) -> list[bytes]:
    """Cut a list at its commas, but not at those in a quoted string that has an end."""
    found, start, at = [], 0, 0
    while at < len(value):
        if value[at : at + 1] == b'"' and (end := end_of_quoted(value, at)) is not None:
            at = end
        elif value[at : at + 1] == b",":
            found.append(value[start:at])
            at = start = at + 1
        else:
            at += 1
    return [*found, value[start:]]


def end_of_quoted(value: bytes, at: int) -> int | None:
    """Find the end of the quoted string that begins here; `None` if it has none."""
    at += 1
    while at < len(value):
        if value[at : at + 1] == b'"':
            return at + 1
        # A field has no line ends, and what is escaped is no line end either.
        at += 2 if value[at : at + 1] == b"\\" else 1
    return None


def expected(value: bytes) -> Hint:
    """Read a hint by hand, without patterns for the list."""
    seen: dict[bytes, list[int]] = {b"timeout": [], b"max": []}
    for element in elements(value):
        name, equals, number = element.partition(b"=")
        name, number = name.strip(b" \t").lower(), number.strip(b" \t")
        if number[:1] == b'"' and number[-1:] == b'"' and len(number) > 1:
            number = number[1:-1]
        number = re.sub(rb"(?i)(?<=[0-9])s(?:ec(?:onds?)?)?\Z", b"", number)
        if equals and name in seen and re.fullmatch(rb"[0-9]{1,9}", number):
            seen[name].append(int(number))
    hint = Hint(*(min(numbers, default=None) for numbers in seen.values()))
    return NO_HINT if hint == NO_HINT else hint


def check_idle(hint: Hint) -> None:
    """Hold the limit to the server's word and to our own."""
    for own in (None, 0.0, 3.0, 1e9):
        limit = idle_limit(hint.timeout, own)
        assert own is None or (limit is not None and limit <= own)
        assert hint.timeout is None or (limit is not None and 0 <= limit <= hint.timeout)
        assert limit is not None or (own is None and hint.timeout is None)


def check_options(connection: bytes) -> None:
    """Hold the options to the words between commas, and `close` to win."""
    options = in_steps(30, 100, len(connection), lambda: connection_options(connection))
    words = {word.strip(b" \t").lower() for word in connection.split(b",")} - {b""}
    assert options == words
    assert (why_not_persistent(11, connection) is None) == (b"close" not in words)
    assert (why_not_persistent(10, connection) is None) == (b"close" not in words and b"keep-alive" in words)
    assert why_not_persistent(11, None) is None
    assert why_not_persistent(10, None) is not None


def check_proxy(connection: bytes, proxy: bytes) -> None:
    """Hold a proxy's `close` to be heard, and nothing else it says."""
    for own in (None, connection):
        both = with_proxys_close(own, proxy)
        if b"close" in connection_options(proxy[:LONGEST_VALUE]):
            assert both is not None
            assert b"close" in connection_options(both)
        else:
            assert both == own


def check_count(counts: list[int]) -> None:
    """Hold the count of requests to both ways in which servers count."""
    left = before = None
    for served, now in enumerate(counts, 1):
        left = uses_left(served, now, before, left)
        assert left is not None
        assert 0 <= left <= now
        before = now
    assert uses_left(len(counts) + 1, None, before, left) == (None if left is None else max(0, left - 1))
