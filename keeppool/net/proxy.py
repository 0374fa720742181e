"""Asking a proxy for a way to the origin; by HTTP, one CONNECT and one answer.

Decides: what counts as an open tunnel.
Knows: the request and the answer of CONNECT; which proxies are asked at all.
Does not know: how the proxy was reached, and what will run through the tunnel.

Source: RFC 9110 §9.3.6 (CONNECT), §11.7.2 (Proxy-Authorization); RFC 9112 §3.2.3 (authority form).
"""

from __future__ import annotations

from keeppool.core.origin import Origin
from keeppool.errors import ExchangeError, ProxyError
from keeppool.forks import undivided
from keeppool.net.steps import Steps
from keeppool.wire.fields import field_block
from keeppool.wire.head import HeadReader, ResponseHead
from keeppool.wire.request import check_target, render_head

#: Bytes of the answer to one CONNECT, and of the interim ones before it: no proxy has that much to say.
MAX_ANSWER_BYTES = 65536


def tunnel_steps(origin: Origin, address: str | None = None) -> Steps[None] | None:
    """Give the steps that open the way through `origin.proxy`; `None` if nothing has to be asked.

    Args:
        origin: Where the way leads.
        address: What its host was resolved to, if the proxy does not resolve names.

    Raises:
        InvalidProxyURL: A SOCKS proxy, and python-socks is not installed.
    """
    if origin.proxy is None or not origin.is_tunnelled:
        return None
    if not origin.proxy.is_socks:
        return connect_steps(origin)
    with undivided:
        from keeppool.net.socks import socks_steps

    return socks_steps(origin, address)


def connect_steps(origin: Origin) -> Steps[None]:
    """Ask `origin.proxy` for a tunnel to the origin.

    Args:
        origin: Whose host and port are asked for.

    Raises:
        ProxyError: The proxy refused (`status` is its answer), closed, did not speak HTTP, or sent more than an answer.
    """
    head, rest = yield from _answer(origin, _request(origin))
    if not 200 <= head.status < 300:
        shown = f"{head.status} {head.reason}".strip()
        raise _refused(origin, f"the proxy refused the tunnel: {shown}", head.status)
    if rest:
        # Inside the tunnel the client speaks first (TLS). What comes before that is not from the origin, and must not
        # be taken for the first bytes of its handshake.
        raise _refused(origin, "the proxy sent more than its answer to CONNECT", head.status)


def _request(origin: Origin) -> bytes:
    # A zone means something on this machine only (RFC 6874 §4).
    host = f"[{origin.host.partition('%')[0]}]" if ":" in origin.host else origin.host
    # Also where 443 could be left out: the authority form has a port always, and Host repeats it.
    target = check_target(f"{host}:{origin.port}")
    fields = field_block([] if origin.proxy is None else origin.proxy.fields)
    host_line = b"" if b"host" in fields.names else b"Host: " + target + b"\r\n"
    return render_head(b"CONNECT", target, host_line, fields)


def _answer(origin: Origin, request: bytes) -> Steps[tuple[ResponseHead, bytes]]:
    """Send the request; read the final answer's head, and whatever came with it."""
    reader, data = HeadReader(max_bytes=MAX_ANSWER_BYTES), (yield request)
    try:
        while data:
            head = reader.feed(data)
            # 101 is final: it switches protocols, and nobody asked for that.
            while head is not None and head.status < 200 and head.status != 101:
                head = reader.following()
            if head is not None:
                return head, reader.rest
            data = yield b""
    except ExchangeError as error:
        raise _refused(origin, f"the proxy's answer to CONNECT is not HTTP: {error}") from error
    raise _refused(origin, "the proxy closed the connection without an answer to CONNECT")


def _refused(origin: Origin, reason: str, status: int | None = None) -> ProxyError:
    return ProxyError(f"{origin}: {reason}", origin=str(origin), status=status)
