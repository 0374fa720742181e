"""`Laps`: the steps of one dial, and when each was begun.

Knows: the clock.
Does not know: who dials, and what comes of the figures; `keeppool/pools/timeline.py` does.
"""

from __future__ import annotations

import enum

from keeppool.clock import clock


class Lap(enum.Enum):
    """A step of a dial."""

    NAME = "name"
    CONNECT = "connect"
    PROXY = "proxy"
    TLS = "tls"


class Laps:
    """When the steps of one dial were begun. A step may come twice, as where kept addresses turn out to be old.

    Attributes:
        begun: Each step with the time it was begun; it lasts until the next one is, the last one until `ended`.
        ended: When the dial was over; `None` before, and where it failed.
        peer: IP address of the other end, where somebody has asked for it.
    """

    __slots__ = ("begun", "ended", "peer")

    def __init__(self) -> None:
        self.begun: list[tuple[Lap, float]] = []
        self.ended: float | None = None
        self.peer: str | None = None

    def begin(self, lap: Lap) -> None:
        """Take note that a step begins, and the one before it ends."""
        self.begun.append((lap, clock()))

    def end(self, peer: str | None) -> None:
        """Take note that the connection is open, and of the address at its other end."""
        self.ended = clock()
        self.peer = peer
