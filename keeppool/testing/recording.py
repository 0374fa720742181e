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
from typing import Final

from keeppool import har
from keeppool.checks import bad
from keeppool.errors import HarError, quoted
from keeppool.har.secrets import Secrets
from keeppool.pools.recalled import Recalled
from keeppool.testing.compared import COMPARED, URL, Compared
from keeppool.testing.messages import Request
from keeppool.testing.routes import compress
from keeppool.wire.decode import decoded_whole
from keeppool.wire.head import ResponseHead

Entry = har.Object
#: Changes what is recorded of a request or a response, as HAR describes it; `None` leaves the exchange out.
Filter = Callable[[Entry], Entry | None]

#: The codings that the standard library writes; a body in another one is played without it.
_WRITTEN: Final = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}
#: Of a response that is the last to its request.
_FIRST_STATUS: Final = 200
_EXPIRES: Final = re.compile(r"(;\s*expires\s*=\s*)([^;]*)", re.IGNORECASE)


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

    @property
    def why_not(self) -> str | None:
        """Why it cannot be played, if it cannot."""
        response = self.entry["response"]
        if response["status"] < _FIRST_STATUS:
            return "it has got no response"  # So browsers record what was broken off, and changes of the protocol.
        content = response.get("content") or {}
        is_left_out = content.get("size", 0) > 0 and "text" not in content and self.request.method != "HEAD"
        return "the body of its response was not recorded" if is_left_out else None


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
        self._conditions = [one for name in match for one in (URL if name == "url" else (name,))]
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
        if is_same and (why_not := recorded.why_not):
            yield why_not
        elif is_same and recorded.played and not self._repeats:
            yield "it was played already"

    def find(self, entry: Entry) -> Recorded | None:
        """Find the exchange that a request, as `described`, is; the first of several, and of those not yet played."""
        asked = Compared.of(entry)
        # What was played is not looked at again: requests come in their order, so the first one left is often the one.
        open_ones = [one for one in self.recorded if self._repeats or not one.played]
        fitting = (one for one in open_ones if next(self.differences(entry, asked, one), None) is None)
        found = min(fitting, key=lambda one: one.played, default=None) if self._repeats else next(fitting, None)
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


def check(entry: Entry, number: int, file: str) -> None:
    """Make sure that an exchange can be played, before anything of its file is.

    Args:
        entry: It.
        number: Its place in the file, from 1.
        file: For the error.

    Raises:
        HarError: Its URL is none, or a field of its response; `place` says of which exchange.
    """
    try:
        place = f"log.entries[{number - 1}].request.url"
        Compared.of(entry["request"])
        place = f"log.entries[{number - 1}].response.headers"
        Recalled(_FIRST_STATUS, _fields(entry["response"])).on_the_wire(b"GET")
    except ValueError as error:
        raise HarError(f"{quoted(file)}: {place} cannot be sent: {error}", file=file, place=place) from error


def recalled(entry: Entry) -> Recalled:
    """Make the response of an exchange, as it was sent."""
    response = entry["response"]
    fields = _fields(response)
    content = response.get("content")
    body = har.body_of(content, fields)
    if not (content or {}).get("_coded"):
        body, fields = _coded(body, fields)
    age = _age(entry)
    fields = [(name, _renewed(value, age) if name.lower() == "set-cookie" else value) for name, value in fields]
    version = 10 if response.get("httpVersion") == "HTTP/1.0" else 11
    return Recalled(response["status"], fields, body, response.get("statusText") or "", version)


def _fields(response: Entry) -> list[tuple[str, str]]:
    """List a response's fields; what HTTP/2 sends as such besides is none."""
    return [pair for pair in har.pairs_of(response.get("headers") or ()) if not pair[0].startswith(":")]


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
