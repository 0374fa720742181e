"""What has to be done about a fork; nothing, where the operating system has none.

Decides: nothing.
Knows: that Windows has no `os.fork`, and Python then no `os.register_at_fork`.
Does not know: what is done. Each module says it for its own locks and tables.
"""

from __future__ import annotations

import os
from collections.abc import Callable


def in_child(function: Callable[[], object]) -> None:
    """Have a function called in each child that this process forks, before anything else runs there."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)
