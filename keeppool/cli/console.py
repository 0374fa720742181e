"""Where the command writes: the two consoles, JSON lines, and text that came from elsewhere.

Decides: that nothing from a server or a file can steer the terminal.
Knows: rich. It takes care of NO_COLOR, of files and of narrow terminals.
"""

from __future__ import annotations

import json
import os
from typing import Any

from rich.console import Console

from keeppool.tables import printable

#: Columns where there is no terminal to ask: the demo's table fits without folding.
_FILE_WIDTH = 100
#: Characters of a URL or an error that are shown; what errors themselves show of a URL is cut there too.
LONGEST_TEXT = 200


def standard_output() -> Console:
    """Make the console for results."""
    return _console(stderr=False)


def standard_error() -> Console:
    """Make the console for progress and failures."""
    return _console(stderr=True)


def write_json(console: Console, value: dict[str, Any]) -> None:
    """Write one object as one line, at once, for a reader while the command runs."""
    console.file.write(json.dumps(value) + "\n")
    console.file.flush()


def shortened(text: str, longest: int = LONGEST_TEXT) -> str:
    """Make a text printable, and cut it if it would fill the screen."""
    return printable(text if len(text) <= longest else f"{text[:longest]}…")


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _FILE_WIDTH
    return console
