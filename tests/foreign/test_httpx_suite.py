"""httpx's own tests, with our transports where its clients make theirs; and once more with its names made httpx2's."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping

import pytest
import suites

pytestmark = [pytest.mark.foreign, pytest.mark.timeout(300)]

#: The newest with a suite in its source distribution; httpx2's has none.
VERSION = "0.28.1"
#: What the suite imports besides what ours do.
NEEDED = ("anyio", "trio", "uvicorn", "trustme", "cryptography", "zstandard", "click", "rich", "charset_normalizer")
#: Fewer would mean that the suite was not really run. With its names rewritten, what is about httpx's private modules
#: that httpx2 has changed fails plainly.
FEWEST = {"httpx": 1350, "httpx2": 1000}


@pytest.fixture(scope="module", params=["httpx", "httpx2"])
def family(request):
    return request.param


@pytest.fixture(scope="module")
def suite(family, tmp_path_factory):
    if lacking := suites.missing([*NEEDED, family]):
        pytest.skip(f"skipped: httpx's tests need {', '.join(lacking)}")
    try:
        plain = suites.obtain("httpx", VERSION)
    except suites.Unavailable:
        pytest.skip("skipped: httpx's source distribution cannot be had")
    # Away from the package that comes with it: the one that is installed is tried.
    folder = tmp_path_factory.mktemp(family)
    shutil.copytree(plain / "tests", folder / "tests")
    if family == "httpx2":
        for path in folder.rglob("*.py"):
            path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")
    return folder


def rewritten(source: str) -> str:
    """Name httpx2 and httpcore2 where httpx and httpcore are named."""
    return re.sub(r"\b(httpx|httpcore)\b", r"\g<1>2", source)


@pytest.fixture(scope="module")
def outcomes(suite):
    """What becomes of the suite with the module's own transports, and with ours."""
    return {plugin: suites.run(suite, "tests", plugin=plugin) for plugin in ("httpx_plain", "httpx_carried")}


def test_what_passes_with_its_own_transports_passes_with_ours(family, outcomes):
    plain, ours = outcomes["httpx_plain"], outcomes["httpx_carried"]
    assert list(plain.values()).count("passed") >= FEWEST[family]
    listed = suites.expected_failures("httpx_expected.toml")
    either = suites.varying("httpx_expected.toml")
    passing = [test for test, outcome in plain.items() if outcome == "passed" and test not in either]
    lost = [test for test in passing if ours.get(test) != "passed"]
    named = {test: line_for(test, listed) for test in lost}
    assert [test for test, line in named.items() if line is None] == []
    assert sorted(set(listed) - set(named.values())) == [], "listed, and not failing"


def line_for(test: str, listed: Mapping[str, str]) -> str | None:
    """Find the line for a test: of itself, of its name with all parameters, or of the event loop that it runs on."""
    name, _, parameters = test.partition("[")
    on_trio = "trio" if "trio" in parameters.rstrip("]").split("-") else ""
    return next((line for line in (test, name, on_trio) if line in listed), None)
