"""A server that plays a part: it sends for each request what stands in its turn, byte for byte, and notes what it did.

It listens on a Unix socket, in a thread of its own, and takes one connection after the other. Whoever asks calls `wait`
before the next request: all bytes of a turn are there then, and its close, so that nothing depends on the clock.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple


class Turn(NamedTuple):
    """What is sent for one request.

    Attributes:
        parts: The bytes, in the pieces in which they are sent.
        late: More of them, sent when whoever asks has got the response.
        closes: The connection is closed behind them.
    """

    parts: list[bytes]
    late: bytes
    closes: bool


class Served(NamedTuple):
    """A request as it came, and what was sent for it.

    Attributes:
        connection: Counts connections from 1.
        method: The request's.
        number: The last part of its path.
        sent: All bytes but the late ones.
        late: Those.
        closed: The connection was closed behind them.
    """

    connection: int
    method: bytes
    number: int
    sent: bytes
    late: bytes
    closed: bool


class Player:
    """Plays by a function that is asked for each request.

    Args:
        path: Where to listen.

    Attributes:
        log: What was served, in its order.
    """

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.log: list[Served] = []
        self._turn: Callable[[bytes, int], Turn] = lambda _method, _number: Turn([], b"", True)
        self._has_response = threading.Event()
        self._quiet = threading.Event()
        self._connection = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(16)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End; nobody may be connected any more."""
        with suppress(OSError):  # Its end is what wakes the thread; macOS calls it an error.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def play(self, turn: Callable[[bytes, int], Turn]) -> None:
        """Play by this function from now on, with an empty log."""
        self._turn = turn
        self.log = []

    def wait(self) -> None:
        """Say that the last request has its response, and wait until everything for it was sent."""
        self._has_response.set()
        assert self._quiet.wait(20), "the server did not come to the end of its turn"

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connection += 1
            with connection, suppress(OSError):
                self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        held = b""
        while data := connection.recv(65536):
            held += data
            head = re.match(rb"([A-Z]+) /([0-9]+) HTTP/1\.1\r\n(?:[^\r\n]+\r\n)*\r\n", held)
            if head is None:
                continue
            length = re.search(rb"(?i)\ncontent-length: ([0-9]+)", head[0])
            if len(held) < head.end() + (int(length[1]) if length else 0):
                continue
            held = b""
            turn = self._turn(head[1], int(head[2]))
            self._quiet.clear()
            self._has_response.clear()
            sent = b"".join(turn.parts)
            self.log.append(Served(self._connection, head[1], int(head[2]), sent, turn.late, turn.closes))
            try:
                for part in turn.parts:
                    connection.sendall(part)
                if turn.late:
                    self._has_response.wait(20)
                    connection.sendall(turn.late)
            except OSError:
                # Whoever asks has seen enough, and closed.
                turn = turn._replace(closes=True)
            if turn.closes:
                connection.close()
            self._quiet.set()
            if turn.closes:
                return
