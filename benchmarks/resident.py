"""What a whole process keeps in memory at its peak, Python and the client's modules included.

Knows: how an operating system tells. Does not know: what the process does.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from typing import Self

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


class Growth:
    """How much more memory a process keeps at its peak within a block than it did before.

    Attributes:
        mib: That, once the block has ended.
    """

    mib = 0.0

    def __enter__(self) -> Self:
        refs = Path("/proc/self/clear_refs")
        if refs.exists():
            refs.write_text("5")  # Linux begins the peak anew.
        self._before = own_peak_mib()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.mib = own_peak_mib() - self._before


def growth_mib(module: str, *arguments: str) -> float:
    """Call `module.alone(*arguments)` in a fresh interpreter, and give what it gives."""
    code = (
        "import sys; from importlib import import_module; module, *arguments = sys.argv[1:];"
        "print(import_module(module).alone(*arguments))"
    )
    command = [sys.executable, "-c", code, module, *arguments]
    return float(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout)
