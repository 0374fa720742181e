"""An error is gone when its caller has done with it, and so is what its traceback holds: without a collection.

A caller's frames are in the traceback. Where the error is in a cycle, a response that was dropped unread in one of them
keeps its connection, and a session that nobody has any more all of its own.
"""

import asyncio
import contextlib
import gc
import sys
import weakref

import pytest
from loop_peer import until
from urllib3.util import Retry

import keeppool
from keeppool import AsyncPoolManager, AsyncSession, HostConfig, Limits, PoolManager, Session, Timeout, errors
from keeppool.testing import RawConnection, ScriptedServer

ASKED = RawConnection.read_request
WAITS = RawConnection.read_until_closed
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
GZIP = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\n"
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
#: What a server does, and what is raised then.
FAULTS = {
    "silence": ([ASKED, WAITS], errors.ReadTimeout),
    "close": ([ASKED], errors.ServerDisconnected),
    "no HTTP": ([ASKED, b"garbage\r\n\r\n"], errors.InvalidHead),
    "cut": ([ASKED, LENGTH + b"a"], errors.IncompleteBody),
    "no chunk": ([ASKED, CHUNKED + b"1\r\na\r\nzz\r\n"], errors.InvalidChunk),
    "cut in a chunk": ([ASKED, CHUNKED + b"9\r\na"], errors.IncompleteBody),
    "no gzip": ([ASKED, GZIP + b"hello"], errors.ContentDecodingError),
}
#: Nobody listens there.
NOWHERE = "http://127.0.0.1:1/"


class Local:
    """Something that a caller has."""


@contextlib.contextmanager
def nothing_collected():
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def is_held(kind, ask, *arguments, **options):
    """Tell whether something is left of a call after its error."""

    def caller():
        local = Local()
        try:
            ask(*arguments, **options)
        except kind:
            return weakref.ref(local)
        raise AssertionError("it went well")

    with nothing_collected():
        return caller()() is not None


def is_held_by_task(kind, ask, *arguments, **options):
    """As `is_held`, for a coroutine function."""

    async def caller():
        local = Local()
        try:
            await ask(*arguments, **options)
        except kind:
            return weakref.ref(local)
        raise AssertionError("it went well")

    async def main():
        left = await asyncio.create_task(caller())
        await asyncio.sleep(0)  # The loop still has the end of the task on its list.
        return left() is not None

    with nothing_collected():
        return asyncio.run(main())


def test_a_response_dropped_beside_an_error_gives_its_slot_back(sites):
    site = sites.add()
    with PoolManager(Limits(per_host=1)) as pool:

        def crawl():
            unread = pool.request("GET", f"{site.url}/bytes/3000000", stream=True)  # noqa: F841
            try:
                pool.request("GET", site.url, timeout=Timeout(pool=0.01))
            except errors.PoolTimeout:
                pass

        with nothing_collected():
            crawl()
            with pytest.warns(ResourceWarning, match="dropped unread"):
                assert pool.stats().busy == 0


@pytest.mark.parametrize("fault", FAULTS)
def test_a_call_that_failed(fault):
    script, kind = FAULTS[fault]

    def ask():
        with ScriptedServer(script) as server, Session() as session:
            session.get(server.url, timeout=0.1 if script[-1] is WAITS else 20)

    assert not is_held(kind, ask)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_call_that_failed_for_a_task(fault):
    script, kind = FAULTS[fault]

    async def ask():
        with ScriptedServer(script) as server:
            async with AsyncSession() as session:
                await session.get(server.url, timeout=0.1 if script[-1] is WAITS else 20)

    assert not is_held_by_task(kind, ask)


@pytest.mark.parametrize("fault", ["cut", "no chunk", "cut in a chunk", "no gzip"])
def test_a_body_that_failed_and_is_asked_for_again(fault):
    script, kind = FAULTS[fault]

    def ask():
        with ScriptedServer(script) as server, PoolManager() as pool:
            response = pool.request("GET", server.url, stream=True)
            with contextlib.suppress(kind):
                list(response.stream())
            list(response.stream())

    assert not is_held(kind, ask)


@pytest.mark.parametrize("fault", ["cut", "no chunk", "cut in a chunk", "no gzip"])
def test_a_body_that_failed_for_a_task_and_is_asked_for_again(fault):
    script, kind = FAULTS[fault]

    async def ask():
        with ScriptedServer(script) as server:
            async with AsyncPoolManager() as pool:
                response = await pool.request("GET", server.url, stream=True)
                with contextlib.suppress(kind):
                    await response.read()
                await response.read()

    assert not is_held_by_task(kind, ask)


def test_what_a_body_failed_with_is_the_same_each_time():
    script, kind = FAULTS["no gzip"]
    with ScriptedServer(script) as server, PoolManager() as pool:
        response = pool.request("GET", server.url, stream=True)
        seen = []
        for _ in range(3):
            with pytest.raises(kind) as raised:
                response.read()
            seen.append(raised.value)
    assert {(str(each), each.sent, each.received, each.retry_safe) for each in seen} == {
        (str(seen[0]), seen[0].sent, seen[0].received, seen[0].retry_safe)
    }
    assert seen[0].__cause__ is not None, "what the decoder said"
    assert len({id(each) for each in seen}) == 3, "one that is raised again would collect all its tracebacks"


def the_callers_own():
    yield b"a"
    raise LookupError("no more")


@pytest.mark.parametrize("url", [NOWHERE, "http://[::", "http://a b/", "http://localhost:1/", "https://127.0.0.1:1/"])
def test_a_call_that_led_nowhere(url):
    with Session() as session:
        assert not is_held(keeppool.errors.KeepPoolError, session.get, url)


@pytest.mark.parametrize("url", [NOWHERE, "http://localhost:1/", "https://127.0.0.1:1/"])
def test_a_call_for_a_task_that_led_nowhere(url):
    async def ask():
        async with AsyncSession() as session:
            await session.get(url)

    assert not is_held_by_task(errors.ConnectError, ask)


def test_a_handshake_that_failed():
    with ScriptedServer([RawConnection.read, b"no TLS at all\r\n"]) as server, Session() as session:
        assert not is_held(errors.SSLError, session.get, server.url.replace("http:", "https:"))


def test_a_closed_session():
    session = Session()
    session.close()
    assert not is_held(errors.PoolClosed, session.get, NOWHERE)


def test_a_body_of_the_callers_own_that_failed(sites):
    with Session() as session:
        assert not is_held(LookupError, session.post, sites.add().url, data=the_callers_own())


def test_a_pool_that_is_closed_while_its_caller_waits(sites):
    site = sites.add()

    async def close_soon(pool):
        await until(lambda: pool.stats().waiting)
        await pool.aclose()

    async def ask():
        pool = AsyncPoolManager(Limits(per_host=1))
        async with pool, await pool.request("GET", f"{site.url}/bytes/3000000", stream=True):
            closing = asyncio.create_task(close_soon(pool))
            try:
                await pool.request("GET", site.url)
            finally:
                await closing

    assert not is_held_by_task(errors.PoolClosed, ask)


def test_a_task_that_is_cancelled():
    async def ask():
        with ScriptedServer([ASKED, WAITS]) as server:
            async with AsyncSession() as session, asyncio.timeout(0.1):
                await session.get(server.url)

    assert not is_held_by_task(TimeoutError, ask)


def test_a_request_behind_another_whose_response_is_no_http():
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    hosts = {"127.0.0.1": HostConfig(pipelining=4)}

    async def ask():
        with ScriptedServer([ASKED, ok] * 4 + [ASKED, ASKED, ok + b"garbage\r\n\r\n"]) as server:
            async with AsyncPoolManager(Limits(per_host=1), hosts=hosts) as pool:
                for _ in range(4):
                    await pool.request("GET", server.url)
                first = asyncio.create_task(pool.request("GET", server.url))
                await asyncio.sleep(0)  # It goes first.
                try:
                    await pool.request("GET", server.url)
                finally:
                    assert (await first).status == 200
                    assert pool.stats().piped

    assert not is_held_by_task(errors.InvalidHead, ask)


def test_all_tries_of_a_call():
    with Session() as session:
        assert not is_held(errors.RefusedError, session.get, NOWHERE, retries=2)


def test_the_tries_of_a_call_that_went_well_at_last():
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

    def ask():
        with ScriptedServer([ASKED], [ASKED, ok]) as server, Session() as session:
            assert session.get(server.url, retries=1).ok
            raise LookupError

    assert not is_held(LookupError, ask)


def test_a_status_that_is_an_error_at_the_end_of_all_tries():
    retry = Retry(1, status_forcelist=[503], raise_on_status=True, backoff_factor=0)
    with ScriptedServer([ASKED, BUSY, ASKED, BUSY, WAITS]) as server, Session() as session:
        assert not is_held(errors.RetryError, session.get, server.url, retries=retry)


@pytest.mark.skipif(
    sys.version_info >= (3, 12),
    reason="contextlib's frame keeps the error that it throws into a generator of urllib3's",
)
def test_a_body_that_failed_for_requests():
    requests = pytest.importorskip("requests")
    from keeppool.adapters.requests import KeepPoolAdapter

    def ask():
        with ScriptedServer(FAULTS["no chunk"][0]) as server, requests.Session() as session:
            session.mount("http://", KeepPoolAdapter())
            session.get(server.url)

    assert not is_held(requests.exceptions.ChunkedEncodingError, ask)
