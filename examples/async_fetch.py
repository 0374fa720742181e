"""Many pages at once on asyncio: one session, a cap per host, a streamed download, and a request given up halfway.

Run it as it stands; it brings its own servers on loopback.
"""

import asyncio

import keeppool
from keeppool.testing import Behaviour, Sites


async def main(urls: list[str]) -> None:
    async with keeppool.AsyncSession(keeppool.Limits(per_host=6, total=12), timeout=10) as session:
        pages = [f"{url}/bytes/1000?page={number}" for url in urls for number in range(50)]
        answers = await asyncio.gather(*(session.get(page) for page in pages))
        print(f"{sum(answer.ok for answer in answers)} of {len(pages)} pages; {session.stats().peak_open} at once")

        async with await session.get(f"{urls[0]}/bytes/500000", stream=True) as answer:
            size = 0
            async for piece in answer.iter_content(65536):
                size += len(piece)
            print(size, "bytes streamed")

        try:
            async with asyncio.timeout(0.1):
                await session.get(f"{urls[0]}/slow/30")
        except TimeoutError:
            print("given up; still in use:", session.stats().busy)

        answer = await session.post(f"{urls[1]}/echo", json={"name": "socket"})
        print(answer.json()["body"])


if __name__ == "__main__":
    with Sites() as sites:
        asyncio.run(main([sites.add(Behaviour(hint_timeout=5)).url, sites.add(Behaviour(framing="chunked")).url]))
