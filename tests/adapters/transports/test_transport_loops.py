"""The transport for tasks on one loop after another, under cancellation, and where no loop of asyncio runs."""

import asyncio
import gc
import threading
import warnings

import pytest

from keeppool import AsyncPoolManager, Limits, PoolManager
from keeppool.testing import RawConnection, ScriptedServer, Site

anyio = pytest.importorskip("anyio")
uvloop = pytest.importorskip("uvloop")

LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def run(main, new_loop=asyncio.new_event_loop):
    """Run on a new loop; a complaint that nobody would hear of is a failure."""
    complaints = []

    async def watched():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with asyncio.timeout(20):
            return await main()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with asyncio.Runner(loop_factory=new_loop) as runner:
            result = runner.run(watched())
        gc.collect()
    assert not complaints
    return result


@LOOPS
def test_one_client_outlives_any_number_of_loops(family, new_loop):
    client = family.module.AsyncClient(transport=family.AsyncTransport())

    async def main():
        answers = await asyncio.gather(*[client.get(site.url + "/hello") for _ in range(5)])
        assert [answer.status_code for answer in answers] == [200] * 5

    with Site() as site:
        for _ in range(3):
            run(main, new_loop)
            assert site.wait_for(lambda: site.open_now == 0)


def test_a_loop_that_ends_takes_its_pool_with_it_and_says_goodbye(family):
    transport = family.AsyncTransport()

    async def main():
        async with family.module.AsyncClient(transport=family.AsyncTransport()):
            pass
        await transport.handle_async_request(family.module.Request("GET", site.url + "/hello"))
        return transport.pool

    with Site() as site:
        pool = run(main)
        assert transport._loops == {}
        assert pool.stats().open == 0
        assert site.wait_for(lambda: site.open_now == 0)


@LOOPS
def test_a_loop_that_is_closed_without_care_leaves_no_socket_behind_the_next_one(family, new_loop):
    client = family.module.AsyncClient(transport=family.AsyncTransport())
    with Site() as site, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # asyncio's, for the transport that nobody could close.
        for _ in range(3):
            loop = new_loop()
            assert loop.run_until_complete(client.get(site.url + "/hello")).status_code == 200
            loop.close()
        assert site.wait_for(lambda: site.open_now <= 1)
        del client
        gc.collect()
        assert site.wait_for(lambda: site.open_now == 0)


def test_loops_in_several_threads_share_a_transport(family):
    client = family.module.AsyncClient(transport=family.AsyncTransport())
    failures = []

    async def main():
        for _ in range(20):
            assert (await client.get(site.url + "/hello")).status_code == 200

    def work():
        try:
            asyncio.run(main())
        except BaseException as error:
            failures.append(error)

    with Site() as site:
        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert client._transport._loops == {}


def test_closed_on_one_loop_it_lets_go_of_those_of_others(family):
    transport = family.AsyncTransport()
    other = asyncio.new_event_loop()
    with Site() as site:
        request = family.module.Request("GET", site.url + "/hello")
        other.run_until_complete(transport.handle_async_request(request))

        async def main():
            await transport.handle_async_request(request)
            assert site.open_now == 2
            await transport.aclose()
            with pytest.raises(family.module.TransportError, match="closed"):
                await transport.handle_async_request(request)

        asyncio.run(main())
        other.run_until_complete(asyncio.sleep(0))
        assert site.wait_for(lambda: site.open_now == 0)
        other.run_until_complete(other.shutdown_asyncgens())
        other.close()


def test_a_given_pool_is_not_closed_and_stays_on_its_loop(family):
    transport = None

    async def main():
        nonlocal transport
        async with AsyncPoolManager() as pool:
            transport = family.AsyncTransport(pool=pool)
            async with family.module.AsyncClient(transport=transport) as client:
                await client.get(site.url + "/hello")
            assert (await pool.request("GET", site.url + "/hello")).status == 200
            transport = family.AsyncTransport(pool=pool)
            await transport.handle_async_request(family.module.Request("GET", site.url))

    async def later():
        with pytest.raises(family.module.TransportError, match="event loop"):
            await transport.handle_async_request(family.module.Request("GET", site.url))

    with Site() as site:
        asyncio.run(main())
        asyncio.run(later())


def test_a_given_pool_for_threads_is_not_closed(family):
    with Site() as site, PoolManager() as pool:
        with family.module.Client(transport=family.Transport(pool=pool)) as client:
            client.get(site.url + "/hello")
        assert pool.request("GET", site.url + "/hello").status == 200
        assert site.opened == 1


def test_under_trio_it_says_what_it_needs(family):
    trio = pytest.importorskip("trio")
    client = family.module.AsyncClient(transport=family.AsyncTransport())

    async def main():
        with pytest.raises(family.module.TransportError, match="asyncio"):
            await client.get("http://a.example")

    trio.run(main)


# Cancellation


async def whole(client, url):
    assert (await client.get(url + "/bytes/1000")).status_code == 200


async def streamed(client, url):
    async with client.stream("GET", url + "/bytes/300000") as response:
        assert len(b"".join([piece async for piece in response.aiter_bytes()])) == 300_000


async def uploaded(client, url):
    async def pieces():
        for _ in range(5):
            await asyncio.sleep(0)
            yield bytes(50_000)

    assert (await client.post(url + "/echo", content=pieces())).status_code == 200


async def traced(client, url):
    async def tell(name, info):
        await asyncio.sleep(0)

    await client.get(url + "/bytes/100000", extensions={"trace": tell})


@LOOPS
@pytest.mark.parametrize("ask", [whole, streamed, uploaded, traced], ids=lambda ask: ask.__name__)
@pytest.mark.parametrize("is_scoped", [False, True], ids=["task", "anyio scope"])
def test_cancelled_after_any_number_of_steps_the_slot_comes_back(family, new_loop, ask, is_scoped):
    async def main():
        transport = family.AsyncTransport(limits=Limits(per_host=1))
        async with family.module.AsyncClient(transport=transport) as client:
            steps = 0
            while True:
                task, scope = (
                    asyncio.create_task(scoped(client)) if is_scoped else asyncio.create_task(ask(client, site.url)),
                    scopes,
                )
                for _ in range(steps):
                    await asyncio.sleep(0)
                was_done = task.done()
                if is_scoped and scope:
                    scope.pop().cancel()
                else:
                    task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                scopes.clear()
                stats = transport.stats()
                assert (stats.busy, stats.waiting) == (0, 0), steps
                await whole(client, site.url)
                if was_done:
                    return steps
                steps += max(1, steps // 4)

    async def scoped(client):
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            await ask(client, site.url)

    scopes = []
    with Site() as site:
        assert run(main, new_loop) >= 1


def test_a_response_may_be_closed_in_a_scope_that_is_cancelled_already(family):
    async def main():
        transport = family.AsyncTransport(limits=Limits(per_host=1))
        async with family.module.AsyncClient(transport=transport) as client:
            response = await client.send(client.build_request("GET", site.url + "/bytes/5000000"), stream=True)
            with anyio.CancelScope() as scope:
                scope.cancel()
                await response.aclose()
            assert transport.stats().busy == 0
            await whole(client, site.url)

    with Site() as site:
        run(main)


def test_waiting_tasks_that_are_cancelled_leave_the_queue_and_the_others_their_turn(family):
    """Httpcore #1093: slots leak under contention until every request ends in PoolTimeout."""

    async def main():
        transport = family.AsyncTransport(limits=Limits(per_host=2))
        async with family.module.AsyncClient(transport=transport) as client:
            for _ in range(10):
                tasks = [asyncio.create_task(client.get(site.url + "/bytes/2000")) for _ in range(60)]
                await asyncio.sleep(0.002)
                for task in tasks[::3]:
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
                for number, result in enumerate(results):
                    if number % 3 or not isinstance(result, asyncio.CancelledError):
                        assert result.status_code == 200
                stats = transport.stats()
                assert (stats.busy, stats.waiting) == (0, 0)
                assert stats.open <= 2

    with Site() as site:
        run(main)


def test_a_streamed_response_that_is_dropped_unread_gives_its_slot_back(family):
    async def main():
        transport = family.AsyncTransport(limits=Limits(per_host=1))
        async with family.module.AsyncClient(transport=transport) as client:
            response = await client.send(client.build_request("GET", site.url + "/bytes/5000000"), stream=True)
            # As everywhere, it is said where that response was asked for: in this file, not in the client's.
            asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context["exception"]))
            del response
            gc.collect()
            await whole(client, site.url)

    said = []
    with Site() as site:
        run(main)
    assert [__file__ in str(warning) for warning in said] == [True]


def test_a_connection_that_dies_while_idle_is_noticed_between_two_requests(family):
    """The commonest complaint: an idle connection's end is the next request's RemoteProtocolError."""

    async def main():
        async with family.module.AsyncClient(transport=family.AsyncTransport()) as client:
            for _ in range(5):
                assert (await client.post(server.url, content=b"x")).text == "ok"

    with ScriptedServer([RawConnection.read_request, OK]) as server:
        run(main)
