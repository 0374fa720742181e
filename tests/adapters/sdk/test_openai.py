"""openai over our transports: responses, chat, streams, retries, files; many at once, and cancelled in the middle."""

import asyncio

import pytest
from adapters.sdk import apis

from keeppool import Limits
from keeppool.testing import Answer, Behaviour, RawConnection, ScriptedServer, Site

pytestmark = pytest.mark.sdk

openai = pytest.importorskip("openai")
httpx2 = pytest.importorskip("httpx2")

from keeppool.adapters.httpx2 import AsyncKeepPoolTransport, KeepPoolTransport  # noqa: E402

SHORT = Behaviour(hint_timeout=5, hint_max=3, hint_style="constant")


def ask(text, **more):
    return {"model": "small", "messages": [{"role": "user", "content": text}], **more}


@pytest.fixture
def api():
    with Site(SHORT, handler=apis.openai) as site:
        yield site
        assert site.late == 0


@pytest.fixture
def client(api):
    with openai.OpenAI(
        api_key="none", base_url=f"{api.url}/v1", http_client=openai.DefaultHttpx2Client(transport=KeepPoolTransport())
    ) as client:
        yield client


def test_responses_and_chat(client, api):
    for _ in range(3):
        assert client.responses.create(model="small", input="hello").output_text == "HELLO"
        assert client.chat.completions.create(**ask("hello")).choices[0].message.content == "HELLO"
    assert api.requests == 6
    assert api.opened == 2


def test_streams(client):
    words = [event.choices[0].delta.content for event in client.chat.completions.create(**ask("a b c", stream=True))]
    assert words == ["a", "b", "c"]
    events = list(client.responses.create(model="small", input="x", stream=True))
    assert [event.type for event in events] == ["response.output_text.delta"] * 2 + ["response.completed"]


def test_a_stream_that_is_left_gives_its_connection_back(client, api):
    for _ in range(5):
        with client.chat.completions.create(**ask("a b c d e f", stream=True)) as stream:
            next(iter(stream))
    assert client._client._transport.stats().busy == 0


def test_files_go_up_in_pieces(client):
    assert client.files.create(file=("n.jsonl", b"x" * 3_000_000), purpose="batch").bytes > 3_000_000


def test_the_sdks_retries_go_on_from_what_the_server_says():
    answers = iter([Answer(status=429, headers=(("Retry-After-Ms", "1"),)), Answer(status=503), None])

    def handler(request):
        return next(answers) or apis.openai(request)

    with (
        Site(handler=handler) as site,
        openai.OpenAI(
            api_key="none", base_url=f"{site.url}/v1", http_client=httpx2.Client(transport=KeepPoolTransport())
        ) as client,
    ):
        assert client.chat.completions.create(**ask("hello")).choices[0].message.content == "HELLO"
        assert site.requests == 3


def test_errors_are_those_the_sdk_knows_with_our_facts_below():
    with (
        ScriptedServer([RawConnection.read_request]) as server,
        openai.OpenAI(
            api_key="none", base_url=server.url, max_retries=0, http_client=httpx2.Client(transport=KeepPoolTransport())
        ) as client,
        pytest.raises(openai.APIConnectionError) as caught,
    ):
        client.chat.completions.create(**ask("hello"))
    assert type(caught.value.__cause__) is httpx2.RemoteProtocolError
    assert caught.value.__cause__.retry_safe is False
    with (
        ScriptedServer([RawConnection.read_request, RawConnection.read_until_closed]) as server,
        openai.OpenAI(
            api_key="none",
            base_url=server.url,
            max_retries=0,
            timeout=0.05,
            http_client=httpx2.Client(transport=KeepPoolTransport()),
        ) as client,
        pytest.raises(openai.APITimeoutError),
    ):
        client.chat.completions.create(**ask("hello"))


def test_a_client_of_httpx_serves_openai_too(api):
    httpx = pytest.importorskip("httpx")
    door = pytest.importorskip("keeppool.adapters.httpx")
    with openai.OpenAI(
        api_key="none", base_url=f"{api.url}/v1", http_client=httpx.Client(transport=door.KeepPoolTransport())
    ) as client:
        assert client.chat.completions.create(**ask("hello")).choices[0].message.content == "HELLO"


def test_many_at_once_and_a_third_of_them_cancelled_in_the_middle():
    """Of which benchmarks/httpx.py prints the table with 1,000."""
    many = 150

    async def main():
        transport = AsyncKeepPoolTransport(limits=Limits(per_host=20))
        async with openai.AsyncOpenAI(
            api_key="none",
            base_url=f"{site.url}/v1",
            max_retries=0,
            http_client=httpx2.AsyncClient(transport=transport),
        ) as client:

            async def one(number):
                done = await client.chat.completions.create(**ask(f"number {number}"))
                assert done.choices[0].message.content == f"NUMBER {number}"
                return number

            assert await asyncio.gather(*map(one, range(many))) == list(range(many))
            tasks = [asyncio.create_task(one(number)) for number in range(many)]
            await asyncio.to_thread(site.wait_for, lambda: site.requests >= many + many // 3)
            for task in tasks[::3]:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            for number, result in enumerate(results):
                assert result == number or (number % 3 == 0 and isinstance(result, asyncio.CancelledError))
            stats = transport.stats()
            assert (stats.busy, stats.waiting) == (0, 0)
            assert await asyncio.gather(*map(one, range(many))) == list(range(many))
            assert transport.stats().peak_open <= 20

    with Site(Behaviour(delay_s=0.001), handler=apis.openai) as site:
        asyncio.run(main())
        assert site.peak_open <= 20 + many // 3  # The site hears of a cancelled connection's end when it looks.


def test_a_stream_of_tasks_is_read_as_it_comes():
    async def main():
        async with openai.AsyncOpenAI(
            api_key="none",
            base_url=f"{site.url}/v1",
            http_client=openai.DefaultAsyncHttpx2Client(transport=AsyncKeepPoolTransport()),
        ) as client:
            stream = await client.chat.completions.create(**ask("a b c", stream=True))
            return [event.choices[0].delta.content async for event in stream]

    with Site(SHORT, handler=apis.openai) as site:
        assert asyncio.run(main()) == ["a", "b", "c"]
