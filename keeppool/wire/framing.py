"""Where does the body of this response end? The one place that decides.

Decides: the kind of framing, its length, and whether the framing itself forbids to use the connection again.
Knows: RFC 9112's rules in their order, and the one older rule still met (multipart/byteranges).
Does not know: how a body is decoded (`message.py`), nor the other reasons to close (`core/reuse.py`).

What the RFC leaves open is decided for safety: a response whose framing two parsers could read differently is either
refused, or read by the RFC's rule and the connection closed behind it.

Source: RFC 9112 §6.1 (Transfer-Encoding), §6.2 (Content-Length), §6.3 (message body length).
"""

from __future__ import annotations

import enum
import functools
import re
from typing import Final, NamedTuple

from keeppool.errors import InvalidHead, InvalidLength, quoted
from keeppool.reasons import Why
from keeppool.wire.fields import TOKEN_CHARS
from keeppool.wire.head import ResponseHead


class Kind(enum.Enum):
    """How the end of a body is known."""

    #: There is no body, whatever the fields say.
    EMPTY = "empty"
    #: As many bytes as stated.
    LENGTH = "length"
    #: Transfer-Encoding: chunked.
    CHUNKED = "chunked"
    #: Up to the closing delimiter of a multipart/byteranges body.
    BYTERANGES = "byteranges"
    #: Everything until the server closes.
    CLOSE = "close"
    #: The connection is not HTTP any more: all that follows belongs to the other protocol.
    TUNNEL = "tunnel"


class Framing(NamedTuple):
    """What `framing_of` finds.

    Attributes:
        kind: How the end is known.
        length: Bytes of the body; `None` where it is not stated.
        why_close: Why the connection cannot be used again; `None` if the framing lets it persist.
    """

    kind: Kind
    length: int | None
    why_close: Why | None


#: The largest Content-Length taken: what a signed 64-bit file offset can count. RFC 9110 §8.6 sets no bound and asks
#: recipients to guard against overflow, which is someone else's behind us: files, sockets, C libraries.
MAX_LENGTH: Final = 2**63 - 1

#: Digits that hold any length that could be meant even with leading zeros, and keep int() cheap.
_DIGITS: Final = 30

_LENGTH = Kind.LENGTH
_EMPTY: Final = Framing(Kind.EMPTY, 0, None)
_EMPTY_DOUBTFUL: Final = Framing(Kind.EMPTY, 0, Why.AMBIGUOUS_FRAMING)
_UPGRADED: Final = Framing(Kind.EMPTY, 0, Why.SWITCHED)
_TUNNEL: Final = Framing(Kind.TUNNEL, None, Why.SWITCHED)
_CHUNKED: Final = Framing(Kind.CHUNKED, None, None)
_CHUNKED_DOUBTFUL: Final = Framing(Kind.CHUNKED, None, Why.AMBIGUOUS_FRAMING)
_BYTERANGES: Final = Framing(Kind.BYTERANGES, None, Why.CLOSE_DELIMITED)
_CLOSE: Final = Framing(Kind.CLOSE, None, Why.CLOSE_DELIMITED)

# A Content-Type parameter `boundary`: a token, or a quoted string (RFC 9110 §5.6.6). Quoted strings before it are
# stepped over whole, so that one cannot hold a `boundary=` of its own.
# Compiled when it is first used, as it hardly ever is.
_BOUNDARY = (
    rb"""(?i)multipart/byteranges(?:[ \t]*+;[ \t]*+(?!boundary=)[%b]++=(?:[%b]++|"[^"\\]*+"))*+"""
    rb"""[ \t]*+;[ \t]*+boundary=(?:([%b]++)|"([^"\\]++)")[ \t]*+(?:;|$)""" % (TOKEN_CHARS, TOKEN_CHARS, TOKEN_CHARS)
)
# RFC 2046 §5.1.1: 1 to 70 of these characters, the last one no space.
_BOUNDARY_CHARS = rb"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]"


def framing_of(method: bytes, head: ResponseHead) -> Framing:
    """Tell where the body behind `head` ends.

    Args:
        method: The request's method, as sent.
        head: The response's head.

    Raises:
        InvalidLength: Content-Length is no number, or states different ones; `value` is the field.
        InvalidHead: A transfer coding that was not offered, or chunked applied twice. Nothing can be read then: a
            body still encoded in gzip is not the body, and where it ends only its decoder would know.

    Source: RFC 9112 §6.3, the numbers are its rules.
    """
    index = head.index
    if method == b"HEAD" or head.status < 200 or head.status in (204, 304) or method == b"CONNECT":  # rules 1 and 2
        bodiless = _bodiless(method, head)
        if bodiless is not None:
            return bodiless
    if b"transfer-encoding" in index:  # rules 3 and 4
        return _by_transfer_encoding(head)
    if b"content-length" in index:  # rules 5 and 6
        value = (head.get(b"content-length") if head.repeated else index[b"content-length"]) or b""
        return _by_length(value) if len(value) <= _DIGITS else Framing(_LENGTH, _content_length(value), None)
    return _by_close(head)  # rule 8; rule 7 is for requests


def _bodiless(method: bytes, head: ResponseHead) -> Framing | None:
    """Apply rules 1 and 2; a 204 to CONNECT falls under both, and is a tunnel without a body."""
    status = head.status
    if method == b"CONNECT" and 200 <= status < 300:
        return _TUNNEL
    if status == 101:
        return _UPGRADED
    if method != b"HEAD" and status in (204, 304) and _announces_body(head):
        return _EMPTY_DOUBTFUL
    if method == b"HEAD" or status < 200 or status in (204, 304):
        return _EMPTY
    return None


def _announces_body(head: ResponseHead) -> bool:
    """Tell whether a response that has no body announces one: a server that means it will send it, late.

    RFC 9110 §8.6 and RFC 9112 §6.1 forbid both fields in a 204; a 304 may repeat the Content-Length of the 200.
    """
    if b"transfer-encoding" in head.index:
        return True
    return head.status == 204 and (head.get(b"content-length") or b"0").strip(b"0") != b""


def _by_transfer_encoding(head: ResponseHead) -> Framing:
    """Apply rules 3 and 4. `identity` (removed in 2014, still met) means nothing, but its presence is doubtful."""
    value = head.get(b"transfer-encoding") or b""
    codings = [coding.strip(b" \t").lower() for coding in value.split(b",")]
    named = [coding for coding in codings if coding not in (b"", b"identity")]
    if named == [b"chunked"]:
        # Both fields, chunked in HTTP/1.0, which does not know it (§6.1), or not that word alone: llhttp takes
        # "chunked," for a coding other than chunked, and so might whoever stands between. Read it, then close.
        doubtful = b"content-length" in head.index or head.version < 11 or codings != named
        return _CHUNKED_DOUBTFUL if doubtful else _CHUNKED
    if named:
        line = b"Transfer-Encoding: " + value[:80]
        raise InvalidHead(f"transfer coding {quoted(value, 80)}: only chunked was offered, once, and last", line=line)
    if b"content-length" in head.index:
        length = _content_length(head.get(b"content-length") or b"")
        return Framing(_LENGTH, length, Why.AMBIGUOUS_FRAMING)
    return _by_close(head)


# Responses of one kind have few lengths; only short values come here, so that hostile ones cannot fill memory.
@functools.lru_cache(maxsize=256)
def _by_length(value: bytes) -> Framing:
    """Apply rule 6."""
    return Framing(_LENGTH, _content_length(value), None)


def _content_length(value: bytes) -> int:
    """Apply rule 5: digits, or the same digits several times (RFC 9110 §8.6)."""
    if not value.isdigit():
        same = {part.strip(b" \t") for part in value.split(b",")}
        value = same.pop() if len(same) == 1 else value
    if not value.isdigit() or len(value) > _DIGITS or (length := int(value)) > MAX_LENGTH:
        raise InvalidLength(f"Content-Length {quoted(value, 80)} is not one length in bytes", value=value[:80])
    return length


def _by_close(head: ResponseHead) -> Framing:
    """Apply rule 8, after RFC 2616's rule 4 for multipart/byteranges.

    RFC 7230 dropped that rule; servers of its time still end such a response with the delimiter and wait. One that
    says that it closes will: there the close ends it, and what lies behind the delimiter is a part of it.
    """
    return _CLOSE if _says_close(head) or boundary_of(head) is None else _BYTERANGES


def _says_close(head: ResponseHead) -> bool:
    if head.version < 11:
        return True
    options = (head.get(b"connection") or b"").lower().split(b",")
    return b"close" in [option.strip(b" \t") for option in options]


def boundary_of(head: ResponseHead) -> bytes | None:
    """Return the boundary of a multipart/byteranges body, or `None` if the response is none or has no usable one."""
    match = re.match(_BOUNDARY, head.index.get(b"content-type", b""))
    boundary = match[match.lastindex or 0] if match else b""
    return boundary if re.fullmatch(_BOUNDARY_CHARS, boundary) else None
