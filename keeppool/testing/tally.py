"""`Tally`: what a test server saw, and waiting for it without sleeping.

Knows: counts. One condition guards them all and is signalled at every change.
Does not know: who counts. The server's thread calls the `note_` methods; tests read.
"""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable

from keeppool.testing.messages import Request

#: How many requests the log remembers; a benchmark must not fill the memory.
LOG_LENGTH = 10_000


class Tally:
    """Counts of one server. Any thread may read; each number is exact at the moment it is read.

    Attributes:
        opened: Connections accepted so far.
        open_now: Connections open: neither closed by the site nor known to be closed by the client.
        peak_open: The most that were open at once. A connection the client had already closed when another one
            came does not count, even if its end had not been read yet.
        requests: Whole requests that arrived, late ones not included.
        late: Requests that came on a connection after its end had been stated (`Connection: close`, or the passed
            `Keep-Alive: timeout=`). Not answered. Over TLS these cannot be seen.
        malformed: Connections that broke HTTP's rules; each was answered with 400 and closed.
        errors: What a handler raised.
    """

    def __init__(self) -> None:
        self.opened = 0
        self.open_now = 0
        self.peak_open = 0
        self.requests = 0
        self.late = 0
        self.malformed = 0
        self.errors: list[BaseException] = []
        self._executed: collections.Counter[str] = collections.Counter()
        self._log: collections.deque[Request] = collections.deque(maxlen=LOG_LENGTH)
        self._changed = threading.Condition()

    @property
    def executed(self) -> dict[str, int]:
        """How often each request was carried out, by its `X-Request-Id` field, or by its path where it has none."""
        with self._changed:
            return dict(self._executed)

    @property
    def log(self) -> list[Request]:
        """The last 10,000 requests, oldest first."""
        with self._changed:
            return list(self._log)

    def wait_for(self, predicate: Callable[[], bool], timeout: float = 5.0) -> bool:
        """Wait until the predicate is true; it is asked again at every change of a count.

        Args:
            predicate: Takes nothing and looks at the counts, such as `lambda: site.open_now == 0`.
            timeout: Seconds to wait at the most.

        Returns:
            What the predicate said last.
        """
        with self._changed:
            return self._changed.wait_for(predicate, timeout)

    def note_opened(self) -> int:
        """Count a new connection; give its number."""
        with self._changed:
            self.opened += 1
            self.open_now += 1
            self.peak_open = max(self.peak_open, self.open_now)
            self._changed.notify_all()
            return self.opened

    def note_closed(self) -> None:
        """Count a connection as closed."""
        with self._changed:
            self.open_now -= 1
            self._changed.notify_all()

    def note_request(self, request: Request) -> None:
        """Count and remember a request that is going to be carried out."""
        with self._changed:
            self.requests += 1
            self._executed[request.headers.get("x-request-id") or request.path] += 1
            self._log.append(request)
            self._changed.notify_all()

    def note_late(self) -> None:
        """Count a request that came after the stated end."""
        with self._changed:
            self.late += 1
            self._changed.notify_all()

    def note_malformed(self) -> None:
        """Count a connection on which something else than HTTP came."""
        with self._changed:
            self.malformed += 1
            self._changed.notify_all()

    def note_error(self, error: BaseException) -> None:
        """Remember an error of the test's own code, to be raised where the server is closed."""
        with self._changed:
            self.errors.append(error)
            self._changed.notify_all()
