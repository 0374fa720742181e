"""Sending a request and reading its response's head, on an event loop: the twin of `send.py`, which waits otherwise.

Decides nothing: how long is `waits.py`'s rule, what is an end `send.py`'s. What came goes to the `Exchange`.

A request whose head the kernel takes at once, and whose response comes whole, waits once: for that response.

Source: RFC 9112 §9.5 (a client that sends a body watches for the response), RFC 9110 §10.1.1 (100-continue).
"""

from __future__ import annotations

from asyncio import CancelledError, timeout
from collections.abc import AsyncGenerator
from contextlib import suppress

from keeppool.clock import clock
from keeppool.errors import BodyLengthError, InvalidBody, KeepPoolError
from keeppool.net.stream_tasks import Channel
from keeppool.pools.exchange import Exchange
from keeppool.pools.send import RECEIVE, BodyFailed, LateResponse, is_break, next_piece
from keeppool.pools.waits import Progress, continue_wait_ends, next_wait, total_passed
from keeppool.wire.body import RequestBody
from keeppool.wire.head import ResponseHead


async def send(exchange: Exchange, channel: Channel) -> ResponseHead:
    """Send the request and read the response's head.

    Args:
        exchange: Begun on the channel's connection. Its request may have been sent already.
        channel: Connected.

    Raises:
        ExchangeError: With what was sent and received. The connection must be closed.
        BodyFailed: The caller's body raised something.
    """
    sending = not exchange.request_sent
    try:
        if not exchange.is_asked:
            ask(exchange, channel)
        if not exchange.request_sent:
            early = await _send_rest(exchange, channel)
            if early is not None:
                return early
            exchange.sent_whole()
        sending = False
        head = None
        while head is None:
            while (data := channel.received(RECEIVE)) is None:
                await channel.wait_readable(next_wait(exchange) if exchange.is_timed else exchange.timeout.read)
            head = exchange.take_early(data)
        return head
    except KeepPoolError as error:
        raise exchange.blame(error) from error.__cause__
    except OSError as error:
        if sending and not exchange.position:
            exchange.sent = channel.accepted
        late = await _late_response(exchange, channel) if sending and is_break(error) else None
        if late is not None:
            return late
        error.__traceback__ = None  # A future of the channel's may have the error: this frame would hold itself.
        raise exchange.failed(error, sending=sending, total=total_passed(exchange)) from error


def hear(exchange: Exchange, channel: Channel) -> None:
    """Take what has come of the response; most often its head is whole. If not, `send` waits, or says what is wrong.

    Raises:
        KeepPoolError: As `send`.
    """
    try:
        if data := channel.received(RECEIVE):
            exchange.take(data)
    except KeepPoolError as error:
        raise exchange.blame(error) from error.__cause__
    except OSError:
        pass  # `send` meets it again.


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
    if is_whole and exchange.body is None:
        exchange.request_sent = True
        if exchange.timeline is not None:
            exchange.timeline.sent()


async def _send_rest(exchange: Exchange, channel: Channel) -> ResponseHead | None:
    """Send what is left; the response's head, if that was there before the end of the body."""
    early = await _drain(exchange, channel)
    if early is not None or exchange.body is None:
        return early
    if exchange.expects_continue:
        early = await _await_continue(exchange, channel)
        if early is not None:
            return early
    if exchange.body.is_async:
        return await _upload_awaited(exchange, exchange.body, channel)
    return await _upload(exchange, exchange.body, channel)


async def _drain(exchange: Exchange, channel: Channel) -> ResponseHead | None:
    """Wait until the kernel has taken what was written, with an eye on the server: a response that is there stops it.

    Once everything is taken nobody looks: what was written may have been the last piece, and its response no early one.
    """
    progress = Progress(exchange)
    while True:
        seconds = progress.next_look()
        try:
            is_taken = await channel.drain(seconds)
        except TimeoutError as error:
            progress.check(channel.held, error)
            continue
        if not exchange.position:
            exchange.sent = channel.accepted
        elif is_taken:  # What the channel has accepted before that was others' too.
            exchange.sent = len(exchange.head)
        if is_taken:
            return None
        head = _take_early(exchange, channel)
        if head is not None:
            return head
        progress = Progress(exchange)


async def _let_arrive(exchange: Exchange, channel: Channel) -> ResponseHead | None:
    """Wait until the server has what the kernel holds of the body: its own time begins then."""
    exchange.sent_whole()  # What has not arrived is the kernel's to send.
    if exchange.timeout.sending is None:
        return None
    progress = Progress(exchange, held := channel.held)
    while held:
        seconds = progress.next_look()
        try:
            await channel.wait_readable(seconds)
        except TimeoutError as error:
            progress.check(held := channel.held, error)
            continue
        head = _take_early(exchange, channel)
        if head is not None:
            return head
        held = channel.held
    return None


def _take_early(exchange: Exchange, channel: Channel) -> ResponseHead | None:
    return exchange.take_early(channel.receive_now(RECEIVE))


async def _upload(exchange: Exchange, body: RequestBody, channel: Channel) -> ResponseHead | None:
    """Send the body piece by piece."""
    pieces = body.pieces()
    while (piece := next_piece(pieces)) is not None:
        head = await _send_piece(exchange, piece, channel)
        if head is not None:
            return head
    return await _let_arrive(exchange, channel)


async def _send_piece(exchange: Exchange, piece: bytes | memoryview, channel: Channel) -> ResponseHead | None:
    """Send one piece, unless the response is there already."""
    head = _take_early(exchange, channel)
    if head is None:
        next_wait(exchange)  # The time may be up by now, and nothing may follow then.
        channel.write(piece)
        head = await _drain(exchange, channel)
    return head


async def _upload_awaited(exchange: Exchange, body: RequestBody, channel: Channel) -> ResponseHead | None:
    """Send a body that has to be waited for itself."""
    pieces = body.awaited_pieces()
    try:
        while True:
            watch = _Watch(exchange, channel)
            piece = await _next_awaited(pieces, watch)
            head = watch.result()
            if head is None and piece is not None:
                head = await _send_piece(exchange, piece, channel)
            if head is not None:
                return head
            if piece is None:
                return await _let_arrive(exchange, channel)
    finally:
        await _close(pieces)


async def _next_awaited(pieces: AsyncGenerator[bytes | memoryview, None], watch: _Watch) -> bytes | memoryview | None:
    """As `next_piece`; `None` too where the watch has ended the wait, which cancels the body as any time limit does."""
    try:
        watch.begin()
        async with watch.scope:
            return await anext(pieces, None)
    except (BodyLengthError, InvalidBody):
        raise
    except BaseException as error:
        if watch.scope.expired() and not isinstance(error, CancelledError):
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
        scope: What the wait happens in.

    Raises:
        TimeoutError: The total timeout has passed already.
    """

    def __init__(self, exchange: Exchange, channel: Channel) -> None:
        next_wait(exchange)
        self._exchange = exchange
        self._channel = channel
        self._head: ResponseHead | None = None
        self._error: Exception | None = None
        self.scope = timeout(None if exchange.deadline is None else exchange.deadline - clock())

    def begin(self) -> None:
        """Have the event loop say when something comes."""
        self._channel.watch(self._look)

    def end(self) -> None:
        """Look no longer."""
        self._channel.watch(None)

    def result(self) -> ResponseHead | None:
        """Give the response that has come meanwhile, if one has.

        Raises:
            TimeoutError: The total timeout has passed.
            OSError, KeepPoolError: The connection failed, the server closed it, or what came is no HTTP.
        """
        error, self._error = self._error, None
        if error is not None:
            raise error
        if self._head is None and self.scope.expired():
            raise TimeoutError("the total timeout has passed")
        return self._head

    def _look(self) -> None:
        """Read what the server sent. An interim response, or half a response, is no reason to stop."""
        try:
            self._head = _take_early(self._exchange, self._channel)
        except (OSError, KeepPoolError) as error:
            self._error = error
        if self._head is None and self._error is None:
            self._channel.watch(self._look)
        else:
            self.scope.reschedule(self._channel.loop.time())


async def _await_continue(exchange: Exchange, channel: Channel) -> ResponseHead | None:
    """Wait for an interim response; the final one's head, if that came instead."""
    end = continue_wait_ends(exchange)
    with suppress(TimeoutError):  # The server may never say; the body goes out all the same (RFC 9110 §10.1.1).
        while not exchange.has_interim:
            head = exchange.take_early(await channel.receive(RECEIVE, max(end - clock(), 0)))
            if head is not None:
                return head
    return None


async def _late_response(exchange: Exchange, channel: Channel) -> ResponseHead | None:
    """Read a response that refuses the request, if one came before the connection broke; only an error counts."""
    late = LateResponse(exchange)
    with suppress(OSError):  # There is none: what the caller gets to see is the first error.
        for seconds in late:
            late.take(await channel.receive(RECEIVE, seconds))
    return late.refusal
