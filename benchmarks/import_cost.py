"""What importing costs: keeppool's name alone, its Session, requests.

Each import runs in a fresh interpreter, in turns, and is timed inside it, so that starting Python does not count. All
modules are compiled before, whatever the environment says about that (`PYTHONDONTWRITEBYTECODE`).
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import program
from benchmarks.program import Effort, Rows

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 15
YARDSTICK = "import requests"
STATEMENTS = ("import keeppool", "from keeppool import Session", "import urllib3", YARDSTICK)
TIMED = "import time; began = time.perf_counter(); {}; print(time.perf_counter() - began)"


def milliseconds(statement: str, compiled: str) -> float:
    """Run one import in a new interpreter, which keeps compiled modules in the folder `compiled`."""
    command = [sys.executable, "-c", TIMED.format(statement)]
    around = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    around["PYTHONPYCACHEPREFIX"] = compiled
    done = subprocess.run(command, cwd=ROOT, env=around, capture_output=True, text=True, check=True)
    return float(done.stdout) * 1000


def ask(effort: Effort) -> Rows:
    """Measure every module that is installed."""
    with tempfile.TemporaryDirectory() as compiled:
        return measured(effort, compiled)


def measured(effort: Effort, compiled: str) -> Rows:
    """Import each in turn."""
    statements = [statement for statement in STATEMENTS if importlib.util.find_spec(statement.split()[1])]
    for missing in set(STATEMENTS) - set(statements):
        print(f"left out: {missing.split()[1]} (not installed)", file=sys.stderr)
    times: dict[str, list[float]] = {statement: [] for statement in statements}
    for _ in range(effort.rounds + 1):
        for statement, own in times.items():
            own.append(milliseconds(statement, compiled))
    # The first round is a warm-up: it writes the compiled modules.
    medians = {statement: statistics.median(own[1:]) for statement, own in times.items()}
    yardstick = medians.get(YARDSTICK)
    return {
        f"`{statement}`": {"ms": ms, "time_by_requests": ms / yardstick if yardstick else None}
        for statement, ms in medians.items()
    }


def main() -> None:
    """Measure and print."""
    program.main(ask, Effort(ROUNDS, 1), about=__doc__, beside=("urllib3", "requests"))


if __name__ == "__main__":
    main()
