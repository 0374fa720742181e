"""selenium makes its manager in one method of its connection."""

import pytest
from adapters.sdk.plugs import LIMITS, ask_all, assert_kept

from keeppool.adapters.urllib3 import PoolManager

remote = pytest.importorskip("selenium.webdriver.remote.remote_connection")
config = pytest.importorskip("selenium.webdriver.remote.client_config")

pytestmark = pytest.mark.sdk


class CappedConnection(remote.RemoteConnection):
    """A connection to a driver, over a capped pool."""

    def _get_connection_manager(self):
        return PoolManager(timeout=self._client_config.timeout, limits=LIMITS)


def test_selenium_talks_to_its_driver_over_a_capped_pool(serve):
    site = serve({"value": "https://a.example/"})
    connection = CappedConnection(client_config=config.ClientConfig(remote_server_addr=site.url, keep_alive=True))
    answers = ask_all(lambda: connection.execute("getCurrentUrl", {"sessionId": "1"})["value"])
    connection.close()
    assert answers == ["https://a.example/"] * len(answers)
    assert {request.target for request in site.log} == {"/session/1/url"}
    assert_kept(site)
