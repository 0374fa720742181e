"""How many of the bytes that the kernel has taken the peer has not acknowledged yet.

A kernel takes megabytes ahead of a slow peer, and says that there is room again only when a third of its buffer is
free. What it still holds tells whether the peer takes anything meanwhile.

Knows: the question, which Linux answers. Elsewhere the answer is `None`, and only what a send accepts is progress.
Does not know: who wants to send.
"""

from __future__ import annotations

import sys
from typing import Any

from keeppool.forks import undivided


def held_bytes(sock: Any) -> int | None:
    """Tell how many bytes the kernel still holds of what was sent on a socket; `None` if it cannot be told."""
    # macOS has the question, and answers it for terminals only.
    if sys.platform != "linux":
        return None
    try:
        # Imported here: two libraries to be loaded, for those whose peers are slow to take a large body. Where no
        # descriptor is left for that, it cannot be told.
        with undivided:
            import fcntl
            import termios

        # SIOCOUTQ has the same number; see tcp(7).
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    except (OSError, ValueError, ImportError):
        return None
    return int.from_bytes(answer, sys.byteorder)
