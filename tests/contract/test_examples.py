"""Every example runs as it stands."""

import subprocess
import sys
from pathlib import Path

import pytest
from live import servers

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


def test_there_are_examples():
    assert EXAMPLES


def marked(example: Path):
    """An SDK's example runs where the SDKs' tests do."""
    marks = [pytest.mark.sdk] if example.name.startswith(("sdk", "openai", "dask")) else []
    return pytest.param(example, id=example.name, marks=marks)


@pytest.mark.parametrize("example", [marked(example) for example in EXAMPLES])
def test_an_example_runs_and_says_something(example):
    if "redis-server" in example.read_text(encoding="utf-8"):
        servers.program("redis-server")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(example)], capture_output=True, text=True, check=False, timeout=100
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()
