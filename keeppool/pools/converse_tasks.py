"""Sending a request and reading its answer's head, on an event loop: the twin of `converse.py`, which waits otherwise.

Decides nothing: how long, and what is an end, are `converse.py`'s rules; what came is told to the `Exchange`.

A request whose head the kernel takes at once, and whose answer comes whole, waits once: for that answer.

Source: RFC 9112 §9.5 (a client that sends a body watches for the answer), RFC 9110 §10.1.1 (100-continue).
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from keeppool.errors import BodyLengthError, InvalidBody, KeepPoolError
from keeppool.net.channel import Channel
from keeppool.pools.clock import clock
from keeppool.pools.converse import (
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
from keeppool.pools.exchange import Exchange
from keeppool.wire.body import RequestBody
from keeppool.wire.head import ResponseHead


async def converse(exchange: Exchange, channel: Channel, deadline: float | None) -> ResponseHead:
    """Send the request and read the answer's head.

    Args:
        exchange: Begun on the channel's connection.
        channel: Connected.
        deadline: When the total timeout passes, on `clock`; `None` without one.

    Raises:
        ExchangeError: With what was sent and received. The connection must be closed.
        BodyFailed: The caller's body raised something.
    """
    sending = True
    try:
        channel.reset_accepted()
        channel.write(exchange.head)
        exchange.sent = channel.accepted
        if exchange.body is not None or channel.unsent:
            early = await _send(exchange, channel, deadline)
            if early is not None:
                return early
        exchange.request_sent = True
        sending = False
        while True:
            data = await channel.receive(
                RECEIVE, exchange.timeout.read if deadline is None else left(exchange, deadline)
            )
            if not data:
                raise exchange.closed()
            head = exchange.take(data)
            if head is not None:
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
        channel.write(piece)
        head = await _drain(exchange, channel, deadline)
    return head


async def _upload_awaited(
    exchange: Exchange, body: RequestBody, channel: Channel, deadline: float | None
) -> ResponseHead | None:
    """Send a body that has to be waited for itself."""
    pieces = body.awaited_pieces()
    while (piece := await _next_awaited(pieces)) is not None:
        head = await _send_piece(exchange, piece, channel, deadline)
        if head is not None:
            return head
    return None


async def _next_awaited(pieces: AsyncIterator[bytes | memoryview]) -> bytes | memoryview | None:
    """As `next_piece`."""
    try:
        return await anext(pieces, None)
    except (BodyLengthError, InvalidBody):
        raise
    except BaseException as error:
        raise BodyFailed(error) from error


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
