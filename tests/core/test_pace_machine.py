"""The pace of a host against a clerk who counts again at every step; `KEEPPOOL_EXAMPLES=500` is thorough."""

from __future__ import annotations

from dice import driven
from pace_machine import PaceMachine

TestPace = PaceMachine.TestCase
TestPace.settings = driven(100)
