"""Everything `test_routes.py` holds for threads, on an event loop."""

from __future__ import annotations

import pytest
import test_routes
from on_a_loop import PoolOnALoop
from test_routes import *  # noqa: F403 - the tests themselves


@pytest.fixture(autouse=True)
def on_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every test of this module open its pools on an event loop."""
    monkeypatch.setattr(test_routes, "PoolManager", PoolOnALoop)
