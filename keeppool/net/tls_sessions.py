"""TLS sessions: which one an origin's next connection may resume.

Decides: which session is offered to which origin, and when a newer one takes its place.
Knows: how Python's `ssl` hands out sessions, and what that costs.
Does not know: what is trusted, handshakes (`tls.py`).

Source: RFC 8446 §2.2 (resumption), §4.6.1 (tickets and their life).
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from keeppool.core.origin import Origin

if TYPE_CHECKING:
    import ssl

    from keeppool.net.tls_layer import TlsLayer

#: Origins whose session is taken from their first connection; those that come later are met twice before: 6 MB.
GREETED = 1024

#: Share of its life for which a session is offered before a newer one takes its place.
RENEWED = 0.5


class _Kept(NamedTuple):
    """The session of one origin.

    Attributes:
        context: Which made it.
        session: To be offered; `None` if there was none to be had, or it was not asked for.
        refused: Connections in a row that have not resumed a session.
    """

    context: ssl.SSLContext
    session: ssl.SSLSession | None
    refused: int = 0

    def serves_on(self, source: ssl.SSLSocket | TlsLayer) -> bool:
        """Tell whether a session need not be replaced by that of a connection that did, or did not, resume one.

        Where a server resumes none, newer ones are worth less and less: they are taken at each power of two.
        """
        session = self.session
        if self.context is not source.context:
            return False
        if session is not None and source.session_reused:
            # Before TLS 1.3 the connection has this very session, which grows no younger by being taken again.
            return source.version() != "TLSv1.3" or time.time() < session.time + RENEWED * session.timeout
        return self.refused & (self.refused + 1) != 0


class Sessions:
    """The newest session of each origin.

    Python's `ssl` loses 6 KB each time it is asked for a session (measured, 3.11 to 3.13: the copy that it makes is
    never freed). So it is not asked while the one that is kept serves on, nor, once a pool has met many origins,
    for that of one which it meets for the first time and, like a crawler, perhaps for the last.

    Args:
        most: Origins that are remembered; the least recently used is forgotten.

    Thread safety: any number of threads.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        #: Guards what follows; held for look-ups only.
        self._lock = threading.Lock()
        # By origin and not by host: a ticket tells the server who comes back (RFC 8446 §C.4), so it must not tie
        # together what the caller keeps apart by proxy, source address or tag. The same ticket may serve several
        # connections of one origin; they come from one place within seconds, and hide nothing from an onlooker.
        self._kept: OrderedDict[Origin, _Kept] = OrderedDict()
        #: Origins whose session was taken when they were first met.
        self._greeted = 0

    def newest(self, origin: Origin, context: ssl.SSLContext) -> ssl.SSLSession | None:
        """Give the newest session of this origin, if this very context made it (OpenSSL allows no other use)."""
        with self._lock:
            kept = self._kept.get(origin)
            if kept is None or kept.context is not context:
                return None
            self._kept.move_to_end(origin)
            return kept.session

    def take(self, origin: Origin, source: ssl.SSLSocket | TlsLayer) -> None:
        """Keep the session of a connection whose first response was read, if that is worth it."""
        with self._lock:
            kept = self._kept.get(origin)
            if kept is not None:
                self._kept.move_to_end(origin)
                if kept.serves_on(source):
                    self._kept[origin] = kept._replace(refused=0 if source.session_reused else kept.refused + 1)
                    return
        refused = 0 if kept is None or source.session_reused else kept.refused + 1
        session = None
        if kept is not None or self._greeted < GREETED:
            session = source.session
            if session is None or not _can_resume(session, source.version()):
                refused = refused or 1
                session = kept.session if kept is not None and kept.context is source.context else None
        with self._lock:
            self._greeted += kept is None
            self._kept[origin] = _Kept(source.context, session, refused)
            self._kept.move_to_end(origin)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)


def _can_resume(session: ssl.SSLSession, version: str | None) -> bool:
    return session.has_ticket or (version != "TLSv1.3" and bool(session.id))
