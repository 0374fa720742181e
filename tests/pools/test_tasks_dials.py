"""Dials on an event loop: those that hang, those that are begun in the place of something, and life after fork."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import ssl
import sys
import threading
import warnings

import pytest
import trustme
from loop_peer import LoopPeer, until

from keeppool import HostConfig, Limits, Timeout, errors
from keeppool.clock import clock
from keeppool.core.late import LONGEST_SPARE, YOUNG
from keeppool.net.tls import BUILDER
from keeppool.pools.manager_tasks import AsyncPoolManager

try:
    import uvloop
except ImportError:
    uvloop = None

LOOPS = [pytest.param(asyncio.new_event_loop, id="asyncio")]
if uvloop is not None:
    LOOPS.append(pytest.param(uvloop.new_event_loop, id="uvloop"))


class SilentAtFirst:
    """A TLS server that accepts its first connection and says nothing on it, for as long as it lasts."""

    def __init__(self) -> None:
        authority = trustme.CA()
        self.ca = authority.cert_pem.bytes().decode()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self.context)
        self.silent: list[socket.socket] = []
        self.accepted = 0

    async def __aenter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}/"
        self._task = asyncio.create_task(self._serve())
        return self

    async def __aexit__(self, *exc_info):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for sock in (self._listener, *self.silent):
            sock.close()

    async def _serve(self):
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(self._listener)
            self.accepted += 1
            if self.accepted == 1:
                self.silent.append(sock)
            else:
                await loop.connect_accepted_socket(Answering, sock, ssl=self.context)


class Answering(asyncio.Protocol):
    """Answers every piece that comes."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@pytest.fixture
def ca_file(tmp_path):
    return tmp_path / "ca.pem"


@pytest.mark.parametrize("per_host", [1, 6])
@pytest.mark.parametrize("connect", [10.0, None])
def test_a_dial_that_hangs_holds_up_its_own_caller_and_no_other(ca_file, per_host, connect):
    async def main():
        async with SilentAtFirst() as server:
            ca_file.write_text(server.ca)
            defaults = HostConfig(verify=str(ca_file))
            async with AsyncPoolManager(
                Limits(per_host=per_host), defaults=defaults, timeout=Timeout(connect=connect)
            ) as pool:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(1.2 * YOUNG):  # The pool's clock begins a little later.
                        await pool.request("GET", server.url)
                assert pool.stats().connecting == 1
                assert (await pool.request("GET", server.url)).data == b"ok"
                assert server.accepted == 2
                assert pool.stats().peak_open == min(per_host, 2)

    asyncio.run(main())


def test_a_dial_nobody_counts_on_is_ended_by_the_loops_timer_whatever_its_limit():
    async def main():
        async with SilentAtFirst() as server, AsyncPoolManager(timeout=Timeout(connect=None)) as pool:
            task = asyncio.create_task(pool.request("GET", server.url))
            await until(lambda: server.accepted)
            looped = pool._pool
            assert looped._timer is None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert pool.stats().connecting == 1
            seconds = looped._timer.when() - asyncio.get_running_loop().time()
            assert LONGEST_SPARE - 5 < seconds <= LONGEST_SPARE
            looped._state.ticked(looped._state.next_expiry())
            looped._perform()
            await until(lambda: not looped._dials)
            assert pool.stats().open == 0

    asyncio.run(main(), debug=True)


# Eager tasks


@pytest.fixture
def eager():
    if sys.version_info < (3, 12):
        pytest.skip("no eager tasks before Python 3.12")
    return asyncio.eager_task_factory


def test_a_dial_that_fails_at_once_fails_its_caller_once_where_tasks_are_eager(eager, tmp_path):
    async def main():
        asyncio.get_running_loop().set_task_factory(eager)
        async with LoopPeer() as peer:
            nowhere = HostConfig(unix_socket=str(tmp_path / "nobody"))
            async with AsyncPoolManager() as pool:
                for _ in range(3):
                    with pytest.raises(errors.ConnectError):
                        await pool.request("GET", "http://h/", host=nowhere)
                assert not pool._pool._state.orders
                assert pool.stats().connect_failed == 3
                assert (await pool.request("GET", f"{peer.url}/1")).status == 200
                await until(lambda: not pool._pool._dials)

    asyncio.run(main())


def test_a_dial_waits_for_the_close_in_whose_place_it_comes_where_tasks_are_eager(eager, monkeypatch):
    connects = []
    connect = socket.socket.connect_ex

    class Watched(socket.socket):
        def connect_ex(self, address):
            connects.append([sock.fileno() >= 0 for sock in mine])
            mine.append(self)
            return connect(self, address)

    mine = []
    monkeypatch.setattr(socket, "socket", Watched)

    async def main():
        asyncio.get_running_loop().set_task_factory(eager)
        async with LoopPeer() as one, LoopPeer() as other, AsyncPoolManager(Limits(total=1)) as pool:
            for peer in (one, other, one):
                assert (await pool.request("GET", f"{peer.url}/1")).status == 200

    asyncio.run(main())
    assert connects == [[], [False], [False, False]]


# Orders


def test_an_order_that_an_interrupt_ended_is_not_lost_and_not_carried_out_twice():
    """Here the first is a dial, interrupted when it was begun, or before."""

    async def main():
        async with LoopPeer() as peer, AsyncPoolManager(Limits(per_host=1)) as pool:
            looped = pool._pool
            looped.bind()
            for is_begun in (False, True):
                policy = HostConfig(tag=str(is_begun))
                connection = looped._state.requested(*located(pool, peer.url, policy), clock()).dial
                if is_begun:
                    looped._carry_out(looped._state.orders[0])
                looped._state.abandoned(connection.ticket, clock())
                looped._perform()
                assert not looped._state.orders
                assert len(looped._dials) == 1
                await until(lambda: not looped._dials)
            await until(lambda: peer.accepted == 2)
            assert pool.stats().idle == 2

    def located(pool, url, policy):
        route = pool._locate(url, policy).route
        return route.origin, route.policy

    asyncio.run(main())


# Other loops, other processes


def test_a_pool_that_could_not_be_closed_on_another_loop_is_closed_when_it_is_dropped():
    loop = asyncio.new_event_loop()
    peer = loop.run_until_complete(LoopPeer().__aenter__())
    pool = AsyncPoolManager()
    loop.run_until_complete(pool.request("GET", f"{peer.url}/1"))
    with pytest.raises(RuntimeError):
        asyncio.run(pool.aclose())
    assert peer.open == 1
    del pool
    gc.collect()
    loop.run_until_complete(until(lambda: peer.open == 0))
    loop.run_until_complete(peer.__aexit__())
    loop.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("make_loop", LOOPS)
def test_a_forked_child_holds_no_copy_of_a_socket_whatever_the_loop(make_loop):
    """Idle, in use, or of a dial under way; or else the server would not hear of the parent's close."""

    def is_open(number):
        try:
            os.fstat(number)
        except OSError:
            return False
        return True

    async def main():
        async with LoopPeer() as peer, SilentAtFirst() as silent, AsyncPoolManager() as pool:
            await asyncio.gather(*(pool.request("GET", f"{peer.url}/{number}") for number in range(2)))
            held = await pool.request("GET", f"{peer.url}/held/bytes/70000", stream=True)
            dialling = asyncio.create_task(pool.request("GET", silent.url))
            await until(lambda: silent.accepted)
            numbers = [sock.fileno() for sock in pool._pool._sockets]
            assert len(numbers) == 3
            assert all(map(is_open, numbers))
            pid = os.fork()
            if not pid:
                os._exit(1 if any(map(is_open, numbers)) else 0)
            ended = os.waitpid(pid, 0)[1]  # noqa: ASYNC222 - nothing else is to happen meanwhile
            assert os.waitstatus_to_exitcode(ended) == 0
            await held.read()
            assert (await pool.request("GET", f"{peer.url}/after")).reused
            dialling.cancel()
            await asyncio.gather(dialling, return_exceptions=True)

    with warnings.catch_warnings(), asyncio.Runner(loop_factory=make_loop) as runner:
        warnings.simplefilter("ignore", DeprecationWarning)
        runner.run(main())


def test_a_pool_is_closed_while_its_roots_are_still_read(tmp_path):
    """Its trust file is a pipe that nobody has written to yet."""
    pipe = tmp_path / "slow.pem"
    os.mkfifo(pipe)

    async def main():
        pool = AsyncPoolManager(defaults=HostConfig(verify=str(pipe)))
        asking = asyncio.create_task(pool.request("GET", "https://127.0.0.1:1/"))
        writer = await asyncio.to_thread(pipe.open, "wb")
        await pool.aclose()
        with pytest.raises(errors.PoolClosed):
            await asking
        assert pool.stats().open == 0
        return writer

    with asyncio.run(main()):
        pass
    for thread in threading.enumerate():
        if thread.name == BUILDER:
            thread.join(20)
            assert not thread.is_alive()
