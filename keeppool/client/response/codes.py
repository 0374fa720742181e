"""`codes`: status codes by the names people give them, `codes.ok` and `codes["not_found"]`.

Decides: which names there are: those of `http.HTTPStatus`, and the ones requests' callers know.
Knows: that a few of requests' names mean another code than the standard's; requests' meaning wins, callers rely on it.

Source: RFC 9110 §15 and the IANA registry, by way of `http.HTTPStatus`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeVar, overload

_Default = TypeVar("_Default")

#: What `http.HTTPStatus` does not call so, or calls so only in some versions of Python. Three names differ from the
#: registry: `early-hints` (103 there), `request_uri_too_long` (414 there) and `unordered_collection` (now Too Early).
_NICKNAMES: Final[Mapping[int, str]] = {
    102: "early-hints",
    103: "checkpoint",
    122: "request_uri_too_long",
    200: "okay all_ok all_okay all_good \\o/ ✓",
    203: "non_authoritative_info",
    205: "reset",
    206: "partial",
    207: "multiple_status multi_stati multiple_stati",
    301: "moved \\o-",
    303: "other",
    306: "switch_proxy",
    307: "temporary_moved temporary",
    308: "resume_incomplete resume",
    400: "bad",
    402: "payment",
    404: "-o-",
    405: "not_allowed",
    407: "proxy_auth proxy_authentication",
    408: "timeout",
    413: "content_too_large",
    414: "request_uri_too_large uri_too_long",
    415: "unsupported_media media_type",
    416: "requested_range range_not_satisfiable",
    418: "im_a_teapot teapot i_am_a_teapot",
    421: "misdirected_request",
    422: "unprocessable unprocessable_content",
    424: "dependency",
    425: "unordered_collection unordered too_early",
    426: "upgrade",
    428: "precondition",
    429: "too_many",
    431: "header_fields_too_large fields_too_large",
    444: "no_response none",
    449: "retry_with retry",
    450: "blocked_by_windows_parental_controls parental_controls",
    451: "legal_reasons",
    499: "client_closed_request",
    500: "server_error /o\\ ✗",
    503: "unavailable",
    505: "http_version",
    509: "bandwidth_limit_exceeded bandwidth",
    511: "network_auth network_authentication",
}


class Codes:
    """Status codes by name, as attributes and as items, in lower and upper case.

    An unknown name is an `AttributeError` as an attribute and `None` as an item, as in requests. Iteration gives all
    names.
    """

    def __init__(self, names: Mapping[str, int]) -> None:
        self.__dict__.update(names)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> int: ...

    def __getitem__(self, name: str) -> int | None:
        return self.__dict__.get(name)

    def __contains__(self, name: object) -> bool:
        return name in self.__dict__

    def __iter__(self) -> Iterator[str]:
        return iter(self.__dict__)

    def __repr__(self) -> str:
        return "<status codes by name>"

    @overload
    def get(self, name: str) -> int | None: ...  # pragma: no cover
    @overload
    def get(self, name: str, default: _Default) -> int | _Default: ...  # pragma: no cover
    def get(self, name: str, default: _Default | None = None) -> int | _Default | None:
        """Return the code called `name`, or `default`."""
        return self.__dict__.get(name, default)


def _all_names() -> dict[str, int]:
    # `__members__` has the aliases too, which iterating leaves out.
    names = {name.lower(): int(status) for name, status in HTTPStatus.__members__.items()}
    names |= {name: status for status, nicknames in _NICKNAMES.items() for name in nicknames.split()}
    # The two faces made of slashes have no capitals.
    return names | {name.upper(): status for name, status in names.items() if not name.startswith(("\\", "/"))}


codes: Final = Codes(_all_names())
