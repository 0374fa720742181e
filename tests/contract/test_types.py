"""Programs as they are typed: what a type checker makes of each line here is what the line does when it runs.

`mypy` reads this file as strictly as the package; an error that it does not find any more is one as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, assert_type

import pytest

import keeppool
import keeppool.requests as requests
from keeppool import HostConfig, Limits, Timeout
from keeppool.auth import AuthBase, HTTPDigestAuth
from keeppool.requests.adapters import HTTPAdapter
from keeppool.testing import Answer, Request, Site


@pytest.fixture
def url() -> Iterator[str]:
    def answer(request: Request) -> Answer:
        return Answer(body=b'{"a": 1}\n')

    with Site(handler=answer) as site:
        yield site.url


class Signed(AuthBase):
    """A scheme of a program's own."""

    def __call__(self, request: keeppool.PreparedRequest) -> keeppool.PreparedRequest:
        request.headers["X-Signed"] = "1"
        return request


class Client(requests.Session):
    """Methods of a program's own, on threads."""

    def request(self, method: str, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        return super().request(method, url, *args, **kwargs)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        return super().send(request, **kwargs)


class AsyncClient(requests.AsyncSession):
    """Methods of a program's own, for tasks. `async with` does not take what they give, so they are less than ours."""

    async def request(  # type: ignore[override]
        self, method: str, url: str | bytes, *args: Any, **kwargs: Any
    ) -> requests.AsyncResponse:
        return await super().request(method, url, *args, **kwargs)

    async def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, **kwargs: Any
    ) -> requests.AsyncResponse:
        return await super().send(request, **kwargs)


def test_a_program_on_threads(url: str) -> None:
    hosts = {"a.example": HostConfig(per_host=1)}
    with keeppool.Session(Limits(per_host=2), timeout=Timeout(5), hosts=hosts, auth=Signed()) as session:
        response = session.get(url, params={"a": 1}, headers={"X": "y"}, auth=("user", "word"), timeout=(3, 30))
        assert_type(response, keeppool.Response)
        assert_type(response.text, str)
        assert [len(line) for line in response.iter_lines()] == [8]
        assert_type(session.stream, bool)
        session.auth = HTTPDigestAuth("user", "word")
        session.post(url, data={"a": 1}, files={"f": b"file"}).raise_for_status()
        session.post(url, json={"a": [1, None]}, cookies={"a": "b"}, proxies={"ftp": None}, verify=False)
        assert session.send(session.prepare_request(keeppool.Request("GET", url)), timeout=5).ok
    assert_type(keeppool.get(url), keeppool.Response)


def test_a_program_with_requests_names(url: str) -> None:
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=3))
        session.hooks["response"].append(lambda response, **settings: None)
        response: requests.Response = session.get(url)
        assert_type(session.get(url), requests.Response)
        assert isinstance(response, requests.Response)
        assert response.connection.send(response.request).ok
    assert isinstance(keeppool.requests.get(url), requests.Response)
    assert_type(requests.get(url), requests.Response)
    assert_type(requests.request("GET", url), requests.Response)
    with Client() as client:
        assert_type(client.get(url), requests.Response)
        assert client.request("GET", url).json() == {"a": 1}


def test_a_program_on_an_event_loop(url: str) -> None:
    async def main() -> None:
        async with keeppool.AsyncSession(timeout=10) as session:
            response = await session.get(url)
            assert_type(response, keeppool.AsyncResponse)
            assert_type(response.text, str)
            first, second = await asyncio.gather(session.get(url), session.get(url))
            assert_type(first, keeppool.AsyncResponse)
            assert (await asyncio.create_task(session.get(url))).ok
            async with asyncio.TaskGroup() as group:
                task = group.create_task(session.get(url))
            assert_type(task.result(), keeppool.AsyncResponse)
            async with session.get(url, stream=True) as streamed:
                assert_type(streamed, keeppool.AsyncResponse)
                assert [line async for line in streamed.iter_lines()] == [b'{"a": 1}']
            async with session.request("GET", url) as streamed, await session.get(url) as other:
                assert streamed.ok is other.ok is second.ok
            call = session.get(url)
            with pytest.raises(AttributeError, match="before it is awaited"):
                call.text  # type: ignore[attr-defined]  # noqa: B018  # the await is missing
            call.close()

    asyncio.run(main())


def test_a_program_with_requests_names_on_an_event_loop(url: str) -> None:
    async def main() -> None:
        async with requests.AsyncSession() as session:
            assert_type(await session.get(url), requests.AsyncResponse)
            async with session.get(url, stream=True) as response:
                assert_type(response, requests.AsyncResponse)
                assert isinstance(response, requests.AsyncResponse)
        async with AsyncClient() as client, client.get(url, stream=True) as response:
            assert_type(response, requests.AsyncResponse)
        async with AsyncClient() as client:
            assert (await client.request("GET", url)).ok

    asyncio.run(main())


@pytest.mark.sdk
def test_the_transports_of_httpx_have_the_types_their_clients_ask_for(url: str) -> None:
    pytest.importorskip("httpx")
    import httpx

    from keeppool.adapters.httpx import AsyncKeepPoolTransport, KeepPoolTransport

    with httpx.Client(transport=KeepPoolTransport(limits=Limits(per_host=2), retries=1)) as client:
        assert_type(client.get(url), httpx.Response)

    async def main() -> None:
        transport = AsyncKeepPoolTransport(hosts={"a.example": HostConfig(per_host=2)})
        async with httpx.AsyncClient(transport=transport) as client:
            assert_type(await client.get(url), httpx.Response)
            assert_type(transport.stats(), keeppool.Stats)

    asyncio.run(main())
