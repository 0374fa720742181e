"""Output that cannot be written."""

import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="skipped: this system has no /dev/full")
def test_a_full_disk_behind_standard_output_is_one_line_and_exit_code_1():
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "keeppool", "demo", "--pages", "5", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr == "keeppool: cannot write the output: No space left on device\n"
