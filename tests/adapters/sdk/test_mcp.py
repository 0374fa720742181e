"""MCP's streamable HTTP over our transport: calls, a stream of the server's own, many sessions of one client."""

import asyncio
import contextlib
import socket
import threading

import pytest

pytestmark = pytest.mark.sdk

mcp = pytest.importorskip("mcp")
httpx2 = pytest.importorskip("httpx2")
uvicorn = pytest.importorskip("uvicorn")

from mcp.client.streamable_http import streamable_http_client  # noqa: E402
from mcp.server.mcpserver import MCPServer  # noqa: E402

from keeppool import Limits  # noqa: E402
from keeppool.adapters.httpx2 import AsyncKeepPoolTransport  # noqa: E402


@pytest.fixture(scope="module")
def url():
    """Where MCP's own server listens, with one tool."""
    served = MCPServer("shop")

    @served.tool()
    def double(number: int) -> int:
        return 2 * number

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(served.streamable_http_app(), log_level="error", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
    server.should_exit = True
    thread.join()
    listener.close()


@contextlib.asynccontextmanager
async def opened(url, client):
    async with (
        streamable_http_client(url, http_client=client) as (reading, writing),
        mcp.ClientSession(reading, writing) as session,
    ):
        await session.initialize()
        yield session


def test_tools_are_listed_and_called_and_sessions_end(url):
    async def use(client, number):
        async with opened(url, client) as session:
            assert [tool.name for tool in (await session.list_tools()).tools] == ["double"]
            results = await asyncio.gather(*[session.call_tool("double", {"number": n}) for n in range(number)])
            return [result.content[0].text for result in results]

    async def main():
        transport = AsyncKeepPoolTransport(limits=Limits(per_host=30))
        async with httpx2.AsyncClient(transport=transport, timeout=10) as client:
            found = await asyncio.gather(*[use(client, number) for number in range(1, 8)])
            assert found == [[str(2 * n) for n in range(number)] for number in range(1, 8)]
            stats = transport.stats()
            assert (stats.busy, stats.waiting) == (0, 0)
            assert stats.reused > 0

    asyncio.run(main())
