"""`BaseResponse`: what a response says, and its body once it is there. Nothing is decoded before somebody looks.

Decides: what is kept of a response, and what a pickle of it holds.
Knows: the pool's response (`raw`), the request it answers.
Does not know: how a body arrives; `Response` and `AsyncResponse` do. Redirects and cookies were dealt with before a
    caller sees this; which request would follow one, a session knows better.

The file is long, because all that a response of requests' says is said here, for threads and tasks alike.

Source: RFC 9110 §15 (status codes), §8.3 (Content-Type).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from keeppool.client.request.headers import ResponseHeaders
from keeppool.client.request.prepared import Parts, PreparedRequest, request_of
from keeppool.client.request.urls import text_of_field
from keeppool.client.response import redirect
from keeppool.client.response.text import apparent_encoding, decoded, stated_encoding
from keeppool.deferred import Deferred
from keeppool.errors import HTTPError, JSONDecodeError, StreamConsumedError, name_call, plain_url
from keeppool.forks import undivided
from keeppool.urls.address import is_same_origin
from keeppool.wire.head import ResponseHead
from keeppool.wire.json_text import parse_json

if TYPE_CHECKING:
    import datetime

    from keeppool.client.cookies import CookieJar
    from keeppool.client.response import links, shown
else:
    datetime = Deferred("datetime")
    links = Deferred("keeppool.client.response.links")
    shown = Deferred("keeppool.client.response.shown")

#: Most bytes of one piece where the caller names no size: what the pool reads at a time.
PIECE: Final = 65536

#: The head of a response that nobody has sent.
_BLANK: Final = ResponseHead((11, 0, ""), [], 0)

#: The encoding was neither asked for nor set.
_UNSET: Final = "?"


class Following(Protocol):
    """What knows more of the request that follows a redirect than the redirect does: a session."""

    def next_request(self, response: BaseResponse, location: str) -> PreparedRequest:
        """Make the request that follows a redirect; its body is at its start, if that can be had again."""


class BaseResponse:
    """A response to a request, but for the ways to read its body.

    True if it is `ok`.

    Thread safety: one thread or task at a time.
    """

    # What nobody has looked at or set yet. As attributes of the class these cost a response nothing: a session makes
    # one for each call, and most are asked for status and body alone.
    _cookies: CookieJar | None = None
    _elapsed: datetime.timedelta | None = None
    _encoding: str | None = _UNSET
    _headers: ResponseHeaders | None = None
    _history: list[Self] | None = None
    _reason: str | None = None
    _session: Following | None = None
    _spent = False
    _url: str | None = None

    def __init__(
        self,
        raw: Any = None,
        request: PreparedRequest | Parts | None = None,
        stream: bool = False,
        pool: object = None,
    ) -> None:
        self._raw: Any = raw
        self._request = request
        self._pool = pool
        self._head: ResponseHead = _BLANK if raw is None else raw.head
        self.status_code: int = self._head.status
        self._streams = stream or raw is None
        self._content: bytes | None = None

    if not TYPE_CHECKING:  # Or every name would pass for one of these.

        def __getattr__(self, name: str) -> object:
            if hasattr(type(self), name) or name.startswith("_"):
                return object.__getattribute__(self, name)  # Raises, in Python's own words or a property's.
            # Imported late, as it serves mistakes alone.
            from keeppool.client.misspelt import elsewhere

            text = f"{type(self).__name__!r} object has no attribute {name!r}{elsewhere(self, name)}"
            if name == "connection":
                text = f"{text}: responses of keeppool.requests sessions have it"
            raise AttributeError(text, name=name, obj=self)

    @property
    def raw(self) -> Any:
        """The pool's response, or what was set in its place; `None` after unpickling."""
        return self._raw

    @raw.setter
    def raw(self, raw: Any) -> None:
        self._raw = raw

    @property
    def request(self) -> PreparedRequest:
        """What was sent; a response filled by hand has `None` until somebody sets it."""
        if isinstance(self._request, tuple):
            self._request = request_of(self._request)
        return self._request  # type: ignore[return-value]

    @request.setter
    def request(self, request: PreparedRequest) -> None:
        self._request = request

    # What the head says

    @property
    def history(self) -> list[Self]:
        """The redirects and challenges that led here, oldest first."""
        if self._history is None:
            self._history = []
        return self._history

    @history.setter
    def history(self, history: list[Self]) -> None:
        self._history = history

    @property
    def headers(self) -> ResponseHeaders:
        """The header fields, found in any case; a repeated field's values are joined by commas."""
        if self._headers is None:
            self._headers = self._made_headers()
        return self._headers

    @headers.setter
    def headers(self, headers: ResponseHeaders) -> None:
        self._headers = headers

    def _made_headers(self) -> ResponseHeaders:
        if self._head is _BLANK:
            # Filled by hand, perhaps with a raw response of somebody else's.
            return ResponseHeaders(getattr(self._raw, "headers", {}).items())
        pairs = zip(self._head.names, self._head.values, strict=True)
        return ResponseHeaders([(name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs])

    @property
    def reason(self) -> str:
        """The reason phrase, perhaps empty."""
        return self._head.reason if self._reason is None else self._reason

    @reason.setter
    def reason(self, reason: str) -> None:
        self._reason = reason

    @property
    def url(self) -> str:
        """The URL that answered, after redirects; with the fragment, without credentials."""
        if self._url is None and self.request is not None:
            return self.request.address.url
        return self._url  # None for a response made by hand, as in requests.

    @url.setter
    def url(self, url: str) -> None:
        self._url = url

    @property
    def ok(self) -> bool:
        """True unless the status is 400 to 599."""
        return not 400 <= self.status_code < 600

    @property
    def is_redirect(self) -> bool:
        """True if this response says where to go instead, in a way that is followed."""
        return redirect.is_redirect(self)

    @property
    def is_permanent_redirect(self) -> bool:
        """True if it says so for ever (301, 308)."""
        return self.is_redirect and self.status_code in redirect.PERMANENT

    @property
    def next(self) -> PreparedRequest | None:
        """The request that would follow this redirect; `None` if it is none.

        It takes the session's cookies along, and the body from its start, if that can be had again.

        Raises:
            InvalidURL: It leads to nothing that can be requested.
        """
        location = redirect.target_of(self)
        if location is None or self.request is None:
            return None
        if self._session is not None:
            return self._session.next_request(self, location)
        following = self._following(location)
        if following.payload is not None and following.payload.may_replay():
            following.payload.rewind()
        return following

    def belongs_to(self, session: Following) -> None:
        """Learn who makes the request that follows a redirect."""
        self._session = session

    def _following(self, location: str) -> PreparedRequest:
        following = redirect.next_request(self.request, self.status_code, location)
        stays = is_same_origin(self.request.address, following.address)
        return following if stays else redirect.unsigned(following)

    @property
    def elapsed(self) -> datetime.timedelta:
        """Time from the request's start, waiting for a connection included, to the end of the response's head."""
        if self._elapsed is None:
            sent = self._raw is not None and hasattr(self._raw, "answered_at")
            self._elapsed = datetime.timedelta(seconds=self._raw.answered_at - self._raw.started_at if sent else 0)
        return self._elapsed

    @elapsed.setter
    def elapsed(self, elapsed: datetime.timedelta) -> None:
        self._elapsed = elapsed

    @property
    def cookies(self) -> CookieJar:
        """The cookies this response sets; the session has its own jar."""
        if self._cookies is None:
            with undivided:
                from keeppool.client.cookies import CookieJar, keep_cookies

            self._cookies = CookieJar()
            if self.request is not None:
                keep_cookies(self._cookies, self.request, self._head)
        return self._cookies

    @cookies.setter
    def cookies(self, cookies: CookieJar) -> None:
        self._cookies = cookies

    @property
    def links(self) -> dict[str, dict[str, str]]:
        """The Link header, by relation. Source: RFC 8288 §3."""
        return links.parse_links(self.headers.get("link", ""))

    def raise_for_status(self) -> Self:
        """Raise if the status says that it did not work.

        Returns:
            This response, as in httpx: `session.get(url).raise_for_status().json()`.

        Raises:
            HTTPError: The status is 400 to 599; `response` and `request` are set. The body can still be read.
        """
        if self.ok:
            return self
        # requests' words, in requests' order: programs look for "404 Client Error" in them.
        side = "Client" if self.status_code < 500 else "Server"
        what = f"{self.status_code} {side} Error: {self._reason_text}".rstrip()
        by = "" if self.request is None else f" ({self.request.method})"
        text = f"{what} for url: {plain_url(self.url or '')}{by}"
        raise HTTPError(text, response=self, request=self.request, _reason=what)

    # The body

    @property
    def content(self) -> bytes:
        """The whole body, content codings undone."""
        raise NotImplementedError

    @property
    def encoding(self) -> str | None:
        """The encoding `text` uses: as the server says or implies, `None` if it does not. May be set."""
        if self._encoding is _UNSET:
            self._encoding = stated_encoding(self._content_type())
        return self._encoding

    @encoding.setter
    def encoding(self, encoding: str | None) -> None:
        self._encoding = encoding

    def _content_type(self) -> str | None:
        """Give one field without showing them all, which takes as long as parsing a small JSON body."""
        if self._headers is not None or self._head is _BLANK:
            return self.headers.get("content-type")
        value = self._head.index.get(b"content-type")
        return None if value is None else value.decode("latin-1")

    @property
    def apparent_encoding(self) -> str:
        """The encoding the body looks like. Reads it."""
        return apparent_encoding(self.content)

    @property
    def text(self) -> str:
        """The body as text, in `encoding` or, where that is None, in `apparent_encoding`; errors are replaced.

        Raises:
            StreamConsumedError, ExchangeError: As for `content`.
        """
        content = self.content
        return decoded(content, self.encoding or apparent_encoding(content)) if content else ""

    def json(self, **options: Any) -> Any:
        """Parse the body as JSON.

        Args:
            **options: For `json.loads`.

        Raises:
            JSONDecodeError: It is no JSON, or beyond what can be parsed; `doc` and `pos` say where, `response` is this.
            StreamConsumedError, ExchangeError: As for `content`.

        Source: RFC 8259 §8.1.
        """
        encoding = self.encoding
        try:
            if encoding is None or encoding.lower() in ("utf-8", "utf8"):
                return self._json_of_bytes(options)
            return parse_json(self.text, **options)
        except JSONDecodeError as error:
            error.response, error.request = self, self.request
            # Most often it is a page of HTML, from a proxy or of an error.
            kind = self.headers.get("Content-Type", "no Content-Type")[:60]
            error.message = f"the response ({self.status_code}, {kind}) is not JSON: {error.message}"
            name_call(error, self._method, self.url or "")
            raise

    def _pieces(self, size: int | None) -> Any:
        """Give the body in pieces of at most `size` bytes; as they come for `None`."""
        if not self._streams or self._content is not None:
            return self._cut(slices(self.content, size))
        if self._spent and getattr(self._raw, "closed", True):
            raise self._has_ended()
        return self._stream(size or PIECE)

    def _cut(self, pieces: Iterator[bytes]) -> Any:
        """Give the pieces of a body that is there."""
        raise NotImplementedError

    def _stream(self, size: int) -> Any:
        """Give the pieces of a body as they arrive."""
        raise NotImplementedError

    def _gives_up(self) -> bool:
        """Give up what was not read of the body; True if there is something to be told of that."""
        if not self._streams or self._content is not None:
            return False
        self._spent = True
        return self._raw is not None

    def _is_gone(self) -> StreamConsumedError:
        return self._consumed("the body was streamed or closed; its content was not kept")

    def _has_ended(self) -> StreamConsumedError:
        return self._consumed("the body was already streamed to its end, or closed")

    def _consumed(self, what: str) -> StreamConsumedError:
        error = StreamConsumedError(what, response=self)
        name_call(error, self._method, self.url or "")
        return error

    @property
    def _reason_text(self) -> str:
        """The reason phrase; programs that fill a response by hand set bytes too."""
        return text_of_field(self.reason) if isinstance(self.reason, bytes) else self.reason or ""

    @property
    def _method(self) -> str:
        """The request's method; a response made by hand has none."""
        return "a response from" if self.request is None else str(self.request.method)

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        return f"<{type(self).__name__} [{self.status_code}]>"

    def _repr_html_(self) -> str:
        """Show it in a notebook: what was asked, status, header fields without secrets; nothing is read for it."""
        size = None if self._streams and self._content is None else len(self.content)
        took = self.elapsed.total_seconds()
        status = f"{self.status_code} {self._reason_text}".rstrip()
        return shown.shown(self._method, self.url or "", status, took, size, self.headers.items())

    def __getstate__(self) -> dict[str, Any]:
        """Read the rest, so that the pickle holds a whole response; a body that was streamed away stays away."""
        content = None if self._spent else self.content
        return {
            "_head": self._head,
            "_content": content,
            "_spent": self._spent,
            "_headers": self.headers,
            "_elapsed": self.elapsed,
            "_reason": self._reason,
            "_url": self._url,
            "status_code": self.status_code,
            "_encoding": self.encoding,
            "history": self.history,
            "request": self.request,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Nothing of the connection survives.
        self._raw, self._pool = None, None
        self._streams, self._cookies = True, None
        for name, value in state.items():
            setattr(self, name, value)

    def _json_of_bytes(self, options: dict[str, Any]) -> Any:
        """Parse without making text first: `json` tells UTF-8, 16 and 32 apart and takes a byte order mark."""
        try:
            return parse_json(self.content, **options)
        except JSONDecodeError as error:
            if not isinstance(error.__cause__, UnicodeDecodeError):
                raise
            return parse_json(self.text, **options)


def piece_size(chunk_size: int | None) -> int | None:
    """Read the `chunk_size` of `iter_content`; `None` takes pieces as they come.

    Raises:
        TypeError: It is no whole number.
    """
    if chunk_size is not None and not isinstance(chunk_size, int):
        raise TypeError(f"chunk_size must be a whole number or None, not {chunk_size!r}")
    return chunk_size if chunk_size is not None and chunk_size > 0 else None


def slices(content: bytes, size: int | None) -> Iterator[bytes]:
    """Cut a whole body into pieces of `size` bytes; one piece for `None`."""
    step = size or len(content) or 1
    return (content[start : start + step] for start in range(0, len(content), step))
