"""botocore brings its own pool and connection classes; the caps hold beneath them."""

import pytest
from adapters.sdk.plugs import LIMITS, ask_all, assert_kept

from keeppool.adapters.urllib3 import PoolManager

session = pytest.importorskip("botocore.session")
httpsession = pytest.importorskip("botocore.httpsession")

pytestmark = pytest.mark.sdk

BUCKETS = b"""<?xml version="1.0"?><ListAllMyBucketsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Buckets>
<Bucket><Name>kept</Name><CreationDate>2026-01-02T03:04:05.000Z</CreationDate></Bucket></Buckets></ListAllMyBucketsResult>
"""


class CappedSession(httpsession.URLLib3Session):
    """botocore's HTTP session, over a capped pool."""

    def __init__(self, **options):
        super().__init__(**options)
        self._manager = PoolManager(**self._get_pool_manager_kwargs(), limits=LIMITS)
        self._manager.pool_classes_by_scheme = self._pool_classes_by_scheme


@pytest.fixture
def s3(request):
    def make(url):
        made = session.Session().create_client(
            "s3", region_name="us-east-1", endpoint_url=url, aws_access_key_id="key", aws_secret_access_key="secret"
        )
        made._endpoint.http_session.close()
        made._endpoint.http_session = CappedSession()
        request.addfinalizer(made.close)
        return made

    return make


def test_botocore_lists_buckets_over_a_capped_pool(serve, s3):
    site = serve(BUCKETS, "application/xml")
    client = s3(site.url)
    found = ask_all(lambda: [bucket["Name"] for bucket in client.list_buckets()["Buckets"]])
    assert found == [["kept"]] * len(found)
    assert_kept(site)


def test_botocore_uploads_with_its_own_expect_100_continue(serve, s3):
    site = serve(b"", ETag='"kept"')
    client = s3(site.url)
    assert ask_all(lambda: client.put_object(Bucket="b", Key="k", Body=b"x" * 100)["ETag"]) == ['"kept"'] * 40
    assert_kept(site)
