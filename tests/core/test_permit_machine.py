"""Both kinds of pool in a fleet against naive models, driven at random; `KEEPPOOL_EXAMPLES=500` is thorough."""

from __future__ import annotations

from dice import driven
from permit_machine import LatePermitMachine, PermitMachine

TestPermits = PermitMachine.TestCase
TestLatePermits = LatePermitMachine.TestCase
TestPermits.settings = TestLatePermits.settings = driven(60)
