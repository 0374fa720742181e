"""Opening a connection without a socket: what is to be sent, what was read, in turns.

Decides: nothing. It is the shape in which CONNECT, SOCKS and TLS handshakes are written once, for threads and asyncio.
Knows: the turn of a step, and how a blocking socket takes it.
Does not know: any protocol.

The turn: a generator yields bytes (none at all if it only wants to read). Its driver sends them, reads once, and sends
what came into the generator; no bytes mean that the peer has closed. So after its last yield a generator always gets an
answer: what must go out at the very end, with nothing to wait for, is left where the caller finds it (a TLS handshake's
last flight in `TlsLayer.outgoing`). The return value is the result, an exception the failure. A generator bounds what
it accepts in bytes; its driver bounds the time.
"""

from __future__ import annotations

import socket
from collections.abc import Generator
from typing import TypeVar

from keeppool.net.deadline import Deadline

T = TypeVar("T")

#: Yields what to send, is sent what was read (b"" once the peer has closed), returns its result.
Steps = Generator[bytes, bytes, T]

#: Bytes read at once. One page: the answers to CONNECT and SOCKS have a hundred bytes or so, a server's TLS
#: certificates two to four thousand.
PIECE = 4096


def drive(steps: Steps[T], sock: socket.socket, deadline: Deadline) -> T:
    """Run steps on a blocking socket.

    Args:
        steps: Not started yet; has ended when this returns or raises.
        sock: Connected; stays the caller's, also to close. Its timeout is changed.
        deadline: When the last step must be over.

    Returns:
        What the steps return.

    Raises:
        TimeoutError: The deadline passed.
        OSError: The socket failed.
        Exception: Whatever the steps raise.
    """
    try:
        data = next(steps)
        while True:
            if data:
                sock.settimeout(deadline.left())
                sock.sendall(data)
            sock.settimeout(deadline.left())
            data = steps.send(sock.recv(PIECE))
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        steps.close()
