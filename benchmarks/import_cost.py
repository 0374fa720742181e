"""What importing costs: keeppool's name alone, its Session, requests.

Each import runs in a fresh interpreter, in turns, and is timed inside it, so that starting Python does not count.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measure import installed, machine, table

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 15
YARDSTICK = "import requests"
STATEMENTS = ("import keeppool", "from keeppool import Session", "import urllib3", YARDSTICK)
TIMED = "import time; began = time.perf_counter(); {}; print(time.perf_counter() - began)"


def milliseconds(statement: str) -> float:
    """Run one import in a new interpreter."""
    command = [sys.executable, "-c", TIMED.format(statement)]
    return float(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout) * 1000


def main() -> None:
    """Measure and print."""
    statements = [statement for statement in STATEMENTS if statement != YARDSTICK or installed("requests")]
    if YARDSTICK not in statements:
        print("left out: requests (not installed)", file=sys.stderr)
    times: dict[str, list[float]] = {statement: [] for statement in statements}
    for _ in range(ROUNDS + 1):
        for statement, own in times.items():
            own.append(milliseconds(statement))
    # The first round is a warm-up: it writes the compiled modules.
    medians = {statement: statistics.median(own[1:]) for statement, own in times.items()}
    print(f"{machine('urllib3', 'requests')}; medians of {ROUNDS}\n")
    yardstick = medians.get(YARDSTICK)
    rows = [
        [f"`{statement}`", f"{ms:.1f}", f"{ms / yardstick:.2f}" if yardstick else "-"]
        for statement, ms in medians.items()
    ]
    print(table(["statement", "ms", "against requests"], rows))


if __name__ == "__main__":
    main()
