"""`explain`: which entry decides what for a URL; what was learned of its host; what a request would get now."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import fields

import pytest

import keeppool
from keeppool import HostConfig, Limits, Timeout
from keeppool.config import HOST_FIELDS
from keeppool.errors import InvalidURL, LoopError
from keeppool.explanation import Explanation
from keeppool.pools import pool_tasks
from keeppool.testing import Behaviour, Sites

LONG = bytes(1 << 20)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


def said(found: Explanation, *names: str) -> list[tuple[str, str]]:
    return [found.setting(name)[2:] for name in names]


def test_each_setting_has_the_entry_that_decides_it_by_the_order_of_patterns() -> None:
    hosts = {
        "*": HostConfig(per_host=9, idle_timeout=9, max_age=9),
        "*.example.com": HostConfig(per_host=8, idle_timeout=8),
        "https://api.example.com": HostConfig(per_host=7),
    }
    defaults = HostConfig(max_age=1, keep_alive=False)
    with keeppool.PoolManager(Limits(total=5), timeout=Timeout(read=7), hosts=hosts, defaults=defaults) as pool:
        found = pool.explain("https://api.example.com/a")
    assert found.entries == ("https://api.example.com", "*.example.com", "*")
    assert said(found, "per_host", "idle_timeout", "max_age", "keep_alive") == [
        ("7", 'hosts["https://api.example.com"]'),
        ("8", 'hosts["*.example.com"]'),
        ("9", 'hosts["*"]'),
        ("False", "defaults"),
    ]
    assert said(found, "limits.total", "waiting", "read", "timeout.total", "verify", "proxy") == [
        ("5", "limits"),
        ("None", "default"),
        ("7", "timeout"),
        ("None", "default"),
        ("True", "default"),
        ("None", "default"),
    ]


def test_every_setting_there_is_is_told_with_what_the_pool_goes_by() -> None:
    with keeppool.PoolManager() as pool:
        found = pool.explain("https://a.example/")
    names = {one.name for one in found.settings}
    assert names >= set(HOST_FIELDS) - {"headers", "proxy_headers", "timeout"}
    assert names >= {f.name for kind in (Limits, Timeout) for f in fields(kind)}


def test_how_many_requests_may_be_in_flight_on_a_connection_is_one_of_the_limits() -> None:
    hosts = {"*.example.com": HostConfig(pipelining=8), "slow.example.com": HostConfig(pipelining=1)}
    with keeppool.PoolManager(Limits(per_host=2), hosts=hosts) as pool:
        deep, slow = pool.explain("http://a.example.com/"), pool.explain("http://slow.example.com/")
        plain = pool.explain("http://a.example/")
        for_once = pool.explain("http://a.example.com/", HostConfig(pipelining=2))
    assert said(deep, "limits.pipelining") == [("8", 'hosts["*.example.com"]')]
    assert said(slow, "limits.pipelining") == [("1", 'hosts["slow.example.com"]')]
    assert said(plain, "limits.pipelining") == [("1", "default")]
    assert said(for_once, "limits.pipelining") == [("2", "host=")]
    assert [one.topic for one in deep.settings if one.name == "pipelining"] == ["limits"]


@pytest.mark.parametrize(
    ("timeout", "deciders"),
    [
        (5, ["here", "here", "here", "default", "default"]),
        ((1, 2), ["here", "here", "timeout", "default", "default"]),
        (None, ["here"] * 5),
        (Timeout(total=9), ["here"] * 5),
    ],
)
def test_a_hosts_timeout_decides_the_waits_it_names(timeout: object, deciders: list[str]) -> None:
    hosts = {"a.example": HostConfig(timeout=timeout)}  # type: ignore[arg-type]
    with keeppool.PoolManager(timeout=Timeout(stall=3), hosts=hosts) as pool:
        found = pool.explain("http://a.example/")
    here = 'hosts["a.example"]'
    assert [found.setting(f"timeout.{name}").decided_by for name in ("connect", "read", "stall", "pool", "total")] == [
        here if one == "here" else one for one in deciders
    ]
    assert found.setting("timeout.read").value == repr(pool.timeout_for("http://a.example/").read)


def test_one_requests_own_settings_win_and_say_so() -> None:
    with keeppool.PoolManager(defaults=HostConfig(per_host=3)) as pool:
        found = pool.explain("http://a.example/", HostConfig(per_host=1))
    assert said(found, "per_host") == [("1", "host=")]


def test_through_a_forwarding_proxy_the_cap_is_the_proxys() -> None:
    with keeppool.PoolManager(Limits(per_proxy=11), defaults=HostConfig(proxy="http://proxy:1")) as pool:
        found = pool.explain("http://a.example/")
    assert said(found, "per_host") == [("11", "limits")]
    assert "per_proxy 0/11" in found.now["repeatable"]
    assert found.origin == "http://* through http://proxy:1"


def test_an_entry_that_names_another_proxy_takes_the_other_ones_headers_away() -> None:
    defaults = HostConfig(proxy="http://one:1", proxy_headers={"X-Key": "k"}, proxy_verify=False)
    with keeppool.PoolManager(defaults=defaults, hosts={"a.example": HostConfig(proxy="http://two:2")}) as pool:
        there, here = pool.explain("http://b.example/"), pool.explain("http://a.example/")
    assert said(there, "proxy_headers.X-Key", "proxy_verify") == [("***", "defaults"), ("False", "defaults")]
    with pytest.raises(KeyError):
        here.setting("proxy_headers.X-Key")
    assert said(here, "proxy", "proxy_verify") == [("'http://two:2'", 'hosts["a.example"]'), ("None", "default")]


def test_header_fields_are_told_by_who_has_set_each() -> None:
    defaults = HostConfig(headers={"X-A": "1", "X-B": "2"})
    with keeppool.PoolManager(defaults=defaults, hosts={"a.example": HostConfig(headers={"x-b": "3"})}) as pool:
        found = pool.explain("http://a.example/")
    assert said(found, "headers.X-A", "headers.x-b") == [("'1'", "defaults"), ("'3'", 'hosts["a.example"]')]


def test_a_session_tells_what_it_and_the_environment_add(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@envproxy:3128")
    with keeppool.Session() as session:
        assert said(session.explain("https://a.example/"), "proxy") == [("'http://***@envproxy:3128'", "environment")]
        assert said(session.explain("http://a.example/"), "proxy") == [("None", "default")]
        session.verify = False
        session.cert = "me.pem"
        session.proxies["https"] = "http://other:1"
        found = session.explain("https://a.example/")
        assert said(found, "proxy", "verify", "cert") == [
            ("'http://other:1'", "session.proxies"),
            ("False", "session.verify"),
            ("'me.pem'", "session.cert"),
        ]
        session.trust_env = False
        session.proxies.clear()
        assert said(session.explain("https://a.example/"), "proxy") == [("None", "default")]


def test_roots_from_the_environment_are_the_environments_although_the_session_asks_for_a_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/roots.pem")
    with keeppool.Session(verify=True) as session:
        assert said(session.explain("https://a.example/"), "verify") == [("'/roots.pem'", "environment")]


def test_a_relative_url_is_explained_below_the_sessions_base() -> None:
    with keeppool.Session(base_url="http://a.example/v1") as session:
        assert session.explain("/items").url == "http://a.example/v1/items"


def test_secrets_are_left_out_everywhere() -> None:
    defaults = HostConfig(
        headers={"Authorization": "Bearer secret", "Cookie": "secret", "X-Api-Key": "secret"},
        proxy="http://user:secret@proxy:1",
        proxy_headers={"X-Any": "secret"},
    )
    with keeppool.Session(defaults=defaults) as session:
        found = session.explain("http://user:secret@a.example/")
    assert "secret" not in str(found) + found.to_json() + found._repr_html_() + repr(found)


def test_what_a_request_would_get_follows_the_pool(sites: Sites) -> None:
    site = sites.add(Behaviour(body=LONG, hint_timeout=30))
    with keeppool.PoolManager(Limits(per_host=1, waiting=0)) as pool:
        assert pool.explain(site.url).now["repeatable"].startswith("opens a new connection (per_host 0/1, total 0/256)")
        held = pool.request("GET", site.url, stream=True)
        assert "fails at once: 0 callers already wait" in pool.explain(site.url).now["repeatable"]
        held.read()
        found = pool.explain(site.url)
        assert found.now["repeatable"].startswith("takes connection 1, idle for")
        assert any("Keep-Alive: timeout=30" in text for text in found.learned)
        before = pool.stats()
        pool.request("GET", site.url)
        assert pool.stats().opened == before.opened == 1
    assert pool.explain(site.url).now["repeatable"].startswith("fails: the pool is closed")


def test_a_post_that_gets_another_connection_than_a_get_is_told_apart(sites: Sites) -> None:
    site = sites.add()
    with keeppool.PoolManager(Limits(per_host=1), defaults=HostConfig(unsafe="fresh")) as pool:
        pool.request("GET", site.url)
        now = pool.explain(site.url).now
        assert now["repeatable"].startswith("takes connection 1")
        assert now["unrepeatable"].startswith(f"closes connection 1 to {site.url}")
        assert "unrepeatable: closes" in str(pool.explain(site.url))
        pool.request("POST", site.url, body=b"x")
        assert pool.stats().opened == 2


def test_what_a_server_has_taught_is_told(sites: Sites) -> None:
    site = sites.add()
    with keeppool.PoolManager() as pool:
        for _ in range(2):
            pool.request("GET", site.url)
        assert pool.explain(site.url).learned == ("its server keeps connections: one has carried a second request",)


def test_a_session_for_tasks_explains_the_same_also_to_another_thread(sites: Sites) -> None:
    site = sites.add(Behaviour(body=LONG))

    async def main() -> None:
        async with keeppool.AsyncSession(Limits(per_host=1)) as session:
            held = await session.get(site.url, stream=True)
            texts: list[str] = [session.explain(site.url).now["repeatable"]]
            await asyncio.to_thread(lambda: texts.append(session.explain(site.url).now["repeatable"]))
            figures = await asyncio.to_thread(session.stats)
            assert texts == ["waits for room under per_host, behind 0 others (per_host 1/1, total 1/256)"] * 2
            assert (figures.busy, figures.hosts[site.url].cap) == (1, 1)
            await held.aclose()

    asyncio.run(main())


def test_a_blocked_event_loop_is_told_to_whoever_asks_from_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_tasks, "LONGEST_LOOK", 0.05)
    asked = threading.Event()

    async def main() -> list[BaseException]:
        errors: list[BaseException] = []
        async with keeppool.AsyncSession() as session:
            session.pool._pool.bind()

            def ask() -> None:
                assert "blocked" in repr(session)
                try:
                    session.stats()
                except LoopError as error:
                    errors.append(error)
                asked.set()

            thread = threading.Thread(target=ask)
            thread.start()
            assert asked.wait(30)  # On the loop's own thread: it is blocked.
            thread.join()
            assert session.stats().open == 0
        return errors

    (error,) = asyncio.run(main())
    assert "something blocks it" in str(error)


def test_a_pool_whose_loop_has_ended_can_still_be_looked_at() -> None:
    session = keeppool.AsyncSession()

    async def main() -> None:
        session.pool._pool.bind()

    asyncio.run(main())
    assert session.stats().open == 0


def test_it_goes_through_json_and_back_and_another_schema_is_refused() -> None:
    with keeppool.PoolManager(hosts={"a.example": HostConfig(per_host=1)}) as pool:
        found = pool.explain("http://a.example/")
    told = json.loads(found.to_json(indent=1))
    assert told["schema"] == 1
    assert Explanation.from_dict(told) == found
    with pytest.raises(ValueError, match="schema 2"):
        Explanation.from_dict(told | {"schema": 2})


def test_printed_it_fits_a_terminal() -> None:
    with keeppool.PoolManager(defaults=HostConfig(headers={"X-Long": "x" * 300})) as pool:
        found = pool.explain("https://a.example/")
    assert max(map(len, str(found).splitlines())) <= 80
    assert "\x1b" not in str(found)


def test_a_url_that_is_none_is_refused_as_everywhere() -> None:
    with keeppool.Session() as session, pytest.raises(InvalidURL):
        session.explain("http://")


def test_a_write_timeout_that_nobody_set_is_as_long_as_a_read():
    with keeppool.Session(timeout=keeppool.Timeout(read=7)) as session:
        (write,) = [one for one in session.explain("http://a.example/").settings if one.name == "write"]
    assert write.value == "7"
