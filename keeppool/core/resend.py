"""May a failed request be sent again without asking the caller?

Decides: from recorded facts, once per request. The truth table stands in docs/safety.md.
Does not know: sockets, errors' classes, time; whoever ran the exchange brings the facts.

Source: RFC 9110 §9.2.2 (idempotent methods, automatic retries), §15.5.9 (408); RFC 9112 §9.3.1 (retrying requests).
"""

from __future__ import annotations

from typing import NamedTuple

#: RFC 9110 §9.2.2: PUT, DELETE and the safe methods. QUERY is safe by its own specification.
IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE", b"QUERY"})
#: Seconds idle after which even a connection that never carried a request may have been dropped by the server.
SAT_IDLE = 1.0


class Outcome(NamedTuple):
    """How far a failed exchange got.

    Attributes:
        resent: The request was already sent a second time.
        reused: The connection had carried a response before this request.
        idle: Seconds the connection had sat unused before this request.
        closed: The peer closed or reset the connection (no timeout, no malformed response), or a whole 408 came.
        received: Bytes of a response that arrived; an interim one counts. A whole 408 counts as none.
        sent: Bytes of the request the kernel accepted. None where a 408 says that the server took none.
        replayable: The body can be produced again from its start.
        method: Upper case.
        idempotent: The caller's word, or an Idempotency-Key; `None` leaves it to the method.
    """

    resent: bool
    reused: bool
    idle: float
    closed: bool
    received: int
    sent: int
    replayable: bool
    method: bytes
    idempotent: bool | None


def may_resend(outcome: Outcome) -> bool:
    """Tell whether the request may go out once more, on a new connection."""
    # A client should not retry a failed automatic retry (RFC 9110 §9.2.2).
    if outcome.resent:
        return False
    # A server that hangs up on a fresh connection does it on purpose; trying again would loop.
    if not outcome.reused and outcome.idle < SAT_IDLE:
        return False
    # A timeout or a malformed response says nothing about what the server did.
    if not outcome.closed:
        return False
    # A response had begun: the server has acted.
    if outcome.received:
        return False
    # Half a body is worse than none.
    if not outcome.replayable:
        return False
    # The kernel took nothing, so the server cannot have seen anything: safe whatever the method.
    if not outcome.sent:
        return True
    return is_idempotent(outcome.method, outcome.idempotent)


def is_idempotent(method: bytes, said: bool | None) -> bool:
    """Tell whether applying the request twice is the same as once: the caller's word first, then the method's."""
    return method in IDEMPOTENT if said is None else said
