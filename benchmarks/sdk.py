"""A thousand requests at once through openai; a thousand of which a third is cancelled in the middle; a thousand more.

One row a transport; each asks a server of its own, which answers chat after 20 ms. A row says, for each thousand:

    errors the program saw / answers that were another's / seconds
    and the most connections that were open at once, of as many as the transport may have

"lost" are the slots that a pool still counts as busy once every request is over, where it can be asked; a transport
that loses slots shows it in the last thousand too. Nothing here is compared by time: the client above costs most of it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measure import machine, table
from benchmarks.program import forget_environment
from keeppool.testing import Answer, Behaviour, Request, Site

REQUESTS = 1000
#: Seconds a request may wait for a connection; far more than it takes, so that an error is one.
PATIENCE = 60.0
#: Connections each transport may have; the default of httpx.
CAP = 100


class Thousand(NamedTuple):
    """What came of one thousand."""

    errors: int
    mixed: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.errors} / {self.mixed} / {self.seconds:.1f}"


def answer(request: Request) -> Answer:
    """Answer chat with what was asked."""
    asked = json.loads(request.body)["messages"][-1]["content"]
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": asked}}
    body = {"id": "1", "object": "chat.completion", "created": 0, "model": "small", "choices": [choice]}
    return Answer(body=json.dumps(body).encode(), headers=(("Content-Type", "application/json"),))


def keeppool_httpx2() -> Any:
    """Make a client of httpx2 over keeppool's transport."""
    import httpx2

    from keeppool import Limits
    from keeppool.adapters.httpx2 import AsyncKeepPoolTransport

    return httpx2.AsyncClient(transport=AsyncKeepPoolTransport(limits=Limits(per_host=CAP)))


def keeppool_httpx() -> Any:
    """Make a client of httpx over keeppool's transport."""
    import httpx

    from keeppool import Limits
    from keeppool.adapters.httpx import AsyncKeepPoolTransport

    return httpx.AsyncClient(transport=AsyncKeepPoolTransport(limits=Limits(per_host=CAP)))


def own_httpx2() -> Any:
    """Make a client of httpx2 as it comes."""
    import httpx2

    return httpx2.AsyncClient(limits=httpx2.Limits(max_connections=CAP, max_keepalive_connections=CAP))


def own_httpx() -> Any:
    """Make a client of httpx as it comes."""
    import httpx

    return httpx.AsyncClient(limits=httpx.Limits(max_connections=CAP, max_keepalive_connections=CAP))


def aiohttp_httpx() -> Any:
    """Make a client of httpx over aiohttp."""
    import httpx
    from httpx_aiohttp import AiohttpTransport

    return httpx.AsyncClient(transport=AiohttpTransport(limits=httpx.Limits(max_connections=CAP)))


TRANSPORTS: Mapping[str, Callable[[], Any]] = {
    "httpx2 over keeppool": keeppool_httpx2,
    "httpx over keeppool": keeppool_httpx,
    "httpx2": own_httpx2,
    "httpx": own_httpx,
    "httpx over aiohttp": aiohttp_httpx,
}


async def ask_all(client: Any, count: int, cancel_after: Callable[[], bool] | None = None) -> Thousand:
    """Ask so often at once; where `cancel_after` is given, cancel every third once that is true."""
    began = time.monotonic()
    tasks = [asyncio.create_task(ask(client, number)) for number in range(count)]
    if cancel_after is not None:
        while not cancel_after():  # noqa: ASYNC110  # A server in another thread knows.
            await asyncio.sleep(0.001)
        for task in tasks[::3]:
            task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    errors = sum(isinstance(result, Exception) for result in results)
    mixed = sum(isinstance(result, str) and result != str(number) for number, result in enumerate(results))
    return Thousand(errors, mixed, time.monotonic() - began)


async def ask(client: Any, number: int) -> str:
    """Ask one question, whose answer is its number."""
    asked = [{"role": "user", "content": str(number)}]
    done = await client.chat.completions.create(model="small", messages=asked)
    return str(done.choices[0].message.content)


async def run(make: Callable[[], Any], site: Site, count: int) -> list[str]:
    """Give a row."""
    import openai

    http = make()
    async with openai.AsyncOpenAI(
        api_key="none", base_url=f"{site.url}/v1", max_retries=0, timeout=PATIENCE, http_client=http
    ) as client:
        first = await ask_all(client, count)
        before = site.requests
        cancelled = await ask_all(client, count, lambda: site.requests > before + count // 4)
        last = await ask_all(client, count)
        stats = getattr(http._transport, "stats", None)
        lost = "-" if stats is None else str(stats().busy)
    return [str(first), str(cancelled), str(last), str(site.peak_open), lost]


def main() -> None:
    """Run and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--requests", type=int, default=REQUESTS, help="at once")
    options = arguments.parse_args()
    forget_environment()
    rows = []
    for name, make in TRANSPORTS.items():
        try:
            with Site(Behaviour(delay_s=0.02), handler=answer) as site:
                rows.append([name, *asyncio.run(run(make, site, options.requests))])
        except ImportError as error:
            print(f"left out: {name} ({error})", file=sys.stderr)
    print(f"{machine('openai', 'httpx2', 'httpx', 'httpx-aiohttp')}; {options.requests} at once, cap {CAP}")
    print("errors / another's answer / seconds\n")
    print(table(["transport", "first", "a third cancelled", "next", "open at once", "lost"], rows))


if __name__ == "__main__":
    main()
