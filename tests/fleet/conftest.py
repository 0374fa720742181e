"""A real Redis for each test; skipped where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from live import servers


@pytest.fixture
def redis_port(tmp_path: Path) -> Iterator[int]:
    """The port of a Redis with nothing in it."""
    pytest.importorskip("redis")
    with servers.redis(tmp_path) as server:
        yield server.port
