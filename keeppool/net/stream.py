"""One connected socket, plain or TLS: sending, receiving, its timeout, and whether it is still alive.

Knows: how the operating system and OpenSSL say "nothing there", "data" and "gone".
Does not know: HTTP, the pool, why it is asked.

Source: RFC 9112 §9.5 (monitoring idle connections), §9.6 and §9.8 (closing).
"""

from __future__ import annotations

import math
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from keeppool.clock import clock
from keeppool.deferred import Deferred
from keeppool.net.blocking import NOW, has_kernel_timers, set_kernel_timers
from keeppool.net.deadline import LONGEST_WAIT, Deadline
from keeppool.net.kept_lock import Look, SendAtOnce, looking_at, sending_on
from keeppool.net.polls import GONE, READABLE, WATCHED, WRITABLE, poller
from keeppool.net.streams import Liveness

if TYPE_CHECKING:
    import ssl

    from keeppool.net import layered, tls_layer, unsent
    from keeppool.net.laps import Laps
    from keeppool.net.layered import LayeredSocket
else:
    ssl = Deferred("ssl")
    layered = Deferred("keeppool.net.layered")
    tls_layer = Deferred("keeppool.net.tls_layer")
    # Needed by those whose peers are slow to take a body.
    unsent = Deferred("keeppool.net.unsent")

#: One TLS record carries at most 16 KiB (RFC 8446 §5.1). `SSLSocket.send` is all or nothing: of a larger piece the
#: server may have decrypted a part although send reported nothing. Only up to one record is "0 accepted" a proof.
TLS_RECORD = 16384


# Looked up at each reuse; as a member of its class it would cost three times as much (Python 3.11).
_IDLE = Liveness.IDLE


class Stream:
    """A connected socket and its three questions: take this, give me that, are you still there.

    `send`, `receive` and `receive_into` are the socket's own methods, bound once: a wrapper around each would cost as
    much as the pool's whole decision. After `set_timeout` they raise `TimeoutError` or `BlockingIOError` (the kernel's
    timer, see `set_timeout`) when the time is up.

    Attributes:
        timeout: What was set last.
        others_run: Other threads are likely to want the interpreter's lock now. To be set before a probe: it, and the
            send behind it, keep the lock then (`kept_lock.py`).
        send_at_once: The call that does so, with bytes, their number and `kept_lock.FLAGS`; `None` where there is none,
            such as over TLS, and before the first probe that keeps the lock.

    Thread safety: one user at a time, as the pool hands it out.
    """

    __slots__ = (
        "_blocks",
        "_look",
        "_poll",
        "is_tls",
        "laps",
        "others_run",
        "receive",
        "receive_into",
        "resumed",
        "send",
        "send_at_once",
        "sock",
        "timeout",
        "tls",
    )

    def __init__(self, sock: socket.socket | LayeredSocket, *, resumed: bool = False, laps: Laps | None = None) -> None:
        # What a layered socket lacks, only plain ones are asked for.
        self.sock = cast("socket.socket", sock)
        # What TLS sockets have, and plain ones lack.
        self.tls = cast("ssl.SSLSocket | LayeredSocket", sock) if hasattr(sock, "pending") else None
        self.is_tls = self.tls is not None
        #: The calls block in the kernel, which knows timers and flags for that.
        self._blocks = not self.is_tls and has_kernel_timers(sock)
        self.resumed = resumed
        self.laps = laps
        self.send = self.sock.send
        self.receive = self.sock.recv
        self.receive_into = self.sock.recv_into
        if sock.gettimeout() is not None:
            sock.settimeout(None)
        self.timeout: float | None = None
        # Registered once: a fresh poll object at each probe costs twice the probe itself.
        self._poll = poller()
        self._poll.register(sock.fileno(), WATCHED)
        self._look: Look | None = None
        self.others_run = False
        self.send_at_once: SendAtOnce | None = None

    def set_timeout(self, seconds: float | None) -> None:
        """Bound every following `send` and `receive`; `None` waits without limit.

        A plain socket uses the kernel's own timers (SO_RCVTIMEO, SO_SNDTIMEO): with Python's `settimeout` each send
        and each recv is preceded by a `poll`, 4 to 5 µs of a 65 µs exchange (measured 2026-11, two cores, loopback).
        TLS needs Python's, because OpenSSL cannot tell the kernel's timer from a half-read record; so do sockets of
        gevent and eventlet, which never block in the kernel, and all sockets of Windows.
        """
        if seconds == self.timeout:
            return
        self.timeout = seconds
        if not self._blocks:
            self.sock.settimeout(None if seconds is None or seconds > LONGEST_WAIT else seconds)
            return
        set_kernel_timers(self.sock, seconds)

    def secure(self, context: ssl.SSLContext, server_hostname: str | None, deadline: Deadline) -> None:
        """Speak TLS from now on, within the TLS spoken already if there is some.

        Raises:
            TimeoutError: The deadline passed.
            OSError: The handshake failed. Nothing more can be sent.
        """
        inner: ssl.SSLSocket | LayeredSocket
        self.set_timeout(None)
        if self.is_tls:
            layer = tls_layer.TlsLayer(context, server_hostname or "")
            inner = layered.LayeredSocket(cast("ssl.SSLSocket", self.sock), layer)
            inner.do_handshake(deadline)
        else:
            self.sock.settimeout(deadline.left())
            inner = context.wrap_socket(self.sock, server_hostname=server_hostname)
        Stream.__init__(self, inner, laps=self.laps)  # What is bound to the socket is bound anew.

    def probe(self) -> Liveness:
        """Tell whether this idle connection may be used, without waiting; about 1 µs.

        Bytes that nobody asked for are no response (RFC 9112 §9.2), so DATA is as unusable as CLOSED. Over TLS a
        readable socket is not dead: TLS 1.3 servers send session tickets after the handshake.
        """
        if self.is_tls and self.sock.pending():  # type: ignore[attr-defined]
            # Mostly data; but where TLS runs within TLS, a ticket or a close_notify may wait to be decrypted.
            return self._read_one_byte()
        if self.others_run and not (self._look or self._keep_lock())():
            return _IDLE
        seen = self._poll.poll(0)
        if not seen:
            return _IDLE
        if seen[0][1] & GONE:
            return Liveness.CLOSED
        return self._read_one_byte()

    def _keep_lock(self) -> Look:
        """Prepare the calls that keep the interpreter's lock: the look, and for a plain socket what sends."""
        look = self._look = looking_at(self.sock)
        if self._blocks:
            self.send_at_once = sending_on(self.sock)
        return look

    def probe_for(self, seconds: float) -> Liveness:
        """As `probe`, but watch the connection for so many seconds: a close may be on its way."""
        end = clock() + seconds
        while (liveness := self.probe()) is _IDLE and (left := end - clock()) > 0:
            self._poll.poll(math.ceil(left * 1000))
        return liveness

    def wait_readable(self, seconds: float | None, *, or_writable: bool = False) -> bool:
        """Wait until there are bytes to read, or room to write some; True if there are bytes.

        Args:
            seconds: The longest wait.
            or_writable: Return (False) as soon as the kernel takes more bytes.

        Raises:
            TimeoutError: Neither happened.
        """
        if self.is_tls and self.sock.pending():  # type: ignore[attr-defined]
            return True
        both = poller()
        both.register(self.sock.fileno(), READABLE | (WRITABLE if or_writable else 0))
        seen = both.poll(None if seconds is None or seconds > LONGEST_WAIT else math.ceil(seconds * 1000))
        if not seen:
            raise TimeoutError("the server neither took nor sent a byte")
        return bool(seen[0][1] & ~WRITABLE)

    def receive_now(self, size: int) -> bytes | None:
        """Read what is there without waiting; `None` if nothing is, such as behind a TLS session ticket."""
        if self._blocks:
            try:
                return self.receive(size, NOW)
            except BlockingIOError:
                return None
        limit = self.sock.gettimeout()
        self.sock.settimeout(0)
        try:
            return self.receive(size)
        except self._nothing_there():
            return None
        finally:
            self.sock.settimeout(limit)

    @property
    def address(self) -> str | None:
        """IP address of the other end; `None` for a Unix socket, and where the connection is gone already."""
        try:
            name = self.sock.getpeername()
        except OSError:
            return None
        return str(name[0]) if isinstance(name, tuple) else None

    @property
    def held(self) -> int | None:
        """Bytes that the kernel has taken and the peer has not; `None` if that cannot be told."""
        return unsent.held_bytes(self.sock)

    def send_now(self, data: memoryview) -> int:
        """Send what fits into the kernel's buffer, which `wait_readable` has found to have room."""
        if self.is_tls:
            return self.send(data[:TLS_RECORD])
        if not self._blocks:
            return self._sent_now(data)
        try:
            return self.send(data, NOW)
        except BlockingIOError:
            return 0

    def _sent_now(self, data: memoryview) -> int:
        """Do the same with a socket that is not the kernel's own."""
        limit = self.sock.gettimeout()
        self.sock.settimeout(0)
        try:
            return self.send(data)
        except (BlockingIOError, TimeoutError):
            return 0
        finally:
            self.sock.settimeout(limit)

    def close(self) -> None:
        """Send TLS's close_notify without waiting, then close (RFC 9112 §9.8: it is due; the peer's need not come)."""
        if self.is_tls:
            try:
                self.sock.settimeout(0)
                self.sock.unwrap()  # type: ignore[attr-defined]
            except (OSError, ValueError):
                pass  # It is out, or the connection is already gone; either way nothing is left to do.
        self.sock.close()

    def abort(self) -> None:
        """Close at once, without close_notify: for a connection in an unknown state, or a forked process's copy."""
        self.sock.close()

    def peek(self) -> Liveness:
        """Look at what is there to read on a connection without TLS, and leave it there. Nobody is disturbed by it."""
        if not self._blocks:
            return self._read_one_byte()
        try:
            byte = self.sock.recv(1, socket.MSG_PEEK | NOW)
        except BlockingIOError:
            return Liveness.IDLE
        except (OSError, ValueError):
            return Liveness.CLOSED
        return Liveness.DATA if byte else Liveness.CLOSED

    def _nothing_there(self) -> tuple[type[OSError], ...]:
        """Give what a read without a timeout raises where there is nothing to read."""
        return (BlockingIOError, TimeoutError, ssl.SSLWantReadError) if self.is_tls else (BlockingIOError, TimeoutError)

    def _read_one_byte(self) -> Liveness:
        timeout = self.sock.gettimeout()
        try:
            self.sock.settimeout(0)
            byte = self.sock.recv(1) if self.is_tls else self.sock.recv(1, socket.MSG_PEEK)
        except self._nothing_there():
            self.sock.settimeout(timeout)
            return Liveness.IDLE
        except (OSError, ValueError):
            return Liveness.CLOSED
        return Liveness.DATA if byte else Liveness.CLOSED


def gone(streams: Iterable[Stream]) -> list[tuple[Stream, Liveness]]:
    """Look at many idle streams at once, without waiting, and list those that are closed or have data.

    Over TLS only a close is listed: bytes may be session tickets, which the next `probe` reads.
    """
    poll = poller()
    watched: dict[int, Stream] = {}
    for stream in streams:
        number = stream.sock.fileno()
        if number >= 0:
            watched[number] = stream
            poll.register(number, WATCHED)
    found = []
    for number, flags in poll.poll(0):
        stream = watched[number]
        if flags & GONE:
            found.append((stream, Liveness.CLOSED))
        elif not stream.is_tls and (liveness := stream.peek()) is not _IDLE:
            found.append((stream, liveness))
    return found
