"""What a call on an event loop gives before it is awaited: all a coroutine is, `async with`, and every error."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
import warnings
from contextlib import contextmanager

import pytest

import keeppool
import keeppool.requests
from keeppool import errors
from keeppool.testing import Answer, Request, Site

KINDS = pytest.mark.parametrize("kind", [keeppool.AsyncSession, keeppool.requests.AsyncSession])


@contextmanager
def silent():
    """A site that does not answer before the block ends, and what is set when a request has arrived."""
    arrived, released = threading.Event(), threading.Event()

    def wait(request: Request) -> Answer:
        arrived.set()
        released.wait(30)
        return Answer()

    with Site(handler=wait) as site:
        yield site, arrived
        released.set()


@KINDS
def test_a_task_of_a_call_tells_where_it_is(kind):
    async def main(site, arrived):
        async with kind() as session:
            call = session.get(site.url)
            assert (call.cr_running, call.cr_await) == (False, None)
            assert inspect.getcoroutinestate(call) == inspect.CORO_CREATED
            assert call.__name__ in call.__qualname__
            assert call.__qualname__ in repr(call)
            task = asyncio.create_task(call)
            await asyncio.to_thread(arrived.wait, 30)
            (frame,) = task.get_stack()
            assert frame.f_code is call.cr_code
            assert f"{call.__qualname__}() running at " in repr(task)
            assert call.cr_frame is frame
            assert call.cr_await is not None
            assert inspect.getcoroutinestate(call) == inspect.CORO_SUSPENDED
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert inspect.getcoroutinestate(call) == inspect.CORO_CLOSED

    with silent() as (site, arrived):
        asyncio.run(main(site, arrived))


def test_a_call_has_no_other_attributes_than_a_coroutine():
    async def main():
        async with keeppool.AsyncSession() as session:
            call = session.get("http://127.0.0.1:9/")
            with pytest.raises(AttributeError, match="text"):
                call.text  # noqa: B018  # the await is missing
            call.close()

    asyncio.run(main())


def wrong_calls(session, url):
    """One call of each kind of mistake in its arguments, and the error it ends with."""
    return [
        (lambda: session.get("no-scheme"), errors.MissingSchema),
        (lambda: session.get(None), errors.InvalidRequest),
        (lambda: session.request("G T", url), errors.InvalidRequest),
        (lambda: session.get(url, headers={"A": "b\n"}), errors.InvalidHeader),
        (lambda: session.post(url, json={1, 2}), errors.InvalidJSONError),
        (lambda: session.get(url, timeout="soon"), errors.ConfigError),
        (lambda: session.get(url, retries=-1), errors.ConfigError),
        (lambda: session.send(keeppool.Request("GET", url)), ValueError),
    ]


def hooked():
    session = keeppool.requests.AsyncSession()
    session.hooks["response"].append(lambda response, **settings: None)
    return session


class OwnRequest(keeppool.requests.AsyncSession):
    async def request(self, method, url, **options):
        return await super().request(method, url, **options)


class OwnSend(keeppool.requests.AsyncSession):
    async def send(self, request, **options):
        return await super().send(request, **options)


SESSIONS = pytest.mark.parametrize(
    "make", [keeppool.AsyncSession, keeppool.requests.AsyncSession, hooked, OwnRequest, OwnSend]
)


@SESSIONS
def test_a_call_that_cannot_be_made_says_so_when_it_is_awaited(make, site):
    async def main():
        async with make() as session:
            for call, error in wrong_calls(session, site.url):
                given = call()
                with pytest.raises(error):
                    await given

    asyncio.run(main())
    assert site.requests == 0


@SESSIONS
def test_one_bad_url_among_many_leaves_the_others_alone(make, answering):
    site = answering({"/": Answer()})

    async def main():
        async with make() as session:
            urls = [site.url, "no-scheme", site.url]
            one, wrong, other = await asyncio.gather(*(session.get(url) for url in urls), return_exceptions=True)
            assert one.ok
            assert other.ok
            assert isinstance(wrong, errors.MissingSchema)
            with pytest.raises(errors.MissingSchema):
                async with session.get("no-scheme"):
                    pass

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(main())
        gc.collect()


@pytest.mark.parametrize("kind", [keeppool.Session, keeppool.requests.Session])
def test_on_threads_it_says_so_at_once(kind, site):
    with kind() as session:
        for call, error in wrong_calls(session, site.url):
            with pytest.raises(error):
                call()


@SESSIONS
def test_async_with_takes_a_call_whoever_has_written_the_methods_it_goes_through(make, answering):
    site = answering({"/": Answer(body=b"x" * 100_000)})

    async def main():
        async with make() as session:
            async with session.get(site.url, stream=True) as response:
                assert response.status_code == 200
            assert session.stats().busy == 0, "it was closed unread"

    asyncio.run(main())


def test_async_with_closes_what_a_hook_has_put_in_the_place_of_a_response(answering):
    site = answering({"/": Answer()})
    closed = []

    class Other:
        status_code = 299
        history = ()

        def close(self):
            closed.append(self)

    async def main():
        async with (
            keeppool.AsyncSession() as session,
            session.get(site.url, hooks={"response": lambda response, **settings: Other()}) as response,
        ):
            assert not closed
        assert closed == [response]

    asyncio.run(main())
