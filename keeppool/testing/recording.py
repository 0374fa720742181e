"""`Recording`: the exchanges of a HAR file, played and added to.

Decides: which recorded exchange a request is, what of both is compared, and how one that was recorded is sent again.
Knows: HAR entries and secrets.
Does not know: pools, canned responses, when a file is written.

Source: RFC 9110 §8.4 (content codings); RFC 6265 §5.2.1 (Expires).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from keeppool import har
from keeppool.config import bad
from keeppool.errors import HarError, InvalidHeader, quoted, quoted_url
from keeppool.har.secrets import Secrets
from keeppool.hosts import DEFAULT_PORTS
from keeppool.pools.recalled import Recalled
from keeppool.testing.bodies import difference
from keeppool.testing.messages import Request
from keeppool.testing.routes import compress
from keeppool.wire.decode import decoded_whole
from keeppool.wire.head import ResponseHead

Entry = dict[str, Any]
#: Changes what is recorded of a request or a response, as HAR describes it; `None` leaves the exchange out.
Filter = Callable[[Entry], Entry | None]

#: The codings that the standard library writes; a body in another one is played without it.
_WRITTEN: Final = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}
_EXPIRES: Final = re.compile(r"(;\s*expires\s*=\s*)([^;]*)", re.IGNORECASE)


class Compared(NamedTuple):
    """What of a request is compared, secrets left out.

    Attributes:
        method: As sent.
        url: Without fragment.
        body: Whole.
        media_type: Of the body; empty if the request does not say.
    """

    method: str
    url: str
    body: bytes
    media_type: str

    @classmethod
    def of(cls, request: Entry) -> Compared:
        """Read what HAR says of a request."""
        fields = har.pairs_of(request.get("headers") or ())
        said = request.get("postData") or {}
        media_type = next((value for name, value in fields if name.lower() == "content-type"), said.get("mimeType", ""))
        body = har.body_of(request.get("postData"), fields)
        return cls(request["method"], request["url"].partition("#")[0], body, media_type)

    def __str__(self) -> str:
        return f"{self.method} {quoted_url(self.url)[1:-1]}"


def _differs(name: str, asked: object, other: object) -> str | None:
    return None if asked == other else f"the {name} is {asked or 'empty'}, not {other or 'empty'}"


def _host(request: Compared) -> str:
    scheme, host, *_ = urlsplit(request.url)
    return host.lower().removesuffix(f":{DEFAULT_PORTS.get(scheme, '')}")


def _query(url: str) -> list[tuple[str, str]]:
    return sorted(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def _query_differs(asked: Compared, other: Compared) -> str | None:
    if _query(asked.url) == _query(other.url):
        return None
    return _differs("query", urlsplit(asked.url).query, urlsplit(other.url).query)


def _part(name: str, find: Callable[[Compared], object]) -> Callable[[Compared, Compared], str | None]:
    return lambda asked, other: _differs(name, find(asked), find(other))


#: What can be compared, by name: each tells the difference of two requests, or `None`.
COMPARED: Final[Mapping[str, Callable[[Compared, Compared], str | None]]] = {
    "method": _part("method", lambda request: request.method),
    "scheme": _part("scheme", lambda request: urlsplit(request.url).scheme),
    "host": _part("host", _host),
    "path": _part("path", lambda request: urlsplit(request.url).path or "/"),
    "query": _query_differs,
    "body": lambda asked, other: difference(asked.body, asked.media_type, other.body, other.media_type),
}
_URL: Final = ("scheme", "host", "path", "query")


class Recorded:
    """One exchange of a recording.

    Attributes:
        entry: As HAR has it.
        number: Its place in the file, from 1.
        request: What is compared of its request.
        played: How often it was played.
    """

    def __init__(self, entry: Entry, number: int) -> None:
        self.entry = entry
        self.number = number
        self.request = Compared.of(entry["request"])
        self.played = 0

    def __str__(self) -> str:
        return f"recorded {self.number}: {self.request}"

    def check(self, file: str) -> None:
        """Make sure that the exchange can be played, before anything of the file is.

        Args:
            file: For the error.

        Raises:
            HarError: A field of its response is none; `place` says of which exchange.
        """
        if not self.is_playable:
            return
        try:
            recalled(self.entry).on_the_wire(self.request.method.encode("latin-1", "replace"))
        except InvalidHeader as error:
            place = f"log.entries[{self.number - 1}].response.headers"
            raise HarError(f"{quoted(file)}: {place} cannot be sent: {error}", file=file, place=place) from error

    @property
    def is_playable(self) -> bool:
        """True if it has a response; browsers record requests that have got none, and changes of the protocol."""
        return bool(self.entry["response"]["status"] >= 200)


class Recording:
    """The exchanges of a file.

    Args:
        entries: Those it holds.
        match: Names of `COMPARED`, "url" for the four parts of one, or functions that are given HAR's description of
            two requests, the one that is asked and the recorded one, and tell whether they are the same.
        repeats: One exchange may be played again and again.
        secrets: What is left out.
        filter_request: See `Replay`.
        filter_response: See `Replay`.

    Raises:
        ConfigError: `match` names what cannot be compared.
    """

    def __init__(
        self,
        entries: Iterable[Entry],
        match: Iterable[str | Callable[[Entry, Entry], bool]],
        repeats: bool,
        secrets: Secrets,
        filter_request: Filter | None,
        filter_response: Filter | None,
    ) -> None:
        self.recorded = [Recorded(entry, number) for number, entry in enumerate(entries, 1)]
        self.added: list[Entry] = []
        self._conditions = [one for name in match for one in (_URL if name == "url" else (name,))]
        for condition in self._conditions:
            if not callable(condition) and condition not in COMPARED:
                raise bad("match", condition, f"must be a function, or one of url, {', '.join(COMPARED)}", kind="path")
        self._repeats = repeats
        self._secrets = secrets
        self._filter_request = filter_request
        self._filter_response = filter_response

    def described(self, request: Request) -> Entry | None:
        """Describe a request as it is recorded, without secrets; `None` if it is not to be."""
        fields = self._secrets.in_fields(request.pairs)
        url = self._secrets.in_url(request.target)
        has_body = bool(request.body) or "content-length" in request.headers
        body = self._secrets.in_body(request.body, request.headers.get("content-type", "")) if has_body else None
        entry = har.request(request.method, url, fields, body, body_size=len(request.body))
        return entry if self._filter_request is None else self._filter_request(entry)

    def differences(self, entry: Entry, asked: Compared, recorded: Recorded) -> Iterator[str]:
        """Go through what keeps a request from being a recorded one.

        Args:
            entry: The request as `described`.
            asked: What is compared of it.
            recorded: The other.
        """
        is_same = True
        for condition in self._conditions:
            if not callable(condition):
                text = COMPARED[condition](asked, recorded.request)
            elif condition(entry, recorded.entry["request"]):
                continue
            else:
                text = f"{getattr(condition, '__name__', 'a condition')} says no"
            if text is not None:
                is_same = False
                yield text
        if is_same and not recorded.is_playable:
            yield "it has got no response"
        elif is_same and recorded.played and not self._repeats:
            yield "it was played already"

    def find(self, entry: Entry) -> Recorded | None:
        """Find the exchange that a request, as `described`, is; the first of several, and of those not yet played."""
        asked = Compared.of(entry)
        fitting = [one for one in self.recorded if next(self.differences(entry, asked, one), None) is None]
        found = min(fitting, key=lambda one: one.played, default=None)
        if found is not None:
            found.played += 1
        return found

    def add(
        self, described: Entry, head: ResponseHead, coded: bytes, *, started: float, timings: Mapping[str, float]
    ) -> None:
        """Record an exchange.

        Args:
            described: Its request.
            head: Of its response.
            coded: The body of that, as it was sent, without framing.
            started: When, in seconds since 1970.
            timings: Milliseconds, by HAR's names.
        """
        pairs = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in zip(head.names, head.values, strict=True)
        ]
        fields = self._secrets.in_fields(pairs)
        body = decoded_whole(coded, head.get(b"content-encoding") or b"")
        clear = coded if body is None else self._secrets.in_body(body, har.media_type_of(pairs))
        version = "HTTP/1.1" if head.version == 11 else "HTTP/1.0"
        response = har.response(
            *(head.status, head.reason, fields, clear), version=version, headers_size=head.size, body_size=len(coded)
        )
        if body is None:
            response["content"]["_coded"] = True
        kept = response if self._filter_response is None else self._filter_response(response)
        if kept is not None:
            self.added.append(har.entry(described, kept, started=started, timings=timings))

    @property
    def entries(self) -> list[Entry]:
        """All exchanges, those that were there and those that were added."""
        added = sorted(self.added, key=lambda entry: str(entry["startedDateTime"]))
        return [*(one.entry for one in self.recorded), *added]


def recalled(entry: Entry) -> Recalled:
    """Make the response of an exchange, as it was sent."""
    response = entry["response"]
    fields = [pair for pair in har.pairs_of(response.get("headers") or ()) if not pair[0].startswith(":")]
    content = response.get("content")
    body = har.body_of(content, fields)
    if not (content or {}).get("_coded"):
        body, fields = _coded(body, fields)
    age = _age(entry)
    fields = [(name, _renewed(value, age) if name.lower() == "set-cookie" else value) for name, value in fields]
    version = 10 if response.get("httpVersion") == "HTTP/1.0" else 11
    return Recalled(response["status"], fields, body, response.get("statusText") or "", version)


def _coded(body: bytes, fields: list[tuple[str, str]]) -> tuple[bytes, list[tuple[str, str]]]:
    """Put the content coding on again that the fields name, or take it out of them where nobody here can write it."""
    codings = [value.strip().lower() for name, value in fields if name.lower() == "content-encoding"]
    coding = _WRITTEN.get(codings[0]) if len(codings) == 1 else None
    if not codings or coding is None or not body:
        return body, [pair for pair in fields if pair[0].lower() != "content-encoding"]
    return compress(body, coding), fields


def _age(entry: Entry) -> timedelta:
    """Tell how long ago an exchange was recorded; no time at all if it does not say."""
    with suppress(ValueError):
        started = datetime.fromisoformat(entry.get("startedDateTime") or "")
        return datetime.now(UTC) - started.astimezone(UTC)
    return timedelta(0)


def _renewed(cookie: str, age: timedelta) -> str:
    """Move the time at which a cookie ends by the recording's age: a login that was valid then is so when played."""

    def moved(match: re.Match[str]) -> str:
        with suppress(ValueError, OverflowError):
            ends = parsedate_to_datetime(match[2].strip().replace("-", " ")).astimezone(UTC)
            if ends > datetime.now(UTC) - age:  # Not where a cookie was to be deleted.
                return match[1] + format_datetime(ends + age, usegmt=True)
        return match[0]

    return _EXPIRES.sub(moved, cookie)
