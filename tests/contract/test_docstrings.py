"""Docstrings: every module has a charter, every public callable a sentence, every source is one that holds today."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from types import ModuleType

import pytest

import keeppool

MODULES = sorted(
    found.name for found in pkgutil.walk_packages(keeppool.__path__, "keeppool.") if not found.name.endswith("__main__")
)
#: RFCs that a rule may be taken from. 7230 to 7235 are replaced by 9110 to 9112. 2068 and 2616 stand for the history of
#: keep-alive, 2069 and 2617 for Digest as servers still speak it.
CITABLE = {
    1035, 1928, 1929, 1950, 1951, 1952, 2046, 2068, 2069, 2616, 2617, 3986, 5234, 5246, 5789, 5890, 5891, 5894, 5952,
    6066, 6125, 6265, 6455, 6724, 6749, 6750, 6890, 7239, 7301, 7578, 7616, 7617, 7932, 8259, 8288, 8305, 8446, 8878,
    9110, 9111, 9112, 9293, 9525, 9659, 9842,
}  # fmt: skip
#: Numbers of their last sections.
LAST_SECTION = {9110: 19, 9111: 9, 9112: 12, 8305: 12, 8446: 12, 6265: 9}

RFC = re.compile(r"RFC ?(\d{3,5})")
SECTION = re.compile(r"RFC ?(\d{4})((?:,? (?:and )?§\d+(?:\.\d+)*(?: \([^)]*\))?)+)")


def load(name: str) -> ModuleType:
    return importlib.import_module(name)


def public(owner: object, module: str) -> Iterator[tuple[str, object]]:
    """The functions and classes a module or class defines itself under a public name."""
    for name, value in vars(owner).items():
        value = inspect.unwrap(value.__func__ if isinstance(value, (classmethod, staticmethod)) else value)
        value = value.fget if isinstance(value, property) else value
        if name.startswith("_") or not (inspect.isfunction(value) or inspect.isclass(value)):
            continue
        if value.__module__ == module:
            yield f"{module}:{value.__qualname__}", value
            if inspect.isclass(value) and value is not owner:
                yield from public(value, module)


def summaries() -> list[tuple[str, str]]:
    found = {
        place: inspect.cleandoc(value.__doc__ or "") for name in MODULES for place, value in public(load(name), name)
    }
    return [(place, doc.partition("\n")[0]) for place, doc in found.items()]


def sources() -> list[tuple[str, str]]:
    """Every paragraph that begins with `Source:`, comments and docstrings alike, by module."""
    paragraph = re.compile(r"^[ #:]*Source: (.*?)(?=\n[ #]*\n|\"\"\"|\n *[A-Z]\w+:|\Z)", re.MULTILINE | re.DOTALL)
    return [
        (name, " ".join(text.split()))
        for name in ["keeppool", *MODULES]
        for text in paragraph.findall(inspect.getsource(load(name)))
    ]


@pytest.mark.parametrize("name", MODULES)
def test_every_module_begins_with_its_charter(name):
    first = (load(name).__doc__ or "").strip().partition("\n")[0]
    assert first
    assert first[-1] in ".:?", f"not a sentence: {first}"


def test_every_public_callable_has_a_summary_that_is_a_sentence():
    assert len(summaries()) > 300, "the walk finds the house's callables"
    assert [(place, first) for place, first in summaries() if not first.endswith(".")] == []


def test_every_source_is_a_standard_that_holds():
    cited = [(name, int(number)) for name, text in sources() for number in RFC.findall(text)]
    assert len(cited) > 30, "the pattern finds the sources"
    assert [(name, number) for name, number in cited if number not in CITABLE] == []


def test_every_cited_section_can_be_there():
    cited = [
        (name, int(rfc), int(section))
        for name, text in sources()
        for rfc, sections in SECTION.findall(text)
        for section in re.findall(r"§(\d+)", sections)
    ]
    assert len(cited) > 30, "the pattern finds the sections"
    assert [entry for entry in cited if entry[2] > LAST_SECTION.get(entry[1], 99)] == []
