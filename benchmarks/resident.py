"""What a whole process keeps in memory at its peak, Python and the client's modules included.

Knows: how an operating system tells. Does not know: what the process does.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def own_peak_mib() -> float:
    """Give this process's peak. Linux keeps it per program; elsewhere it may include what ran before `exec`."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def peak_mib(module: str, *arguments: str) -> float:
    """Call `module.alone(*arguments)` in a fresh interpreter, and give its peak."""
    code = (
        "import sys; from importlib import import_module; module, *arguments = sys.argv[1:];"
        "import_module(module).alone(*arguments);"
        "from benchmarks.resident import own_peak_mib; print(own_peak_mib())"
    )
    command = [sys.executable, "-c", code, module, *arguments]
    return float(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout)
