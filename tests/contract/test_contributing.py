"""Every place that the pages for contributors name is there: files, folders, and what is defined in them.

A place is `folder/file.py`, `folder/`, or `folder/file.py:name`, below the repository or below `keeppool/`; a name
may be dotted, as in `config.py:Limits.per_host`.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("CONTRIBUTING.md", "ARCHITECTURE.md", "tests/README.md")]
PLACE = re.compile(r"`([\w.-]*[\w./-]*(?:\.(?:py|md|toml|txt|json)|/))(?::([A-Za-z_][\w.]*))?`")


class Place(NamedTuple):
    """A file or folder that a page names, and a name in it, or ""."""

    path: str
    name: str


def places(text: str) -> list[Place]:
    return [Place(path, name or "") for path, name in PLACE.findall(text)]


def find(path: str) -> Path | None:
    return next((base / path for base in (ROOT / "keeppool", ROOT) if (base / path).exists()), None)


@cache
def names_of(file: Path) -> frozenset[str]:
    """All names a module defines, those in its classes with the class in front, and what its methods set on `self`."""
    found: set[str] = set()

    def enter(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.add(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                enter(node.body, f"{prefix}{node.name}.")
            if isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found.update(prefix + target.id for target in targets if isinstance(target, ast.Name))

    enter(ast.parse(file.read_text(encoding="utf-8")).body, "")
    return frozenset(found)


def wrong(place: Place) -> str:
    """Say what is wrong with a place, or nothing."""
    file = find(place.path)
    if file is None:
        return f"{place.path} is not there"
    if place.name and place.name not in names_of(file):
        return f"{place.path} defines no {place.name}"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_place_a_page_names_is_there(page: Path) -> None:
    named = places(page.read_text(encoding="utf-8"))
    assert named
    faults = sorted({fault for place in named if (fault := wrong(place))})
    assert not faults, f"bring {page.name} up to date: " + "; ".join(faults)


def test_a_place_that_is_gone_is_noticed() -> None:
    text = "`core/pool.py:PoolState.requested` `core/pool.py:gone` `core/gone.py` `gone/` `config.py:Limits.per_host`"
    faults = [wrong(place) for place in places(text)]
    assert faults == ["", "core/pool.py defines no gone", "core/gone.py is not there", "gone/ is not there", ""]


def test_six_common_changes_have_a_place_each() -> None:
    section = (
        PAGES[0].read_text(encoding="utf-8").split("\n## Where six common changes are made\n")[1].split("\n## ")[0]
    )
    rows = [line for line in section.splitlines() if line.startswith("| ")][2:]
    assert len(rows) == 6
    assert all(any(place.name for place in places(row)) for row in rows)


def test_the_mutation_shown_is_one_of_the_folder() -> None:
    shown = re.findall(r"^```toml\n(.*?)^```$", PAGES[0].read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    known = {path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "mutations" / "known").glob("*.toml")}
    assert shown
    assert set(shown) <= known


def test_each_folder_of_tests_has_its_row() -> None:
    text = (ROOT / "tests" / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `tests/(\w+)/`", text, re.MULTILINE)
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and list(path.glob("**/test_*.py"))}
    assert sorted(listed) == sorted(folders)
