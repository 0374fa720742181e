"""URLs from the command line and from a file or pipe, one at a time.

Decides: what is a URL and what a comment. Knows: raw files. Does not know: what is done with a URL.

Files are read without Python's buffers: their locks, held by a thread that waits for a slow pipe, would make the
interpreter abort at its end.
"""

from __future__ import annotations

import os
import re
import stat
import string
import sys
from collections.abc import Iterator, Sequence
from io import FileIO
from typing import Self
from urllib.parse import quote

from keeppool.cli.endings import UsageError

#: One read of a pipe gives at most this on Linux.
_READ = 65536
#: Bytes of a line. The longest URLs servers take are a tenth of this.
_LONGEST = 65536
#: What no text file has: control characters but for tab, form feed and line ends.
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f\x7f]")


class Source:
    """The URLs to fetch. A context manager; iterate once.

    Args:
        urls: Those of the command line; they come first.
        path: A file with more, "-" for standard input, or `None`.

    Raises:
        UsageError: The file cannot be opened.
    """

    def __init__(self, urls: Sequence[str], path: str | None) -> None:
        self._urls = urls
        self._path = path
        self._file = None if path is None else _open(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._file is not None and self._path != "-":
            self._file.close()

    def __iter__(self) -> Iterator[str]:
        yield from self._urls
        if self._file is not None:
            yield from urls_in(self._file)

    def count(self) -> int | None:
        """How many there are; `None` if that cannot be known beforehand."""
        if self._file is None or self._path is None:
            return len(self._urls)
        if self._path == "-" or not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
            return None
        with _open(self._path) as again:
            return len(self._urls) + sum(1 for _ in urls_in(again))


def urls_in(file: FileIO) -> Iterator[str]:
    """Read the URLs of a file: one a line; blank lines and those that begin with # are none.

    Raises:
        UsageError: It is no text.
    """
    for number, line in enumerate(_lines(file), 1):
        if len(line) > _LONGEST or _BINARY.search(line):
            raise UsageError(f"the file of URLs is no text: see line {number}")
        text = _text_of(line).lstrip("\ufeff").strip()
        if text and not text.startswith("#"):
            yield text


def typed(argument: str) -> str:
    """Read a URL of the command line, also where Python takes the locale's word that its bytes are ASCII."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        return _text_of(os.fsencode(argument))
    return argument


def _text_of(line: bytes) -> str:
    """Decode a line; where it is no UTF-8, quote its bytes as they are: to replace some would ask for another page."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return quote(line, safe=string.punctuation + " ")


def _lines(file: FileIO) -> Iterator[bytes]:
    rest = b""
    while piece := _read(file):
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
        if len(rest) > _LONGEST:
            break
    yield rest


def _read(file: FileIO) -> bytes:
    try:
        return file.read(_READ)
    except OSError as error:
        raise UsageError(f"reading the URLs failed: {error.strerror}") from error


def _open(path: str) -> FileIO:
    try:
        return FileIO(sys.stdin.fileno(), closefd=False) if path == "-" else FileIO(path)
    except (OSError, AttributeError) as error:  # standard input is None where it was closed
        reason = getattr(error, "strerror", None) or "closed"
        raise UsageError(f"cannot read {'standard input' if path == '-' else path}: {reason}") from error
