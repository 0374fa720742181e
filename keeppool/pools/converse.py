"""Sending a request and reading its answer's head, on a blocking stream.

Waits, and decides nothing: what came is told to the `Exchange`, which knows what it means.

Source: RFC 9112 §9.5 (a client that sends a body watches for the answer), RFC 9110 §10.1.1 (100-continue).
"""

from __future__ import annotations

from collections.abc import Callable

from keeppool.errors import KeepPoolError
from keeppool.net.stream import TLS_RECORD, Stream
from keeppool.pools.exchange import Exchange
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


class Conversation:
    """One attempt at one exchange on one stream.

    Args:
        exchange: Begun on the stream's connection.
        stream: Connected.
        deadline: When the total timeout passes, on `clock`; `None` without one.
        clock: Seconds that never go back.
    """

    __slots__ = ("_clock", "_deadline", "_exchange", "_stream")

    def __init__(self, exchange: Exchange, stream: Stream, deadline: float | None, clock: Callable[[], float]) -> None:
        self._exchange = exchange
        self._stream = stream
        self._deadline = deadline
        self._clock = clock

    def run(self) -> ResponseHead:
        """Send the request and read the answer's head.

        Raises:
            ExchangeError: With what was sent and received. The connection must be closed.
        """
        exchange, stream = self._exchange, self._stream
        sending = True
        try:
            self._bound()
            early = self._send()
            if early is not None:
                return early
            exchange.request_sent = True
            sending = False
            while True:
                if self._deadline is not None:
                    self._bound()
                data = stream.recv(RECEIVE)
                if not data:
                    raise exchange.closed()
                head = exchange.take(data)
                if head is not None:
                    return head
        except KeepPoolError as error:
            raise exchange.blame(error) from error.__cause__
        except OSError as error:
            answer = self._last_words(error) if sending else None
            if answer is not None:
                return answer
            raise exchange.failed(error, sending=sending, total=self._total_passed()) from error

    def _send(self) -> ResponseHead | None:
        """Send everything; the answer's head, if that was there before the end of the body."""
        exchange, stream = self._exchange, self._stream
        data = exchange.head
        if stream.is_tls and len(data) > TLS_RECORD:
            sent = exchange.sent = stream.send(data[:TLS_RECORD])
        else:
            sent = exchange.sent = stream.send(data)
        while sent < len(data):
            self._bound()
            sent += stream.send(data[sent:])
            exchange.sent = sent
        if exchange.body is None:
            return None
        if exchange.expects_continue:
            early = self._await_invitation()
            if early is not None:
                return early
        return self._upload()

    def _upload(self) -> ResponseHead | None:
        """Send the body piece by piece, with an eye on the server: an answer that is there stops it."""
        exchange, stream = self._exchange, self._stream
        assert exchange.body is not None, "bug: nothing to upload"
        for piece in exchange.body.pieces():
            left = memoryview(piece).cast("B")
            while left:
                if stream.is_readable(self._left(), or_writable=True):
                    head = self._take_early()
                    if head is not None:
                        return head
                sent = stream.send_now(left)
                exchange.sent += sent
                left = left[sent:]
        return None

    def _await_invitation(self) -> ResponseHead | None:
        try:
            while not self._exchange.was_invited and self._stream.is_readable(INVITATION):
                head = self._take_early()
                if head is not None:
                    return head
        except TimeoutError:
            pass  # The server may never say; the body goes out all the same (RFC 9110 §10.1.1).
        return None

    def _take_early(self) -> ResponseHead | None:
        data = self._stream.recv_now(RECEIVE)
        if data is None:
            return None
        if not data:
            raise self._exchange.closed()
        return self._exchange.take(data)

    def _last_words(self, error: OSError) -> ResponseHead | None:
        """Read an answer that refuses the request, if one came before the connection broke; only an error counts."""
        if isinstance(error, (TimeoutError, BlockingIOError)):
            return None
        exchange, stream = self._exchange, self._stream
        try:
            stream.set_timeout(LAST_WORDS)
            while data := stream.recv(RECEIVE):
                head = exchange.take(data)
                if head is not None:
                    return head if head.status >= 400 else None
        except OSError:
            pass  # No words: what the caller gets to see is the first error.
        return None

    # Time

    def _bound(self) -> None:
        self._stream.set_timeout(self._left())

    def _left(self) -> float | None:
        """Give the seconds the next wait may take: the read timeout, or what is left of the total."""
        read = self._exchange.timeout.read
        if self._deadline is None:
            return read
        left = self._deadline - self._clock()
        if left <= 0:
            raise TimeoutError("the total timeout has passed")
        return left if read is None else min(read, left)

    def _total_passed(self) -> float | None:
        """Give the total timeout, if that is what has passed."""
        if self._deadline is not None and self._clock() >= self._deadline - CLOCK_SLACK:
            return self._exchange.timeout.total
        return None
