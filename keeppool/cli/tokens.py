"""The token that a process on a port wants to hear.

Decides: where it is taken from: an argument could be read by every user of the machine.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from keeppool.cli.console import shortened
from keeppool.cli.endings import UsageError

#: Where it is, if no file is named.
_VARIABLE: Final = "KEEPPOOL_TOKEN"


def token_of(file: str | None) -> str | None:
    """Read the token, from a file or from the environment.

    Raises:
        UsageError: The file cannot be read.
    """
    if file is None:
        return os.environ.get(_VARIABLE)
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise UsageError(f"the token cannot be read from {shortened(file)}: {error}") from error
