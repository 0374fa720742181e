"""One connection on an event loop, plain or TLS: sending, receiving, time limits, and whether it is still alive.

Decides: when reading pauses because nobody takes what came.
Knows: how the event loop, the kernel and OpenSSL say "nothing there", "data" and "gone".
Does not know: HTTP, the pool, why it is asked.

It is the protocol of a transport, and uses the socket below it too: to send (see `outbox.py`), and to find news that
the event loop has not delivered yet. No task, queue or timer is made for a read: a future wakes whoever waits.

Source: RFC 9112 §9.5 (monitoring idle connections), §9.6 and §9.8 (closing).

The file is long, because the event loop's calls and the pool's meet in one object.
"""

from __future__ import annotations

import asyncio
import math
import socket
from asyncio import get_running_loop
from collections.abc import Callable
from copy import copy
from typing import cast

from keeppool.clock import clock
from keeppool.net.addresses import UNIX
from keeppool.net.alarm import Alarm
from keeppool.net.inbox import Inbox, our_close
from keeppool.net.laps import Laps
from keeppool.net.outbox import Outbox, foreign_loop
from keeppool.net.peer import Peer, peer_of
from keeppool.net.place import Place
from keeppool.net.polls import GONE, WATCHED, poller
from keeppool.net.streams import Liveness
from keeppool.net.tls_layer import TlsLayer
from keeppool.net.transport_tasks import SocketTransport

#: Bytes read at once. The default way, a `bytes` of 256 KiB made for each read and shrunk, halves the rate of small
#: exchanges (measured, Python 3.11); this much lies in one buffer that all connections of a thread take turns with.
READ = 65536

#: Unread bytes beyond which reading pauses, until half of them are taken. asyncio's own streams keep as much.
MOST_UNREAD = 131072

# Buffers that no read needs at the moment. One is taken when the event loop is about to read and given back right
# after, so there is one per thread; taking and giving back are atomic.
_SPARE: list[memoryview] = []

# Looked up at each reuse; as a member of its class it would cost three times as much (Python 3.11).
_IDLE = Liveness.IDLE


class Channel(asyncio.BufferedProtocol):
    """A connection and its questions: take this, give me that, are you still there.

    Args:
        loop: The event loop it lives on. Nothing but reading attributes is allowed on another.
        sock: Connected, non-blocking.

    Attributes:
        loop: As given.
        sock: As given; its transport closes it.
        begin: `Outbox.begin`.
        write: `Outbox.write`.
        is_tls: Whether it speaks TLS, to an https proxy or to the origin.
        resumed: Whether `tls` resumed an earlier session.
        tls: The innermost TLS; `None` if it is plain.
        laps: How it was dialled.

    Thread safety: none; and one task at a time may wait.
    """

    __slots__ = (
        "_alarm",
        "_buffer",
        "_chunks",
        "_closed",
        "_inbox",
        "_is_closed",
        "_is_lost",
        "_is_paused",
        "_layers",
        "_outbox",
        "_place",
        "_poll",
        "_reader",
        "_transport",
        "_waiter",
        "_wants_room",
        "_watch",
        "begin",
        "is_tls",
        "laps",
        "loop",
        "resumed",
        "sock",
        "tls",
        "write",
    )

    _transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        self.loop = loop
        self.sock = sock
        self.is_tls = self.resumed = False
        self.tls: TlsLayer | None = None
        self.laps: Laps | None = None
        self._layers: list[TlsLayer] = []
        self._outbox = Outbox(loop, sock, self._layers)
        self.begin = self._outbox.begin
        self.write = self._outbox.write
        self._inbox = Inbox(self._layers)
        self._chunks = self._inbox.chunks  # Looked at in each exchange.
        self._buffer: memoryview | None = None
        #: Where the next bytes are to lie. Set only while somebody waits for it, and nothing came that was not taken.
        self._place: Place | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._wants_room = False
        self._alarm = Alarm(loop)
        self._watch: Callable[[], object] | None = None
        self._reader: Callable[[], object] | None = None
        self._is_paused = self._is_closed = self._is_lost = False
        self._closed: asyncio.Event | None = None
        self._poll = poller()
        self._poll.register(sock.fileno(), WATCHED)

    @property
    def peer(self) -> Peer:
        """Who is at the other end; also where the connection is closed by now."""
        return peer_of(self._transport.get_extra_info("peername"), self.tls)

    @property
    def address(self) -> str | None:
        """IP address of the other end; `None` for a Unix socket."""
        return peer_of(self._transport.get_extra_info("peername"), None).address

    # Sending

    @property
    def accepted(self) -> int:
        """See `Outbox.accepted`."""
        return self._outbox.accepted

    @property
    def unsent(self) -> bool:
        """Whether the kernel has not taken everything that was written."""
        return self._outbox.unsent

    @property
    def held(self) -> int | None:
        """See `Outbox.held`."""
        return self._outbox.held

    def reset_accepted(self) -> None:
        """Count accepted bytes from 0 again: another request begins."""
        self._outbox.reset()

    async def drain(self, seconds: float | None) -> bool:
        """Wait until the kernel has taken everything that was written, or something came that should be read first.

        Args:
            seconds: The longest wait; `None` for no limit.

        Returns:
            True if everything was taken. False if not, because an answer or the end is there to be read, because the
            time is up but at least one byte was taken, by the kernel or by the peer, or because a lot was: then look at
            the clock, and call again.

        Raises:
            TimeoutError: Not one byte was taken and nothing came in that time.
            OSError: The connection failed; what is unsent is lost. What came before it can still be read.
        """
        outbox = self._outbox
        if outbox.is_burst():
            await asyncio.sleep(0)
        while outbox.unsent and outbox.error is None:
            if self._inbox.has_news:
                return False
            if outbox.is_stopped:
                outbox.go_on()
                if outbox.is_stopped:
                    return False
                continue
            before = outbox.progress()
            self._wants_room = True
            try:
                await self._wait(seconds)
            except TimeoutError:
                if outbox.progress() == before:
                    raise
                return False
            finally:
                self._wants_room = False
        if outbox.error is not None:
            raise copy(outbox.error)
        return True

    # Receiving

    async def receive(self, size: int, seconds: float | None) -> bytes:
        """Read up to `size` bytes; none once the server has closed, over TLS by its close_notify.

        Args:
            size: The most bytes wanted.
            seconds: The longest wait for a byte; `None` for no limit.

        Raises:
            TimeoutError: Nothing came in that time. Nothing is lost; another call may still read.
            ssl.SSLEOFError: The connection ended without TLS's close_notify.
            OSError: It failed, or was closed on our side.
            LoopError: Called on another event loop.
        """
        while (data := self.received(size)) is None:
            await self._wait(seconds)
        return data

    async def fill(self, place: Place) -> None:
        """Read into a place until it is full, or the connection has ended; for one without TLS.

        Where it has ended or failed before the place was full, what came before is there, and the next call says how.

        Raises:
            TimeoutError: Nothing came in the place's time; `filled` says what came before.
            OSError: As `receive`.
            LoopError: As `receive`.
        """
        while not place.is_full:
            if self._chunks:
                place.put(self._take(place.missing))
            elif self._inbox.end is not None:
                if not place.filled:
                    self._inbox.ended()
                return
            else:
                ends = place.wait_ends(now := clock())
                waiter = self._wait(None if ends == math.inf else max(ends - now, 0.0))
                self._place = place
                try:
                    await waiter
                finally:
                    self._place = None

    def wait_readable(self, seconds: float | None) -> asyncio.Future[None]:
        """Give the future that ends once there is something for `received`; to be awaited at once, on our event loop.

        Args:
            seconds: As for `receive`; the future ends with that TimeoutError.
        """
        # Not by `_wait` and `has_news`: this is on the way of every request, whose pool knows its event loop.
        self._waiter = waiter = self.loop.create_future()
        self._alarm.guard(waiter, seconds)
        if self._chunks or self._inbox.end is not None:
            self._wake()
        return waiter

    def expect(self, waiter: asyncio.Future[None], seconds: float | None) -> None:
        """As `wait_readable`, for somebody who awaits this future already. Nothing may have come that was not taken."""
        self._waiter = waiter
        self._alarm.guard(waiter, seconds)

    def read_with(self, callback: Callable[[], object] | None) -> None:
        """Have `callback` called whenever bytes, the end or a failure come and nobody waits for them.

        Called as they come; not for what is there already. `None` calls it off.
        """
        self._reader = callback

    def guard(self, waiter: asyncio.Future[None], seconds: float | None) -> None:
        """End this future with a TimeoutError if it is not done in time, in place of the wait guarded before."""
        self._alarm.guard(waiter, seconds)

    @property
    def taken(self) -> int:
        """Bytes that were received and taken so far."""
        return self._inbox.taken

    def came(self) -> int:
        """Tell how many bytes have come so far, those included that the kernel has."""
        if self._poll.poll(0) and self._inbox.end is None:
            self._look()
        return self._inbox.taken + self._inbox.size

    def received(self, size: int) -> bytes | None:
        """Give up to `size` bytes that the event loop has brought; `None` if there are none, none at the end.

        Raises:
            OSError: As `receive`.
        """
        inbox, chunks = self._inbox, self._chunks
        if not chunks:
            return None if inbox.end is None else inbox.ended()
        if self._is_paused or len(chunks[0]) > size:
            return self._take(size)
        # What that does, on the way of every request: two calls less, and 45 ns of 285 (2026-12-01, Python 3.11).
        data = chunks.popleft()
        inbox.size -= len(data)
        inbox.taken += len(data)
        return bytes(data)

    def receive_now(self, size: int) -> bytes | None:
        """Read what is there without waiting; `None` if nothing is, such as behind a TLS session ticket.

        Raises:
            OSError: As `receive`.
        """
        inbox = self._inbox
        if not inbox.has_news:
            self._look()
        if inbox.chunks:
            return self._take(size)
        return None if inbox.end is None else inbox.ended()

    # Being idle

    def probe(self) -> Liveness:
        """Tell whether this idle connection may be used, without waiting; about 0.5 µs.

        Bytes that nobody asked for are no response (RFC 9112 §9.2), so DATA is as unusable as CLOSED.
        """
        inbox = self._inbox
        if inbox.end is not None:
            return Liveness.CLOSED
        seen = self._poll.poll(0)
        if seen:
            if seen[0][1] & GONE:
                return Liveness.CLOSED
            if not inbox.chunks:
                self._look()
        if inbox.end is not None:
            return Liveness.CLOSED
        return Liveness.DATA if inbox.chunks else _IDLE

    def watch(self, callback: Callable[[], object] | None) -> None:
        """Have the event loop call `callback` once, when bytes, the end or a failure come on the idle connection.

        Called soon if there is something already. `None` calls it off, also where the call was due.
        """
        self._watch = callback
        if callback is not None and (self._chunks or self._inbox.end is not None):
            self.loop.call_soon(self._tell, callback)

    # Closing

    def close(self) -> None:
        """Send TLS's close_notify without waiting, then close (RFC 9112 §9.8). What is unsent is not sent any more."""
        if self.is_tls and not self._is_over() and not self.unsent:
            self._send_close_notify()
        self.abort()

    def abort(self) -> None:
        """Close at once, without TLS's close_notify: for a connection in an unknown state."""
        if self._is_over():
            return
        self._is_closed = True
        self._watch = self._reader = None
        self._inbox.closed()
        self._outbox.fail(our_close())
        self._alarm.cancel()
        if self.loop.is_closed():
            self.sock.close()
        else:
            self._transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the transport has let go of the socket, after `close` or `abort`."""
        if not self._is_lost:
            self._closed = self._closed or asyncio.Event()
            await self._closed.wait()

    # Becoming TLS

    def secure(self, layer: TlsLayer) -> None:
        """Speak TLS from now on, within the TLS spoken already if there is some.

        Args:
            layer: Its handshake is done, over this connection. What was received behind it is decrypted.
        """
        self._inbox.secure(layer)
        self.is_tls, self.tls, self.resumed = True, layer, layer.session_reused
        self._outbox.go_on()

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio's protocols."""
        self._transport = self._outbox.transport = cast("asyncio.Transport", transport)
        # "Room" is an empty buffer: what the kernel has not taken is not sent.
        self._transport.set_write_buffer_limits(high=0)

    def get_buffer(self, sizehint: int) -> memoryview:
        """See asyncio's protocols."""
        if self._place is not None:
            self._give_back()  # Taken for a read that brought nothing.
            return self._place.free()
        if self._buffer is None:
            self._buffer = _SPARE.pop() if _SPARE else memoryview(bytearray(READ))
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """See asyncio's protocols."""
        buffer = self._buffer
        if buffer is None:
            return self._came_into_place(nbytes)
        self._buffer = None
        data = bytes(buffer[:nbytes])
        _SPARE.append(buffer)
        waiter = self._waiter
        if waiter is None or self._layers or waiter.done():
            return self._came(data)
        # What `_came` does, for the one case that each exchange has.
        self._waiter = None
        self._chunks.append(data)
        self._inbox.size += nbytes
        return waiter.set_result(None)

    def eof_received(self) -> bool:
        """See asyncio's protocols. The transport is not to close: there may still be something to send."""
        self._came(b"")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio's protocols."""
        self._is_lost = True
        self._give_back()
        if exc is not None:
            self._read_left()
        self._inbox.failed(exc)
        self._outbox.fail(exc if isinstance(exc, OSError) else our_close())
        self._heard()
        if self._closed is not None:
            self._closed.set()

    def pause_writing(self) -> None:
        """See asyncio's protocols. The outbox sees by itself that the kernel has no room."""

    def resume_writing(self) -> None:
        """See asyncio's protocols."""
        outbox = self._outbox
        outbox.resumed()
        if self._wants_room and (not outbox.unsent or outbox.is_stopped or outbox.error is not None):
            self._wake()

    # What came

    def _give_back(self) -> None:
        if self._buffer is not None:
            _SPARE.append(self._buffer)
            self._buffer = None

    def _came_into_place(self, nbytes: int) -> None:
        """Count what lies in its place already; wake who waits for it once the place is full."""
        place = self._place
        assert place is not None, "bug: bytes came into no buffer"
        place.filled += nbytes
        self._inbox.taken += nbytes
        if place.is_full:
            self._place = None
            self._wake()
        else:
            self._alarm.prolong(place.wait_ends(clock()))

    def _came(self, data: bytes) -> None:
        """Record what came from the kernel, and tell whoever waits for it."""
        self._place = None  # What follows comes behind this.
        self._inbox.came(data)
        if self._layers:
            self._outbox.go_on()  # A server may wait for what this has made TLS say.
        if self._inbox.size > MOST_UNREAD and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()
        self._heard()

    def _take(self, size: int) -> bytes:
        data = self._inbox.take(size)
        if self._is_paused:
            self._go_on_reading()
        return data

    def _go_on_reading(self) -> None:
        """End a pause, if enough was taken."""
        if self._inbox.size <= MOST_UNREAD // 2:
            self._is_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def _look(self) -> None:
        """Record what the kernel has, ahead of the event loop."""
        try:
            data = self.sock.recv(READ)
        except BlockingIOError:
            return None
        except OSError as error:
            self._inbox.failed(error)
            return self._heard()
        return self._came(data)

    def _read_left(self) -> None:
        """Record what the kernel still has of a connection that broke while something was sent.

        The transport gives up both directions then, though the peer may have responded before it closed.
        """
        try:
            while self._inbox.end is None and (data := self.sock.recv(READ)):
                self._inbox.came(data)
        except (OSError, ValueError):
            pass  # There is no more.

    def _heard(self) -> None:
        if not self._inbox.has_news:
            return
        if self._waiter is not None and not self._waiter.done():
            self._wake()
        elif self._reader is not None:
            self._reader()
        elif self._watch is not None:
            self.loop.call_soon(self._tell, self._watch)

    def _tell(self, callback: Callable[[], object]) -> None:
        """Call it, unless it was called off since, and perhaps another put in its place."""
        if self._watch is callback:
            self._watch = None
            callback()

    # Waiting

    def _wait(self, seconds: float | None) -> asyncio.Future[None]:
        """Give the future that ends once something came, or once there is room if that is wanted."""
        if get_running_loop() is not self.loop:
            raise foreign_loop()
        self._waiter = waiter = self.loop.create_future()
        self._alarm.guard(waiter, seconds)
        return waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def check_loop(self) -> None:
        """Refuse another event loop than ours, before anything is changed.

        Raises:
            LoopError: It is another, or none.
        """
        if get_running_loop() is not self.loop:
            raise foreign_loop()

    # Closing

    def _is_over(self) -> bool:
        """Tell whether the connection is closed already, or must not be closed from here."""
        try:
            is_here = get_running_loop() is self.loop
        except RuntimeError:  # None runs: before its loop starts again, or after its end.
            is_here = True
        if not is_here and not self.loop.is_closed():
            raise foreign_loop()
        return self._is_closed

    def _send_close_notify(self) -> None:
        """Send each layer's close_notify, the innermost first, as far as the kernel takes them."""
        sealed = b""
        try:
            for layer in reversed(self._layers):
                sealed = (layer.write(sealed) if sealed else b"") + layer.close_notify()
            self.sock.send(sealed)
        except OSError:
            pass  # It was a courtesy: the server finds out when the connection closes.


async def open_channel(sock: socket.socket) -> Channel:
    """Make a channel on the running event loop. It owns the socket, which is closed if this fails or is cancelled.

    Args:
        sock: Connected, non-blocking.
    """
    loop = get_running_loop()
    try:
        if isinstance(loop, asyncio.SelectorEventLoop):
            channel = Channel(loop, sock)
            channel.connection_made(SocketTransport(loop, sock, channel))
            return channel
        connect = loop.create_unix_connection if sock.family == UNIX else loop.create_connection
        return (await connect(lambda: Channel(loop, sock), sock=sock))[1]
    except Exception:
        sock.close()
        raise
