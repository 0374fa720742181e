"""`Laps`: the steps of one dial, and when each was begun.

Knows: the clock.
Does not know: who dials, and what comes of the figures; `keeppool/phases.py` does.
"""

from __future__ import annotations

from keeppool.clock import clock
from keeppool.phases import Dial
from keeppool.reasons import Step


class Laps:
    """When the steps of one dial were begun.

    Attributes:
        begun: Each step with the time.
        ended: When the connection was open; `None` before, and where the dial failed.
        peer: IP address of the other end, where somebody has asked for it.
    """

    __slots__ = ("begun", "ended", "peer")

    def __init__(self) -> None:
        self.begun: list[tuple[Step, float]] = []
        self.ended: float | None = None
        self.peer: str | None = None

    def begin(self, step: Step) -> None:
        """Take note that a step begins, and the one before it ends."""
        self.begun.append((step, clock()))

    def end(self, peer: str | None) -> None:
        """Take note that the connection is open, and of the address at its other end."""
        self.ended = clock()
        self.peer = peer

    def dial(self, since: float) -> Dial:
        """Give what was noted of the time from a moment on: a step that was over by then is left out."""
        steps = self.begun.copy()
        ends = [*(at for _, at in steps[1:]), self.ended]
        # Not strictly: of a dial that was broken off before its first step there are none.
        begun = [
            (step, max(at, since)) for (step, at), end in zip(steps, ends, strict=False) if end is None or end > since
        ]
        return Dial(tuple(begun), self.ended)
