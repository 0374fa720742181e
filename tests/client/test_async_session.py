"""`AsyncSession` where it is alone: cancelled anywhere, used by many tasks, closed under way, misused."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import re
import subprocess
import sys

import pytest
from answers import elsewhere, page
from digest_server import DigestServer
from urllib3.util import Retry

import keeppool.requests
from keeppool import AsyncSession, Limits, Request
from keeppool.auth import HTTPDigestAuth
from keeppool.client.retries.retrying import Retrying
from keeppool.errors import LoopError, PoolClosed, StreamConsumedError
from keeppool.testing import Answer

#: Seconds after which a wait is given up; nothing here takes a hundredth of it.
PATIENCE = 30.0
#: Turns of the loop by which one of the calls below is over; each is cancelled after 0, 1, 2, … of them.
MOST_TURNS = 10_000


def run(test):
    """Run a test's coroutine; nothing may be left behind, nor may the loop have anything to complain of."""

    async def watched():
        complaints = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with asyncio.timeout(PATIENCE):
            outcome = await test
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert complaints == []
        return outcome

    return asyncio.run(watched())


def is_at_rest(session: AsyncSession) -> bool:
    stats = session.stats()
    return (stats.busy, stats.waiting, stats.connecting) == (0, 0, 0)


async def settled(session: AsyncSession) -> None:
    """Let the loop turn until nothing is lent and nothing dialled; the test's own time limit ends a wait in vain."""
    while not is_at_rest(session):  # noqa: ASYNC110 - nobody sets an event for it
        await asyncio.sleep(0)


# Cancelled


class Once:
    """Refuses every other request to each path."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def __call__(self, request):
        self._seen[request.path] = self._seen.get(request.path, 0) + 1
        return Answer(status=503, body=b"busy" * 1000) if self._seen[request.path] % 2 else page(b"ok")


async def chain(session, url, stream):
    """Redirects with bodies, cookies and a body to send again."""
    answer = await session.post(f"{url}/a", data=io.BytesIO(b"file"), stream=stream)
    return await answer.read()


async def tries(session, url, stream):
    return await (await session.get(f"{url}/refusing", retries=RETRYING, stream=stream)).read()


async def challenge(session, url, stream):
    auth = HTTPDigestAuth("Mufasa", "Circle of Life")
    return await (await session.put(f"{url}/private", data=b"content", auth=auth, stream=stream)).read()


async def hooked(session, url, stream):
    async def ask_again(answer, **_):
        await asyncio.sleep(0)
        return await session.get(f"{url}/d") if answer.status_code == 200 else None

    return await (await session.get(f"{url}/c", hooks={"response": ask_again}, stream=stream)).read()


RETRYING = Retrying(Retry(3, status_forcelist=[503]), sleep=lambda seconds: asyncio.sleep(0))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("call", [chain, tries, challenge, hooked])
def test_cancelled_after_any_number_of_turns_it_loses_nothing(answering, call, stream):
    """One connection, so that a slot that is lost would stop everything after."""
    site = answering(
        {
            "/a": elsewhere(307, "/b", ("Set-Cookie", "a=1"), body=b"moved" * 5000),
            "/b": elsewhere(303, "/c", body=b"moved" * 5000),
            "/c": page(b"arrived" * 5000),
            "/d": page(b"again"),
            "/refusing": Once(),
            "/private": DigestServer(),
        }
    )

    async def attack():
        ended = 0
        async with AsyncSession(Limits(per_host=1)) as session:
            expected = await call(session, site.url, stream)
            for turns in range(MOST_TURNS):
                task = asyncio.ensure_future(call(session, site.url, stream))
                for _ in range(turns):
                    if not task.done():
                        await asyncio.sleep(0)
                was_done = task.done()
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    assert await task == expected
                await settled(session)
                ended += was_done
                if ended == 3:
                    break
            assert await call(session, site.url, stream) == expected
        return turns

    assert run(attack()) > 5, "it was cancelled under way"
    assert site.peak_open == 1


def test_a_cancelled_caller_frees_its_place_in_the_queue(site):
    async def attack():
        async with AsyncSession(Limits(per_host=1)) as session:
            async with await session.get(f"{site.url}/bytes/10000000", stream=True):
                waiting = [asyncio.ensure_future(session.get(site.url)) for _ in range(5)]
                while session.stats().waiting < 5:  # noqa: ASYNC110
                    await asyncio.sleep(0)
                for task in waiting[:4]:
                    task.cancel()
                await asyncio.gather(*waiting[:4], return_exceptions=True)
                assert session.stats().waiting == 1
            assert (await waiting[4]).ok

    run(attack())


def test_a_stream_that_is_cancelled_gives_its_connection_up(site):
    async def attack():
        async with AsyncSession(Limits(per_host=1)) as session:
            answer = await session.get(f"{site.url}/stream/2?pause=60", stream=True)
            lines = answer.iter_lines()
            assert await anext(lines) == b"line 0"
            reading = asyncio.ensure_future(anext(lines))
            await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            await settled(session)
            with pytest.raises(StreamConsumedError):
                await answer.read()
            assert (await session.get(f"{site.url}/a")).ok

    run(attack())


def test_a_pause_between_two_tries_is_awaited_and_holds_nothing(answering):
    site = answering({"/": Answer(status=503, headers=(("Retry-After", "5"),))})
    pausing = None

    async def sleep(seconds):
        pausing.set()
        await asyncio.Event().wait()

    async def attack():
        nonlocal pausing
        pausing = asyncio.Event()
        async with AsyncSession(Limits(per_host=1)) as session:
            retrying = Retrying(Retry(3, status_forcelist=[503]), sleep=sleep)
            task = asyncio.ensure_future(session.get(f"{site.url}/", retries=retrying))
            await pausing.wait()
            assert is_at_rest(session)
            assert (await session.get(f"{site.url}/a")).ok
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run(attack())


# Many tasks


def test_two_hundred_calls_share_six_connections_and_mix_nothing_up(site):
    async def ask(session, number):
        answer = await session.post(f"{site.url}/echo", data=str(number), headers={"X-Sent": str(number)})
        seen = answer.json()
        return seen["body"], seen["headers"]["x-sent"]

    async def attack():
        async with AsyncSession(Limits(per_host=6)) as session:
            answers = await asyncio.gather(*[ask(session, number) for number in range(200)])
            assert is_at_rest(session)
        return answers

    assert run(attack()) == [(str(number), str(number)) for number in range(200)]
    assert site.peak_open <= 6
    assert site.requests == 200


def test_tasks_share_cookies_and_a_digest(answering):
    server = DigestServer()
    site = answering({"/private": server, "/set": page(b"", None, ("Set-Cookie", "a=1; Path=/"))})

    async def attack():
        async with AsyncSession() as session:
            session.auth = HTTPDigestAuth("Mufasa", "Circle of Life")
            await asyncio.gather(*[session.get(f"{site.url}/set") for _ in range(10)])
            answers = await asyncio.gather(*[session.get(f"{site.url}/private") for _ in range(50)])
            assert {answer.status_code for answer in answers} == {200}
            return session.cookies.get_dict()

    assert run(attack()) == {"a": "1"}
    assert all(request.headers["cookie"] == "a=1" for request in site.log if request.path == "/private")
    assert set(server.refused) == {"no proof"}


# Hooks


def test_an_async_hook_is_awaited_and_may_replace_the_answer(answering):
    site = answering({"/a": page(b"a"), "/b": page(b"b")})

    async def attack():
        async with keeppool.requests.AsyncSession(Limits(per_host=1)) as session:

            async def other(answer, **told):
                instead = session.prepare_request(Request("GET", f"{site.url}/b"))
                return await answer.connection.send(instead, **told)

            answer = await session.get(f"{site.url}/a", hooks={"response": other})
            assert (answer.content, answer.request.url) == (b"b", f"{site.url}/b")
            assert is_at_rest(session)

    run(attack())


@pytest.mark.parametrize("stream", [False, True])
def test_an_async_hook_that_fails_fails_the_call(site, stream):
    async def fail(answer, **_):
        await asyncio.sleep(0)
        raise ZeroDivisionError

    async def attack():
        async with AsyncSession() as session:
            with pytest.raises(ZeroDivisionError):
                await session.get(f"{site.url}/bytes/10000000", hooks={"response": fail}, stream=stream)
            assert is_at_rest(session)

    run(attack())


# Closed, and misused


def test_closing_lets_what_runs_end_and_refuses_what_waits(site):
    site.pause()

    async def attack():
        session = AsyncSession(Limits(per_host=1))
        running = asyncio.ensure_future(session.get(f"{site.url}/a"))
        waiting = asyncio.ensure_future(session.get(f"{site.url}/b"))
        while site.requests == 0 or session.stats().waiting == 0:  # noqa: ASYNC110
            await asyncio.sleep(0)
        closing = asyncio.ensure_future(session.aclose())
        with pytest.raises(PoolClosed):
            await waiting
        site.resume()
        assert (await running).ok
        await closing
        with pytest.raises(PoolClosed):
            await session.get(site.url)
        await session.aclose()
        assert session.stats().open == 0

    run(attack())
    assert site.wait_for(lambda: site.open_now == 0)


def test_closing_between_two_requests_of_a_chain_ends_the_chain(answering):
    session = AsyncSession()
    site = answering({"/a": elsewhere(302, "/b")})

    async def close(answer, **_):
        await session.aclose()

    async def attack():
        with pytest.raises(PoolClosed) as caught:
            await session.get(f"{site.url}/a", hooks={"response": close})
        assert caught.value.request.url == f"{site.url}/b"
        assert is_at_rest(session)

    run(attack())


def test_another_event_loop_is_refused_in_words(site):
    session = AsyncSession()

    async def use():
        return (await session.get(site.url)).status_code

    async def misuse():
        with pytest.raises(LoopError, match="make one for each loop"):
            await session.get(site.url)

    with asyncio.Runner() as first:
        assert first.run(use()) == 200
        with asyncio.Runner() as second:
            second.run(misuse())
        assert first.run(use()) == 200
        first.run(session.aclose())
    assert site.requests == 2


def test_a_call_that_is_not_awaited_sends_nothing_and_is_warned_of(site):
    async def attack():
        async with AsyncSession() as session:
            with pytest.warns(RuntimeWarning, match="never awaited"):
                session.get(site.url)

    run(attack())
    assert site.requests == 0


def test_an_answer_that_was_dropped_unread_is_told_with_its_place_and_its_slot_comes_back(site):
    async def dropped(session):
        answer = await session.get(f"{site.url}/bytes/10000000", stream=True)
        assert answer.status_code == 200
        del answer
        await settled(session)

    async def attack():
        async with AsyncSession(Limits(per_host=1)) as session:
            with pytest.warns(ResourceWarning, match=re.escape(site.url)):
                await dropped(session)
            assert (await session.get(f"{site.url}/a")).ok
            assert is_at_rest(session)

    run(attack())


def test_a_session_that_was_dropped_leaves_no_socket(site):
    async def drop():
        await AsyncSession().get(site.url)

    async def attack():
        await drop()
        gc.collect()
        while site.open_now:  # noqa: ASYNC110
            await asyncio.sleep(0)

    run(attack())


def test_the_content_of_a_stream_is_asked_for_by_awaiting_it(site):
    async def attack():
        async with AsyncSession() as session, await session.get(f"{site.url}/bytes/10", stream=True) as answer:
            with pytest.raises(StreamConsumedError, match=r"await read\(\) first"):
                answer.content  # noqa: B018  # looking is the test
            assert len(await answer.read()) == 10

    run(attack())


def test_threads_are_not_needed_and_not_loaded_with_it(site):
    program = f"""
import asyncio, sys, threading, keeppool
async def main():
    async with keeppool.AsyncSession() as session:
        await session.get({site.url!r})
        print(threading.active_count())
asyncio.run(main())
print("requests" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("1\nFalse\n", "")
