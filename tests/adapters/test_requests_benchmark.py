"""The program that compares requests with and without the mount still runs; what it measures is no test's business."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from live.servers import program

pytestmark = pytest.mark.figures

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("way", [["-m", "benchmarks.mount"], ["benchmarks/mount.py"]], ids=["module", "file"])
def test_mount_compares_two_sessions_on_one_nginx(way):
    program("nginx")
    command = [sys.executable, "-W", "error", *way, "--rounds", "2", "--requests", "5", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=100)
    rows = json.loads(done.stdout)["rows"]
    assert set(rows) == {"requests", "requests, keeppool mounted", "requests, answered from memory"}
    assert rows["requests"]["rate_by_requests"] == 1.0
