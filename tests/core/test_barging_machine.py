"""The pool whose callers are threads against a naive model, driven at random; `KEEPPOOL_EXAMPLES=500` is thorough."""

from __future__ import annotations

import os

from barging_machine import BargingMachine
from hypothesis import HealthCheck, settings

THOROUGH = os.environ.get("KEEPPOOL_EXAMPLES")

TestBargingPool = BargingMachine.TestCase
TestBargingPool.settings = settings(
    max_examples=int(THOROUGH or 100),
    stateful_step_count=50,
    derandomize=THOROUGH is None,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
