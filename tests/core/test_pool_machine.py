"""The pool against a naive model, driven at random; `KEEPPOOL_EXAMPLES=500` runs the thorough version."""

from __future__ import annotations

from dice import driven
from pool_machine import PoolMachine

TestPool = PoolMachine.TestCase
TestPool.settings = driven(100)
