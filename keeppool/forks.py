"""What has to be done about a fork; nothing, where the operating system has none.

Decides: that a fork waits for the end of what it must not fall into: an import, or the making of a TLS context. Whoever
    imports a module holds its lock, and OpenSSL has locks too. In a child that is forked meanwhile nobody ever releases
    them, and the first one who wants the module, or a context, waits for ever. And that the child forgets such locks of
    modules all the same: not every import is waited for, and another may begin between the wait and the fork.
Knows: that Windows has no `os.fork`, and Python then no `os.register_at_fork`; importlib's table of locks.
Does not know: what else is done about it. Each module says it for its own locks and tables.
Source: CPython's `Lib/importlib/_bootstrap.py`, 3.11 to 3.13: one `_ModuleLock` for each module that is being imported.
"""

from __future__ import annotations

import _thread  # `import keeppool` goes without `threading`.
import os
import sys
import time
from _thread import get_ident
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, Final

#: Seconds that a fork waits for other threads. All of urllib3 takes a tenth of one, a context less; a thread that is
#: not done by then may wait for the very thread that forks.
_PATIENCE: Final = 10.0
#: Seconds between two looks of who waits. No lock is waited for: whoever imports may be a finalizer or a signal handler
#: in the middle of the same lines, and eventlet puts other locks in the place of those that are there.
_GLANCE: Final = 0.001
#: Packages of which modules are imported within functions, by keeppool or by Python for it.
_WITHIN_FUNCTIONS: Final = frozenset(("keeppool", "urllib3", "encodings", "http", "stringprep"))
#: The interpreter's own importlib, whose tables these are.
_importlib: Final[Any] = sys.modules["_frozen_importlib"]


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
        if self._forking and not depth:  # Nothing is called up to here from the count on: an interrupt finds no moment.
            self._wait(me)

    def _wait(self, me: int) -> None:
        """Wait until no other thread forks; an interrupt leaves nothing counted."""
        try:
            while any(thread != me for thread in list(self._forking)):
                self._under_way.pop(me, None)
                time.sleep(_GLANCE)
                self._under_way[me] = 1
        except BaseException:
            self._under_way.pop(me, None)
            raise

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
            if not any(thread != me for thread in list(self._under_way)):
                if not _is_importing(me):
                    return
                self._forking.pop(me)  # Who imports may want more, and would be held up.
            time.sleep(_GLANCE)
        self._forking[me] = None
        self._under_way.clear()  # An interrupt at the end of a block leaves its count, which only one fork waits for.

    def release(self) -> None:
        """Let all go on for whom no other thread forks."""
        self._forking.pop(get_ident(), None)

    def start_anew(self) -> None:
        """Forget the parent's threads, and what they were importing."""
        self.__init__()  # type: ignore[misc]
        _forget_imports()


def _module_locks() -> Iterator[tuple[str, Any]]:
    """Go through importlib's locks, by the names of the modules; none in a Python that keeps them elsewhere."""
    for name, reference in getattr(_importlib, "_module_locks", {}).copy().items():
        if (lock := reference()) is not None:
            yield name, lock


def _is_importing(me: int) -> bool:
    """Tell whether another thread than `me` imports a module within a function, and has not said so.

    The lock is there before the module is: while it is looked for in files, `sys.modules` shows nothing.
    """
    wanted = [lock for name, lock in _module_locks() if name.partition(".")[0] in _WITHIN_FUNCTIONS]
    return any(getattr(lock, "owner", None) not in (None, me) for lock in wanted)


def _forget_imports() -> None:
    """In a forked child, let what other threads were importing be imported anew; they do not exist here.

    It is as if these imports had failed: what a module had got to is dropped, its submodules stay. The locks that this
    thread holds are kept, because the fork may be a part of an import.
    """
    me = _thread.get_ident()
    if me not in sys._current_frames():  # Green threads go on in the child, under numbers of their own.
        return
    for name, lock in _module_locks():
        owner = getattr(lock, "owner", me)
        if owner == me:
            continue
        _importlib._module_locks.pop(name, None)
        if owner is not None and getattr(getattr(sys.modules.get(name), "__spec__", None), "_initializing", False):
            sys.modules.pop(name, None)


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
