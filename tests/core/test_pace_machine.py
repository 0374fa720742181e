"""The pace of a host against a clerk who counts again at every step; `KEEPPOOL_EXAMPLES=500` is thorough."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from pace_machine import PaceMachine

THOROUGH = os.environ.get("KEEPPOOL_EXAMPLES")

TestPace = PaceMachine.TestCase
TestPace.settings = settings(
    max_examples=int(THOROUGH or 100),
    stateful_step_count=50,
    derandomize=THOROUGH is None,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
