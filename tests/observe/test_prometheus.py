"""`Prometheus` with the real client library: names, units and labels by the conventions, and true counts."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

import keeppool
from keeppool import HostConfig, Limits, Timeout, observe
from keeppool.errors import ConfigError, KeepPoolError
from keeppool.events import Event, RequestDone
from keeppool.pools import pool_tasks
from keeppool.testing import Answer, Behaviour, Request, Site, Sites

prometheus_client = pytest.importorskip("prometheus_client")
pytestmark = pytest.mark.sdk

LONG = bytes(1 << 20)
STATE = "http_connection_state"


@pytest.fixture
def registry() -> Iterator[object]:
    return prometheus_client.CollectorRegistry()


def place(site: Site) -> dict[str, str]:
    return {"server_address": site.host, "server_port": str(site.port)}


def request(site: Site, status: str = "200", method: str = "GET", error: str = "") -> dict[str, str]:
    return place(site) | {
        "http_request_method": method,
        "http_response_status_code": status,
        "error_type": error,
        "network_protocol_version": "1.1" if status else "",
    }


def test_gauges_and_counters_are_read_when_somebody_scrapes(sites: Sites, registry) -> None:
    site, other = sites.add(Behaviour(body=LONG)), sites.add(Behaviour(keep_alive=False))
    with keeppool.Session(Limits(per_host=2, total=10)) as session:
        observe.Prometheus(session, registry=registry)
        value = registry.get_sample_value
        assert value("keeppool_requests_total") == 0
        for _ in range(3):
            session.get(site.url)
            session.get(other.url)
        held = session.get(site.url, stream=True)
        states = {
            s: value("http_client_open_connections", {STATE: s} | place(site)) for s in ("active", "idle", "connecting")
        }
        assert states == {"active": 1, "idle": 0, "connecting": 0}
        assert value("http_client_active_requests", place(site)) == 1
        assert value("keeppool_waiting", place(site)) == 0
        assert value("keeppool_limit", {"scope": "host"} | place(site)) == 2
        assert value("keeppool_limit", {"scope": "total", "server_address": "", "server_port": ""}) == 10
        figures = session.stats()
        counted = {
            "requests": figures.requests,
            "connections_opened": figures.opened,
            "connections_reused": figures.reused,
            "connections_failed": figures.connect_failed,
            "requests_resent": figures.resent,
            "requests_queued": figures.queued,
        }
        assert {name: value(f"keeppool_{name}_total") for name in counted} == counted
        assert counted["requests"] == 7
        assert value("keeppool_connections_closed_total", {"why": "server_close"}) == 3
        assert value("keeppool_connections_closed_total", {"why": "evicted"}) == 0
        held.close()
        assert value("keeppool_connections_closed_total", {"why": "body_unread"}) == 1


def test_what_is_exposed_is_valid_text_and_open_metrics(sites: Sites, registry) -> None:
    from prometheus_client.openmetrics import exposition
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
    from prometheus_client.parser import text_string_to_metric_families

    metrics = observe.Prometheus(registry=registry)
    with keeppool.Session(on_event=metrics) as session:
        metrics.watch(session)
        session.get(sites.add().url)
        text = prometheus_client.generate_latest(registry).decode()
        names = {family.name: family.type for family in text_string_to_metric_families(text)}
        assert names["http_client_request_duration_seconds"] == "histogram"
        assert names["http_client_open_connections"] == "gauge"
        assert names["keeppool_requests"] == "counter"
        assert {family.name for family in open_metrics(exposition.generate_latest(registry).decode())} >= {
            "http_client_request_duration_seconds",
            "http_client_request_time_in_queue_seconds",
            "http_client_connection_duration_seconds",
            "http_client_open_connections",
            "http_client_active_requests",
            "keeppool_limit",
        }


def test_durations_are_counted_by_method_status_and_error(sites: Sites, registry) -> None:
    def answer(asked: Request) -> Answer:
        return Answer(status=404 if asked.path == "/missing" else 200, body=b"x")

    site = sites.add(handler=answer)
    metrics = observe.Prometheus(registry=registry)
    with keeppool.Session(on_event=metrics, timeout=Timeout(5)) as session:
        for _ in range(3):
            session.get(site.url)
        session.get(f"{site.url}/missing")
        session.request("PROPFIND", site.url)
        port = site.port
        site.close()
        with pytest.raises(KeepPoolError) as caught:
            session.get(f"http://127.0.0.1:{port}/")
    value = registry.get_sample_value
    name = "http_client_request_duration_seconds"
    assert value(f"{name}_count", request(site)) == 3
    assert value(f"{name}_count", request(site, "404", error="404")) == 1
    assert value(f"{name}_count", request(site, method="_OTHER")) == 1
    assert value(f"{name}_count", request(site, "", error=type(caught.value).__name__)) == 1
    assert value(f"{name}_bucket", request(site) | {"le": "10.0"}) == 3
    assert value(f"{name}_bucket", request(site) | {"le": "0.005"}) is not None
    assert 0 < value(f"{name}_sum", request(site)) < 30


def test_time_in_the_queue_is_of_those_who_waited_and_a_connections_life_of_those_that_ended(
    sites: Sites, registry
) -> None:
    site = sites.add(Behaviour(body=LONG))
    queued = threading.Event()
    metrics = observe.Prometheus(
        registry=registry, also=lambda event: queued.set() if "Queued" in repr(event) else None
    )
    with keeppool.Session(Limits(per_host=1), on_event=metrics) as session:
        held = session.get(site.url, stream=True)
        other = threading.Thread(target=session.get, args=(site.url,))
        other.start()
        assert queued.wait(30)
        held.content  # noqa: B018  # reads it, and gives the connection to the other
        other.join(30)
    value = registry.get_sample_value
    labels = place(site) | {"http_request_method": "GET"}
    assert value("http_client_request_time_in_queue_seconds_count", labels) == 1
    assert value("http_client_request_duration_seconds_count", request(site)) == 2
    assert value("http_client_connection_duration_seconds_count", place(site)) == 1


def test_several_pools_are_added_up_and_what_one_has_counted_stays_when_it_goes(sites: Sites, registry) -> None:
    site = sites.add()
    metrics = observe.Prometheus(registry=registry)
    one, two = keeppool.Session(), keeppool.PoolManager()
    for watched in (one, two, two):
        metrics.watch(watched)
    one.get(site.url)
    two.request("GET", site.url)
    value = registry.get_sample_value
    assert value("keeppool_requests_total") == 2
    assert value("http_client_open_connections", {STATE: "idle"} | place(site)) == 2
    assert value("keeppool_limit", {"scope": "host"} | place(site)) == 12
    one.close()
    del one
    gc.collect()
    assert value("keeppool_requests_total") == 2
    assert value("http_client_open_connections", {STATE: "idle"} | place(site)) == 1
    assert value("keeppool_requests_total") == 2
    two.close()


def test_beyond_the_bound_hosts_share_one_series(sites: Sites, registry) -> None:
    several = [sites.add() for _ in range(5)]
    metrics = observe.Prometheus(registry=registry, hosts=2)
    with keeppool.Session(on_event=metrics) as session:
        metrics.watch(session)
        for number, site in enumerate(several):
            for _ in range(number + 1):
                session.get(site.url)
        value = registry.get_sample_value
        rest = {"server_address": "_OTHER", "server_port": ""}
        assert value("http_client_open_connections", {STATE: "idle"} | rest) == 3
        assert value("http_client_open_connections", {STATE: "idle"} | place(several[4])) == 1
        counted = request(several[0]) | rest
        assert value("http_client_request_duration_seconds_count", request(several[1])) == 2
        assert value("http_client_request_duration_seconds_count", counted) == 3 + 4 + 5


def test_a_thousand_hosts_are_scraped_without_a_request_that_waits_for_it(registry) -> None:
    """The pool is asked once, for a copy; what is built of it is built outside of its lock."""
    with keeppool.PoolManager(Limits(total=None)) as pool:
        from keeppool.core.origin import Origin
        from keeppool.core.records import Connection, Policy

        policy, state = Policy(), pool._pool._state
        for number in range(1000):
            got = state.requested(Origin(scheme="http", host=f"h{number}.example", port=80), policy, 0.0)
            assert isinstance(got, Connection)
            state.connected(got, 0.0)
        looks: list[bool] = []
        ask = pool._pool._answered

        def counted(question):
            looks.append(pool._pool._lock.locked())
            return ask(question)

        pool._pool._answered = counted
        observe.Prometheus(pool, registry=registry, hosts=1000)
        text = prometheus_client.generate_latest(registry).decode()
        assert looks == [False]
        assert text.count('http_client_open_connections{http_connection_state="active"') == 1000


def test_without_a_listener_nothing_is_built_for_a_request(sites: Sites, registry) -> None:
    with keeppool.Session() as session:
        observe.Prometheus(session, registry=registry)
        session.get(sites.add().url)
        assert not session.pool._pool.is_heard
        assert registry.get_sample_value("keeppool_requests_total") == 1


def test_what_else_listens_is_told_too_and_of_no_more_than_it_wants(sites: Sites, registry) -> None:
    told: list[Event] = []
    recorder = observe.Recorder(also=told.append)
    metrics = observe.Prometheus(registry=registry, also=recorder)
    assert metrics.wants is None
    assert observe.Prometheus(registry=None, also=observe.Recorder()).wants >= {RequestDone}
    with keeppool.Session(on_event=metrics) as session:
        session.get(sites.add().url)
    assert len(recorder.requests) == 1
    assert any(isinstance(event, RequestDone) for event in told)


def test_a_pool_for_tasks_is_scraped_from_another_thread(sites: Sites, registry) -> None:
    site = sites.add()

    async def main() -> None:
        async with keeppool.AsyncSession() as session:
            observe.Prometheus(session, registry=registry)
            await asyncio.gather(*(session.get(site.url) for _ in range(5)))
            text = (await asyncio.to_thread(prometheus_client.generate_latest, registry)).decode()
            assert "\nkeeppool_requests_total 5.0\n" in text

    asyncio.run(main())


def test_a_blocked_event_loop_does_not_spoil_the_scrape(sites: Sites, registry, monkeypatch, caplog) -> None:
    monkeypatch.setattr(pool_tasks, "LONGEST_LOOK", 0.05)
    site = sites.add()

    async def main() -> None:
        async with keeppool.AsyncSession() as session:
            observe.Prometheus(session, registry=registry)
            await session.get(site.url)
            assert registry.get_sample_value("keeppool_requests_total") == 1
            texts: list[bytes] = []
            thread = threading.Thread(target=lambda: texts.append(prometheus_client.generate_latest(registry)))
            thread.start()
            thread.join()  # On the loop's own thread: it is blocked.
            assert b"\nkeeppool_requests_total 1.0\n" in texts[0]

    asyncio.run(main())
    assert "something blocks it" in caplog.text


def test_proxies_have_their_caps_and_forwarded_requests_their_own_servers(sites: Sites, registry) -> None:
    proxy = sites.add()
    metrics = observe.Prometheus(registry=registry)
    entry = HostConfig(proxy=proxy.url.replace("//", "//user:secret@"))
    with keeppool.Session(Limits(per_proxy=9), defaults=entry, on_event=metrics) as session:
        metrics.watch(session)
        session.get("http://user:secret@far.example:8080/?key=secret")
        value = registry.get_sample_value
        assert value("keeppool_limit", {"scope": "proxy"} | place(proxy)) == 9
        labels = request(proxy) | {"server_address": "far.example", "server_port": "8080"}
        assert value("http_client_request_duration_seconds_count", labels) == 1
        assert b"secret" not in prometheus_client.generate_latest(registry)


def test_two_at_one_registry_are_refused_and_bounds_are_checked(registry) -> None:
    observe.Prometheus(registry=registry)
    with pytest.raises(ValueError, match=r"one does for any number of sessions, by watch\(\)"):
        observe.Prometheus(registry=registry)
    for hosts in (0, -1, None, "many", True):
        with pytest.raises(ConfigError):
            observe.Prometheus(registry=None, hosts=hosts)  # type: ignore[arg-type]


def test_without_the_package_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['prometheus_client'] = None; from keeppool import observe; observe.Prometheus"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "pip install 'keeppool[prometheus]'" in run.stderr


@pytest.mark.parametrize("wrong", [5, "session", keeppool, keeppool.Session, None])
def test_what_is_no_session_is_not_watched(wrong):
    with pytest.raises(ConfigError, match="must be a session or a pool manager"):
        observe.Prometheus(registry=None).watch(wrong)
    with pytest.raises(ConfigError, match="must be a session or a pool manager"):
        observe.Prometheus(wrong, registry=None)


@pytest.mark.parametrize(
    "make",
    [
        lambda wrong: observe.Prometheus(registry=None, also=wrong),
        lambda wrong: observe.Recorder(also=wrong),
        lambda wrong: keeppool.Session(on_event=wrong),
    ],
    ids=["prometheus", "recorder", "session"],
)
def test_a_listener_that_cannot_listen_is_refused(make):
    with pytest.raises(ConfigError, match="must be a function that takes an event"):
        make([print])
    with pytest.raises(ConfigError, match=r"is a class.*: make one of it, Recorder\(\)"):
        make(observe.Recorder)
