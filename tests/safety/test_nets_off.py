"""Each safety net switched off in turn: the others still hold.

The nets: the hints (nothing is sent after the stated end), the look before each reuse, the one resend. Without the look
a close is only met by the request itself; without the resend only the look stands between a close and the caller.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from seams import OK, OnOpen, answer_once_then, assert_settled, blind

from keeppool import HostConfig, Limits, PoolManager, errors
from keeppool.events import Why
from keeppool.testing import Behaviour, RawConnection, ScriptedServer

ENDS = pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])


def blind_pool(plant, *arguments, **options) -> PoolManager:
    """Open a pool whose connections always say that they are alive."""
    listener = OnOpen(blind)
    pool = listener.pool = plant.pool(*arguments, on_event=listener, **options)
    return pool


@ENDS
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_without_the_look_an_idempotent_request_still_sees_no_error(plant, sites, method, reset):
    site = sites.add(tls=plant.tls)
    with blind_pool(plant) as pool:
        for _ in range(10):
            assert pool.request(method, site.url).status == 200
            site.drop_idle(reset=reset)
        assert pool.stats().resent + pool.stats().closed_by[Why.PEER_CLOSED] >= 9
        assert_settled(pool)


@ENDS
def test_without_the_look_no_post_is_carried_out_twice(plant, sites, reset):
    """Those that meet a close fail, or go again where not a byte had left; each is carried out once at the most."""
    site = sites.add(tls=plant.tls)
    answered, failed = set(), []
    with blind_pool(plant) as pool:
        for number in range(20):
            try:
                pool.request("POST", site.url, body=b"pay", headers={"X-Request-Id": str(number)})
                answered.add(str(number))
            except errors.ExchangeError as error:
                failed.append(error)
            site.drop_idle(reset=reset)
        assert_settled(pool)
    assert all(error.sent > 0 and not error.retry_safe for error in failed)
    assert set(site.executed.values()) == {1}
    assert answered == set(site.executed)


def test_without_the_look_a_server_that_carries_out_and_dies_gets_each_post_once(plant):
    """Learning is off too: it would give later ones a new connection."""
    with (
        ScriptedServer(answer_once_then(RawConnection.cut), tls=plant.tls) as server,
        blind_pool(plant, Limits(learn=False)) as pool,
    ):
        for number in range(10):
            headers = {"X-Id": str(number)}
            if number % 2:
                with pytest.raises(errors.ServerDisconnected):
                    pool.request("POST", server.url, body=b"pay", headers=headers)
            else:
                pool.request("POST", server.url, body=b"pay", headers=headers)
        assert [request.headers["x-id"] for request in server.requests] == [str(number) for number in range(10)]


def test_without_the_look_a_restart_costs_one_resend_and_clears_the_shelf(plants, sites):
    """Not one attempt for each dead connection: the first tells of all that are as old."""
    site = sites.add()
    site.pause()
    with blind_pool(plants["plain"], Limits(per_host=6)) as pool, ThreadPoolExecutor(6) as threads:
        requests = [threads.submit(pool.request, "GET", site.url) for _ in range(6)]
        assert site.wait_for(lambda: site.requests == 6)
        site.resume()
        assert {request.result(20).status for request in requests} == {200}
        site.drop_idle()
        assert pool.request("GET", site.url).status == 200
        assert pool.stats().resent <= 1
        assert pool.stats().open == 1


def without_hints(site_behaviour: Behaviour) -> Behaviour:
    """Let a site close as it had announced, but not announce it: what a client sees that does not listen."""
    return replace(site_behaviour, hint_timeout=None, hint_max=None, close_after=site_behaviour.hint_max)


@pytest.mark.parametrize("style", ["left", "constant"])
@pytest.mark.parametrize("hints", [True, False], ids=["with hints", "without"])
def test_without_hints_the_look_and_the_resend_keep_idempotent_requests_from_harm(plant, sites, hints, style):
    announced = Behaviour(hint_timeout=5, hint_max=3, hint_style=style)
    site = sites.add(announced if hints else without_hints(announced), tls=plant.tls)
    with plant.pool(Limits(per_host=2)) as pool, ThreadPoolExecutor(4) as threads:
        statuses = list(threads.map(lambda _: pool.request("GET", site.url).status, range(60)))
        assert statuses == [200] * 60
        assert site.late == 0
        assert_settled(pool)


def test_without_hints_and_look_the_resend_alone_keeps_idempotent_requests_from_harm(plant, sites):
    site = sites.add(Behaviour(close_after=2), tls=plant.tls)
    with blind_pool(plant) as pool:
        assert {pool.request("GET", site.url).status for _ in range(40)} == {200}
        assert_settled(pool)


@ENDS
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_the_resend_the_look_alone_keeps_requests_from_harm(plant, sites, method, reset):
    """`idempotent=False` forbids to resend what has left; a close that is there before the request needs no resend."""
    site = sites.add(tls=plant.tls)
    never_again = HostConfig(idempotent=False)
    with plant.pool() as pool:
        for _ in range(10):
            assert pool.request(method, site.url, host=never_again).status == 200
            site.drop_idle(reset=reset)
            if plant.tls is not None:
                wait_until_seen(pool)
        assert pool.stats().resent == 0
        assert_settled(pool)


def wait_until_seen(pool: PoolManager) -> None:
    """Wait until the close has come through TLS: the site's own goodbye takes some turns of its loop."""
    for connection in pool._pool._state.idle_connections():
        with contextlib.suppress(ValueError):  # the janitor has closed it already
            assert connection.stream.wait_readable(5)


@pytest.mark.parametrize("style", ["left", "constant"])
def test_without_look_and_resend_the_hints_alone_keep_every_request_from_harm(plant, sites, style):
    """A server that means what it announces never closes under a client that listens; POSTs included."""
    site = sites.add(Behaviour(hint_timeout=5, hint_max=4, hint_style=style), tls=plant.tls)
    with blind_pool(plant) as pool:
        never_again = HostConfig(idempotent=False)
        for number in range(40):
            pool.request("POST" if number % 2 else "GET", site.url, host=never_again)
        assert (pool.stats().resent, site.late, site.requests) == (0, 0, 40)
        assert pool.stats().closed_by[Why.PEER_CLOSED] == 0


def test_the_nets_are_off(sites):
    """Or else the tests above would prove nothing: without look and resend a close reaches the caller."""
    script = [RawConnection.read_request, OK, RawConnection.cut]
    with ScriptedServer(script) as server:
        listener = OnOpen(blind)
        with PoolManager(on_event=listener) as pool:
            listener.pool = pool
            pool.request("GET", server.url)
            assert server.wait_for(lambda: server.connections[0]._socket.fileno() == -1)
            with pytest.raises(errors.ServerDisconnected):
                pool.request("GET", server.url, host=HostConfig(idempotent=False))
