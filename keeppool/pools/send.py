"""Sending a request and reading its answer's head, on a blocking stream; and the rules tasks share.

Waits, and decides how long; what came is told to the `Exchange`, which knows what it means.

Source: RFC 9112 §9.5 (a client that sends a body watches for the answer), RFC 9110 §10.1.1 (100-continue).
"""

from __future__ import annotations

from collections.abc import Iterator

from keeppool.clock import clock
from keeppool.errors import BodyLengthError, InvalidBody, KeepPoolError
from keeppool.net.stream import TLS_RECORD, Stream
from keeppool.pools.exchange import Exchange
from keeppool.wire.body import RequestBody
from keeppool.wire.head import ResponseHead

#: Bytes asked of the kernel while a head is expected: a head and a small body in one call.
RECEIVE = 65536
#: Seconds the body waits for an invitation it has asked for; curl's figure. A server may never send one.
INVITATION = 1.0
#: Seconds an answer is looked for after the request could not be sent: a server that refuses a large body answers
#: first and closes then. What it sent is in our buffer already, or a packet away.
LAST_WORDS = 0.1
#: Seconds by which the kernel's timer and our clock may differ when both say that the same time has passed.
CLOCK_SLACK = 0.001


def converse(exchange: Exchange, stream: Stream, deadline: float | None) -> ResponseHead:
    """Send the request and read the answer's head.

    Args:
        exchange: Begun on the stream's connection.
        stream: Connected.
        deadline: When the total timeout passes, on `clock`; `None` without one.

    Raises:
        ExchangeError: With what was sent and received. The connection must be closed.
        BodyFailed: The caller's body raised something.
    """
    sending = True
    try:
        stream.set_timeout(exchange.timeout.read if deadline is None else left(exchange, deadline))
        data = exchange.head
        # Over TLS one record at a time: see `TLS_RECORD`.
        sent = exchange.sent = stream.send(data if len(data) <= TLS_RECORD or not stream.is_tls else data[:TLS_RECORD])
        if exchange.body is not None or sent < len(data):
            early = _send_rest(exchange, stream, deadline)
            if early is not None:
                return early
        exchange.request_sent = True
        sending = False
        while True:
            if deadline is not None:
                stream.set_timeout(left(exchange, deadline))
            data = stream.recv(RECEIVE)
            if not data:
                raise exchange.closed()
            head = exchange.take(data)
            if head is not None:
                return head
    except KeepPoolError as error:
        raise exchange.blame(error) from error.__cause__
    except OSError as error:
        answer = _last_words(exchange, stream) if sending and is_break(error) else None
        if answer is not None:
            return answer
        total = exchange.timeout.total if has_passed(deadline) else None
        raise exchange.failed(error, sending=sending, total=total) from error


def has_passed(deadline: float | None) -> bool:
    """Tell whether it is the deadline that ended a wait."""
    return deadline is not None and clock() >= deadline - CLOCK_SLACK


def _send_rest(exchange: Exchange, stream: Stream, deadline: float | None) -> ResponseHead | None:
    """Send what the kernel has not taken yet; the answer's head, if that was there before the end of the body."""
    data = exchange.head
    while exchange.sent < len(data):
        stream.set_timeout(left(exchange, deadline))
        exchange.sent += stream.send(data[exchange.sent :])
    if exchange.body is None:
        return None
    if exchange.expects_continue:
        early = _await_invitation(exchange, stream, deadline)
        if early is not None:
            return early
    return _upload(exchange, exchange.body, stream, deadline)


class BodyFailed(Exception):
    """The caller's own body raised `error`, which says nothing about the connection and is not to be taken for it."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


def _upload(exchange: Exchange, body: RequestBody, stream: Stream, deadline: float | None) -> ResponseHead | None:
    """Send the body piece by piece, with an eye on the server: an answer that is there stops it."""
    pieces = body.pieces()
    while (piece := next_piece(pieces)) is not None:
        unsent = memoryview(piece).cast("B")
        while unsent:
            if stream.is_readable(left(exchange, deadline), or_writable=True):
                head = exchange.take_early(stream.recv_now(RECEIVE))
                if head is not None:
                    return head
            sent = stream.send_now(unsent)
            exchange.sent += sent
            unsent = unsent[sent:]
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


def _await_invitation(exchange: Exchange, stream: Stream, deadline: float | None) -> ResponseHead | None:
    """Wait for an interim answer; the final one's head, if that came instead."""
    end = invitation_ends(deadline)
    try:
        while not exchange.was_invited and stream.is_readable(max(end - clock(), 0)):
            head = exchange.take_early(stream.recv_now(RECEIVE))
            if head is not None:
                return head
    except TimeoutError:
        pass  # The server may never say; the body goes out all the same (RFC 9110 §10.1.1).
    return None


def invitation_ends(deadline: float | None) -> float:
    """Tell until when a body waits for its invitation."""
    end = clock() + INVITATION
    return end if deadline is None else min(end, deadline)


def is_break(error: OSError) -> bool:
    """Tell whether the connection broke, so that last words may be there; one that is slow is still whole."""
    return not isinstance(error, (TimeoutError, BlockingIOError))


def _last_words(exchange: Exchange, stream: Stream) -> ResponseHead | None:
    """Read an answer that refuses the request, if one came before the connection broke; only an error counts."""
    end = clock() + LAST_WORDS
    try:
        while (seconds := end - clock()) > 0:
            stream.set_timeout(seconds)
            data = stream.recv(RECEIVE)
            head = exchange.take(data) if data else None
            if head is not None or not data:
                return refusal(head)
    except OSError:
        pass  # No words: what the caller gets to see is the first error.
    return None


def refusal(head: ResponseHead | None) -> ResponseHead | None:
    """Pass on an answer that came although its request was not sent whole, if it says so; any other answers nothing."""
    return head if head is not None and head.status >= 400 else None


def left(exchange: Exchange, deadline: float | None) -> float | None:
    """Give the seconds the next wait may take: the read timeout, or what is left of the total.

    Raises:
        TimeoutError: Nothing is left.
    """
    read = exchange.timeout.read
    if deadline is None:
        return read
    seconds = deadline - clock()
    if seconds <= 0:
        raise TimeoutError("the total timeout has passed")
    return seconds if read is None else min(read, seconds)
