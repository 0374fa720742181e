"""From the moments of a request to its phases: where its time went.

Decides: which moment belongs to which phase, so that the phases follow one another without a gap.
Knows: numbers.
Does not know: clocks, requests, who has noted the moments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from keeppool.reasons import Step as Step


class Dial(NamedTuple):
    """How a connection was opened.

    Attributes:
        begun: Each step with the moment it was begun; it lasts until the next one is, the last one until `ended`. A
            step may come twice, as where addresses that were kept turn out to be old.
        ended: When the connection was open; `None` where that has failed.
    """

    begun: Sequence[tuple[Step, float]]
    ended: float | None


class Phases(NamedTuple):
    """A request's time in seconds, in the order of its parts; see `keeppool.events.RequestDone`."""

    blocked_s: float
    lost_s: float
    name_s: float | None
    connect_s: float | None
    proxy_s: float | None
    tls_s: float | None
    sending_s: float | None = None
    first_byte_s: float | None = None
    receiving_s: float | None = None


class Moments(NamedTuple):
    """What was noted of a request.

    Attributes:
        started: When it was begun.
        dial: How its connection was opened, if that was done for it or while it waited.
        lost: Seconds of attempts that were given up.
        begun: When the last attempt was; `None` if there was none.
        sent: When the kernel had taken the whole request; `None` if it has not.
        first_byte: When the final response began to come; `None` if it has not.
        ended: When all was over.
    """

    started: float
    dial: Dial | None
    lost: float
    begun: float | None
    sent: float | None
    first_byte: float | None
    ended: float


def phases_of(noted: Moments) -> Phases:
    """Divide the time between the first moment and the last; the phases add up to it."""
    ended, first = noted.ended, noted.first_byte
    begun = ended if noted.begun is None else noted.begun
    steps = {} if noted.dial is None else _steps(noted.dial, noted.started, begun)
    blocked = max(begun - noted.started - noted.lost - sum(steps.values()), 0.0)
    phases = Phases(blocked, noted.lost, *map(steps.get, Step))
    if noted.begun is None:
        return phases
    # A response may come before the request is sent whole: then that is where the sending ends.
    sent = min(at for at in (noted.sent, first, ended) if at is not None)
    sending = max(sent - begun, 0.0)
    if noted.sent is None and first is None:
        return phases._replace(sending_s=sending)
    receiving = None if first is None else max(ended - first, 0.0)
    waited = max((ended if first is None else first) - sent, 0.0)
    return phases._replace(sending_s=sending, first_byte_s=waited, receiving_s=receiving)


def _steps(dial: Dial, since: float, until: float) -> dict[Step, float]:
    """Add up the steps of a dial, as far as they lie between two moments."""
    spent: dict[Step, float] = {}
    ends = [*(at for _, at in dial.begun[1:]), until if dial.ended is None else dial.ended]
    # Not strictly: a dial that was broken off before its first step has none.
    for (step, began), end in zip(dial.begun, ends, strict=False):
        spent[step] = spent.get(step, 0.0) + max(min(end, until) - max(began, since), 0.0)
    return spent
