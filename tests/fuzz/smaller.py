"""Makes a failing input small: cuts out parts of it for as long as it fails in the same way."""

from __future__ import annotations

import traceback
from collections.abc import Callable


def failure(run: Callable[[bytes], None], data: bytes) -> tuple[type[BaseException], str, int] | None:
    """Say how a target fails: by which error, raised where; `None` if it does not."""
    try:
        run(data)
    except Exception as error:  # whatever it is
        place = traceback.extract_tb(error.__traceback__)[-1]
        return type(error), place.filename, place.lineno or 0
    return None


def smaller(run: Callable[[bytes], None], data: bytes) -> bytes:
    """Give the shortest input found that fails as `data` does; `data` itself if it does not fail."""
    wanted = failure(run, data)
    if wanted is None:
        return data
    size = len(data) // 2
    while size:
        at = 0
        while at < len(data):
            shorter = data[:at] + data[at + size :]
            if failure(run, shorter) == wanted:
                data = shorter
            else:
                at += size
        size //= 2
    return data
