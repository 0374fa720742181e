"""HAR files: read, and written in one piece.

Decides: that whatever interrupts the writing, the file is the old one or the new one; that what is no file, such as
    /dev/stdout or a pipe with a name, is written to and never replaced.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

from keeppool.errors import HarError, quoted
from keeppool.har.bodies import Object
from keeppool.har.build import document
from keeppool.har.parse import parse


def load(path: str | os.PathLike[str]) -> list[Object]:
    """Read a file's entries, as `parse` does.

    Raises:
        HarError: It cannot be read, or is no HAR.
    """
    name = os.fspath(path)
    try:
        data = Path(name).read_bytes()
    except OSError as error:
        raise HarError(f"{quoted(name)} cannot be read: {error.strerror or error}", file=name) from error
    return parse(data, file=name)


def save(path: str | os.PathLike[str], entries: Iterable[Object]) -> None:
    """Write a file. Whatever interrupts this, the file is the old one or the new one, and whole.

    Args:
        path: Where to. Missing folders are made; a symbolic link is followed; a device or a pipe is written to.
        entries: What it is to hold.

    Raises:
        OSError: It cannot be written; what was there before still is.
    """
    save_text(path, json.dumps(document(entries), ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def save_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text of any kind, as `save` does."""
    # A lone surrogate becomes an escape of JSON's.
    data = text.encode("utf-8", "backslashreplace")
    if is_stream(path):
        # Whoever may write in /dev would else put a file in the place of the device.
        with Path(path).open("wb") as stream:
            stream.write(data)
        return
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside it, so that it is in the same file system. A name of its own: two processes may write at the same time.
    written = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}")
    try:
        written.write_bytes(data)
        if target.exists():
            written.chmod(target.stat().st_mode & 0o7777)
        written.replace(target)
    finally:
        written.unlink(missing_ok=True)


def is_stream(path: str | os.PathLike[str]) -> bool:
    """Tell whether there is something that is neither file nor folder: a device, a pipe, a socket."""
    try:
        mode = Path(path).stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
