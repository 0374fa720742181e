"""google-auth takes anything that behaves as urllib3's manager."""

import pytest
from adapters.sdk.plugs import LIMITS, ask_all, assert_kept

from keeppool.adapters.urllib3 import PoolManager

transport = pytest.importorskip("google.auth.transport.urllib3")
credentials = pytest.importorskip("google.oauth2.credentials")

pytestmark = pytest.mark.sdk


def test_google_auth_authorizes_requests_over_a_capped_pool(serve):
    site = serve({"ok": True})
    with PoolManager(limits=LIMITS) as http:
        authorized = transport.AuthorizedHttp(credentials.Credentials(token="token"), http=http)
        answers = ask_all(lambda: authorized.request("GET", f"{site.url}/").json())
    assert answers == [{"ok": True}] * len(answers)
    assert {request.headers["authorization"] for request in site.log} == {"Bearer token"}
    assert_kept(site)


def test_google_auth_refreshes_tokens_over_a_capped_pool(serve):
    site = serve({"ok": True})
    with PoolManager(limits=LIMITS) as http:
        ask = transport.Request(http)
        assert ask_all(lambda: ask(site.url, method="POST", body=b"grant").data) == [b'{"ok": true}'] * 40
    assert_kept(site)
