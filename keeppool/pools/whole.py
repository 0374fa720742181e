"""`Whole`: the place where a body that is wanted whole is put together, once.

Decides: how far ahead of what has come memory is taken, and whether its pages are mapped ahead.
Knows: how `io.BytesIO` grows, and hands its bytes out without copying them.
Does not know: where the bytes come from.

Joining a list of pieces needs twice the body's size. A `BytesIO` is grown by the C library, which has the kernel move
large blocks to another address instead of copying them, and `getvalue` gives its own bytes away, cut to their size.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from keeppool.deferred import Deferred

if TYPE_CHECKING:
    from keeppool.pools import mapping
else:
    mapping = Deferred("keeppool.pools.mapping")

#: Bytes of room that are made at first for what is read straight into its place. They are zeros the kernel has not made
#: yet: what a server has announced takes addresses, and memory only when it comes.
FIRST_ROOM: Final = 256 << 20
#: Bytes of room that are given at a time in a large body. Their pages are mapped ahead, and what is added beyond the
#: first room is zeroed: 1 to 2 ms, in which neither an event loop's other tasks wait for long nor the server fills the
#: connection's buffers. In steps of 1 MiB the reads are so short that all that mapping saves is lost.
STEP: Final = 4 << 20
#: Smaller bodies may have their pages already: glibc gives back at once only what is larger than 32 MiB (mallopt(3),
#: M_MMAP_THRESHOLD). What is smaller it may keep for the next.
LEAST_MAPPED: Final = 32 << 20


class Whole:
    """Bytes that are gathered: pieces, or what is read straight into `room`.

    Attributes:
        size: Bytes gathered.
    """

    __slots__ = ("_end", "_file", "_first", "size")

    def __init__(self) -> None:
        self._first = b""
        self._file: io.BytesIO | None = None
        self._end = 0  # up to where the file has room
        self.size = 0

    def add(self, piece: bytes) -> None:
        """Put a piece behind what is there."""
        if not self.size:
            self._first = piece
        else:
            file = self._opened(0)
            file.seek(self.size)  # Behind it may be room that was not filled.
            file.write(piece)
            self._end = max(self._end, self.size + len(piece))
        self.size += len(piece)

    @contextmanager
    def room(self, most: int) -> Iterator[memoryview]:
        """Give some room behind what is there, to be filled from its start on; `filled` says how far it was.

        Args:
            most: Bytes that may come; at least 1.
        """
        file, start = self._opened(min(most, FIRST_ROOM)), self.size
        if start >= self._end:
            self._end = start + min(most, STEP)
            file.seek(self._end - 1)
            file.write(b"\0")
        is_large = self._end >= LEAST_MAPPED
        end = min(self._end, start + (min(most, STEP) if is_large else most))
        # Both views have to be gone before the file can grow again.
        with file.getbuffer() as all_of_it, all_of_it[start:end] as free:
            # Not at the beginning: a server that announces much and sends little takes twice what it has sent at most.
            if is_large and start >= STEP:
                mapping.map_ahead(free)
            yield free

    def filled(self, size: int) -> None:
        """Count bytes that were put into `room`."""
        self.size += size

    def value(self) -> bytes:
        """Give everything; nothing may be added afterwards."""
        if self._file is None:
            return self._first
        self._file.truncate(self.size)
        return self._file.getvalue()

    def _opened(self, room: int) -> io.BytesIO:
        """Open the file if it is not open yet, with room behind what is there."""
        if self._file is None:
            self._end = self.size + room
            self._file = io.BytesIO(bytes(self._end))
            self._file.write(self._first)
            self._first = b""
        return self._file
