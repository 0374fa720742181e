"""From a request's last event to its entry in a HAR.

Decides: which of our phases are which of HAR's, and what more is told under names of our own.
Knows: events, the format's objects.
Does not know: files.

`blocked` holds all of the time before the request was sent that is neither a name's, TCP's nor TLS's: the queue (which
`_waited` names by its cap), an attempt that was lost (`_lost`), a proxy's part of the dial (`_proxy`). `connect` holds
`ssl`, as the format wants it.

Source: "HTTP Archive 1.2", http://www.softwareishard.com/blog/har-12-spec/#timings
"""

from __future__ import annotations

from typing import Any

from keeppool import har
from keeppool.events import RequestDone
from keeppool.har.secrets import Secrets


def entry_of(done: RequestDone, epoch: float, secrets: Secrets) -> dict[str, Any]:
    """Describe a request.

    Args:
        done: How it ended.
        epoch: Seconds since 1970 at the zero of its clock.
        secrets: Leaves out what is nobody's business.
    """
    waited: dict[str, float] = {}
    for one in done.waits:
        waited[one.room.value] = waited.get(one.room.value, 0.0) + _ms(one.seconds)
    phases = done.phases
    return har.entry(
        _request(done, secrets),
        _response(done, secrets),
        started=epoch + done.started_at,
        timings=timings_of(done),
        serverIPAddress=done.peer,
        connection=None if done.connection is None else str(done.connection),
        _request=done.request,
        _error=done.error,
        _resent=done.resent or None,
        _position=done.position or None,
        _waited=waited or None,
        _lost=_ms(phases.lost_s) if phases.lost_s else None,
        _proxy=None if phases.proxy_s is None else _ms(phases.proxy_s),
    )


def timings_of(done: RequestDone) -> dict[str, float]:
    """Give HAR's phases in milliseconds; those that did not happen are left out."""
    phases = done.phases
    blocked = phases.blocked_s + phases.lost_s + (phases.proxy_s or 0.0)
    connect = None if phases.connect_s is None else phases.connect_s + (phases.tls_s or 0.0)
    found = {
        "blocked": blocked,
        "dns": phases.name_s,
        "connect": connect,
        "ssl": None if connect is None else phases.tls_s,
        "send": phases.sending_s,
        "wait": phases.first_byte_s,
        "receive": phases.receiving_s,
    }
    return {name: _ms(seconds) for name, seconds in found.items() if seconds is not None}


def _request(done: RequestDone, secrets: Secrets) -> dict[str, Any]:
    lines = done.request_head.split(b"\r\n")
    return har.request(
        done.method,
        secrets.in_url(done.url),
        secrets.in_fields([_field(line) for line in lines[1:] if line]),
        version=lines[0].rpartition(b" ")[2].decode("latin-1") or "HTTP/1.1",
        headers_size=len(done.request_head) or har.UNKNOWN,
        # The drop-in for urllib3 lets urllib3 write the head, and knows both together.
        body_size=max(done.sent - len(done.request_head), 0) if done.request_head else har.UNKNOWN,
    )


def _response(done: RequestDone, secrets: Secrets) -> dict[str, Any]:
    fields = [_field(line) for line in done.response_lines]
    head, body = _sizes(done)
    # As it was sent it is as long as without codings, if it has none and no chunks.
    is_plain = not {name.lower() for name, _ in fields} & {"content-encoding", "transfer-encoding"}
    return har.response(
        done.status or 0,
        done.reason,
        secrets.in_fields(fields),
        version="" if done.version is None else f"HTTP/{done.version}",
        headers_size=head,
        body_size=body,
        size=body if is_plain and done.complete else None,
    )


def _sizes(done: RequestDone) -> tuple[int, int]:
    """Give the bytes of a response's head and of its body as they came; interim responses count as body."""
    if not done.response_lines:
        return har.UNKNOWN, har.UNKNOWN
    status_line = len(f"HTTP/{done.version} {done.status} {done.reason}")
    head = status_line + sum(len(line) + 2 for line in done.response_lines) + 4
    return head, max(done.received - head, 0)


def _field(line: bytes) -> tuple[str, str]:
    name, _, value = line.decode("latin-1").partition(":")
    return name, value.strip(" \t")


def _ms(seconds: float) -> float:
    """Write seconds as milliseconds. A microsecond is more than the clock is good for."""
    return round(seconds * 1000, 3)
