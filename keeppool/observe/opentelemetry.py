"""`OpenTelemetry`: spans and metrics by the semantic conventions for HTTP clients (extra `otel`).

Decides: what a span says, and which figure is which metric.
Knows: OpenTelemetry's API, events, figures. Does not know: its SDK; exporters, sampling and views are the program's.

A span is begun just before a request is sent, in the caller's context, and its trace travels in the request's fields;
it ends when the response's body has come, or the request has failed. A redirect, a retry, a challenge: each is a
request with a span of its own. What the pool itself sends again is not; its span says so.

Source: OpenTelemetry semantic conventions 1.44, "HTTP client span" and "HTTP client metrics"; W3C Trace Context. What
these do not name begins with `keeppool.`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from opentelemetry import metrics, propagate, trace
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
from opentelemetry.propagators.textmap import Setter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider

from keeppool._version import __version__
from keeppool.checks import PRIVATE_NAME, check_listener
from keeppool.clock import clock
from keeppool.events import ConnectionClosed, Event, RequestDone
from keeppool.har.secrets import Secrets
from keeppool.observe.also import before_send_of, wanted_by_both
from keeppool.observe.figures import (
    CONNECTION_BUCKETS,
    HOSTS,
    OTHER,
    REQUEST_BUCKETS,
    STATES,
    Named,
    Pools,
    Server,
    Sums,
    Watched,
    method_of,
    server_of,
)
from keeppool.pools.outgoing import Outgoing

_SCHEMA: Final = "https://opentelemetry.io/schemas/1.44.0"
#: Seconds for which the pools' figures hold: all instruments of one collection read them once.
_FRESH: Final = 0.2
#: Query parameters that the conventions hide too.
_SIGNATURES: Final = ("AWSAccessKeyId", "Signature", "sig", "X-Goog-Signature")
#: Counters: the attribute of `Stats`, the metric, its unit, what it counts.
_COUNTERS: Final = (
    ("requests", "keeppool.requests", "{request}", "Responses whose head arrived."),
    ("opened", "keeppool.connections.opened", "{connection}", "Connections dialled with success."),
    ("reused", "keeppool.connections.reused", "{request}", "Requests that took an open connection."),
    ("connect_failed", "keeppool.connections.failed", "{connection}", "Dials that failed or were given up."),
    ("resent", "keeppool.requests.resent", "{request}", "Requests sent again because their connection was dead."),
    ("queued", "keeppool.requests.queued", "{request}", "Requests that had to wait for a connection."),
)


class OpenTelemetry:
    """Spans and metrics of sessions and pools; give it to them as `on_event`.

    Metrics of what pools hold come of those it watches; they are read when metrics are collected.

    Args:
        *watched: Sessions or pool managers, for threads or for tasks; more come by `watch`. They are held weakly.
        tracer_provider: Instead of the program's.
        meter_provider: Likewise.
        hosts: As for `Prometheus`.
        hide_query: Leave the values of all query parameters out of spans. Those of parameters whose name says that
            they are secret, such as `token`, are left out anyway.
        also: Called with each event too, as a pool has one listener.

    Raises:
        ConfigError: `hosts` is no whole number above 0.

    Thread safety: any thread.

    Example:
        telemetry = OpenTelemetry()
        with keeppool.Session(on_event=telemetry) as session:
            telemetry.watch(session)
            ...
    """

    #: What a pool builds for it.
    _WANTS: Final = frozenset((RequestDone, ConnectionClosed))

    def __init__(
        self,
        *watched: Watched,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        hosts: int = HOSTS,
        hide_query: bool = False,
        also: Callable[[Event], object] | None = None,
    ) -> None:
        self._pools = Pools(hosts)
        self._named = Named(hosts)
        check_listener(also)
        self._also = also
        self._secrets = Secrets(hide=_SIGNATURES, like=re.compile(PRIVATE_NAME), all_of_query=hide_query)
        self._tracer = trace.get_tracer("keeppool", __version__, tracer_provider, _SCHEMA)
        self._sums: tuple[float, Sums] | None = None
        self._instrument(metrics.get_meter("keeppool", __version__, meter_provider, _SCHEMA))
        for one in watched:
            self.watch(one)

    @property
    def wants(self) -> frozenset[type[Any]] | None:
        """The events it is to be told of; see `keeppool.events`. With `also`, what that wants too."""
        return wanted_by_both(self._WANTS, self._also)

    def watch(self, watched: Watched) -> None:
        """Count in a session or pool manager. Twice does no harm."""
        self._pools.watch(watched)

    # Traces

    def before_send(self, outgoing: Outgoing) -> None:
        """Begin the span of a request, and have its trace travel in the request's fields."""
        others = before_send_of(self._also)
        if others is not None:
            others(outgoing)
        span = self._begin_span(outgoing.method, outgoing.url)
        propagate.inject(outgoing, trace.set_span_in_context(span), _Setter())
        outgoing.note = _Noted(span, outgoing.note)

    def _begin_span(self, asked: str, url: str, started: int | None = None) -> Span:
        """Begin the span of a request, now or when it `started`, in nanoseconds since 1970."""
        method, server = method_of(asked), server_of(url)
        attributes: dict[str, Any] = {
            "http.request.method": method,
            "server.address": server.address,
            "server.port": server.port,
            "url.full": self._secrets.in_url(url),
            "url.scheme": url.partition(":")[0].lower(),
        }
        if method == OTHER:
            attributes["http.request.method_original"] = asked
        name = "HTTP" if method == OTHER else method
        return self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes, start_time=started)

    def _end_span(self, span: Span, done: RequestDone, ended: int) -> None:
        """Say how a request ended, and end its span."""
        if span.is_recording():
            facts: dict[str, Any] = {
                "http.response.status_code": done.status,
                "error.type": _error_of(done),
                "network.peer.address": done.peer,
                "network.protocol.version": done.version,
                "http.request.resend_count": done.resent or None,
                "keeppool.connection.number": done.connection,
                "keeppool.connection.reused": None if done.connection is None else done.served > 0,
                "keeppool.request.time_in_queue": done.waited_s or None,
            }
            span.set_attributes({name: value for name, value in facts.items() if value is not None})
            if facts["error.type"] is not None:
                span.set_status(Status(StatusCode.ERROR))
        span.end(ended)

    # Metrics

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        if type(event) is RequestDone:
            event = self._note(event)
        elif isinstance(event, ConnectionClosed):
            self._lived.record(event.age_s, _place(self._named.server(event.origin)))
        if self._also is not None:
            self._also(event)

    def _note(self, done: RequestDone) -> RequestDone:
        """Take note of a request's end; give it with what others have left on it."""
        ended = time.time_ns() - round((clock() - done.ended_at) * 1e9)
        if isinstance(done.note, _Noted):
            span, under = done.note
        else:  # Sent by somebody who shows nobody what is sent, such as the drop-in for urllib3.
            span, under = self._begin_span(done.method, done.url, ended - round(done.total_s * 1e9)), done.note
        self._end_span(span, done, ended)
        asked = {"http.request.method": method_of(done.method), **_place(self._named.server(done.url))}
        facts = {
            "http.response.status_code": done.status,
            "error.type": _error_of(done),
            "network.protocol.version": done.version,
        }
        attributes = asked | {name: value for name, value in facts.items() if value is not None}
        # In the span's context, so that a histogram may keep its trace as an example.
        context = trace.set_span_in_context(span)
        self._duration.record(done.total_s, attributes, context)
        if done.waits:
            self._in_queue.record(done.waited_s, asked, context)
        return done._replace(note=under)

    def _instrument(self, meter: metrics.Meter) -> None:
        self._duration = meter.create_histogram(
            "http.client.request.duration",
            "s",
            "From a request's beginning to the end of its response.",
            explicit_bucket_boundaries_advisory=REQUEST_BUCKETS,
        )
        self._in_queue = meter.create_histogram(
            "http.client.request.time_in_queue",
            "s",
            "How long requests stood in the queue, of those that had to.",
            explicit_bucket_boundaries_advisory=REQUEST_BUCKETS,
        )
        self._lived = meter.create_histogram(
            "http.client.connection.duration",
            "s",
            "From when a connection was open until it was closed.",
            explicit_bucket_boundaries_advisory=CONNECTION_BUCKETS,
        )
        gauge, counter = meter.create_observable_up_down_counter, meter.create_observable_counter
        connections, active = "http.client.open_connections", "http.client.active_requests"
        gauge(connections, [self._connections], "{connection}", "Connections by state, those being dialled too.")
        gauge(active, [self._active], "{request}", "Requests with a connection, getting one, or waiting for one.")
        gauge("keeppool.waiting", [self._waiting], "{request}", "Callers in the queue.")
        gauge("keeppool.limit", [self._limits], "{connection}", "The most connections there may be.")
        for name, metric, unit, text in _COUNTERS:
            counter(metric, [self._counted(name)], unit, text)
        counter("keeppool.connections.closed", [self._closed], "{connection}", "Connections closed, by reason.")

    def _read(self) -> Sums:
        """Read the pools, once for all instruments of a collection."""
        known, now = self._sums, time.monotonic()
        if known is None or now - known[0] > _FRESH:
            known = self._sums = now, self._pools.sums()
        return known[1]

    def _connections(self, _: CallbackOptions) -> Iterable[Observation]:
        for server, host in self._read().hosts.items():
            for state, name in STATES:
                yield Observation(getattr(host, name), {"http.connection.state": state, **_place(server)})

    def _active(self, _: CallbackOptions) -> Iterable[Observation]:
        for server, host in self._read().hosts.items():
            yield Observation(host.busy + host.connecting + host.waiting, _place(server))

    def _waiting(self, _: CallbackOptions) -> Iterable[Observation]:
        for server, host in self._read().hosts.items():
            yield Observation(host.waiting, _place(server))

    def _limits(self, _: CallbackOptions) -> Iterable[Observation]:
        sums = self._read()
        for server, host in sums.hosts.items():
            if host.cap is not None:
                yield Observation(host.cap, {"keeppool.scope": "host", **_place(server)})
        for (scope, proxy), cap in sums.caps.items():
            yield Observation(cap, {"keeppool.scope": scope, **({} if proxy is None else _place(proxy))})

    def _closed(self, _: CallbackOptions) -> Iterable[Observation]:
        for why, count in self._read().closed_by.items():
            yield Observation(count, {"keeppool.why": why.value})

    def _counted(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        return lambda _: [Observation(self._read().counts.get(name, 0))]


class _Noted(NamedTuple):
    """What stands on a request until its end: its span, and what others have left there."""

    span: Span
    under: object


class _Setter(Setter[Outgoing]):
    """Puts the fields of a trace on a request."""

    def set(self, carrier: Outgoing, key: str, value: str) -> None:
        carrier.set(key, value)


def _place(server: Server) -> dict[str, str | int]:
    return {"server.address": server.address, "server.port": server.port}


def _error_of(done: RequestDone) -> str | None:
    """Name what went wrong: the class of an error, or a status from 400 on."""
    if done.error is not None:
        return done.error
    return str(done.status) if done.status is not None and done.status >= 400 else None
