"""The command as a process of its own, for what ends a process: signals, closed pipes, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import keeppool

#: Where the package is, so that the process finds the one under test, installed or not.
HOME = str(Path(keeppool.__file__).parents[1])
#: Seconds after which a command that does not end has failed its test.
LIMIT_S = 60

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start the command: `start("fetch", url, path=folder)` puts a folder in front of the module path."""
    with ExitStack() as stack:

        def run(
            *arguments: str, path: Path | None = None, stdin: int = subprocess.DEVNULL, warnings: str = "ignore"
        ) -> subprocess.Popen[str]:
            paths = [str(path), HOME] if path else [HOME]
            process = subprocess.Popen(
                [sys.executable, "-W", warnings, "-m", "keeppool", *arguments],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
                # A test run in a shell's background ignores Ctrl-C, and its children would inherit that.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield run


@pytest.fixture
def run(start: Start) -> Callable[..., tuple[int, str, str]]:
    """Run the command to its own end: exit code, standard output, standard error. A socket left open is an error."""

    def finish(*arguments: str, text: str | None = None, path: Path | None = None) -> tuple[int, str, str]:
        process = start(*arguments, path=path, stdin=subprocess.PIPE, warnings="error")
        out, err = process.communicate(text or "", timeout=LIMIT_S)
        return process.returncode, out, err

    return finish


def lines_of(out: str) -> list[dict[str, Any]]:
    """Read JSON lines."""
    return [json.loads(line) for line in out.splitlines()]
