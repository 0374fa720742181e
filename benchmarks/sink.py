"""A server that reads uploads and throws them away, in a process of its own.

nginx would answer before it has read the body, or write it to a file; both would measure something else.

Knows: enough HTTP to find a body of known length. Does not know: who sends it.
"""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


@contextlib.contextmanager
def sink() -> Iterator[str]:
    """Run the server; give its URL."""
    root = Path(__file__).resolve().parent.parent
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sink"], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    # Leaving closes its standard input, which ends it, and waits for it.
    with process:
        assert process.stdout is not None, "it was asked for"
        yield process.stdout.readline().strip()


def serve(sock: socket.socket) -> None:
    """Serve one connection until its client closes it."""
    buffer = memoryview(bytearray(1 << 20))
    with sock, contextlib.suppress(ConnectionError):
        while head := _head(sock):
            start, _, rest = head.partition(b"\r\n\r\n")
            if b"100-continue" in start:
                sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            length = _LENGTH.search(start + b"\r\n")
            left = (int(length[1]) if length else 0) - len(rest)
            while left > 0:
                left -= sock.recv_into(buffer) or left
            sock.sendall(ANSWER)


def _head(sock: socket.socket) -> bytes:
    """Read until the head has ended; empty when there is no further request."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = sock.recv(65536)
        if not piece:
            return b""
        head += piece
    return head


def main() -> None:
    """Print the URL, and serve until standard input ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}/", flush=True)
        threading.Thread(target=_accept, args=(listener,), daemon=True).start()
        sys.stdin.read()


def _accept(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


if __name__ == "__main__":
    main()
