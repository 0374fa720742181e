"""A line whose starts are reserved in a fleet: how many at a time, and what becomes of one that was not used."""

from __future__ import annotations

from keeppool.config import Pace
from keeppool.core.pace import AHEAD, Line, Turn

#: A power of two, so that sums of it are exact.
GAP = 1 / 128


def line_of(callers: int) -> Line:
    line = Line("a", Pace(interval=GAP), is_shared=True)
    for _ in range(callers):
        line.joined(Turn(line, 0.0))
    return line


def test_starts_are_reserved_for_all_in_line_and_again_when_half_are_gone() -> None:
    line = line_of(20)
    assert line.is_short
    assert line.call_begins(0.0).starts == 20
    assert not line.is_short, "asked for, and not told yet"
    line.told([n * GAP for n in range(20)], 0.0, None, 0.0)
    for n in range(10):
        assert not line.is_short
        (turn,) = line.let_in(n * GAP)
        assert line.starts(turn, n * GAP)
        line.joined(Turn(line, n * GAP))
    assert line.is_short
    assert line.call_begins(0.0).starts == 10


def test_no_more_are_reserved_than_fit_into_a_moment() -> None:
    assert line_of(1000).call_begins(0.0).starts == int(AHEAD / GAP)


def test_a_line_that_was_not_told_can_be_called_about_all_the_same() -> None:
    """Whoever renews asks for what is wanted, whether or not another call was lost."""
    line = line_of(4)
    line.call_begins(0.0)
    assert line.call_begins(0.0).starts == 4


def test_one_that_comes_too_early_to_its_start_keeps_it() -> None:
    """The one before came late to its own, so this one waits for a moment; it needs no other start for that."""
    line = line_of(2)
    line.told([0.0, GAP], 0.0, None, 0.0)
    (late,) = line.let_in(0.0)
    assert line.starts(late, GAP / 2)
    (early,) = line.let_in(1.5 * GAP)
    assert line.starts(early, 1.5 * GAP)

    line = line_of(2)
    line.told([0.0, GAP], 0.0, None, 0.0)
    first, second = *line.let_in(0.0), *line.let_in(GAP)
    assert line.starts(first, GAP)
    assert not line.starts(second, 1.2 * GAP)
    assert line.call_begins(0.0).starts == 0, "it has one"
    assert line.opens_at() == 2 * GAP
    assert line.let_in(1.9 * GAP) == []
    assert line.let_in(2 * GAP) == [second]
    assert line.starts(second, 2 * GAP)


def test_a_start_that_nobody_was_there_for_is_lost() -> None:
    line = line_of(1)
    line.told([0.0], 0.0, None, 0.0)
    assert line.let_in(2 * AHEAD) == []
    assert line.is_short


def test_what_a_call_that_failed_was_to_tell_the_others_is_told_by_the_next() -> None:
    """A Retry-After, for as long as it holds by then; and that a request has ended."""
    line = Line("a", Pace(interval=1, since="end"), is_shared=True)
    line.joined(turn := Turn(line, 0.0))
    line.told([0.0], 0.0, None, 0.0)
    line.let_in(0.0)
    assert line.starts(turn, 0.0)
    line.held(30.0, 0.0)
    line.left(turn, 0.0)
    told = line.call_begins(1.0)
    assert (told.holds, told.ended) == (29.0, True)
    line.call_begins(1.5)  # Redis has not answered, so it is asked for what holds then
    line.told([], 0.0, 1, 1.5)
    told = line.call_begins(2.0)
    assert (told.holds, told.ended) == (28.0, True)
    line.told([], 28.0, None, 2.0)
    assert not line.has_news
    told = line.call_begins(3.0)
    assert (told.holds, told.ended) == (0.0, False)


def test_a_retry_after_that_the_fleet_does_not_know_any_more_is_told_again() -> None:
    """Redis has lost its memory, or has heard it from nobody while it was away."""
    line = Line("a", Pace(interval=1), is_shared=True)
    line.held(30.0, 0.0)
    line.call_begins(0.0)
    line.told([], 29.5, None, 0.5)
    assert not line.has_news
    line.told([], 0.0, None, 10.0)
    assert line.has_news
    assert line.call_begins(12.0).holds == 18.0


def test_a_line_that_the_fleet_has_forgotten_while_redis_was_away_has_it_asked_again() -> None:
    line = line_of(0)
    line.told([], 0.0, 2, 0.0)
    line.held(30.0, 0.0)
    line.shares_again()
    assert line.has_news
    line.joined(Turn(line, 40.0))
    assert line.is_short


def test_a_line_whose_call_was_lost_is_short_again_and_has_its_news() -> None:
    line = line_of(4)
    line.held(30.0, 0.0)
    line.call_begins(0.0)
    assert not line.is_short
    assert not line.has_news
    line.call_lost()
    assert line.is_short
    assert line.call_begins(1.0).holds == 29.0
