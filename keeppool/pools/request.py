"""From the arguments of `PoolManager.request` to a request that can be sent.

Decides: which fields are added, and how a body's length is told.
Does not know: sessions' comfort (forms, JSON, cookies); that is the client's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from keeppool.errors import InvalidHeader
from keeppool.wire.body import RequestBody, request_body
from keeppool.wire.decode import accept_encoding
from keeppool.wire.fields import FieldBlock, field_block

HeadersArgument = Mapping[str, str] | Iterable[tuple[str, str]] | None


def prepare_fields(headers: HeadersArgument) -> FieldBlock:
    """Check a request's headers and add the two every request has unless it brings its own.

    Raises:
        InvalidHeader: A name or value HTTP cannot carry.
    """
    if not headers:
        return default_fields()
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    given = field_block(pairs)
    missing = [pair for pair in default_fields().pairs if pair[0].lower() not in given.names]
    return field_block([*missing, *given.pairs])


@cache
def default_fields() -> FieldBlock:
    """Give what a request without headers of its own says: who we are, and which content codings we read."""
    from keeppool import __version__

    return field_block([("User-Agent", f"keeppool/{__version__}"), ("Accept-Encoding", accept_encoding())])


def prepare_body(body: Any, fields: FieldBlock, method: bytes) -> RequestBody | None:
    """Prepare a body; `None` where nothing is sent and nothing has to be said about it.

    Raises:
        InvalidHeader: The caller's Content-Length is no number.
        InvalidBody: The body is of a type that cannot be sent.
        BodyLengthError: A body in memory is not as long as the caller's Content-Length.
    """
    if body is None and method not in (b"POST", b"PUT", b"PATCH"):
        return None
    length = fields.get(b"content-length")
    if length is not None and not length.isdigit():
        value = length.decode("latin-1")
        raise InvalidHeader(f"Content-Length {value!r} is not a number", name="Content-Length", value=value)
    coding = fields.get(b"transfer-encoding")
    return request_body(
        body,
        content_length=None if length is None else int(length),
        chunked=coding is not None and coding.lower().endswith(b"chunked"),
        method=method,
    )
