"""Tools that look into httpx: OpenTelemetry's instrumentation, respx, pytest-httpx. What works with our transports."""

import asyncio

import pytest

from keeppool.testing import Site

pytestmark = pytest.mark.sdk

httpx = pytest.importorskip("httpx")

from keeppool.adapters.httpx import AsyncKeepPoolTransport, KeepPoolTransport  # noqa: E402


@pytest.fixture
def spans():
    """What is exported, span by span, and the provider that does it."""
    trace = pytest.importorskip("opentelemetry.sdk.trace")
    export = pytest.importorskip("opentelemetry.sdk.trace.export")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    exporter, provider = memory.InMemorySpanExporter(), trace.TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(exporter))
    yield exporter.get_finished_spans, provider
    provider.shutdown()


def test_opentelemetry_sees_a_client_that_it_is_told_of(spans):
    instrumentation = pytest.importorskip("opentelemetry.instrumentation.httpx")
    finished, provider = spans
    seen = []

    def answer(request):
        seen.append(request.headers.get("traceparent"))

    with Site(handler=answer) as site:
        with httpx.Client(transport=KeepPoolTransport()) as client:
            instrumentation.HTTPXClientInstrumentor.instrument_client(client, tracer_provider=provider)
            client.get(site.url + "/hello")

        async def main():
            async with httpx.AsyncClient(transport=AsyncKeepPoolTransport()) as client:
                instrumentation.HTTPXClientInstrumentor.instrument_client(client, tracer_provider=provider)
                await client.get(site.url + "/hello")

        asyncio.run(main())
    assert [span.name for span in finished()] == ["GET", "GET"]
    assert all(seen)


def test_opentelemetrys_transport_stands_around_ours(spans):
    instrumentation = pytest.importorskip("opentelemetry.instrumentation.httpx")
    finished, provider = spans
    with Site() as site:
        around = instrumentation.SyncOpenTelemetryTransport(KeepPoolTransport(), tracer_provider=provider)
        with httpx.Client(transport=around) as client:
            client.get(site.url + "/hello")
    assert [span.name for span in finished()] == ["GET"]


def test_opentelemetrys_global_switch_does_not_see_a_transport_of_somebody_elses(spans):
    """It wraps httpx's own transports. docs/httpx-and-sdks.md says so; if this fails, the page is to be mended."""
    instrumentation = pytest.importorskip("opentelemetry.instrumentation.httpx")
    finished, provider = spans
    instrumentor = instrumentation.HTTPXClientInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        with Site() as site, httpx.Client(transport=KeepPoolTransport()) as client:
            client.get(site.url + "/hello")
    finally:
        instrumentor.uninstrument()
    assert finished() == ()


def test_respx_is_mounted_where_our_transport_would_be():
    respx = pytest.importorskip("respx")
    router = respx.MockRouter(assert_all_called=True)
    router.get("http://a.example/").respond(json={"a": 1})
    with httpx.Client(transport=httpx.MockTransport(router.handler)) as client:
        assert client.get("http://a.example/").json() == {"a": 1}


def test_respx_lets_what_it_is_not_told_of_pass_to_us():
    """It replaces httpcore's pool, of which ours has none: nothing is faked where our transport is given."""
    respx = pytest.importorskip("respx")
    with Site() as site, respx.mock(assert_all_called=False) as router:
        router.get(site.url + "/hello").respond(418)
        with httpx.Client(transport=KeepPoolTransport()) as client:
            assert client.get(site.url + "/hello").status_code == 200


def test_pytest_httpx_fakes_httpxs_own_transports_and_not_ours(request):
    pytest.importorskip("pytest_httpx")
    httpx_mock = request.getfixturevalue("httpx_mock")
    httpx_mock.add_response(url="http://a.example/", json={"a": 1})
    assert httpx.get("http://a.example/").json() == {"a": 1}
    with Site() as site, httpx.Client(transport=KeepPoolTransport()) as client:
        assert client.get(site.url + "/hello").status_code == 200
