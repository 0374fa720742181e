"""urllib3's own tests, with its classes and with our drop-ins: what passes with urllib3's passes with ours."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import pytest
import suites

pytestmark = [pytest.mark.foreign, pytest.mark.timeout(500)]

#: What urllib3's tests import besides what ours do.
NEEDED = (
    "anyio",
    "h2",
    "httpx",
    "hypercorn",
    "pytest_socket",
    "pytest_timeout",
    "quart",
    "quart_trio",
    "socks",
    "trio",
    "trustme",
)
#: The parts that use managers, pools, connections or responses.
PARTS = (
    "test/test_poolmanager.py",
    "test/test_proxymanager.py",
    "test/test_connectionpool.py",
    "test/test_connection.py",
    "test/test_response.py",
    "test/with_dummyserver",
)
#: They dial addresses nobody answers at, so they need a network that swallows packets.
NEED_A_NETWORK = (
    "test_connect_timeout or test_total_applies_connect or proxy_connect_timeout or test_source_address_error"
    " or test_http2_probe_blocked_per_thread or test_tunneling_proxy_request_timeout"
)
#: Much of the time is spent waiting for the suite's own servers to end; four processes wait side by side.
OPTIONS = ("-n", "4", "--dist", "worksteal", "--timeout", "40", "--tb=no")
#: Fewer would mean that the suite was not really run.
FEWEST = 1000


@pytest.fixture(scope="module")
def suite():
    if lacking := suites.missing(NEEDED):
        pytest.skip(f"skipped: urllib3's tests need {', '.join(lacking)}")
    try:
        return suites.obtain("urllib3", version("urllib3"))
    except suites.Unavailable:
        pytest.skip("skipped: urllib3's source distribution cannot be had")


def test_what_passes_with_urllib3_passes_with_the_drop_ins(suite):
    with ThreadPoolExecutor(2) as both:
        plain, replaced = both.map(lambda plugin: run(suite, plugin), (None, "urllib3_replaced"))
    assert list(plain.values()).count("passed") >= FEWEST
    assert (
        suites.compare(
            plain, replaced, suites.expected_failures("urllib3_expected.toml"), suites.varying("urllib3_expected.toml")
        )
        == []
    )


def run(suite, plugin):
    return suites.run(suite, *PARTS, plugin=plugin, without=NEED_A_NETWORK, options=OPTIONS)
