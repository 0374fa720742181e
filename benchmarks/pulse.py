"""What the machine is like: how long a system call takes, a step of Python, and an exchange with nothing around it.

Asked before all else, so that the figures behind it can be compared with those of another machine, or of another hour.
The bare loop is that of `sequential.py`: a keep-alive GET of 1 KiB from nginx by ready-made bytes.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import program
from benchmarks.clients import FLOOR, bare_socket
from benchmarks.measure import in_turns, median_us
from benchmarks.nginx_server import nginx
from benchmarks.program import Effort, Rows

CALLS = 10


def count() -> int:
    """Take some hundred steps of the interpreter."""
    total = 0
    for number in range(100):
        total += number
    return total


def ask(effort: Effort) -> Rows:
    """Measure all three."""
    with nginx() as url, contextlib.ExitStack() as stack:
        fetch = stack.enter_context(bare_socket(url))
        calls = {"a system call (`getppid`)": os.getppid, "a loop of 100 additions": count, FLOOR: fetch}
        costs = in_turns(calls, rounds=effort.rounds, each=CALLS * effort.requests)
    return {name: {"us_call": median_us(own)} for name, own in costs.items()}


if __name__ == "__main__":
    program.main(ask, Effort(30, 100), about=__doc__)
