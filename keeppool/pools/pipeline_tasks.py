"""The requests in flight on one connection, on an event loop: sent together, and their responses told apart.

Decides: nothing of who rides; that is `core/riding.py`'s. Which bytes belong to which response, by the end of the one
before; and that bytes that were there before a request was sent are no response to it.
Waits: nothing here is awaited. The event loop says that bytes have come. Responses that are whole are ended here, in
their order, and their callers woken with all of them; where a body has more to come, its caller reads on, and this
one goes on when the caller gives the connection back.

Riders that board in one turn of the loop leave in one `send`. Each has its own share of what the kernel has accepted.

Source: RFC 9112 §9.3.2 (responses come in the order of the requests), §9.2 (bytes nobody asked for).
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from keeppool.clock import clock
from keeppool.core.records import Connection, Ticket
from keeppool.errors import KeepPoolError, ProtocolError
from keeppool.net.stream_tasks import Channel
from keeppool.pools.body import DRAIN_SIZE
from keeppool.pools.exchange import ASKS_AGAIN, Arrived, Exchange
from keeppool.pools.send import RECEIVE
from keeppool.pools.waits import SHORTEST, next_wait
from keeppool.reasons import Why
from keeppool.wire.message import BodyReader

#: Seconds for which the response to a request whose caller has gone is waited for once its turn has come. It saves the
#: connection, and the requests behind it; all of them together wait for no longer than `riding.LONGEST_STALL`.
GHOST_SECONDS = 1.0


class Rider:
    """One request on the connection.

    Args:
        ticket: Its place in the core's tables.
        exchange: Its facts.
        future: What its caller awaits.

    Attributes:
        starts_at: The first of its bytes, counted as `Channel.accepted` counts; `None` as long as it is not written.
        follows: Bytes that had come when it was written: its response begins no earlier.
        is_ghost: Its caller has gone.
        ends_at: When its response is given up, if it is a ghost whose turn has come.
    """

    __slots__ = ("ends_at", "exchange", "follows", "future", "is_ghost", "starts_at", "ticket")

    def __init__(self, ticket: Ticket, exchange: Exchange, future: asyncio.Future[None]) -> None:
        self.ticket = ticket
        self.exchange = exchange
        self.future = future
        self.starts_at: int | None = None
        self.follows = 0
        self.is_ghost = False
        self.ends_at = 0.0


class Handling(Protocol):
    """What a pipeline has its pool do; the pool is `pool_tasks.py`'s."""

    def release(self, exchange: Exchange, why: Why | None, error: BaseException | None = None) -> None:
        """Give the connection on, as the exchange on it has ended."""

    def begun(self, exchange: Exchange, body: BodyReader) -> None:
        """Report that a response has begun, and what follows from its head."""

    def cut(self, connection: Connection) -> None:
        """Report that nothing more can be sent."""

    def stood_still(self, connection: Connection) -> float | None:
        """Report that time has passed; give when to report that again."""


class TaskPipeline:
    """The riders on one connection, and the one of them whose response comes next.

    Args:
        pool: Told of what has happened.
        connection: Its holder's request has been sent whole.
        channel: The connection's.
        stall: Seconds after which the pool is told that time has passed.

    Attributes:
        surplus: What came behind the response before, for whoever is next.
    """

    __slots__ = (
        "_body",
        "_channel",
        "_connection",
        "_is_due",
        "_is_going",
        "_pool",
        "_riders",
        "_stall",
        "_timer",
        "_turn",
        "_unwritten",
        "_written",
        "surplus",
    )

    def __init__(self, pool: Handling, connection: Connection, channel: Channel, stall: float) -> None:
        self._pool = pool
        self._connection = connection
        self._channel = channel
        self._riders: dict[Ticket, Rider] = {}
        self._unwritten: list[Rider] = []
        self._written = channel.accepted
        #: Whose response comes next, as long as it is read here, and what is known of its body.
        self._turn: Rider | None = None
        self._body: BodyReader | None = None
        self._is_going = self._is_due = False
        self.surplus = b""
        self._stall = stall
        #: There while somebody rides, and until it rings for the next time.
        self._timer: asyncio.TimerHandle | None = None

    # Who comes and goes

    def board(self, ticket: Ticket, exchange: Exchange, future: asyncio.Future[None]) -> None:
        """Let a request follow the others, within this turn of the event loop."""
        now = clock()
        exchange.begin(self._connection, now)
        exchange.is_asked = True
        assert ticket.ride is not None, "bug: boarded, and no ride"
        exchange.position = ticket.ride.place
        rider = self._riders[ticket] = Rider(ticket, exchange, future)
        self._unwritten.append(rider)
        if self._timer is None:
            self._timer = self._channel.loop.call_later(self._stall, self._stands)
        if not self._is_due and not self._is_going:
            self._is_due = True
            self._channel.loop.call_soon(self._flush)

    def left(self, ticket: Ticket) -> None:
        """Take note that a caller is no longer on the connection, or that it is a ghost from here on."""
        rider = self._riders.get(ticket)
        if rider is None:
            return
        if ticket.ride is not None and ticket.ride.is_ghost:
            rider.is_ghost = True
            return
        del self._riders[ticket]
        if rider.starts_at is None:
            self._unwritten.remove(rider)

    def holds(self, ticket: Ticket) -> bool:
        """Tell whether this caller rides here."""
        return ticket in self._riders

    def has_turn(self, ticket: Ticket) -> None:
        """Read the response of this rider from here on; `go_on` follows."""
        rider = self._riders.pop(ticket)
        self._turn, self._body = rider, None
        rider.exchange.has_turn(self._connection, clock())
        self._channel.read_with(self.go_on)
        if rider.is_ghost:
            rider.ends_at = clock() + GHOST_SECONDS
            rider.future = self._channel.loop.create_future()
            rider.future.add_done_callback(self._ghost_is_late)

    def settle(self) -> None:
        """Say of each rider whether something of its request can have left; before the connection ends."""
        accepted, is_unsure = self._channel.accepted, self._channel.unsent
        for rider in self._riders.values():
            ride = rider.ticket.ride
            if ride is not None:
                ride.is_sent = rider.starts_at is not None and (is_unsure or accepted > rider.starts_at)
                self._measure(rider)

    def end(self) -> None:
        """Have nothing to do with the connection any more, nor with those who rode: they may ride elsewhere by now."""
        if self._timer is not None:
            self._timer.cancel()
        self._riders, self._unwritten = {}, []
        self._turn = None
        self._channel.read_with(None)

    # Sending

    def _flush(self) -> None:
        """Send what those who have boarded ask for, in one piece."""
        self._is_due = False
        if not self._unwritten:
            return
        # A look at the kernel: what is there by now is no response to these. It may be the connection's end.
        came = self._channel.came()
        riders, self._unwritten = self._unwritten, []
        if not riders:
            return  # It was.
        for rider in riders:
            rider.starts_at, rider.follows = self._written, came
            self._written += len(rider.exchange.head)
            if rider.ticket.ride is not None:
                rider.ticket.ride.is_sent = True
        try:
            self._channel.write(b"".join([rider.exchange.head for rider in riders]))
        except OSError:
            self.settle()
            self._pool.cut(self._connection)
            return
        for rider in riders:
            self._measure(rider)

    def _measure(self, rider: Rider) -> None:
        """Write down how much of a request the kernel has taken."""
        exchange, size = rider.exchange, len(rider.exchange.head)
        if rider.starts_at is not None and not exchange.request_sent:
            exchange.sent = min(max(self._channel.accepted - rider.starts_at, 0), size)
            if exchange.sent == size:
                exchange.sent_whole()

    # Receiving

    def go_on(self) -> None:
        """Read as far as something has come, one response after the other."""
        if self._is_going:
            return
        self._is_going = True
        try:
            while (rider := self._turn) is not None:
                if rider.starts_at is None:
                    self._flush()  # Together with all who have boarded since the last one that was written.
                if not self._step(rider):
                    break
        finally:
            self._is_going = False
        if self._unwritten:
            self._flush()

    def _step(self, rider: Rider) -> bool:
        """Take one piece for the response whose turn it is. False if there is none, or it is its caller's to go on."""
        data: bytes | None
        data, self.surplus = self.surplus, b""
        if not data:
            try:
                data = self._channel.received(RECEIVE)
            except OSError:
                return self._hand_over(rider)
            if data is None:
                return self._wait(rider)
            if not data:
                return self._hand_over(rider)
        exchange = rider.exchange
        if not exchange.received and self._channel.taken - len(data) < rider.follows:
            exchange.failure = exchange.asked_too_late()
            exchange.why_again = Why.UNASKED_DATA
            return self._hand_over(rider)
        if not exchange.request_sent:
            self._measure(rider)
        try:
            return self._take(rider, exchange, data)
        except KeepPoolError as error:
            exchange.failure = error
            return self._hand_over(rider)

    def _take(self, rider: Rider, exchange: Exchange, data: bytes) -> bool:
        body = self._body
        if body is not None:
            exchange.received += len(data)
            body.feed(data)
            return self._discard(rider, body)
        head = exchange.take(data)
        if head is None:
            return True
        now = self._connection.read_at = clock()
        if head.status in ASKS_AGAIN and exchange.is_refused_unread(now):
            return self._hand_over(rider)
        body = exchange.open_body(keeps=exchange.streams)
        first = body.feed(exchange.rest) if exchange.rest else b""
        if rider.is_ghost:
            self._body = body
            return self._discard(rider, body)
        exchange.arrived = Arrived(body, first, now)
        self._pool.begun(exchange, body)
        if not body.complete:
            return self._hand_over(rider)
        self._turn = None
        self._pool.release(exchange, exchange.why_close(body))
        self._wake(rider)
        return self._turn is not None

    def _discard(self, rider: Rider, body: BodyReader) -> bool:
        """Throw a ghost's response away, if it is small; else its connection with it."""
        self._connection.read_at = clock()
        if body.complete:
            self._give_back(rider, rider.exchange.why_close(body))
        elif body.failure is not None or body.received > DRAIN_SIZE or (body.remaining or 0) > DRAIN_SIZE:
            self._give_back(rider, Why.BODY_UNREAD)
        return self._turn is not None

    def _give_back(self, ghost: Rider, why: Why | None) -> None:
        self._turn = None
        if not ghost.future.done():
            ghost.future.cancel()
        self._pool.release(ghost.exchange, why)

    def _ghost_is_late(self, future: asyncio.Future[None]) -> None:
        """Its time is up, unless it was called off."""
        ghost = self._turn
        if not future.cancelled() and future.exception() is not None and ghost is not None and ghost.future is future:
            self._give_back(ghost, Why.BODY_UNREAD)

    def _wait(self, rider: Rider) -> bool:
        """Wait for more, for as long as the caller would."""
        exchange = rider.exchange
        if rider.is_ghost:
            self._channel.guard(rider.future, max(rider.ends_at - clock(), SHORTEST))
            return False
        try:
            self._channel.guard(rider.future, next_wait(exchange) if exchange.is_timed else exchange.timeout.read)
        except TimeoutError as error:
            self._turn = None
            self._channel.read_with(None)
            if not rider.future.done():
                rider.future.set_exception(error)
        return False

    def _hand_over(self, rider: Rider) -> bool:
        """Let the caller read on, or find what has ended the connection; a ghost has none."""
        if rider.is_ghost:
            error = rider.exchange.failure
            self._give_back(rider, Why.EXCHANGE_FAILED if isinstance(error, ProtocolError) else Why.PEER_CLOSED)
        else:
            self._turn = None
            self._channel.read_with(None)
            self._wake(rider)
        return False

    @staticmethod
    def _wake(rider: Rider) -> None:
        if not rider.future.done():
            rider.future.set_result(None)

    # Standing still

    def _stands(self) -> None:
        """Let the core see whether the connection has stood still for too long."""
        self._timer = None
        until = self._pool.stood_still(self._connection)
        if until is not None:
            self._timer = self._channel.loop.call_later(max(until - clock(), 0.0), self._stands)
