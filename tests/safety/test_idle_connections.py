"""What happens to a connection between two requests: closed, reset, written to, aged."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest
from seams import OK, SERVE, OnOpen, answer_once_then, assert_settled, stream_of

from keeppool import Limits, PoolManager, Timeout, errors
from keeppool.clock import clock
from keeppool.events import ConnectionClosed, ConnectionIdle, RequestResent, Why
from keeppool.testing import RawConnection, ScriptedServer

POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
LATE_408 = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def wait_for_bytes(stream):
    """Wait until something has come on a socket that nobody reads; the janitor may have closed it by then."""
    with contextlib.suppress(ValueError):
        assert stream.wait_readable(5)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_answer_sent_on_an_idle_connection_is_never_handed_out(plant, method):
    """Any time later: the next request meets bytes that are there, and goes over another connection (undici's CVE)."""
    idle = threading.Event()
    poison = [RawConnection.read_request, OK, lambda c: c.wait(idle), POISON, RawConnection.read_until_closed]
    with ScriptedServer(poison, SERVE, tls=plant.tls) as server, plant.pool() as pool:
        pool.request("GET", server.url)
        stream = stream_of(pool, 1)
        if stream.is_tls:
            stream.probe()  # the session tickets are read, what is readable now is the poison
        idle.set()
        wait_for_bytes(stream)
        assert pool.request(method, server.url + "/2").data == b"ok"
        assert len(server.connections) == 2
        assert pool.stats().closed_by[Why.UNASKED_DATA] == 1


def test_an_answer_sent_before_the_first_request_is_never_handed_out(plant):
    """What is there before the request goes out cannot be its answer, on a new connection as on an old one."""

    def wait(stream):
        if stream.is_tls:
            sent.wait(5)
        wait_for_bytes(stream)

    sent = threading.Event()
    hasty = [POISON, lambda _: sent.set(), RawConnection.read_until_closed]
    listener = OnOpen(wait)
    with ScriptedServer(hasty, tls=plant.tls) as server, plant.pool(on_event=listener) as pool:
        listener.pool = pool
        with pytest.raises(errors.ConnectionError):
            pool.request("GET", server.url)
        assert_settled(pool)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_408_that_was_sent_on_an_idle_connection_reaches_nobody(plant, method):
    """It says that the server is tired of waiting; a POST too goes over a new connection, as nothing was sent."""
    idle = threading.Event()
    tired = [RawConnection.read_request, OK, lambda connection: connection.wait(idle), LATE_408]
    with ScriptedServer(tired, SERVE, tls=plant.tls) as server, plant.pool() as pool:
        pool.request("GET", server.url)
        stream = stream_of(pool, 1)
        idle.set()
        assert server.wait_for(lambda: server.connections[0]._socket.fileno() == -1)
        wait_for_bytes(stream)
        assert pool.request(method, server.url, body=b"x" if method == "POST" else None).data == b"ok"
        assert [request.method for request in server.requests] == ["GET", method]


@pytest.mark.parametrize("end", [RawConnection.cut, RawConnection.reset])
def test_a_close_on_the_first_byte_of_a_request_costs_an_idempotent_one_nothing(plant, recorder, end):
    """The close crosses the request on its way; no look before sending can see it (Chromium 105824)."""
    script = [RawConnection.read_request, OK, lambda connection: connection._socket.recv(1), end]
    with ScriptedServer(script, SERVE, tls=plant.tls) as server, plant.pool(on_event=recorder) as pool:
        pool.request("GET", server.url)
        assert pool.request("GET", server.url).data == b"ok"
        assert len(recorder.of(RequestResent)) == 1


def test_a_close_on_the_first_byte_of_a_post_is_its_callers_to_judge(plant):
    script = [RawConnection.read_request, OK, lambda connection: connection._socket.recv(1), RawConnection.reset]
    with ScriptedServer(script, SERVE, tls=plant.tls) as server, plant.pool() as pool:
        pool.request("GET", server.url)
        with pytest.raises(errors.ExchangeError) as raised:
            pool.request("POST", server.url, body=b"pay")
        assert (raised.value.sent > 0, raised.value.retry_safe) == (True, False)
        assert len(server.connections) == 1


def test_resets_of_all_idle_connections_are_noticed_and_harm_nobody(sites, recorder):
    """Of twenty hosts, without another request; the process and the pool go on (Node 3595, hyper 2fa0c845)."""
    all_hosts = [sites.add(host=f"127.0.2.{number}") for number in range(1, 21)]
    with PoolManager(on_event=recorder) as pool:
        for site in all_hosts:
            pool.request("GET", site.url)
        for site in all_hosts:
            site.drop_idle(reset=True)
        recorder.wait_for(ConnectionClosed, n=20)
        assert pool.stats().open == 0
        assert pool.stats().hosts == {}
        assert pool.request("GET", all_hosts[0].url).status == 200


def test_a_connection_used_a_moment_ago_is_looked_at_all_the_same(sites):
    """There is no time after a look within which another one is spared: a POST never meets the close (curl)."""
    site = sites.add()
    with PoolManager() as pool:
        for _ in range(20):
            assert pool.request("POST", site.url, body=b"x").status == 200
            site.drop_idle()
        assert pool.stats().resent == 0
        assert site.requests == 20


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="no clock here that runs on during suspend")
def test_idle_time_goes_on_while_the_machine_sleeps():
    assert clock.args == (time.CLOCK_BOOTTIME,)


def test_a_connection_that_looks_an_hour_old_is_not_used_again(sites):
    """As after a suspend: the clock has gone on, the socket has heard nothing (Go 29308)."""
    site = sites.add()
    with PoolManager() as pool:
        pool.request("GET", site.url)
        (idle,) = pool._pool._state.idle_connections()
        idle.read_at -= 3600
        idle.expires_at -= 3600
        assert not pool.request("GET", site.url).reused
        assert pool.stats().closed_by[Why.IDLE_TIMEOUT] == 1


def test_a_hinted_second_does_not_become_the_next_requests_timeout():
    """The hint says how long the connection may be idle, not how long an answer may take (Node 53458)."""
    hinted = OK.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=1\r\n\r\n")
    with ScriptedServer([RawConnection.read_request, hinted] * 2) as server, PoolManager(timeout=7) as pool:
        for _ in range(2):
            pool.request("GET", server.url)
        assert stream_of(pool, 1).timeout == 7


def test_without_configuration_an_idle_connection_expires_before_common_servers_tire(sites, recorder):
    """A minute is what load balancers wait, IIS and curl's servers two: 55 s is below all (curl e649432e72)."""
    site = sites.add()
    with PoolManager(on_event=recorder) as pool:
        pool.request("GET", site.url)
        (idle,) = recorder.of(ConnectionIdle)
        assert idle.idle_limit_s == Limits().idle_timeout == 55


def test_fifty_hosts_that_hung_up_are_cleared_away_by_one_look(sites):
    several = [sites.add(host=f"127.0.3.{number}") for number in range(1, 51)]
    with PoolManager() as pool:
        for site in several:
            pool.request("GET", site.url)
            site.drop_idle()
        assert pool._pool.sweep() is False
        assert pool.stats().hosts == {}


def test_a_host_that_answers_again_after_a_restart_costs_one_resend(recorder):
    """Six idle connections die with the server at the moment of the next request: one of them finds out for all."""
    held = threading.Event()
    dying = [RawConnection.read_request, OK, RawConnection.read_request]
    limits = Limits(per_host=6)
    with (
        ScriptedServer(
            *[[RawConnection.read_request, OK[:-1], lambda c: c.wait(held), OK[-1:], *dying[2:]]] * 6, SERVE
        ) as server,
        PoolManager(limits, on_event=recorder, timeout=Timeout(read=5)) as pool,
    ):
        responses = [pool.request("GET", server.url, stream=True) for _ in range(6)]
        held.set()
        assert [response.data for response in responses] == [b"ok"] * 6
        assert pool.stats().idle == 6
        assert pool.request("GET", server.url).data == b"ok"
        assert len(recorder.of(RequestResent)) == 1
        assert (pool.stats().open, len(server.connections)) == (1, 7)


def test_the_script_of_these_tests_serves_before_it_dies():
    """Or else the tests above would prove nothing."""
    with ScriptedServer(answer_once_then(OK)) as server, PoolManager() as pool:
        assert [pool.request("GET", server.url).data for _ in range(2)] == [b"ok", b"ok"]
        assert len(server.connections) == 1
