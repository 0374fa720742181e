"""`UnknownNames`: names that do not exist, remembered for a few seconds.

Decides: for how long a name is not looked up again: robots.txt, the page and its retries ask within a second or two,
    and each look-up of a name that leads nowhere may take seconds.
Does not know: how names are looked up.
"""

from __future__ import annotations

import socket
from typing import Final

from keeppool.clock import clock
from keeppool.errors import ResolveError

#: Seconds for which a name that does not exist is believed not to. Resolvers keep such an answer for minutes (RFC 2308
#: §5); who has just set up a name waits no longer than this.
UNKNOWN_S: Final = 5.0
#: Names remembered. An entry is about 200 bytes; a crawl that meets more of them in five seconds looks them up again.
MOST_NAMES: Final = 4096

#: What says that there is no such name, or no address to it; anything else, such as a resolver that is down, may pass.
_NO_SUCH_NAME: Final = {getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA") if hasattr(socket, name)}


class UnknownNames:
    """Names of which it is known that they do not exist. One event loop's."""

    def __init__(self) -> None:
        self._until: dict[str, tuple[float, ResolveError]] = {}

    def __bool__(self) -> bool:
        return bool(self._until)

    def note(self, host: str, error: ResolveError) -> None:
        """Remember a name, if the error says that there is none."""
        reason = error.__cause__
        if isinstance(reason, socket.gaierror) and reason.errno in _NO_SUCH_NAME:
            if len(self._until) >= MOST_NAMES:
                self._until.clear()
            self._until[host] = clock() + UNKNOWN_S, error

    def check(self, host: str) -> None:
        """Let a name pass.

        Raises:
            ResolveError: It did not exist a moment ago; the error is like the one that said so.
        """
        if host not in self._until:
            return
        until, before = self._until[host]
        if clock() >= until:
            del self._until[host]
            return
        error = ResolveError(str(before), origin=before.origin)
        raise error from before.__cause__
