"""Bodies and fields as HAR keeps them, and as they were.

Decides: which bodies are text, and in which encoding.
Does not know: the objects they stand in.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from email.message import Message
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode

#: An object of the format.
Object: TypeAlias = dict[str, Any]
#: Header fields in their order; a name may repeat.
Fields: TypeAlias = Sequence[tuple[str, str]]

#: Control characters that text is not written with.
_NO_TEXT: Final = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")


def values_of(headers: Fields, name: str) -> list[str]:
    """List the values of a field; its name in lower case."""
    return [value for field, value in headers if field.lower() == name]


def pairs_of(listed: Iterable[Object]) -> list[tuple[str, str]]:
    """Give the fields of a list of headers. Where a browser has joined several by line ends, they are several again."""
    return [(one["name"], value) for one in listed for value in one["value"].split("\n")]


def body_of(described: Object | None, headers: Fields = ()) -> bytes:
    """Give a body's bytes.

    Args:
        described: The `content` of a response, the `postData` of a request, or none.
        headers: Of the same message; a Content-Type there knows the text's encoding better than browsers write it.

    Raises:
        ValueError: It is said to be in base64, and is not.
    """
    if described is None:
        return b""
    text = described.get("text") or ""
    if described.get("encoding") == "base64" or described.get("_encoding") == "base64":
        return base64.b64decode(text, validate=True)
    if not text and described.get("params"):
        return _form_of(described["params"])
    said = values_of(headers, "content-type")
    try:
        return str(text).encode(charset_of(said[0] if said else described.get("mimeType") or ""))
    except UnicodeEncodeError:
        return str(text).encode("utf-8", "surrogatepass")


def _form_of(params: Iterable[Object]) -> bytes:
    return urlencode([(param["name"], param.get("value") or "") for param in params]).encode()


def written(body: bytes, media_type: str) -> tuple[str, str]:
    """Write a body as text, if it is the same again when it is read; else in base64. The second says which."""
    charset = charset_of(media_type)
    with suppress(ValueError):
        text = body.decode(charset)
        if not _NO_TEXT.search(text) and text.encode(charset) == body:
            return text, ""
    return base64.b64encode(body).decode("ascii"), "base64"


def charset_of(media_type: str) -> str:
    """Tell in which encoding text of this type is; UTF-8 where it names none, or none that there is."""
    message = Message()
    message["Content-Type"] = media_type.replace("\n", " ").replace("\r", " ")
    named = message.get_content_charset("utf-8")
    try:
        "".encode(named)  # Of what makes bytes of bytes, such as base64, this is a LookupError too.
    except (LookupError, ValueError):
        return "utf-8"
    return named
