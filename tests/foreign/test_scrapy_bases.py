"""Scrapy's conformance bases for download handlers: what its aiohttp handler passes on this machine, ours passes."""

from __future__ import annotations

import shutil
from importlib.metadata import PackageNotFoundError, version

import pytest
import suites

pytestmark = [pytest.mark.foreign, pytest.mark.timeout(500)]

#: What Scrapy's tests of its aiohttp handler import besides Scrapy.
NEEDED = ("scrapy", "aiohttp")
THEIRS, OURS = "tests/test_downloader_handler_aiohttp.py", "tests/test_keeppool.py"
#: No reactor, so that no plugin of Twisted's is needed; the tests of the adapter run on the reactor too.
OPTIONS = ("--reactor", "none")
#: They download from the internet.
FAR_AWAY = "TestRealWebsite"
#: Fewer would mean that the bases were not really run.
FEWEST = 230


@pytest.fixture(scope="module")
def suite():
    if lacking := suites.missing(NEEDED):
        pytest.skip(f"skipped: Scrapy's tests need {', '.join(lacking)}")
    try:
        unpacked = suites.obtain("scrapy", version("scrapy"))
    except (suites.Unavailable, PackageNotFoundError):
        pytest.skip("skipped: Scrapy's source distribution cannot be had")
    shutil.copy(suites.HERE / "scrapy_bases.py", unpacked / OURS)
    return unpacked


def test_what_passes_with_scrapys_aiohttp_handler_passes_with_ours(suite):
    # One after the other: each run begins by making keys anew in the folder they share.
    theirs, ours = outcomes(suite, THEIRS), outcomes(suite, OURS)
    assert list(ours.values()).count("passed") >= FEWEST
    assert suites.compare(theirs, ours, suites.expected_failures("scrapy_expected.toml")) == []
    assert [test for test, outcome in ours.items() if outcome == "failed"] == []


def outcomes(suite, tests):
    """Run a file of tests; give its outcomes by class and test, which are the same in both files."""
    found = suites.run(suite, tests, plugin="coroutine_tests", options=OPTIONS, without=FAR_AWAY)
    return {name.partition("::")[0].rpartition(".")[2] + "::" + name.partition("::")[2]: o for name, o in found.items()}
