"""Sending a request and reading its answer's head, on an event loop: the twin of `converse.py`, which waits otherwise.

Decides nothing: how long, and what is an end, are `converse.py`'s rules; what came is told to the `Exchange`.

A request whose head the kernel takes at once, and whose answer comes whole, waits once: for that answer.

Source: RFC 9112 §9.5 (a client that sends a body watches for the answer), RFC 9110 §10.1.1 (100-continue).
"""

from __future__ import annotations

from asyncio import CancelledError, timeout
from collections.abc import AsyncGenerator

from keeppool.clock import clock
from keeppool.errors import BodyLengthError, InvalidBody, KeepPoolError
from keeppool.net.stream_tasks import Channel
from keeppool.pools.exchange import Exchange
from keeppool.pools.send import (
    LAST_WORDS,
    RECEIVE,
    BodyFailed,
    has_passed,
    invitation_ends,
    is_break,
    left,
    next_piece,
    refusal,
)
from keeppool.wire.body import RequestBody
from keeppool.wire.head import ResponseHead


async def converse(exchange: Exchange, channel: Channel, deadline: float | None) -> ResponseHead:
    """Send the request and read the answer's head.

    Args:
        exchange: Begun on the channel's connection. Its request may have been sent already.
        channel: Connected.
        deadline: When the total timeout passes, on `clock`; `None` without one.

    Raises:
        ExchangeError: With what was sent and received. The connection must be closed.
        BodyFailed: The caller's body raised something.
    """
    sending = not exchange.request_sent
    try:
        if not exchange.is_asked:
            ask(exchange, channel)
        if not exchange.request_sent:
            early = await _send(exchange, channel, deadline)
            if early is not None:
                return early
            exchange.request_sent = True
        sending = False
        head = None
        while head is None:
            while (data := channel.received(RECEIVE)) is None:
                await channel.news(exchange.timeout.read if deadline is None else left(exchange, deadline))
            head = exchange.take_early(data)
        return head
    except KeepPoolError as error:
        raise exchange.blame(error) from error.__cause__
    except OSError as error:
        exchange.sent = channel.accepted
        answer = await _last_words(exchange, channel) if sending and is_break(error) else None
        if answer is not None:
            return answer
        total = exchange.timeout.total if has_passed(deadline) else None
        raise exchange.failed(error, sending=sending, total=total) from error


def ask(exchange: Exchange, channel: Channel) -> None:
    """Send the request, as far as it takes no waiting.

    Raises:
        OSError: The connection is gone. Where the kernel had taken something before, the request counts as asked.
    """
    try:
        is_whole = channel.begin(exchange.head)
    except OSError:
        exchange.is_asked = channel.accepted > 0
        raise
    exchange.is_asked = True
    exchange.sent = len(exchange.head) if is_whole else channel.accepted
    exchange.request_sent = is_whole and exchange.body is None


async def _send(exchange: Exchange, channel: Channel, deadline: float | None) -> ResponseHead | None:
    """Send what is left; the answer's head, if that was there before the end of the body."""
    early = await _drain(exchange, channel, deadline)
    if early is not None or exchange.body is None:
        return early
    if exchange.expects_continue:
        early = await _await_invitation(exchange, channel, deadline)
        if early is not None:
            return early
    if exchange.body.is_async:
        return await _upload_awaited(exchange, exchange.body, channel, deadline)
    return await _upload(exchange, exchange.body, channel, deadline)


async def _drain(exchange: Exchange, channel: Channel, deadline: float | None) -> ResponseHead | None:
    """Wait until the kernel has taken what was written, with an eye on the server: an answer that is there stops it.

    Once everything is taken nobody looks: what was written may have been the last piece, and its answer no early one.
    """
    while not await channel.drain(left(exchange, deadline)):
        exchange.sent = channel.accepted
        head = _take_early(exchange, channel)
        if head is not None:
            return head
    exchange.sent = channel.accepted
    return None


def _take_early(exchange: Exchange, channel: Channel) -> ResponseHead | None:
    return exchange.take_early(channel.receive_now(RECEIVE))


async def _upload(
    exchange: Exchange, body: RequestBody, channel: Channel, deadline: float | None
) -> ResponseHead | None:
    """Send the body piece by piece."""
    pieces = body.pieces()
    while (piece := next_piece(pieces)) is not None:
        head = await _send_piece(exchange, piece, channel, deadline)
        if head is not None:
            return head
    return None


async def _send_piece(
    exchange: Exchange, piece: bytes | memoryview, channel: Channel, deadline: float | None
) -> ResponseHead | None:
    """Send one piece, unless the answer is there already."""
    head = _take_early(exchange, channel)
    if head is None:
        left(exchange, deadline)  # The time may be up by now, and nothing may follow then.
        channel.write(piece)
        head = await _drain(exchange, channel, deadline)
    return head


async def _upload_awaited(
    exchange: Exchange, body: RequestBody, channel: Channel, deadline: float | None
) -> ResponseHead | None:
    """Send a body that has to be waited for itself."""
    pieces = body.awaited_pieces()
    try:
        while True:
            watch = _Watch(exchange, channel, deadline)
            piece = await _next_awaited(pieces, watch)
            head = watch.news()
            if head is None and piece is not None:
                head = await _send_piece(exchange, piece, channel, deadline)
            if head is not None or piece is None:
                return head
    finally:
        await _close(pieces)


async def _next_awaited(pieces: AsyncGenerator[bytes | memoryview, None], watch: _Watch) -> bytes | memoryview | None:
    """As `next_piece`; `None` too where the watch has ended the wait, which cancels the body as any time limit does."""
    try:
        watch.begin()
        async with watch.limit:
            return await anext(pieces, None)
    except (BodyLengthError, InvalidBody):
        raise
    except BaseException as error:
        if watch.limit.expired() and not isinstance(error, CancelledError):
            return None
        raise BodyFailed(error) from error
    finally:
        watch.end()


async def _close(pieces: AsyncGenerator[bytes | memoryview, None]) -> None:
    """Let a body that is not wanted to its end let go of what it holds."""
    try:
        await pieces.aclose()
    except BaseException as error:
        raise BodyFailed(error) from error


class _Watch:
    """An eye on the clock and on the server while the caller's body is awaited, which may be for long.

    The wait stays in the caller's own task, where the body's own time limits and scopes are. So it is ended as
    `asyncio.timeout` ends one, and only when nobody can want the rest of the body any more.

    Attributes:
        limit: What the wait happens in.

    Raises:
        TimeoutError: The total timeout has passed already.
    """

    def __init__(self, exchange: Exchange, channel: Channel, deadline: float | None) -> None:
        left(exchange, deadline)
        self._exchange = exchange
        self._channel = channel
        self._head: ResponseHead | None = None
        self._error: Exception | None = None
        self.limit = timeout(None if deadline is None else deadline - clock())

    def begin(self) -> None:
        """Have the event loop say when something comes."""
        self._channel.watch(self._look)

    def end(self) -> None:
        """Look no longer."""
        self._channel.watch(None)

    def news(self) -> ResponseHead | None:
        """Give the answer that has come meanwhile, if one has.

        Raises:
            TimeoutError: The total timeout has passed.
            OSError, KeepPoolError: The connection failed, the server closed it, or what came is no HTTP.
        """
        error, self._error = self._error, None
        if error is not None:
            raise error
        if self._head is None and self.limit.expired():
            raise TimeoutError("the total timeout has passed")
        return self._head

    def _look(self) -> None:
        """Read what the server says. An interim answer, or half an answer, is no reason to stop."""
        try:
            self._head = _take_early(self._exchange, self._channel)
        except (OSError, KeepPoolError) as error:
            self._error = error
        if self._head is None and self._error is None:
            self._channel.watch(self._look)
        else:
            self.limit.reschedule(self._channel.loop.time())


async def _await_invitation(exchange: Exchange, channel: Channel, deadline: float | None) -> ResponseHead | None:
    """Wait for an interim answer; the final one's head, if that came instead."""
    end = invitation_ends(deadline)
    try:
        while not exchange.was_invited:
            head = exchange.take_early(await channel.receive(RECEIVE, max(end - clock(), 0)))
            if head is not None:
                return head
    except TimeoutError:
        pass  # The server may never say; the body goes out all the same (RFC 9110 §10.1.1).
    return None


async def _last_words(exchange: Exchange, channel: Channel) -> ResponseHead | None:
    """Read an answer that refuses the request, if one came before the connection broke; only an error counts."""
    end = clock() + LAST_WORDS
    try:
        while (seconds := end - clock()) > 0:
            data = await channel.receive(RECEIVE, seconds)
            head = exchange.take(data) if data else None
            if head is not None or not data:
                return refusal(head)
    except OSError:
        pass  # No words: what the caller gets to see is the first error.
    return None
