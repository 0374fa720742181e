"""Connecting to whichever address of a host answers first, within a deadline (Happy Eyeballs).

Decides: when the next address is tried beside those that have not answered yet, and who has won.
Knows: non-blocking connects and `poll`. Waits for threads; for event loops
`race_tasks.py` does, with the same `Attempts`.
Does not know: names, TLS, proxies, which of keeppool's errors a failure becomes.

Source: RFC 8305 §5 (connection attempts), §8 (configurable values).
"""

from __future__ import annotations

import errno
import math
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Self

from keeppool.clock import clock
from keeppool.closing import Closing
from keeppool.net.addresses import Address
from keeppool.net.deadline import Deadline
from keeppool.net.polls import WRITABLE, poller

#: Seconds before the next address is tried beside a silent one. RFC 8305 §8: "Connection Attempt Delay", recommended
#: 250 ms, never below 10 ms. curl waits 200 ms, Go 300 ms, aiohttp, anyio and trio 250 ms.
STAGGER = 0.25


#: What `connect_ex` of a non-blocking socket says of a connect that goes on. Windows has a number of its own; there
#: EINPROGRESS means something else.
UNDER_WAY: int = getattr(errno, "WSAEWOULDBLOCK", errno.EINPROGRESS)


class RaceLost(OSError):
    """No address could be connected to.

    Attributes:
        failures: Each address that answered badly, with its error, in the order the answers came.
        silent: Addresses that had not answered when the time was up.
        untried: Addresses whose turn had not come when the time was up.
    """

    def __init__(
        self, failures: Iterable[tuple[Address, OSError]], silent: Iterable[Address], untried: Iterable[Address]
    ) -> None:
        self.failures = tuple(failures)
        self.silent = tuple(silent)
        self.untried = tuple(untried)
        answers = [f"{address}: {error.strerror or error}" for address, error in self.failures]
        answers += [f"{address}: no answer" for address in self.silent]
        answers += [f"{address}: not tried" for address in self.untried]
        super().__init__("; ".join(answers))

    @property
    def cause(self) -> OSError:
        """The first thing the operating system said, or a TimeoutError if it said nothing."""
        return self.failures[0][1] if self.failures else TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))

    def is_timeout(self) -> bool:
        """Tell whether time ran out: ours, or the kernel's own patience with every address."""
        return bool(self.silent or self.untried) or self.is_all(errno.ETIMEDOUT)

    def is_all(self, number: int) -> bool:
        """Tell whether every address answered, and with this `errno`."""
        unanswered = self.silent or self.untried or not self.failures
        return not unanswered and all(error.errno == number for _, error in self.failures)


def race(
    addresses: Sequence[Address],
    *,
    deadline: Deadline,
    prepare: Callable[[socket.socket], None],
    stagger: float = STAGGER,
) -> socket.socket:
    """Connect to the first address that answers.

    A silent address gets a head start of `stagger`, then the next one runs beside it; a failed one makes room at
    once. All attempts but the winner's are closed, whatever ends the race.

    Args:
        addresses: In the order they are to be tried.
        deadline: The end of the race.
        prepare: Called with each new socket before it connects: to bind it, to set options.
        stagger: Seconds.

    Returns:
        A connected socket in blocking mode.

    Raises:
        RaceLost: No address answered well. Every socket is closed.

    Source: RFC 8305 §5.
    """
    if len(addresses) != 1:
        return _first_of(addresses, deadline, prepare, stagger)
    with Alone(addresses[0], deadline, prepare) as attempt:
        attempt.sock.settimeout(attempt.left)
        attempt.sock.connect(addresses[0].target)
        attempt.sock.settimeout(None)
    return attempt.sock


def _first_of(
    addresses: Sequence[Address], deadline: Deadline, prepare: Callable[[socket.socket], None], stagger: float
) -> socket.socket:
    with Attempts(addresses, prepare) as attempts:
        for seconds in attempts.turns(deadline, stagger):
            attempts.answered = _answered(attempts.under_way(), seconds)
        winner = attempts.winner
        winner.setblocking(True)
        return winner


def _answered(numbers: Iterable[int], seconds: float | None) -> list[int]:
    """Wait until at least one of these sockets knows whether it is connected, or until the time is up."""
    poll = poller()
    for number in numbers:
        poll.register(number, WRITABLE)
    # Rounded up: rounded down, the last millisecond would be spent turning round the race.
    return [number for number, _ in poll.poll(None if seconds is None else math.ceil(seconds * 1000))]


class Alone:
    """The one attempt where there is one address, as most hosts have it in a crawl; it takes a third of a race's time.

    In its block the socket is connected; if it is not, it is closed at the end.

    Args:
        address: The address.
        deadline: The end of the attempt.
        prepare: Called with the new socket before it connects.

    Attributes:
        sock: To be connected.
        left: The seconds there are for it; `None` for no limit. A `TimeoutError` of the block's own, without a number
            of the operating system's, says that they have passed.
    """

    __slots__ = ("_address", "_deadline", "_prepare", "left", "sock")

    sock: socket.socket

    def __init__(self, address: Address, deadline: Deadline, prepare: Callable[[socket.socket], None]) -> None:
        self._address = address
        self._deadline = deadline
        self._prepare = prepare

    def __enter__(self) -> Self:
        try:
            self.left = self._deadline.left()
        except TimeoutError:
            raise RaceLost((), (), [self._address]) from None
        try:
            self.sock = socket.socket(self._address.family, socket.SOCK_STREAM)
        except OSError as error:  # No such family here, or no descriptor left.
            raise RaceLost([(self._address, error)], (), ()) from None
        try:
            self._prepare(self.sock)
        except BaseException as error:
            self._failed(error)
            raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is not None:
            self._failed(error)
        elif _is_own_peer(self.sock, self._address):
            self._failed(OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED)))

    def _failed(self, error: BaseException) -> None:
        """Close the socket, and say what became of the attempt."""
        self.sock.close()
        if isinstance(error, TimeoutError) and error.errno is None:
            raise RaceLost((), [self._address], ()) from None
        if isinstance(error, OSError):
            raise RaceLost([(self._address, error)], (), ()) from None


class Attempts(Closing):
    """The attempts of one race: those waiting to start, those under way, those that failed.

    Args:
        addresses: In the order they are to be tried.
        prepare: Called with each new socket before it connects.

    Attributes:
        answered: The descriptors of the sockets that have an answer, none if the time was up; set after each turn.
        winner: A connected, non-blocking socket, which is the caller's; there after the last turn.
    """

    __slots__ = ("_failures", "_next_start", "_prepare", "_running", "_waiting", "answered", "winner")

    winner: socket.socket

    def __init__(self, addresses: Iterable[Address], prepare: Callable[[socket.socket], None]) -> None:
        self._waiting = deque(addresses)
        self._running: dict[int, tuple[Address, socket.socket]] = {}
        self._failures: list[tuple[Address, OSError]] = []
        self._prepare = prepare
        # Clock reading from which on the next address may start beside those under way.
        self._next_start = 0.0
        self.answered: Iterable[int] = ()

    def turns(self, deadline: Deadline, stagger: float) -> Iterator[float | None]:
        """Run the race to its `winner` without waiting, which threads and event loops do differently.

        Yields:
            The seconds to wait for an answer to one of `under_way`, which `answered` is set to; `None` for no limit.

        Raises:
            RaceLost: No address answered well.
        """
        while self._waiting or self._running:
            try:
                left = deadline.left()
            except TimeoutError:
                break
            if self._waiting and clock() >= self._next_start:
                self._next_start = clock() + stagger
                winner = self._start(self._waiting.popleft())
            else:
                yield self._patience(left)
                winner = self._finish_first(self.answered)
            if winner is not None:
                self.winner = winner
                return
        raise RaceLost(self._failures, [address for address, _ in self._running.values()], self._waiting)

    def under_way(self) -> list[int]:
        """Give the descriptors of the sockets that have no answer yet; with one they become writable."""
        return list(self._running)

    def close(self) -> None:
        """Close all sockets but the winner's."""
        while self._running:
            self._running.popitem()[1][1].close()

    def _patience(self, left: float | None) -> float | None:
        """Give the seconds until the next start or the deadline, whichever is first."""
        if not self._waiting:
            return left
        until_start = max(0.0, self._next_start - clock())
        return until_start if left is None else min(left, until_start)

    def _start(self, address: Address) -> socket.socket | None:
        """Begin one attempt; give back its socket if it is connected already, as loopback and Unix sockets are."""
        try:
            sock = socket.socket(address.family, socket.SOCK_STREAM)
        except OSError as error:  # No such family here, or no descriptor left.
            self._fail(address, error)
            return None
        self._running[sock.fileno()] = (address, sock)
        try:
            sock.setblocking(False)
            self._prepare(sock)
            code = sock.connect_ex(address.target)
        except OSError as error:
            self._drop(sock, error)
            return None
        return None if code == UNDER_WAY else self._finish(sock, code)

    def _finish_first(self, numbers: Iterable[int]) -> socket.socket | None:
        """Look at attempts that have an answer; give back the first socket that is connected."""
        for number in numbers:
            sock = self._running[number][1]
            winner = self._finish(sock, sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
            if winner is not None:
                return winner
        return None

    def _finish(self, sock: socket.socket, code: int) -> socket.socket | None:
        if code or _is_own_peer(sock, self._running[sock.fileno()][0]):
            # From any other port the connection would have been refused.
            code = code or errno.ECONNREFUSED
            self._drop(sock, OSError(code, os.strerror(code)))
            return None
        del self._running[sock.fileno()]
        return sock

    def _drop(self, sock: socket.socket, error: OSError) -> None:
        address, _ = self._running.pop(sock.fileno())
        sock.close()
        self._fail(address, error)

    def _fail(self, address: Address, error: OSError) -> None:
        self._failures.append((address, error))
        # RFC 8305 §5: a failure starts the next attempt at once.
        self._next_start = 0.0


def _is_own_peer(sock: socket.socket, address: Address) -> bool:
    """Tell whether TCP connected the socket to itself.

    That happens on loopback when the kernel picks as the source port the very port that is dialled and nobody
    listens on (RFC 9293 §3.5, simultaneous open); the request would come back as its own answer. Go checks it too.
    """
    if address.family not in _INTERNET:
        return False
    try:
        name = sock.getsockname()
        return bool(name[1] == address.target[1] and name == sock.getpeername())
    except OSError:  # Already reset by the peer; the first use of the socket will show it.
        return False


_INTERNET = frozenset((int(socket.AF_INET), int(socket.AF_INET6)))
