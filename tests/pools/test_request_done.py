"""`RequestDone`: one for each request, whatever became of it, and all of its time in it; for threads and tasks."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
import requests
import trustme
from net.proxies import SocksProxy, TunnelProxy
from pools.on_a_loop import PoolOnALoop

from keeppool import HostConfig, Limits, PoolManager, Timeout, errors
from keeppool.adapters.requests import KeepPoolAdapter
from keeppool.adapters.urllib3 import PoolManager as DropIn
from keeppool.events import (
    ConnectFailed,
    ConnectionClosed,
    ConnectionOpened,
    ConnectionReused,
    RequestDone,
    RequestQueued,
    RequestResent,
    RequestServed,
    ResponseStarted,
    Room,
)
from keeppool.testing import Behaviour, RawConnection, ScriptedServer, Site

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SILENT = [RawConnection.read_request, RawConnection.read_until_closed]
PARTS = ["blocked_s", "lost_s", "name_s", "connect_s", "proxy_s", "tls_s", "sending_s", "first_byte_s", "receiving_s"]


@pytest.fixture(params=[PoolManager, PoolOnALoop], ids=["threads", "tasks"])
def make(request, recorder):
    def made(*limits, **options):
        return request.param(*limits, on_event=recorder, **options)

    return made


def done(recorder, n: int = 1) -> list[RequestDone]:
    """Give the events that were expected, in the order of their numbers, each whole."""
    found = sorted(recorder.wait_for(RequestDone, n), key=lambda event: event.request)
    assert [event.request for event in found] == list(range(1, n + 1))
    for event in found:
        assert sum(getattr(event, part) or 0.0 for part in PARTS) == pytest.approx(event.total_s, abs=1e-6)
        assert event.waited_s <= event.blocked_s + 1e-6
    return found


def parts(event: RequestDone) -> set[str]:
    """Name the phases that have happened."""
    return {part.removesuffix("_s") for part in PARTS if getattr(event, part) is not None} - {"blocked", "lost"}


def test_a_new_connection_and_a_reused_one(make, recorder):
    with Site() as site, make(Limits(per_host=3)) as pool:
        pool.request("GET", site.url + "/1")
        pool.request("POST", site.url + "/2", body=b"x" * 100)
    first, second = done(recorder, 2)
    assert parts(first) == {"name", "connect", "sending", "first_byte", "receiving"}
    assert parts(second) == {"sending", "first_byte", "receiving"}
    assert (first.method, first.url, first.status) == ("GET", site.url + "/1", 200)
    assert (second.method, second.url, second.served) == ("POST", site.url + "/2", 1)
    assert first.connection == second.connection == 1
    assert (first.peer, first.version, first.reason, first.per_host) == ("127.0.0.1", "1.1", "OK", 3)
    assert first.complete
    assert (first.error, first.waits, first.resent, first.lost_s) == (None, (), 0, 0.0)
    assert second.sent == len(second.request_head) + 100
    assert second.request_head.startswith(b"POST /2 HTTP/1.1\r\n")
    assert b"x" * 100 not in second.request_head
    assert second.received > 0
    assert second.started_at >= first.started_at + first.total_s


def test_its_number_stands_in_all_events_of_the_request(make, recorder):
    with Site() as site, make() as pool:
        pool.request("GET", site.url)
        pool.request("GET", site.url)
    told = {number: {type(event) for event in recorder if getattr(event, "request", 0) == number} for number in (1, 2)}
    assert told[1] == {ConnectionOpened, ResponseStarted, RequestDone}
    assert told[2] == {ConnectionReused, ResponseStarted, RequestDone}


def test_a_large_body_is_counted_whole(make, recorder):
    body = bytes(3_000_000)
    with Site(Behaviour(body=body)) as site, make() as pool:
        assert pool.request("GET", site.url).data == body
    (event,) = done(recorder)
    assert len(body) < event.received < len(body) + 1000


def test_a_refused_connection(make, recorder):
    with make() as pool, pytest.raises(errors.RefusedError):
        pool.request("GET", "http://user:pass@127.0.0.1:1/x@y?a@b")
    (event,) = done(recorder)
    assert (event.error, event.status, event.connection, event.complete) == ("RefusedError", None, None, False)
    assert parts(event) == {"name", "connect"}
    assert event.url == "http://127.0.0.1:1/x@y?a@b"
    assert [failed.request for failed in recorder.of(ConnectFailed)] == [1]


def test_a_server_that_says_nothing(make, recorder):
    with ScriptedServer(SILENT) as server, make() as pool, pytest.raises(errors.ReadTimeout):
        pool.request("GET", server.url, timeout=0.05)
    (event,) = done(recorder)
    assert (event.error, event.status, event.complete) == ("ReadTimeout", None, False)
    assert parts(event) == {"name", "connect", "sending", "first_byte"}
    assert event.first_byte_s > event.sending_s
    assert event.sent > 0
    assert event.received == 0


def test_a_body_that_breaks_off(make, recorder):
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
    broken = pytest.raises(errors.IncompleteBody)
    with ScriptedServer([RawConnection.read_request, half]) as server, make() as pool, broken:
        pool.request("GET", server.url)
    (event,) = done(recorder)
    assert (event.error, event.status, event.complete) == ("IncompleteBody", 200, False)
    assert event.received == len(half)


def test_a_connection_that_speaks_first(make, recorder):
    with ScriptedServer([OK, RawConnection.read_until_closed]) as server, make() as pool:
        try:
            pool.request("GET", server.url)  # What comes a moment too late is taken for the response.
        except errors.ExchangeError as error:
            raised = type(error).__name__
        else:
            raised = None
    last = done(recorder, len(recorder.of(RequestDone)))[-1]
    assert (last.error, last.complete) == (raised, raised is None)


def test_a_request_that_is_resent(make, recorder):
    # Reset when the second request is read: the probe has found it alive.
    first = [RawConnection.read_request, OK, RawConnection.read_request, RawConnection.reset]
    with ScriptedServer(first, [RawConnection.read_request, OK]) as server, make() as pool:
        pool.request("GET", server.url)
        pool.request("GET", server.url)
    first, second = done(recorder, 2)
    assert (second.resent, second.connection, second.served, second.status) == (1, 2, 0, 200)
    assert second.lost_s > 0
    assert parts(second) == {"name", "connect", "sending", "first_byte", "receiving"}
    assert [event.request for event in recorder.of(RequestResent)] == [2]


@pytest.mark.parametrize("ending", ["close", "drop"])
def test_a_streamed_body_nobody_reads(make, recorder, ending, recwarn):
    with Site(Behaviour(body=bytes(3_000_000))) as site, make() as pool:
        response = pool.request("GET", site.url, stream=True)
        assert not recorder.of(RequestDone)
        if ending == "close":
            response.close()
        del response
        pool.stats()
        (event,) = done(recorder)
    assert (event.error, event.status, event.complete) == (None, 200, False)
    assert len(recorder.of(RequestDone)) == 1


def test_the_first_byte_is_the_final_responses(make, recorder):
    steps = [
        RawConnection.read_head,
        b"HTTP/1.1 100 Continue\r\n\r\n",
        RawConnection.read_request,
        b"HTTP/1.1 200 ",
        b"OK\r\nContent-Length: 2\r\n\r\nok",
    ]
    with ScriptedServer(steps) as server, make() as pool:
        pool.request("POST", server.url, headers={"Expect": "100-continue"}, body=b"x" * 100_000)
    (event,) = done(recorder)
    assert event.sent > 100_000
    assert parts(event) == {"name", "connect", "sending", "first_byte", "receiving"}
    assert event.sending_s > 0


@pytest.mark.parametrize(
    ("limits", "room", "limit"), [(Limits(per_host=1), Room.HOST, 1), (Limits(total=1), Room.TOTAL, 1)]
)
def test_callers_that_wait_say_for_what(recorder, limits, room, limit):
    with ScriptedServer(SILENT) as server, PoolManager(limits, on_event=recorder) as pool:
        held = threading.Thread(target=_ignoring, args=(pool, server.url, 0.4))
        held.start()
        recorder.wait_for(ConnectionOpened)
        with pytest.raises(errors.PoolTimeout):
            pool.request("GET", server.url, timeout=Timeout(pool=0.05))
        held.join()
    waited = next(event for event in recorder.of(RequestDone) if event.error == "PoolTimeout")
    assert [(one.room, one.limit) for one in waited.waits] == [(room, limit)]
    assert waited.waited_s == pytest.approx(waited.blocked_s, rel=0.5)
    assert parts(waited) == set()
    assert [event.request for event in recorder.of(RequestQueued)] == [waited.request]


def _ignoring(pool, url, seconds):
    with pytest.raises(errors.KeepPoolError):
        pool.request("GET", url, timeout=seconds)


def test_tasks_that_wait_say_for_what(recorder):
    with Site() as site, PoolOnALoop(Limits(per_host=1), on_event=recorder) as pool:

        async def three():
            await asyncio.gather(*(pool.pool.request("GET", f"{site.url}/{number}") for number in range(3)))

        pool.run(three())
    first, *others = done(recorder, 3)
    assert first.waits == ()
    for event in others:
        assert [(one.room, one.limit) for one in event.waits] == [(Room.HOST, 1)]
        assert event.served > 0
        assert parts(event) == {"sending", "first_byte", "receiving"}
    assert [event.request for event in recorder.of(RequestQueued)] == [2, 3]
    assert [event.request for event in recorder.of(RequestServed)] == [2, 3]


def test_threads_that_wait_behind_a_proxys_cap_say_so(recorder):
    limits = Limits(per_proxy=1)
    with (
        SocksProxy() as proxy,
        Site(Behaviour(body=3_000_000)) as site,
        PoolManager(limits, defaults=HostConfig(proxy=proxy.url), on_event=recorder) as pool,
        pool.request("GET", site.url, stream=True),
        pytest.raises(errors.PoolTimeout),
    ):
        pool.request("GET", "http://127.0.0.2:1/", timeout=Timeout(pool=0.05))
    waited = next(event for event in recorder.of(RequestDone) if event.error == "PoolTimeout")
    assert [(one.room, one.limit) for one in waited.waits] == [(Room.PROXY, 1)]


def test_a_cancelled_task(recorder):
    asked = threading.Event()
    steps = [RawConnection.read_request, lambda _: asked.set(), RawConnection.read_until_closed]
    with ScriptedServer(steps) as server, PoolOnALoop(on_event=recorder) as pool:

        async def cancelled():
            task = asyncio.ensure_future(pool.pool.request("GET", server.url))
            assert await asyncio.to_thread(asked.wait, 10)
            task.cancel()
            await asyncio.wait([task])

        pool.run(cancelled())
    (event,) = done(recorder)
    assert (event.error, event.status, event.complete) == ("CancelledError", None, False)


def test_tls_and_a_tunnel(make, recorder):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with (
        authority.cert_pem.tempfile() as roots,
        Site(tls=context) as site,
        TunnelProxy() as proxy,
        make(defaults=HostConfig(verify=roots, proxy=proxy.url)) as pool,
    ):
        pool.request("GET", site.url)
    (event,) = done(recorder)
    assert parts(event) == {"name", "connect", "proxy", "tls", "sending", "first_byte", "receiving"}


def test_a_mount_for_requests(recorder):
    with Site() as site, requests.Session() as session:
        session.mount("http://", KeepPoolAdapter(on_event=recorder))
        session.get(site.url)
        session.get(site.url)
    assert [event.status for event in done(recorder, 2)] == [200, 200]


def test_the_drop_in_for_urllib3(recorder):
    with Site(Behaviour(body=b"x" * 100_000)) as site, DropIn(on_event=recorder) as pool:
        pool.request("GET", site.url + "/")
        pool.request("GET", site.url + "/")
        with pytest.raises(Exception, match="refused"):
            pool.request("GET", "http://127.0.0.1:1/", retries=False)
    first, second, refused = done(recorder, 3)
    assert parts(first) == {"connect", "sending", "first_byte", "receiving"}
    assert parts(second) == {"sending", "first_byte", "receiving"}
    assert (second.url, second.status, second.complete) == (site.url + "/", 200, True)
    assert second.received > 100_000
    assert (refused.status, refused.connection) == (None, None)
    assert refused.error is not None
    assert parts(refused) == {"connect"}


def test_what_is_secret_is_in_no_repr(make, recorder):
    with Site() as site, make() as pool:
        pool.request("GET", site.url, headers={"Authorization": "hush"})
    (event,) = done(recorder)
    assert b"hush" in event.request_head
    assert "hush" not in repr(event)


def test_a_listener_is_told_what_it_wants_and_nothing_else(make, recorder):
    recorder.wants = {RequestDone, ConnectionClosed}
    with Site() as site, make() as pool:
        for _ in range(3):
            pool.request("GET", site.url)
    assert [type(event) for event in recorder] == [RequestDone] * 3 + [ConnectionClosed]
    assert [event.request for event in done(recorder, 3)] == [1, 2, 3]


def test_who_does_not_want_the_end_of_requests_costs_no_timeline(make, recorder):
    recorder.wants = {ConnectionReused}
    with Site() as site, make() as pool:
        pool.request("GET", site.url)
        pool.request("GET", site.url)
    assert [(type(event), event.request) for event in recorder] == [(ConnectionReused, 0)]


FLAKY = [RawConnection.read_request, OK, RawConnection.read_request, RawConnection.reset]
HALF = [RawConnection.read_request, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"]


def check_crowd(recorder, calls: int) -> None:
    """Each call has one end, with a number of its own and times that add up; and a socket that was opened, if any."""
    ends = done(recorder, calls)
    known = {event.connection for event in recorder.of(ConnectionOpened)}
    for event in ends:
        assert event.connection is None or event.connection in known
        assert (event.status is None) or event.connection is not None
        assert event.complete <= (event.error is None)
    for one, following in pairwise(sorted(ends, key=lambda event: (event.connection or 0, event.begun_at or 0.0))):
        if one.connection == following.connection and one.begun_at is not None and not one.resent:
            assert one.ended_at <= following.begun_at, "a connection serves one request at a time"
    assert {event.request for event in recorder.of(RequestQueued)} <= {event.request for event in ends if event.waits}
    assert any(event.resent for event in ends)
    assert any(event.error for event in ends)


def test_a_crowd_of_threads_has_one_end_each(recorder, recwarn):
    with (
        Site(Behaviour(body=300_000, close_after=7)) as site,
        ScriptedServer(*[FLAKY, HALF] * 60) as flaky,
        PoolManager(Limits(per_host=2, total=3), timeout=Timeout(pool=1, read=2), on_event=recorder) as pool,
    ):

        def call(number):
            try:
                url = f"{(site, flaky)[number % 2].url}/{number}"
                response = pool.request("GET", url, stream=number % 3 == 0)
                if number % 5 == 0:
                    response.read(10)
            except errors.KeepPoolError:
                pass

        with ThreadPoolExecutor(12) as threads:
            list(threads.map(call, range(120)))
        pool.stats()
        check_crowd(recorder, 120)


def test_a_crowd_of_tasks_has_one_end_each_although_many_are_cancelled(recorder, recwarn):
    with (
        Site(Behaviour(body=300_000, close_after=7)) as site,
        ScriptedServer(*[FLAKY, HALF] * 60) as flaky,
        PoolOnALoop(Limits(per_host=2, total=3), timeout=Timeout(pool=1, read=2), on_event=recorder) as pool,
    ):

        async def call(number):
            with contextlib.suppress(errors.KeepPoolError, TimeoutError):
                async with asyncio.timeout(0.004 * (number % 7) if number % 4 == 0 else None):
                    url = f"{(site, flaky)[number % 2].url}/{number}"
                    response = await pool.pool.request("GET", url, stream=number % 3 == 0)
                    await response.aclose()

        async def crowd():
            await asyncio.gather(*map(call, range(120)))

        pool.run(crowd())
        check_crowd(recorder, len(recorder.of(RequestDone)))
        assert len(recorder.of(RequestDone)) <= 120
        assert pool.stats().busy == pool.stats().waiting == 0


def test_requests_that_follow_each_other_on_one_connection_have_a_place(recorder):
    limits, hosts = Limits(per_host=1), HostConfig(pipelining=4)
    with Site(Behaviour(delay_s=0.005)) as site, PoolOnALoop(limits, defaults=hosts, on_event=recorder) as pool:

        async def several():
            for _ in range(3):  # A server is trusted with more when it has answered some.
                await asyncio.gather(*(pool.pool.request("GET", f"{site.url}/{number}") for number in range(6)))

        pool.run(several())
    events = done(recorder, 18)
    assert {event.connection for event in events} == {1}
    assert events[0].position == 0
    assert {event.position for event in events} >= {0, 2}
    behind = [event for event in events if event.position]
    assert all(event.complete and parts(event) == {"sending", "first_byte", "receiving"} for event in behind)
