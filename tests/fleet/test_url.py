"""A fleet by its URL: for threads and for tasks, in a file, for the command; and what cannot be meant."""

from __future__ import annotations

import asyncio
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

from keeppool import AsyncSession, Config, HostConfig, PoolManager, Session, load_config
from keeppool.cli import main
from keeppool.errors import ConfigError
from keeppool.fleet import Fleet
from keeppool.testing import Behaviour, Site, Sites

redis = pytest.importorskip("redis")


def url_on(port: int, query: str = "name=test&timeout=0.5", scheme: str = "redis") -> str:
    return f"{scheme}://127.0.0.1:{port}/0?{query}"


def test_threads_and_tasks_share_the_fleet_of_one_url(redis_port: int) -> None:
    """One `Fleet` serves both, pickled as well; and what the URL says arrives."""
    fleet = Fleet.from_url(url_on(redis_port, "name=both&ttl=9&when_down=closed&timeout=0.5"))
    assert repr(fleet) == "Fleet('both', ttl=9, when_down='closed')"

    async def by_tasks(fleet: Any) -> str:
        async with AsyncSession(fleet=fleet) as session:
            assert (await session.get(site.url)).status_code == 200
            return session.stats().fleet.name  # type: ignore[union-attr]

    with Site() as site, Session(fleet=fleet) as session, Session(fleet=pickle.loads(pickle.dumps(fleet))) as other:
        assert session.get(site.url).status_code == other.get(site.url).status_code == 200
        assert asyncio.run(by_tasks(fleet)) == "both"
        assert set(redis.Redis(port=redis_port).keys()) == {
            f"kp:both:{{127.0.0.1:{site.port}}}:{part}".encode() for part in ("leases", "held", "ranks")
        }
        with PoolManager(fleet=url_on(redis_port, "name=both")) as pool:
            assert pool.request("GET", site.url).status == 200
            figures = pool.stats().fleet
            assert figures is not None
            assert figures.keys[f"127.0.0.1:{site.port}"].members == 3


def test_a_url_without_a_host_is_the_one_on_this_machine() -> None:
    assert Fleet.from_url("redis://").name == "crawl"


def test_arguments_win_over_the_url() -> None:
    fleet = Fleet.from_url("redis://localhost?name=a&ttl=9", "b", ttl=12, when_down="open")
    assert (fleet.name, fleet.ttl, fleet.when_down, fleet.timeout) == ("b", 12, "open", 0.1)


@pytest.mark.parametrize(
    "text",
    ['fleet = "{url}"', '[fleet]\nurl = "{url}"\nname = "test"', '[fleet]\nurl = "{url}"\ntimeout = 0.5'],
    ids=range(3),
)
def test_a_file_may_name_it(redis_port: int, tmp_path: Path, text: str) -> None:
    file = tmp_path / "keeppool.toml"
    file.write_text(text.replace("{url}", url_on(redis_port, "name=test")))
    config = load_config(file)
    assert config.fleet.name == "test"
    with Site() as site, PoolManager(config=config) as pool:
        assert pool.request("GET", site.url).status == 200
        assert pool.stats().fleet.calls  # type: ignore[union-attr]


def test_the_command_keeps_the_cap_that_others_share(redis_port: int, sites: Sites, tmp_path: Path) -> None:
    """By `--fleet`, and by its file: another member has all but one of the cap's connections."""
    site = sites.add(Behaviour(delay_s=0.005))
    file = tmp_path / "keeppool.toml"
    file.write_text(f'fleet = "{url_on(redis_port)}"\n[default]\nfleet_per_host = 3\n')
    urls = [f"{site.url}/{n}" for n in range(30)]
    shared = HostConfig(fleet_per_host=3)
    with PoolManager(fleet=url_on(redis_port), defaults=shared) as pool:
        held = [pool.request("GET", f"{site.url}/bytes/1000000", stream=True) for _ in range(2)]
        assert main(["fetch", *urls, "--config", str(file)]) == 0
        assert (
            main(["fetch", *urls, "--config", str(file), "--fleet", url_on(redis_port, ""), "--fleet-name", "test"])
            == 0
        )
        assert site.peak_open <= 3
        for response in held:
            response.close()


WRONG = [
    ("", "url", "must begin with one of redis://"),
    ("http://localhost", "url", "must begin with one of redis://"),
    (6379, "url", "must be text"),
    (None, "url", "must be text"),
    ("redis://u:SEC/RET@localhost", "url", "%2F"),
    ("redis://[::1", "url", "is no URL"),
    ("redis://u:SECRET@localhost/crawl", "url", "number of a database"),
    ("redis://u:SECRET@localhost/0#x", "url", "%23"),
    ("unix://?db=0", "url", "path of a socket"),
    ("redis://localhost?nmae=crawl", "url", "nmae"),
    ("redis://localhost?db=x", "url", "db"),
    ("rediss://localhost?ssl_cert_reqs=x", "url", "refused by redis"),
    ("redis://localhost?name=a&name=b", "name", "twice"),
    ("redis://localhost?name=", "name", "text"),
    ("redis://localhost?ttl=long", "ttl", "number"),
    ("redis://localhost?ttl=0.5", "ttl", "from 2 seconds"),
    ("redis://localhost?ttl=nan", "ttl", "from 2 seconds"),
    ("redis://localhost?timeout=10", "timeout", "quarter"),
    ("redis://localhost?when_down=panic", "when_down", "share, closed, open"),
]  # fmt: skip


@pytest.mark.parametrize(("url", "field", "rule"), WRONG)
def test_what_cannot_be_meant_is_named_without_a_password(url: Any, field: str, rule: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Fleet.from_url(url)
    assert (caught.value.field, rule in caught.value.rule) == (field, True), caught.value
    error: BaseException | None = caught.value
    while error is not None:
        assert "SEC" not in f"{error} {error!r} {error.args} {error.__dict__}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@pytest.mark.parametrize(
    ("text", "field", "rule"),
    [
        ("fleet = 5", "fleet", "must be a table"),
        ("[fleet]", "fleet.url", "must be there"),
        ('[fleet]\nurl = "redis://h"\nnam = "x"', "fleet.nam", "nearest is name"),
        ('[fleet]\nurl = "redis://h"\nttl = "20"', "fleet.ttl", "number"),
        ('fleet = "redis://h?ttl=1"', "fleet.ttl", "from 2 seconds"),
        ('fleet = "http://h"', "fleet.url", "must begin"),
    ],
)
def test_what_a_file_cannot_mean_is_named_with_its_place(tmp_path: Path, text: str, field: str, rule: str) -> None:
    file = tmp_path / "keeppool.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert (caught.value.file, caught.value.field) == (str(file), field)
    assert rule in caught.value.rule


def test_without_a_client_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    for name in ("redis", "valkey"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=r"pip install 'keeppool\[fleet\]'"):
        PoolManager(fleet="redis://localhost")
    assert main(["fetch", "http://127.0.0.1/", "--fleet", "redis://u:SECRET@localhost"]) == 2
    said = capsys.readouterr().err
    assert "keeppool[fleet]" in said
    assert "SECRET" not in said


def test_one_client_does_for_the_schemes_of_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkey", None)
    for url in ("valkey://localhost", "valkeys://localhost", "unix:///run/valkey.sock?db=1"):
        assert Fleet.from_url(url).name == "crawl"


def test_a_name_without_its_url_is_wrong_usage(capsys: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["fetch", "http://127.0.0.1/", "--fleet-name", "x"])
    assert caught.value.code == 2
    assert "--fleet-name belongs to --fleet" in capsys.readouterr().err


def test_a_configuration_takes_the_fleet_itself() -> None:
    with pytest.raises(ConfigError, match="from_url") as caught:
        Config(fleet="redis://u:SECRET@localhost")
    assert "SECRET" not in str(caught.value)
