"""The pool whose callers are threads against a naive model, driven at random; `KEEPPOOL_EXAMPLES=500` is thorough."""

from __future__ import annotations

from barging_machine import BargingMachine
from dice import driven

TestBargingPool = BargingMachine.TestCase
TestBargingPool.settings = driven(100)
