"""tinyproxy, squid, gunicorn, uvicorn and HAProxy close idle connections unannounced, and nothing is lost by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.live.unannounced import WAYS, measure

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", WAYS)
def test_no_request_is_lost_around_an_unannounced_close(name: str, tmp_path: Path) -> None:
    """But for POSTs that had been accepted before the close could be seen: nobody can know about these."""
    with WAYS[name](tmp_path) as target:
        outcome = measure(target, 200)
    assert (outcome.requests, outcome.lost_gets, outcome.lost_posts, outcome.twice) == (200, 0, 0, 0)
    assert outcome.crossed <= (0 if name == "tinyproxy" else 3)
