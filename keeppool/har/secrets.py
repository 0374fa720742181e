"""`Secrets`: what is left out of recordings.

Decides: which values are secret, by the names they stand under, and what stands in their place.
Knows: where values stand in fields, URLs, forms, multipart bodies and JSON.
Does not know: files, and whether a recording is made or played: both go by what is left.

Source: RFC 9110 §11.6.2, §11.7.2 (credentials); RFC 6265 §4 (cookies); RFC 6749 §2.3.1, §4.3.2, §5.1 (names of secrets
in forms and JSON); RFC 7578 §4.2 (multipart).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final
from urllib.parse import unquote_plus

#: What stands in the place of a value: an octet sequence that is valid wherever one is taken out.
HIDDEN: Final = "***"

#: Whose values are secret by default: fields of requests and responses, and names in forms, queries and JSON.
_BY_DEFAULT: Final = frozenset(
    (
        *("authorization", "proxy-authorization", "cookie", "set-cookie"),
        *("x-api-key", "api-key", "x-auth-token", "x-amz-security-token"),
        *("password", "client_secret", "access_token", "refresh_token"),
    )
)
#: Fields whose value is a URL.
_URLS: Final = frozenset(("location", "content-location", "referer"))
# What comes before the host in a URL, up to the last @ before the path.
_USER: Final = re.compile(r"\A([A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#]*@")
# Queries, and fragments that are written as one.
_QUERY: Final = re.compile(r"[?#][^#]*")


class Secrets:
    """Takes secret values out of what is recorded.

    Args:
        hide: Names, in any case, whose values are secret too: of fields, query parameters, members of forms and of
            JSON, however deep.
        show: Names of those that are secret by default whose values are to be kept.
        like: Names in which this is found, in lower case, are secret too, but for those of `show`.
        all_of_query: The values of all query parameters are secret, whatever they are called.
    """

    def __init__(
        self,
        hide: Iterable[str] = (),
        show: Iterable[str] = (),
        *,
        like: re.Pattern[str] | None = None,
        all_of_query: bool = False,
    ) -> None:
        self._shown = {name.lower() for name in show}
        self._names = (_BY_DEFAULT | {name.lower() for name in hide}) - self._shown
        self._like = like
        self._all_of_query = all_of_query

    def _hides(self, name: str) -> bool:
        """Tell whether the value of this name is secret."""
        name = name.lower()
        if name in self._names:
            return True
        return self._like is not None and self._like.search(name) is not None and name not in self._shown

    def in_fields(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Give header fields without secrets; of a cookie, name and attributes stay."""
        return [(name, self._in_field(name.lower(), value)) for name, value in pairs]

    def _in_field(self, name: str, value: str) -> str:
        if not self._hides(name):
            return self.in_url(value) if name in _URLS else value
        if name == "cookie":
            return "; ".join(_without_value(part.strip()) for part in value.split(";"))
        if name == "set-cookie":
            cookie, mark, attributes = value.partition(";")
            return _without_value(cookie) + mark + attributes
        return HIDDEN

    def in_url(self, url: str) -> str:
        """Give a URL without user and password, and without the values of secret parameters."""
        bare = _USER.sub(lambda match: f"{match[1] or ''}//", url)
        return _QUERY.sub(self._in_query, bare)

    def _in_query(self, match: re.Match[str]) -> str:
        mark, text = match[0][0], match[0][1:]
        if not self._all_of_query or mark == "#":
            return mark + self._in_form(text)
        parts = [part.partition("=") for part in text.split("&")]
        return mark + "&".join(f"{name}={HIDDEN}" if equals else name and HIDDEN for name, equals, _ in parts)

    def in_body(self, body: bytes, media_type: str) -> bytes:
        """Give a body without secrets; the same bytes if it has none, or is of a kind that is not looked into."""
        kind = media_type.partition(";")[0].strip().lower()
        if kind == "application/x-www-form-urlencoded":
            return self._in_form(body.decode("latin-1")).encode("latin-1")
        if kind == "application/json" or kind.endswith("+json"):
            return self._in_json(body)
        if kind == "multipart/form-data":
            return self._in_parts(body)
        return body

    def _in_form(self, text: str) -> str:
        return "&".join(
            f"{part.partition('=')[0]}={HIDDEN}" if "=" in part and self._is_secret(part.partition("=")[0]) else part
            for part in text.split("&")
        )

    def _is_secret(self, name: str) -> bool:
        return self._hides(unquote_plus(name))

    def _in_json(self, body: bytes) -> bytes:
        try:
            value = json.loads(body)
            found = _replaced(value, self._hides)
        except (ValueError, RecursionError):
            return body
        return body if found == value else json.dumps(found, ensure_ascii=False).encode("utf-8", "backslashreplace")

    def _in_parts(self, body: bytes) -> bytes:
        def part(match: re.Match[bytes]) -> bytes:
            return match[1] + HIDDEN.encode() if self._is_secret(match[2].decode("utf-8", "replace")) else match[0]

        return _PART.sub(part, body)


# The head of a part of a form, the name in it, and its content.
_PART: Final = re.compile(
    rb"""(\r\ncontent-disposition:[^\r\n]*?;[ \t]*name="([^"\r\n]*)"[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n).*?(?=\r\n--)""",
    re.IGNORECASE | re.DOTALL,
)


def _without_value(cookie: str) -> str:
    name, mark, _ = cookie.partition("=")
    return f"{name}={HIDDEN}" if mark else HIDDEN


def _replaced(value: Any, is_secret: Callable[[str], bool]) -> Any:
    """Give a value of JSON in which that of each secret name is hidden."""
    if isinstance(value, dict):
        return {
            name: HIDDEN if is_secret(name) and not isinstance(one, (dict, list)) else _replaced(one, is_secret)
            for name, one in value.items()
        }
    return [_replaced(one, is_secret) for one in value] if isinstance(value, list) else value
