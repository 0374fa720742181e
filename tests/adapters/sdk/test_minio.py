"""minio checks that it is given one of urllib3's managers."""

import pytest
from adapters.sdk.plugs import LIMITS, ask_all, assert_kept

from keeppool.adapters.urllib3 import PoolManager

minio = pytest.importorskip("minio")

pytestmark = pytest.mark.sdk

BUCKETS = b"""<?xml version="1.0"?><ListAllMyBucketsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Buckets>
<Bucket><Name>kept</Name><CreationDate>2026-01-02T03:04:05.000Z</CreationDate></Bucket></Buckets></ListAllMyBucketsResult>
"""


def test_minio_lists_buckets_over_a_capped_pool(serve):
    site = serve(BUCKETS, "application/xml")
    with PoolManager(limits=LIMITS) as http:
        client = minio.Minio(
            f"127.0.0.1:{site.port}",
            access_key="key",
            secret_key="secret",
            secure=False,
            region="us-east-1",
            http_client=http,
        )
        found = ask_all(lambda: [bucket.name for bucket in client.list_buckets()])
    assert found == [["kept"]] * len(found)
    assert_kept(site)
