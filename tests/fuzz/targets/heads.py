"""Heads of responses: what is a head, where it ends, and what is in it."""

from __future__ import annotations

import re
from typing import Any

from keeppool.errors import KeepPoolError
from keeppool.wire.head import MAX_HEAD_BYTES, MAX_HEAD_FIELDS, HeadReader, ResponseHead, parse_head, plain_head
from tests.fuzz.oracles import check_error, in_steps, outcome, repeated, same_however_cut
from tests.fuzz.target import target

#: Limits by an input's first byte: of bytes and of fields.
LIMITS = [(MAX_HEAD_BYTES, MAX_HEAD_FIELDS), (64, 2), (MAX_HEAD_BYTES, 1), (32, MAX_HEAD_FIELDS)]

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


@target(covers=("wire/head.py",))
def heads(data: bytes) -> None:
    """The first byte chooses the limits; what follows it is what a server sends."""
    limits, wire = LIMITS[data[0] % len(LIMITS) if data else 0], data[1:]

    def read(parts: list[bytes]) -> Any:
        found, error, rest = heads_in(parts, *limits)
        return [described(head) for head in found], error, rest

    in_steps(40, 400, len(wire), lambda: read([wire]))
    same_however_cut(read, wire)
    found = heads_in([wire], *limits)[0]
    for head in found:
        check_head(head, limits)
    assert sum(head.size for head in found[:-1]) <= limits[0], "interim responses without end"
    check_plain(wire)
    if more := repeated(wire):
        in_steps(40, 400, len(more), lambda: heads_in([more], *limits))
        in_steps(80, 400, len(more), lambda: heads_in([more[at : at + 1] for at in range(len(more))], *limits))


def heads_in(
    parts: list[bytes], most_bytes: int = MAX_HEAD_BYTES, most_fields: int = MAX_HEAD_FIELDS
) -> tuple[list[ResponseHead], type[KeepPoolError] | None, bytes | None]:
    """Read up to the final head; give the heads, the error, and what lies behind the final one."""
    reader = HeadReader(most_bytes, most_fields)
    found: list[ResponseHead] = []
    try:
        for number, part in enumerate(parts, 1):
            head = reader.feed(part)
            while head is not None:
                found.append(head)
                if head.status >= 200 or head.status == 101:
                    assert reader.size == sum(map(len, parts[:number]))
                    return found, None, reader.rest + b"".join(parts[number:])
                head = reader.following()
    except KeepPoolError as error:
        check_error(error)
        return found, type(error), None
    return found, None, None


def described(head: ResponseHead) -> tuple[Any, ...]:
    """Give all that a head says."""
    return head.version, head.status, head.reason, head.names, head.values, head.size, head.index, head.repeated


def check_head(head: ResponseHead, limits: tuple[int, int]) -> None:
    """Hold a head to itself and to the grammar."""
    assert head.size <= limits[0]
    assert len(head.names) == len(head.values) == len(head.lines) <= limits[1]
    assert head.version in (10, 11)
    assert 100 <= head.status <= 999
    assert not re.search(r"[\x00\r\n]", head.reason)
    for name, value in zip(head.names, head.values, strict=True):
        assert TOKEN.fullmatch(name), name
        assert not re.search(rb"[\x00\r\n]", value), value
        assert value == value.strip(b" \t")
    lower = [name.lower() for name in head.names]
    assert list(head.index) == list(dict.fromkeys(lower))
    assert head.repeated == (len(set(lower)) < len(lower))
    for name in head.index:
        several = [value for field, value in zip(lower, head.values, strict=True) if field == name]
        assert head.get_all(name) == several
        assert head.get(name) == b", ".join(several)
        assert head.index[name] == several[-1]
    assert head.get(b"not-there") is None
    assert repr(head)


def check_plain(wire: bytes) -> None:
    """Hold the quick parser to the careful one: with bare line ends it is always the careful one that reads."""
    head = plain_head(wire)
    if head is None:
        return
    whole = wire[: head.size]
    careful = parse_head(whole.replace(b"\r\n", b"\n"))
    assert described(head)[:5] == described(careful)[:5]
    again = outcome(parse_head, whole)
    assert again.error is None
    assert described(again.value) == described(head)
