"""How the arguments of a call are written: query strings, forms, JSON, the credentials of Basic. Pure.

Decides: how parameters, forms and JSON are written; what of two sets of parameters wins.
Knows: the arguments requests takes and how it reads them.
Does not know: requests; a prepared one is made of what is written here.

Source: RFC 9110 §8.3 (Content-Type), RFC 7617 §2 (Basic), RFC 8259 (JSON).
"""

from __future__ import annotations

import json as json_module
import warnings
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from keeppool.client.arguments import ParamsArgument
from keeppool.client.request.urls import quoted_query
from keeppool.deferred import Deferred
from keeppool.errors import InvalidBody, InvalidJSONError, InvalidRequest, quoted
from keeppool.forks import undivided

if TYPE_CHECKING:
    import base64
    from urllib import parse as urllib_parse
else:
    base64 = Deferred("base64")
    urllib_parse = Deferred("urllib.parse")

_FORM: Final = b"application/x-www-form-urlencoded"
_JSON: Final = b"application/json"
#: `json.dumps` makes an encoder for each call that wants anything but the defaults; NaN is no JSON (RFC 8259 §6).
_encoded_json: Final = json_module.JSONEncoder(allow_nan=False).encode


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
        with undivided:
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


def body_of(content: Any, data: Any, json: Any, files: Any) -> Any:
    """Read `content` as what `data` may be: the body itself, whatever it looks like.

    Args:
        content: Not `None`.
        data: The call's; there is only one body.
        json: Likewise.
        files: Likewise.

    Raises:
        InvalidBody: It is a mapping, or holds what is no body, or there is another body beside it.
    """
    if data is not None or json is not None or files:
        raise InvalidBody("content is the whole body: data, json and files cannot be given beside it")
    if isinstance(content, Mapping):
        raise InvalidBody("content is the body itself, not a form: give a mapping as data=, or as json=")
    # A list of pieces would pass for a form's fields.
    return partial(iter, content) if isinstance(content, (list, tuple)) else content


def basic(credentials: object) -> bytes:
    """Write credentials for Basic authentication, in ISO 8859-1 as requests does, in UTF-8 where that cannot.

    Raises:
        InvalidRequest: Not a pair of text or bytes.
    """
    if not isinstance(credentials, (tuple, list)) or len(credentials) != 2:
        raise InvalidRequest("auth must be a (user, password) pair")
    token = b":".join(_latin1(part) for part in credentials)
    return b"Basic " + base64.b64encode(token)


def basic_of_any(user: object, password: object) -> bytes:
    """Write credentials as `basic` does; numbers and the like are taken for their text, as in requests.

    Its warning comes with it, and names the caller's caller.
    """
    return basic((_text("username", user), _text("password", password)))


def _text(what: str, part: object) -> str | bytes:
    if isinstance(part, (str, bytes)):
        return part
    warnings.warn(f"the {what} should be text or bytes, not {type(part).__name__}", DeprecationWarning, stacklevel=4)
    return str(part)


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
        raise InvalidRequest(
            f"{what} must be a mapping, (name, value) pairs, text or bytes, not {quoted(fields)}"
        ) from error


def _form(what: str, items: list[tuple[Any, Any]]) -> str:
    """Encode pairs; a list of values repeats its name, `None` is left out."""
    single = [(name, value) for name, values in items for value in _values(values) if value is not None]
    try:
        return urllib_parse.urlencode(single, doseq=True)
    except ValueError as error:
        raise InvalidRequest(f"{what} holds text that no encoding can write: {error}") from error


def _values(values: Any) -> Iterable[Any]:
    return [values] if isinstance(values, (str, bytes)) or not isinstance(values, Iterable) else values


def check_auth(auth: object) -> None:
    """Check that something can sign requests; what is empty asks for no signature.

    Raises:
        InvalidRequest: It is neither a pair nor a function.
    """
    if auth and not callable(auth) and not (isinstance(auth, (tuple, list)) and len(auth) == 2):
        raise InvalidRequest(f"auth must be a (user, password) pair or a function, not {type(auth).__name__}")
