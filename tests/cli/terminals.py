"""The command on a terminal: what it shows, keys that are pressed, and how it leaves the terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from cli.conftest import HOME, LIMIT_S


class Terminal:
    """The command on a terminal of its own."""

    def __init__(self, *words: str, size: tuple[int, int] = (80, 24)) -> None:
        self.master, slave = pty.openpty()
        self.resize(size)
        self.modes = termios.tcgetattr(slave)
        self.shown = ""
        self.slave = slave
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "keeppool", *words],
            stdin=slave,
            stdout=slave,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": HOME, "TERM": "xterm-256color", "LANG": "C.UTF-8"},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def resize(self, size: tuple[int, int]) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))

    def until(self, text: str) -> None:
        """Read until a text has been shown."""
        while text not in self.shown:
            readable, _, _ = select.select([self.master], [], [], LIMIT_S)
            assert readable, f"{text!r} was not shown: {self.shown[-2000:]!r}"
            self.shown += os.read(self.master, 65536).decode("utf-8", "replace")

    def press(self, pressed: str) -> None:
        self.shown = ""
        os.write(self.master, pressed.encode())

    def end(self) -> tuple[int, str]:
        """Wait for the end: code and errors. The terminal has its modes back, and shows what it did before."""
        errors: list[str] = []
        reader = threading.Thread(target=lambda: errors.append(self.process.stderr.read()))
        reader.start()
        while self.process.poll() is None:
            if select.select([self.master], [], [], 0.05)[0]:
                self.shown += os.read(self.master, 65536).decode("utf-8", "replace")
        while select.select([self.master], [], [], 0)[0]:
            self.shown += os.read(self.master, 65536).decode("utf-8", "replace")
        reader.join()
        assert termios.tcgetattr(self.slave) == self.modes
        assert "\x1b[?1049l" in self.shown
        assert "\x1b[?25h" in self.shown
        return self.process.returncode, errors[0]


@contextmanager
def terminal(*words: str, size: tuple[int, int] = (80, 24)) -> Iterator[Terminal]:
    made = Terminal(*words, size=size)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait()
        made.process.stderr.close()
        os.close(made.master)
        os.close(made.slave)
