"""Calls that block in the kernel: the timers that end them, and the flag by which one call does not block.

Decides: for which sockets these are used; all others have Python's timeouts.
Knows: that gevent and eventlet put sockets of their own in the place of Python's, which never block in the kernel; that
    Windows has no such flag, and leaves a socket whose timer has ended a call in an unknown state.
Does not know: what is sent or received, and how long that may take.

Source: socket(7) (SO_RCVTIMEO), recv(2) (MSG_DONTWAIT); Microsoft, setsockopt function (SO_RCVTIMEO).
"""

from __future__ import annotations

import _socket
import socket
import struct
from typing import Final

from keeppool.net.deadline import LONGEST_WAIT

#: For one call that does not wait.
NOW: Final[int] = getattr(socket, "MSG_DONTWAIT", 0)
#: For one that raises no SIGPIPE, which some programs let end them when their output's reader has gone.
UNSIGNALLED: Final[int] = getattr(socket, "MSG_NOSIGNAL", 0)

_RECEIVING: Final[int] = getattr(socket, "SO_RCVTIMEO", 0)
_SENDING: Final[int] = getattr(socket, "SO_SNDTIMEO", 0)
_ARE_HERE: Final = bool(NOW and _RECEIVING and _SENDING)


def has_kernel_timers(sock: object) -> bool:
    """Tell whether a socket's calls block in the kernel, so that its timers and flags hold for them."""
    return _ARE_HERE and isinstance(sock, _socket.socket)


def set_kernel_timers(sock: socket.socket, seconds: float | None) -> None:
    """Bound each following `send` and `recv` of a socket that `has_kernel_timers`; `None` waits without limit."""
    if seconds is None or seconds > LONGEST_WAIT:
        timer = struct.pack("@ll", 0, 0)
    else:  # All zero is no limit, so 0 becomes the shortest wait.
        timer = struct.pack("@ll", *divmod(max(1, int(seconds * 1_000_000)), 1_000_000))
    sock.setsockopt(socket.SOL_SOCKET, _RECEIVING, timer)
    sock.setsockopt(socket.SOL_SOCKET, _SENDING, timer)
