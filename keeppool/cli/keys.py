"""Single keys from the terminal, while something is drawn there.

Decides: which bytes are which key. Knows: termios; without it, as on Windows, no key is told.
Does not know: what a key is for.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import Final

try:
    import termios
    import tty
except ImportError:  # Windows
    termios = None  # type: ignore[assignment]

#: What terminals send for keys that are no characters (ECMA-48; xterm's and the Linux console's spellings).
_NAMED: Final = {
    b"\x1b[A": "up",
    b"\x1bOA": "up",
    b"\x1b[B": "down",
    b"\x1bOB": "down",
    b"\x1b[5~": "page up",
    b"\x1b[6~": "page down",
    b"\x1b[H": "home",
    b"\x1b[F": "end",
    b"\x1b": "escape",
    b"\x7f": "back",
    b"\x08": "back",
    b"\r": "enter",
    b"\n": "enter",
}


#: What is one key, where several have come at once: a sequence, or a character.
_KEY: Final = re.compile(rb"\x1b\[[0-9;]*[A-Za-z~]|\x1bO[A-Za-z]|.", re.DOTALL)


class Keys:
    """Tells which key was pressed; none where standard input is no terminal. Made by `listening`."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._pressed: deque[bytes] = deque()

    def wait(self, seconds: float) -> str | None:
        """Wait for a key: its character, or its name; `None` if none came."""
        if self._pressed:
            return _name(self._pressed.popleft())
        if self._descriptor is None:
            time.sleep(seconds)
            return None
        readable, _, _ = select.select([self._descriptor], [], [], seconds)
        if not readable:
            return None
        pressed = os.read(self._descriptor, 64)
        if not pressed:  # The terminal has gone.
            self._descriptor = None
            return None
        self._pressed.extend(_KEY.findall(pressed))
        return _name(self._pressed.popleft())


def _name(key: bytes) -> str:
    return _NAMED.get(key) or key.decode("ascii", "replace")


@contextlib.contextmanager
def listening() -> Iterator[Keys]:
    """Have the terminal pass on each key at once and show none of them; Ctrl-C stays Ctrl-C."""
    if termios is None or sys.stdin is None or not sys.stdin.isatty():
        yield Keys(None)
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor, termios.TCSANOW)
        yield Keys(descriptor)
    finally:
        with contextlib.suppress(termios.error):  # The terminal has gone.
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
