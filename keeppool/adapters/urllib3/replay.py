"""Bytes that were read from a socket, given to http.client to be read again.

Knows: how http.client opens a socket for reading. Does not know: why it has to read what our parser has refused.
"""

from __future__ import annotations

import io
import socket
from typing import Any


class Replayed:
    """A socket whose first bytes have been read already, for http.client to read them again.

    Args:
        sock: The socket.
        seen: What was read.
    """

    def __init__(self, sock: socket.socket, seen: bytes) -> None:
        self._sock = sock
        self._seen = seen

    def makefile(self, mode: str) -> io.BufferedReader:
        """Open it as http.client does."""
        assert mode == "rb", "bug: http.client only reads"
        return io.BufferedReader(_Again(self._seen, self._sock.makefile("rb", buffering=0)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class _Again(io.RawIOBase):
    """Bytes that were read, then a socket's."""

    def __init__(self, seen: bytes, below: io.RawIOBase) -> None:
        self._seen = seen
        self._below = below

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if not self._seen:
            return self._below.readinto(buffer)
        piece, self._seen = self._seen[: len(buffer)], self._seen[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._below.close()
        super().close()
