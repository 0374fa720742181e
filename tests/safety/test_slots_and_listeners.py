"""Slots under threads, interrupted dials, and listeners that are slow, call back, or raise."""

from __future__ import annotations

import ssl
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from seams import OK, SERVE, OnOpen, assert_settled

from keeppool import HostConfig, Limits, PoolManager, Timeout, errors, events
from keeppool.events import Why
from keeppool.testing import Answer, RawConnection, ScriptedServer

PATIENCE = 20.0


def echo_id(request):
    return Answer(body=request.headers["x-id"].encode())


def test_callers_that_give_up_at_the_instant_of_delivery_lose_no_connection(sites):
    """A wait of a microsecond ends at any point of a hand-over; afterwards every slot is free (Apache, psycopg)."""
    site = sites.add()

    def visit(_):
        try:
            return pool.request("GET", site.url, timeout=Timeout(pool=1e-6)).status
        except errors.PoolTimeout:
            return None

    with PoolManager(Limits(per_host=2)) as pool:
        with ThreadPoolExecutor(10) as threads:
            outcomes = set(threads.map(visit, range(2000)))
        assert outcomes == {200, None}
        assert_settled(pool)
        assert site.opened == pool.stats().open <= 2


def test_no_two_threads_ever_hold_the_same_connection(sites):
    """Each answer carries the id of its own request, though sixteen threads share two connections (curl)."""
    site = sites.add(handler=echo_id)

    def visit(number):
        return pool.request("GET", site.url, headers={"X-Id": str(number)}).data == str(number).encode()

    with PoolManager(Limits(per_host=2)) as pool, ThreadPoolExecutor(16) as threads:
        assert all(threads.map(visit, range(1500)))
        assert site.opened == 2


def test_bursts_open_no_more_sockets_than_the_cap_and_throw_none_away(sites):
    site = sites.add()
    with PoolManager(Limits(per_host=4)) as pool, ThreadPoolExecutor(8) as threads:
        for _ in range(100):
            assert set(threads.map(lambda _: pool.request("GET", site.url).status, range(8))) == {200}
        assert site.opened == pool.stats().open <= 4


def test_a_connection_that_broke_while_it_was_held_gives_its_slot_back():
    unfinished = [RawConnection.read_request, OK[:-1], lambda connection: connection.wait(held), RawConnection.reset]
    held = threading.Event()
    with ScriptedServer(unfinished, SERVE) as server, PoolManager(Limits(per_host=1)) as pool:
        response = pool.request("GET", server.url, stream=True)
        held.set()
        with pytest.raises(errors.ExchangeError):
            response.read()
        assert pool.request("GET", server.url).data == b"ok"
        assert_settled(pool)


class Interrupted(ssl.SSLContext):
    """A context whose first handshake is interrupted before it begins."""

    interruptions = 1

    def wrap_socket(self, *arguments, **options):
        if self.interruptions:
            self.interruptions -= 1
            raise KeyboardInterrupt
        return super().wrap_socket(*arguments, **options)


def test_an_interrupted_dial_gives_its_slot_back(tls_plant):
    context = Interrupted(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(tls_plant.roots)
    host = HostConfig(ssl_context=context)
    with ScriptedServer(SERVE, tls=tls_plant.tls) as server, PoolManager(Limits(per_host=1), defaults=host) as pool:
        with pytest.raises(KeyboardInterrupt):
            pool.request("GET", server.url)
        assert_settled(pool)
        assert pool.request("GET", server.url).data == b"ok"
        assert pool.stats().connect_failed == 1


class ClosesPool(ssl.SSLContext):
    """A context during whose handshake somebody closes the pool."""

    pool: PoolManager

    def wrap_socket(self, *arguments, **options):
        secured = super().wrap_socket(*arguments, **options)
        self.pool.close()
        return secured


def test_a_dial_that_ends_after_the_pool_was_closed_is_closed_too(tls_plant):
    context = ClosesPool(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(tls_plant.roots)
    with ScriptedServer([RawConnection.read_until_closed], tls=tls_plant.tls) as server:
        context.pool = pool = PoolManager(defaults=HostConfig(ssl_context=context))
        with pytest.raises(errors.PoolClosed):
            pool.request("GET", server.url)
        assert_settled(pool)
        assert pool.stats().closed_by[Why.POOL_CLOSED] == 1
    assert server.connections[0].received == b""


def test_a_tls_server_that_never_says_goodbye_holds_nobody_up(tls_plant, sites):
    """Closing does not wait for the peer: the pool is closed while the server has not even read our goodbye."""
    answered = threading.Event()
    script = [RawConnection.read_request, OK, lambda c: c.wait(answered), RawConnection.read_until_closed]
    with ScriptedServer(script, tls=tls_plant.tls) as server:
        with tls_plant.pool() as pool:
            pool.request("GET", server.url)
        assert_settled(pool)
        answered.set()


def test_a_listener_may_ask_and_close_the_pool_it_listens_to(sites):
    """Called back from inside an exchange, it finds no lock held (Chromium, Apache)."""
    site = sites.add()
    asked = []

    def listen(event):
        if isinstance(event, events.ResponseStarted) and not asked:
            asked.append(True)
            asked.append(pool.request("GET", site.url).status)
            pool.close()

    pool = PoolManager(on_event=listen)
    assert pool.request("GET", site.url).status == 200
    assert asked == [True, 200]
    assert_settled(pool)
    assert pool.stats().open == 0


def test_a_slow_listener_holds_up_nobody_else(sites):
    """While one thread is still inside the listener, another one finishes its request."""
    site = sites.add()
    inside, leave = threading.Event(), threading.Event()

    def listen(event):
        if isinstance(event, events.ResponseStarted) and threading.current_thread() is not threading.main_thread():
            inside.set()
            assert leave.wait(PATIENCE)

    with PoolManager(on_event=listen) as pool, ThreadPoolExecutor(1) as other:
        slow = other.submit(pool.request, "GET", site.url)
        try:
            assert inside.wait(PATIENCE)
            assert pool.request("GET", site.url).status == 200
            assert not slow.done()
        finally:
            leave.set()
        assert slow.result(PATIENCE).status == 200


class Complaint(Exception):
    """What a listener of these tests raises."""


ANY_KIND = [
    events.ConnectionOpened,
    events.ConnectionReused,
    events.ResponseStarted,
    events.ConnectionIdle,
    events.ConnectionClosed,
    events.RequestResent,
    events.RequestDone,
]


def requests_with_a_listener_that_raises(kind, error):
    """Make four requests over one slot, one of them resent, with one error in the listener; give what the callers met.

    If the slot were lost, the next request would wait in vain.
    """
    wanted = [kind]

    def listen(event):
        if wanted and isinstance(event, wanted[0]):
            wanted.clear()
            raise error

    dies_unanswered = [RawConnection.read_request, OK, RawConnection.read_request]
    limits, timeout = Limits(per_host=1), Timeout(pool=0.05)
    met = []
    with (
        ScriptedServer(dies_unanswered, SERVE) as server,
        PoolManager(limits, on_event=listen, timeout=timeout) as pool,
    ):
        for _ in range(4):
            try:
                assert pool.request("GET", server.url).data == b"ok"
            except error:
                met.append(error)
        assert not wanted
        assert_settled(pool)
    return met


@pytest.mark.parametrize("kind", ANY_KIND)
def test_a_listener_that_raises_is_logged_and_costs_nothing(kind, caplog):
    assert requests_with_a_listener_that_raises(kind, Complaint) == []
    assert [record.exc_info[0] for record in caplog.records] == [Complaint]


@pytest.mark.parametrize("kind", ANY_KIND)
def test_an_interrupt_in_a_listener_reaches_the_caller_and_costs_no_slot(kind):
    assert requests_with_a_listener_that_raises(kind, KeyboardInterrupt) == [KeyboardInterrupt]


def test_an_interrupt_in_a_listener_leaves_the_queue(sites):
    site = sites.add()

    def listen(event):
        if isinstance(event, events.RequestQueued):
            raise KeyboardInterrupt

    with PoolManager(Limits(per_host=1), on_event=listen) as pool:
        with pool.request("GET", f"{site.url}/bytes/1000000", stream=True), pytest.raises(KeyboardInterrupt):
            pool.request("GET", site.url, timeout=Timeout(pool=0.05))
        assert_settled(pool)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("method", ["probe", "set_timeout", "send", "receive"])
def test_an_interrupt_on_a_reused_connection_frees_its_slot_and_sends_nothing_again(plant, method, error):
    """Whatever is raised where the socket is used: the caller gets it, nobody else pays, nothing goes out twice."""

    def interrupt(*_):
        raise error

    class Interrupting(OnOpen):
        def arm(self, stream):
            if method in ("send", "receive"):
                setattr(stream, method, interrupt)
            else:
                stream.__class__ = type("Broken", (type(stream),), {"__slots__": (), method: interrupt})

    changes = []
    listener = Interrupting(changes.append)
    with ScriptedServer(SERVE, tls=plant.tls) as server, plant.pool(Limits(per_host=1), on_event=listener) as pool:
        listener.pool = pool
        pool.request("GET", server.url)
        listener.arm(changes[0])
        with pytest.raises(error):
            pool.request("GET", server.url, timeout=4)
        assert_settled(pool)
        assert pool.stats().resent == 0
        assert pool.request("GET", server.url, timeout=Timeout(pool=0.05)).data == b"ok"


def test_a_pool_closed_while_a_request_would_go_again_leaves_no_socket_open():
    """The caller gets PoolClosed, and the connection that failed is closed by then."""
    begun, closed = threading.Event(), threading.Event()
    late = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    script = [RawConnection.read_request, OK, RawConnection.read_request]
    script += [lambda _: begun.set(), lambda c: c.wait(closed), late, RawConnection.read_until_closed]
    with ScriptedServer(script) as server, ThreadPoolExecutor(1) as other:
        pool = PoolManager()
        pool.request("GET", server.url)
        request = other.submit(pool.request, "GET", server.url)
        assert begun.wait(PATIENCE)
        (connection,) = pool._pool._state.everything()
        pool.close()
        closed.set()
        with pytest.raises(errors.PoolClosed):
            request.result(PATIENCE)
        assert connection.stream.sock.fileno() == -1
        assert_settled(pool)
