"""Both kinds of pool in a fleet against naive models, driven at random; `KEEPPOOL_EXAMPLES=500` is thorough."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from permit_machine import LatePermitMachine, PermitMachine

THOROUGH = os.environ.get("KEEPPOOL_EXAMPLES")

TestPermits = PermitMachine.TestCase
TestLatePermits = LatePermitMachine.TestCase
TestPermits.settings = TestLatePermits.settings = settings(
    max_examples=int(THOROUGH or 60),
    stateful_step_count=50,
    derandomize=THOROUGH is None,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
