"""How a `Replay` uses its file, and who says it.

Decides: that what a test says wins over the environment, and that nothing is recorded where nobody says so.
Does not know: files.
"""

from __future__ import annotations

import os
from typing import Final

from keeppool.checks import bad

#: The variable of the environment that says how files are used whose test does not say it.
MODE_VARIABLE: Final = "KEEPPOOL_REPLAY"
#: How a file may be used.
MODES: Final = ("play", "record", "once", "extend")


def mode_of(path: object, mode: str | None) -> str:
    """Find out how a file is used.

    Args:
        path: The file, if there is one.
        mode: What the test says.

    Raises:
        ConfigError: It is none of `MODES`.
    """
    given = mode
    if given is None:
        given = os.environ.get(MODE_VARIABLE) or "play"
    elif path is None:
        raise bad("mode", mode, "there is no file to play or to record")
    if given not in MODES:
        name = "mode" if mode is not None else MODE_VARIABLE
        raise bad(name, given, f"must be one of {', '.join(map(repr, MODES))}", kind="path")
    return given
