"""How many of the bytes that the kernel has taken the peer has not acknowledged yet.

A kernel takes megabytes ahead of a slow peer, and says that there is room again only when a third of its buffer is
free. What it still holds tells whether the peer takes anything meanwhile.

Knows: the question, which Linux answers. Elsewhere the answer is `None`, and only what a send accepts is progress.
Does not know: who wants to send.
"""

from __future__ import annotations

import struct
import sys
from typing import Any

_OUTGOING: int | None = None
try:
    import fcntl
    import termios
except ImportError:  # Windows
    pass
else:
    # SIOCOUTQ has the same number; see tcp(7). macOS has the question, and answers it for terminals only.
    _OUTGOING = termios.TIOCOUTQ if sys.platform == "linux" else None


def held_bytes(sock: Any) -> int | None:
    """Tell how many bytes the kernel still holds of what was sent on a socket; `None` if it cannot be told."""
    if _OUTGOING is None:
        return None
    try:
        answer = fcntl.ioctl(sock.fileno(), _OUTGOING, b"\0\0\0\0")
    except (OSError, ValueError):
        return None
    held: int = struct.unpack("@i", answer)[0]
    return held
