"""What a server makes of requests that are sent before the response to the one before has come (pipelining).

Decides: what the responses to a few requests sent at once mean: whole and in order, or how not; how many requests in
flight on one connection were seen to be borne.
Knows: responses, and the error that ended them. Does not know: sockets, when it is tried (`probe/survey.py`).

HTTP/1.1 has no number on a response. So that an order can be seen at all, each request of a burst asks for another byte
of the page: a server that knows ranges says in Content-Range which one it has sent (RFC 9110 §14.4). Where it does not,
responses that change places look like responses in order.

Source: RFC 9112 §9.3.2 (pipelining), §9.6 (close); RFC 9110 §14.2 (Range), §14.4 (Content-Range).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from keeppool.errors import ExchangeError, IncompleteBody, InvalidChunk, ProtocolError, ReadError, TruncatedHead
from keeppool.probe.habits import Pipelined, Pipelining, Reply

#: Requests sent at once, one burst after the other on one connection: the steps in which a pool's trust in an origin
#: grows (`core/credit.py`). A burst that fails is the last.
DEPTHS: Final = (2, 4)
#: Statuses with which a server asks for fewer requests (RFC 9110 §15.6.4, and RFC 6585's 429): they are heeded.
ENOUGH: Final = (429, 503)
#: Statuses that a page of another status has where a byte of it is asked for: the byte, or that it is too short for it.
_OF_RANGES: Final = (206, 416)
_ONE_BYTE: Final = re.compile(r"bytes (\d{1,9})-(\d{1,9})/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """Requests that were sent at once over a connection which had carried a response.

    Attributes:
        asked: How many.
        replies: The responses that came whole, in the order in which they came.
        error: What ended the reading before all had come; `None` if nothing did, or if the last response announced it.
        is_followed: True if bytes came behind the last response.
    """

    asked: int
    replies: tuple[Reply, ...]
    error: ExchangeError | None = None
    is_followed: bool = False


def not_tried(reply: Reply, *, is_forwarded: bool) -> Pipelined | None:
    """Tell why nothing is to be pipelined on a connection; `None` if it may be tried.

    Args:
        reply: Its first response.
        is_forwarded: Whether it leads to a proxy that forwards requests.
    """
    if reply.version == 10:
        return Pipelined(verdict=Pipelining.NOT_HTTP_11, why="it speaks HTTP/1.0, which has no pipelining")
    if reply.why_close is not None:
        return _unknown("it keeps no connection for a second request")
    if is_forwarded:
        return _unknown("nothing is pipelined through a proxy that forwards requests")
    if reply.status in ENOUGH:
        return _unknown(f"its status, {reply.status}, asks for fewer requests")
    return None


def judged(alone: Reply, bursts: Sequence[Burst], limit: int | None) -> Pipelined:
    """Tell what bursts over one connection mean.

    Args:
        alone: The response to the one request sent before, alone.
        bursts: In the order in which they were sent; only the last one may have failed.
        limit: Responses after which the server ends any connection; `None` if it does not.
    """
    depth, is_ordered, served = 1, True, 1
    last = _unknown("there was no time left to try")
    for burst in bursts:
        served += len(burst.replies)
        verdict, why = _verdict(alone, burst)
        if verdict is Pipelining.CLOSED and served == limit:
            verdict, why = Pipelining.UNKNOWN, f"it ends connections after {limit} requests, too few to try"
        if verdict is Pipelining.UNKNOWN and depth > 1:
            break  # What was seen before holds.
        if verdict is Pipelining.WHOLE:
            depth, is_ordered = burst.asked, is_ordered and _in_order(alone, burst)
        elif verdict in (Pipelining.MIXED, Pipelining.NOT_HTTP_11):
            depth = 1
        last = Pipelined(
            verdict=verdict,
            why=why,
            asked=burst.asked,
            answered=len(burst.replies),
            depth=depth,
            is_ordered=depth > 1 and is_ordered,
        )
    return last


def is_whole(alone: Reply, burst: Burst) -> bool:
    """True if a burst went well and its connection can carry another. Arguments as for `judged`."""
    return _verdict(alone, burst)[0] is Pipelining.WHOLE and burst.replies[-1].why_close is None


def _unknown(why: str) -> Pipelined:
    return Pipelined(verdict=Pipelining.UNKNOWN, why=why)


def _verdict(alone: Reply, burst: Burst) -> tuple[Pipelining, str]:
    count, asked = len(burst.replies), burst.asked
    # A configuration that asks for a range of its own leaves no mark to tell responses by.
    is_range = alone.content_range is not None
    for number, reply in enumerate(burst.replies):
        if reply.version == 10:
            return Pipelining.NOT_HTTP_11, f"response {number + 1} of {asked} is HTTP/1.0, which has no pipelining"
        found = None if is_range else _byte_of(reply)
        if found is not None and found != number:
            return Pipelining.MIXED, f"response {number + 1} of {asked} has byte {found}, asked for was byte {number}"
        if reply.status in ENOUGH:
            return Pipelining.UNKNOWN, f"response {number + 1} of {asked}, a {reply.status}, asks for fewer requests"
        if reply.status not in (alone.status, *_OF_RANGES):
            text = f"response {number + 1} of {asked} has status {reply.status}, that to a request alone {alone.status}"
            return Pipelining.UNKNOWN, text
    if burst.is_followed:
        return Pipelining.MIXED, f"more came than the responses to {asked} requests"
    if count == asked:
        return Pipelining.WHOLE, f"{asked} requests sent at once had their responses, whole"
    verdict, how = _break(burst)
    return verdict, f"{count} of {asked} requests sent at once had their response, {how}"


def _break(burst: Burst) -> tuple[Pipelining, str]:
    """Tell what kept the responses from coming that are missing."""
    error = burst.error
    if isinstance(error, TimeoutError):
        return (Pipelining.ONLY_FIRST if burst.replies else Pipelining.UNKNOWN), "then none came in time"
    if isinstance(error, (TruncatedHead, IncompleteBody, ReadError)):
        return Pipelining.CLOSED, "then the connection was closed in the middle of the next one"
    if isinstance(error, (ProtocolError, InvalidChunk)):
        return Pipelining.MIXED, "what followed is no HTTP"
    announced = "announced" if error is None else "unannounced"
    return Pipelining.CLOSED, f"then the connection was closed, {announced}"


def _byte_of(reply: Reply) -> int | None:
    """Tell which byte of the page a response says that it has; `None` if it has none or more than one."""
    found = _ONE_BYTE.match(reply.content_range or "")
    return int(found[1]) if found is not None and found[1] == found[2] else None


def _in_order(alone: Reply, burst: Burst) -> bool:
    return alone.content_range is None and [_byte_of(reply) for reply in burst.replies] == list(range(burst.asked))
