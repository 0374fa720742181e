"""Recorder and FakeClock."""

from __future__ import annotations

import threading

import pytest

from keeppool.events import RequestQueued, RequestServed
from keeppool.testing import FakeClock, recorded_events

QUEUED = RequestQueued("http://a:80", 1)
SERVED = RequestServed("http://a:80", 0.5)


def test_events_are_kept_in_order_and_found_by_class():
    events = recorded_events()
    for event in (QUEUED, SERVED, QUEUED):
        events(event)
    assert list(events) == [QUEUED, SERVED, QUEUED]
    assert events.of(RequestServed) == [SERVED]
    assert len(events) == 3
    events.clear()
    assert events.events == []


def test_waiting_ends_with_the_last_event_asked_for():
    events = recorded_events()
    threads = [threading.Thread(target=events, args=(QUEUED,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert events.wait_for(RequestQueued, n=5) == [QUEUED] * 5
    for thread in threads:
        thread.join()


def test_waiting_in_vain_says_what_came_instead():
    events = recorded_events()
    events(QUEUED)
    with pytest.raises(TimeoutError, match="1 RequestServed; events so far: RequestQueued"):
        events.wait_for(RequestServed, timeout=0)
    with pytest.raises(TimeoutError, match="2 RequestQueued"):
        events.wait_for(RequestQueued, n=2, timeout=0)


def test_the_clock_moves_when_told_and_never_back():
    clock = FakeClock(10.0)
    assert clock() == clock() == 10.0
    assert clock.advance(2.5) == clock() == 12.5
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)
    assert clock() == 12.5
