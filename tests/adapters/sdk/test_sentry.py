"""sentry-sdk makes its manager in one method of its transport."""

import pytest
from adapters.sdk.plugs import CAP, LIMITS, ask_all

from keeppool.adapters.urllib3 import PoolManager

sentry = pytest.importorskip("sentry_sdk")
transport = pytest.importorskip("sentry_sdk.transport")

pytestmark = pytest.mark.sdk


class CappedTransport(transport.HttpTransport):
    """Sentry's transport, over a capped pool."""

    def _make_pool(self):
        return PoolManager(**self._get_pool_options(), limits=LIMITS)


def test_sentry_sends_its_events_over_a_capped_pool(serve):
    site = serve({})
    client = sentry.Client(
        dsn=f"http://public@127.0.0.1:{site.port}/1", transport=CappedTransport, default_integrations=False
    )
    ask_all(lambda: client.capture_event({"message": "kept"}))
    client.close(timeout=10)
    sent = [request for request in site.log if request.target == "/api/1/envelope/"]
    assert len(sent) >= 40
    assert site.peak_open <= CAP
    assert site.opened <= site.requests / 3 + CAP
    assert site.late == 0
