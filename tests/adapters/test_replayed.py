"""`keeppool.testing.Replay` in the place of the network, for other interfaces over our pool managers."""

from __future__ import annotations

import asyncio

import pytest
from scrapy.http import HtmlResponse
from scrapy_bench import Bench

from keeppool.testing import Answer, Replay, Site, UnexpectedRequest


def test_scrapys_handler_gets_made_up_and_recorded_responses(tmp_path):
    page = Answer(headers=(("Content-Type", "text/html; charset=latin-1"),), body=b"<p>gr\xfcn</p>")
    with Bench() as bench:
        with Replay() as replay:
            replay.on("GET", "http://a.test/page").respond(page)
            response = bench.download("http://a.test/page")
            assert (type(response), response.text, response.ip_address) == (HtmlResponse, "<p>grün</p>", None)
        with Replay(strict=False), pytest.raises(UnexpectedRequest):
            bench.download("http://a.test/page")
        with Site(handler=lambda request: page) as site:
            for mode in ("record", "play"):
                with Replay(tmp_path / "a.har", mode=mode):
                    assert bench.download(site.url).text == "<p>grün</p>"
            assert site.requests == 1


@pytest.mark.sdk
@pytest.mark.parametrize("name", ["httpx", "httpx2"])
def test_clients_of_httpx_get_made_up_responses(name):
    httpx = pytest.importorskip(name)
    module = pytest.importorskip(f"keeppool.adapters.{name}")
    with Replay() as replay:
        replay.on("GET", "https://a.test/").respond(json={"a": 1}, headers={"X": "1"})
        with httpx.Client(transport=module.KeepPoolTransport()) as client:
            assert client.get("https://a.test/").json() == {"a": 1}
            with client.stream("GET", "https://a.test/") as response:
                assert response.read() == b'{"a": 1}'

        async def ask():
            async with httpx.AsyncClient(transport=module.AsyncKeepPoolTransport()) as tasks:
                return (await tasks.get("https://a.test/")).headers["x"]

        assert asyncio.run(ask()) == "1"
