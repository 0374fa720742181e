"""What `Behaviour` decides: fields, ends, and what it refuses."""

from __future__ import annotations

import pytest

from keeppool.errors import ConfigError
from keeppool.testing import Behaviour, Manners, Site, Sites


def test_left_style_counts_down_and_allows_one_request_more_than_max():
    """Apache's reading: max is what may still follow."""
    behaviour = Behaviour(hint_timeout=5, hint_max=2)
    assert [behaviour.kept_fields(n, "1.1").splitlines()[1] for n in (1, 2)] == [
        "Keep-Alive: timeout=5, max=2",
        "Keep-Alive: timeout=5, max=1",
    ]
    assert [behaviour.is_last(n) for n in (1, 2, 3)] == [False, False, True]


def test_constant_style_repeats_max_and_ends_with_it():
    """Node's reading: max is the whole."""
    behaviour = Behaviour(hint_max=3, hint_style="constant")
    assert {behaviour.kept_fields(n, "1.1") for n in (1, 2)} == {"Connection: keep-alive\r\nKeep-Alive: max=3\r\n"}
    assert [behaviour.is_last(n) for n in (1, 2, 3)] == [False, False, True]


@pytest.mark.parametrize(
    ("server", "request_version", "connection", "kept"),
    [
        ("1.1", "1.1", "", True),
        ("1.1", "1.1", "Close", False),
        ("1.1", "1.1", "upgrade, close", False),
        ("1.1", "1.0", "", False),
        ("1.1", "1.0", "Keep-Alive", True),
        ("1.0", "1.1", "", False),
        ("1.0", "1.1", "keep-alive", True),
    ],
)
def test_who_keeps_a_connection(server, request_version, connection, kept):
    assert Behaviour(http_version=server).keeps(request_version, connection) is kept


def test_no_hint_says_nothing_in_1_1_and_keep_alive_in_1_0():
    assert Behaviour().kept_fields(1, "1.1") == ""
    assert Behaviour().kept_fields(1, "1.0") == "Connection: keep-alive\r\n"


@pytest.mark.parametrize(
    "wrong",
    [
        {"http_version": "2"},
        {"http_version": "1.0", "framing": "chunked"},
        {"hint_max": 0},
        {"hint_timeout": 1.5},
        {"hint_style": "right"},
        {"coding": "br"},
        {"drop_idle_s": 0},
        {"delay_s": -1},
        {"round_trip_s": -1},
        {"close_after": 0},
        {"status": 100},
        {"body": -1},
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(wrong):
    with pytest.raises(ConfigError) as caught:
        Behaviour(**wrong)
    assert caught.value.field in wrong


def test_a_body_given_as_size_has_that_size():
    assert [len(Behaviour(body=size).payload) for size in (0, 1, 38, 10_000)] == [0, 1, 38, 10_000]


def test_the_former_names_go_on_working():
    with Site(manners=Manners(status=201)) as site:
        assert (Manners, site.manners) == (Behaviour, site.behaviour)
        site.manners = Behaviour(status=204)
        assert site.behaviour.status == 204
    with Sites() as sites:
        assert sites.add(manners=Manners(status=202)).behaviour == Behaviour(status=202)
