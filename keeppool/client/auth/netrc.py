"""Credentials from a netrc file, which people keep for ftp, curl and requests.

Decides: which file is read, and when it is looked at again.
Knows: the standard library's `netrc`, which reads the format.
Does not know: environment variables (`environment.py` hands `NETRC` in), and what the credentials are used for.

A file that cannot be read, or is malformed, counts as none: it was written for other programs, and no request may
fail because of it. requests does the same.

Source: the inetutils manual, "The .netrc file"; there is no standard.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from keeppool.forks import undivided

if TYPE_CHECKING:
    from netrc import netrc

#: Where the file is by default; the second is the name Windows can have.
_USUAL: Final = ("~/.netrc", "~/_netrc")
#: Seconds in which a file is not looked at again: a token that another program renews is seen soon enough. Without it
#: each request would pay 5 µs for looking into the home folder.
_TRUSTED: Final = 1.0

#: What tells one state of a file from another: its path, when it was changed (nanoseconds), its size.
_Stamp = tuple[str, int, int]
_Look = tuple[float, _Stamp | None, "netrc | None"]
_UNSEEN: Final[_Look] = (-math.inf, None, None)


class Netrc:
    """Netrc files as they were seen last.

    Args:
        clock: Tells the seconds by which a look grows old.

    Thread safety: any thread.
    """

    __slots__ = ("_clock", "_known")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: By what was passed: until when it is trusted, the state it was in, what it says.
        self._known: dict[str | None, _Look] = {}

    def credentials_for(self, host: str, netrc_file: str | None = None) -> tuple[str, str] | None:
        """Return (user, password) for a host, those of the file's `default` entry if it has none for the host.

        Costs a look-up, if the file was looked at within the last second; it is read again only after a change.

        Args:
            host: The name, lower case, without port.
            netrc_file: The path, `~` allowed; `None` for `.netrc` and `_netrc` in the home folder.
        """
        entries = self._entries(netrc_file)
        return None if entries is None else _found(entries, host)

    def is_there(self, netrc_file: str | None = None) -> bool:
        """Tell whether there is a file that can be read; every request of a session asks."""
        until, _, entries = self._known.get(netrc_file, _UNSEEN)
        return (entries if self._clock() < until else self._entries(netrc_file)) is not None

    def _entries(self, netrc_file: str | None) -> netrc | None:
        until, seen, entries = self._known.get(netrc_file, _UNSEEN)
        now = self._clock()
        if now >= until:
            stamp = _located(netrc_file)
            if stamp != seen:
                entries = None if stamp is None else _parsed(stamp[0])
            self._known[netrc_file] = (now + _TRUSTED, stamp, entries)
        return entries


def credentials_for(host: str, netrc_file: str | None = None) -> tuple[str, str] | None:
    """Return (user, password) for a host, read from the file now; see `Netrc.credentials_for`."""
    return Netrc().credentials_for(host, netrc_file)


def _located(netrc_file: str | None) -> _Stamp | None:
    for candidate in _USUAL if netrc_file is None else (netrc_file,):
        path = os.path.expanduser(candidate)  # noqa: PTH111  # pathlib raises where there is no home folder
        try:
            state = os.stat(path)  # noqa: PTH116  # a third of the cost of pathlib's
        except (OSError, ValueError):  # ValueError: a NUL in the path.
            continue
        return path, state.st_mtime_ns, state.st_size
    return None


def _parsed(path: str) -> netrc | None:
    # Deferred: most people have no such file.
    with undivided:
        from netrc import NetrcParseError, netrc

    try:
        return netrc(path)
    except (NetrcParseError, OSError, ValueError):  # ValueError: bytes that are no text.
        return None


def _found(entries: netrc, host: str) -> tuple[str, str] | None:
    login, account, password = entries.authenticators(host) or ("", "", "")
    if not (login or account or password):
        return None
    # An account stands in for a missing login, as in requests.
    return login or account or "", password or ""
