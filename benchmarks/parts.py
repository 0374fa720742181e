"""What keeppool's own time of one keep-alive GET of 1 KiB goes to: each part of it alone, in microseconds.

The whole is measured with the operating system and without it: once over a real connection to nginx, once over a socket
that takes every byte and has the answer ready. The parts are what is done in between, each called over and over by
itself, as the whole calls it. What their sum lacks is the way from one to the next, and what a processor has forgotten
of the one while it did the others.

The last column is each row's share of `PoolManager.request` without the operating system.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import program
from benchmarks.clients import FLOOR, bare_socket
from benchmarks.measure import in_turns, median_us, no_garbage_collection
from benchmarks.nginx_server import BODY, nginx
from benchmarks.program import Effort, Rows
from keeppool import PoolManager, Session
from keeppool.client.response.response import Response as SessionsResponse
from keeppool.clock import clock
from keeppool.config import INHERIT
from keeppool.net.stream import Stream
from keeppool.pools import pool_threads
from keeppool.pools.exchange import Exchange
from keeppool.pools.request import default_fields
from keeppool.pools.response import Response
from keeppool.pools.send import RECEIVE
from keeppool.wire.head import plain_head

#: Where requests without an operating system seem to go.
NOWHERE = "http://127.0.0.1:9/kib"
#: What nginx answers, as it answers it.
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sat, 28 Nov 2026 00:59:21 GMT\r\nContent-Type: application/octet-stream"
    b"\r\nContent-Length: %d\r\nLast-Modified: Sat, 28 Nov 2026 00:59:21 GMT\r\nConnection: keep-alive\r\n"
    b'ETag: "6567f1e9-400"\r\nAccept-Ranges: bytes\r\n\r\n' % len(BODY)
) + BODY
WHOLE = "PoolManager.request, without the system"

Call = Callable[[], object]


class ReadySocket:
    """Takes every byte, and has the answer ready; a real socket stands behind it for what looks at one."""

    def __init__(self) -> None:
        self._pair = socket.socketpair()
        self.fileno = self._pair[0].fileno
        self.recv_into = self._pair[0].recv_into
        self.send = len

    def recv(self, size: int) -> bytes:
        """Give the answer."""
        return ANSWER

    def gettimeout(self) -> float | None:
        """Tell that nothing is ever waited for."""
        return None

    def settimeout(self, seconds: float | None) -> None:
        """Never wait."""

    def setsockopt(self, *option: object) -> None:
        """Never wait."""

    def close(self) -> None:
        """Let go of both ends."""
        for end in self._pair:
            end.close()


@contextlib.contextmanager
def no_system() -> Iterator[None]:
    """Let pools dial ready sockets."""
    dial = pool_threads.dial
    pool_threads.dial = lambda origin, **_: Stream(cast("socket.socket", ReadySocket()))  # type: ignore[assignment]
    try:
        yield
    finally:
        pool_threads.dial = dial


@contextlib.contextmanager
def parts() -> Iterator[dict[str, Call]]:
    """Prepare the whole, and each part with what it needs from those before it."""
    with no_system(), PoolManager() as pool, Session() as session:
        inside, fields = pool._pool, default_fields()
        pool.request("GET", NOWHERE)
        session.get(NOWHERE)

        def made() -> Exchange:
            return Exchange(pool._locate(NOWHERE, None), b"GET", fields, None, None, clock())

        exchange = made()
        connection = inside.acquire(exchange, clock())
        stream = connection.stream
        assert isinstance(stream, Stream)

        def asked() -> None:
            asking.begin(connection, clock())
            stream.set_timeout(30)
            asking.sent = stream.send(asking.head)
            stream.receive(RECEIVE)

        def framed() -> object:
            reader = exchange.open_body()
            reader.feed(exchange.rest)
            return exchange.why_close(reader)

        def handed_out() -> object:
            response = Response(head, body, None, exchange, NOWHERE, True, BODY, 0.0, 0.0)
            response.preload()
            return response.data

        def borrowed() -> None:
            other.connection = inside.acquire(other, clock())
            inside.release(other, None)

        exchange.begin(connection, clock())
        head = exchange.take(ANSWER)
        assert head is not None, "the answer has a head"
        exchange.request_sent = True
        body = exchange.open_body()
        body.feed(exchange.rest)
        connection.read_at = clock()
        inside.release(exchange, None)
        other, asking = made(), made()
        raw = pool.request("GET", NOWHERE)
        yield {
            "Session.get, without the system": lambda: session.get(NOWHERE).content,
            WHOLE: lambda: pool.request("GET", NOWHERE).data,
            "arguments checked": lambda: pool._checked("GET", NOWHERE, None, None, INHERIT, None),
            "way found, request written": made,
            "connection taken, probed, given back": borrowed,
            "of these the probe": stream.probe,
            "request sent, answer received": asked,
            "answer's head parsed": lambda: plain_head(ANSWER),
            "body framed, connection judged": framed,
            "response made": handed_out,
            "Session's response made": lambda: SessionsResponse(raw, None, False, pool).content,
        }


def ask(effort: Effort) -> Rows:
    """Measure the whole with the system, then without, then the parts."""
    with nginx() as url, contextlib.ExitStack() as stack:
        real = {
            FLOOR: stack.enter_context(bare_socket(url)),
            "PoolManager.request": _pool_get(stack.enter_context(PoolManager()), url),
            "Session.get": _session_get(stack.enter_context(Session()), url),
        }
        costs = in_turns(real, rounds=effort.rounds, each=effort.requests)
    with parts() as calls, no_garbage_collection():
        costs |= in_turns(calls, rounds=effort.rounds, each=effort.requests)
    whole = median_us(costs[WHOLE])
    return {name: {"us_call": median_us(own), "share": median_us(own) / whole} for name, own in costs.items()}


def _pool_get(pool: PoolManager, url: str) -> Call:
    return lambda: pool.request("GET", url).data


def _session_get(session: Session, url: str) -> Call:
    return lambda: session.get(url).content


if __name__ == "__main__":
    program.main(ask, Effort(25, 1000), about=__doc__)
