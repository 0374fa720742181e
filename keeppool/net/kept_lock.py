"""Calls into the kernel that do not wait, made without letting go of the interpreter's lock (GIL).

Python's own `poll` and `send` let go of the lock around each call, because it might wait. Where other threads want the
lock, one of them has it by the time the call is over, and its caller has to wait for its turn: on two cores each of
that is a change of thread, dearer than the call. A request made three such calls, to probe, to send and to receive;
only the last one has to wait. With 16 threads on two free cores it was 6.2 changes of thread a request and is 2.4, and
1.3 to 1.4 times as many requests (docs/speed.md). Alone, a thread would lose: a call this way takes 0.1 to 0.7 µs more.

Decides: where it can be done: in CPython that has the lock and ctypes, where the C library has `poll` and `send`.
Knows: how the C library is called.
Does not know: when it pays; whoever uses a stream says that (`Stream.others_run`).

Source: poll(2), send(2) (MSG_DONTWAIT); Python's ctypes documentation, PyDLL.
"""

from __future__ import annotations

import _socket
import os
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from keeppool.deferred import late
from keeppool.net.blocking import NOW, UNSIGNALLED
from keeppool.net.polls import WATCHED

#: Up to this size a call that sends is over before another thread would have got the lock: 16 KiB are copied in 2 µs.
#: It is also one record of TLS, up to which `send` gives data in one go.
AT_ONCE: Final = 16384

#: Of each call that sends.
FLAGS: Final = NOW | UNSIGNALLED


class _Library:
    """The C library, as ctypes calls it."""

    def __init__(self, ctypes: Any) -> None:
        library = ctypes.PyDLL(None, use_errno=True)

        class Number:
            """Asks a socket for its number in the very call that uses it: -1, once another thread has closed it."""

            from_param = _socket.socket.fileno

        class Polled(ctypes.Structure):  # type: ignore[misc]
            _fields_ = (("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short))

        self._send = library.send
        self._send.argtypes = (Number, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int)
        self._send.restype = ctypes.c_ssize_t
        self._poll = library.poll
        self._polled = Polled
        self._byref = ctypes.byref
        self._one = ctypes.c_ulong(1)
        self.errno: Callable[[], int] = ctypes.get_errno

    def looking_at(self, number: int) -> Look:
        """Prepare the look at one descriptor."""
        return partial(self._poll, self._byref(self._polled(number, WATCHED)), self._one, 0)

    def sending_on(self, sock: socket.socket) -> SendAtOnce:
        """Prepare the call for one socket."""
        return partial(self._send, sock)


#: `None` until somebody asks, False where it cannot be done.
_library: _Library | bool | None = None

#: Gives 0 as long as a connection has nothing to read and has not ended.
Look = Callable[[], int]
#: Takes bytes, how many they are, and `FLAGS`; gives how many the kernel has taken, without waiting. Less than 0 is
#: none, and `not_sent` is to be asked why.
SendAtOnce = Callable[[bytes, int, int], int]


def looking_at(sock: socket.socket) -> Look:
    """Make the look at a connected socket; where it cannot be had, it says that there is something."""
    library = _loaded()
    return _unknown if library is None else library.looking_at(sock.fileno())


def sending_on(sock: socket.socket) -> SendAtOnce | None:
    """Make the call that sends on a plain socket that blocks in the kernel; `None` where it cannot be had."""
    library = _loaded()
    return None if library is None else library.sending_on(sock)


def not_sent() -> int:
    """Say why the last `send` of this thread has taken nothing: 0 if the kernel has no room.

    Raises:
        OSError: The connection has failed, with the class that Python's own `send` would have raised.
    """
    library = _loaded()
    assert library is not None, "bug: nothing was called"
    number = library.errno()
    error = OSError(number, os.strerror(number))
    if isinstance(error, BlockingIOError):
        return 0
    raise error


def _unknown() -> int:
    return 1


def _loaded() -> _Library | None:
    """Load it once; two threads may do so at the same time, and either's will do."""
    global _library
    if _library is None:
        _library = _load()
    return _library or None  # type: ignore[return-value]  # never True


def _load() -> _Library | bool:
    has_lock = getattr(sys, "_is_gil_enabled", lambda: True)()
    if not (sys.implementation.name == "cpython" and has_lock and NOW):
        return False
    try:
        return _Library(late("ctypes"))
    # No ctypes, no such function, no descriptor left to load it by, an audit hook that forbids it with an error of its
    # own: whatever it is, Python's own calls do the same.
    except Exception:
        return False
