"""With how many requests one behind the other on one connection (pipelining) an origin is trusted.

Decides: how many there may be, from what its server has done so far, and for how long it is sent none after it has
broken a pipeline.
Does not know: connections, callers, caps (`riding.py`); clocks.

A server, or something between, may not be able to do it, and then mix up or lose responses: so trust grows with what
was answered whole, and is withdrawn on evidence. A response to the wrong request cannot be noticed by anybody.

Source: RFC 9112 §9.3.2 (pipelining), §9.6 (close). How others grow and withdraw trust: Firefox's
nsHttpConnectionMgr.cpp of versions up to 53; how many riders a connection takes by the server's `max`: Ruby's httpx; a
count of responses after which a server closes: Apache Serf.
"""

from __future__ import annotations

from collections import OrderedDict

from keeppool.core.habits import FORGOTTEN, MOST_KNOWN
from keeppool.core.origin import Origin

#: Requests in flight on one connection to an origin of which nothing is known, and only on one at a time. Firefox began
#: with one pipeline of two as well.
FIRST_DEPTH = 2
#: ... and on each once a response at the second place has come whole; behind one at the third, as many as configured.
SECOND_DEPTH = 4
#: Seconds for which an origin that has broken a pipeline is sent no other one, doubled each time up to four hours.
#: Firefox forgave a point of several thousand every 16 s: hours too.
DISTRUST = 600.0
LONGEST_DISTRUST = 14400.0
#: Seconds that the responses' heads may take, on average, where requests still ride. Beyond that a place on a pipeline
#: costs more than the round trip it saves: the queue gives a caller whichever connection comes free first.
SLOW = 0.5
#: ... or as many dials: where the link itself is slower than that, what is slow is not the server.
SLOW_DIALS = 2.0
#: The weight of the newest time to the head in their average; TCP's for round trips (RFC 6298 §2).
WEIGHT = 0.125
#: Connections that ended one after the other behind the same number of responses, after which that number is taken
#: for the server's limit: nginx closes behind 1000, httpd behind 100 or 101, and not each says so beforehand.
SAME_ENDS = 3


class Credit:
    """What is known of how an origin answers requests that follow each other.

    Attributes:
        trial: The one ride by which it is tried, as long as nothing is known.
        patience: Seconds that a head may take where requests still ride.
        ends_after: Responses behind which the server closes a connection, if it has been seen to.
        distrusted_until: When it may be tried again.
    """

    __slots__ = (
        "_breaks",
        "_depth",
        "_dial_s",
        "_ended_after",
        "_ends",
        "_head_s",
        "_noted_at",
        "_unfit_until",
        "distrusted_until",
        "ends_after",
        "patience",
        "trial",
    )

    def __init__(self, now: float) -> None:
        self._depth: int | None = FIRST_DEPTH
        self.trial: object | None = None
        self.distrusted_until = self._unfit_until = now
        self._breaks = 0
        self.patience = SLOW
        self._head_s: float | None = None
        self._dial_s: float | None = None
        self._ended_after: int | None = None
        self._ends = 0
        self.ends_after: int | None = None
        self._noted_at = now

    # What has happened

    def dialled(self, seconds: float) -> None:
        """A connection was opened, in so many seconds."""
        self._dial_s = seconds if self._dial_s is None else min(seconds, self._dial_s)
        self.patience = max(SLOW, SLOW_DIALS * self._dial_s)

    def took(self, seconds: float, now: float) -> None:
        """The head of a response came, so many seconds after its request was sent or had its turn."""
        before = self._head_s
        self._head_s = seconds if before is None else before + WEIGHT * (seconds - before)
        self._noted_at = now

    def answered(self, place: int, now: float) -> None:
        """A response has come whole whose request was sent before the head of the response in front of it had come.

        Args:
            place: Where it stood when it was sent; the first of a pipeline stands at 1.
            now: The time.
        """
        self._noted_at = now
        if now < self.distrusted_until:
            return
        if place > FIRST_DEPTH:
            self._depth = None
        elif self._depth == FIRST_DEPTH:
            self._depth = SECOND_DEPTH

    def broke(self, now: float) -> None:
        """The server has broken a pipeline."""
        if now >= self.distrusted_until:  # All pipelines that break in one moment are one event.
            self.distrusted_until = now + min(DISTRUST * 2**self._breaks, LONGEST_DISTRUST)
            self._breaks = min(self._breaks + 1, 8)
        self._depth, self.trial, self._noted_at = FIRST_DEPTH, None, now

    def unfit(self, now: float) -> None:
        """A response was in HTTP/1.0, or framed by the close: requests cannot follow each other here."""
        self._unfit_until = now + DISTRUST
        self._noted_at = now

    def ended(self, served: int) -> None:
        """The server has closed a connection behind so many responses."""
        self._ends = self._ends + 1 if served == self._ended_after else 1
        self._ended_after = served
        if self._ends >= SAME_ENDS:
            self.ends_after = served
        elif self.ends_after is not None and served > self.ends_after:
            self.ends_after = None

    # What follows

    def depths(self, most: int, now: float) -> tuple[int, int]:
        """Tell how many requests a connection may have before the head of its first response has come, and behind it.

        Once that has come the server has answered, so one more risks nothing new.

        Args:
            most: As configured.
            now: The time.
        """
        if now < self._unfit_until or (self._head_s is not None and self._head_s > self.patience):
            return 1, 1
        if now < self.distrusted_until:
            before = 1
        elif self._depth is None:
            return most, most
        else:
            before = 1 if self.trial is not None else min(most, self._depth)
        return before, min(most, max(2, before))

    def is_trial(self) -> bool:
        """Tell whether the next rider is the one by which the origin is tried."""
        return self._depth == FIRST_DEPTH

    def is_distrusted(self, now: float) -> bool:
        """Tell whether the origin is sent no requests one behind the other, because it has broken a pipeline."""
        return now < self.distrusted_until

    def is_forgotten(self, now: float) -> bool:
        """Tell whether nothing was noted for so long that nothing counts any more."""
        return now - max(self._noted_at, self.distrusted_until) > FORGOTTEN


class Credits:
    """What is known, by origin. Bounded, and forgotten after a while."""

    __slots__ = ("_by_origin",)

    def __init__(self) -> None:
        self._by_origin: OrderedDict[Origin, Credit] = OrderedDict()

    def of(self, origin: Origin, now: float) -> Credit:
        """Give what is known of an origin; the most recently asked for are kept."""
        credit = self._by_origin.get(origin)
        if credit is None or credit.is_forgotten(now):
            credit = self._by_origin[origin] = Credit(now)
        self._by_origin.move_to_end(origin)
        if len(self._by_origin) > MOST_KNOWN:
            self._by_origin.popitem(last=False)
        return credit

    def distrusted(self, now: float) -> list[Origin]:
        """List the origins that have broken a pipeline and are not tried again yet."""
        return [origin for origin, credit in self._by_origin.items() if credit.is_distrusted(now)]
