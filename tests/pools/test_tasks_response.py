"""Everything `test_response.py` holds for threads, on an event loop."""

from __future__ import annotations

import pytest
import test_response
from on_a_loop import PoolOnALoop
from test_response import *  # noqa: F403 - the tests themselves

del test_a_response_can_be_wrapped_as_a_file, test_a_line_of_a_live_stream_is_not_held_back  # noqa: F821 - files are not awaited


@pytest.fixture(autouse=True)
def on_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every test of this module open its pools on an event loop."""
    monkeypatch.setattr(test_response, "PoolManager", PoolOnALoop)
