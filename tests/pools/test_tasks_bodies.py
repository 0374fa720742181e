"""Bodies that have to be awaited: while they are, the clock runs and the server may speak; and they are closed."""

from __future__ import annotations

import asyncio
import threading

import pytest

from keeppool import Timeout, errors
from keeppool.pools.manager_tasks import AsyncPoolManager
from keeppool.testing import RawConnection, ScriptedServer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
REFUSED = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Body:
    """An async generator that waits for good behind its first piece, and knows how it ended."""

    def __init__(self) -> None:
        self.is_closed = False
        self.begun = asyncio.Event()
        self.error: BaseException | None = None
        self.tasks: set[asyncio.Task[None] | None] = set()

    async def pieces(self):
        self.begun.set()
        self.tasks.add(asyncio.current_task())
        try:
            yield b"first"
            self.tasks.add(asyncio.current_task())
            await asyncio.Event().wait()
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.tasks.add(asyncio.current_task())
            await asyncio.sleep(0)
            self.is_closed = True


class Endless(Body):
    """An async generator that always has one more large piece."""

    async def pieces(self):
        self.begun.set()
        try:
            while True:
                yield bytes(1_000_000)
        finally:
            await asyncio.sleep(0)
            self.is_closed = True


def run(main):
    return asyncio.run(main(), debug=True)


def heard(connection: RawConnection) -> None:
    """Read the head and the first chunk."""
    data = b""
    while not data.endswith(b"5\r\nfirst\r\n"):
        data += connection.read()


def test_an_answer_that_comes_while_a_body_is_awaited_is_the_answer():
    async def main():
        body = Body()
        with ScriptedServer([heard, INTERIM, REFUSED[:20], REFUSED[20:]]) as server:
            async with AsyncPoolManager(timeout=Timeout(total=60)) as pool:
                response = await pool.request("POST", server.url, body=body.pieces())
                assert response.status == 413
                assert body.is_closed
                assert isinstance(body.error, asyncio.CancelledError)
                assert body.tasks == {asyncio.current_task()}, "a body's own scopes belong to one task"
                assert not asyncio.current_task().cancelling()
                assert pool.stats().busy == 0

    run(main)


def test_a_close_while_a_body_is_awaited_ends_the_wait():
    async def main():
        body = Body()
        with ScriptedServer([heard]) as server:
            async with AsyncPoolManager() as pool:
                with pytest.raises(errors.ServerDisconnected):
                    await pool.request("POST", server.url, body=body.pieces())
                assert body.is_closed

    run(main)


def test_the_total_timeout_holds_while_a_body_is_awaited():
    async def main():
        body = Body()
        with ScriptedServer([heard, RawConnection.read_until_closed]) as server:
            async with AsyncPoolManager(timeout=Timeout(total=0.05)) as pool:
                with pytest.raises(errors.TotalTimeout):
                    await pool.request("POST", server.url, body=body.pieces())
                assert body.is_closed
                assert pool.stats().busy == 0

    run(main)


def test_an_interim_answer_does_not_cost_a_body_its_rest():
    async def main():
        hinted, loop = asyncio.Event(), asyncio.get_running_loop()

        async def pieces():
            yield b"first"
            await hinted.wait()
            for _ in range(50):
                await asyncio.sleep(0)  # The loop reads the hint, if it has not yet.
            yield b"second"

        def hint(connection: RawConnection) -> None:
            loop.call_soon_threadsafe(hinted.set)
            connection.read_exactly(len(b"6\r\nsecond\r\n0\r\n\r\n"))

        with ScriptedServer([heard, INTERIM, hint, OK, RawConnection.read_until_closed]) as server:
            async with AsyncPoolManager() as pool:
                assert (await pool.request("POST", server.url, body=pieces())).status == 200

    run(main)


def test_a_body_whose_own_time_is_up_is_not_taken_for_the_servers():
    async def main():
        async def pieces():
            yield b"first"
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()

        with ScriptedServer([heard, RawConnection.read_until_closed]) as server:
            async with AsyncPoolManager(timeout=Timeout(total=60)) as pool:
                with pytest.raises(TimeoutError) as raised:
                    await pool.request("POST", server.url, body=pieces())
                assert not isinstance(raised.value, errors.KeepPoolError)

    run(main)


def test_a_request_cancelled_while_its_body_is_awaited_is_cancelled():
    async def main():
        body = Body()
        with ScriptedServer([heard, RawConnection.read_until_closed]) as server:
            async with AsyncPoolManager() as pool:
                task = asyncio.create_task(pool.request("POST", server.url, body=body.pieces()))
                await body.begun.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert body.is_closed

    run(main)


@pytest.mark.parametrize("make", [lambda pieces: pieces(), lambda pieces: pieces], ids=["generator", "function"])
@pytest.mark.parametrize("how", ["answered", "cancelled", "timed out"])
def test_an_upload_that_ends_early_closes_the_callers_generator(how, make):
    """At once, and not when the garbage collector comes by."""

    async def main():
        body = Endless()
        script = [RawConnection.read_head, *([REFUSED] if how == "answered" else []), RawConnection.read_until_closed]
        if how == "timed out":
            script = [RawConnection.read_head, lambda _: ended.wait()]
        with ScriptedServer(script) as server:
            async with AsyncPoolManager(timeout=Timeout(read=0.05 if how == "timed out" else 60)) as pool:
                task = asyncio.create_task(pool.request("POST", server.url, body=make(body.pieces)))
                if how == "cancelled":
                    await body.begun.wait()
                    task.cancel()
                result = (await asyncio.gather(task, return_exceptions=True))[0]
                kinds = {"answered": object, "cancelled": asyncio.CancelledError, "timed out": errors.WriteTimeout}
                assert isinstance(result, kinds[how]), result
                assert getattr(result, "status", 413) == 413
                assert body.is_closed
            ended.set()

    ended = threading.Event()
    run(main)


def test_what_a_body_raises_when_it_is_closed_is_the_callers():
    async def main():
        async def pieces():
            try:
                while True:
                    yield b"first"
                    await asyncio.sleep(0)
            finally:
                raise LookupError

        with ScriptedServer([heard, REFUSED, RawConnection.read_until_closed]) as server:
            async with AsyncPoolManager() as pool:
                with pytest.raises(LookupError):
                    await pool.request("POST", server.url, body=pieces())
                assert pool.stats().busy == 0

    run(main)


def test_no_byte_of_a_body_follows_once_the_total_timeout_has_passed():
    """The server is asked whether it wants the body, and says nothing until the time is up."""
    got = []

    def silent(connection: RawConnection) -> None:
        connection.read_head()
        got.append(connection.read_until_closed())

    async def main():
        async with AsyncPoolManager(timeout=Timeout(total=0.1)) as pool:
            with pytest.raises(errors.TotalTimeout) as raised:
                await pool.request("POST", server.url, headers={"Expect": "100-continue"}, body=b"x" * 50_000)
            assert raised.value.sent < 1000

    with ScriptedServer([silent]) as server:
        run(main)
    assert got in ([b""], [None])
