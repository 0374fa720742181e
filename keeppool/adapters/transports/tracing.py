"""What a request's `trace` extension is told: httpcore's events, under its names and in its order.

Decides: which events an exchange comes to. Those up to the response's head are told together, once the head is there or
    the exchange has failed: a pool shares dials among requests, and waits for no callback between two steps of one.
Knows: the names that programs written for httpcore look for.
Does not know: how the callback is called, or awaited.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from keeppool.errors import (
    BodyLengthError,
    ConnectError,
    ExchangeError,
    KeepPoolError,
    SendError,
    SSLError,
    WriteTimeout,
)
from keeppool.pools.body import AnyResponse

#: An event and what comes with it.
Told = tuple[str, dict[str, Any]]

_TCP: Final = "connection.connect_tcp"
_TLS: Final = "connection.start_tls"
_SENDING: Final = ("http11.send_request_headers", "http11.send_request_body")
_HEAD: Final = "http11.receive_response_headers"
BODY: Final = "http11.receive_response_body"
CLOSED: Final = "http11.response_closed"


def until_head(request: Any, answer: AnyResponse, network: Any) -> Iterator[Told]:
    """Give the events of an exchange that has come to its response's head, over `network`."""
    url, head = request.url, answer.head
    if not answer.reused:
        yield from done(_TCP, network, host=url.host, port=url.port)
        if url.scheme in ("https", "wss"):
            yield from done(_TLS, network, server_hostname=url.host)
    for step in _SENDING:
        yield from done(step, request=request)
    fields = list(zip(head.names, head.values, strict=True))
    version, reason = http_version(answer), head.reason.encode("latin-1")
    yield from done(_HEAD, (version, head.status, reason, fields), request=request)


def until_failure(request: Any, error: KeepPoolError) -> Iterator[Told]:
    """Give the events of an exchange that has failed; none where no connection was used, nor dialled."""
    if isinstance(error, ConnectError):
        steps: list[str] = [_TCP, _TLS] if isinstance(error, SSLError) else [_TCP]
    elif isinstance(error, ExchangeError):
        is_sending = isinstance(error, (SendError, WriteTimeout, BodyLengthError))
        steps = [*_SENDING] if is_sending else [*_SENDING, _HEAD]
    else:
        return
    for step in steps[:-1]:
        yield from done(step, request=request)
    yield f"{steps[-1]}.started", {"request": request}
    yield f"{steps[-1]}.failed", {"exception": error}
    if isinstance(error, ExchangeError):
        yield from done(CLOSED)


def done(step: str, value: Any = None, **facts: Any) -> Iterator[Told]:
    """Give the two events of a step that has succeeded."""
    yield f"{step}.started", facts
    yield f"{step}.complete", {"return_value": value}


def http_version(answer: AnyResponse) -> bytes:
    """Write the response's version as on the wire."""
    return b"HTTP/1.0" if answer.version == 10 else b"HTTP/1.1"
