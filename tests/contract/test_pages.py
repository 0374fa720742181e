"""The site of the documentation: each page stands in the menu, each public name, reason and error on a page."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from contract.test_errors import CLASSES
from keeppool.events import Room, Why

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
MENU = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")

#: Rooms with an `__all__` that are nobody's door, or whose list is requests' own, or is told on `keeppool`'s pages.
NO_DOORS = {"keeppool.config", "keeppool.har", "keeppool.requests"}
PLACES = ("__init__.py", "*.py", "*/__init__.py", "adapters/*.py", "adapters/*/__init__.py")


def doors() -> dict[str, list[str]]:
    """Read each module's `__all__`, without importing what may need another package."""
    found = {}
    for path in {path for place in PLACES for path in (ROOT / "keeppool").glob(place)}:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if (
                isinstance(node, ast.Assign)
                and isinstance(node.targets[0], ast.Name)
                and node.targets[0].id == "__all__"
            ):
                found[module] = ast.literal_eval(node.value)
    return {module: found[module] for module in sorted(set(found) - NO_DOORS)}


#: Names without a description of their own.
ELSEWHERE = {"__version__", "exceptions"}


def read(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def described() -> set[str]:
    """What the pages of the reference take from docstrings: names, and modules as a whole."""
    return {
        name
        for page in sorted((DOCS / "reference").glob("*.md"))
        for name in re.findall(r"^::: ([\w.]+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    }


def test_every_page_stands_in_the_menu():
    listed = set(re.findall(r"([\w/-]+\.md)$", MENU.partition("\nnav:")[2], re.MULTILINE))
    there = {page.relative_to(DOCS).as_posix() for page in DOCS.glob("**/*.md")}
    for page in sorted(there - listed):
        pytest.fail(f"docs/{page} is in no menu: add a line `- {page}` under `nav` in mkdocs.yml")
    assert sorted(listed - there) == [], "in the menu of mkdocs.yml, but not in docs/"


def test_every_link_leads_to_a_file_of_the_site():
    # Else `mkdocs build --strict` fails, which most runs of the tests do not try.
    lost = [
        f"{page.relative_to(DOCS)}: {link}"
        for page in DOCS.glob("**/*.md")
        for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (there := (page.parent / link).resolve()).is_file() or not there.is_relative_to(DOCS)
    ]
    assert sorted(lost) == []


def home_of(door: str, name: str) -> str:
    """Give the module a name is defined in; the door itself where that cannot be told."""
    try:
        return getattr(getattr(importlib.import_module(door), name), "__module__", door)
    except ImportError:
        return door


@pytest.mark.parametrize(("door", "names"), doors().items(), ids=doors())
def test_every_public_name_stands_in_the_reference(door, names):
    known = described()
    for name in sorted(set(names) - ELSEWHERE):
        # By its own name, with all of its module, where it is at home, or, if it is a module, by what is in it.
        home = home_of(door, name)
        ways = {f"{door}.{name}", f"{home}.{name}", home, door} - {"keeppool"}
        if not ways & known and not any(other.startswith(f"{door}.{name}.") for other in known):
            pytest.fail(
                f"{door}.{name} is in no page of docs/reference: add a line `::: {door}.{name}` where it belongs"
            )


def test_what_the_reference_describes_is_there():
    for name in sorted(described()):
        module, _, attribute = name.rpartition(".")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), attribute), name


def test_every_reason_has_its_cause_and_cure():
    sections = re.findall(r"^### `([a-z_-]+)`\n\n(.+?)(?=\n#|\Z)", read("reasons.md"), re.MULTILINE | re.DOTALL)
    reasons = [why.value for why in Why] + [room.value for room in Room]
    assert sorted(name for name, _ in sections) == sorted(reasons), (
        "docs/reasons.md has a section for each Why and Room"
    )
    assert all(len(text) > 40 for _, text in sections)


def test_every_error_says_what_to_do():
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", read("errors.md"), re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted(CLASSES), "docs/errors.md has a row for each error"
    assert all(len(text.split()) >= 3 for _, text in rows)
