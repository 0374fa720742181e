"""opensearch-py is given a class for its connections."""

import pytest
from adapters.sdk.plugs import LIMITS, ask_all, assert_kept

from keeppool.adapters.urllib3 import HTTPConnectionPool

opensearch = pytest.importorskip("opensearchpy")

pytestmark = pytest.mark.sdk


class CappedConnection(opensearch.Urllib3HttpConnection):
    """A connection to a node, over a capped pool."""

    def __init__(self, host="localhost", port=None, pool_maxsize=10, **options):
        super().__init__(host=host, port=port, pool_maxsize=pool_maxsize, **options)
        self.pool.close()
        self.pool = HTTPConnectionPool(
            host, port, timeout=self.timeout, maxsize=pool_maxsize, block=True, limits=LIMITS
        )


def test_opensearch_searches_over_a_capped_pool(serve):
    site = serve({"took": 1})
    client = opensearch.OpenSearch(
        hosts=[{"host": "127.0.0.1", "port": site.port}], connection_class=CappedConnection, max_retries=0
    )
    answers = ask_all(lambda: client.search(index="i", body={})["took"])
    client.close()
    assert answers == [1] * len(answers)
    assert_kept(site)
