"""The program that compares urllib3 with the drop-ins still runs; what it measures is no test's business."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from live.servers import program

pytestmark = pytest.mark.figures

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("way", [["-m", "benchmarks.dropins"], ["benchmarks/dropins.py"]], ids=["module", "file"])
def test_dropins_compares_managers_and_host_pools_on_one_nginx(way):
    program("nginx")
    command = [sys.executable, "-W", "error", *way, "--rounds", "2", "--requests", "5", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=100)
    rows = json.loads(done.stdout)["rows"]
    assert set(rows) == {
        f"{side}'s {kind}" for side in ("urllib3", "keeppool") for kind in ("PoolManager", "HTTPConnectionPool")
    }
    assert rows["urllib3's PoolManager"]["rate_by_urllib3"] == 1.0
