"""The pool that binds late against a naive model, driven at random; `KEEPPOOL_EXAMPLES=500` is thorough."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from late_machine import LateMachine

THOROUGH = os.environ.get("KEEPPOOL_EXAMPLES")

TestLatePool = LateMachine.TestCase
TestLatePool.settings = settings(
    max_examples=int(THOROUGH or 100),
    stateful_step_count=50,
    derandomize=THOROUGH is None,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
