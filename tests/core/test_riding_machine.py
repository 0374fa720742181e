"""The pool whose callers ride against a naive model, driven at random; `KEEPPOOL_EXAMPLES=500` is thorough."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from riding_machine import RidingMachine

THOROUGH = os.environ.get("KEEPPOOL_EXAMPLES")

TestRidingPool = RidingMachine.TestCase
TestRidingPool.settings = settings(
    max_examples=int(THOROUGH or 100),
    stateful_step_count=50,
    derandomize=THOROUGH is None,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
