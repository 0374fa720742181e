"""`ScriptedServer`: a raw server that does on each connection exactly what a script says.

Decides: which script runs on which connection, what becomes of an error in one.
Knows: sockets, threads, and enough HTTP to read a request. Does not know: answers; a script sends bytes.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from keeppool.testing.messages import Head, Request, RequestReader

Step = bytes | Callable[["RawConnection"], object]
#: What to do on one connection: a function, or steps: bytes are sent, functions are called with the connection.
Script = Callable[["RawConnection"], object] | Sequence[Step]

_READ_SIZE = 65536


class ClientGone(EOFError):
    """The client closed or reset the connection where the script wanted to read or send.

    A script that lets it pass ends in peace: what it means that the client went is for the test to judge.
    """


class RawConnection:
    """The server's end of one connection, in the hands of a script. Every wait is bounded by the server's `timeout`.

    Attributes:
        number: Which connection it is, from 1.
        requests: What `read_request` has read.
        received: All bytes the script has read, as they came (decrypted, over TLS).
    """

    def __init__(self, sock: socket.socket, number: int, timeout: float) -> None:
        self.number = number
        self.requests: list[Request] = []
        self.received = b""
        self._socket = sock
        self._timeout = timeout
        self._reader = RequestReader()
        sock.settimeout(timeout)

    def read(self, size: int = _READ_SIZE) -> bytes:
        """Read what is there, up to `size` bytes; wait for the first. Not to be mixed with `read_request`.

        Raises:
            ClientGone: The client has closed its sending side, or reset the connection.
            TimeoutError: Nothing came in time.
        """
        try:
            data = self._socket.recv(size)
        except ConnectionError as error:
            raise ClientGone(f"the client reset connection {self.number}") from error
        if not data:
            raise ClientGone(f"the client closed connection {self.number}")
        self.received += data
        return data

    def read_exactly(self, size: int) -> bytes:
        """Read `size` bytes. Raises as `read`."""
        data = b""
        while len(data) < size:
            data += self.read(size - len(data))
        return data

    def read_until_closed(self) -> bytes:
        """Read until the client closes; give what came until then.

        Raises:
            TimeoutError: The client neither sent nor closed in time.
        """
        data = b""
        with contextlib.suppress(ClientGone):
            while True:
                data += self.read()
        return data

    def read_head(self) -> Head:
        """Read a request's head; its body is left for `read_request`, which then gives the same request whole.

        Raises:
            ClientGone: The client closed before or in it.
            MalformedRequest: What came is no request.
            TimeoutError: It did not come in time.
        """
        while True:
            head = self._reader.take_head()
            if head is not None:
                return head
            self._reader.feed(self.read())

    def read_request(self) -> Request:
        """Read a request with its body; `Expect: 100-continue` is not answered. Raises as `read_head`."""
        while True:
            taken = self._reader.take()
            if taken is not None:
                break
            self._reader.feed(self.read())
        request = Request(*taken[0], taken[1], self.number, len(self.requests) + 1, time.monotonic())
        self.requests.append(request)
        return request

    def send(self, data: bytes) -> None:
        """Send bytes.

        Raises:
            ClientGone: The client has closed or reset the connection.
            TimeoutError: The client does not read.
        """
        try:
            self._socket.sendall(data)
        except ConnectionError as error:
            raise ClientGone(f"the client closed connection {self.number} before all was sent") from error

    def wait(self, event: threading.Event) -> None:
        """Wait until the test sets an event.

        Raises:
            TimeoutError: It was not set in time.
        """
        if not event.wait(self._timeout):
            raise TimeoutError(f"connection {self.number} waited {self._timeout} s for an event")

    def half_close(self) -> None:
        """Close the sending side only: the client reads an end, the script can go on reading."""
        self._close_notify()
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_WR)

    def close(self) -> None:
        """Close, with close_notify if there is TLS. The system sends a RST instead of a FIN if bytes are unread."""
        self._close_notify()
        self._socket.close()

    def cut(self) -> None:
        """Close without TLS's close_notify, as a crash does; without TLS the same as `close`."""
        self._socket.close()

    def reset(self) -> None:
        """Close with a TCP RST: the client's next read or write fails with ECONNRESET."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def release(self) -> None:
        """Wake a script that waits for the client; its wait ends as if the client had closed."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _close_notify(self) -> None:
        """Send close_notify and do not wait for the client's."""
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.fileno() >= 0:
            self._socket.settimeout(0)
            with contextlib.suppress(OSError, ValueError):
                self._socket.unwrap()
            self._socket.settimeout(self._timeout)


class ScriptedServer:
    r"""Runs a script on each connection, in a thread of its own. Use it as a context manager.

    Example:
        OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        answer_then_close = [RawConnection.read_request, OK, RawConnection.close]

        def die_after_reading(conn):
            conn.read_request()
            conn.reset()

        with ScriptedServer(answer_then_close, die_after_reading) as server:
            ...  # the first connection is served, every later one is reset

    Args:
        *scripts: One for each connection, in the order they are accepted; the last one serves all that follow. A
            connection is closed when its script has ended.
        host: Loopback address to listen on.
        port: Port; 0 lets the system choose one.
        tls: A server's `ssl.SSLContext` to speak TLS.
        timeout: Seconds each wait of a script may take.

    Attributes:
        host: The address.
        port: The port.
        connections: The connections so far, with what was read on them. Failed TLS handshakes are not among them.
        handshake_errors: What made TLS handshakes fail.
        errors: What scripts raised. The first is raised again at the end of the `with` block, unless the block
            itself raised.

    Raises:
        OSError: From the `with` statement: the address is not there, or the port is taken.
    """

    def __init__(
        self,
        *scripts: Script,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        timeout: float = 5.0,
    ) -> None:
        if not scripts:
            raise ValueError("a scripted server needs a script")
        self.host = host
        self.port = port
        self.connections: list[RawConnection] = []
        self.handshake_errors: list[OSError] = []
        self.errors: list[BaseException] = []
        self._scripts = scripts
        self._tls = tls
        self._timeout = timeout
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._closing = False

    @property
    def requests(self) -> list[Request]:
        """What `read_request` has read on all connections, connection by connection."""
        return [request for connection in list(self.connections) for request in connection.requests]

    @property
    def url(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self._tls else ''}://{host}:{self.port}"

    def __enter__(self) -> Self:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, self.port), family=family, backlog=128)
        self.port = self._listener.getsockname()[1]
        self._waker, self._wakened = socket.socketpair()
        self._start(self._accept_all)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
        if error is None and self.errors:
            raise self.errors[0]

    def wait_for(self, predicate: Callable[[], bool], timeout: float = 5.0) -> bool:
        """Wait until the predicate is true; it is asked again when a connection comes, when a script ends.

        Args:
            predicate: Takes nothing and looks at the server, such as `lambda: len(server.connections) == 2`.
            timeout: Seconds to wait at the most.

        Returns:
            What the predicate said last.
        """
        with self._changed:
            return self._changed.wait_for(predicate, timeout)

    def close(self) -> None:
        """Stop accepting, wake scripts that wait for the client, and join all threads. May be called again.

        What scripts raise because of that is not recorded.
        """
        if self._closing:
            return
        self._closing = True
        self._waker.send(b"!")
        self._threads[0].join()
        with self._changed:
            for connection in self.connections:
                connection.release()
        for thread in self._threads:
            thread.join()
        for sock in (self._listener, self._waker, self._wakened):
            sock.close()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, name="keeppool.testing.ScriptedServer", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept_all(self) -> None:
        """Accept until wakened; the listener alone cannot be wakened on every system."""
        number = 0
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._wakened, selectors.EVENT_READ)
            while self._wakened not in [key.fileobj for key, _ in selector.select()]:
                accepted, _ = self._listener.accept()
                number += 1
                self._start(self._serve, accepted, number)

    def _serve(self, accepted: socket.socket, number: int) -> None:
        """Run one connection's script, in its own thread."""
        accepted.settimeout(self._timeout)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # each `send` of a script leaves at once
        try:
            sock = self._tls.wrap_socket(accepted, server_side=True) if self._tls else accepted
        except OSError as error:
            accepted.close()
            with self._changed:
                self.handshake_errors.append(error)
                self._changed.notify_all()
            return
        connection = RawConnection(sock, number, self._timeout)
        with self._changed:
            self.connections.append(connection)
            self._changed.notify_all()
            if self._closing:
                connection.release()
        self._run(connection, self._scripts[min(number, len(self._scripts)) - 1])

    def _run(self, connection: RawConnection, script: Script) -> None:
        try:
            _perform(script, connection)
        except ClientGone:
            pass
        except BaseException as error:
            if not (self._closing and isinstance(error, OSError)):
                self.errors.append(error)
        finally:
            connection.close()
            with self._changed:
                self._changed.notify_all()


def _perform(script: Script, connection: RawConnection) -> None:
    for step in [script] if callable(script) else script:
        if callable(step):
            step(connection)
        else:
            connection.send(step)
