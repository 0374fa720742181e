"""The kubernetes client keeps its manager in an attribute."""

import pytest
from adapters.sdk.plugs import LIMITS, ask_all, assert_kept

from keeppool.adapters.urllib3 import PoolManager
from keeppool.testing import Answer, Site

kubernetes = pytest.importorskip("kubernetes")

pytestmark = pytest.mark.sdk

NAMESPACE = {"metadata": {"name": "kept"}}


def core_api(url, http):
    """Make a client for the core group, over a manager of ours."""
    api = kubernetes.client.ApiClient(kubernetes.client.Configuration(host=url))
    api.rest_client.pool_manager = http
    return kubernetes.client.CoreV1Api(api)


def test_kubernetes_lists_over_a_capped_pool(serve):
    site = serve({"items": [NAMESPACE]})
    with PoolManager(limits=LIMITS) as http:
        core = core_api(site.url, http)
        found = ask_all(lambda: [item.metadata.name for item in core.list_namespace().items])
    assert found == [["kept"]] * len(found)
    assert_kept(site)


def test_a_watch_gets_each_event_as_it_comes():
    line = b'{"type": "ADDED", "object": {"metadata": {"name": "kept"}}}\n'
    answer = Answer(status=200, body=(line, line), framing="chunked")
    with Site(handler=lambda _: answer) as site, PoolManager(limits=LIMITS) as http:
        core = core_api(site.url, http)
        watch = kubernetes.watch.Watch()
        seen = []
        for event in watch.stream(core.list_namespace, timeout_seconds=1):
            seen.append((event["type"], event["object"].metadata.name))
            if len(seen) == 2:
                watch.stop()
    assert seen == [("ADDED", "kept")] * 2
