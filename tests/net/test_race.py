"""Happy Eyeballs on real sockets: dead, silent and living addresses."""

from __future__ import annotations

import contextlib
import errno
import signal
import socket
import threading

import pytest

from keeppool.net.addresses import Address
from keeppool.net.deadline import LONGEST_WAIT, Deadline
from keeppool.net.race import RaceLost, race

FOREVER = Deadline(None)
SOON = 0.01
NEVER = 1000.0


#: One address is dialled without a race, several race.
each_number = pytest.mark.parametrize("number", [1, 2])


def address(host: str, port: int) -> Address:
    return Address(socket.AF_INET6 if ":" in host else socket.AF_INET, (host, port))


def leave(_: socket.socket) -> None:
    """Prepare nothing."""


def test_the_first_address_wins_if_it_answers(serve) -> None:
    """No second attempt is made: the other server never sees a connection."""
    one, two = serve(), serve(host="127.0.0.2")
    with race([address(one.host, one.port), address(two.host, two.port)], deadline=FOREVER, prepare=leave) as sock:
        assert sock.getpeername() == (one.host, one.port)
        assert sock.gettimeout() is None
    assert one.seen() == b""
    with socket.create_connection((two.host, two.port)) as probe:
        probe.sendall(b"first")
    assert two.seen() == b"first"


def test_a_dead_address_makes_room_at_once(serve, closed_port) -> None:
    """The stagger would end after the test's patience."""
    server = serve(host="127.0.0.2")
    given = [address("127.0.0.1", closed_port), address(server.host, server.port)]
    with race(given, deadline=FOREVER, prepare=leave, stagger=NEVER) as sock:
        assert sock.getpeername() == (server.host, server.port)


def test_a_silent_address_is_overtaken_after_the_stagger(serve, black_hole) -> None:
    server = serve(host="127.0.0.2")
    given = [address(*black_hole), address(server.host, server.port)]
    with race(given, deadline=FOREVER, prepare=leave, stagger=SOON) as sock:
        assert sock.getpeername() == (server.host, server.port)


def test_a_silent_address_is_left_its_head_start(serve, black_hole) -> None:
    """With a stagger longer than the deadline the second address is not tried, and the error says so."""
    server = serve(host="127.0.0.2")
    given = [address(*black_hole), address(server.host, server.port)]
    with pytest.raises(RaceLost) as lost:
        race(given, deadline=Deadline(0.05), prepare=leave, stagger=NEVER)
    assert str(lost.value) == "127.0.0.1: no answer; 127.0.0.2: not tried"
    assert lost.value.is_timeout()


def test_families_race_each_other(serve, closed_port) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    server = serve(host="::1")
    given = [address("127.0.0.1", closed_port), address("::1", server.port)]
    with race(given, deadline=FOREVER, prepare=leave) as sock:
        assert sock.family == socket.AF_INET6


def test_all_dead_names_every_address_and_keeps_the_first_error(closed_port) -> None:
    given = [address(f"127.0.0.{last}", closed_port) for last in (1, 2, 3)]
    with pytest.raises(RaceLost) as lost:
        race(given, deadline=FOREVER, prepare=leave)
    assert str(lost.value) == "; ".join(f"127.0.0.{last}: Connection refused" for last in (1, 2, 3))
    assert lost.value.is_all(errno.ECONNREFUSED)
    assert lost.value.cause is lost.value.failures[0][1]
    assert not lost.value.is_timeout()


def test_a_later_failure_does_not_end_an_attempt_under_way(closed_port, black_hole) -> None:
    """The race goes on for the silent one until the deadline, and reports both."""
    given = [address(*black_hole), address("127.0.0.2", closed_port)]
    with pytest.raises(RaceLost, match=r"127\.0\.0\.2: Connection refused; 127\.0\.0\.1: no answer") as lost:
        race(given, deadline=Deadline(0.1), prepare=leave, stagger=SOON)
    assert not lost.value.is_all(errno.ECONNREFUSED)
    assert isinstance(lost.value.cause, ConnectionRefusedError)


def test_the_kernels_own_patience_is_a_timeout_too() -> None:
    """After two minutes Linux gives up a connect by itself; nobody waits for that here."""
    gone, other = OSError(errno.ETIMEDOUT, "timed out"), OSError(errno.EHOSTUNREACH, "no route")
    one, two = address("127.0.0.1", 80), address("127.0.0.2", 80)
    assert RaceLost([(one, gone), (two, gone)], [], []).is_timeout()
    assert not RaceLost([(one, gone), (two, other)], [], []).is_timeout()


@each_number
def test_a_deadline_that_has_passed_tries_nothing(serve, number) -> None:
    server = serve()
    with pytest.raises(RaceLost, match="not tried") as lost:
        race([address(server.host, server.port)] * number, deadline=Deadline(0), prepare=leave)
    assert len(lost.value.untried) == number
    assert isinstance(lost.value.cause, TimeoutError)


@each_number
def test_a_socket_that_cannot_be_prepared_counts_as_a_failed_address(serve, number, open_files) -> None:
    """A source address this machine does not have (192.0.2.0/24 is for documentation)."""
    server = serve()
    before, given = open_files(), [address(server.host, server.port)] * number
    with pytest.raises(RaceLost) as lost:
        race(given, deadline=FOREVER, prepare=lambda sock: sock.bind(("192.0.2.1", 0)))
    assert open_files() == before
    assert lost.value.is_all(errno.EADDRNOTAVAIL)


def test_a_family_this_machine_lacks_counts_as_a_failed_address(serve) -> None:
    server = serve()
    given = [Address(9999, ("nowhere", 0)), address(server.host, server.port)]
    with race(given, deadline=FOREVER, prepare=leave, stagger=NEVER) as sock:
        assert sock.getpeername() == (server.host, server.port)


def test_a_family_that_is_the_only_one_and_lacks_here_is_a_failure() -> None:
    with pytest.raises(RaceLost) as lost:
        race([Address(9999, ("nowhere", 0))], deadline=FOREVER, prepare=leave)
    assert lost.value.is_all(errno.EAFNOSUPPORT)


def test_the_only_address_that_is_silent_is_told_so(black_hole, open_files) -> None:
    before = open_files()
    with pytest.raises(RaceLost) as lost:
        race([address(*black_hole)], deadline=Deadline(0.05), prepare=leave)
    assert str(lost.value) == "127.0.0.1: no answer"
    assert lost.value.is_timeout()
    assert open_files() == before


@each_number
def test_a_socket_that_met_itself_was_refused(number) -> None:
    """TCP connects a socket to itself when its own port is the one dialled."""
    with socket.socket() as finder:
        finder.bind(("127.0.0.1", 0))
        port = finder.getsockname()[1]
    with pytest.raises(RaceLost) as lost:
        race(
            [address("127.0.0.1", port)] * number,
            deadline=FOREVER,
            prepare=lambda sock: sock.bind(("127.0.0.1", port)),
        )
    assert lost.value.failures[0][1].errno == errno.ECONNREFUSED, "of a second one the port is still taken"


def test_losers_are_closed(serve, black_hole, open_files) -> None:
    server = serve(host="127.0.0.2")
    before = open_files()
    given = [address(*black_hole), address(*black_hole), address(server.host, server.port)]
    with race(given, deadline=FOREVER, prepare=leave, stagger=SOON):
        pass
    assert server.seen() == b""
    assert open_files() == before


@each_number
def test_an_interrupted_race_closes_its_sockets(black_hole, open_files, number) -> None:
    """Control-C while the race waits."""
    before = open_files()
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(KeyboardInterrupt):
            race([address(*black_hole)] * number, deadline=FOREVER, prepare=leave)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert open_files() == before


def test_a_silent_address_may_still_win(black_hole_socket, closed_port) -> None:
    """Its queue is emptied while the second address fails; the kernel repeats the SYN after a second."""
    drain = threading.Thread(target=accept_all, args=(black_hole_socket,))
    prepared: list[socket.socket] = []

    def drain_at_the_second(sock: socket.socket) -> None:
        prepared.append(sock)
        if len(prepared) == 2:
            drain.start()

    given = [address(*black_hole_socket.getsockname()), address("127.0.0.2", closed_port)]
    with race(given, deadline=FOREVER, prepare=drain_at_the_second, stagger=SOON) as sock:
        assert sock is prepared[0]
    black_hole_socket.shutdown(socket.SHUT_RDWR)
    drain.join(20)
    assert not drain.is_alive()


def accept_all(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            listener.accept()[0].close()


@pytest.mark.parametrize("timeout", [None, float("inf"), LONGEST_WAIT * 2])
def test_a_deadline_too_far_for_the_operating_system_is_none(timeout) -> None:
    """`settimeout` and `poll` would raise OverflowError for more than 24 days."""
    assert Deadline(timeout).left() is None


def test_a_deadline_counts_down_and_then_raises() -> None:
    left = Deadline(50).left()
    assert left is not None
    assert 0 < left <= 50
    with pytest.raises(TimeoutError):
        Deadline(0).left()
