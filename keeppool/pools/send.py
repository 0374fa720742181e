"""Sending a request and reading its response's head, on a blocking stream; and the rules tasks share.

Waits, as long as `waits.py` says. What came goes to the `Exchange`, which knows what it means.

Source: RFC 9112 §9.5 (a client that sends a body watches for the response), RFC 9110 §10.1.1 (100-continue).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from keeppool.clock import clock
from keeppool.errors import BodyLengthError, InvalidBody, KeepPoolError
from keeppool.net.kept_lock import AT_ONCE, FLAGS, not_sent
from keeppool.net.stream import TLS_RECORD, Stream
from keeppool.pools.exchange import Exchange
from keeppool.pools.waits import LATE_RESPONSE, Progress, continue_wait_ends, next_wait, sending_wait, total_passed
from keeppool.wire.body import RequestBody
from keeppool.wire.head import ResponseHead

#: Bytes asked of the kernel while a head is expected: a head and a small body in one call.
RECEIVE = 65536


def send(exchange: Exchange, stream: Stream) -> ResponseHead:  # noqa: C901  each step apart would be a call more
    """Send the request and read the response's head.

    Args:
        exchange: Begun on the stream's connection.
        stream: Connected.

    Raises:
        ExchangeError: With what was sent and received. The connection must be closed.
        BodyFailed: The caller's body raised something.
    """
    sending = True
    try:
        seconds = sending_wait(exchange) if exchange.is_timed else exchange.timeout.read
        if seconds != stream.timeout:  # Asked here: mostly it is set already.
            stream.set_timeout(seconds)
        data = exchange.head
        if stream.others_run and stream.send_at_once is not None and len(data) <= AT_ONCE:
            sent = stream.send_at_once(data, len(data), FLAGS)
            if sent < 0:
                sent = not_sent()
        else:
            # Over TLS one record at a time: see `TLS_RECORD`.
            sent = stream.send(data if len(data) <= TLS_RECORD or not stream.is_tls else data[:TLS_RECORD])
        exchange.sent = sent
        if exchange.body is not None or sent < len(data):
            early = _send_rest(exchange, stream)
            if early is not None:
                return early
        exchange.request_sent = True
        if exchange.timeline is not None:
            exchange.timeline.sent()
        sending = False
        while True:
            if exchange.is_timed:
                stream.set_timeout(next_wait(exchange))
            data = stream.receive(RECEIVE)
            if not data:
                raise exchange.closed()
            head = exchange.take(data)
            if head is not None:
                return head
    except KeepPoolError as error:
        raise exchange.blame(error) from error.__cause__
    except OSError as error:
        late = _late_response(exchange, stream) if sending and is_break(error) else None
        if late is not None:
            return late
        raise exchange.failed(error, sending=sending, total=total_passed(exchange)) from error


def _send_rest(exchange: Exchange, stream: Stream) -> ResponseHead | None:
    """Send what the kernel has not taken yet; the response's head, if that was there before the end of the body."""
    data = exchange.head
    while exchange.sent < len(data):
        stream.set_timeout(sending_wait(exchange))
        exchange.sent += stream.send(data[exchange.sent :])
    if exchange.body is None:
        return None
    if exchange.expects_continue:
        early = _await_continue(exchange, stream)
        if early is not None:
            return early
    return _upload(exchange, exchange.body, stream)


class BodyFailed(Exception):
    """The caller's own body raised `error`, which says nothing about the connection and is not to be taken for it."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def let_go(self) -> BaseException:
        """Give the error, which is to be raised again with this one as its context, and hold it no more."""
        error, self.__cause__ = self.error, None
        del self.error
        return error


def _upload(exchange: Exchange, body: RequestBody, stream: Stream) -> ResponseHead | None:
    """Send the body piece by piece, with an eye on the server: a response that is there stops it."""
    pieces = body.pieces()
    while (piece := next_piece(pieces)) is not None:
        unsent = memoryview(piece).cast("B")
        while unsent:
            if _is_readable(exchange, stream):
                head = exchange.take_early(stream.receive_now(RECEIVE))
                if head is not None:
                    return head
            sent = stream.send_now(unsent)
            exchange.sent += sent
            unsent = unsent[sent:]
    return _let_arrive(exchange, stream)


def _is_readable(exchange: Exchange, stream: Stream) -> bool:
    """Wait until there is something to read (True), or room to send more.

    Raises:
        TimeoutError: Neither happened, and the server has taken no byte in the read timeout.
    """
    progress = Progress(exchange)
    while True:
        seconds = progress.next_look()
        try:
            return stream.wait_readable(seconds, or_writable=True)
        except TimeoutError as error:
            progress.check(stream.held, error)


def _let_arrive(exchange: Exchange, stream: Stream) -> ResponseHead | None:
    """Wait until the server has what the kernel holds of the body: its own time begins then. As `_upload` otherwise."""
    exchange.sent_whole()  # What has not arrived is the kernel's to send.
    if exchange.timeout.sending is None:
        return None
    progress = Progress(exchange, held := stream.held)
    while held:
        seconds = progress.next_look()
        try:
            stream.wait_readable(seconds)
        except TimeoutError as error:
            progress.check(held := stream.held, error)
            continue
        head = exchange.take_early(stream.receive_now(RECEIVE))
        if head is not None:
            return head
        held = stream.held
    return None


def next_piece(pieces: Iterator[bytes | memoryview]) -> bytes | memoryview | None:
    """Ask the caller's body for its next piece; `None` at its end.

    Raises:
        BodyLengthError, InvalidBody: It is not what was announced.
        BodyFailed: It raised something of its own.
    """
    try:
        return next(pieces, None)
    except (BodyLengthError, InvalidBody):
        raise
    except BaseException as error:
        raise BodyFailed(error) from error


def _await_continue(exchange: Exchange, stream: Stream) -> ResponseHead | None:
    """Wait for an interim response; the final one's head, if that came instead."""
    end = continue_wait_ends(exchange)
    with suppress(TimeoutError):  # The server may never say; the body goes out all the same (RFC 9110 §10.1.1).
        while not exchange.has_interim and stream.wait_readable(max(end - clock(), 0)):
            head = exchange.take_early(stream.receive_now(RECEIVE))
            if head is not None:
                return head
    return None


def is_break(error: OSError) -> bool:
    """Tell whether the connection broke, so that a late response may be there; one that is slow is still whole."""
    return not isinstance(error, (TimeoutError, BlockingIOError))


def _late_response(exchange: Exchange, stream: Stream) -> ResponseHead | None:
    """Read a response that refuses the request, if one came before the connection broke; only an error counts."""
    exchange.is_timed = True  # The body that follows has the time of any other.
    late = LateResponse(exchange)
    with suppress(OSError):  # There is none: what the caller gets to see is the first error.
        for seconds in late:
            stream.set_timeout(seconds)
            late.take(stream.receive(RECEIVE))
    return late.refusal


class LateResponse:
    """A response that came although its request was not sent whole: going through it gives the seconds of each wait.

    Attributes:
        refusal: The response, if it refuses the request; any other is none.
    """

    __slots__ = ("_end", "_exchange", "_is_over", "refusal")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._end = clock() + LATE_RESPONSE
        self._is_over = False
        self.refusal: ResponseHead | None = None

    def __iter__(self) -> Iterator[float]:
        while not self._is_over and (seconds := self._end - clock()) > 0:
            yield seconds

    def take(self, data: bytes) -> None:
        """Take what came; no bytes are the end."""
        head = self._exchange.take(data) if data else None
        self._is_over = head is not None or not data
        if head is not None and head.status >= 400:
            self.refusal = head
