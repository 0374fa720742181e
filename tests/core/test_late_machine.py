"""The pool that binds late against a naive model, driven at random; `KEEPPOOL_EXAMPLES=500` is thorough."""

from __future__ import annotations

from dice import driven
from late_machine import LateMachine

TestLatePool = LateMachine.TestCase
TestLatePool.settings = driven(100)
