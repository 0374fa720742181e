"""A pool for tasks beyond its event loop: on another one, in another thread, after the end of its own."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import warnings
from collections.abc import Iterator

import pytest
from net.loops import on_both_loops

from keeppool import AsyncPoolManager, AsyncSession, Limits
from keeppool.errors import LoopError
from keeppool.testing import Answer, Behaviour

try:
    import uvloop
except ImportError:
    uvloop = None

#: Seconds after which a wait is given up.
PATIENCE = 20.0

LOOPS = [asyncio.new_event_loop] + ([uvloop.new_event_loop] if uvloop else [])
both_loops = pytest.mark.parametrize("make_loop", LOOPS, ids=["asyncio", "uvloop"][: len(LOOPS)])


@contextlib.contextmanager
def transports_left() -> Iterator[None]:
    """Let asyncio complain of transports that were not closed in their loop's time, which is what these tests do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


@both_loops
@transports_left()
def test_a_second_run_is_refused_and_closing_lets_go_of_what_is_left(sites, make_loop):
    """asyncio.run makes a loop each time, and closes it."""
    site = sites.add(Behaviour(body=1_000_000))
    session = AsyncSession(Limits(per_host=2))

    async def first():
        await session.get(site.url)
        left.append(await session.get(site.url, stream=True))

    left: list = []
    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(first())
    assert session.stats().open == 1
    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(closing(session, left[0]))
    assert session.stats().open == 0
    assert site.wait_for(lambda: site.open_now == 0)
    left.clear()


async def closing(session, response):
    with pytest.raises(LoopError, match="make one for each loop"):
        await session.get("http://127.0.0.1:1/")
    with pytest.raises(LoopError):
        await response.read()
    for _ in range(2):
        await session.aclose()


@both_loops
@transports_left()
def test_a_response_left_by_a_loop_that_is_gone_can_be_given_up(sites, make_loop):
    site = sites.add(Behaviour(body=1_000_000))
    pool = AsyncPoolManager()
    with asyncio.Runner(loop_factory=make_loop) as runner:
        response = runner.run(pool.request("GET", site.url, stream=True))

    async def later():
        with pytest.raises(LoopError):
            await response.read()
        await response.aclose()
        assert pool.stats().busy == 0
        await pool.aclose()

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(later())
    assert site.wait_for(lambda: site.open_now == 0)


@transports_left()
def test_closing_after_a_loop_that_left_its_tasks_behind(sites):
    """Callers that wait, and dials, are left where they are: nobody can go on with them."""
    site = sites.add(handler=lambda request: Answer(delay_s=PATIENCE))
    pool = AsyncPoolManager(Limits(per_host=1))
    loop = asyncio.new_event_loop()
    tasks = [loop.create_task(pool.request("GET", site.url)) for _ in range(3)]
    while not site.log:
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    asyncio.run(pool.aclose())
    assert (pool.stats().open, pool.stats().waiting) == (0, 0)
    assert site.wait_for(lambda: site.open_now == 0)
    for task in tasks:
        task._log_destroy_pending = False


def test_a_loop_that_is_closed_in_the_moment_of_a_question_is_no_error(sites, monkeypatch):
    """From another thread, which has seen it running."""
    pool, loop = AsyncPoolManager(), asyncio.new_event_loop()
    loop.run_until_complete(pool.request("GET", sites.add().url))
    loop.run_until_complete(pool.aclose())
    loop.close()
    monkeypatch.setattr(loop, "is_running", lambda: True)
    monkeypatch.setattr(loop, "is_closed", lambda: False)
    assert pool.stats().opened == 1
    pool._pool.collect_soon()


def test_two_threads_that_come_first_at_the_same_time_do_not_share_a_session(sites):
    site = sites.add()
    session = AsyncSession()
    ready, outcomes = threading.Barrier(2), []
    may_end = threading.Event()

    async def use():
        ready.wait(PATIENCE)
        try:
            outcomes.append((await session.get(site.url)).status_code)
            await asyncio.to_thread(may_end.wait, PATIENCE)
            await session.aclose()
        except LoopError as error:
            outcomes.append(str(error))
            may_end.set()

    threads = [threading.Thread(target=asyncio.run, args=(use(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(outcomes) == 2
    assert 200 in outcomes
    assert any("make one for each loop" in str(outcome) for outcome in outcomes)
    assert session.stats().open == 0


@on_both_loops
def test_a_stream_is_not_read_on_another_loop_and_is_none_the_worse_for_the_try(run, sites):
    site = sites.add(Behaviour(body=1_000_000))

    async def main():
        async with AsyncPoolManager(Limits(per_host=1)) as pool:
            response = await pool.request("GET", site.url, stream=True)
            begun = response.stream(1000)
            first = await anext(begun)
            tries = (
                lambda: response.read(10),
                lambda: anext(begun),
                response.preload_small,
                response.drain_conn,
                response.aclose,
            )

            async def misuse():
                for attempt in tries:
                    with pytest.raises(LoopError, match="another event loop"):
                        await attempt()
                with pytest.raises(LoopError):
                    async with response:
                        pass

            await asyncio.to_thread(asyncio.run, misuse())
            assert pool.stats().busy == 1
            assert len(first) + len(await response.read()) == 1_000_000
            assert (pool.stats().busy, pool.stats().idle) == (0, 1)

    run(main())
