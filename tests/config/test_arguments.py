"""Arguments that cannot be meant: which one, its value, and the rule; of the tree, and bounded."""

from __future__ import annotations

import pickle
from dataclasses import fields
from typing import Any

import pytest
import urllib3

from keeppool import AsyncPoolManager, AsyncSession, Config, HostConfig, Limits, Pace, PoolManager, Session, Timeout
from keeppool.config import presentable
from keeppool.errors import ConfigError, KeepPoolError, quoted, quoted_url, readable

MAKERS = [PoolManager, AsyncPoolManager, Session, AsyncSession]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("arguments", "field", "shown"),
    [
        ({"config": "keeppool.toml"}, "config", "'keeppool.toml'"),
        ({"config": Limits()}, "config", "<keeppool.Limits>"),
        ({"config": {}}, "config", "<dict>"),
        ({"hosts": ["a.example"]}, "hosts", "<list>"),
        ({"hosts": {"a.example": {"proxy": "http://u:SECRET@h"}}}, "hosts", "'a.example'"),
        ({"timeout": 10**400}, "timeout", "a number of 1329 bits"),
        ({"timeout": (5, 10**400)}, "read", "a number of 1329 bits"),
        ({"timeout": Limits()}, "timeout", "<keeppool.Limits>"),
        ({"limits": 5}, "limits", "5"),
        ({"limits": Timeout()}, "limits", "<keeppool.Timeout>"),
    ],
    ids="abcdefghij",
)
def test_an_argument_of_the_wrong_kind_is_named(make: Any, arguments: dict[str, Any], field: str, shown: str) -> None:
    """Row E3."""
    with pytest.raises(ConfigError) as caught:
        make(**arguments)
    assert caught.value.field == field
    assert f"{field}=" in str(caught.value)
    assert shown in str(caught.value)
    assert caught.value.rule in str(caught.value)
    assert "SECRET" not in f"{caught.value!r} {caught.value.__dict__}"


def test_a_total_that_urllib3_leaves_open_is_the_bases() -> None:
    left_open = urllib3.Timeout(total=urllib3.Timeout.DEFAULT_TIMEOUT)
    assert Timeout.of(left_open, Timeout(total=9)).total == 9


@pytest.mark.parametrize(
    "arguments",
    [
        {"headers": [("Authorization", b"Bearer SECRET")]},
        {"headers": "Bearer SECRET"},
        {"headers": {"Content-Length": "SECRET"}},
        {"proxy": ["http://u:SECRET@h"]},
        {"proxy_headers": {"Proxy-Authorization": ["SECRET"]}},
        {"tag": {"SECRET": 1}},
    ],
)
def test_a_wrong_entry_shows_no_secret(arguments: dict[str, Any]) -> None:
    """Row X1, in code."""
    with pytest.raises(ConfigError) as caught:
        HostConfig(**arguments)
    assert "SECRET" not in f"{caught.value!r} {caught.value.__dict__} {caught.value.__cause__!r}"


def test_an_entry_shows_no_secret() -> None:
    entry = HostConfig(headers={"Authorization": "SECRET", "X-Api-Key": "SECRET", "Accept": "text/html"})
    assert "SECRET" not in repr(entry)
    assert "text/html" in repr(Config(defaults=entry))


# Row E7: the one place where a text becomes fit for a terminal


@pytest.mark.parametrize(
    ("thing", "shown"),
    [
        ("a\x1b[31m\x9b\n", r"'a\x1b[31m\x9b\n'"),
        (b"a\x9b", r"b'a\x9b'"),
        ("x" * 300, f"'{'x' * 200}'…"),
        (10**5000, "a number of 16610 bits"),
        (12, "12"),
        (None, "None"),
        (True, "True"),
        (["SECRET"], "<list>"),
    ],
    ids=["controls", "bytes", "long", "large", "number", "none", "true", "list"],
)
def test_what_came_from_outside_is_quoted(thing: object, shown: str) -> None:
    assert quoted(thing) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://u:p@h/a@b", "'http://***@h/a@b'"),
        ("http://u:p@q@h?x=@", "'http://***@h?x=@'"),
        ("u:p@h", "'***@h'"),
        ("http://h/", "'http://h/'"),
        ("http://" + "h" * 70_000, f"'http://{'h' * 193}'…"),
    ],
)
def test_a_url_is_quoted_without_who_is_in_it(url: str, shown: str) -> None:
    assert quoted_url(url) == shown


@pytest.mark.parametrize("kind", [Limits, Timeout, Pace, HostConfig])
def test_a_wrong_text_is_shown_for_every_setting_that_holds_no_secret(kind: type[Any]) -> None:
    # Else an error would say `write='***'` of the misspelt text that it is about.
    names = {entry.name for entry in fields(kind) if entry.init}
    secret = {"proxy", "proxy_headers", "headers", "ssl_context"}
    assert {name for name in names if presentable(name, "soon") != "soon"} == names & secret


def test_a_text_is_one_line_and_keeps_both_ends() -> None:
    text = readable("GET https://a: " + "\x1b\n\x9b\u2028" * 1000 + " refused")
    assert text.isprintable()
    assert text.startswith("GET https://a: ")
    assert text.endswith(" refused")
    assert len(text) < 8000
    error = KeepPoolError("a" * 5000 + "\n")
    assert len(str(error)) <= 1010
    error.message = "b" * 5000 + "\x9b"
    assert len(str(error)) <= 1010
    assert str(error).isprintable()
    assert len(repr(error)) < 1100


@pytest.mark.parametrize(
    ("pace", "field", "rule"),
    [
        (0, "pace.per_second", "above 0"),
        (float("nan"), "pace.per_second", "above 0"),
        (float("inf"), "pace.per_second", "finite"),
        (10**400, "pace.per_second", "finite"),
        (True, "pace", "must be a Pace"),
        ("2", "pace", "must be a Pace"),
        ({}, "pace.per_second", "must be set, or interval"),
        ({"per_second": 1, "interval": 1}, "pace.per_second", "not both"),
        ({"rate": 1}, "pace", "no such field"),
        ({"per_second": 1, "burst": 0}, "pace.burst", "whole number from 1"),
        ({"per_second": 1, "burst": True}, "pace.burst", "whole number from 1"),
        ({"per_second": 1, "since": "middle"}, "pace.since", "must be"),
        ({"interval": 1, "since": "end", "burst": 2}, "pace.burst", "one request at a time"),
    ],
)
def test_a_wrong_pace_is_named_with_the_field_and_the_rule(pace: object, field: str, rule: str) -> None:
    with pytest.raises(ConfigError, match=rule) as caught:
        HostConfig(pace=pace)  # type: ignore[arg-type]
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (2, Pace(per_second=2)),
        ({"interval": 0.5, "since": "end"}, Pace(interval=0.5, since="end")),
        (Pace(per_second=1, burst=3), Pace(per_second=1, burst=3)),
        (None, None),
    ],
)
def test_a_pace_has_several_forms(written: Any, meant: Pace | None) -> None:
    entry = HostConfig(pace=written)
    assert entry.pace == meant
    assert pickle.loads(pickle.dumps(entry)) == entry
    assert HostConfig(per_host=2).over(entry).pace == meant
