"""The objects of HAR 1.2, built from what was sent and received.

Decides: what of an exchange stands where.
Does not know: files; how bodies become text.

Source: RFC 6265 §5.2 (Set-Cookie).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import parse_qsl

from keeppool._version import __version__
from keeppool.har.bodies import Fields, Object, values_of, written

#: What a number that does not apply, or is not known, is written as.
UNKNOWN: Final = -1

#: Milliseconds of an exchange's phases; `ssl` is a part of `connect`.
PHASES: Final = ("blocked", "dns", "connect", "ssl", "send", "wait", "receive")
#: Those that every exchange has.
ALWAYS: Final = frozenset(("send", "wait", "receive"))


def document(entries: Iterable[Object]) -> Object:
    """Put entries together to a whole document."""
    creator = {"name": "keeppool", "version": __version__}
    return {"log": {"version": "1.2", "creator": creator, "entries": list(entries)}}


def entry(
    request: Object, response: Object, *, started: float, timings: Mapping[str, float] | None = None, **more: Any
) -> Object:
    """Put an entry together.

    Args:
        request: As `request` makes it.
        response: As `response` makes it.
        started: When the request was begun, in seconds since 1970.
        timings: Milliseconds of the phases, by the format's names; those that are not named do not apply.
        **more: Further members of the entry; `None` leaves one out.
    """
    phases = dict.fromkeys(("blocked", "dns", "connect"), UNKNOWN) | {
        "send": 0,
        "wait": 0,
        "receive": 0,
        "ssl": UNKNOWN,
    }
    phases.update(timings or {})  # type: ignore[arg-type]  # numbers of either kind
    return {
        "startedDateTime": datetime.fromtimestamp(started, UTC).isoformat(timespec="milliseconds"),
        "time": total_of(phases),
        "request": request,
        "response": response,
        "cache": {},
        "timings": phases,
        **{name: value for name, value in more.items() if value is not None},
    }


def total_of(timings: Mapping[str, float]) -> float:
    """Add up an entry's phases: those that apply, and `ssl` not, which `connect` holds."""
    return sum(value for name, value in timings.items() if name != "ssl" and name in PHASES and value > 0)


def request(
    method: str,
    url: str,
    headers: Fields = (),
    body: bytes | None = None,
    *,
    version: str = "HTTP/1.1",
    headers_size: int = UNKNOWN,
    body_size: int | None = None,
) -> Object:
    """Describe a request.

    Args:
        method: As sent.
        url: Absolute; its fragment is left out.
        headers: As sent.
        body: Whole, without chunked framing; `None` if there was none, or it is not to be kept.
        version: Of the protocol.
        headers_size: Bytes of the head.
        body_size: Bytes of the body as sent; those of `body` if not given.
    """
    sent = url.partition("#")[0]
    if body_size is None:
        body_size = 0 if body is None else len(body)
    made: Object = {
        "method": method,
        "url": sent,
        "httpVersion": version,
        "cookies": [
            {"name": name, "value": value} for field in values_of(headers, "cookie") for name, value in _pairs_of(field)
        ],
        "headers": _listed(headers),
        "queryString": _listed(parse_qsl(sent.partition("?")[2], keep_blank_values=True)),
        "headersSize": headers_size,
        "bodySize": body_size,
    }
    if body is not None:
        made["postData"] = posted(body, media_type_of(headers))
    return made


def posted(body: bytes, media_type: str) -> Object:
    """Describe a request's body. The format knows text alone; `_encoding` says how other bytes were made text."""
    text, encoding = written(body, media_type)
    return {"mimeType": media_type, "text": text} | ({"_encoding": encoding} if encoding else {})


def response(
    status: int,
    reason: str = "",
    headers: Fields = (),
    body: bytes | None = None,
    *,
    version: str = "HTTP/1.1",
    headers_size: int = UNKNOWN,
    body_size: int = UNKNOWN,
    size: int | None = None,
) -> Object:
    """Describe a response.

    Args:
        status: Its status; 0 for a request that has got none.
        reason: Its reason phrase.
        headers: As received.
        body: Whole, without framing and content codings; `None` if it is not to be kept.
        version: Of the protocol.
        headers_size: Bytes of the head.
        body_size: Bytes of the body as received.
        size: Bytes of the body without content codings; those of `body` if not given.
    """
    return {
        "status": status,
        "statusText": reason,
        "httpVersion": version,
        "cookies": [_cookie(field) for field in values_of(headers, "set-cookie")],
        "headers": _listed(headers),
        "content": content(body, media_type_of(headers), size=size, received=body_size),
        "redirectURL": next(iter(values_of(headers, "location")), ""),
        "headersSize": headers_size,
        "bodySize": body_size,
    }


def content(body: bytes | None, media_type: str, *, size: int | None = None, received: int = UNKNOWN) -> Object:
    """Describe a response's body; see `response`.

    Args:
        body: As for `response`.
        media_type: Its Content-Type.
        size: As for `response`.
        received: Bytes of it as received.
    """
    if size is None:
        size = UNKNOWN if body is None else len(body)
    made: Object = {"size": size, "mimeType": media_type}
    if received >= 0 and size >= 0:
        made["compression"] = size - received
    if body is not None:
        made["text"], encoding = written(body, media_type)
        if encoding:
            made["encoding"] = encoding
    return made


def media_type_of(headers: Fields) -> str:
    """Give the value of Content-Type, or what stands for a type that nobody has named."""
    return next(iter(values_of(headers, "content-type")), "") or "application/octet-stream"


def _listed(pairs: Fields) -> list[Object]:
    return [{"name": name, "value": value} for name, value in pairs]


def _pairs_of(field: str) -> list[tuple[str, str]]:
    """Cut a Cookie field into names and values."""
    parts = [part.strip().partition("=") for part in field.split(";") if part.strip()]
    return [(name, value) if mark else ("", name) for name, mark, value in parts]


def _cookie(field: str) -> Object:
    """Read a Set-Cookie field."""
    (name, value), *attributes = _pairs_of(field) or [("", "")]
    made: Object = {"name": name, "value": value}
    for key, said in attributes:
        # An attribute without a value comes as a value without a name.
        match (key or said).lower():
            case "path" | "domain" as known:
                made[known] = said
            case "httponly":
                made["httpOnly"] = True
            case "secure":
                made["secure"] = True
            case "expires":
                with suppress(ValueError):
                    made["expires"] = parsedate_to_datetime(said).astimezone(UTC).isoformat(timespec="milliseconds")
    return made
