"""`Pattern`: which requests a canned response is for, and what keeps another from being one of them.

Decides: what each condition means, and how the difference is told.
Knows: requests as they are handed to a connection.
Does not know: what is answered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit

from keeppool.checks import bad
from keeppool.errors import InvalidURL, quoted, quoted_url
from keeppool.testing.bodies import difference, meaning
from keeppool.testing.messages import Request
from keeppool.urls.address import parse
from keeppool.wire.fields import is_token

#: Text, with `*` for any run of characters; or an expression for the whole.
UrlPattern: TypeAlias = "str | re.Pattern[str] | None"
#: A value, an expression for the whole of one, or `None` for a field that is not there.
FieldPatterns: TypeAlias = Mapping[str, "str | re.Pattern[str] | None"]
#: The parameters of a query or a form.
Params: TypeAlias = "Mapping[str, Any] | Iterable[tuple[str, Any]] | None"


class _Unset:
    """Stands for a condition that nobody has made, where `None` is a value."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = _Unset()


class Pattern:
    """Conditions on a request; those that are not given hold for every one. See `Replay.on` for them.

    Raises:
        ConfigError: A condition that can hold for no request.
    """

    def __init__(
        self,
        method: str | None,
        url: UrlPattern,
        *,
        params: Params = None,
        headers: FieldPatterns | None = None,
        content: bytes | str | re.Pattern[str] | None = None,
        data: Params = None,
        json: object = UNSET,
        where: Callable[[Request], bool] | None = None,
    ) -> None:
        if method is not None and not isinstance(method, str):
            raise bad("method", method, "must be text")
        if method is not None and not is_token(method.encode("utf-8", "replace")):
            raise bad("method", method, "must be a method such as GET, or None; the URL comes second")
        if sum((content is not None, data is not None, json is not UNSET)) > 1:
            raise bad("content", content, "of content, data and json only one can be told")
        self._method = None if method is None else method.upper()
        self._shown = _shown_url(url)
        self._url, query = url_pattern(url)
        if params is not None and query is not None:
            raise bad("params", params, "the URL has a query of its own")
        self._query = query if params is None else sorted(pairs_of(params))
        self._headers = {name.lower(): wanted for name, wanted in (headers or {}).items()}
        self._content = content.encode() if isinstance(content, str) else content
        self._data = None if data is None else pairs_of(data)
        self._json = json
        self._where = where

    def __str__(self) -> str:
        return f"{self._method or 'any method'} {self._shown}"

    def differences(self, request: Request) -> list[str]:
        """List what keeps a request from being one of these; nothing if it is."""
        found = []
        if self._method not in (None, request.method):
            found.append(f"the method is {request.method}, not {self._method}")
        found += self._differences_of_url(request.target)
        found += [text for name, wanted in self._headers.items() if (text := _field(request, name, wanted))]
        if text := self._difference_of_body(request):
            found.append(text)
        # Asked last: a program's own condition may rely on the others.
        if not found and self._where is not None and not self._where(request):
            found.append(f"{getattr(self._where, '__name__', 'where')} says no")
        return found

    def _differences_of_url(self, target: str) -> list[str]:
        url = target.partition("#")[0]
        place, _, query = url.partition("?")
        found = []
        if self._url is not None and not self._url(url, place):
            found.append("the URL is another")
        if self._query is not None and (said := sorted(parse_qsl(query, keep_blank_values=True))) != self._query:
            found.append(f"the query is {urlencode(said) or 'empty'}, not {urlencode(self._query) or 'empty'}")
        return found

    def _difference_of_body(self, request: Request) -> str | None:
        body, said = request.body, request.headers.get("content-type", "")
        if isinstance(self._content, re.Pattern):
            matches = self._content.fullmatch(body.decode("utf-8", "replace"))
            return None if matches else f"the body does not match {self._content.pattern!r}"
        if self._content is not None:
            return difference(body, said, self._content, said)
        if self._data is not None:
            form = "application/x-www-form-urlencoded"
            if meaning(body, said) == self._data:
                return None
            return difference(body, form, urlencode(self._data).encode(), form) or f"the body is {said}, not a form"
        if not isinstance(self._json, _Unset):
            return difference(body, "application/json", json.dumps(self._json).encode(), "application/json")
        return None


def pairs_of(params: Params) -> list[tuple[str, str]]:
    """Write parameters as a query has them: a value that is a list is several; `None` is none.

    Raises:
        ConfigError: They are no parameters.
    """
    items = params.items() if isinstance(params, Mapping) else params or ()
    try:
        pairs = [
            (str(name), one)
            for name, value in items
            for one in (value if isinstance(value, (list, tuple)) else (value,))
            if one is not None
        ]
    except (TypeError, ValueError):
        raise bad("params", params, "must be a mapping or (name, value) pairs") from None
    return [(name, one.decode() if isinstance(one, bytes) else str(one)) for name, one in pairs]


def url_pattern(url: UrlPattern) -> tuple[Callable[[str, str], bool] | None, list[tuple[str, str]] | None]:
    """Make a condition on a URL.

    Returns:
        What takes the URL, and the URL without its query, and tells whether it is one of them, or `None` for any; and
        the parameters its query must have, in order of their names, or `None` for any.

    Raises:
        ConfigError: It is none.
    """
    if url is None:
        return None, None
    if isinstance(url, re.Pattern):
        expression = url
        return lambda whole, place: expression.fullmatch(whole) is not None, None
    if not isinstance(url, str):
        raise bad("url", url, "must be text or a compiled regular expression")
    place, mark, query = url.partition("#")[0].partition("?")
    wanted = sorted(parse_qsl(query, keep_blank_values=True)) if mark else None
    text = re.compile(".*?".join(map(re.escape, _normal(place).split("*"))), re.DOTALL)
    if place.startswith("/"):
        return lambda whole, place: text.fullmatch(urlsplit(place).path or "/") is not None, wanted
    return lambda whole, place: text.fullmatch(place) is not None, wanted


def passing(pattern: UrlPattern) -> Callable[[str, str], bool]:
    """Make a condition on URLs that go to the network; what it takes is as of `url_pattern`.

    Raises:
        ConfigError: It would hold for all, or says something of queries.
    """
    condition, query = url_pattern(pattern)
    if condition is None or query is not None:
        raise bad("passes", pattern, "must be patterns of URLs, without a query")
    return condition


def _normal(place: str) -> str:
    """Write a URL as it is sent; one whose host or port is left open stays as it is."""
    origin, path, _ = place.partition("://")[2].partition("/")
    if place.startswith(("/", "*")) or "*" in origin:
        # A URL has a path; at the end of a host, the star stands for that as well.
        return place if path or origin.endswith("*") or place.startswith(("/", "*")) else f"{place}/"
    try:
        address = parse(place)
    except InvalidURL as error:
        raise bad("url", quoted_url(place), f"must be a URL, a path or a pattern of one: {error.reason}") from None
    return f"{address.scheme}://{address.authority}{address.target}"


def _shown_url(url: UrlPattern) -> str:
    if url is None:
        return "any URL"
    return f"URLs like {url.pattern}" if isinstance(url, re.Pattern) else quoted_url(str(url))[1:-1]


def _field(request: Request, name: str, wanted: str | re.Pattern[str] | None) -> str | None:
    said = request.headers.get(name)
    if wanted is None:
        return None if said is None else f"the field {name} is there"
    if said is None:
        return f"the field {name} is missing"
    matches = wanted.fullmatch(said) is not None if isinstance(wanted, re.Pattern) else said == wanted
    # Not its value: it may be a password.
    expected = wanted.pattern if isinstance(wanted, re.Pattern) else wanted
    return None if matches else f"the field {name} is another than {quoted(expected, 60)}"
