"""The pool whose callers ride against a naive model, driven at random; `KEEPPOOL_EXAMPLES=500` is thorough."""

from __future__ import annotations

from dice import driven
from riding_machine import RidingMachine

TestRidingPool = RidingMachine.TestCase
TestRidingPool.settings = driven(100)
