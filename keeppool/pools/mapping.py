"""`map_ahead`: memory for a large body, of which the kernel finds many pages in one call.

New memory has no pages yet. Whatever first writes to one of them is stopped until the kernel has found a page, cleared
it and put it there. For 256 MiB these are 65,537 stops, which take longer than to copy what the network has brought.

Decides: nothing.
Knows: how Linux is asked. Python has the call for memory of its own kind (`mmap`) alone, which is never `bytes`.
Does not know: for how much it pays, and what comes into the memory.

Source: madvise(2) (MADV_POPULATE_WRITE, since Linux 5.14); Python's ctypes documentation.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from keeppool.deferred import late

#: The same number on all processors (Linux, mman-common.h); Python's `mmap` has no name for it.
_POPULATE_WRITE: Final = 23

#: Asks the kernel, and says whether it has done it; `None` where nobody can be asked, or has not done it once.
_ask: Callable[[memoryview], bool] | None = None
_is_loaded = False


def map_ahead(memory: memoryview) -> None:
    """Have the kernel find the pages of some memory now. Where it cannot, they are found as they are written to.

    Args:
        memory: Can be written to. What is in it stays; nothing holds on to it.

    Thread safety: any thread; two that load the C library at the same time get the same one.
    """
    global _ask, _is_loaded
    try:
        if not _is_loaded:
            _ask, _is_loaded = _load(), True
        if _ask is not None and not _ask(memory):
            _ask = None
    # No ctypes, no such function, no descriptor left to load it by, an audit hook that forbids it with an error of its
    # own: whatever it is, the memory is good without.
    except Exception:
        _ask, _is_loaded = None, True


def _load() -> Callable[[memoryview], bool] | None:
    """Find the call in the C library."""
    if not (sys.platform == "linux" and sys.implementation.name == "cpython"):
        return None  # In other Pythons ctypes lets go of the memory only when garbage is collected.
    mmap, ctypes = late("mmap"), late("ctypes")
    page = mmap.PAGESIZE
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int

    def ask(memory: memoryview) -> bool:
        start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        before = -start % page  # The kernel takes whole pages; only those that are all of this memory.
        size = max(0, len(memory) - before) // page * page
        return not size or madvise(start + before, size, _POPULATE_WRITE) == 0

    return ask
