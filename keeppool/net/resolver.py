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
from typing import Final, NamedTuple

from keeppool.clock import clock
from keeppool.config import LookUp
from keeppool.deferred import have_idna
from keeppool.errors import quoted
from keeppool.forks import undivided
from keeppool.net.addresses import UNIX, Address
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
#: Seconds after which a look-up that nobody waits for any more is begun anew for whoever asks next. glibc asks the next
#: server after as long.
ABANDONED: Final = 5.0
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
        began_at: When a thread began with it; `None` before.
        found: Its addresses; `None` before the end, and where there are none.
        failure: Why there are none.
        waiting: What is called, from whatever thread, when it has ended.
    """

    __slots__ = ("began_at", "failure", "found", "question", "waiting")

    def __init__(self, question: Question) -> None:
        self.question = question
        self.began_at: float | None = None
        self.found: list[Address] | None = None
        self.failure: BaseException | None = None
        self.waiting: dict[Callable[[], object], None] = {}

    def result(self) -> list[Address]:
        """Give what was found.

        Raises:
            Unresolved: Nothing. Each caller gets an error of its own: an error that several raise collects all their
                tracebacks.
        """
        if self.found is None:
            raise Unresolved(reason_of(self.failure)) from self.failure
        return self.found


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
        self._threads = self._busy = 0
        #: When a thread came back last, or the number of threads grew.
        self._moved_at = 0.0
        self._kept: OrderedDict[Question, tuple[float, list[Address]]] = OrderedDict()

        # For those who wait
        self._start_empty()

    def _start_empty(self) -> None:
        """Make what only one kind of resolver has."""

    def known(self, question: Question) -> list[Address] | None:
        """Give a name's addresses without a wait: where the host is an address itself, or its addresses are kept."""
        return literal(question) or self._kept_for(question)

    def keeps(self, question: Question) -> bool:
        """Tell whether a name's addresses are from an earlier look-up, and may be old."""
        return self._kept_for(question) is not None

    def begin(self, question: Question, wake: Callable[[], object]) -> Search:
        """Begin a look-up, or join one that is under way; `leave` has to follow.

        Args:
            question: What to look up.
            wake: Called when it has ended, from whatever thread.
        """
        with self._lock:
            now, search = self._clock(), self._searches.get(question)
            if search is None or _is_abandoned(search, now):
                search = self._searches[question] = Search(question)
                if not self._queue:
                    self._moved_at = now  # Nobody has been waiting for a thread until now.
                self._queue[search] = None
            search.waiting[wake] = None
        try:
            self._start(FIRST_THREADS)
        except BaseException:
            self.leave(search, wake)
            raise
        return search

    def leave(self, search: Search, wake: Callable[[], object]) -> None:
        """Take note that a caller waits no longer. A look-up nobody waits for is not begun any more."""
        with self._lock:
            search.waiting.pop(wake, None)
            if not search.waiting and search in self._queue:
                del self._queue[search], self._searches[search.question]

    def hasten(self) -> bool:
        """A moment has passed: where no thread came back in it and names wait for one, there are to be more.

        Returns:
            Whether another moment may change anything: names wait, and there may be more threads.
        """
        with self._lock:
            now, wanted = self._clock(), 0
            if self._queue and now - self._moved_at >= MOMENT:
                self._moved_at = now
                wanted = max(FIRST_THREADS, 2 * self._threads)
        self._start(min(wanted, MOST_THREADS))
        return bool(self._queue) and self._threads < MOST_THREADS

    def forget(self, *questions: Question) -> None:
        """Forget names' addresses: no connection came of them."""
        with self._lock:
            for question in questions:
                self._kept.pop(question, None)

    # In the threads

    def _start(self, most: int) -> None:
        """Start threads for the names that wait, until there are `most`."""
        while True:
            with self._lock:
                if self._threads >= most or len(self._queue) <= self._threads - self._busy:
                    return
                self._threads += 1
            thread = threading.Thread(target=self._work, name=THREAD, daemon=True)
            try:
                thread.start()
            except BaseException as error:
                if thread.ident is None:  # Else it runs, and an interrupt has ended only the wait for that.
                    self._not_started(error)
                if not isinstance(error, RuntimeError):
                    raise
                return

    def _not_started(self, error: BaseException) -> None:
        """Count a thread that is not there down; fail those who wait if it was the only one to serve them."""
        with self._lock:
            self._threads -= 1
            stranded = [] if self._threads or not isinstance(error, RuntimeError) else list(self._queue)
            for search in stranded:
                del self._queue[search], self._searches[search.question]
        for search in stranded:
            self._end(search, None, error)

    def _work(self) -> None:
        """Look up one name after the other until none waits."""
        while (search := self._next()) is not None:
            self._end(search, *self._answer(search.question))
            del search  # A thread that waits on must not keep it alive.

    def _next(self) -> Search | None:
        with self._lock:
            if not self._queue:
                self._threads -= 1
                return None
            search, _ = self._queue.popitem(last=False)
            search.began_at = self._clock()
            self._busy += 1
            return search

    def _answer(self, question: Question) -> tuple[list[Address] | None, BaseException | None]:
        try:
            if self.look_up is None:
                return from_system(question), None
            return from_program(question, self.look_up(question.host, question.port)), None
        except BaseException as error:
            return None, error

    def _end(self, search: Search, found: list[Address] | None, failure: BaseException | None) -> None:
        """Write down how a look-up ended, and wake those who wait for it."""
        with self._lock:
            search.found, search.failure = found, failure
            if search.began_at is not None:
                self._busy -= 1
                self._moved_at = self._clock()
            if self._searches.get(search.question) is search:
                del self._searches[search.question]
            self._keep(search.question, found)
            waiting = list(search.waiting)
        for wake in waiting:
            wake()

    def _keep(self, question: Question, found: list[Address] | None) -> None:
        if not found or self.ttl == 0:
            return
        until = float("inf") if self.ttl is None else self._clock() + self.ttl
        self._kept.pop(question, None)
        self._kept[question] = until, found
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    def _kept_for(self, question: Question) -> list[Address] | None:
        if not self._kept:
            return None
        with self._lock:
            until, found = self._kept.get(question, (0.0, None))
            return found if self._clock() < until else None


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
        ended = threading.Event()
        search = self.begin(question, ended.set)
        try:
            may_hasten = True
            while not ended.is_set():
                seconds = deadline.left()
                if may_hasten and search.began_at is None:
                    if not ended.wait(MOMENT if seconds is None else min(seconds, MOMENT)):
                        may_hasten = self.hasten()
                else:
                    ended.wait(seconds)
        finally:
            self.leave(search, ended.set)
        return search.result()


class Unresolved(OSError):
    """A name has no address; `__cause__` tells why."""


def _is_abandoned(search: Search, now: float) -> bool:
    """Tell whether a look-up that is under way hangs, as far as anybody knows who has given it up."""
    return not search.waiting and search.began_at is not None and now - search.began_at >= ABANDONED


def is_awaited(look_up: LookUp) -> bool:
    """Tell whether a program's function is a coroutine function, or an object that is called as one."""
    with undivided:
        from inspect import iscoroutinefunction  # Imported late: few pools have a function of their own.

    return iscoroutinefunction(look_up) or iscoroutinefunction(vars(type(look_up)).get("__call__"))


def reason_of(failure: BaseException | None) -> str:
    """Say in few words why a look-up failed."""
    if isinstance(failure, OSError) and failure.strerror:
        return failure.strerror
    return str(failure) or type(failure).__name__


def literal(question: Question) -> list[Address] | None:
    """Read a host that is an address already; `None` if it is a name, or has a zone, which takes the system to read.

    Not by `getaddrinfo`: programs replace that one, by functions that wait, or take no flags.
    """
    host, port, family = question
    if family == UNIX:
        return [Address(family, host)]
    own = socket.AF_INET6 if ":" in host else socket.AF_INET
    # An IPv4 address ends with a digit, and few names do: to try one costs an exception.
    if family not in (socket.AF_UNSPEC, own) or (own == socket.AF_INET and not host[-1:].isdigit()):
        return None
    try:
        socket.inet_pton(own, host)
    except (OSError, ValueError):
        return None
    return [Address(own, (host, port, 0, 0) if own == socket.AF_INET6 else (host, port))]


def from_system(question: Question) -> list[Address]:
    """Ask the system's resolver, which also reads the hosts file.

    Raises:
        OSError, ValueError: There is no address, or the name is none.
    """
    have_idna()
    return [Address(entry[0], entry[4]) for entry in socket.getaddrinfo(*question, socket.SOCK_STREAM)]


def from_program(question: Question, given: Iterable[str] | str) -> list[Address]:
    """Read what a program's own function gave for a name.

    Raises:
        TypeError: It is a coroutine that nobody awaits here.
        ValueError: That is nothing, or holds what is no address.
    """
    if hasattr(given, "__await__"):
        getattr(given, "close", bool)()
        raise TypeError("the resolver gave something to await; only a coroutine function is awaited, on an event loop")
    if not isinstance(given, Iterable):
        raise TypeError(f"the resolver gave {quoted(given)}, and not a list of addresses")
    found: list[Address] = []
    for text in [given] if isinstance(given, str) else list(given):
        addresses = _literal_or_zoned(text, question.port) if isinstance(text, str) else None
        if addresses is None:
            raise ValueError(f"the resolver gave {quoted(text)}, which is no address")
        found += addresses
    fitting = [address for address in found if question.family in (socket.AF_UNSPEC, address.family)]
    if not fitting:
        raise ValueError("the resolver gave no address" + (" of the source address's family" if found else ""))
    return fitting


def _literal_or_zoned(text: str, port: int) -> list[Address] | None:
    """Read an address that may have a zone: one of this machine's interfaces, known without a wait."""
    question = Question(text, port, socket.AF_UNSPEC)
    if "%" not in text:
        return literal(question)
    try:
        found = socket.getaddrinfo(*question, socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, ValueError):
        return None
    return [Address(entry[0], entry[4]) for entry in found]
