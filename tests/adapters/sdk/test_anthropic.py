"""anthropic over our transports: messages, and streams of them."""

import asyncio

import pytest
from adapters.sdk import apis

from keeppool.testing import Behaviour, Site

pytestmark = pytest.mark.sdk

anthropic = pytest.importorskip("anthropic")
httpx2 = pytest.importorskip("httpx2")

from keeppool.adapters.httpx2 import AsyncKeepPoolTransport, KeepPoolTransport  # noqa: E402

ASKED = {"model": "small", "max_tokens": 10, "messages": [{"role": "user", "content": "one two three"}]}


@pytest.fixture
def api():
    with Site(Behaviour(hint_timeout=5, hint_max=3, hint_style="constant"), handler=apis.anthropic) as site:
        yield site
        assert site.late == 0


def test_messages_and_streams(api):
    with anthropic.Anthropic(
        api_key="none", base_url=api.url, http_client=httpx2.Client(transport=KeepPoolTransport())
    ) as client:
        for _ in range(3):
            assert client.messages.create(**ASKED).content[0].text == "ONE TWO THREE"
            with client.messages.stream(**ASKED) as stream:
                assert list(stream.text_stream) == ["one", "two", "three"]
        assert api.opened == 2


def test_messages_and_streams_in_tasks(api):
    async def main():
        async with anthropic.AsyncAnthropic(
            api_key="none", base_url=api.url, http_client=httpx2.AsyncClient(transport=AsyncKeepPoolTransport())
        ) as client:
            answers = await asyncio.gather(*[client.messages.create(**ASKED) for _ in range(30)])
            assert {answer.content[0].text for answer in answers} == {"ONE TWO THREE"}
            async with client.messages.stream(**ASKED) as stream:
                assert [text async for text in stream.text_stream] == ["one", "two", "three"]

    asyncio.run(main())
