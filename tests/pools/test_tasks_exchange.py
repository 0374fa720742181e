"""Everything `test_exchange.py` holds for threads, on an event loop."""

from __future__ import annotations

import pytest
import test_exchange
from on_a_loop import PoolOnALoop
from test_exchange import *  # noqa: F403 - the tests themselves

# They look into a socket's own timer.
del test_a_timeout_of_one_request_is_not_the_next_ones, test_a_body_has_the_read_timeout_whatever_its_head_has_taken  # noqa: F821


@pytest.fixture(autouse=True)
def on_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every test of this module open its pools on an event loop."""
    monkeypatch.setattr(test_exchange, "PoolManager", PoolOnALoop)
