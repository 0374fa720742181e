"""What pools log at DEBUG: each request, and each connection's life."""

from __future__ import annotations

import logging
import re

import pytest
from on_a_loop import PoolOnALoop

from keeppool import HostConfig, Limits, PoolManager
from keeppool.errors import RefusedError
from keeppool.testing import Behaviour, RawConnection, ScriptedServer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

both = pytest.mark.parametrize("kind", [PoolManager, PoolOnALoop], ids=["threads", "tasks"])


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the loggers no level of their own, whatever ran before."""
    for name in ("keeppool", "keeppool.pool", "keeppool.http"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.NOTSET)
    logging.getLogger().setLevel(logging.getLogger().level)  # Levels are cached; this empties the cache.


def lines(caplog: pytest.LogCaptureFixture, name: str) -> list[str]:
    """Give what a logger has written, without the numbers that depend on the clock."""
    return [re.sub(r"\d+\.\d+(?= m?s)", "N", record.getMessage()) for record in caplog.records if record.name == name]


@both
def test_each_request_and_each_connection_has_its_line(kind, sites, caplog):
    at = sites.add().url
    caplog.set_level(logging.DEBUG)
    with kind() as pool:
        pool.request("GET", f"{at}/a?b=c")
        pool.request("HEAD", at.replace("//", "//user:secret@") + "/x")
    assert lines(caplog, "keeppool.http") == [
        f"GET '{at}/a?b=c' 200 in N ms",
        f"HEAD '{at.replace('//', '//***@')}/x' 200 in N ms",
    ]
    assert lines(caplog, "keeppool.pool") == [
        f"{at}: connection 1 opened in N ms",
        f"{at}: connection 1 reused after 1 requests, idle for N s",
        f"{at}: connection 1 closed (pool_closed) after 2 requests and N s",
    ]
    assert "secret" not in caplog.text
    assert {record.levelno for record in caplog.records if record.name.startswith("keeppool")} == {logging.DEBUG}


@both
def test_what_was_evicted_resent_or_refused_is_told(kind, sites, caplog):
    other = sites.add().url
    caplog.set_level(logging.DEBUG)
    once = [RawConnection.read_request, OK, RawConnection.read_request]
    with kind(Limits(total=1)) as pool:
        with ScriptedServer(once, [RawConnection.read_request, OK, RawConnection.read_until_closed]) as server:
            pool.request("GET", server.url)
            pool.request("GET", server.url)
            pool.request("GET", other)
            gone = server.url
        with pytest.raises(RefusedError):
            pool.request("GET", gone)
    told = lines(caplog, "keeppool.pool")
    assert any(re.search(r"GET resent on a new connection; \d+ bytes had been sent", line) for line in told)
    assert any(f"{gone}: connection" in line and "closed (evicted) after 1 requests" in line for line in told)
    assert any("could not be opened: RefusedError" in line for line in told)
    assert lines(caplog, "keeppool.http")[-1] == f"GET '{gone}' RefusedError after N ms"


@both
def test_a_pool_that_is_there_already_notices_that_the_log_was_turned_on(kind, sites, caplog):
    site = sites.add(Behaviour(keep_alive=False))
    with kind() as pool:
        pool.request("GET", site.url)
        caplog.set_level(logging.DEBUG)
        pool.request("GET", site.url)
    assert lines(caplog, "keeppool.http") == [f"GET '{site.url}' 200 in N ms"]


def test_the_janitors_round_notices_it_too(sites, caplog):
    site = sites.add()
    with PoolManager() as pool:
        pool.request("GET", site.url)
        caplog.set_level(logging.DEBUG)
        pool._pool.sweep()
        pool.request("GET", site.url)
        assert lines(caplog, "keeppool.http") == [f"GET '{site.url}' 200 in N ms"]
        caplog.set_level(logging.INFO)
        pool._pool.sweep()
        assert not pool._pool.is_heard


@both
def test_nothing_is_built_while_nobody_reads(kind, sites, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("keeppool.pools.log.write", lambda event: pytest.fail(f"{event} was built"))
    with kind(hosts={"127.0.0.1": HostConfig(per_host=1)}) as pool:
        pool.request("GET", sites.add().url)
        assert not pool._pool.is_heard
