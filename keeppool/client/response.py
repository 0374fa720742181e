"""`Response`: an answer with requests' comfort. Nothing is decoded, parsed or read before somebody looks.

Decides: what may still be done with the body: looked at again and again, or streamed once.
Knows: the pool's response (`raw`), the request it answers.
Does not know: the session. Redirects and cookies were dealt with before a caller sees this.

Source: RFC 9110 §15 (status codes), §8.3 (Content-Type).
"""

from __future__ import annotations

import json as json_module
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, Self, overload

from keeppool.client import redirect
from keeppool.client.links import parse_links
from keeppool.client.request import Request
from keeppool.client.text import apparent_encoding, decoded, decoded_pieces, lines, stated_encoding
from keeppool.errors import HTTPError, JSONDecodeError, StreamConsumedError

if TYPE_CHECKING:
    from urllib3 import HTTPHeaderDict

    from keeppool.client.cookies import CookieJar
    from keeppool.pools.response import Response as PoolResponse
    from keeppool.wire.head import ResponseHead

#: Most bytes of one piece where the caller names no size: what the pool reads at a time.
_PIECE: Final = 65536

#: The encoding was neither asked for nor set.
_UNSET: Final = "?"


class Response:
    """An answer to a request.

    True if it is `ok`. Iterating gives the body in pieces. Leaving its `with` block, or `close`, gives up a body that
    was not read; reading it to its end gives the connection back by itself.

    Attributes:
        raw: The pool's response; `None` after unpickling.
        status_code: 200 to 999, or 101.
        request: What was sent.
        history: The redirects that led here, oldest first.

    Thread safety: one thread at a time.
    """

    __slots__ = (
        "_content",
        "_cookies",
        "_elapsed",
        "_encoding",
        "_head",
        "_headers",
        "_spent",
        "_streams",
        "history",
        "raw",
        "request",
        "status_code",
    )

    def __init__(self, raw: PoolResponse, request: Request, stream: bool) -> None:
        self.raw: PoolResponse = raw
        self.request = request
        self._head: ResponseHead = raw.head
        self.status_code: int = raw.head.status
        self.history: list[Response] = []
        self._streams = stream
        self._spent = False
        self._content: bytes | None = None if stream else raw.data
        self._encoding: str | None = _UNSET
        self._headers: HTTPHeaderDict | None = None
        self._cookies: CookieJar | None = None
        self._elapsed: timedelta | None = None

    # What the head says

    @property
    def headers(self) -> HTTPHeaderDict:
        """The header fields, found in any case; a repeated field's values are joined by commas."""
        if self._headers is None:
            self._headers = self.raw.headers
        return self._headers

    @property
    def reason(self) -> str:
        """The reason phrase, perhaps empty."""
        return self._head.reason

    @property
    def url(self) -> str:
        """The URL that answered, after redirects; with the fragment, without credentials."""
        return self.request.address.url

    @property
    def ok(self) -> bool:
        """True unless the status is 400 to 599."""
        return not 400 <= self.status_code < 600

    @property
    def is_redirect(self) -> bool:
        """True if this answer says where to go instead, in a way that is followed."""
        return redirect.location_of(self._head) is not None

    @property
    def is_permanent_redirect(self) -> bool:
        """True if it says so for ever (301, 308)."""
        return self.is_redirect and self.status_code in redirect.PERMANENT

    @property
    def next(self) -> Request | None:
        """The request that would follow this redirect; `None` if it is none.

        Raises:
            InvalidURL: It leads to nothing that can be requested.
        """
        location = redirect.location_of(self._head)
        return None if location is None else redirect.next_request(self.request, self.status_code, location)

    @property
    def elapsed(self) -> timedelta:
        """Time from the request's start, waiting for a connection included, to the end of the answer's head."""
        if self._elapsed is None:
            self._elapsed = timedelta(seconds=self.raw.answered_at - self.raw.started_at)
        return self._elapsed

    @property
    def cookies(self) -> CookieJar:
        """The cookies this answer sets; the session has its own jar."""
        if self._cookies is None:
            from keeppool.client.cookies import CookieJar, keep_cookies

            self._cookies = CookieJar()
            keep_cookies(self._cookies, self.request, self._head)
        return self._cookies

    @property
    def links(self) -> dict[str, dict[str, str]]:
        """The Link header, by relation. Source: RFC 8288 §3."""
        return parse_links(self.headers.get("link", ""))

    def raise_for_status(self) -> None:
        """Raise if the status says that it did not work.

        Raises:
            HTTPError: The status is 400 to 599; `response` and `request` are set. The body can still be read.
        """
        if self.ok:
            return
        side = "client" if self.status_code < 500 else "server"
        what = f"{self.status_code} {self.reason}".rstrip()
        raise HTTPError(
            f"{what} ({side} error) for {self.request.method} {self.url}", response=self, request=self.request
        )

    # The body

    @property
    def content(self) -> bytes:
        """The whole body, content codings undone.

        Raises:
            StreamConsumedError: A part of it was streamed, or it was closed unread.
            ExchangeError: It broke off, was malformed, or came too slowly; only with `stream=True`.
        """
        if self._content is None:
            self._content = self._read()
        return self._content

    @property
    def encoding(self) -> str | None:
        """The encoding `text` uses: as the server says or implies, `None` if it does not. May be set."""
        if self._encoding is _UNSET:
            self._encoding = stated_encoding(self.headers.get("content-type"))
        return self._encoding

    @encoding.setter
    def encoding(self, encoding: str | None) -> None:
        self._encoding = encoding

    @property
    def apparent_encoding(self) -> str:
        """The encoding the body looks like. Reads it."""
        return apparent_encoding(self.content)

    @property
    def text(self) -> str:
        """The body as text, in `encoding` or else `apparent_encoding`; what cannot be decoded is replaced.

        Raises:
            StreamConsumedError, ExchangeError: As for `content`.
        """
        return decoded(self.content, self.encoding or self.apparent_encoding)

    def json(self, **options: Any) -> Any:
        """Parse the body as JSON.

        Args:
            **options: For `json.loads`.

        Raises:
            JSONDecodeError: It is no JSON; `doc` and `pos` say where, `response` is this.
            StreamConsumedError, ExchangeError: As for `content`.

        Source: RFC 8259 §8.1.
        """
        encoding = self.encoding
        try:
            if encoding is None or encoding.lower() in ("utf-8", "utf8"):
                return self._json_of_bytes(options)
            return json_module.loads(self.text, **options)
        except json_module.JSONDecodeError as error:
            told = JSONDecodeError(error.msg, error.doc, error.pos)
            told.response, told.request = self, self.request
            raise told from error

    @overload
    def iter_content(
        self, chunk_size: int | None = 1, decode_unicode: Literal[False] = False
    ) -> Iterator[bytes]: ...  # pragma: no cover
    @overload
    def iter_content(
        self, chunk_size: int | None = 1, *, decode_unicode: bool
    ) -> Iterator[bytes] | Iterator[str]: ...  # pragma: no cover
    def iter_content(self, chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[bytes] | Iterator[str]:
        """Go through the body in pieces; with `stream=True` as they arrive, without keeping them.

        Args:
            chunk_size: Most bytes of a piece before text is made of it; `None` takes them as they come.
            decode_unicode: Give text in `encoding`; bytes all the same if there is none.

        Raises:
            StreamConsumedError: It was streamed to its end, or closed unread.
            TypeError: `chunk_size` is no whole number.
            ExchangeError: As for `content`, while iterating.
        """
        if chunk_size is not None and not isinstance(chunk_size, int):
            raise TypeError(f"chunk_size must be a whole number or None, not {chunk_size!r}")
        pieces = self._pieces(chunk_size if chunk_size is not None and chunk_size > 0 else None)
        encoding = self.encoding if decode_unicode else None
        return pieces if encoding is None else decoded_pieces(pieces, encoding)

    def iter_lines(
        self, chunk_size: int | None = _PIECE, decode_unicode: bool = False, delimiter: str | bytes | None = None
    ) -> Iterator[Any]:
        """Go through the body line by line, without the line ends.

        Args:
            chunk_size: As for `iter_content`; a line may be longer.
            decode_unicode: As for `iter_content`.
            delimiter: What ends a line; bytes, or text with `decode_unicode`. `None` for any line end.

        Raises:
            StreamConsumedError, ExchangeError: As for `iter_content`.
        """
        pieces: Any = self.iter_content(chunk_size, decode_unicode=decode_unicode)
        return lines(pieces, delimiter or None)

    def drain(self) -> None:
        """Read a small rest of an unwanted body so that its connection can be used again; close it if it is large."""
        if self._streams and self._content is None:
            self._spent = True
            self.raw.drain_conn()

    def close(self) -> None:
        """Give up what was not read of the body. Its connection is closed, unless the body had ended."""
        if self._streams and self._content is None:
            self._spent = True
            self.raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        return self.iter_content(_PIECE)

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        return f"<Response [{self.status_code}]>"

    def __getstate__(self) -> dict[str, Any]:
        """Read the rest, so that the pickle holds a whole answer; a body that was streamed away stays away."""
        content = None if self._spent else self.content
        return {
            "_head": self._head,
            "_content": content,
            "_spent": self._spent,
            "_headers": self.headers,
            "_elapsed": self.elapsed,
            "_encoding": self.encoding,
            "history": self.history,
            "request": self.request,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.raw = None  # type: ignore[assignment]  # nothing of the connection survives
        self._streams, self._cookies = True, None
        for name, value in state.items():
            setattr(self, name, value)
        self.status_code = self._head.status

    def _read(self) -> bytes:
        if self._spent:
            raise StreamConsumedError("the body was streamed or closed; its content was not kept", response=self)
        # Spent until it is whole: after an error nobody shall take the missing part for the end.
        self._spent = True
        content = self.raw.data
        self._spent = False
        return content

    def _pieces(self, size: int | None) -> Iterator[bytes]:
        if not self._streams or self._content is not None:
            return _slices(self.content, size)
        if self._spent and self.raw.closed:
            raise StreamConsumedError("the body was already streamed to its end, or closed", response=self)
        return self._stream(size or _PIECE)

    def _stream(self, size: int) -> Iterator[bytes]:
        self._spent = True
        yield from self.raw.stream(size)

    def _json_of_bytes(self, options: dict[str, Any]) -> Any:
        """Parse without making text first: `json` tells UTF-8, 16 and 32 apart and takes a byte order mark."""
        try:
            return json_module.loads(self.content, **options)
        except UnicodeDecodeError:
            return json_module.loads(self.text, **options)


def _slices(content: bytes, size: int | None) -> Iterator[bytes]:
    step = size or len(content) or 1
    return (content[start : start + step] for start in range(0, len(content), step))
