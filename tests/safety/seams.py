"""How the tests of safety reach a pool's sockets, and what they ask of a pool afterwards.

`on_event` tells that a connection was opened, in the thread that dialled it and before anything is sent: the stream in
the pool's record may then be given other methods, or another class. Nothing of what decides is touched.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from keeppool import HostConfig, PoolManager
from keeppool.events import ConnectionOpened
from keeppool.net.stream import Stream
from keeppool.net.streams import Liveness
from keeppool.testing import RawConnection

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#: A connection that serves as long as it is wanted.
SERVE = [*[RawConnection.read_request, OK] * 20, RawConnection.read_until_closed]


class Plant(NamedTuple):
    """A server's TLS context, the root that a client of it trusts, and that client's context; `None` for plain HTTP."""

    tls: ssl.SSLContext | None
    roots: str | None
    client: ssl.SSLContext | None

    def pool(self, *arguments: Any, **options: Any) -> PoolManager:
        """Open a pool that trusts the server."""
        if self.client is not None:
            options["defaults"] = HostConfig(ssl_context=self.client)
        options.setdefault("timeout", 5)
        return PoolManager(*arguments, **options)


class OnOpen:
    """A listener that changes the stream of each connection of its pool before the first request goes out."""

    def __init__(self, change: Callable[[Stream], object]) -> None:
        self.pool: PoolManager
        self._change = change

    def __call__(self, event: object) -> None:
        if isinstance(event, ConnectionOpened):
            self._change(stream_of(self.pool, event.connection))


def stream_of(pool: PoolManager, number: int) -> Stream:
    """Find the stream of an open connection by its number."""
    with pool._pool._lock:
        (stream,) = [held.stream for held in pool._pool._state.everything() if held.number == number]
    return stream


class Blind(Stream):
    """A stream whose probe always says that all is well."""

    __slots__ = ()

    def probe(self) -> Liveness:
        return Liveness.IDLE


def blind(stream: Stream) -> None:
    """Take a stream's probe away."""
    stream.__class__ = Blind


def assert_settled(pool: PoolManager) -> None:
    """Nothing is held, nobody waits, and what was opened is open or was closed for a reason."""
    stats = pool.stats()
    assert (stats.busy, stats.connecting, stats.waiting) == (0, 0, 0), stats
    assert stats.opened == stats.open + stats.closed, stats
    # What the janitor has decided a moment ago it may be about to do, in its own thread.
    deadline = time.monotonic() + 10
    while pool._pool._state.orders and time.monotonic() < deadline:
        time.sleep(0.001)
    assert not pool._pool._state.orders


def answer_once_then(*rest: Any) -> list[Any]:
    """Script a connection that answers one request well, then does the rest at the second one."""
    return [RawConnection.read_request, OK, RawConnection.read_request, *rest]
