"""The state machine that drives a `Line` at random, beside a clerk who counts every start again at each question."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pool_machine import core_of

from keeppool.config import Pace

anyone = st.integers(0, 7)
gaps = st.sampled_from([0.125, 0.5, 2.0])
paces = st.one_of(
    st.none(),
    st.builds(lambda gap, burst: Pace(interval=gap, burst=burst), gaps, st.sampled_from([1, 1, 2, 5])),
    st.builds(lambda gap: Pace(interval=gap, since="end"), gaps),
)


class PaceMachine(RuleBasedStateMachine):
    """Callers, a server that says Retry-After, and a clock around one line."""

    core = core_of("keeppool.core")

    @initialize(pace=paces)
    def begin(self, pace: Pace | None) -> None:
        self.pace = pace
        self.line = self.core.pace.Line("a:80", pace)
        self.now = 1000.0
        self.waiting: list[Any] = []
        self.returned: list[Any] = []
        self.going: list[Any] = []
        self.running: list[Any] = []
        self.starts: list[float] = []
        #: The same, and dials that failed: what the next start is counted from.
        self.moves: list[float] = []
        self.ends: list[float] = []
        self.held_until = 0.0

    @rule(how_many=st.integers(1, 9))
    def come(self, how_many: int) -> None:
        for _ in range(how_many):
            turn = self.core.pace.Turn(self.line, self.now)
            self.line.joined(turn)
            self.waiting.append(turn)
        self._let_in()

    @rule(seconds=st.sampled_from([0.0, 0.0625, 0.125, 0.5, 1.0, 3.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self._let_in()

    @precondition(lambda self: self.line.opens_at() < 1e9)
    @rule()
    def its_time_comes(self) -> None:
        """The clock goes on to the moment at which the first in line is let go."""
        self.now = max(self.now, self.line.opens_at())
        self._let_in()

    @precondition(lambda self: self.going)
    @rule(who=anyone)
    def start(self, who: int) -> None:
        turn = self.going.pop(who % len(self.going))
        if self.line.starts(turn, self.now):
            assert self.now >= self.held_until, "started although the server had said when to come again"
            if self.pace is not None and self.pace.since == "end":
                assert not self.running, "two requests at a time"
                assert not self.ends or self.now >= self.ends[-1] + self.pace.gap, "too early after an end"
                self.running.append(turn)
            self.starts.append(self.now)
            self.moves.append(self.now)
        else:
            self.returned.append(turn)
            assert self.now < self._earliest(), "sent back although it might have started"
        self._let_in()

    @precondition(lambda self: self.going)
    @rule(who=anyone)
    def fail_to_connect(self, who: int) -> None:
        turn = self.going.pop(who % len(self.going))
        self.line.failed(turn, self.now)
        self.line.left(turn, self.now)
        self.moves.append(self.now)
        self.ends.append(self.now)
        self._let_in()

    @precondition(lambda self: self.running)
    @rule()
    def end(self) -> None:
        self.line.left(self.running.pop(), self.now)
        self.ends.append(self.now)
        self._let_in()

    @precondition(lambda self: self.waiting or self.returned or self.going)
    @rule(who=anyone)
    def give_up(self, who: int) -> None:
        places = [place for place in (self.waiting, self.returned, self.going) if place]
        place = places[who % len(places)]
        self.line.left(place.pop(who % len(place)), self.now)
        self._let_in()

    @rule(seconds=st.sampled_from([0.25, 2.0, 5.0]))
    def retry_after(self, seconds: float) -> None:
        self.line.held(seconds, self.now)
        self.held_until = max(self.held_until, self.now + seconds)

    def _let_in(self) -> None:
        gone = self.line.let_in(self.now)
        line = self.returned + self.waiting
        assert gone == line[: len(gone)], "not first come first served"
        assert not gone or self.now >= self.held_until, "let go although the server had said when to come again"
        self.going += gone
        self.returned = [turn for turn in self.returned if turn not in gone]
        self.waiting = [turn for turn in self.waiting if turn not in gone]

    def _earliest(self) -> float:
        """When the next start may be, from all there have been."""
        earliest, gap, burst = self.held_until, 0.0, 1
        if self.pace is not None:
            gap, burst = self.pace.gap, self.pace.burst
        if self.pace is not None and self.pace.since == "end":
            return max(earliest, *(end + gap for end in self.ends[-1:])) if self.ends else earliest
        due = -math.inf
        for move in self.moves:
            due = max(due, move) + gap
        return max(earliest, due - (burst - 1) * gap)

    @invariant()
    def no_stretch_has_too_many_starts(self) -> None:
        if self.pace is None or self.pace.since == "end":
            return
        for first in range(len(self.starts)):
            stretch = self.starts[-1] - self.starts[first]
            count = len(self.starts) - first
            assert count <= math.floor(stretch / self.pace.gap) + self.pace.burst, "more starts than the pace has"

    @invariant()
    def nobody_waits_whose_time_has_come(self) -> None:
        if (self.waiting or self.returned) and not self.going and not self.running:
            assert self.now < self._earliest(), "a line stands still although its first may go"
            assert self.line.opens_at() == self._earliest(), "the first in line is called too late, or too early"

    @invariant()
    def the_line_is_who_stands_in_it(self) -> None:
        assert list(self.line) == self.returned + self.waiting
        assert len(self.line) == len(self.returned) + len(self.waiting)
        assert self.line.started == len(self.starts)

    @invariant()
    def it_is_forgotten_only_when_nobody_could_tell(self) -> None:
        if self.line.is_idle(self.now):
            assert not self.waiting + self.returned + self.going + self.running
            assert self.now >= self._earliest()
