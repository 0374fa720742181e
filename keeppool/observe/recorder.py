"""`Recorder`: keeps the last requests and sockets of a pool, and shows them: as a waterfall, as HAR.

Decides: what is kept, and when the oldest goes.
Knows: events, and when they were told.
Does not know: the pool; pages and files, which `waterfall.py` and `entries.py` write.
"""

from __future__ import annotations

import os
import re
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import replace
from html import escape
from typing import Any, Final

from keeppool import har
from keeppool.checks import PRIVATE_NAME, check_listener
from keeppool.clock import clock
from keeppool.errors import ConfigError, quoted
from keeppool.events import ConnectionClosed, ConnectionOpened, Event, RequestDone
from keeppool.har.secrets import Secrets
from keeppool.observe.also import before_send_of, wanted_by_both
from keeppool.observe.entries import entry_of
from keeppool.observe.recorded import Socket
from keeppool.observe.waterfall import page
from keeppool.pools.outgoing import BeforeSend

#: Requests, and sockets, that are kept unless it is said otherwise: 10 to 20 MB, and a picture that stays quick.
LAST: Final = 10_000


class Recorder:
    """Keeps the last requests and sockets of one pool; give it to a session or pool as `on_event`.

    What is shown and written leaves secrets out: the values of fields such as Authorization and Cookie, users and
    passwords in URLs, and the values of query parameters whose name says that they are one, such as `token`. Bodies
    are not kept.

    Args:
        last: How many requests are kept, and how many sockets. The oldest goes first.
        also: Called with each event too, as a pool has one listener.
        hide_query: Leave out the values of all query parameters.

    Raises:
        ConfigError: `last` is no whole number above 0, or `also` cannot be called.

    Thread safety:
        Any thread may call any method at any time. Nothing is locked, so a forked child may go on with it.

    Example:
        recorder = Recorder()
        with keeppool.Session(on_event=recorder) as session:
            ...
        recorder.save_waterfall("crawl.html")
    """

    #: What a pool builds for it. The events between a request's beginning and its end would cost as much again.
    _WANTS: Final = frozenset((RequestDone, ConnectionOpened, ConnectionClosed))

    def __init__(
        self, last: int = LAST, *, also: Callable[[Event], object] | None = None, hide_query: bool = False
    ) -> None:
        if isinstance(last, bool) or not isinstance(last, int) or last < 1:
            raise ConfigError(f"last must be a whole number above 0, not {quoted(last)}")
        check_listener(also)
        self._also = also
        self._secrets = Secrets(like=re.compile(PRIVATE_NAME), all_of_query=hide_query)
        # Each step below is one call of a deque or a dict, which other threads and signals leave whole.
        self._done: deque[RequestDone] = deque(maxlen=last)
        self._open: OrderedDict[int, Socket] = OrderedDict()
        self._closed: deque[Socket] = deque(maxlen=last)
        self._last = last
        #: Seconds since 1970 at the zero of the clock.
        self._epoch = time.time() - clock()

    @property
    def wants(self) -> frozenset[type[Any]] | None:
        """The events it is to be told of; see `keeppool.events`. With `also`, what that wants too."""
        return wanted_by_both(self._WANTS, self._also)

    @property
    def before_send(self) -> BeforeSend | None:
        """Called with each request before it is sent, if what is `also` told wants to be."""
        return before_send_of(self._also)

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        if type(event) is RequestDone:
            self._done.append(event)
        elif isinstance(event, (ConnectionOpened, ConnectionClosed)):
            self._note(event)
        if self._also is not None:
            self._also(event)

    def _note(self, event: ConnectionOpened | ConnectionClosed) -> None:
        """Take note of a socket."""
        number, now = event.connection, clock()
        if isinstance(event, ConnectionOpened):
            self._open[number] = Socket(event.origin, number, now, event.dial_s, event.resumed)
            if len(self._open) > self._last:
                self._open.popitem(last=False)
            return
        known = self._open.pop(number, None)
        if known is None:
            # Opened before anybody listened.
            known = Socket(event.origin, number, now - event.age_s, 0.0, resumed=False)
        self._closed.append(replace(known, closed_at=now, why=event.why, served=event.served))

    @property
    def requests(self) -> list[RequestDone]:
        """The requests that are kept, in the order in which they ended."""
        return list(self._done.copy())

    @property
    def sockets(self) -> list[Socket]:
        """The sockets that are kept, in the order in which they were opened."""
        return sorted([*self._closed.copy(), *self._open.copy().values()], key=lambda socket: socket.opened_at)

    def clear(self) -> None:
        """Forget what was recorded; sockets that are open stay."""
        self._done.clear()
        self._closed.clear()

    def har(self) -> dict[str, Any]:
        """Give the requests as a document of HAR 1.2, which browsers' developer tools and others read.

        Of a request without a response the status is 0, and `_error` has the class of what ended it.
        """
        return har.document(entry_of(done, self._epoch, self._secrets) for done in self.requests)

    def save_har(self, path: str | os.PathLike[str]) -> None:
        """Write `har()` to a file.

        Args:
            path: Where to; the file is whole at any time, and what was there is replaced.

        Raises:
            OSError: It cannot be written.
        """
        har.save(path, [entry_of(done, self._epoch, self._secrets) for done in self.requests])

    def waterfall(self, title: str = "keeppool") -> str:
        """Draw what was recorded as one HTML page, which needs no network.

        Args:
            title: What stands above it.
        """
        return page(title, self.requests, self.sockets, self._epoch, self._secrets)

    def save_waterfall(self, path: str | os.PathLike[str], title: str = "keeppool") -> None:
        """Write `waterfall()` to a file. Args and Raises as for `save_har` and `waterfall`."""
        har.save_text(path, self.waterfall(title))

    def _repr_html_(self) -> str:
        """Show the waterfall in a notebook, in a frame of its own."""
        return (
            f'<iframe title="waterfall" sandbox="allow-scripts" style="width: 100%; height: 640px; border: 0" '
            f'srcdoc="{escape(self.waterfall())}"></iframe>'
        )

    def __repr__(self) -> str:
        return f"<Recorder {len(self._done)} requests, {len(self._open)} open and {len(self._closed)} closed sockets>"
