"""From moments to phases: whatever was noted, they follow one another and add up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from keeppool.net.laps import Laps
from keeppool.phases import Dial, Moments, Phases, Step, phases_of

SECONDS = st.floats(0, 100)
GAPS = st.lists(SECONDS, min_size=7, max_size=7)


def total(phases: Phases) -> float:
    return sum(seconds or 0.0 for seconds in phases)


@given(GAPS, st.integers(0, 7), st.lists(st.sampled_from(Step), max_size=5), st.booleans(), SECONDS)
def test_they_add_up_whatever_was_noted_and_wherever_it_ended(gaps, reached, steps, is_open, before):
    """Moments in their order: begun, the steps of a dial, open, the attempt, sent, first byte, ended."""
    at = [100 + sum(gaps[:number]) for number in range(8)]
    dial = Dial([(step, at[1] - before + number / 10) for number, step in enumerate(steps)], at[2] if is_open else None)
    noted = Moments(at[0], dial, 0.0, *(at[3 + n] if reached > n else None for n in range(3)), at[7])
    phases = phases_of(noted)
    assert all(seconds is None or seconds >= 0 for seconds in phases)
    assert abs(total(phases) - (at[7] - at[0])) < 1e-6, "a dial is cut to the time before the attempt"


def test_a_response_may_come_before_the_request_is_sent():
    phases = phases_of(Moments(0.0, None, 0.0, 1.0, 3.0, 2.0, 4.0))
    assert (phases.sending_s, phases.first_byte_s, phases.receiving_s) == (1.0, 0.0, 2.0)


def test_a_dial_that_was_broken_off_before_its_first_step_has_taken_no_time():
    dial = Laps().dial(5.0)
    assert dial == Dial((), None)
    assert phases_of(Moments(0.0, dial, 0.0, None, None, None, 2.0)) == Phases(2.0, 0.0, None, None, None, None)


def test_a_step_that_was_over_before_the_request_is_none_of_it():
    laps = Laps()
    for step in (Step.NAME, Step.CONNECT, Step.TLS):
        laps.begin(step)
    laps.end("192.0.2.1")
    (_, name), (_, connect), (_, tls) = laps.begun
    assert laps.dial(tls).begun == ((Step.TLS, tls),)
    assert laps.dial(connect).begun[0] == (Step.CONNECT, connect)
    assert len(laps.dial(name - 1).begun) == 3
    assert laps.dial(laps.ended).begun == ()


def test_a_name_that_was_looked_up_twice_has_taken_both_times():
    steps = ((Step.NAME, 0.0), (Step.CONNECT, 1.0), (Step.NAME, 3.0), (Step.CONNECT, 3.5))
    phases = phases_of(Moments(0.0, Dial(steps, 4.0), 0.0, 4.0, 4.1, 4.2, 4.3))
    assert (phases.name_s, phases.connect_s) == (1.5, 2.5)
