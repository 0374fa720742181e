"""File names from URLs.

Decides: that a name can neither leave its folder nor be too long for it, and that two URLs never get the same one.
Knows: URLs as text. Does not know: files.
"""

from __future__ import annotations

import hashlib
import re

#: What stands before host and path is left out, credentials above all; so is the fragment, which is never asked for.
_PARTS = re.compile(r"(?:[A-Za-z][\w+.\-]*://)?(?:[^/?#]*@)?([^#]*)", re.DOTALL)
#: Everything but letters and digits of any script and a few harmless signs. No slash, no blank, no control.
_UNSAFE = re.compile(r"[^\w.\-=@,+%~]+")
_EXTENSION = re.compile(r"_[^_]*?[^._](\.[A-Za-z0-9]{1,8})$")

#: Bytes of a name. Common file systems allow 255; what is left is for numbers.
_LONGEST = 200


def file_name(url: str) -> str:
    """Make a file's name of a URL: host, path and query, never empty, never hidden."""
    matched = _PARTS.match(url)
    text = matched[1] if matched else url
    name = _UNSAFE.sub("_", text.encode("utf-8", "replace").decode()).strip("_").lstrip(".")
    return _shortened(name or "index")


class Names:
    """Gives each URL a name of its own. The same URLs in the same order get the same names.

    It remembers a number for each name and not the name: a million take some 100 MB.
    """

    def __init__(self) -> None:
        self._taken: dict[int, int] = {}

    def name_for(self, url: str) -> str:
        """Name the next URL; the second with the same name gets -2, and so on."""
        name = file_name(url)
        number = self._taken.get(_key(name), 0)
        chosen = name
        while number and _key(chosen := numbered(name, number + 1)) in self._taken:
            number += 1
        self._taken[_key(name)] = number + 1
        if number:
            self._taken[_key(chosen)] = 1
        return chosen


def numbered(name: str, number: int) -> str:
    """Put a number behind a name, in front of its extension."""
    matched = _EXTENSION.search(name)
    end = matched.start(1) if matched else len(name)
    return f"{name[:end]}-{number}{name[end:]}"


def _key(name: str) -> int:
    """Give equal numbers to names that are one file on some file system; to others only by rare chance."""
    return hash(name.casefold())


def _shortened(name: str) -> str:
    encoded = name.encode()
    if len(encoded) <= _LONGEST:
        return name
    matched = _EXTENSION.search(name)
    end = f"-{hashlib.sha256(encoded).hexdigest()[:16]}{matched[1] if matched else ''}"
    return encoded[: _LONGEST - len(end)].decode("utf-8", "ignore") + end
