"""What one asyncio connection has still to send, and how much of it the kernel has taken.

Decides: in which pieces bytes go out, and when they count as accepted.
Knows: that a transport buffers and does not tell what it sent, so each piece is offered to the socket itself first.
Does not know: HTTP, timeouts, who waits for room.

A connection lost with "0 accepted" is the only proof that a request never left. A transport cannot give it: what it
could not send at once it keeps, and forgets when it fails. So it gets one piece at a time, the part of it that the
kernel refused, for nothing but the news that there is room again.

TLS has words of its own: it answers a key update, and shows a certificate the server asks for after the handshake. They
go out as soon as reading has made them, before whatever is not encrypted yet, and are no bytes of a request.

Source: RFC 9110 §9.2.2 (why the proof matters); RFC 8446 §4.6.2, §4.6.3 (words of TLS), §5.1 (records).
"""

from __future__ import annotations

import asyncio
import socket
from asyncio import get_running_loop
from collections import deque
from copy import copy

from keeppool.errors import LoopError
from keeppool.net.stream import TLS_RECORD
from keeppool.net.tls_layer import TlsLayer
from keeppool.net.unsent import held_bytes

#: Bytes a plain connection's transport is given to wait for room with. It copies them, so few; more of them make no
#: upload over loopback faster (measured up to 1 MiB).
PLAIN_PIECE = 16384

#: Bytes accepted after which an upload lets the event loop's other tasks run. The kernel's buffer for one connection
#: grows to megabytes, and it never fills where the reader is faster than our encryption.
BURST = 262144


class Outbox:
    """The sending side of a `Channel`.

    Args:
        loop: On which all calls are made.
        sock: Connected, non-blocking. The transport's own.
        layers: The connection's TLS, outermost first; the channel's own list, which grows.

    Attributes:
        transport: Set before the first write.
        error: What ended sending; `None` as long as nothing did.
    """

    __slots__ = (
        "_in_flight",
        "_is_busy",
        "_layers",
        "_loop",
        "_send",
        "_sock",
        "_taken",
        "_waiting",
        "_yielded_at",
        "error",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, layers: list[TlsLayer]) -> None:
        self._loop = loop
        self._sock = sock
        self._send = sock.send
        self._layers = layers
        self._waiting: deque[memoryview] = deque()
        # Whether the transport has something that the kernel has not taken, and how many of our caller's bytes it is.
        self._is_busy = False
        self._in_flight = 0
        self._taken = 0
        self._yielded_at = 0
        self.error: OSError | None = None

    def begin(self, data: bytes) -> bool:
        """Count from 0 again, because another request begins, and write its first bytes.

        Returns:
            Whether the kernel has taken all of them at once.

        Raises:
            OSError: As `write`.
        """
        self._taken = self._yielded_at = 0
        if self._layers or self._is_busy or self._waiting or self.error is not None:
            self.write(data)
            return not self.unsent
        try:
            self._taken = self._send(data)
        except BlockingIOError:
            pass
        except OSError as error:
            self.fail(error)
            raise
        if self._taken == len(data):
            return True
        self._enqueue(memoryview(data)[self._taken :])
        return not self.unsent

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send what the kernel takes at once, and the rest as it makes room. `data` must not change meanwhile.

        Raises:
            OSError: The connection is gone, and so is what was to be sent. What came before it can still be read.
            LoopError: Called on another event loop.
        """
        if get_running_loop() is not self._loop:
            raise foreign_loop()
        if self._layers or self._is_busy or self._waiting or self.error is not None:
            return self._enqueue(data)
        try:
            sent = self._send(data)
        except BlockingIOError:
            return self._enqueue(data)
        except OSError as error:
            self.fail(error)
            raise
        self._taken += sent
        if sent < len(data):
            self._enqueue(memoryview(data)[sent:])
        return None

    @property
    def accepted(self) -> int:
        """Bytes the kernel has taken since `reset`, at the least; 0 only if not one.

        Of a piece that is under way no more than one byte counts. Over TLS it is plaintext, of whole records.
        """
        return self._taken + (1 if self._in_flight else 0)

    @property
    def unsent(self) -> bool:
        """Whether the kernel has not taken everything yet."""
        return bool(self._is_busy or self._waiting)

    @property
    def is_stopped(self) -> bool:
        """Whether it stopped after `BURST` bytes, although the kernel may have room: `go_on` once others have run."""
        return bool(self._waiting) and not self._is_busy

    def reset(self) -> None:
        """Count from 0 again: another request begins."""
        self._taken = self._yielded_at = 0

    def is_burst(self) -> bool:
        """Tell, once for each `BURST` bytes, that other tasks are due."""
        if self._taken - self._yielded_at < BURST:
            return False
        self._yielded_at = self._taken
        return True

    def progress(self) -> tuple[int, int, int | None]:
        """Give a value that changes whenever the kernel, or the peer, has taken another byte."""
        is_dead = self.error is not None or self.transport.is_closing()
        return self._taken, 0 if is_dead else self.transport.get_write_buffer_size(), self.held

    @property
    def held(self) -> int | None:
        """Bytes that the kernel has taken and the peer has not; `None` if that cannot be told."""
        return held_bytes(self._sock)

    def resumed(self) -> None:
        """Go on: the transport has sent what it had."""
        self._settle()
        self.go_on()

    def go_on(self) -> None:
        """Send what TLS has to say since the last read, and what waits for no room in the kernel."""
        if self.error is not None:
            return
        try:
            self._pump()
        except OSError as error:
            self.fail(error)

    def fail(self, error: OSError) -> None:
        """Give up what was not sent, because of `error`."""
        if self.error is None:
            # Its own traceback, if it has one by now, would hold whoever wrote.
            self.error = error if error.__traceback__ is None else copy(error)
        self._waiting.clear()

    def _enqueue(self, data: bytes | bytearray | memoryview) -> None:
        if self.error is not None:
            raise copy(self.error)
        self._waiting.append(memoryview(data).cast("B"))
        try:
            self._pump()
        except OSError as error:
            self.fail(error)
            raise

    def _pump(self) -> None:
        """Send until the kernel has no room, or until other tasks are due."""
        if self._layers and not self._is_busy:
            self._send_own_words()
        until = self._taken + BURST
        while self._waiting and not self._is_busy and self._taken < until:
            if self._layers:
                self._send_record()
            else:
                self._send_plain()

    def _send_plain(self) -> None:
        """Offer all of what is first to the kernel, and wait for room with a piece of what it refused."""
        left = self._waiting.popleft()
        sent = self._offer(left)
        self._taken += sent
        if sent == len(left):
            return
        piece, later = left[sent : sent + PLAIN_PIECE], left[sent + PLAIN_PIECE :]
        if later:
            self._waiting.appendleft(later)
        self._in_flight = len(piece)
        self._hand_over(piece)

    def _send_own_words(self) -> None:
        """Send what the layers themselves have to say, the inner ones' words through the outer ones."""
        said = b""
        for layer in reversed(self._layers):
            said = layer.write(said) if said else layer.outgoing()
        if said and (sent := self._offer(said)) < len(said):
            self._hand_over(memoryview(said)[sent:])

    def _send_record(self) -> None:
        """Encrypt and offer one record. It counts when the kernel has all of it; before, nobody can read it."""
        left = self._waiting.popleft()
        if len(left) > TLS_RECORD:
            self._waiting.appendleft(left[TLS_RECORD:])
        sealed: bytes | memoryview = left[:TLS_RECORD]
        for layer in reversed(self._layers):
            sealed = layer.write(sealed)
        sent = self._offer(sealed)
        self._in_flight = min(len(left), TLS_RECORD)
        if sent == len(sealed):
            self._settle()
        else:
            self._hand_over(memoryview(sealed)[sent:])

    def _offer(self, data: bytes | memoryview) -> int:
        try:
            return self._send(data)
        except BlockingIOError:
            return 0

    def _hand_over(self, rest: memoryview) -> None:
        self._is_busy = True
        self.transport.write(rest)
        # There may have been room again by now. Then nobody will call `resumed`.
        if not self.transport.is_closing() and not self.transport.get_write_buffer_size():
            self._settle()

    def _settle(self) -> None:
        self._taken += self._in_flight
        self._in_flight = 0
        self._is_busy = False


def foreign_loop() -> LoopError:
    """Build the error for a connection that is used where it cannot work."""
    return LoopError("this connection belongs to another event loop, the one it was opened on")
