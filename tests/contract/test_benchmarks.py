"""The programs behind README's figures still run; what they measure is not a test's business."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from live.servers import program

pytestmark = pytest.mark.figures

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> str:
    """Run Python in the checkout, warnings as errors; give what it prints."""
    command = [sys.executable, "-W", "error", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=100).stdout


@pytest.mark.parametrize("way", [["-m", "benchmarks.sequential"], ["benchmarks/sequential.py"]], ids=["module", "file"])
def test_sequential_compares_clients_on_one_nginx(way):
    program("nginx")
    printed = json.loads(run(*way, "--rounds", "2", "--requests", "5", "--json"))
    assert {"bare socket loop", "http.client", "urllib3", "keeppool.Session", "keeppool.PoolManager"} <= set(
        printed["rows"]
    )
    assert printed["rows"]["bare socket loop"]["time_by_floor"] == 1.0


def test_sequential_says_what_it_needs_where_nginx_is_missing():
    code = "import shutil; shutil.which = lambda *_, **__: None; from benchmarks import sequential; sequential.main()"
    failed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert failed.stderr.strip().splitlines()[-1].startswith("nginx is not installed")


def test_tasks_compares_clients_on_one_nginx():
    program("nginx")
    printed = json.loads(run("-m", "benchmarks.tasks", "--rounds", "2", "--requests", "1", "--json"))
    assert "keeppool.AsyncPoolManager on asyncio" in printed["rows"]


def test_core_cost_takes_and_gives_back_one_connection():
    code = """
from benchmarks import core_cost
core_cost.LOADS = {"little": (10, 0), "waiters": (10, 10)}
core_cost.ROUNDS, core_cost.CALLS = 2, 10
core_cost.main()
"""
    lines = [line for line in run("-c", code).splitlines() if line.startswith(("| decided", "| with lock"))]
    assert len({line.split(" | ")[0] for line in lines}) == 4


def test_parts_takes_a_request_to_pieces():
    printed = run("-m", "benchmarks.parts", "--rounds", "1", "--requests", "20")
    assert "| Session.get, without the system |" in printed


def test_seen_compares_with_what_is_not_seen():
    program("nginx")
    printed = json.loads(run("-m", "benchmarks.seen", "--rounds", "2", "--requests", "5", "--json"))
    assert printed["rows"]["keeppool.Session"]["cpu_by_unheard"] == 1.0
    assert printed["rows"]["keeppool.Session, a Recorder"]["cpu_by_unheard"] > 0


def test_probe_cost_looks_at_plain_and_tls():
    assert [line[:6] for line in run("benchmarks/probe_cost.py").splitlines()[-2:]] == ["| plai", "| TLS "]


def test_import_cost_compares_with_others():
    code = "from benchmarks import import_cost; import_cost.ROUNDS = 1; import_cost.main()"
    assert "| `import keeppool` |" in run("-c", code)


def test_httpx_compares_transports_below_the_same_clients():
    program("nginx")
    pytest.importorskip("httpx2")
    for way in (["-m", "benchmarks.httpx"], ["benchmarks/httpx.py"]):
        rows = json.loads(run(*way, "--rounds", "1", "--requests", "2", "--json"))["rows"]
        assert {f"GET: {name}, over keeppool" for name in ("httpx", "httpx2", "httpx, tasks", "httpx2, tasks")} <= set(
            rows
        )
        assert rows["events: httpx, over its own"]["cpu_by_own"] == 1.0


def test_sdk_counts_errors_over_each_transport():
    pytest.importorskip("openai")
    lines = [line for line in run("-m", "benchmarks.sdk", "--requests", "9").splitlines() if "keeppool" in line]
    assert len([line for line in lines if line.startswith("| ")]) == 2


def test_watched_measures_a_process_alone_and_looked_at():
    program("nginx")
    printed = json.loads(run("-m", "benchmarks.watched", "--pairs", "1", "--seconds", "0.5", "--json"))
    assert printed["rate"] > 0
    assert printed["rate_by_alone"] > 0
    assert 0 < printed["look_ms"] < 1000
