"""`OpenTelemetry` with the real SDK: spans and metrics by the conventions, and traces that travel with requests."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

import keeppool
from keeppool import Limits, observe
from keeppool.errors import ConfigError, KeepPoolError
from keeppool.events import Event, RequestDone
from keeppool.pools.outgoing import Outgoing
from keeppool.testing import Answer, Behaviour, RawConnection, Request, ScriptedServer, Sites

pytest.importorskip("opentelemetry.sdk")
pytestmark = pytest.mark.sdk

from opentelemetry import trace  # noqa: E402
from opentelemetry.sdk.metrics import MeterProvider  # noqa: E402
from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: E402
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: E402
from opentelemetry.trace import SpanKind, StatusCode  # noqa: E402


class Sdk(NamedTuple):
    """The SDK, with what it exports."""

    telemetry: observe.OpenTelemetry
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader
    tracers: TracerProvider

    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def metrics(self) -> dict[str, Any]:
        data = self.reader.get_metrics_data()
        return (
            {}
            if data is None
            else {
                metric.name: metric
                for resource in data.resource_metrics
                for scope in resource.scope_metrics
                for metric in scope.metrics
            }
        )

    def points(self, name: str) -> list[Any]:
        return list(self.metrics()[name].data.data_points)


def sdk(**options: Any) -> Sdk:
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    meters = MeterProvider([reader])
    telemetry = observe.OpenTelemetry(tracer_provider=tracers, meter_provider=meters, **options)
    return Sdk(telemetry, exporter, reader, tracers)


@pytest.fixture
def made() -> Iterator[Sdk]:
    one = sdk()
    yield one
    one.tracers.shutdown()


def echo(request: Request) -> Answer:
    status = 503 if request.path == "/broken" else 200
    return Answer(status=status, body=repr({name.lower(): value for name, value in request.headers.items()}).encode())


def test_a_span_says_what_the_conventions_ask_for(sites: Sites, made: Sdk) -> None:
    site = sites.add(handler=echo)
    with keeppool.Session(on_event=made.telemetry) as session:
        session.get(f"{site.url}/a?b=c&token=secret".replace("//", "//user:secret@", 1))
    (span,) = made.spans()
    assert (span.name, span.kind, span.status.status_code) == ("GET", SpanKind.CLIENT, StatusCode.UNSET)
    facts = dict(span.attributes or {})
    assert facts.pop("keeppool.connection.number") == 1
    assert facts.pop("keeppool.connection.reused") is False
    assert facts == {
        "http.request.method": "GET",
        "server.address": site.host,
        "server.port": site.port,
        "url.full": f"{site.url}/a?b=c&token=***",
        "url.scheme": "http",
        "http.response.status_code": 200,
        "network.peer.address": "127.0.0.1",
        "network.protocol.version": "1.1",
    }
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "keeppool"
    assert span.start_time is not None
    assert span.end_time is not None
    assert 0 < span.end_time - span.start_time < 30e9


def test_the_trace_travels_with_the_request_in_its_callers_context(sites: Sites, made: Sdk) -> None:
    site = sites.add(handler=echo)
    tracer = made.tracers.get_tracer("test")
    with keeppool.Session(on_event=made.telemetry) as session, tracer.start_as_current_span("caller") as parent:
        said = [session.get(site.url).text for _ in range(2)]
    first, second, caller = made.spans()
    assert caller.name == "caller"
    for span, text in ((first, said[0]), (second, said[1])):
        assert span.parent is not None
        assert span.parent.span_id == parent.get_span_context().span_id
        context = span.get_span_context()
        assert f"'traceparent': '00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}'" in text
        assert context.trace_flags.sampled
    assert first.get_span_context().span_id != second.get_span_context().span_id


def test_tasks_have_each_their_own_context(sites: Sites, made: Sdk) -> None:
    site = sites.add(handler=echo)
    tracer = made.tracers.get_tracer("test")

    async def one(session: keeppool.AsyncSession, name: str) -> None:
        with tracer.start_as_current_span(name):
            await session.get(f"{site.url}/{name}")

    async def main() -> None:
        async with keeppool.AsyncSession(on_event=made.telemetry) as session:
            await asyncio.gather(*(one(session, f"task-{number}") for number in range(8)))

    asyncio.run(main())
    spans = made.spans()
    callers = {span.get_span_context().span_id: span.name for span in spans if span.name.startswith("task")}
    asked = [span for span in spans if span.kind is SpanKind.CLIENT]
    assert len(asked) == 8
    for span in asked:
        assert span.parent is not None
        assert str((span.attributes or {})["url.full"]).endswith(callers[span.parent.span_id])


def test_errors_and_statuses_are_told_by_their_type(sites: Sites, made: Sdk) -> None:
    site = sites.add(handler=echo)
    with keeppool.Session(on_event=made.telemetry) as session:
        session.get(f"{site.url}/broken")
        session.request("BREW", site.url)
        port = site.port
        site.close()
        with pytest.raises(KeepPoolError) as caught:
            session.get(f"http://127.0.0.1:{port}/")
    broken, brewed, refused = made.spans()
    assert dict(broken.attributes or {})["error.type"] == "503"
    assert broken.status.status_code is StatusCode.ERROR
    facts = dict(brewed.attributes or {})
    assert (brewed.name, facts["http.request.method"], facts["http.request.method_original"]) == (
        "HTTP",
        "_OTHER",
        "BREW",
    )
    facts = dict(refused.attributes or {})
    assert facts["error.type"] == type(caught.value).__name__
    assert "http.response.status_code" not in facts


def test_a_request_that_the_pool_sends_again_is_one_span_that_says_so(made: Sdk) -> None:
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    read = RawConnection.read_request
    with ScriptedServer([read, ok, read], [read, ok]) as server, keeppool.Session(on_event=made.telemetry) as session:
        session.get(server.url)
        session.get(server.url)
    counts = [dict(span.attributes or {}).get("http.request.resend_count") for span in made.spans()]
    assert counts == [None, 1]


def test_redirects_are_requests_of_their_own_in_one_trace(sites: Sites, made: Sdk) -> None:
    def answer(request: Request) -> Answer:
        return Answer(status=302, headers=[("Location", "/there")]) if request.path == "/" else Answer(body=b"x")

    site = sites.add(handler=answer)
    tracer = made.tracers.get_tracer("test")
    with keeppool.Session(on_event=made.telemetry) as session, tracer.start_as_current_span("caller"):
        session.get(site.url)
    spans = made.spans()
    assert [dict(span.attributes or {}).get("http.response.status_code") for span in spans] == [302, 200, None]
    assert len({span.get_span_context().trace_id for span in spans}) == 1


def test_metrics_have_the_names_units_and_counts_of_the_conventions(sites: Sites, made: Sdk) -> None:
    site = sites.add(Behaviour(body=bytes(1 << 20)))
    with keeppool.Session(Limits(per_host=3, total=9), on_event=made.telemetry) as session:
        made.telemetry.watch(session)
        for _ in range(4):
            session.get(site.url)
        held = session.get(site.url, stream=True)
        place = {"server.address": site.host, "server.port": site.port}
        found = made.metrics()
        units = {name: metric.unit for name, metric in found.items()}
        assert units["http.client.request.duration"] == "s"
        assert units["http.client.open_connections"] == "{connection}"
        assert units["http.client.active_requests"] == "{request}"
        (point,) = found["http.client.request.duration"].data.data_points
        asked = {"http.request.method": "GET", "http.response.status_code": 200, "network.protocol.version": "1.1"}
        assert dict(point.attributes) == place | asked
        assert point.count == 4
        assert tuple(point.explicit_bounds) == (
            *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75),
            *(1.0, 2.5, 5.0, 7.5, 10.0),
        )
        states = {
            dict(p.attributes)["http.connection.state"]: p.value
            for p in found["http.client.open_connections"].data.data_points
        }
        assert states == {"active": 1, "idle": 0, "connecting": 0}
        assert not found["http.client.open_connections"].data.is_monotonic
        assert [(dict(p.attributes), p.value) for p in found["http.client.active_requests"].data.data_points] == [
            (place, 1)
        ]
        assert found["keeppool.requests"].data.is_monotonic
        figures = session.stats()
        for name, value in (("requests", figures.requests), ("connections.opened", 1), ("connections.reused", 4)):
            assert [p.value for p in found[f"keeppool.{name}"].data.data_points] == [value]
        limits = {dict(p.attributes)["keeppool.scope"]: p.value for p in found["keeppool.limit"].data.data_points}
        assert limits == {"host": 3, "total": 9}
        held.close()
    (lived,) = made.points("http.client.connection.duration")
    assert lived.count == 1


def test_one_listener_serves_several_pools_whose_numbers_are_the_same(sites: Sites, made: Sdk) -> None:
    one, two = sites.add(handler=echo), sites.add(handler=echo)
    with keeppool.Session(on_event=made.telemetry) as a, keeppool.Session(on_event=made.telemetry) as b:
        held = [a.get(one.url, stream=True), b.get(two.url, stream=True)]
        for response in reversed(held):
            assert response.content
    ports = [dict(span.attributes or {})["server.port"] for span in made.spans()]
    assert sorted(ports) == sorted([one.port, two.port])


def test_the_query_can_be_left_out_and_signatures_always_are(sites: Sites) -> None:
    site, hiding = sites.add(), sdk(hide_query=True)
    with keeppool.Session(on_event=hiding.telemetry) as session:
        session.get(f"{site.url}/?q=1")
    assert dict(hiding.spans()[0].attributes or {})["url.full"] == f"{site.url}/?q=***"
    plain = sdk()
    with keeppool.Session(on_event=plain.telemetry) as session:
        session.get(f"{site.url}/?q=1&sig=2&X-Goog-Signature=3")
    assert dict(plain.spans()[0].attributes or {})["url.full"] == f"{site.url}/?q=1&sig=***&X-Goog-Signature=***"


def test_what_else_listens_sees_requests_and_its_own_notes(sites: Sites) -> None:
    ended: list[object] = []

    class Signing:
        wants = frozenset((RequestDone,))

        def before_send(self, outgoing: Outgoing) -> None:
            outgoing.set("X-Signature", f"{outgoing.request}:{outgoing.method}")
            outgoing.note = "mine"

        def __call__(self, event: Event) -> None:
            assert isinstance(event, RequestDone)
            ended.append(event.note)

    site = sites.add(handler=echo)
    for also in (Signing(), observe.Recorder(also=Signing()), observe.Prometheus(registry=None, also=Signing())):
        made = sdk(also=also)
        with keeppool.Session(on_event=made.telemetry) as session:
            text = session.get(site.url).text
        assert "'x-signature': '1:GET'" in text
        assert "traceparent" in text
    assert ended == ["mine"] * 3


def test_unsampled_traces_cost_no_attributes_and_still_travel(sites: Sites) -> None:
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    site, exporter = sites.add(handler=echo), InMemorySpanExporter()
    tracers = TracerProvider(sampler=ALWAYS_OFF)
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    with keeppool.Session(on_event=observe.OpenTelemetry(tracer_provider=tracers)) as session:
        text = session.get(site.url).text
    flags = re.search(r"'traceparent': '00-[0-9a-f]{32}-[0-9a-f]{16}-([0-9a-f]{2})'", text)
    assert flags is not None
    assert not int(flags[1], 16) & 1
    assert exporter.get_finished_spans() == ()


def test_without_the_sdk_the_programs_requests_go_on(sites: Sites) -> None:
    site = sites.add(handler=echo)
    with keeppool.Session(on_event=observe.OpenTelemetry()) as session:
        assert "traceparent" not in session.get(site.url).text
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_bounds_are_checked_and_the_missing_package_is_named() -> None:
    with pytest.raises(ConfigError):
        observe.OpenTelemetry(hosts=0)
    code = "import sys; sys.modules['opentelemetry'] = None; from keeppool import observe; observe.OpenTelemetry"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'keeppool[otel]'" in run.stderr


def test_what_is_no_session_is_not_watched_and_what_cannot_listen_not_told():
    with pytest.raises(ConfigError, match="must be a session or a pool manager"):
        observe.OpenTelemetry().watch(keeppool)
    with pytest.raises(ConfigError, match="must be a function that takes an event"):
        observe.OpenTelemetry(also=5)
