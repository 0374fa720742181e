"""requests' own tests, with our adapter in the place of its own, and with our names in the place of all of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import pytest
import suites

pytestmark = [pytest.mark.foreign, pytest.mark.timeout(500)]

#: What requests' tests import besides what ours do.
NEEDED = ("pytest_httpbin", "httpbin", "pytest_mock", "xdist", "socks", "trustme")
#: The first two dial addresses nobody answers at, so they need a network that swallows packets. The third wants a SOCKS
#: proxy to be dialled before httpbin.org is resolved; keeppool resolves first, so it needs a resolver.
NEED_A_NETWORK = "test_connect_timeout or test_total_timeout_connect or test_use_proxy_from_environment"
#: requests marks it as expected to fail; whether it does depends on how the test server cuts its answer.
UNDECIDED = "test_response_iter_lines_reentrant"
#: Most of the suite's time is spent waiting for its own servers; four processes wait side by side. Plugins of tools
#: that fake requests look into its inside when they are loaded, which is not there where it is replaced.
WITHOUT = ("-p", "no:requests_mock", "-p", "no:pytest-betamax", "-p", "no:recording")
OPTIONS = ("-n", "4", "--dist", "worksteal", "--timeout", "40", *WITHOUT)
#: Fewer would mean that the suite was not really run.
FEWEST = 550
#: What is about sessions, requests, answers and errors; the rest is about requests.utils and the like.
PARTS = ("requests", "lowlevel", "hooks", "structures", "adapters")
ABOUT_SESSIONS = tuple(f"tests.test_{part}" for part in PARTS)
FEWEST_ABOUT_SESSIONS = 350
#: The plugin, and what is run with it.
WAYS = {
    "plain": (None, ["tests"]),
    "mounted": ("requests_mounted", ["tests"]),
    "replaced": ("keeppool_as_requests", [f"tests/test_{part}.py" for part in PARTS]),
}


@pytest.fixture(scope="module")
def suite():
    if lacking := suites.missing(NEEDED):
        pytest.skip(f"skipped: requests' tests need {', '.join(lacking)}")
    try:
        return suites.obtain("requests", version("requests"))
    except suites.Unavailable:
        pytest.skip("skipped: requests' source distribution cannot be had")


@pytest.fixture(scope="module")
def outcomes(suite):
    """What becomes of the suite with requests itself, with the mount, and with keeppool under requests' names."""
    with ThreadPoolExecutor(2) as beside:
        return dict(zip(WAYS, beside.map(lambda way: run(suite, *way), WAYS.values()), strict=True))


def test_what_passes_with_requests_passes_with_the_mount(outcomes):
    assert list(outcomes["plain"].values()).count("passed") >= FEWEST
    expected = suites.expected_failures("requests_expected.toml")
    assert suites.compare(outcomes["plain"], outcomes["mounted"], expected) == []


def test_what_passes_with_requests_passes_with_keeppool_under_its_names(outcomes):
    plain = {test: outcome for test, outcome in outcomes["plain"].items() if test.startswith(ABOUT_SESSIONS)}
    assert list(plain.values()).count("passed") >= FEWEST_ABOUT_SESSIONS
    expected = suites.expected_failures("as_requests_expected.toml")
    assert suites.compare(plain, outcomes["replaced"], expected) == []


def run(suite, plugin, select):
    return suites.run(suite, *select, plugin=plugin, without=f"{NEED_A_NETWORK} or {UNDECIDED}", options=OPTIONS)
