"""What has to be done about a fork; nothing, where the operating system has none.

Decides: that a fork waits for the end of what it must not fall into: an import, or the making of a TLS context. Whoever
    imports a module holds its lock, and OpenSSL has locks too. In a child that is forked meanwhile nobody ever releases
    them, and the first one who wants the module, or a context, waits for ever.
Knows: that Windows has no `os.fork`, and Python then no `os.register_at_fork`.
Does not know: what else is done about it. Each module says it for its own locks and tables.
"""

from __future__ import annotations

import os
import sys
import time
from _thread import get_ident  # `import keeppool` goes without `threading`.
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Final

#: Seconds that a fork waits for other threads. All of urllib3 takes a tenth of one, a context less; a thread that is
#: not done by then may wait for the very thread that forks.
_PATIENCE: Final = 10.0
#: Seconds between two looks of who waits. No lock is waited for: whoever imports may be a finalizer or a signal handler
#: in the middle of the same lines, and eventlet puts other locks in the place of those that are there.
_GLANCE: Final = 0.001
#: Packages of which modules are imported within functions, by keeppool or by Python for it.
_WITHIN_FUNCTIONS: Final = frozenset(("keeppool", "urllib3", "encodings", "http", "stringprep"))


class _Undivided:
    """Counts what is under way, so that a fork can wait for its end and hold up what is new.

    Who begins counts first and then looks whether a fork is; who forks says so first and then looks at the counts. So
    one of them sees the other.
    """

    def __init__(self) -> None:
        #: How deep each thread is in what must not be divided. A thread writes its own entry only.
        self._under_way: dict[int, int] = {}
        #: The threads that fork, or are about to; several may at the same time.
        self._forking: dict[int, None] = {}

    def __enter__(self) -> None:
        me = get_ident()
        depth = self._under_way.get(me, 0)
        self._under_way[me] = depth + 1
        while not depth and any(thread != me for thread in list(self._forking)):
            del self._under_way[me]
            time.sleep(_GLANCE)
            self._under_way[me] = 1

    def __exit__(self, *exc_info: object) -> None:
        me = get_ident()
        depth = self._under_way.get(me, 1)
        if depth > 1:
            self._under_way[me] = depth - 1  # In one step: there is no moment at which this thread is not counted.
        else:
            self._under_way.pop(me, None)

    def hold(self) -> None:
        """Wait until nothing is under way in other threads, and let nothing begin."""
        me, end = get_ident(), time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            self._forking[me] = None
            if any(thread != me for thread in list(self._under_way)):
                time.sleep(_GLANCE)
            elif names := _uncounted():
                self._forking.pop(me)  # Who imports them may want more.
                for name in names:
                    with suppress(Exception):  # Whoever imports it is told.
                        import_module(name)
            else:
                return

    def release(self) -> None:
        """Let all go on for whom no other thread forks."""
        self._forking.pop(get_ident(), None)

    def start_anew(self) -> None:
        """Forget the parent's threads."""
        self.__init__()  # type: ignore[misc]


def _uncounted() -> list[str]:
    """Name the modules that somebody is importing within a function, and has not said so.

    Of `_initializing` the interpreter's own import statement makes the same use. Without it nothing is waited for.
    """
    names = [name for name in list(sys.modules) if name.partition(".")[0] in _WITHIN_FUNCTIONS]
    specs = [(name, getattr(sys.modules.get(name), "__spec__", None)) for name in names]
    return [name for name, spec in specs if getattr(spec, "_initializing", False)]


def in_child(function: Callable[[], object]) -> None:
    """Have a function called in each child that this process forks, before anything else runs there."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)


#: For a `with` around what a fork must not fall into; short, and nothing that waits for somebody else.
undivided: Final = _Undivided()


def _register() -> None:
    if hasattr(os, "register_at_fork"):
        hold, release, anew = undivided.hold, undivided.release, undivided.start_anew
        os.register_at_fork(before=hold, after_in_parent=release, after_in_child=anew)


_register()
_is_before_logging = False


def wait_before_logging() -> None:
    """Have a fork wait before `logging` takes its lock for it: who imports urllib3 wants that lock too.

    What was registered last is called first, so `logging` is imported here; urllib3 would import it as well.
    """
    global _is_before_logging
    if not _is_before_logging:
        import_module("logging")
        _is_before_logging = True
        _register()
