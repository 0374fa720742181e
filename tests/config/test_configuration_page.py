"""docs/configuration.md says what the code says: fields, defaults, presets, the example file."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
import urllib3

from keeppool import presets
from keeppool.config import HOST_FIELDS, INHERIT, HostConfig, Limits, Pace, Timeout
from keeppool.config_file import load_config
from keeppool.hosts import HostTable

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the one table under a heading, without its head."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_each_way_to_write_a_timeout_means_what_the_page_says() -> None:
    """Rows K4 and K5."""
    base = Timeout(connect=91, read=92, stall=93, pool=94, total=95)
    names = [f.name for f in fields(Timeout)]
    ways = rows("Ways to write a timeout")
    assert len(ways) == 13
    for written, *cells in ways:
        value = eval(written.strip("`"), {"Timeout": Timeout, "urllib3": urllib3})
        found = Timeout.of(value, base)
        said = {"no limit": None, "as `read`": INHERIT} | {str(x): float(x) for x in range(91)}
        meant = [getattr(base, name) if cell == "kept" else said[cell] for name, cell in zip(names, cells, strict=True)]
        assert [getattr(found, name) for name in names] == meant, written


@pytest.mark.parametrize("kind", [Limits, Timeout, Pace])
def test_each_limit_and_timeout_is_listed_with_its_default(kind: type[Limits | Timeout | Pace]) -> None:
    listed = [(row[0], row[2]) for row in rows(kind.__name__)]
    assert listed == [(f"`{f.name}`", f"`{_written(f.default)}`") for f in fields(kind)]


def _written(default: object) -> str:
    """Write a default as the page does."""
    return f'"{default}"' if isinstance(default, str) else repr(default)


def test_each_field_of_a_host_config_is_listed() -> None:
    assert [row[0] for row in rows("HostConfig")] == [f"`{name}`" for name in HOST_FIELDS]


def test_each_pattern_shown_is_one() -> None:
    shown = [pattern for row in rows("Patterns for hosts") for pattern in re.findall(r"`([^`]+)`", row[0])]
    HostTable(dict.fromkeys(shown, HostConfig()))
    assert len(shown) == 8


def test_each_preset_is_listed_with_its_figures() -> None:
    def said(cell: str) -> float | None:
        return None if cell == "none" else float(cell.removesuffix(" s"))

    listed = {row[0].strip("`"): [said(cell) for cell in row[1:5]] for row in rows("Presets")}
    limits = {name: presets.by_name(name) for name in presets.NAMES}
    assert listed == {name: [x.per_host, x.per_proxy, x.total, x.idle_timeout] for name, x in limits.items()}


def test_the_example_file_can_be_loaded(tmp_path: Path) -> None:
    file = tmp_path / "example.toml"
    file.write_text(PAGE.split("```toml\n")[1].split("```")[0], encoding="utf-8")
    config = load_config(file)
    assert config.limits == Limits(per_host=4, per_proxy=32, total=256, idle_timeout=None)
    assert config.hosts["*.example.com"].timeout == Timeout(connect=5, read=20, total=120)
    assert config.hosts["*.example.com"].pace == Pace(per_second=2, burst=5)
    assert config.hosts["https://api.example.com:8443"].proxy is None
