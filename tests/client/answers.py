"""Answers the client's tests give again and again."""

from __future__ import annotations

from keeppool.testing import Answer


def elsewhere(status: int, location: str, *headers: tuple[str, str], body: bytes = b"") -> Answer:
    """Make a redirect."""
    return Answer(status=status, headers=(("Location", location), *headers), body=body)


def page(body: bytes | tuple[bytes, ...] = b"", content_type: str | None = None, *more: tuple[str, str]) -> Answer:
    """Make an ordinary answer."""
    return Answer(headers=(*((("Content-Type", content_type),) if content_type else ()), *more), body=body)
