"""Bodies of requests, compared as what they mean.

Decides: that two bodies of JSON or of a form are the same however they are written, and two of multipart whatever their
    boundary, which clients choose at random; every other body is its bytes.
Does not know: anything else of a request.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final
from urllib.parse import parse_qsl

from keeppool.errors import quoted

_BOUNDARY: Final = re.compile(r'boundary=(?:"([^"]+)"|([^;\s]+))', re.IGNORECASE)


def difference(asked: bytes, asked_type: str, other: bytes, other_type: str) -> str | None:
    """Tell how a request's body differs from another; `None` if it does not.

    Args:
        asked: The body that came.
        asked_type: Its Content-Type.
        other: What it is compared with.
        other_type: Its Content-Type.
    """
    if asked == other:
        return None
    one, two = meaning(asked, asked_type), meaning(other, other_type)
    if one == two and type(one) is type(two):
        return None
    if isinstance(one, bytes) or isinstance(two, bytes) or not asked or not other:
        return f"the body is {_shown(asked)}, not {_shown(other)}"
    return f"the body differs at {_place(one, two)}"


def meaning(body: bytes, media_type: str) -> Any:
    """Give what a body says: the value of JSON, the pairs of a form, or bytes."""
    kind = media_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data" and (found := _BOUNDARY.search(media_type)) is not None:
        return body.replace((found[1] or found[2]).encode("utf-8", "replace"), b"boundary")
    try:
        if kind == "application/json" or kind.endswith("+json"):
            return json.loads(body)
        if kind == "application/x-www-form-urlencoded":
            return parse_qsl(body.decode(), keep_blank_values=True)
    except (ValueError, RecursionError):
        pass
    return body


def _place(one: Any, two: Any) -> str:
    """Name the first place where two values differ, and what stands there."""
    path = "$"
    while True:
        if isinstance(one, dict) and isinstance(two, dict):
            differing = [key for key in (*one, *two) if key not in one or key not in two or one[key] != two[key]]
            key = differing[0]
            if key not in one or key not in two:
                return f"{path}.{key}, which is {'missing' if key in two else 'not expected'}"
            path, one, two = f"{path}.{key}", one[key], two[key]
        elif isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
            at = next(number for number, pair in enumerate(zip(one, two, strict=True)) if pair[0] != pair[1])
            path, one, two = f"{path}[{at}]", one[at], two[at]
        else:
            return f"{path}: {_brief(one)}, not {_brief(two)}"


def _brief(value: Any) -> str:
    return quoted(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str), 60)


def _shown(body: bytes) -> str:
    return quoted(body, 60) if body else "empty"
