"""Happy Eyeballs on an event loop: the same turns as on threads, waited for otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket

import pytest
from loops import on_both_loops, turns

from keeppool.net.addresses import Address
from keeppool.net.deadline import Deadline
from keeppool.net.race import RaceLost
from keeppool.net.race_tasks import race

pytestmark = on_both_loops

FOREVER = Deadline(None)
SOON = 0.01
NEVER = 1000.0


def address(host: str, port: int) -> Address:
    return Address(socket.AF_INET, (host, port))


def leave(_: socket.socket) -> None:
    """Prepare nothing."""


def test_the_first_address_wins_if_it_answers(run, serve) -> None:
    one, two = serve(), serve(host="127.0.0.2")
    given = [address(one.host, one.port), address(two.host, two.port)]
    with run(race(given, deadline=FOREVER, prepare=leave)) as sock:
        assert sock.getpeername() == (one.host, one.port)
        assert sock.gettimeout() == 0


def test_a_dead_address_makes_room_at_once(run, serve, closed_port) -> None:
    """The stagger would end after the test's patience."""
    server = serve(host="127.0.0.2")
    given = [address("127.0.0.1", closed_port), address(server.host, server.port)]
    with run(race(given, deadline=FOREVER, prepare=leave, stagger=NEVER)) as sock:
        assert sock.getpeername() == (server.host, server.port)


def test_a_silent_address_gets_a_rival_and_is_closed(run, serve, black_hole, open_files) -> None:
    server = serve(host="127.0.0.2")
    before = open_files()
    given = [address(*black_hole), address(server.host, server.port)]
    with run(race(given, deadline=FOREVER, prepare=leave, stagger=SOON)) as sock:
        assert sock.getpeername() == (server.host, server.port)
    server.seen()
    assert open_files() == before


def test_a_silent_address_may_still_win(run, black_hole_socket, closed_port) -> None:
    """Its queue is emptied while the second address fails; the kernel repeats the SYN after a second."""
    prepared: list[socket.socket] = []

    async def test() -> socket.socket:
        loop = asyncio.get_running_loop()
        black_hole_socket.setblocking(False)

        def accept() -> None:
            black_hole_socket.accept()[0].close()

        given = [address(*black_hole_socket.getsockname()), address("127.0.0.2", closed_port)]
        racing = asyncio.create_task(race(given, deadline=FOREVER, prepare=prepared.append, stagger=SOON))
        while len(prepared) < 2:  # noqa: ASYNC110 - `prepare` is no place for an event of this loop
            await asyncio.sleep(0)
        loop.add_reader(black_hole_socket, accept)
        try:
            return await racing
        finally:
            loop.remove_reader(black_hole_socket)

    with run(test()) as sock:
        assert sock is prepared[0]


@pytest.mark.parametrize("number", [1, 2])
def test_nobody_answers_in_time(run, black_hole, open_files, number) -> None:
    before = open_files()
    with pytest.raises(RaceLost) as lost:
        run(race([address(*black_hole)] * number, deadline=Deadline(0.05), prepare=leave, stagger=NEVER))
    assert lost.value.is_timeout()
    assert (len(lost.value.silent), len(lost.value.untried)) == (1, number - 1)
    assert open_files() == before


@pytest.mark.parametrize("number", [1, 2])
def test_everybody_refuses(run, closed_port, number) -> None:
    given = [address(f"127.0.0.{last}", closed_port) for last in range(1, number + 1)]
    with pytest.raises(RaceLost) as lost:
        run(race(given, deadline=FOREVER, prepare=leave))
    assert lost.value.is_all(errno.ECONNREFUSED)


@pytest.mark.parametrize("number", [1, 3])
def test_a_cancelled_race_closes_its_sockets(run, black_hole, open_files, number) -> None:
    async def test() -> None:
        before = open_files()
        racing = asyncio.create_task(
            race([address(*black_hole)] * number, deadline=FOREVER, prepare=leave, stagger=SOON / 10)
        )
        while open_files() < before + number:  # noqa: ASYNC110 - the kernel sets no event
            await asyncio.sleep(0)
        racing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await racing
        assert open_files() == before
        await turns()

    run(test())
