"""requests' own tests, with its adapter and with ours in its place: what passes with requests passes with keeppool."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import pytest
import suites

pytestmark = pytest.mark.foreign

#: What requests' tests import besides what ours do.
NEEDED = ("pytest_httpbin", "httpbin", "pytest_mock", "xdist", "socks", "trustme")
#: The first two dial addresses nobody answers at, so they need a network that swallows packets. The third wants a SOCKS
#: proxy to be dialled before httpbin.org is resolved; keeppool resolves first, so it needs a resolver.
NEED_A_NETWORK = "test_connect_timeout or test_total_timeout_connect or test_use_proxy_from_environment"
#: Most of the suite's time is spent waiting for its own servers; four processes wait side by side.
OPTIONS = ("-n", "4", "--dist", "worksteal", "--timeout", "40")
#: Fewer would mean that the suite was not really run.
FEWEST = 550


@pytest.fixture(scope="module")
def suite():
    if lacking := suites.missing(NEEDED):
        pytest.skip(f"skipped: requests' tests need {', '.join(lacking)}")
    try:
        return suites.obtain("requests", version("requests"))
    except suites.Unavailable:
        pytest.skip("skipped: requests' source distribution cannot be had")


def test_what_passes_with_requests_passes_with_the_mount(suite):
    with ThreadPoolExecutor(2) as both:
        plain, mounted = both.map(lambda plugin: run(suite, plugin), (None, "requests_mounted"))
    assert list(plain.values()).count("passed") >= FEWEST
    assert suites.compare(plain, mounted, suites.expected_failures("requests_expected.toml")) == []


def run(suite, plugin):
    return suites.run(suite, "tests", plugin=plugin, without=NEED_A_NETWORK, options=OPTIONS)
