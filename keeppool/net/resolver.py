"""`Resolver`: from names to addresses, in threads of its own, so that a name nobody answers for delays no other.

Decides: when a look-up is begun, shared, repeated or abandoned; how many threads there are; how long addresses are
    kept.
Knows: `getaddrinfo`, which takes no timeout and cannot be broken off; or a function of the program's own instead.
Does not know: origins, proxies, which of keeppool's errors a failure becomes. `BlockingResolver` waits, for threads;
`resolver_tasks.py` does, for event loops.

There is one look-up per name at a time, for all who wait. Threads end as soon as no name waits, and they are daemons:
what nobody waits for any more is abandoned, never joined.

Source: RFC 8305 §3 (names), §4 (addresses); for the time addresses are kept, aiohttp's `ttl_dns_cache`.
"""

from __future__ import annotations

import socket
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Final, NamedTuple

from keeppool.clock import clock
from keeppool.config import LookUp
from keeppool.net.addresses import Address
from keeppool.net.deadline import Deadline

#: Threads that are begun at once for as many names. A resolver on this machine or in its network answers within a
#: millisecond or a few, so they serve thousands of names a second.
FIRST_THREADS: Final = 8
#: Seconds without any answer while a name waits, after which there are twice as many. Behind forty names that nobody
#: answers for, the next one waits three times as long; a public resolver takes about as long for a name it has to ask
#: for itself.
MOMENT: Final = 0.01
#: Most threads of one pool. glibc takes a socket and up to two queries for each; Go bounds its own at 500, libuv at 4.
MOST_THREADS: Final = 64
#: Names whose addresses are kept. One is about 500 bytes.
MOST_KEPT: Final = 1024

#: What the threads are called.
THREAD: Final = "keeppool resolver"


class Question(NamedTuple):
    """What is looked up.

    Attributes:
        host: The name; of a Unix socket its path.
        port: Goes into each address.
        family: `AF_UNSPEC` for any, the one that the source address has, or `AF_UNIX`.
    """

    host: str
    port: int
    family: int


class Search:
    """One look-up, and those who wait for it.

    Attributes:
        question: What is looked up.
        future: Its addresses, or why there are none.
        callers: How many wait for it.
        is_begun: A thread is at it.
    """

    __slots__ = ("callers", "future", "is_begun", "question")

    def __init__(self, question: Question) -> None:
        self.question = question
        self.future: Future[list[Address]] = Future()
        self.callers = 0
        self.is_begun = False


class Resolver:
    """The names of one pool; who waits for them, a thread or a task, is for those below to say.

    Args:
        look_up: Instead of the system's resolver: called with host and port in one of the resolver's threads, gives the
            addresses as text, such as `["192.0.2.1", "2001:db8::1"]`, in the order they are to be tried.
        ttl: Seconds addresses are kept; 0 asks each time, `None` never asks again.
        clock: Tells the time.

    Thread safety: any thread.
    """

    def __init__(
        self, look_up: LookUp | None = None, *, ttl: float | None = 0.0, clock: Callable[[], float] = clock
    ) -> None:
        self.look_up = look_up
        self.ttl = ttl
        self._clock = clock
        #: Guards everything below. Held for a handful of statements.
        self._lock = threading.Lock()
        self._searches: dict[Question, Search] = {}
        #: Searches that wait for a thread.
        self._queue: OrderedDict[Search, None] = OrderedDict()
        self._threads = 0
        #: When a thread came back last, or the number of threads grew.
        self._moved_at = 0.0
        self._kept: OrderedDict[Question, tuple[float, list[Address]]] = OrderedDict()

    # For those who wait

    def known(self, question: Question) -> list[Address] | None:
        """Give a name's addresses without a wait: where the host is an address itself, or its addresses are kept."""
        numeric = numeric_addresses(question)
        if numeric is not None:
            return numeric
        with self._lock:
            until, found = self._kept.get(question, (0.0, None))
            return found if self._clock() < until else None

    def begin(self, question: Question) -> Search:
        """Begin a look-up, or join one that is under way; `leave` has to follow."""
        with self._lock:
            search = self._searches.get(question)
            if search is None:
                search = self._searches[question] = Search(question)
                if not self._queue:
                    self._moved_at = self._clock()  # Nobody has been waiting for a thread until now.
                self._queue[search] = None
            search.callers += 1
        self._start(FIRST_THREADS)
        return search

    def leave(self, search: Search) -> None:
        """Take note that a caller waits no longer. A look-up nobody waits for is not begun any more."""
        with self._lock:
            search.callers -= 1
            if not search.callers and search in self._queue:
                del self._queue[search], self._searches[search.question]

    def hasten(self) -> None:
        """A caller has waited a moment for a thread: where none came back in it, there are to be more."""
        with self._lock:
            now = self._clock()
            if not self._queue or now - self._moved_at < MOMENT:
                return
            self._moved_at = now
            wanted = max(FIRST_THREADS, 2 * self._threads)
        self._start(min(wanted, MOST_THREADS))

    def forget(self, question: Question) -> None:
        """Forget a name's addresses: none of them could be connected to."""
        with self._lock:
            self._kept.pop(question, None)

    # In the threads

    def _start(self, most: int) -> None:
        """Start threads for the names that wait, until there are `most`."""
        while True:
            with self._lock:
                # Each thread that was started takes one name of the queue, sooner or later.
                if self._threads >= most or not self._queue or self._threads >= len(self._searches):
                    return
                self._threads += 1
            try:
                threading.Thread(target=self._work, name=THREAD, daemon=True).start()
            except RuntimeError as error:
                self._not_started(error)
                return

    def _not_started(self, error: RuntimeError) -> None:
        """Fail those who wait if no thread is left to serve them."""
        with self._lock:
            self._threads -= 1
            stranded = [] if self._threads else list(self._queue)
            for search in stranded:
                del self._queue[search], self._searches[search.question]
        for search in stranded:
            search.future.set_exception(error)

    def _work(self) -> None:
        """Look up one name after the other until none waits."""
        while (search := self._next()) is not None:
            found, failure = self._answer(search.question)
            self._end(search, found)
            if failure is None:
                search.future.set_result(found)
            else:
                search.future.set_exception(failure)
            del search, found, failure  # A thread that waits on must not keep them alive.

    def _next(self) -> Search | None:
        with self._lock:
            if not self._queue:
                self._threads -= 1
                return None
            search, _ = self._queue.popitem(last=False)
            search.is_begun = True
            return search

    def _answer(self, question: Question) -> tuple[list[Address], BaseException | None]:
        try:
            if self.look_up is None:
                return from_system(question), None
            return from_program(question, self.look_up(question.host, question.port)), None
        except BaseException as error:
            return [], error

    def _end(self, search: Search, found: list[Address]) -> None:
        with self._lock:
            self._moved_at = self._clock()
            del self._searches[search.question]
            self._keep(search.question, found)

    def _keep(self, question: Question, found: list[Address]) -> None:
        if not found or self.ttl == 0:
            return
        until = float("inf") if self.ttl is None else self._clock() + self.ttl
        self._kept.pop(question, None)
        self._kept[question] = until, found
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)


class BlockingResolver(Resolver):
    """The names of a pool for threads."""

    def resolve(self, question: Question, deadline: Deadline) -> list[Address]:
        """Look a name up, and wait for it in this thread.

        Args:
            question: What to look up.
            deadline: The longest wait. The look-up itself goes on for others, and for its addresses' sake.

        Returns:
            Addresses in the order the resolver gave them, at least one.

        Raises:
            TimeoutError: There was no answer in time.
            Unresolved: There is no address; `__cause__` tells why.
        """
        found = self.known(question)
        if found is not None:
            return found
        search = self.begin(question)
        try:
            while True:
                left = deadline.left()
                if not search.is_begun:
                    left = MOMENT if left is None else min(left, MOMENT)
                try:
                    failure = search.future.exception(left)
                except TimeoutError:
                    self.hasten()
                else:
                    return outcome(search, failure)
        finally:
            self.leave(search)


class Unresolved(OSError):
    """A name has no address; `__cause__` tells why."""


def outcome(search: Search, failure: BaseException | None) -> list[Address]:
    """Give what a look-up has found.

    Raises:
        Unresolved: Nothing. Each caller gets an error of its own: an error that several raise collects all their
            tracebacks.
    """
    if failure is not None:
        raise Unresolved(reason_of(failure)) from failure
    return search.future.result()


def reason_of(failure: BaseException) -> str:
    """Say in few words why a look-up failed."""
    if isinstance(failure, OSError) and failure.strerror:
        return failure.strerror
    return str(failure) or type(failure).__name__


def numeric_addresses(question: Question) -> list[Address] | None:
    """Read a host that is an address already; `None` if it is a name."""
    if question.family == socket.AF_UNIX:
        return [Address(question.family, question.host)]
    try:
        found = socket.getaddrinfo(*question, socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, ValueError):  # ValueError: a label is empty, too long, or not to be IDNA-encoded.
        return None
    return [Address(entry[0], entry[4]) for entry in found]


def from_system(question: Question) -> list[Address]:
    """Ask the system's resolver, which also reads the hosts file.

    Raises:
        OSError, ValueError: There is no address, or the name is none.
    """
    return [Address(entry[0], entry[4]) for entry in socket.getaddrinfo(*question, socket.SOCK_STREAM)]


def from_program(question: Question, given: Iterable[str] | str) -> list[Address]:
    """Read what a program's own function gave for a name.

    Raises:
        ValueError: That is nothing, or holds what is no address.
    """
    listed = [given] if isinstance(given, str) else list(given)
    found: list[Address] = []
    for text in listed:
        addresses = (
            numeric_addresses(Question(text, question.port, socket.AF_UNSPEC)) if isinstance(text, str) else None
        )
        if addresses is None:
            raise ValueError(f"the resolver gave {text!r:.100}, which is no address")
        found += addresses
    fitting = [address for address in found if question.family in (socket.AF_UNSPEC, address.family)]
    if not fitting:
        raise ValueError("the resolver gave no address" + (" of the source address's family" if found else ""))
    return fitting
