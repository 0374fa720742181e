"""`keeppool.presets`: the figures, and finding them by name."""

from __future__ import annotations

import pytest

from keeppool import presets
from keeppool.config import Limits
from keeppool.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "per_host", "per_proxy", "total", "idle_timeout"),
    [
        ("NETSCAPE", 4, 4, 15, None),
        ("IE6", 2, 2, None, 60),
        ("IE8", 6, 6, None, 60),
        ("FIREFOX", 6, 32, 256, 300),
        ("OPERA", 8, None, 20, 55),
        ("CHROME", 6, 32, 256, 300),
        ("RFC2616", 2, 2, 256, 55),
    ],
)
def test_the_figures_are_those_of_the_sources(
    name: str, per_host: int, per_proxy: int | None, total: int | None, idle_timeout: float | None
) -> None:
    assert presets.by_name(name) == Limits(
        per_host=per_host, per_proxy=per_proxy, total=total, idle_timeout=idle_timeout
    )


def test_names_lists_every_preset_of_the_module() -> None:
    constants = {name for name, value in vars(presets).items() if isinstance(value, Limits)}
    assert set(presets.NAMES) == constants | {"RFC2616"}
    assert all(presets.by_name(name) is getattr(presets, name) for name in constants)


def test_the_case_of_a_name_does_not_matter() -> None:
    assert presets.by_name("Chrome") is presets.by_name("chrome") is presets.CHROME


@pytest.mark.parametrize("name", ["", "MOSAIC", " CHROME", None, 6])
def test_an_unknown_name_is_answered_with_the_known_ones(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        presets.by_name(name)
    assert (caught.value.field, caught.value.value) == ("preset", name)
    assert all(known in caught.value.rule for known in presets.NAMES)


def test_rfc2616_allows_two_to_a_host_and_two_for_each_user_to_a_proxy() -> None:
    assert presets.rfc2616() == presets.by_name("rfc2616") == Limits(per_host=2, per_proxy=2)
    assert presets.rfc2616(users=25) == Limits(per_host=2, per_proxy=50)


@pytest.mark.parametrize("users", [0, -1, 1.5, True, None, "2"])
def test_rfc2616_refuses_what_is_no_number_of_users(users: int) -> None:
    with pytest.raises(ConfigError) as caught:
        presets.rfc2616(users)
    assert (caught.value.field, caught.value.value) == ("users", users)
