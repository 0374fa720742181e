"""From the arguments of a call to a request that can be sent: pure, nothing is connected or read.

Decides: how parameters, forms and JSON are written, which fields the client adds, which of two settings wins.
Knows: the arguments requests takes and how it reads them.
Does not know: cookies (`cookies.py`), redirects (`redirect.py`), how bodies are framed (`pools.request`).

Source: RFC 9110 §8.3 (Content-Type), §11.6.2 (Authorization), RFC 7617 §2 (Basic).
"""

from __future__ import annotations

import base64
import functools
import json as json_module
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from keeppool.client.request.headers import Headers, HeadersArgument, merged
from keeppool.client.request.prepared import PreparedRequest
from keeppool.client.request.urls import quoted_query
from keeppool.errors import InvalidBody, InvalidJSONError, InvalidRequest
from keeppool.pools.request import prepare_body
from keeppool.urls.address import Address
from keeppool.wire.fields import FieldBlock, field_block

Pairs = Mapping[Any, Any] | Iterable[tuple[Any, Any]]
ParamsArgument = Pairs | str | bytes | None
AuthArgument = tuple[str | bytes, str | bytes] | Callable[[Any], object] | None

_FORM: Final = b"application/x-www-form-urlencoded"
_JSON: Final = b"application/json"
#: Blocks of fields with a media type: a session's own and those of a few calls.
_REMEMBERED: Final = 64
#: `json.dumps` makes an encoder for each call that wants anything but the defaults; NaN is no JSON (RFC 8259 §6).
_encoded_json: Final = json_module.JSONEncoder(allow_nan=False).encode
_AUTHORIZATION: Final = frozenset((b"authorization",))


def prepare(
    method: bytes,
    address: Address,
    session_headers: Headers,
    headers: HeadersArgument | None,
    session_params: ParamsArgument,
    params: ParamsArgument,
    data: Any,
    json: Any,
    files: Any = None,
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
    body, content_type = encoded_body(data, json, files)
    if content_type is not None and b"content-type" not in block.names:
        block = _typed(block, content_type)
    asked = address.with_query(encoded_query(session_params, params))
    return PreparedRequest(method, asked, block, prepare_body(body, block, method), body)


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


def scheme_of(auth: AuthArgument) -> Callable[[PreparedRequest], object] | None:
    """Read the forms `auth` takes; `None`, and as in requests what is empty, for none.

    Raises:
        InvalidRequest: It is neither a pair nor can it be called.
    """
    if not auth:
        return None
    if isinstance(auth, (tuple, list)) and len(auth) == 2:
        from keeppool.client.auth.schemes import HTTPBasicAuth

        return HTTPBasicAuth(*auth)
    if not callable(auth):
        raise InvalidRequest(f"auth must be a (user, password) pair or a function, not {type(auth).__name__}")
    return auth


def encoded_query(session_params: ParamsArgument, params: ParamsArgument) -> str:
    """Write the query string a session's and a call's parameters make together.

    Raises:
        InvalidRequest: They are neither pairs nor text, or hold what cannot be encoded.
    """
    if not params and not session_params:
        return ""
    if isinstance(params, (str, bytes)):
        return quoted_query(params)
    own = _items("params", params)
    if isinstance(session_params, (str, bytes)):
        return "&".join(filter(None, [quoted_query(session_params), _form("params", own)]))
    named = {name for name, _ in own}
    return _form("params", [pair for pair in _items("params", session_params) if pair[0] not in named] + own)


def encoded_body(data: Any, json: Any, files: Any = None) -> tuple[Any, bytes | None]:
    """Turn `data`, `json` and `files` into what is sent and what it is.

    Returns:
        The body and its media type; `None` for either where there is none.

    Raises:
        InvalidJSONError: `json` is not representable in JSON; that holds for NaN and the infinities too.
        InvalidBody: `data` is a list without pairs in it, or `files` is in none of the forms it may have.
    """
    if files:
        from keeppool.client.request.multipart import encode_files

        body, content_type = encode_files(data, files)
        return body, content_type.encode("latin-1")
    # requests' rule, callers rely on it: whatever is false (an empty form, "") means no data.
    if not data:
        return (None, None) if json is None else (_dumped(json), _JSON)
    if not isinstance(data, (Mapping, list, tuple)):
        return data, None
    try:
        return _form("data", _items("data", data)), _FORM
    except InvalidRequest as error:
        raise InvalidBody(str(error)) from error


def basic(credentials: object) -> bytes:
    """Write credentials for Basic authentication, in ISO 8859-1 as requests does, in UTF-8 where that cannot.

    Raises:
        InvalidRequest: Not a pair of text or bytes.
    """
    if not isinstance(credentials, (tuple, list)) or len(credentials) != 2:
        raise InvalidRequest("auth must be a (user, password) pair")
    token = b":".join(_latin1(part) for part in credentials)
    return b"Basic " + base64.b64encode(token)


def _latin1(part: object) -> bytes:
    if isinstance(part, bytes):
        return part
    if not isinstance(part, str):
        raise InvalidRequest(f"user and password must be text or bytes, not {type(part).__name__}")
    try:
        return part.encode("latin-1")
    except UnicodeEncodeError:
        return part.encode("utf-8", "surrogatepass")


def _dumped(json: Any) -> bytes:
    try:
        return _encoded_json(json).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidJSONError(f"json cannot be written as JSON: {error}") from error


def _items(what: str, fields: Any) -> list[tuple[Any, Any]]:
    if not fields:
        return []
    try:
        return [(name, values) for name, values in (fields.items() if isinstance(fields, Mapping) else fields)]
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"{what} must be a mapping, (name, value) pairs, text or bytes, not {fields!r}") from error


def _form(what: str, items: list[tuple[Any, Any]]) -> str:
    """Encode pairs; a list of values repeats its name, `None` is left out."""
    single = [(name, value) for name, values in items for value in _values(values) if value is not None]
    try:
        return urlencode(single, doseq=True)
    except ValueError as error:
        raise InvalidRequest(f"{what} holds text that no encoding can write: {error}") from error


def _values(values: Any) -> Iterable[Any]:
    return [values] if isinstance(values, (str, bytes)) or not isinstance(values, Iterable) else values
