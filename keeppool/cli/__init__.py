"""The command `keeppool`: one file a verb.

Decides: which verb runs, and with which exit code what may end it early is reported.
Knows: the public names of the other rooms, and rich (the extra `cli`), which is imported only when a verb runs.
Does not know: anything the library would need; the library does not know the command.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from keeppool.cli.arguments import parse
from keeppool.cli.endings import Exit, UsageError, interruptible, silence
from keeppool.errors import ConfigError, KeepPoolError

_NEEDS_RICH = (
    "keeppool's command needs rich: python -m pip install 'keeppool[cli]', or '.[cli]' in the folder of its source"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: Arguments without the program's name; those of the process if not given.

    Returns:
        The exit code: one of `Exit`.

    Raises:
        SystemExit: From argparse, for `--help`, `--version` and arguments it cannot read.
    """
    if sys.stderr is None:  # closed by whoever started the process
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # for the rest of the process
    try:
        with interruptible():
            return _run(parse(argv))
    except (ConfigError, UsageError) as error:
        return _end(Exit.USAGE, str(error))
    except KeyboardInterrupt:
        return _end(Exit.INTERRUPTED, "interrupted")
    except BrokenPipeError:
        silence()
        return Exit.FAILED
    except OSError as error:  # such as a full disk behind standard output
        # What has no name of a file was written to a standard stream.
        nameless = error.errno is not None and error.filename is None and not isinstance(error, KeepPoolError)
        code = _end(Exit.FAILED, f"cannot write the output: {error.strerror}" if nameless else str(error))
        silence()
        return code


def _run(arguments: Namespace) -> int:
    if sys.stdout is None:
        raise UsageError("standard output is closed")
    try:
        importlib.import_module("rich")
    except ImportError as error:
        raise UsageError(_NEEDS_RICH) from error
    verb = importlib.import_module(f"keeppool.cli.{arguments.verb}")
    code: int = verb.run(arguments)
    sys.stdout.flush()
    return code


def _end(code: Exit, why: str) -> Exit:
    with contextlib.suppress(OSError):  # nobody may read it any more
        sys.stderr.write(f"keeppool: {why}\n")
    return code
