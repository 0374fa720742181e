"""Every way a connection may hand the same bytes over: whole, in two parts at each place, byte by byte."""

from __future__ import annotations

from collections.abc import Iterator

from keeppool.wire.message import BodyReader


def every_cut(data: bytes) -> Iterator[list[bytes]]:
    """Give `data` as one part, as two parts cut at each place, and one byte at a time."""
    yield [data]
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]
    yield [data[at : at + 1] for at in range(len(data))]


def payload_of(reader: BodyReader, parts: list[bytes]) -> bytes:
    """Feed all parts and return the payload; raise what was wrong with them."""
    payload = b"".join([reader.feed(part) for part in parts])
    if reader.failure is not None:
        raise reader.failure
    return payload
