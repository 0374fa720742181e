"""`Compared`: what of a request is compared with recorded ones, and how a difference is told.

Decides: that the query may be in any order, and that a scheme's own port says nothing.
Knows: requests as HAR describes them.
Does not know: which of two requests was recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from keeppool import har
from keeppool.errors import quoted_url
from keeppool.hosts import DEFAULT_PORTS
from keeppool.testing.bodies import difference


class Compared(NamedTuple):
    """What of a request is compared, secrets left out.

    Attributes:
        method: As sent.
        url: Without fragment.
        scheme: Lower case.
        host: With the port, unless that is the scheme's own.
        path: As sent; a slash where there is none.
        query: As sent.
        params: The same, cut and put in order.
        body: Whole.
        media_type: Of the body; empty if the request does not say.
    """

    method: str
    url: str
    scheme: str
    host: str
    path: str
    query: str
    params: list[tuple[str, str]]
    body: bytes
    media_type: str

    @classmethod
    def of(cls, request: dict[str, Any]) -> Compared:
        """Read what HAR says of a request.

        Raises:
            ValueError: Its URL is none.
        """
        fields = har.pairs_of(request.get("headers") or ())
        said = request.get("postData") or {}
        media_type = next((value for name, value in fields if name.lower() == "content-type"), said.get("mimeType", ""))
        url = request["url"].partition("#")[0]
        scheme, place, path, query, _ = urlsplit(url)
        host = place.lower().removesuffix(f":{DEFAULT_PORTS.get(scheme, '')}")
        params = sorted(parse_qsl(query, keep_blank_values=True))
        body = har.body_of(request.get("postData"), fields)
        return cls(request["method"], url, scheme, host, path or "/", query, params, body, media_type)

    def __str__(self) -> str:
        return f"{self.method} {quoted_url(self.url)[1:-1]}"


def _differs(name: str, asked: str, other: str) -> str | None:
    return None if asked == other else f"the {name} is {asked or 'empty'}, not {other or 'empty'}"


def _query_differs(asked: Compared, other: Compared) -> str | None:
    return None if asked.params == other.params else _differs("query", asked.query, other.query)


#: What can be compared, by name: each tells the difference of two requests, or `None`.
COMPARED: Final[Mapping[str, Callable[[Compared, Compared], str | None]]] = {
    "method": lambda asked, other: _differs("method", asked.method, other.method),
    "scheme": lambda asked, other: _differs("scheme", asked.scheme, other.scheme),
    "host": lambda asked, other: _differs("host", asked.host, other.host),
    "path": lambda asked, other: _differs("path", asked.path, other.path),
    "query": _query_differs,
    "body": lambda asked, other: difference(asked.body, asked.media_type, other.body, other.media_type),
}
#: The parts of a URL.
URL: Final = ("scheme", "host", "path", "query")
