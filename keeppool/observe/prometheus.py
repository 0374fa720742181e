"""`Prometheus`: a pool's figures for `prometheus_client` (extra `prometheus`).

Decides: which figure is which metric. Names and units are those of OpenTelemetry's `http.client` conventions in the
    spelling they have in Prometheus; what these do not name begins with `keeppool_`.
Knows: `prometheus_client`, figures, events. Does not know: how they are served; that is the client library's.

Nothing of it is on the way of a request: gauges and counters are read when somebody scrapes. Histograms need events, so
they are there where it is a session's `on_event` too.

Source: OpenTelemetry semantic conventions 1.44, "HTTP client metrics"; for the time in the queue .NET's
`http.client.request.time_in_queue`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from prometheus_client import REGISTRY, CollectorRegistry, Histogram, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from keeppool.checks import bad, check_listener
from keeppool.events import ConnectionClosed, Event, RequestDone
from keeppool.observe.also import before_send_of, wanted_by_both
from keeppool.observe.figures import (
    CONNECTION_BUCKETS,
    HOSTS,
    REQUEST_BUCKETS,
    STATES,
    Named,
    Pools,
    Server,
    Sums,
    Watched,
    method_of,
)
from keeppool.pools.outgoing import BeforeSend
from keeppool.stats import HostStats

_SERVER: Final = ("server_address", "server_port")
_REQUEST: Final = (
    *("http_request_method", *_SERVER),
    *("http_response_status_code", "error_type", "network_protocol_version"),
)
#: Counters: the attribute of `Stats`, the metric, what it counts.
_COUNTERS: Final = (
    ("requests", "keeppool_requests", "Responses whose head arrived."),
    ("opened", "keeppool_connections_opened", "Connections dialled with success."),
    ("reused", "keeppool_connections_reused", "Requests that took a connection which was already open."),
    ("connect_failed", "keeppool_connections_failed", "Dials that failed or were given up."),
    ("resent", "keeppool_requests_resent", "Requests sent once more because their reused connection was dead."),
    ("queued", "keeppool_requests_queued", "Requests that had to wait for a connection."),
    ("waited_s", "keeppool_requests_queued_seconds", "Seconds all of these have waited together."),
)


class Prometheus(Collector):
    """Collects the figures of sessions and pools when somebody scrapes. Register it once for all of them.

    Given to a session as `on_event` too, it adds histograms: how long requests took, until their body had come, how
    long they stood in the queue, how long connections lived.

    Args:
        *watched: Sessions or pool managers, for threads or for tasks; more come by `watch`. They are held weakly.
        registry: Where it is registered; `None` for nowhere.
        hosts: How many hosts have series of their own; what goes beyond is `_OTHER`: in gauges all but the busiest, in
            histograms all but the first.
        also: Called with each event too, as a pool has one listener.

    Raises:
        ConfigError: `hosts` is no whole number above 0.
        ValueError: One is registered there already.

    Thread safety: any thread.

    Example:
        metrics = Prometheus()
        with keeppool.Session(on_event=metrics) as session:
            metrics.watch(session)
            ...
    """

    #: What a pool builds for it.
    _WANTS: Final = frozenset((RequestDone, ConnectionClosed))

    def __init__(
        self,
        *watched: Watched,
        registry: CollectorRegistry | None = REGISTRY,
        hosts: int = HOSTS,
        also: Callable[[Event], object] | None = None,
    ) -> None:
        self._pools = Pools(hosts)
        self._named = Named(hosts)
        check_listener(also)
        self._also = also
        self._duration = _histogram(
            "http_client_request_duration_seconds",
            "Seconds from a request's beginning to the end of its response.",
            _REQUEST,
            REQUEST_BUCKETS,
        )
        self._in_queue = _histogram(
            "http_client_request_time_in_queue_seconds",
            "Seconds that requests stood in the queue, of those that had to.",
            ("http_request_method", *_SERVER),
            REQUEST_BUCKETS,
        )
        self._lived = _histogram(
            "http_client_connection_duration_seconds",
            "Seconds from when a connection was open until it was closed.",
            _SERVER,
            CONNECTION_BUCKETS,
        )
        for one in watched:
            self.watch(one)
        if registry is not None:
            try:
                registry.register(self)
            except ValueError as error:
                rule = "has such a collector already: one does for any number of sessions, by watch(); or give another"
                raise bad("registry", registry, rule) from error

    @property
    def wants(self) -> frozenset[type[Any]] | None:
        """The events it is to be told of; see `keeppool.events`. With `also`, what that wants too."""
        return wanted_by_both(self._WANTS, self._also)

    @property
    def before_send(self) -> BeforeSend | None:
        """Called with each request before it is sent, if what is `also` told wants to be."""
        return before_send_of(self._also)

    def watch(self, watched: Watched) -> None:
        """Count in a session or pool manager. Twice does no harm."""
        self._pools.watch(watched)

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        if type(event) is RequestDone:
            self._note(event)
        elif isinstance(event, ConnectionClosed):
            server = self._named.server(event.origin)
            self._lived.labels(server.address, _port(server)).observe(event.age_s)
        if self._also is not None:
            self._also(event)

    def _note(self, done: RequestDone) -> None:
        method, server = method_of(done.method), self._named.server(done.url)
        port = _port(server)
        error = done.error or (str(done.status) if done.status is not None and done.status >= 400 else "")
        status = "" if done.status is None else str(done.status)
        labels = (method, server.address, port, status, error, done.version or "")
        self._duration.labels(*labels).observe(done.total_s)
        if done.waits:
            self._in_queue.labels(method, server.address, port).observe(done.waited_s)

    def describe(self) -> Iterable[Metric]:
        """Name the metrics without reading anything, so that it can be registered before there is a session."""
        return self._metrics(Sums({}, {}, {}, {}))  # type: ignore[arg-type]  # nothing is counted

    def collect(self) -> Iterable[Metric]:
        """Read the pools. Where an event loop is blocked, its pool's figures are those of the last time."""
        return self._metrics(self._pools.sums())

    def _metrics(self, sums: Sums) -> Iterator[Metric]:
        yield from _by_host(sums.hosts)
        yield _limits(sums)
        for name, metric, text in _COUNTERS:
            yield CounterMetricFamily(metric, text, value=sums.counts.get(name, 0))
        closed = CounterMetricFamily("keeppool_connections_closed", "Connections closed, by reason.", labels=["why"])
        for why, count in sums.closed_by.items():
            closed.add_metric([why.value], count)
        yield closed
        for histogram in (self._duration, self._in_queue, self._lived):
            yield from histogram.collect()


def _by_host(hosts: dict[Server, HostStats]) -> Iterator[Metric]:
    """Give the gauges by host."""
    text = "Connections by state; those that are being dialled count too."
    connections = GaugeMetricFamily("http_client_open_connections", text, labels=["http_connection_state", *_SERVER])
    text = "Requests that have a connection, are getting one, or wait for one."
    active = GaugeMetricFamily("http_client_active_requests", text, labels=_SERVER)
    waiting = GaugeMetricFamily("keeppool_waiting", "Callers in the queue.", labels=_SERVER)
    text = "Seconds the caller that has waited longest has waited."
    oldest = GaugeMetricFamily("keeppool_waiting_oldest_seconds", text, labels=_SERVER)
    for server, host in hosts.items():
        place = [server.address, _port(server)]
        for state, name in STATES:
            connections.add_metric([state, *place], getattr(host, name))
        active.add_metric(place, host.busy + host.connecting + host.waiting)
        waiting.add_metric(place, host.waiting)
        oldest.add_metric(place, host.waiting_s)
    return iter((connections, active, waiting, oldest))


def _limits(sums: Sums) -> Metric:
    limits = GaugeMetricFamily("keeppool_limit", "The most connections there may be.", labels=["scope", *_SERVER])
    for server, host in sums.hosts.items():
        if host.cap is not None:
            limits.add_metric(["host", server.address, _port(server)], host.cap)
    for (scope, proxy), cap in sums.caps.items():
        place = ["", ""] if proxy is None else [proxy.address, _port(proxy)]
        limits.add_metric([scope, *place], cap)
    return limits


def _histogram(name: str, text: str, labels: Iterable[str], buckets: tuple[float, ...]) -> Histogram:
    """Make a histogram that this collector alone shows."""
    return Histogram(name, text, tuple(labels), buckets=buckets, registry=None)


def _port(server: Server) -> str:
    return str(server.port) if server.port else ""
