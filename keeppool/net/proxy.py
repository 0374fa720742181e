"""Asking a proxy for a tunnel: one CONNECT, one answer.

Decides: what counts as an open tunnel.
Knows: the request and the answer of CONNECT.
Does not know: how the proxy was reached, and what will run through the tunnel.

Source: RFC 9110 §9.3.6 (CONNECT), §11.7.2 (Proxy-Authorization); RFC 9112 §3.2.3 (authority form).
"""

from __future__ import annotations

import socket

from keeppool.core.origin import Origin
from keeppool.errors import ExchangeError, ProxyError
from keeppool.net.race import Deadline
from keeppool.wire.fields import field_block
from keeppool.wire.head import HeadReader, ResponseHead
from keeppool.wire.request import check_target, render_head

#: Bytes of all answers to one CONNECT, interim ones included: as much as one head of an ordinary answer may have.
MAX_ANSWER_BYTES = 65536

#: Bytes read at once. One page; answers to CONNECT have a hundred bytes or so.
_PIECE = 4096


def open_tunnel(sock: socket.socket, origin: Origin, deadline: Deadline) -> None:
    """Ask `origin.proxy`, to which `sock` leads, for a tunnel to the origin.

    Args:
        sock: Connected to the proxy; stays the caller's, also to close. Its timeout is changed.
        origin: Whose host and port are asked for.
        deadline: When the answer must be complete.

    Raises:
        ProxyError: The proxy refused (`status` is its answer), closed, did not speak HTTP, or sent more than an answer.
        TimeoutError: The deadline passed.
        OSError: The socket failed.
    """
    sock.settimeout(deadline.left())
    sock.sendall(_request(origin))
    head, rest = _answer(sock, origin, deadline)
    if not 200 <= head.status < 300:
        shown = f"{head.status} {head.reason}".strip()
        raise _refused(origin, f"the proxy refused the tunnel: {shown}", head.status)
    if rest:
        # Behind the tunnel's door the client speaks first (TLS). Who sends before that is not the origin, and what
        # he sent must not be taken for the first bytes of its handshake.
        raise _refused(origin, "the proxy sent more than its answer to CONNECT", head.status)


def _request(origin: Origin) -> bytes:
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    # Also where 443 could be left out: the authority form has a port always, and Host repeats it.
    target = check_target(f"{host}:{origin.port}")
    secret = origin.proxy.authorization if origin.proxy is not None else None
    fields = field_block([] if secret is None else [("Proxy-Authorization", secret)])
    return render_head(b"CONNECT", target, b"Host: " + target + b"\r\n", fields)


def _answer(sock: socket.socket, origin: Origin, deadline: Deadline) -> tuple[ResponseHead, bytes]:
    """Read the final answer's head, and whatever came with it."""
    allowed, data = MAX_ANSWER_BYTES, b""
    while True:
        reader = HeadReader(max_bytes=allowed)
        head = _read_head(sock, reader, data, origin, deadline)
        # 101 is final: it switches protocols, and nobody asked for that.
        if head.status >= 200 or head.status == 101:
            return head, reader.rest
        allowed, data = allowed - head.size, reader.rest


def _read_head(
    sock: socket.socket, reader: HeadReader, data: bytes, origin: Origin, deadline: Deadline
) -> ResponseHead:
    """Feed the reader, first with what is there already, until a head is whole."""
    try:
        head = reader.feed(data) if data else None
        while head is None:
            sock.settimeout(deadline.left())
            data = sock.recv(_PIECE)
            if not data:
                raise _refused(origin, "the proxy closed the connection without an answer to CONNECT")
            head = reader.feed(data)
    except ExchangeError as error:
        raise _refused(origin, f"the proxy's answer to CONNECT is not HTTP: {error}") from error
    return head


def _refused(origin: Origin, reason: str, status: int | None = None) -> ProxyError:
    return ProxyError(f"{origin}: {reason}", origin=str(origin), status=status)
