"""A response that no connection has brought: recorded before, or made up. Its caller cannot tell it from another.

Decides: how a response that is known whole stands on the wire, so that head, framing, codings and errors are read there
    as they always are.
Knows: the request it is to, which is checked as any other, and not sent.
Does not know: where the response comes from.

Source: RFC 9112 §6.3 (message body length).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from keeppool.clock import clock
from keeppool.core.records import Connection, Group, Host
from keeppool.core.tallies import Tally
from keeppool.errors import KeepPoolError, PoolClosed, name_call
from keeppool.pools.body import AnyResponse
from keeppool.pools.exchange import Exchange
from keeppool.wire.fields import field_block

if TYPE_CHECKING:
    from keeppool.pools.manager import ExchangeArguments, Manager
    from keeppool.pools.routes import Located, Route

R = TypeVar("R", bound=AnyResponse)

#: Statuses without a body, whatever the fields say.
_BODILESS = frozenset((204, 304))


class Recalled(NamedTuple):
    """What is known of a response.

    Attributes:
        status: 200 to 999.
        fields: The header fields. Those that frame the body are made true.
        body: As it was sent, but for its framing: content codings are still on it.
        reason: The reason phrase.
        version: 11, or 10.
    """

    status: int
    fields: Sequence[tuple[str | bytes, str | bytes]] = ()
    body: bytes = b""
    reason: str = ""
    version: int = 11

    def on_the_wire(self, method: bytes) -> bytes:
        """Write the response as a server sends it.

        Args:
            method: Of the request.

        Raises:
            InvalidHeader: A field cannot be sent.
        """
        fields, body = [*self.fields], self.body
        if method == b"HEAD" or self.status in _BODILESS:
            body = b""
        elif self.version == 11 and any(_is_named(name, b"transfer-encoding") for name, _ in fields):
            fields = [pair for pair in fields if not any(_is_named(pair[0], name) for name in _FRAMES)]
            fields.append(("Transfer-Encoding", "chunked"))
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        else:
            fields = [pair for pair in fields if not _is_named(pair[0], b"transfer-encoding")]
            length = str(len(body))
            fields = [(name, length if _is_named(name, b"content-length") else value) for name, value in fields]
        # A line end in the phrase would be one in the head; a server cannot have sent it.
        line = f"HTTP/1.{self.version - 10} {self.status} {' '.join(self.reason.split())}"
        return b"%b\r\n%b\r\n%b" % (line.encode("utf-8", "replace"), field_block(fields).lines, body)


_FRAMES = (b"transfer-encoding", b"content-length")


def _is_named(name: str | bytes, wanted: bytes) -> bool:
    return (name if isinstance(name, bytes) else name.encode("utf-8", "replace")).lower() == wanted


def locate(manager: Manager, given: ExchangeArguments) -> Located:
    """Find where a request would go.

    Raises:
        InvalidURL: Nowhere.
        PoolClosed: The manager sends no more.
    """
    method, url, override = given[0], given[1], given[6]
    try:
        located = manager._locate(url, override)
        if manager._pool._state.is_closed:
            name = located.route.name
            raise PoolClosed(f"the pool is closed; nothing was sent to {name}", origin=name)
    except KeepPoolError as error:
        raise name_call(error, method, url) from error.__cause__
    return located


def recall(manager: Manager, kind: type[R], given: ExchangeArguments, answer: bytes) -> R:
    """Make the response to a request that is not sent. It holds no connection; its body is there, and still to be read.

    Args:
        manager: Whose configuration holds.
        kind: Of the response.
        given: The request.
        answer: All that a server would send, up to its closing the connection; see `Recalled.on_the_wire`.

    Raises:
        InvalidRequest, PoolClosed: The request could not have been sent.
        ProtocolError: `answer` is no response to it.
        ChunkedEncodingError: The body in it breaks off.
    """
    started = clock()
    exchange = _sent(manager, given, started)
    try:
        head = exchange.take(answer)
        if head is None:
            raise exchange.closed()
        reader = exchange.open_body()
        first = reader.feed(exchange.rest) if exchange.rest else b""
        reader.eof()
    except KeepPoolError as error:
        exchange.blame(error)
        raise
    return kind(head, reader, None, exchange, given[1], given[7], first, started, clock(), False)


def blame(manager: Manager, given: ExchangeArguments, error: KeepPoolError) -> KeepPoolError:
    """Give an error that nothing has caused what one has that a request ends in: its name, and what was sent."""
    return _sent(manager, given, clock()).blame(error)


def _sent(manager: Manager, given: ExchangeArguments, now: float) -> Exchange:
    """Begin an exchange, as if the request had gone out."""
    method, url, fields, body, timeout = given[:5]
    located = locate(manager, given)
    try:
        exchange = Exchange(located, method, fields, body, timeout, now)
    except KeepPoolError as error:
        name_call(error, method, url)
        raise
    exchange.begin(_unconnected(exchange.route, now), now)
    exchange.sent, exchange.request_sent = len(exchange.head), True
    return exchange


def _unconnected(route: Route, now: float) -> Connection:
    """Make the record of a connection that nobody has opened."""
    return Connection(0, Host(route.origin, route.policy, Group(route.origin.proxy, None), Tally()), now)
