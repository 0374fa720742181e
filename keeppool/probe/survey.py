"""`survey`: finding out how a server keeps connections, by asking it.

Decides: what is tried, in which order, within which time: one answer; if wanted, a few requests at once; connections
left idle; meanwhile requests on another one until it ends; then waiting.
Does not know: how a connection is asked or watched (`measure.py`), what the observations mean (`habits.py`,
`pipelined.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import NamedTuple, Self

from keeppool.checks import check_count, check_seconds
from keeppool.clock import clock
from keeppool.config import Config, HostConfig, Timeout, TimeoutArgument
from keeppool.errors import KeepPoolError, SendError, ServerDisconnected
from keeppool.net.dial import dial
from keeppool.net.tls import TlsStore
from keeppool.pools.routes import Located, Locator
from keeppool.probe.habits import Hangup, Pipelined, Reply, Run, Survey
from keeppool.probe.measure import Line, Watch
from keeppool.probe.pipelined import DEPTHS, ENOUGH, Burst, is_whole, judged, not_tried
from keeppool.urls.address import Address, parse_as_given

#: Seconds to wait for a response's bytes, and for a connection, unless the caller says otherwise.
PATIENCE = 10.0
#: Connections left idle after one response each. Servers behind one address may differ: the first to hang up counts. No
#: more than browsers open to one host, together with the one that requests are counted on.
IDLE_LINES = 4
#: Seconds within which a server that is done with a connection closes it; nginx, httpd and Node need milliseconds.
FAREWELL = 1.0
#: Seconds between two reports while nothing happens.
TICK = 1.0
#: Seconds within which a response too many follows those to requests sent at once: it was sent with them.
AFTERMATH = 0.1


class Progress(NamedTuple):
    """How far a survey has come.

    Attributes:
        requests: Answers so far, on all connections.
        idle: Connections that are being watched and open.
        seconds: Since the start.
    """

    requests: int
    idle: int
    seconds: float


def survey(
    url: str,
    *,
    max_wait: float | None = 130.0,
    max_requests: int | None = 120,
    timeout: TimeoutArgument = PATIENCE,
    host: HostConfig | None = None,
    pipelined: bool = False,
    on_progress: Callable[[Progress], object] | None = None,
) -> Survey:
    """Find out how a server keeps connections, with GET requests of one URL and by waiting.

    A few connections are left idle after one response each, to see when and how the server hangs up. Meanwhile another
    one carries request after request, to see after how many it ends. An end nobody announced is tried once more.

    Args:
        url: Absolute, http or https. Its page is fetched some 125 times, 250 at the worst; choose a small one.
        max_wait: Seconds for everything, except that a connection which is still open then is asked once more,
            within `timeout`. 130 see the 120 s of IIS and the 75 s of nginx. `None`: until all have ended.
        max_requests: Most requests on one connection. 120 see the 100 of Apache httpd. `None`: no limit.
        timeout: As elsewhere: seconds for connecting and reading alike, a (connect, read) pair, or a `Timeout`.
        host: How to reach the server: proxy, certificates, headers. Keep-alive is asked for in any case, and TCP's
            own probes are off, as they would keep a silent connection known to gateways.
        pipelined: Whether to find out what the server makes of requests that are sent at once: two, then four, behind
            a first one on its connection, each for one byte of the page (`Range`), six requests more in all. Nothing is
            sent so through a proxy that forwards requests.
        on_progress: Called after each answer and about once a second.

    Returns:
        What was seen, and in `host_config` what to make of it.

    Raises:
        InvalidURL: The URL cannot be fetched.
        ConfigError: An argument of the wrong type or out of range.
        ConnectError: The server cannot be reached.
        ExchangeError: The first request failed.

        Later failures are in the result's `troubles`, those of requests sent at once in its `pipelined`. All
        connections are closed in any case.

    Source: RFC 9112 §9.3 to §9.6.
    """
    check_seconds("max_wait", max_wait, zero=False)
    check_count("max_requests", max_requests, least=1)
    total = None if max_wait is None or max_wait == math.inf else max_wait
    entry = replace(host or HostConfig(), keep_alive=True, tcp_keepalive=None)
    located = Locator(Config()).locate(url, entry)
    with _Work(located, replace(Timeout.of(timeout, Timeout()), total=total), on_progress) as work:
        return work.run(math.inf if max_requests is None else max_requests, pipelined)


class _Work:
    """One survey under way. Leaving its `with` block closes all connections."""

    def __init__(self, located: Located, timeout: Timeout, on_progress: Callable[[Progress], object] | None) -> None:
        self._located = located
        self._timeout = timeout
        self._on_progress = on_progress
        self._tls = TlsStore()
        self._lines: list[Line] = []
        self._watch = Watch()
        self._troubles: list[str] = []
        self._stack = ExitStack()
        self._started = clock()
        self._deadline = self._started + (math.inf if timeout.total is None else timeout.total)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def run(self, max_requests: float, pipelined: bool) -> Survey:
        """Do it all."""
        first = self._open()
        reply = first.ask(self._deadline)
        self._report()
        untried = not_tried(reply, is_forwarded=self._located.route.origin.is_forwarded)
        if reply.why_close is not None:
            run = Run(replies=(reply,), limit=1, hangup=self._await_close(first))
            return self._result(reply, run, untried if pipelined else None)
        bursts: list[Burst] = []
        if pipelined and untried is None:
            bursts = self._pipeline(first)
        else:
            self._watch.add(first)
        self._leave_idle()
        run = self._count(max_requests)
        self._wait()
        return self._result(reply, run, (untried or judged(reply, bursts, run.limit)) if pipelined else None)

    def _pipeline(self, line: Line) -> list[Burst]:
        """Send a few requests at once, then some more, as long as all goes well; the connection is used up.

        It comes before any connection is left idle: a server that says nothing is waited for, and what happens on the
        idle ones meanwhile would be seen too late.
        """
        read = self._timeout.read
        bursts = []
        for count in DEPTHS:
            if clock() >= self._deadline or line.hangup is not None:
                break
            burst = line.ask_together(count, PATIENCE if read is None else read, self._deadline)
            self._report()
            if isinstance(burst.error, TimeoutError) and clock() >= self._deadline:
                break  # The survey's time is up, which says nothing about the server.
            if is_whole(line.replies[0], burst):
                self._watch.look(AFTERMATH, line)
                burst = replace(burst, is_followed=bool(line.said))
            bursts.append(burst)
            if not is_whole(line.replies[0], burst):
                break
        line.stream.close()
        return bursts

    def _open(self) -> Line:
        connect = self._timeout.connect
        left = max(self._deadline - clock(), 0.0)
        limit = left if connect is None else min(connect, left)
        stream = dial(self._located.route.origin, seconds=None if limit == math.inf else limit, tls=self._tls)
        self._stack.callback(stream.close)
        line = Line(self._located, stream, self._timeout)
        self._lines.append(line)
        return line

    def _leave_idle(self) -> None:
        """Open the other connections that are watched. One that fails is the last: the server wants no more."""
        try:
            while len(self._watch.lines) < IDLE_LINES:
                line = self._open()
                if line.ask(self._deadline).why_close is not None:
                    return
                self._watch.add(line)
                self._look()
        except KeepPoolError as error:
            self._note(f"{len(self._watch.lines)} instead of {IDLE_LINES} connections were left idle", error)

    def _count(self, most: float) -> Run:
        """Send requests over one connection until it ends. If it does not, it is watched like the others."""
        line = None
        limit = hangup = None
        try:
            line = self._open()
            if not self._carry(line, most):
                self._watch.add(line)
            elif line.replies[-1].why_close is not None:
                limit, hangup = len(line.replies), self._await_close(line)
            else:
                limit, hangup = self._confirm(len(line.replies))
        except KeepPoolError as error:
            self._note("counting requests failed", error)
        return Run(replies=() if line is None else tuple(line.replies), limit=limit, hangup=hangup)

    def _carry(self, line: Line, most: float) -> bool:
        """Send requests until `most` responses have come; tell whether the connection ended before.

        Raises:
            KeepPoolError: It failed in a way that is no end: a timeout, an answer that is no HTTP.
        """
        while len(line.replies) < most and clock() < self._deadline:
            try:
                reply = line.ask(self._deadline)
            except (ServerDisconnected, SendError):
                if not line.replies:
                    raise
                return True
            self._look()
            if reply.why_close is not None:
                return True
            if reply.status in ENOUGH:
                self._note(f"counting was stopped by response {len(line.replies)}, a {reply.status}")
                return False
        return False

    def _confirm(self, count: int) -> tuple[int | None, Hangup | None]:
        """Tell whether a server that closed silently after `count` responses does so again, and how.

        One that had other reasons (a restart, a clock) does not. No request is sent into the close this time, so that
        the close is seen as it is.
        """
        line = self._open()
        if not self._carry(line, count):
            hangup = self._await_close(line)
            if hangup is not None or (self._carry(line, count + 1) and len(line.replies) == count):
                return count, hangup
        self._note(f"one connection was closed silently after {count} responses, which could not be seen again")
        return None, None

    def _await_close(self, line: Line) -> Hangup | None:
        """Wait a moment for the close that is due, and tell how it came."""
        until = min(clock() + FAREWELL, self._deadline)
        while line.hangup is None and (left := until - clock()) > 0:
            self._watch.look(left, line)
        return line.hangup

    def _wait(self) -> None:
        """Wait until no idle connection is open any more, or the time is up."""
        while self._watch.open and (left := self._deadline - clock()) > 0:
            self._watch.look(min(left, TICK))
            self._report()

    def _look(self) -> None:
        """Between two requests: note what has happened on the idle connections, and say how far it is."""
        self._watch.look(0)
        self._report()

    def _result(self, reply: Reply, run: Run, pipelined: Pipelined | None) -> Survey:
        ends = [line.idle_end() for line in self._watch.lines]
        open_s = max((line.idle_s() for line in self._watch.open if line.idle_end() is None), default=None)
        is_open = self._still_answers()
        return Survey(
            url=self._located.url,
            pattern=_pattern(parse_as_given(self._located.url)),
            seconds=clock() - self._started,
            reply=reply,
            run=run,
            idle=tuple(sorted((end for end in ends if end is not None), key=lambda end: end.idle_s)),
            open_s=open_s,
            is_open=is_open,
            troubles=tuple(self._troubles),
            pipelined=pipelined,
        )

    def _still_answers(self) -> bool | None:
        """Ask the connection that has been idle longest whether it is as alive as it looks; `None` without one."""
        quiet = [line for line in self._watch.open if line.idle_end() is None]
        if not quiet:
            return None
        read = self._timeout.read
        try:
            return quiet[0].ask(clock() + (math.inf if read is None else read)).status != 408
        except KeepPoolError:
            return False

    def _note(self, what: str, error: KeepPoolError | None = None) -> None:
        self._troubles.append(what if error is None else f"{what}: {type(error).__name__}: {error}")

    def _report(self) -> None:
        if self._on_progress is not None:
            requests = sum(len(line.replies) for line in self._lines)
            self._on_progress(Progress(requests, len(self._watch.open), clock() - self._started))


def _pattern(address: Address) -> str:
    """Write the pattern of a scheme, host and port, in the grammar of `keeppool.hosts`."""
    return f"{address.scheme}://{address.authority}"
