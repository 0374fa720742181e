"""From the arguments of a call to a request that can be sent: pure, nothing is connected or read.

Decides: which fields the client adds, which of two settings wins, who signs.
Knows: how a session's settings and a call's arguments come together.
Does not know: how an argument is written (`encode.py`), cookies (`cookies.py`), redirects (`redirect.py`), how bodies
    are framed (`pools.request`).

Source: RFC 9110 §8.3 (Content-Type), §11.6.2 (Authorization).
"""

from __future__ import annotations

import functools
from typing import Final

from keeppool.client.arguments import AuthArgument, DataArgument, FilesArgument, HeadersArgument, ParamsArgument
from keeppool.client.request.encode import basic, encoded_body, encoded_query
from keeppool.client.request.headers import Headers, merged
from keeppool.client.request.prepared import Parts, PreparedRequest
from keeppool.pools.request import prepare_body
from keeppool.urls.address import Address
from keeppool.wire.fields import FieldBlock, field_block

#: Blocks of fields with a media type: a session's own and those of a few calls.
_REMEMBERED: Final = 64
_AUTHORIZATION: Final = frozenset((b"authorization",))


def prepare(
    method: bytes,
    address: Address,
    session_headers: Headers,
    headers: HeadersArgument | None,
    session_params: ParamsArgument,
    params: ParamsArgument,
    data: DataArgument,
    json: object,
    files: FilesArgument = None,
) -> PreparedRequest:
    """Make the request that a call describes, cookies and authentication apart.

    Args:
        method: As it goes on the wire.
        address: The call's URL, parsed.
        session_headers: What every request of the session carries.
        headers: The call's own fields; they win, and `None` as a value removes the session's.
        session_params: Query parameters of every request.
        params: The call's own; they win by name. Text or bytes stand alone, without the session's.
        data: A mapping or list of pairs is sent as a form; anything else as it is.
        json: Sent as JSON where `data` is empty and there are no files.
        files: Sent as a multipart form, together with the fields in `data`.

    Raises:
        InvalidRequest: One of its children, or itself: something cannot be put into HTTP. Nothing was sent.
    """
    block = session_headers.block() if headers is None else field_block(merged(session_headers, headers))
    place = address.with_query(encoded_query(session_params, params))
    return PreparedRequest(*with_body(method, place, block, data, json, files))


def with_body(
    method: bytes, address: Address, fields: FieldBlock, data: DataArgument, json: object, files: FilesArgument = None
) -> Parts:
    """Put a body behind a request's fields, and among them what it is; see `prepare`.

    Raises:
        InvalidRequest: As `prepare`.
    """
    body, content_type = encoded_body(data, json, files)
    if content_type is not None and b"content-type" not in fields.names:
        fields = _typed(fields, content_type)
    return method, address, fields, prepare_body(body, fields, method), body


@functools.lru_cache(maxsize=_REMEMBERED)
def _typed(fields: FieldBlock, media_type: bytes) -> FieldBlock:
    """Say what the body is. Remembered, because the head's constant part is, by the very block it was made of."""
    return fields.joined(field_block([("Content-Type", media_type)]))


def authenticated(request: PreparedRequest, auth: AuthArgument) -> PreparedRequest:
    """Let a scheme sign a request; a pair of user and password is the scheme Basic.

    Raises:
        InvalidRequest: `auth` is neither a pair nor can it be called, or user or password are no text.
    """
    if isinstance(auth, (tuple, list)) and all(isinstance(part, (str, bytes)) for part in auth):
        fields = request.fields.without(_AUTHORIZATION)
        return request.with_fields(fields.joined(field_block([("Authorization", basic(auth))])))
    request.prepare_auth(auth)
    return request
