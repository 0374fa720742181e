"""Files that appear under their final name only when they are whole.

Decides: what becomes of a file that was not finished: it disappears.
Knows: a folder. Does not know: where the bytes come from, or what a file should be called (`names.py`).
"""

from __future__ import annotations

import os
import secrets
import threading
from io import FileIO
from pathlib import Path
from typing import Self

from keeppool.cli.endings import UsageError

#: Bytes that are written to see whether there is space: what file systems hand out at the least.
_BLOCK = 4096


class Folder:
    """The folder files are written to. Leaving its `with` block removes what is unfinished, and allows no more.

    Args:
        path: Made if it is not there.

    Raises:
        UsageError: It is not there and cannot be made, or nothing can be written there: no permission, no space.

    Thread safety: any thread may write, each its own sinks.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        #: Guards both fields below, and that files come and go only while the folder is open.
        self.lock = threading.Lock()
        self.unfinished: set[Path] = set()
        self.is_closed = False
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            try_writing(self.path)
        except OSError as error:
            why = "it is no folder" if isinstance(error, FileExistsError) else error.strerror
            raise UsageError(f"cannot write to {path}: {why}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        with self.lock:
            self.is_closed = True
            for path in self.unfinished:
                path.unlink(missing_ok=True)

    def sink(self, name: str) -> Sink:
        """Make a file that will be called `name`."""
        return Sink(self, self.path / _as_named_here(name))


def _as_named_here(name: str) -> str:
    """Spell a file's name so that the system takes it; in UTF-8 where the locale is told to have no such letters."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return os.fsdecode(name.encode())
    return name


def try_writing(folder: Path) -> None:
    """Write a block and remove it, before anything is fetched for nothing.

    Raises:
        OSError: It cannot be written.
    """
    path = folder / f".{secrets.token_hex(8)}.part"
    try:
        with FileIO(path, "x") as file:
            file.write(bytes(_BLOCK))
    finally:
        path.unlink(missing_ok=True)


class Sink:
    """A file in the making. A context manager: what was not `finish`ed when it ends was never there.

    Args:
        folder: Where it is made.
        path: Its name in the end; a file of that name is replaced.

    Raises:
        OSError: The file cannot be made or written, or the folder is closed.
    """

    def __init__(self, folder: Folder, path: Path) -> None:
        self.path = path
        self._folder = folder
        self._temporary = path.with_name(f".{secrets.token_hex(8)}.part")
        with folder.lock:
            self._check_open()
            self._file = FileIO(self._temporary, "x")
            folder.unfinished.add(self._temporary)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()
        with self._folder.lock:
            if self._temporary in self._folder.unfinished:
                self._folder.unfinished.discard(self._temporary)
                self._temporary.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        """Add bytes."""
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:  # says nothing about which file
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    def finish(self) -> None:
        """Let the file appear under its name: it is whole."""
        self._file.close()
        with self._folder.lock:
            self._check_open()
            self._temporary.replace(self.path)
            self._folder.unfinished.discard(self._temporary)

    def _check_open(self) -> None:
        if self._folder.is_closed:
            raise OSError(f"{self._folder.path} is not written to any more")
