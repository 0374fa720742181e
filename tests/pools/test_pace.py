"""A host's pace, kept by whole pools: what a server sees, what callers in line are told, and what ends a turn.

Times are bounded from below only: a request may come later than its turn, never earlier.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from email.utils import formatdate
from typing import Any

import pytest
from pools.on_a_loop import PoolOnALoop
from urllib3.exceptions import EmptyPoolError, NewConnectionError

from keeppool import AsyncPoolManager, AsyncSession, HostConfig, Limits, Pace, PoolManager, Session, Timeout
from keeppool.adapters.urllib3 import PoolManager as DropIn
from keeppool.core.pace import LONGEST_HOLD, seconds_until
from keeppool.errors import ConnectError, PoolClosed, PoolTimeout, QueueFull, ReadTimeout, ResolveError, RetryError
from keeppool.events import RequestDone, RequestQueued, RequestServed, Room
from keeppool.requests import Session as RequestsSession
from keeppool.testing import Behaviour, Recorder, Site, Sites
from keeppool.testing.messages import Request

GAP = 0.05
#: An interval no test waits for.
LONG = 300.0

Make = Callable[..., AbstractContextManager[Any]]


@pytest.fixture(params=[PoolManager, PoolOnALoop], ids=["threads", "tasks"])
def make(request: pytest.FixtureRequest) -> Make:
    """A pool for threads, and one for tasks whose calls are made one after another."""
    found: Make = request.param
    return found


def paced(*args: Any, **options: Any) -> HostConfig:
    return HostConfig(pace=Pace(*args, **options))


def line_of(pool: Any) -> Any:
    (line,) = pool.stats().paces.values()
    return line


class Seen(list[Request]):
    """A handler that writes down what a site was asked."""

    def __call__(self, request: Request) -> None:
        self.append(request)


def seconds_for(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def test_requests_start_an_interval_apart(make: Make, sites: Sites) -> None:
    site = sites.add(Behaviour())
    with make(defaults=paced(interval=GAP)) as pool:
        took = seconds_for(lambda: [pool.request("GET", site.url) for _ in range(6)])
        assert took >= 5 * GAP
        assert line_of(pool).started == 6
        assert pool.stats().opened == 1, "no connection is given up for waiting"


def test_a_burst_goes_at_once_and_is_made_up_for(make: Make, sites: Sites) -> None:
    site = sites.add(Behaviour())
    with make(defaults=paced(interval=LONG, burst=3)) as pool:
        for _ in range(3):
            pool.request("GET", site.url, timeout=Timeout(pool=0))
        with pytest.raises(PoolTimeout) as caught:
            pool.request("GET", site.url, timeout=Timeout(pool=0))
        assert caught.value.waits_for == "pace"
        assert caught.value.limited_by == "pool"
        assert f"start {LONG:g} s apart" in str(caught.value)


def test_a_crowd_of_threads_keeps_one_pace(sites: Sites) -> None:
    site = sites.add(Behaviour())
    with PoolManager(defaults=paced(per_second=1 / GAP)) as pool, ThreadPoolExecutor(8) as threads:
        took = seconds_for(lambda: list(threads.map(lambda _: pool.request("GET", site.url), range(16))))
        assert took >= 15 * GAP


def test_a_crowd_of_tasks_keeps_one_pace_and_its_order(sites: Sites) -> None:
    site = sites.add(Behaviour(), handler=(seen := Seen()))

    async def crowd() -> float:
        async with AsyncPoolManager(defaults=paced(interval=GAP)) as pool:
            began = time.monotonic()
            await asyncio.gather(*(pool.request("GET", f"{site.url}/{n}") for n in range(16)))
            return time.monotonic() - began

    assert asyncio.run(crowd()) >= 15 * GAP
    assert [request.target for request in seen] == [f"/{n}" for n in range(16)]


def test_other_hosts_are_not_held_up(make: Make, sites: Sites) -> None:
    slow, quick = sites.add(Behaviour()), sites.add(Behaviour())
    with make(hosts={f"127.0.0.1:{slow.port}": paced(interval=LONG)}) as pool:
        pool.request("GET", slow.url)
        for _ in range(3):
            pool.request("GET", quick.url, timeout=Timeout(pool=0))
        assert list(pool.stats().paces) == [f"127.0.0.1:{slow.port}"]


def test_a_pace_is_the_hosts_whatever_way_requests_go(make: Make, sites: Sites) -> None:
    """Other tags, and other TLS settings, are other connections; the server is the same."""
    site = sites.add(Behaviour())
    with make(defaults=paced(interval=LONG)) as pool:
        pool.request("GET", site.url, host=HostConfig(tag="one"))
        with pytest.raises(PoolTimeout):
            pool.request("GET", site.url, host=HostConfig(tag="two"), timeout=Timeout(pool=0))


def test_a_call_can_go_without_the_pace(make: Make, sites: Sites) -> None:
    site = sites.add(Behaviour())
    with make(defaults=paced(interval=LONG)) as pool:
        for _ in range(3):
            pool.request("GET", site.url, host=HostConfig(pace=None), timeout=Timeout(pool=0))


def test_redirects_and_retries_are_starts_too(sites: Sites) -> None:
    site = sites.add(Behaviour())
    with Session(defaults=paced(interval=GAP)) as session:
        assert seconds_for(lambda: session.get(f"{site.url}/redirect/3")) >= 3 * GAP
    refusing = sites.add(Behaviour(status=500))
    from urllib3.util import Retry

    retry = Retry(3, status_forcelist=[500])
    with Session(defaults=paced(interval=GAP), retries=retry) as session:

        def ask() -> None:
            with pytest.raises(RetryError):
                session.get(refusing.url)

        assert seconds_for(ask) >= 3 * GAP
        assert refusing.requests == 4


def test_counted_from_the_end_there_is_one_request_at_a_time(make: Make, sites: Sites) -> None:
    site = sites.add(Behaviour(), handler=(seen := Seen()))
    with make(defaults=paced(interval=GAP, since="end")) as pool:
        streamed = pool.request("GET", f"{site.url}/bytes/100000", stream=True)
        with pytest.raises(PoolTimeout, match="one request at a time"):
            pool.request("GET", site.url, timeout=Timeout(pool=0.01))
        assert line_of(pool).next_s is None
        if isinstance(pool, PoolOnALoop):
            pool.run(streamed.response.aclose())
        else:
            streamed.close()
        ended = time.monotonic()
        pool.request("GET", site.url)
        assert seen[-1].at >= ended + GAP - 0.01, "an interval from the end"


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_holds_the_whole_host(make: Make, status: int, sites: Sites) -> None:
    site = sites.add(Behaviour(status=status, headers=(("Retry-After", str(int(LONG))),)))
    with make(defaults=paced(interval=0.001)) as pool:
        assert pool.request("GET", site.url).status == status
        with pytest.raises(PoolTimeout, match=r"the Retry-After of 127\.0\.0\.1:") as caught:
            pool.request("GET", site.url, timeout=Timeout(pool=0.01))
        assert caught.value.waits_for == "retry-after"
        assert LONG - 30 < line_of(pool).held_s <= LONG
        assert site.requests == 1


def test_retry_after_may_be_a_date_by_the_servers_clock(make: Make, sites: Sites) -> None:
    headers = (("Date", formatdate(10**9, usegmt=True)), ("Retry-After", formatdate(10**9 + 200, usegmt=True)))
    site = sites.add(Behaviour(status=503, headers=headers))
    with make(defaults=HostConfig(obey_retry_after=True)) as pool:
        pool.request("GET", site.url)
        assert 100 < line_of(pool).held_s <= 200


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        (b"Sun Nov  6 08:49:47 1994", 10.0),
        (b"Sunday, 06-Nov-94 08:49:47 GMT", 10.0),
        (b"Sun, 06 Nov 1994 08:49:47 GMT", 10.0),
        (b"Sun, 06 Nov 1994 08:49:47 -0000", 10.0),
        (b"Sun, 06 Nov 1994 08:49:27 GMT", 0.0),
        (b"00000000000000000007", 7.0),
        (b"9" * 400, LONGEST_HOLD),
        (b"-5", None),
        (b"1.5", None),
        (b"5, 5", None),
        (b"Mon, 99 Foo 9999 99:99:99 GMT", None),
        (b"", None),
    ],
)
def test_retry_after_is_read_alike_in_every_time_zone(
    told: bytes, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "XYZ+5")
    time.tzset()
    try:
        assert seconds_until(told, None, 784111777.0) == seconds
    finally:
        monkeypatch.undo()
        time.tzset()


def test_who_waits_behind_a_pace_is_told_although_its_own_request_has_none(make: Make, sites: Sites) -> None:
    site = sites.add(Behaviour())
    with make() as pool:
        pool.request("GET", site.url, host=paced(interval=LONG))
        with pytest.raises(PoolTimeout, match="pace of an earlier request") as caught:
            pool.request("GET", site.url, host=HostConfig(obey_retry_after=True), timeout=Timeout(pool=0))
        assert caught.value.waits_for == "pace"


def test_a_hold_passes(make: Make, sites: Sites) -> None:
    site = sites.add(Behaviour(status=429, headers=(("Retry-After", "1"),)))
    with make(defaults=HostConfig(obey_retry_after=True)) as pool:
        pool.request("GET", site.url)
        site.behaviour = Behaviour()
        assert seconds_for(lambda: pool.request("GET", site.url)) >= 0.9


def test_a_hold_that_no_pace_says_counts_as_a_standstill(make: Make, sites: Sites) -> None:
    site = sites.add(Behaviour(status=429, headers=(("Retry-After", "100"),)))
    with make(defaults=paced(interval=0.001), timeout=Timeout(stall=0.05)) as pool:
        pool.request("GET", site.url)
        with pytest.raises(PoolTimeout) as caught:
            pool.request("GET", site.url)
        assert caught.value.limited_by == "stall"


def test_an_interval_longer_than_the_stall_timeout_is_no_standstill(make: Make, sites: Sites) -> None:
    site = sites.add(Behaviour())
    with make(defaults=paced(interval=4 * GAP), timeout=Timeout(stall=GAP)) as pool:
        for _ in range(3):
            pool.request("GET", site.url)


@pytest.mark.parametrize(
    "settings", [{"pace": None}, {"pace": Pace(per_second=1000), "obey_retry_after": False}], ids=["no pace", "off"]
)
def test_retry_after_is_not_heard_where_it_is_not_to_be(make: Make, settings: dict[str, Any], sites: Sites) -> None:
    site = sites.add(Behaviour(status=429, headers=(("Retry-After", "100"),)))
    with make(defaults=HostConfig(**settings)) as pool:
        for _ in range(2):
            assert pool.request("GET", site.url, timeout=Timeout(pool=1)).status == 429


def test_the_wait_for_the_turn_and_the_wait_for_a_connection_are_one(sites: Sites) -> None:
    """Of a pool timeout that the line has used up nothing is left for the queue."""
    site = sites.add(Behaviour())
    with PoolManager(Limits(per_host=1), defaults=paced(interval=4 * GAP)) as pool:
        held = pool.request("GET", f"{site.url}/bytes/1000000", stream=True)
        with pytest.raises(PoolTimeout) as caught:
            pool.request("GET", site.url, timeout=Timeout(pool=5 * GAP))
        assert caught.value.waits_for == "connection"
        assert caught.value.waited < 5 * GAP
        held.close()


def test_the_total_timeout_holds_in_line(make: Make, sites: Sites) -> None:
    site = sites.add(Behaviour())
    with make(defaults=paced(interval=LONG)) as pool:
        pool.request("GET", site.url)
        with pytest.raises(PoolTimeout) as caught:
            pool.request("GET", site.url, timeout=Timeout(total=0.05))
        assert caught.value.limited_by == "total"


def test_who_waits_is_told_to_listeners(make: Make, sites: Sites, recorder: Recorder) -> None:
    site = sites.add(Behaviour())
    with make(defaults=paced(interval=GAP), on_event=recorder) as pool:
        for _ in range(2):
            pool.request("GET", site.url)
    (queued,) = recorder.of(RequestQueued)
    assert (queued.waiting, queued.waits_for) == (1, Room.PACE)
    (served,) = recorder.of(RequestServed)
    assert served.waited_s > 0
    first, second = recorder.of(RequestDone)
    assert first.waits == ()
    assert [wait.room for wait in second.waits] == [Room.PACE]
    assert queued.request == served.request == second.request


def test_a_full_queue_counts_those_in_line(sites: Sites, recorder: Recorder) -> None:
    site = sites.add(Behaviour())
    with PoolManager(Limits(waiting=1), defaults=paced(interval=LONG), on_event=recorder) as pool:
        pool.request("GET", site.url)
        threads = ThreadPoolExecutor(1)
        waiter = threads.submit(pool.request, "GET", site.url)
        recorder.wait_for(RequestQueued)
        with pytest.raises(QueueFull):
            pool.request("GET", site.url)
        assert line_of(pool).waiting == 1, "who was refused stands in no line"
        pool.close()
        with pytest.raises(PoolClosed):
            waiter.result()
        threads.shutdown()


def test_closing_the_pool_ends_the_line(sites: Sites, recorder: Recorder) -> None:
    site = sites.add(Behaviour())

    async def close() -> None:
        pool = AsyncPoolManager(defaults=paced(interval=LONG))
        await pool.request("GET", site.url)
        waiting = [asyncio.ensure_future(pool.request("GET", site.url)) for _ in range(3)]
        await asyncio.sleep(0)
        await pool.aclose()
        assert [type(e) for e in await asyncio.gather(*waiting, return_exceptions=True)] == [PoolClosed] * 3

    asyncio.run(close())


def test_a_cancelled_task_leaves_the_line_to_the_next(sites: Sites) -> None:
    site = sites.add(Behaviour(), handler=(seen := Seen()))

    async def cancel() -> None:
        async with AsyncPoolManager(defaults=paced(interval=GAP)) as pool:
            await pool.request("GET", site.url)
            tasks = [asyncio.ensure_future(pool.request("GET", f"{site.url}/{n}")) for n in range(4)]
            await asyncio.sleep(0)
            tasks[0].cancel()
            tasks[2].cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert line_of(pool).waiting == 0

    asyncio.run(cancel())
    assert [request.target for request in seen] == ["/", "/1", "/3"]


def test_a_turn_whose_dial_fails_is_another_callers(make: Make) -> None:
    """More failures than there may be callers under way: none of them stays behind."""
    with Site() as site:
        gone = site.url
    with make(defaults=paced(interval=0.001)) as pool:
        for _ in range(20):
            with pytest.raises(ConnectError):
                pool.request("GET", gone, timeout=Timeout(pool=2))


def test_a_dial_that_fails_counts_as_a_start(make: Make) -> None:
    """A server that refuses is not dialled as quickly as callers can fail; one whose name has no address was not."""
    with Site() as site:
        gone = site.url
    with make(defaults=paced(interval=LONG, burst=2)) as pool:
        for _ in range(2):
            with pytest.raises(ConnectError):
                pool.request("GET", gone, timeout=Timeout(pool=2))
        with pytest.raises(PoolTimeout) as caught:
            pool.request("GET", gone, timeout=Timeout(pool=0.05))
        assert caught.value.waits_for == "pace"
        assert line_of(pool).started == 0
    with make(defaults=paced(interval=LONG)) as pool:
        for _ in range(3):
            with pytest.raises(ResolveError):
                pool.request("GET", "http://no-such-host.invalid", timeout=Timeout(pool=2))


def test_a_dial_of_urllib3s_that_fails_counts_as_a_start() -> None:
    with Site() as site:
        gone = site.url
    with DropIn(hosts={"127.0.0.1": paced(interval=LONG)}) as pool:
        with pytest.raises(NewConnectionError):
            pool.request("GET", gone, retries=False, pool_timeout=2)
        with pytest.raises(EmptyPoolError):
            pool.request("GET", gone, retries=False, pool_timeout=0.05)


def test_a_turn_whose_exchange_fails_has_ended(make: Make, sites: Sites) -> None:
    site = sites.add(Behaviour(delay_s=30))
    with make(defaults=paced(interval=0.001, since="end")) as pool:
        for _ in range(3):
            with pytest.raises(ReadTimeout):
                pool.request("GET", site.url, timeout=Timeout(read=0.02, pool=5))


def test_what_waits_for_a_connection_does_not_come_in_a_heap(sites: Sites) -> None:
    """Six callers whose turn it was meet one connection that is slow; when it is quick again they come apart."""
    site = sites.add(Behaviour(delay_s=8 * GAP))
    with PoolManager(Limits(per_host=1), defaults=paced(interval=GAP)) as pool, ThreadPoolExecutor(8) as threads:
        first = threads.submit(pool.request, "GET", site.url)
        others = [threads.submit(pool.request, "GET", site.url) for _ in range(7)]
        assert first.result().status == 200
        site.behaviour = Behaviour()

        def rest() -> None:
            for one in others:
                one.result()

        # One of them was asked already, and is slow too.
        assert seconds_for(rest) >= 6 * GAP


def test_the_urllib3_drop_in_keeps_a_pace_and_hears_retry_after(sites: Sites) -> None:
    site = sites.add(Behaviour())
    with DropIn(hosts={"127.0.0.1": paced(interval=GAP)}) as pool:
        assert seconds_for(lambda: [pool.request("GET", site.url) for _ in range(4)]) >= 3 * GAP
        site.behaviour = Behaviour(status=503, headers=(("Retry-After", "100"),))
        pool.request("GET", site.url, retries=False)
        with pytest.raises(EmptyPoolError, match="Retry-After"):
            pool.request("GET", site.url, retries=False, pool_timeout=0.01)


def test_a_session_of_either_kind_takes_a_pace(sites: Sites) -> None:
    site = sites.add(Behaviour())
    with RequestsSession(defaults=HostConfig(pace=1 / GAP)) as session:
        assert seconds_for(lambda: [session.get(site.url) for _ in range(3)]) >= 2 * GAP

    async def ask() -> None:
        async with AsyncSession(defaults=HostConfig(pace=1 / GAP)) as tasks:
            for _ in range(3):
                await tasks.get(site.url)

    assert seconds_for(lambda: asyncio.run(ask())) >= 2 * GAP
