"""`Deferred`: a module that is imported when it is first used.

Decides: nothing.
Knows: how Python imports modules; that no fork may fall into it.
Does not know: which modules; each is named where it is used, beside the import for type checkers. It is one that few
    programs need, or need only later: what a first GET does without is not paid for at the start.
"""

from __future__ import annotations

import codecs
from _thread import allocate_lock  # `import keeppool` goes without `threading`.
from importlib import import_module
from types import ModuleType
from typing import Any

from keeppool import forks
from keeppool.forks import undivided

#: Guards the first import of urllib3. Its modules import each other in circles: threads that begin with different ones
#: at the same time get importlib's `_DeadlockError`, or a KeyError (Python 3.11, urllib3 2.8).
_importing = allocate_lock()


def late(name: str) -> ModuleType:
    """Import a module by its whole name."""
    with undivided:
        return import_module(name)


def have_urllib3() -> None:
    """Import urllib3 as a whole, one thread at a time: any part of it imports most of it. To be called before each."""
    with undivided, _importing:
        import_module("urllib3")


def have_idna() -> None:
    """Import the codec that encodes hosts' names, also for Python's own `getaddrinfo`. To be called before each use."""
    with undivided:
        codecs.lookup("idna")


def _replace_lock() -> None:
    """In a forked child the lock may be held by a thread that does not exist there."""
    global _importing
    _importing = allocate_lock()


forks.in_child(_replace_lock)


class Deferred:
    """Stands for a module until a name of it is wanted, and passes each name on.

    From then on it has the module's own dictionary: a name costs what it costs there, and who puts another function
    into the module, as gevent does, is heeded.

    Args:
        name: The module's whole name.

    Thread safety: any thread; who comes while another one imports the module waits for it, as with any import.
    """

    # The name beside the dictionary, so that a thread that comes late still finds it.
    __slots__ = ("__dict__", "_name")

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        module = late(self._name)
        self.__dict__ = module.__dict__
        return getattr(module, name)

    def __repr__(self) -> str:
        return f"<{self._name}, imported when it is used>"
