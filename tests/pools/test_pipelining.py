"""Requests one behind the other on one connection: nobody gets another's response, waits for ever, or loses a slot.

Every path is echoed in its body, so that a response that went to the wrong caller is seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable

import pytest
import trustme
from loop_peer import until
from piped_peer import Asked, Manner, PipedPeer, echo

from keeppool import HostConfig, Limits, Timeout
from keeppool.core import riding
from keeppool.core.credit import DISTRUST
from keeppool.errors import (
    ConfigError,
    IncompleteBody,
    InvalidHead,
    KeepPoolError,
    PoolClosed,
    PoolTimeout,
    ReadTimeout,
    ServerDisconnected,
    TotalTimeout,
    TruncatedHead,
)
from keeppool.events import ConnectionReused, RequestBoarded, RequestDone, RequestRequeued, RequestServed, Why
from keeppool.pools.manager_tasks import AsyncPoolManager
from keeppool.testing import recorded_events

ONE = Limits(per_host=1)
EIGHT = HostConfig(pipelining=8)

Story = Callable[[PipedPeer, AsyncPoolManager], Awaitable[None]]


def play(story: Story, manner: Manner = echo, *, limits: Limits = ONE, host: HostConfig = EIGHT, **options) -> None:
    """Tell a story on a new event loop; an error that nobody would have heard of is a failure."""
    complaints: list[object] = []

    async def told() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with (
            asyncio.timeout(30),
            PipedPeer(manner) as peer,
            AsyncPoolManager(limits, defaults=host, **options) as pool,
        ):
            await story(peer, pool)
            assert pool.stats().busy == 0, "a slot is lost"
            assert not pool._pool._pipelines

    asyncio.run(told())
    assert not complaints


async def get(peer: PipedPeer, pool: AsyncPoolManager, path: str, **options) -> str:
    """Ask for a path, and demand that the response is its own."""
    response = await pool.request("GET", peer.url + path, **options)
    assert response.status == 200
    assert response.data.split(b"#")[0] == path.encode(), "another's response"
    return path


async def trusted(peer: PipedPeer, pool: AsyncPoolManager) -> None:
    """Let the pool find out that the server can do it."""
    await asyncio.gather(*[get(peer, pool, f"/trust/{number}") for number in range(12)])
    peer.executed.clear()


async def all_of(peer: PipedPeer, pool: AsyncPoolManager, *paths: str, **options) -> list[object]:
    """Ask for several paths at once; give what each has ended with."""
    return await asyncio.gather(*[get(peer, pool, path, **options) for path in paths], return_exceptions=True)


class Gate:
    """Holds a server's responses back until it is opened."""

    def __init__(self) -> None:
        self.is_open = asyncio.Event()

    async def __call__(self, asked: Asked) -> None:
        if asked.target == "/gate":
            await self.is_open.wait()
        echo(asked)


def at(path: str, manner: Manner) -> Manner:
    """Do this with one path, and respond to all others as one should."""

    def chosen(asked: Asked):
        return manner(asked) if asked.target == path else echo(asked)

    return chosen


# When all is well


def test_requests_follow_each_other_on_one_connection():
    async def story(peer, pool):
        assert await all_of(peer, pool, *[f"/{n}" for n in range(40)]) == [f"/{n}" for n in range(40)]
        stats = pool.stats()
        assert peer.accepted == 1
        assert stats.piped > 20
        assert stats.requeued == 0
        assert stats.reused == 39

    play(story)


def test_nobody_rides_where_it_is_not_configured():
    async def story(peer, pool):
        await all_of(peer, pool, *[f"/{n}" for n in range(40)])
        assert pool.stats().piped == 0
        assert peer.deepest == 0

    play(story, host=HostConfig())


def test_never_are_more_in_flight_than_configured():
    async def story(peer, pool):
        await all_of(peer, pool, *[f"/{n}" for n in range(80)])
        assert 1 <= peer.deepest <= 2

    play(story, host=HostConfig(pipelining=3))


def test_an_unknown_server_is_tried_with_two_on_one_connection():
    seen = []

    async def slow(asked):
        seen.append((asked.number, asked.behind))
        await asyncio.sleep(0.01)
        echo(asked)

    async def story(peer, pool):
        await all_of(peer, pool, *[f"/{n}" for n in range(60)])
        first = next(index for index, (_, behind) in enumerate(seen) if behind)
        assert seen[first][1] == 1, "the first that ride are two"
        assert max(behind for _, behind in seen) > 2

    play(story, slow, limits=Limits(per_host=3))


def test_all_connections_are_opened_before_anybody_rides():
    async def story(peer, pool):
        gate.is_open.clear()
        waiting = [asyncio.create_task(get(peer, pool, "/gate")) for _ in range(3)]
        await until(lambda: peer.executed["/gate"] == 3)
        assert peer.accepted == 3
        assert pool.stats().piped == 0
        gate.is_open.set()
        await asyncio.gather(*waiting)

    gate = Gate()
    play(story, gate, limits=Limits(per_host=3))


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("POST", {"body": b"x"}),
        ("HEAD", {}),
        ("PUT", {"body": b"x"}),
        ("DELETE", {}),
        ("GET", {"body": b"a small body"}),
        ("GET", {"headers": {"Upgrade": "websocket", "Connection": "upgrade"}}),
        ("GET", {"headers": {"Connection": "close"}}),
        ("GET", {"host": HostConfig(pipelining=1)}),
        ("GET", {"host": HostConfig(idempotent=False)}),
        ("GET", {"host": HostConfig(http_version="1.0")}),
        ("GET", {"host": HostConfig(pace=1000)}),
    ],
)
def test_what_may_not_follow_others_does_not(method, options):
    async def story(peer, pool):
        await trusted(peer, pool)
        gate.is_open.clear()
        first = asyncio.create_task(get(peer, pool, "/gate"))
        await until(lambda: peer.executed["/gate"])
        piped = pool.stats().piped
        other = asyncio.create_task(pool.request(method, f"{peer.url}/other", **options))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert pool.stats().piped == piped
        gate.is_open.set()
        await first
        await other

    gate = Gate()
    gate_manner = lambda asked: asked.send(asked.response(body="")) if asked.method == "HEAD" else gate(asked)  # noqa: E731
    play(story, gate_manner)


def test_posts_are_never_sent_behind_anything_nor_anything_behind_them():
    async def story(peer, pool):
        async def post(n):
            assert (await pool.request("POST", f"{peer.url}/post/{n}", body=b"x")).data == f"/post/{n}".encode()

        jobs = [post(n) if n % 3 == 0 else get(peer, pool, f"/{n}") for n in range(120)]
        await asyncio.gather(*jobs)
        assert peer.behind_post == 0
        assert peer.methods["POST"] == 40
        assert pool.stats().piped

    play(story, limits=Limits(per_host=2))


def test_nothing_is_sent_behind_a_streamed_response():
    async def story(peer, pool):
        await trusted(peer, pool)
        async with await pool.request("GET", f"{peer.url}/streamed", stream=True) as response:
            piped = pool.stats().piped
            other = asyncio.create_task(get(peer, pool, "/other"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert pool.stats().piped == piped
            assert await response.read() == b"/streamed" + b"#" * 300000
        await other

    play(story, at("/streamed", lambda asked: asked.send(asked.response(body="/streamed" + "#" * 300000))))


def test_bodies_that_come_in_pieces_end_where_they_end():
    """At every place a response can be cut, and with the next one glued to it."""

    async def story(peer, pool):
        await trusted(peer, pool)
        for cut in range(1, 60, 4):
            peer.cut = cut
            paths = [f"/{cut}/{n}" for n in range(8)]
            assert await all_of(peer, pool, *paths) == paths
        assert peer.accepted == 1

    async def in_pieces(asked):
        data = asked.response(chunked=asked.number % 2 == 0)
        cut = getattr(asked.peer, "cut", 0)
        asked.send(data[:cut])
        await asked.flush()
        await asyncio.sleep(0)
        asked.send(data[cut:])

    play(story, in_pieces)


def test_a_large_response_is_read_by_its_caller_and_those_behind_follow():
    async def story(peer, pool):
        await trusted(peer, pool)
        paths = ["/1", "/large", "/2", "/large", "/3"]
        assert await all_of(peer, pool, *paths) == paths
        assert peer.accepted == 1

    play(story, at("/large", lambda asked: asked.send(asked.response(body="/large#" + "x" * 700000))))


def test_interim_responses_belong_to_the_next_final_one():
    async def story(peer, pool):
        await trusted(peer, pool)
        paths = [f"/{n}" for n in range(30)]
        assert await all_of(peer, pool, *paths) == paths

    def hinted(asked):
        asked.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + asked.response())

    play(story, hinted)


def test_requests_leave_in_one_piece_that_board_in_one_turn_of_the_loop():
    """What the server has got when it reads the first of them, it has got of all."""
    behind = []

    async def story(peer, pool):
        await trusted(peer, pool)
        behind.clear()
        gate.is_open.clear()
        first = asyncio.create_task(get(peer, pool, "/gate"))
        await until(lambda: peer.executed["/gate"])
        others = [asyncio.create_task(get(peer, pool, f"/{n}")) for n in range(7)]
        await until(lambda: peer.unread == 7)
        gate.is_open.set()
        await asyncio.gather(first, *others)
        assert behind[1:] == [6, 5, 4, 3, 2, 1, 0]

    gate = Gate()

    async def counted(asked):
        behind.append(asked.behind)
        await gate(asked)

    play(story, counted)


def test_never_more_than_the_servers_max_allows():
    """Apache's count: what is left of it."""
    numbers = []

    def five(asked):
        numbers.append(asked.number)
        left = 5 - asked.number
        asked.send(asked.response(f"Keep-Alive: timeout=5, max={left}", *(["Connection: close"] if left == 0 else [])))
        return asked.close() if left == 0 else None

    async def story(peer, pool):
        paths = [f"/{n}" for n in range(50)]
        assert await all_of(peer, pool, *paths) == paths
        assert set(peer.executed.values()) == {1}
        stats = pool.stats()
        assert stats.piped
        assert (stats.requeued, stats.resent) == (0, 0)
        assert max(numbers) == 5

    play(story, five, limits=Limits(per_host=2))


def test_never_more_than_max_requests():
    async def story(peer, pool):
        paths = [f"/{n}" for n in range(50)]
        assert await all_of(peer, pool, *paths) == paths
        stats = pool.stats()
        assert (stats.requeued, stats.resent) == (0, 0)
        assert peer.accepted >= 50 / 7

    play(story, host=HostConfig(pipelining=8, max_requests=7))


# When it breaks


def broken_at(path: str, how: Callable[[Asked], object]) -> Manner:
    """Break there, once; the second time respond as one should."""
    done = []

    def manner(asked: Asked):
        if asked.target == path and not done:
            done.append(asked)
            return how(asked)
        return echo(asked)

    return manner


@pytest.mark.parametrize("how", [Asked.close, Asked.reset], ids=["close", "reset"])
def test_a_connection_that_ends_without_a_response_is_made_good_for_everybody(how):
    async def story(peer, pool):
        await trusted(peer, pool)
        paths = [f"/{n}" for n in range(8)]
        assert await all_of(peer, pool, *paths) == paths
        assert max(peer.executed.values()) <= 2
        assert pool.stats().requeued
        assert pool.stats().distrusted == (f"http://127.0.0.1:{peer.port}",)

    play(story, broken_at("/2", how))


@pytest.mark.parametrize("size", [1, 8, 20, 45, 60])
def test_what_breaks_in_the_middle_fails_alone(size):
    async def half(asked):
        asked.send(asked.response(body="/2#" + "x" * 40)[:size])
        await asked.flush()
        return asked.close()

    async def story(peer, pool):
        await trusted(peer, pool)
        ends = await all_of(peer, pool, *[f"/{n}" for n in range(8)])
        assert isinstance(ends.pop(2), (TruncatedHead, IncompleteBody))
        assert ends == [f"/{n}" for n in range(8) if n != 2]
        assert max(peer.executed.values()) <= 2
        assert peer.executed["/2"] == 1

    play(story, broken_at("/2", half))


def test_what_follows_an_announced_close_was_not_carried_out_and_rides_again():
    async def last(asked):
        asked.send(asked.response("Connection: close"))
        await asked.flush()
        return asked.close()

    async def story(peer, pool):
        await trusted(peer, pool)
        paths = [f"/{n}" for n in range(8)]
        assert await all_of(peer, pool, *paths) == paths
        stats = pool.stats()
        assert stats.requeued == 5
        assert stats.resent == 0
        assert not stats.distrusted
        assert set(peer.executed.values()) == {1}

    play(story, broken_at("/2", last))


def test_what_follows_a_408_that_does_not_say_close_may_have_been_carried_out():
    """An application's, whose server goes on."""
    events = recorded_events()

    async def story(peer, pool):
        await trusted(peer, pool)
        tired = pool.request("GET", f"{peer.url}/tired")
        paths = [f"/{n}" for n in range(6)]
        ends = await asyncio.gather(tired, *[get(peer, pool, path) for path in paths])
        assert ends[0].status == 408
        assert ends[1:] == paths
        requeued = events.of(RequestRequeued)
        assert requeued
        assert {event.spent for event in requeued} == {True}

    manner = at("/tired", lambda asked: asked.send(asked.response(status="408 Request Timeout")))
    play(story, manner, on_event=events)


def test_a_request_goes_back_ten_times_at_the_most_and_then_goes_alone():
    """A server that closes behind every second response."""

    async def second(asked):
        closes = asked.number % 2 == 0
        asked.send(asked.response(*(["Connection: close"] if closes else [])))
        await asked.flush()
        return asked.close() if closes else None

    async def story(peer, pool):
        paths = [f"/{n}" for n in range(80)]
        assert await all_of(peer, pool, *paths) == paths
        assert set(peer.executed.values()) == {1}

    play(story, second)


def test_no_http_fails_who_gets_it_and_costs_the_server_its_credit():
    async def story(peer, pool):
        await trusted(peer, pool)
        ends = await all_of(peer, pool, *[f"/{n}" for n in range(8)])
        assert isinstance(ends.pop(2), InvalidHead)
        assert ends == [f"/{n}" for n in range(8) if n != 2]
        assert pool.stats().distrusted
        piped = pool.stats().piped
        await all_of(peer, pool, *[f"/later/{n}" for n in range(10)])
        assert pool.stats().piped <= piped + 1, "a server that has broken a pipeline is given one again"

    play(story, broken_at("/2", lambda asked: asked.send(b"no http at all\r\n\r\n")))


def test_an_unframed_response_ends_it():
    async def unframed(asked):
        asked.send(b"HTTP/1.1 200 OK\r\n\r\n/2")
        await asked.flush()
        return asked.close()

    async def story(peer, pool):
        await trusted(peer, pool)
        paths = [f"/{n}" for n in range(8)]
        assert await all_of(peer, pool, *paths) == paths
        assert set(peer.executed.values()) == {1}
        piped = pool.stats().piped
        await all_of(peer, pool, *[f"/later/{n}" for n in range(10)])
        assert pool.stats().piped == piped

    play(story, broken_at("/2", unframed))


def test_http_1_0_with_keep_alive_is_not_sent_two_at_a_time():
    def old(asked):
        body = asked.target.encode()
        asked.send(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async def story(peer, pool):
        paths = [f"/{n}" for n in range(20)]
        assert await all_of(peer, pool, *paths) == paths
        assert pool.stats().piped == 0
        assert peer.deepest == 0

    play(story, old)


def test_a_response_too_many_is_nobodys():
    """It comes when all have had theirs: the connection goes, and the server's credit."""

    def twice(asked):
        asked.send(asked.response())
        if asked.target == "/7":
            asked.send(asked.response(body="/nobody"))

    async def story(peer, pool):
        await trusted(peer, pool)
        paths = [f"/{n}" for n in range(8)]
        assert await all_of(peer, pool, *paths) == paths
        await until(lambda: pool.stats().open == 0)
        assert pool.stats().closed_by[Why.UNASKED_DATA] == 1
        assert pool.stats().distrusted
        assert await get(peer, pool, "/later") == "/later"

    play(story, twice)


def test_a_response_that_was_there_before_the_request_left_is_not_its_response():
    """A server that answers each request twice is found out before anybody gets another's."""

    def twice(asked):
        asked.send(asked.response() + asked.response())

    async def story(peer, pool):
        paths = [f"/{n}" for n in range(12)]
        assert await all_of(peer, pool, *paths) == paths
        assert pool.stats().piped == 0

    play(story, twice)


def test_a_server_that_drops_what_follows_is_found_out_by_the_first():
    """As some proxies do: one rider has to wait in vain, and nobody rides there from then on."""

    async def drops(asked):
        if asked.number > 1 and asked.peer.was_behind.get(asked.number - 1):
            return
        asked.peer.was_behind[asked.number] = asked.behind
        await asyncio.sleep(0.01)
        echo(asked)
        return

    async def story(peer, pool):
        ends = await all_of(peer, pool, *[f"/{n}" for n in range(6)], timeout=Timeout(5, read=0.3))
        lost = [end for end in ends if isinstance(end, BaseException)]
        assert len(lost) <= 1
        assert all(isinstance(end, ReadTimeout) for end in lost)
        assert pool.stats().distrusted

    async def told():
        async with asyncio.timeout(20), PipedPeer(drops) as peer:
            peer.was_behind = {}
            async with AsyncPoolManager(ONE, defaults=EIGHT) as pool:
                await story(peer, pool)

    asyncio.run(told())


def test_a_late_408_leaves_those_behind_it_unharmed():
    def tired(asked):
        asked.send(asked.response("Connection: close", status="408 Request Timeout", body=""))
        return asked.close()

    async def story(peer, pool):
        await trusted(peer, pool)
        paths = [f"/{n}" for n in range(8)]
        assert await all_of(peer, pool, *paths) == paths
        assert not pool.stats().distrusted

    play(story, broken_at("/0", tired))


def test_a_second_failure_is_an_error_that_says_what_is_known():
    async def story(peer, pool):
        await trusted(peer, pool)
        ends = await all_of(peer, pool, *[f"/{n}" for n in range(8)])
        error = ends.pop(2)
        assert isinstance(error, ServerDisconnected)
        assert error.retry_safe
        assert peer.executed["/2"] == 2
        assert ends == [f"/{n}" for n in range(8) if n != 2]
        assert "in flight" not in str(error), "the second time it went alone"

    play(story, at("/2", Asked.close))


# Waiting


def test_a_head_that_does_not_come_fails_its_own_caller_and_the_others_go_on():
    async def story(peer, pool):
        await trusted(peer, pool)
        ends = await all_of(peer, pool, *[f"/{n}" for n in range(6)], timeout=Timeout(5, read=0.3))
        assert isinstance(ends.pop(2), ReadTimeout)
        assert ends == [f"/{n}" for n in range(6) if n != 2]

    async def silent(asked):
        await asyncio.sleep(30)

    play(story, broken_at("/2", silent))


@pytest.mark.parametrize("is_announced", [False, True])
def test_whoever_was_sent_once_and_waits_again_in_vain_is_told_so(is_announced):
    """A `PoolTimeout` would say that the server has seen nothing; one that says `close` may have carried it out."""

    async def story(peer, pool):
        await trusted(peer, pool)
        waits = Timeout(5, pool=0.2, stall=None)
        ends = await all_of(peer, pool, *[f"/{n}" for n in range(4)], timeout=waits)
        (again, *_) = [end for end in ends if isinstance(getattr(end, "__cause__", None), PoolTimeout)]
        assert isinstance(again, ServerDisconnected)
        assert again.sent > 0
        assert again.retry_safe

    async def silent(asked):
        if died_on and asked.peer.accepted > died_on[0]:
            await asyncio.sleep(30)
        is_end = asked.target == "/0"
        if is_end:
            died_on.append(asked.peer.accepted)
            if is_announced:
                asked.send(asked.response("Connection: close"))
                asked.close()
            else:
                asked.reset()
        else:
            echo(asked)
        return is_end

    died_on = []
    play(story, silent)


def test_an_error_says_where_the_request_stood():
    async def story(peer, pool):
        await trusted(peer, pool)
        ends = await all_of(peer, pool, *[f"/{n}" for n in range(6)], timeout=Timeout(5, read=0.3))
        assert "(request 3 of 6 in flight on its connection)" in str(ends[2])

    async def silent(asked):
        await asyncio.sleep(30)

    play(story, broken_at("/2", silent))


def test_a_body_that_never_ends_holds_nobody_up_for_ever(monkeypatch):
    """It comes a byte at a time, within every read timeout."""

    async def drips(asked):
        asked.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            asked.send(b"1\r\nx\r\n")
            await asked.flush()
            await asyncio.sleep(0.02)

    async def story(peer, pool):
        await trusted(peer, pool)
        first = asyncio.create_task(pool.request("GET", f"{peer.url}/drips"))
        await until(lambda: peer.executed["/drips"])
        others = asyncio.create_task(all_of(peer, pool, "/1", "/2", "/3"))
        await until(lambda: pool.stats().piped >= 3)
        assert await others == ["/1", "/2", "/3"]
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first

    monkeypatch.setattr(riding, "LONGEST_STALL", 0.2)
    monkeypatch.setattr("keeppool.pools.pool_tasks.LONGEST_STALL", 0.2)
    play(story, at("/drips", drips), limits=Limits(per_host=2))


def test_somebody_who_boards_late_is_not_held_up_for_ever_either(monkeypatch):
    """The first look at whether the connection stands still has found nobody who rides."""

    async def drips(asked):
        if asked.target == "/gate":
            await gate(asked)
        elif asked.target == "/drips":
            asked.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                asked.send(b"1\r\nx\r\n")
                await asked.flush()
                await asyncio.sleep(0.02)
        else:
            echo(asked)

    async def story(peer, pool):
        await trusted(peer, pool)
        looked = asyncio.Event()
        look = riding.RidingPoolState.pipeline_waited

        def seen(state, connection, now):
            looked.set()
            return look(state, connection, now)

        monkeypatch.setattr(riding.RidingPoolState, "pipeline_waited", seen)
        first, second = (asyncio.create_task(get(peer, pool, path)) for path in ("/first", "/gate"))
        await first
        await looked.wait()
        drips = asyncio.create_task(pool.request("GET", f"{peer.url}/drips"))
        await asyncio.sleep(0)
        gate.is_open.set()
        await second
        await until(lambda: peer.executed["/drips"])
        requeued = pool.stats().requeued
        others = asyncio.create_task(all_of(peer, pool, "/1", "/2"))
        await until(lambda: pool.stats().requeued == requeued + 2)
        drips.cancel()
        assert await others == ["/1", "/2"]

    gate = Gate()
    monkeypatch.setattr(riding, "LONGEST_STALL", 0.2)
    monkeypatch.setattr("keeppool.pools.pool_tasks.LONGEST_STALL", 0.2)
    play(story, drips)


def test_the_total_timeout_of_one_who_waits_for_its_turn_ends_its_wait():
    async def story(peer, pool):
        await trusted(peer, pool)
        first = asyncio.create_task(get(peer, pool, "/gate"))
        await until(lambda: peer.executed["/gate"])
        with pytest.raises(TotalTimeout, match="2 of 2 in flight"):
            await get(peer, pool, "/late", timeout=Timeout(5, total=0.1))
        gate.is_open.set()
        await first
        assert await get(peer, pool, "/next") == "/next"
        assert peer.accepted == 1, "the connection was kept: the late response was thrown away"

    gate = Gate()
    play(story, gate)


def test_whoever_boards_just_as_its_time_is_up_is_told_that_its_request_was_sent():
    """The caller has been woken already, to go with "nothing was sent", when its request goes out after all."""
    gate = Gate()

    async def story(peer, pool):
        await trusted(peer, pool)
        loop = asyncio.get_running_loop()
        first = asyncio.create_task(get(peer, pool, "/gate"))
        await until(lambda: peer.executed["/gate"])
        blocking = asyncio.create_task(pool.request("POST", peer.url + "/post"))
        await until(lambda: pool.stats().waiting == 1)
        began = loop.time()
        late = asyncio.create_task(get(peer, pool, "/late", timeout=Timeout(total=0.05)))
        await until(lambda: pool.stats().waiting == 2)
        # In one turn of the event loop: the one in front gives up its place, the other's time ends, and it may board.
        loop.call_at(began + 0.02, blocking.cancel)
        while loop.time() < began + 0.1:
            pass
        with pytest.raises(TotalTimeout) as caught:
            await late
        gate.is_open.set()
        await asyncio.gather(first, blocking, return_exceptions=True)
        assert caught.value.sent > 0
        await until(lambda: peer.executed["/late"])

    play(story, gate)


def test_whoever_boards_just_as_its_time_is_up_and_has_its_turn_at_once_gets_its_response():
    """The caller has been woken already, to go without one; by then its request is on its way, first on its connection.

    A total timeout is another thing: it ends the request wherever it is.
    """
    gate, held = Gate(), []

    async def manner(asked):
        if asked.target == "/second":
            held.append(asked)
        else:
            await gate(asked)

    async def story(peer, pool):
        await trusted(peer, pool)
        loop = asyncio.get_running_loop()
        first = asyncio.create_task(get(peer, pool, "/gate"))
        await until(lambda: peer.executed["/gate"])
        second = asyncio.create_task(get(peer, pool, "/second"))
        await until(lambda: pool.stats().piped)
        gate.is_open.set()
        await first
        await until(lambda: held)
        (connection,) = pool._pool._state.everything()
        blocking = asyncio.create_task(pool.request("POST", peer.url + "/post"))
        await until(lambda: pool.stats().waiting == 1)
        began = loop.time()
        late = asyncio.create_task(get(peer, pool, "/late", timeout=Timeout(pool=0.05)))
        await until(lambda: pool.stats().waiting == 2)

        def answers():
            """Have the one before it answered, and that found in the kernel before the late one goes on."""
            held[0].send(held[0].response())
            loop.call_soon(connection.stream.came)

        # In one turn of the event loop: the one in front gives up its place, and the late one's time ends. In the next
        # it boards, has its turn, and goes on.
        loop.call_at(began + 0.02, blocking.cancel)
        loop.call_at(began + 0.03, answers)
        while loop.time() < began + 0.1:
            pass
        assert await late == "/late"
        assert await second == "/second"
        assert await get(peer, pool, "/next") == "/next"
        assert (peer.executed["/late"], peer.accepted) == (1, 1)
        await asyncio.gather(blocking, return_exceptions=True)

    play(story, manner)


@pytest.mark.parametrize("who", range(5))
def test_whoever_is_cancelled_the_others_get_their_own_responses(who):
    async def story(peer, pool):
        await trusted(peer, pool)
        paths = ["/gate", "/1", "/2", "/3", "/4"]
        tasks = [asyncio.create_task(get(peer, pool, path)) for path in paths]
        await until(lambda: peer.executed["/gate"] and peer.unread == 4)
        tasks[who].cancel()
        await asyncio.sleep(0)
        gate.is_open.set()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(ends.pop(who), asyncio.CancelledError)
        assert ends == [path for n, path in enumerate(paths) if n != who]
        assert max(peer.executed.values()) <= 2

    gate = Gate()
    play(story, gate)


@pytest.mark.parametrize("count", [6, 8])
def test_what_rides_elsewhere_has_nothing_to_do_with_its_old_connection(count):
    """That one ended in the turn of the loop in which they had boarded it, before anything of theirs was written."""

    async def story(peer, pool):
        await trusted(peer, pool)
        holders = []
        for number in (1, 2):
            holders.append(asyncio.create_task(get(peer, pool, "/gate")))
            await until(lambda number=number: peer.executed["/gate"] == number)
        tasks = [asyncio.create_task(get(peer, pool, f"/{n}")) for n in range(count)]
        holders[1].cancel()  # In the same turn.
        for _ in range(3):
            await asyncio.sleep(0)
        left = tasks[count // 2 : -1]
        for task in left:
            task.cancel()
        await asyncio.sleep(0)
        gate.is_open.set()
        assert await holders[0] == "/gate"
        assert await asyncio.gather(*[task for task in tasks if task not in left])
        await asyncio.gather(holders[1], *left, return_exceptions=True)
        assert not pool.stats().distrusted

    gate = Gate()
    play(story, gate, limits=Limits(per_host=2))


def test_a_rider_that_is_cancelled_before_its_request_has_left_sends_nothing():
    async def story(peer, pool):
        await trusted(peer, pool)
        first = asyncio.create_task(get(peer, pool, "/gate"))
        await until(lambda: peer.executed["/gate"])
        piped = pool.stats().piped
        second = asyncio.create_task(get(peer, pool, "/never"))
        await asyncio.sleep(0)
        assert pool.stats().piped == piped + 1
        second.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await second
        gate.is_open.set()
        await first
        assert peer.executed["/never"] in (0, 1)

    gate = Gate()
    play(story, gate)


def test_the_pool_is_closed_while_requests_are_under_way():
    """What was sent finishes; who waits for room is told."""

    async def story(peer, pool):
        await trusted(peer, pool)
        tasks = [asyncio.create_task(get(peer, pool, path)) for path in ("/gate", *[f"/{n}" for n in range(12)])]
        await until(lambda: peer.executed["/gate"] and peer.unread == 7)
        closing = asyncio.create_task(pool.aclose())
        await asyncio.sleep(0)
        gate.is_open.set()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        await closing
        assert ends[:8] == ["/gate", *[f"/{n}" for n in range(7)]]
        assert all(isinstance(end, PoolClosed) for end in ends[8:])

    gate = Gate()
    play(story, gate)


def test_what_is_refused_because_the_pool_was_closed_is_not_sent():
    """It had boarded in the same turn of the loop, and was to be written in the next."""

    async def story(peer, pool):
        await trusted(peer, pool)
        first = asyncio.create_task(get(peer, pool, "/gate"))
        await until(lambda: peer.executed["/gate"])
        sent = asyncio.create_task(get(peer, pool, "/sent"))
        await until(lambda: peer.unread == 1)
        piped = pool.stats().piped
        refused = asyncio.create_task(get(peer, pool, "/refused"))
        await asyncio.sleep(0)
        assert pool.stats().piped == piped + 1
        await pool.aclose()
        gate.is_open.set()
        assert await asyncio.gather(first, sent) == ["/gate", "/sent"]
        with pytest.raises(PoolClosed):
            await refused
        await until(lambda: not peer._tasks)  # Its connection has ended.
        assert peer.executed["/refused"] == 0

    gate = Gate()
    play(story, gate)


def test_one_resend_for_each_and_never_a_third():
    """A server that ends every connection at the second request: it never gets one request three times."""

    async def story(peer, pool):
        ends = await all_of(peer, pool, *[f"/{n}" for n in range(60)])
        assert max(peer.executed.values()) <= 2
        assert all(isinstance(end, (str, KeepPoolError)) for end in ends)

    play(story, lambda asked: asked.reset() if asked.number == 3 else echo(asked), limits=Limits(per_host=2))


# To be seen


def test_events_tell_who_rode_and_who_had_to_wait_again():
    events = recorded_events()

    async def story(peer, pool):
        await trusted(peer, pool)
        await all_of(peer, pool, *[f"/{n}" for n in range(8)])
        boarded, requeued = events.of(RequestBoarded), events.of(RequestRequeued)
        stats = pool.stats()
        assert len(boarded) == stats.piped
        assert len(requeued) == stats.requeued == 5
        assert {event.spent for event in requeued} == {True}
        assert max(event.place for event in boarded) == 8
        assert len(events.of(ConnectionReused)) == stats.reused
        assert len(events.of(RequestDone)) == 20
        assert all(event.error is None for event in events.of(RequestDone))
        assert len(events.of(RequestServed)) <= stats.queued + stats.requeued

    play(story, broken_at("/2", Asked.close), on_event=events)


def test_what_broke_is_forgiven_after_a_while():
    async def story(peer, pool):
        await trusted(peer, pool)
        await all_of(peer, pool, *[f"/{n}" for n in range(8)])
        credit = next(iter(pool._pool._state.hosts())).credit
        assert credit.is_distrusted(credit.distrusted_until - 1.0)
        assert not credit.is_distrusted(credit.distrusted_until)
        assert DISTRUST == 600.0

    play(story, broken_at("/2", Asked.close))


@pytest.mark.parametrize("value", [0, -1, True, 2.0, "8", None])
def test_what_is_no_number_of_requests_is_refused(value):
    with pytest.raises(ConfigError, match="pipelining"):
        HostConfig(pipelining=value)


def test_over_tls():
    """The same, encrypted: records are no messages."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(server)

    async def told():
        async with asyncio.timeout(20), PipedPeer(broken_at("/40", Asked.close), server) as peer:
            trusting = HostConfig(pipelining=8, verify=False)
            async with AsyncPoolManager(ONE, defaults=trusting) as pool:
                paths = [f"/{n}" for n in range(60)]
                assert await all_of(peer, pool, *paths) == paths
                assert pool.stats().piped > 20
                assert max(peer.executed.values()) <= 2

    asyncio.run(told())
