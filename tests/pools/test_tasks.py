"""What only an event loop brings: late binding, watching, one loop, finalizers, fork; and likeness to threads."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import socket
import warnings

import pytest
from loop_peer import LoopPeer, until

from keeppool import Limits, PoolManager, Timeout, errors, events
from keeppool.events import Why
from keeppool.pools.manager_tasks import AsyncPoolManager
from keeppool.pools.response import Response
from keeppool.pools.response_tasks import AsyncResponse
from keeppool.testing import Behaviour, RawConnection, ScriptedServer, recorded_events

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SERVE = [*[RawConnection.read_request, OK] * 5, RawConnection.read_until_closed]


def run(main):
    """Run on a new loop with warnings for everything that asyncio thinks is wrong."""
    return asyncio.run(main, debug=True)


# Late binding


class Names:
    """A resolver that waits until a test lets it go on: a dial on loopback would be over at once."""

    def __init__(self) -> None:
        self.known = asyncio.Event()

    async def find(self, host: str, port: int) -> list[str]:
        await self.known.wait()
        return ["127.0.0.1"]


def test_whoever_waits_gets_what_comes_first_and_the_dial_is_kept():
    """A caller whose dial is under way is served by a connection given back meanwhile."""
    recorder = recorded_events()

    async def main():
        names = Names()
        limits = Limits(dns_ttl=0)
        async with LoopPeer() as peer, AsyncPoolManager(limits, resolver=names.find, on_event=recorder) as pool:
            url = peer.url.replace("127.0.0.1", "a.example")
            names.known.set()
            response = await pool.request("GET", f"{url}/held/bytes/10", stream=True)
            names.known.clear()
            task = asyncio.create_task(pool.request("GET", f"{url}/second"))
            await asyncio.sleep(0)
            assert pool.stats().connecting == 1
            await response.read()
            assert (await task).reused
            names.known.set()
            await until(lambda: pool.stats().idle == 2 and peer.accepted == 2)
            assert pool.stats().open == 2
            assert pool.stats().connect_failed == 0

    run(main())
    opened = [event.connection for event in recorder.of(events.ConnectionOpened)]
    assert opened == [1, 2]


def test_a_dial_nobody_needs_is_cancelled_when_its_slot_is_wanted():
    async def main():
        async with LoopPeer() as other, AsyncPoolManager(Limits(total=1), resolver=Names().find) as pool:
            task = asyncio.create_task(pool.request("GET", "http://a.example/1"))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert pool.stats().connecting == 1
            assert (await pool.request("GET", f"{other.url}/2")).status == 200
            assert pool.stats().connect_failed == 1
            assert pool.stats().peak_open == 1

    run(main())


def test_a_dead_host_fails_each_caller_once_and_is_dialled_once_for_each():
    async def main():
        with socket.create_server(("127.0.0.1", 0)) as closed:
            url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        async with AsyncPoolManager(Limits(per_host=2)) as pool:
            requests = (pool.request("GET", url) for _ in range(20))
            answers = await asyncio.gather(*requests, return_exceptions=True)
            assert {type(answer) for answer in answers} == {errors.RefusedError}
            assert len({id(answer) for answer in answers}) == 20
            assert pool.stats().connect_failed == 20
            assert pool.stats().waiting == pool.stats().connecting == 0

    run(main())


def full_listener():
    """A listener whose queue is full: further connections are not accepted and not refused."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    clients = []
    for _ in range(3):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(listener.getsockname())
        clients.append(client)
    return listener, clients


def test_each_caller_has_its_own_connect_timeout():
    """The impatient one's is not the patient one's, whoever's dial it was that each counts on."""

    async def main():
        listener, clients = full_listener()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        async with AsyncPoolManager(Limits(per_host=1)) as pool:
            patient = asyncio.create_task(pool.request("GET", url, timeout=Timeout(connect=30)))
            await asyncio.sleep(0)
            impatient = asyncio.create_task(pool.request("GET", url, timeout=Timeout(connect=0.05)))
            await asyncio.sleep(0)
            patient.cancel()
            with pytest.raises(errors.ConnectTimeout) as raised:
                await impatient
            assert raised.value.limit == 0.05
            assert pool.stats().waiting == 0
            assert pool.stats().connecting == 1
            with pytest.raises(errors.ConnectTimeout, match=r"within 0\.05 s"):
                await pool.request("GET", url, timeout=Timeout(connect=0.05))
        assert pool.stats().open == pool.stats().connecting == 0
        for sock in (listener, *clients):
            sock.close()

    run(main())


def test_nobody_pays_for_the_time_limit_of_another_whose_dial_it_counts_on():
    async def main():
        listener, clients = full_listener()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        async with AsyncPoolManager(Limits(per_host=1)) as pool:
            impatient = asyncio.create_task(pool.request("GET", url, timeout=Timeout(connect=0.05)))
            await asyncio.sleep(0)
            patient = asyncio.create_task(pool.request("GET", url, timeout=Timeout(connect=30)))
            await asyncio.sleep(0)
            impatient.cancel()
            failed = asyncio.Event()
            while not pool.stats().connect_failed:
                asyncio.get_running_loop().call_later(0.001, failed.set)
                await failed.wait()
                failed.clear()
            assert not patient.done()
            assert pool.stats().connecting == 1
            patient.cancel()
            await asyncio.gather(patient, return_exceptions=True)
        for sock in (listener, *clients):
            sock.close()

    run(main())


def test_a_limit_of_waiting_callers_does_not_count_those_who_are_dialled_for():
    async def main():
        async with LoopPeer() as peer, AsyncPoolManager(Limits(per_host=2, waiting=1)) as pool:
            tasks = [asyncio.create_task(pool.request("GET", f"{peer.url}/{number}")) for number in range(4)]
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            assert [getattr(answer, "status", type(answer)) for answer in answers] == [200, 200, 200, errors.QueueFull]

    run(main())


def test_a_pool_that_is_closed_breaks_dials_off():
    async def main():
        listener, clients = full_listener()
        pool = AsyncPoolManager(Limits(per_host=1))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        tasks = [asyncio.create_task(pool.request("GET", url)) for _ in range(2)]
        await asyncio.sleep(0)
        await pool.aclose()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(answer) for answer in answers] == [errors.PoolClosed] * 2
        assert asyncio.all_tasks() == {asyncio.current_task()}
        for sock in (listener, *clients):
            sock.close()

    run(main())


# Idle connections


def test_a_server_that_hangs_up_on_an_idle_loop_is_heard_at_once(sites):
    site = sites.add()

    async def main():
        async with AsyncPoolManager() as pool:
            await pool.request("GET", site.url)
            site.drop_idle()
            heard = asyncio.Event()
            while pool.stats().open:
                asyncio.get_running_loop().call_later(0.001, heard.set)
                await heard.wait()
                heard.clear()
            assert pool.stats().closed_by[Why.PEER_CLOSED] == 1

    run(main())


def test_a_connection_whose_caller_was_cancelled_at_its_delivery_is_watched_too(sites):
    site = sites.add(Behaviour(body=10))

    async def main():
        async with AsyncPoolManager(Limits(per_host=1)) as pool:
            held = await pool.request("GET", f"{site.url}/bytes/300000", stream=True)
            # A body that goes in pieces: what can be sent at once is sent in the place of the one who waits.
            task = asyncio.create_task(pool.request("PUT", site.url, body=iter([b"x"])))
            await asyncio.sleep(0)
            await held.read()
            assert pool.stats().busy == 1, "given to the one who waits"
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert pool.stats().idle == 1
            site.drop_idle()
            heard = asyncio.Event()
            while pool.stats().open:
                asyncio.get_running_loop().call_later(0.001, heard.set)
                await heard.wait()
                heard.clear()

    run(main())


def test_a_connection_that_expires_is_closed_by_the_loops_own_timer(sites, recorder):
    site = sites.add()

    async def main():
        closed = asyncio.Event()

        def listen(event):
            if isinstance(event, events.ConnectionClosed):
                closed.set()

        async with AsyncPoolManager(Limits(idle_timeout=0.02), on_event=listen) as pool:
            await pool.request("GET", site.url)
            await asyncio.wait_for(closed.wait(), 20)
            assert pool.stats().closed_by[Why.IDLE_TIMEOUT] == 1
            assert pool._pool._timer is None

    run(main())


def test_nothing_runs_on_after_aclose(sites):
    site = sites.add()

    async def main():
        loop = asyncio.get_running_loop()
        pool = AsyncPoolManager()
        await asyncio.gather(*(pool.request("GET", site.url) for _ in range(10)))
        await pool.aclose()
        assert pool._pool._timer is None
        assert asyncio.all_tasks() == {asyncio.current_task()}
        ours = [handle for handle in loop._scheduled if not handle.cancelled() and "keeppool" in repr(handle)]
        assert ours == []
        with pytest.raises(errors.PoolClosed):
            await pool.request("GET", site.url)

    run(main())
    assert site.wait_for(lambda: site.open_now == 0)


# The way of a request


def test_a_small_request_on_an_open_connection_waits_once(sites):
    """Acquire, write, one future for the answer: nothing else suspends, and no task or timer is made."""
    site = sites.add()

    async def main():
        loop = asyncio.get_running_loop()
        async with AsyncPoolManager() as pool:
            for _ in range(3):
                await pool.request("GET", site.url)
            made = []
            loop.create_future = lambda: made.append("future") or asyncio.Future(loop=loop)
            loop.create_task = lambda *_, **__: made.append("task")
            later = loop.call_later
            loop.call_later = lambda *_, **__: made.append("timer")
            try:
                request = pool.request("GET", site.url)
                waited = request.send(None)
                assert isinstance(waited, asyncio.Future)
                assert made == ["future"]
            finally:
                loop.call_later = later
                del loop.create_future, loop.create_task
            await asyncio.wait([waited])
            with pytest.raises(StopIteration) as ended:
                request.send(None)
            assert ended.value.value.data

    asyncio.run(main())


def test_an_async_body_goes_out_in_chunks_and_again_only_if_it_was_not_begun():
    class Again:
        """Can be iterated any number of times."""

        def __aiter__(self):
            return once()

    async def once():
        for piece in (b"ab", b"", b"cd"):
            await asyncio.sleep(0)
            yield piece

    async def main():
        died = [RawConnection.read_request, OK, RawConnection.read_request]
        with ScriptedServer(died, SERVE) as server:
            async with AsyncPoolManager() as pool:
                await pool.request("GET", server.url)
                assert (await pool.request("PUT", server.url, body=Again())).status == 200
                assert (await pool.request("PUT", server.url, body=once)).status == 200
            assert [request.body for request in server.requests] == [b"", b"abcd", b"abcd", b"abcd"]
        with ScriptedServer(died, SERVE) as server:
            async with AsyncPoolManager() as pool:
                await pool.request("GET", server.url)
                with pytest.raises(errors.ServerDisconnected):
                    await pool.request("PUT", server.url, body=once())

    run(main())


def test_an_async_body_of_the_wrong_length_is_the_callers_error():
    async def body():
        yield b"four"

    async def main():
        with ScriptedServer([RawConnection.read_until_closed]) as server:
            async with AsyncPoolManager() as pool:
                with pytest.raises(errors.BodyLengthError):
                    await pool.request("POST", server.url, body=body(), headers={"Content-Length": "9"})
                assert pool.stats().busy == 0

    run(main())


def test_an_async_body_is_refused_by_threads_before_anything_is_sent():
    async def body():
        yield b"x"

    with PoolManager() as pool, pytest.raises(errors.InvalidBody, match="async iterable"):
        pool.request("POST", "http://127.0.0.1:1/", body=body())


# One loop, dropped things, fork


def test_a_pool_belongs_to_the_loop_of_its_first_request(sites):
    site = sites.add()
    pool = AsyncPoolManager()
    first = asyncio.new_event_loop()
    first.run_until_complete(pool.request("GET", site.url))
    second = asyncio.new_event_loop()
    for call in (lambda: pool.request("GET", site.url), pool.aclose):
        with pytest.raises(errors.LoopError) as raised:
            second.run_until_complete(call())
        assert repr(first)[:40] in str(raised.value)
        assert isinstance(raised.value, RuntimeError), "what it was before it was of the tree"
    first.run_until_complete(pool.aclose())
    first.run_until_complete(asyncio.sleep(0))
    first.close()
    second.close()


def test_a_dropped_response_whose_request_was_a_task_names_the_task_and_no_line_of_the_loop(sites):
    site = sites.add(Behaviour(body=1_000_000))

    async def place(make) -> str:
        async with AsyncPoolManager(Limits(per_host=1)) as pool:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                await make(pool.request("GET", site.url, stream=True))
                gc.collect()
                await pool.request("GET", site.url)
            (warning,) = [found for found in caught if found.category is ResourceWarning]
            return str(warning.message).partition("it was made at ")[2]

    def by_task(request):
        return asyncio.create_task(request, name="crawl 7")

    async def by_a_line_in_a_task(request):
        async with asyncio.timeout(10):
            await asyncio.create_task(inner(request))

    async def inner(request):
        await request

    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(place(by_task)) == "an unknown place in the task 'crawl 7'"
    assert loop.run_until_complete(place(by_a_line_in_a_task)).startswith(f"{__file__}:")
    loop.close()


def test_a_response_dropped_unread_gives_its_slot_back_and_says_where_it_was_made(sites):
    site = sites.add(Behaviour(body=1_000_000))

    async def main():
        async with AsyncPoolManager(Limits(per_host=1)) as pool:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                await pool.request("GET", site.url, stream=True)
                gc.collect()
                assert (await pool.request("GET", site.url)).status == 200
            (warning,) = [found for found in caught if found.category is ResourceWarning]
            assert f"dropped unread; it was made at {__file__}:" in str(warning.message)
            assert pool.stats().closed_by[Why.BODY_UNREAD] == 1

    asyncio.run(main())


def test_a_pool_that_is_dropped_without_close_has_its_sockets_closed(sites):
    site = sites.add()

    async def main():
        pool = AsyncPoolManager()
        await pool.request("GET", site.url)
        del pool
        gc.collect()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    run(main())
    assert site.wait_for(lambda: site.open_now == 0)


def test_a_listener_that_fails_is_logged_and_costs_nothing(sites, caplog):
    site = sites.add()

    def listen(event):
        raise LookupError

    async def main():
        async with AsyncPoolManager(Limits(per_host=1), on_event=listen) as pool:
            answers = await asyncio.gather(*(pool.request("GET", site.url) for _ in range(3)))
            assert [answer.status for answer in answers] == [200] * 3

    run(main())
    assert {record.exc_info[0] for record in caplog.records if record.name == "keeppool"} == {LookupError}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_parent_and_child_go_on_after_fork_each_with_sockets_of_its_own(sites):
    site = sites.add()
    pool = AsyncPoolManager()

    def child():
        """In the child: a new loop, and a pool that starts empty."""
        assert pool.stats().open == 0
        # The forked thread is inside the parent's loop; asyncio has to be told that it is not.
        asyncio._set_running_loop(None)
        loop = asyncio.new_event_loop()
        assert loop.run_until_complete(pool.request("GET", site.url)).status == 200
        loop.run_until_complete(pool.aclose())
        loop.close()

    async def main():
        await pool.request("GET", site.url)
        pid = os.fork()
        if not pid:
            code = 1
            try:
                child()
                code = 0
            finally:
                os._exit(code)
        ended = os.waitpid(pid, 0)[1]  # noqa: ASYNC222 - nothing else is to happen meanwhile
        assert os.waitstatus_to_exitcode(ended) == 0
        assert (await pool.request("GET", site.url)).reused
        await pool.aclose()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of fork beside the sites' thread
        asyncio.run(main())


# Likeness


def signature(function):
    described = inspect.signature(function)
    return [parameter.replace(annotation=str(parameter.annotation)) for parameter in described.parameters.values()]


@pytest.mark.parametrize(("threads", "tasks"), [(PoolManager, AsyncPoolManager), (Response, AsyncResponse)])
def test_threads_and_tasks_have_the_same_names_and_signatures(threads, tasks):
    awaited = {"close": "aclose", "__enter__": "__aenter__", "__exit__": "__aexit__", "__iter__": "__aiter__"}
    only_threads = {"at_hand", "lent_stream", "read1", "readable", "readinto", "readline", "tell"}
    names = {name for name in dir(threads) if not name.startswith("_") or name in awaited} - only_threads
    assert {awaited.get(name, name) for name in names} <= set(dir(tasks))
    for name in names:
        one, other = getattr(threads, name), getattr(tasks, awaited.get(name, name))
        if callable(one):
            assert signature(one) == signature(other), name
    assert signature(PoolManager.__init__) == signature(AsyncPoolManager.__init__)


@pytest.mark.parametrize("name", ["request", "exchange", "timeout_for", "config_for", "stats"])
def test_threads_and_tasks_say_the_same_of_each_call(name):
    assert inspect.getdoc(getattr(AsyncPoolManager, name)) == inspect.getdoc(getattr(PoolManager, name))


# Arguments


def test_an_argument_that_cannot_be_meant_is_refused_when_the_request_is_awaited():
    """Not before: of many requests begun together, one must not keep the others from being awaited."""

    async def main():
        async with AsyncPoolManager() as pool:
            asked = pool.request("GET", "http://a.example/", timeout=-1)
            with pytest.raises(errors.ConfigError):
                await asked

    run(main())
