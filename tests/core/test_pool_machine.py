"""The pool against a naive model, driven at random; `KEEPPOOL_EXAMPLES=500` runs the thorough version."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from pool_machine import PoolMachine

THOROUGH = os.environ.get("KEEPPOOL_EXAMPLES")

TestPool = PoolMachine.TestCase
# Derandomized by default: a build fails because of what changed, not because of the dice. The thorough run throws them.
TestPool.settings = settings(
    max_examples=int(THOROUGH or 100),
    stateful_step_count=50,
    derandomize=THOROUGH is None,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
