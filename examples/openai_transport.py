"""An SDK of httpx's kind on keeppool's connections: openai takes a client, and that takes a transport.

Run it as it stands; it brings its own little API on loopback. Needs `pip install 'keeppool[httpx2]' openai`.
"""

import asyncio
import json

import httpx2
import openai

from keeppool.adapters.httpx2 import AsyncKeepPoolTransport
from keeppool.testing import Answer, Behaviour, Request, Site

QUESTIONS = 200
WORDS = ("Connections", " are", " kept", ".")


def answer(request: Request) -> Answer:
    """Answer as much of the API as this program needs: chat, at once or as a stream."""
    asked = json.loads(request.body)
    if not asked.get("stream"):
        whole = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "".join(WORDS)}}
        body = {"id": "1", "object": "chat.completion", "created": 0, "model": asked["model"], "choices": [whole]}
        return Answer(body=json.dumps(body).encode(), headers=(("Content-Type", "application/json"),))
    events = [{"id": "1", "object": "chat.completion.chunk", "created": 0, "model": asked["model"]} for _ in WORDS]
    for event, word in zip(events, WORDS, strict=True):
        event["choices"] = [{"index": 0, "delta": {"content": word}}]
    lines = [f"data: {json.dumps(event)}\n\n".encode() for event in events]
    return Answer(body=b"".join([*lines, b"data: [DONE]\n\n"]), headers=(("Content-Type", "text/event-stream"),))


async def main(url: str) -> None:
    transport = AsyncKeepPoolTransport()
    async with openai.AsyncOpenAI(
        api_key="none", base_url=url, http_client=httpx2.AsyncClient(transport=transport)
    ) as client:

        async def ask(number: int) -> str:
            asked = [{"role": "user", "content": f"Question {number}?"}]
            done = await client.chat.completions.create(model="small", messages=asked)
            return done.choices[0].message.content

        answers = await asyncio.gather(*[ask(number) for number in range(QUESTIONS)])
        stream = await client.chat.completions.create(
            model="small", messages=[{"role": "user", "content": "And in pieces?"}], stream=True
        )
        pieces = [event.choices[0].delta.content async for event in stream]
        stats = transport.stats()
        print(f"{len(answers)} answers at once, then {pieces}")
        print(f"{stats.opened} connections, at most {stats.peak_open} at once")


if __name__ == "__main__":
    with Site(Behaviour(hint_timeout=5, framing="chunked"), handler=answer) as site:
        asyncio.run(main(f"{site.url}/v1"))
