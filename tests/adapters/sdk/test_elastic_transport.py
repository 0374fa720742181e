"""elastic-transport is given a class for its nodes."""

import pytest
import urllib3
from adapters.sdk.plugs import CAP, LIMITS, ask_all, assert_kept

from keeppool.adapters.urllib3 import HTTPConnectionPool

elastic = pytest.importorskip("elastic_transport")

pytestmark = pytest.mark.sdk


class CappedNode(elastic.Urllib3HttpNode):
    """A node over a capped pool. `block=True` is what elastic-transport asks for: the smaller of both caps holds."""

    def __init__(self, config):
        super().__init__(config)
        self.pool.close()
        timeout = urllib3.Timeout(total=config.request_timeout)
        size = config.connections_per_node
        self.pool = HTTPConnectionPool(
            config.host, config.port, timeout=timeout, maxsize=size, block=True, limits=LIMITS
        )


@pytest.mark.parametrize("size", [CAP, 10])
def test_elastic_transport_asks_its_node_over_a_capped_pool(serve, size):
    site = serve({"took": 1})
    node = elastic.NodeConfig("http", "127.0.0.1", site.port, connections_per_node=size)
    transport = elastic.Transport([node], node_class=CappedNode)
    answers = ask_all(
        lambda: (
            transport.perform_request(
                "POST", "/_search", body={}, headers={"accept": "application/json", "content-type": "application/json"}
            ).body
        )
    )
    transport.close()
    assert answers == [{"took": 1}] * len(answers)
    assert_kept(site)
