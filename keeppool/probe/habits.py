"""How a server keeps connections, from what was seen of it, and the configuration that suits it.

Decides: what an observation means: whether `max` is what is left or the whole, whether an end was announced, which
limits lie safely below what was measured.
Knows: answers, ends of connections, seconds. Does not know: sockets, clocks, how the observations were made
(`probe/survey.py`).

Source: RFC 9112 §9.3 (persistence), §9.5 (idle connections), §9.6 (FIN and RST); RFC 9110 §15.5.9 (408).
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from itertools import pairwise

from keeppool.config import INHERIT, HostConfig, Inherit
from keeppool.core.keepalive import MARGIN, MARGIN_SHARE, Hint, idle_limit
from keeppool.reasons import Why

#: Recommended seconds are rounded down to this many a second: finer ones would only repeat the measurement's noise.
STEPS = 10


class Hangup(enum.Enum):
    """How a server ended a connection, as the operating system reports it."""

    #: In order: an end of file, over TLS with or without close_notify.
    FIN = "fin"
    #: A TCP reset: what was on its way in either direction is lost.
    RST = "rst"
    #: Anything else, such as bytes over TLS that cannot be decrypted.
    ERROR = "error"


class MaxMeans(enum.Enum):
    """What the number in `Keep-Alive: max=` turned out to be."""

    #: It falls by one with each response: requests that are left (Apache httpd).
    LEFT = "left"
    #: It stays the same: requests the connection carries in all (Node).
    WHOLE = "whole"
    #: Neither.
    UNCLEAR = "unclear"


class Pipelining(enum.Enum):
    """What became of requests that were sent at once."""

    #: Each had its response, whole, and in order as far as that can be seen.
    WHOLE = "whole_in_order"
    #: The first ones had theirs; then nothing came any more.
    ONLY_FIRST = "only_first"
    #: The server ended the connection before all had theirs, announced or not.
    CLOSED = "closed_after_first"
    #: Responses changed places, one too many came, or what followed a response was no HTTP.
    MIXED = "mixed"
    #: It speaks HTTP/1.0, which has no pipelining.
    NOT_HTTP_11 = "not_http_1_1"
    #: It could not be tried, or came to nothing that would tell.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What one response said about its connection.

    Attributes:
        version: 10 or 11.
        status: Its status.
        connection: Value of its Connection field, `None` without one.
        keep_alive: Value of its Keep-Alive field, `None` without one.
        content_range: Value of its Content-Range field, `None` without one.
        hint: What could be read from that.
        why_close: Why the connection cannot carry another request after it; `None` if it can.
    """

    version: int
    status: int
    connection: str | None
    keep_alive: str | None
    content_range: str | None = None
    hint: Hint
    why_close: Why | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Requests sent one after the other over one connection, without pauses.

    Attributes:
        replies: The answers, in order.
        limit: Answers after which the server ended the connection; `None` if it did not, or not because of their
            number. An end that no answer announced counts only if a second connection ended after as many.
        hangup: How it closed then; `None` if it did not within a moment, or if a request crossed the close, which
            turns a FIN into a RST.
    """

    replies: tuple[Reply, ...] = ()
    limit: int | None = None
    hangup: Hangup | None = None

    @property
    def why_close(self) -> Why | None:
        """Why the last response ended the connection, such as `SERVER_CLOSE`; `None` if it did not say so."""
        return self.replies[-1].why_close if self.replies else None


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleEnd:
    """What became of a connection that was left idle.

    Attributes:
        idle_s: Seconds from the last byte of the last answer until the first thing happened: bytes or the close. If
            requests were being sent elsewhere at that moment, the seconds until it was last seen undisturbed.
        hangup: How the server closed; `None` if it sent bytes and left the connection open.
        said: The first bytes it sent unasked, if any.
        served: Answers the connection had carried.
    """

    idle_s: float
    hangup: Hangup | None
    said: bytes = b""
    served: int = 1

    @property
    def is_408(self) -> bool:
        """True if the server announced the close with a response of status 408 (RFC 9110 §15.5.9)."""
        return self.said.startswith(b"HTTP/1.") and self.said[8:12] == b" 408"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipelined:
    """Whether a server answers pipelined requests whole and in order.

    Attributes:
        verdict: What became of them.
        why: The same as a sentence, with figures.
        asked: Requests in the last burst that counts; 0 if none was sent.
        answered: Whole responses to it.
        depth: What `HostConfig(pipelining=...)` may be set to, as far as was seen; 1 is off.
        is_ordered: True if the responses of all bursts up to `depth` said which request they belong to. False: their
            order could not be seen.
    """

    verdict: Pipelining
    why: str
    asked: int = 0
    answered: int = 0
    depth: int = 1
    is_ordered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """How a server keeps its connections; what `keeppool.survey` returns.

    Attributes:
        url: What was asked for.
        pattern: Scheme, host and port, as `PoolManager(hosts=...)` and a configuration file take them.
        seconds: How long the survey took.
        reply: The first answer.
        run: Requests sent without pauses over one connection; no answers if none could be opened for that.
        idle: The connections that ended while they were left idle, the soonest first.
        open_s: Seconds for which the longest idle connection that never ended was watched; `None` if there is none.
        is_open: Whether that connection still answered a request then; `None` if none was left to ask. False: it was
            dead without a sign, as behind a gateway that forgets silent connections.
        troubles: What went wrong on the way and left something unmeasured, one sentence each.
        pipelined: Whether it answers requests that are sent at once; `None` if the survey was not asked to try.
    """

    url: str
    pattern: str
    seconds: float
    reply: Reply
    run: Run
    idle: tuple[IdleEnd, ...] = ()
    open_s: float | None = None
    is_open: bool | None = None
    troubles: tuple[str, ...] = ()
    pipelined: Pipelined | None = None

    @property
    def is_kept(self) -> bool:
        """True if a connection carries more than one request."""
        return self.run.limit != 1

    @property
    def max_means(self) -> MaxMeans | None:
        """What `Keep-Alive: max=` means here; `None` if it was not seen twice on one connection."""
        return what_max_means([reply.hint.max for reply in self.run.replies])

    @property
    def idle_s(self) -> float | None:
        """Seconds after which the first of the idle connections ended; `None` if none did."""
        return min((end.idle_s for end in self.idle), default=None)

    @property
    def is_early(self) -> bool:
        """True if an idle connection ended before the time that the server's `Keep-Alive: timeout=` is believed for."""
        believed = idle_limit(self.reply.hint.timeout, None)
        return self.idle_s is not None and believed is not None and self.idle_s < believed

    @property
    def has_unasked(self) -> bool:
        """True if the server sent bytes that no request had asked for, other than a 408 before it closed."""
        after_answers = Why.UNASKED_DATA in (self.reply.why_close, self.run.why_close)
        return after_answers or any(end.said and not end.is_408 for end in self.idle)

    @property
    def host_config(self) -> HostConfig:
        """The configuration for this server: what it says nothing about keeps its default."""
        if not self.is_kept:
            return HostConfig(keep_alive=False)
        limit = self.run.limit
        return HostConfig(
            idle_timeout=idle_timeout_below(self.idle_s, self.reply.hint.timeout),
            max_requests=INHERIT if limit is None else limit,
        )


def what_max_means(values: list[int | None]) -> MaxMeans | None:
    """Tell from the `max` of one connection's responses what it counts; `None` if fewer than two have one.

    Args:
        values: In the order of the answers; `None` where there was none.
    """
    pairs = list(pairwise([value for value in values if value is not None]))
    if not pairs:
        return None
    if all(now == before - 1 for before, now in pairs):
        return MaxMeans.LEFT
    return MaxMeans.WHOLE if all(now == before for before, now in pairs) else MaxMeans.UNCLEAR


def idle_timeout_below(measured: float | None, announced: float | None) -> float | Inherit:
    """Give an idle timeout a little below what a server was seen to grant and what it says.

    The margin is that for a server's hint, for the same reason: a request takes time to arrive.

    Args:
        measured: Seconds after which it closed; `None` if it never did, and then there is nothing to set.
        announced: Its `Keep-Alive: timeout=`, if any.

    Returns:
        Seconds, rounded down; 0 means not to keep connections for later.
    """
    if measured is None:
        return INHERIT
    granted = measured if announced is None else min(measured, announced)
    return math.floor(STEPS * (granted - min(MARGIN, MARGIN_SHARE * granted))) / STEPS
