"""How the command ends: its exit codes, Ctrl-C, and a reader that has gone.

Decides: that the first Ctrl-C is the last one that counts.
Knows: signals and the standard streams. Does not know: what was going on.
"""

from __future__ import annotations

import contextlib
import enum
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

#: What ends a process unless it says otherwise; Windows knows no hang-up.
ENDING = (signal.SIGTERM, signal.SIGHUP) if hasattr(signal, "SIGHUP") else (signal.SIGTERM,)


class Exit(enum.IntEnum):
    """The command's exit codes."""

    #: Everything arrived.
    OK = 0
    #: Something did not, or nobody reads the output any more.
    FAILED = 1
    #: Invalid arguments or configuration; nothing was begun. argparse's own figure.
    USAGE = 2
    #: Ctrl-C: 128 and the number of SIGINT, as shells report it.
    INTERRUPTED = 130


class UsageError(Exception):
    """What was asked for cannot be begun. The message says why, in one line."""


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let the first Ctrl-C raise KeyboardInterrupt and all others do nothing.

    After a Ctrl-C the signal stays ignored: a second one must not interrupt what is still written.
    Does nothing outside of the main thread, or where the process was started with Ctrl-C ignored (`nohup`).
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is signal.SIG_IGN:
        yield
        return
    _asked.clear()
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
        end_if_asked()
    finally:
        if signal.getsignal(signal.SIGINT) is _interrupt:
            signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let the signals that would end the process do so by way of the terminal's restoration."""

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def silence() -> None:
    """Point standard output and error to nowhere, so that what is still buffered for a closed pipe ends quietly."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def end_if_asked() -> None:
    """Raise KeyboardInterrupt again if the first one was lost.

    Python ignores what is raised in a finalizer or a weak reference's callback, and Ctrl-C may come just there.
    """
    if _asked.is_set():
        raise KeyboardInterrupt


_asked = threading.Event()


def _interrupt(_: int, __: FrameType | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Should it be lost, Python would say so on standard error; `end_if_asked` finds it all the same.
    sys.unraisablehook = _all_but_ours
    _asked.set()
    raise KeyboardInterrupt


def _all_but_ours(lost: sys.UnraisableHookArgs) -> None:
    if lost.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(lost)
