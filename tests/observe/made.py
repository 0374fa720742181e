"""Events made by hand: what a pool would tell, at moments that are known."""

from __future__ import annotations

from typing import Any

from keeppool.events import ConnectionClosed, ConnectionOpened, RequestDone, Why
from keeppool.observe import Recorder

A = "http://a.example:80"
#: When the first request is begun, on the clock.
ZERO = 1000.0


def done(number: int, **facts: Any) -> RequestDone:
    """Make the end of a request: one that was begun at second `number`, took 900 ms, and got 200."""
    at = ZERO + number
    usual: dict[str, Any] = {
        "request": number + 1,
        "method": "GET",
        "url": f"{A}/page/{number}",
        "origin": A,
        "connection": 1,
        "served": number,
        "position": 0,
        "status": 200,
        "error": None,
        "complete": True,
        "resent": 0,
        "waits": (),
        "started_at": at,
        "dial": None,
        "lost_s": 0.0,
        "begun_at": at,
        "sent_at": at + 0.1,
        "first_byte_at": at + 0.7,
        "ended_at": at + 0.9,
        "sent": 100,
        "received": 1000,
        "peer": "192.0.2.1",
        "version": "1.1",
        "reason": "OK",
        "per_host": 6,
        "request_head": b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "response_lines": (b"Content-Length: 2",),
    }
    return RequestDone(**(usual | facts))


def told(recorder: Recorder, *events: RequestDone | ConnectionOpened | ConnectionClosed) -> Recorder:
    """Tell a recorder all of these."""
    for event in events:
        recorder(event)
    return recorder


def opened(number: int, origin: str = A) -> ConnectionOpened:
    return ConnectionOpened(origin, number, 0.01, resumed=False, request=number)


def closed(number: int, why: Why, origin: str = A) -> ConnectionClosed:
    return ConnectionClosed(origin, number, why, 1, 0.5)
