"""The head of a request: request line and fields, in one `join`.

Decides: which methods and targets may be sent.
Knows: the syntax of a request line.
Does not know: URLs, and which fields a request needs.

Source: RFC 9110 §9.1 (methods), RFC 9112 §3 (request line), §3.2 (target).
"""

from __future__ import annotations

import re
from typing import Final

from keeppool.errors import InvalidMethod, InvalidURL, quoted
from keeppool.wire.fields import FieldBlock, is_token

# RFC 9110 §9.3 and RFC 5789. Written in any case they are meant; other methods are case-sensitive (RFC 9110 §9.1).
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
_STANDARD: Final[dict[str | bytes, bytes]] = {
    **{name: name.encode() for name in _METHODS},
    **{name.encode(): name.encode() for name in _METHODS},
}

# Visible ASCII: a space would end the target early, a control could end the line.
_TARGET = re.compile(r"[!-~]+")


def check_method(method: str | bytes) -> bytes:
    """Return the method as it goes on the wire: standard ones in upper case, others as given.

    Raises:
        InvalidMethod: It is not a token; `method` is what was given.
    """
    known = _STANDARD.get(method) if isinstance(method, (str, bytes)) else None
    return known if known is not None else _unusual_method(method)


def _unusual_method(method: str | bytes) -> bytes:
    text = method.decode("latin-1") if isinstance(method, bytes) else method
    if not isinstance(text, str) or not text.isascii() or not is_token(text.encode()):
        raise InvalidMethod(f"method {quoted(method)} is not a token (RFC 9110 §9.1)", method=method)
    return _STANDARD.get(text.upper()) or text.encode()


def check_target(target: str) -> bytes:
    """Return the request target as bytes.

    Args:
        target: Path and query, an absolute URL for a proxy, or `host:port` for CONNECT; percent-encoded already.

    Raises:
        InvalidURL: It is empty, or holds a space, a control character or a character beyond ASCII.
    """
    if not _TARGET.fullmatch(target):
        raise InvalidURL(
            f"request target {quoted(target)} must be visible ASCII without spaces (RFC 9112 §3.2)", url=target
        )
    return target.encode()


def render_head(
    method: bytes, target: bytes, host_line: bytes, *blocks: FieldBlock, version: bytes = b"HTTP/1.1"
) -> bytes:
    """Join a request head. Nothing is checked here: every part comes checked.

    Args:
        method: From `check_method`.
        target: From `check_target`.
        host_line: The whole Host line with its CRLF, so that Host comes first (RFC 9110 §7.2); empty for none.
        *blocks: The other fields, in the order to be sent.
        version: `HTTP/1.1` or `HTTP/1.0`.

    Returns:
        The head, the empty line at its end included.
    """
    return b"".join(
        [method, b" ", target, b" ", version, b"\r\n", host_line, *[block.lines for block in blocks], b"\r\n"]
    )
