"""Every exception keeppool raises, as a tree: what each branch tells you.

    KeepPoolError (OSError)               anything below; also called RequestException, as in requests
    ├── ConfigError (ValueError)          impossible configuration; raised where it is written
    ├── InvalidRequest (ValueError)       the request cannot be put into HTTP; nothing was sent
    │   ├── InvalidURL                    ├── InvalidMethod
    │   │   ├── MissingSchema             ├── InvalidHeader
    │   │   ├── InvalidSchema             ├── InvalidBody
    │   │   └── InvalidProxyURL           └── InvalidJSONError
    │   (InvalidJSONError has one child: JSONDecodeError, for a response that is not JSON)
    ├── CookieFileError (ValueError)      a file of cookies that is none; the jar is as it was
    ├── HarError (ValueError)             a HAR file that is none; nothing of it is used
    ├── Timeout (TimeoutError)            some wait was too long; the classes marked * are its children
    ├── ConnectionError (ConnectionError)
    │   ├── PoolError                     never left the pool: nothing was sent
    │   │   └── PoolTimeout*, PoolClosed, QueueFull
    │   ├── ConnectError                  dialling failed: nothing was sent
    │   │   ├── ResolveError, RefusedError, ConnectTimeout*
    │   │   ├── SSLError ── CertificateError
    │   │   └── ProxyError
    │   └── (the classes marked + below)
    ├── ExchangeError                     a connection was used: see `sent`, `received`, `retry_safe`
    │   ├── ServerDisconnected+           closed before one byte of a response
    │   ├── SendError+, ReadError+        the socket failed while writing, while reading
    │   ├── ReadTimeout* ── RepeatedReadTimeout+
    │   ├── WriteTimeout*, TotalTimeout*
    │   ├── BodyLengthError (ValueError)  the caller's body is not as long as its Content-Length
    │   ├── ProtocolError+                the server does not speak HTTP
    │   │   └── InvalidHead, HeadTooLarge, TruncatedHead, InvalidLength
    │   ├── ChunkedEncodingError          the body broke off or is malformed (requests' name)
    │   │   └── InvalidChunk, IncompleteBody
    │   └── ContentDecodingError          gzip, deflate, br or zstd data is damaged
    ├── HTTPError                         `raise_for_status`: a complete response, 400 or above
    ├── TooManyRedirects
    ├── RetryError                        no tries left, and the last response's status is one to be tried again
    ├── StreamConsumedError (TypeError)   the body was already read as a stream
    ├── LoopError (RuntimeError)          used on another event loop than the one it belongs to; nothing was done
    └── UnrewindableBodyError             a redirect or a retry needs the body again and it cannot be rewound

`except (PoolError, ConnectError)` therefore means: safe to repeat, whatever the method.
Facts are attributes, never only text, and survive pickling. `__cause__` holds the operating system's error.

The file is long, because a tree is read from one page.
"""

from __future__ import annotations

import builtins
import json
from typing import Any, Final

#: Characters of what came from outside that a text quotes: a URL, a field, a value.
MOST_QUOTED: Final = 200
#: Characters of a method that are shown; the longest registered one has 17.
_LONGEST_METHOD: Final = 20
#: Characters of a whole text. Ours have under 400; what is longer has a server's or an operating system's words in it.
MOST_TEXT: Final = 1000


def quoted(thing: object, most: int = MOST_QUOTED) -> str:
    """Quote what came from outside, so that it can stand in a text: in quotation marks, escaped, and cut.

    Args:
        thing: Text or bytes; a number, `True`, `False` or `None` is written as it is. Of anything else only the
            type is shown.
        most: Characters or bytes that are shown.
    """
    if isinstance(thing, (str, bytes)):
        return repr(thing[:most]) + ("…" if len(thing) > most else "")
    if isinstance(thing, int) and thing.bit_length() > 64:
        # Python writes no more than 4300 digits, and nobody reads forty.
        return f"a number of {thing.bit_length()} bits"
    if thing is None or isinstance(thing, (bool, int, float)):
        return repr(thing)
    return f"<{type(thing).__name__}>"


def quoted_url(url: str) -> str:
    """Quote a URL as `quoted` does, without the user and password in it."""
    before, mark, rest = url.partition("://")
    if not mark:
        before, rest = "", url
    # Behind the last @ of what comes before the path: there may be more in a password that is not encoded.
    place = rest[: min([at for at in map(rest.find, "/?#") if at >= 0], default=len(rest))]
    user, sign, _ = place.rpartition("@")
    return quoted(f"{before}{mark}***@{rest[len(user) + 1 :]}" if sign else url)


def plain_url(url: str) -> str:
    """Write a URL into a text, as `quoted_url` does but without quotation marks."""
    quotation = quoted_url(url)
    return quotation.removesuffix("…")[1:-1] + ("…" if quotation.endswith("…") else "")


def readable(text: str, most: int = MOST_TEXT) -> str:
    """Bring a text that may hold what came from outside into a form for terminals and logs.

    It is one line, without control characters, and of limited length: if it is too long it is cut in the middle,
    because it begins with what was done and ends with why it failed.
    """
    if len(text) > most:
        text = f"{text[: most * 2 // 3]}…{text[-most // 3 :]}"
    if text.isprintable():
        return text
    return "".join([c if c.isprintable() else c.encode("unicode_escape").decode() for c in text])


class KeepPoolError(OSError):
    """The root of all errors raised on purpose by keeppool.

    Args:
        message: One sentence that names the thing and the rule.
        *more: What any `OSError` takes: the message is its number then, and this its text.
        **facts: Values for the attributes the class declares.
    """

    #: The request this error belongs to, where one was prepared.
    request: Any = None
    #: The response this error belongs to, where one arrived.
    response: Any = None

    def __init__(self, message: Any = "", *more: Any, **facts: Any) -> None:
        if isinstance(message, str):
            message = readable(message)
        super().__init__(message, *more)
        self.message = OSError.__str__(self) if more else str(message)
        for name, value in facts.items():
            if not hasattr(type(self), name):
                raise TypeError(f"{type(self).__name__} has no attribute {name!r}")
            setattr(self, name, value)

    #: What happened, once the message says it behind method and URL.
    _reason = ""

    @property
    def reason(self) -> str:
        """What happened, without the method and URL that the message of a call's error begins with."""
        return self._reason or self.message

    def __str__(self) -> str:
        return readable(self.message)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), dict(self.__dict__), self.args)


def _rebuild(cls: type[KeepPoolError], state: dict[str, Any], args: tuple[Any, ...]) -> KeepPoolError:
    """Build a pickled error again without calling its constructor's checks."""
    error = cls.__new__(cls, *args)
    OSError.__init__(error, *args)
    error.__dict__.update(state)
    return error


RequestException = KeepPoolError


def name_call(error: KeepPoolError, method: object, url: object, way: str = "") -> KeepPoolError:
    """Say in front of an error's text whose it is, once: where it was raised nobody knew.

    Args:
        error: Of a call. It gets its message, and nothing else.
        method: Of the request, as it was given.
        url: Of the request, likewise; shown without credentials, and cut.
        way: How the URL was to be reached, such as " through http://proxy.example:3128".
    """
    if error._reason:
        return error
    # A dial's error begins with the origin, which the URL says better.
    error._reason = error.message.removeprefix(f"{getattr(error, 'origin', '')}: ")
    says_url = isinstance(error, InvalidURL) and not isinstance(error, InvalidProxyURL) and error.response is None
    shown = _text_of(method)[:_LONGEST_METHOD] or "''"
    call = shown if says_url else f"{shown} {plain_url(_text_of(url))}{way}"
    error.message = readable(f"{call}: {error._reason}")
    if not isinstance(error, JSONDecodeError):
        error.args = (error.message,)
    return error


def _text_of(thing: object) -> str:
    """Read what should be text; of what is none the type is told."""
    if isinstance(thing, bytes):
        return thing.decode("latin-1")
    return thing if isinstance(thing, str) else f"<{type(thing).__name__}>"


class ConfigError(KeepPoolError, ValueError):
    """A limit, timeout, preset or host entry of the wrong type or out of range.

    The message names the field, the value and the rule; nothing was changed. A value that may be a secret is neither
    in the message nor in `value`: "***" stands there.
    """

    field: str = ""
    value: Any = None
    rule: str = ""
    #: The file the value came from, if it came from one.
    file: str = ""


class InvalidRequest(KeepPoolError, ValueError):
    """The request cannot be written as HTTP. Nothing was sent."""


class InvalidURL(InvalidRequest):
    """The URL is empty, malformed, without a host, or holds control characters."""

    url: str = ""


#: requests has a class of its own for a missing URL, which it never raises.
URLRequired = InvalidURL


class MissingSchema(InvalidURL):
    """The URL has no scheme such as `https://`."""


class InvalidSchema(InvalidURL):
    """The URL's scheme is not one keeppool speaks (http, https)."""


class InvalidProxyURL(InvalidURL):
    """The proxy's URL is malformed or its scheme is not supported."""


class InvalidMethod(InvalidRequest):
    """The method is not a token (RFC 9110 §9.1)."""

    method: Any = None


class InvalidHeader(InvalidRequest):
    """A header name or value holds what a header must not hold (RFC 9110 §5.5).

    The value itself, which may be a password, is neither in the message nor here.
    """

    name: Any = None
    #: What the value must not hold, and its place in the value, counted from 0.
    character: str = ""
    position: int | None = None
    #: Only of fields that frame a message, such as Content-Length.
    value: Any = None


class InvalidBody(InvalidRequest):
    """The body is of a type that cannot be sent."""


class InvalidJSONError(InvalidRequest):
    """The value given as `json=` cannot be written as JSON."""


class JSONDecodeError(InvalidJSONError, json.JSONDecodeError):
    """The response's body is not JSON. Carries `msg`, `doc`, `pos`, `lineno`, `colno` as the built-in one does."""

    def __init__(self, msg: str, doc: str = "", pos: int = 0, **facts: Any) -> None:
        InvalidJSONError.__init__(self, msg, **facts)
        json.JSONDecodeError.__init__(self, msg, doc, pos)
        self.message = str(self.args[0])

    def __reduce__(self) -> tuple[Any, ...]:
        return (
            type(self),
            (self.msg, self.doc, self.pos),
            {name: self.__dict__[name] for name in ("message", "_reason") if name in self.__dict__},
        )


class CookieFileError(KeepPoolError, ValueError):
    """A file of cookies cannot be read, or is none; the jar that was to be filled from it is as it was."""

    #: Its name.
    file: str = ""


class HarError(KeepPoolError, ValueError):
    """A HAR file cannot be read, or is none; nothing of it is used."""

    #: Its name; empty if it came from elsewhere.
    file: str = ""
    #: Where in it, such as "log.entries[3].response.status" or "line 12, column 7"; empty for the whole.
    place: str = ""


class Timeout(KeepPoolError, builtins.TimeoutError):
    """A wait took longer than its limit; `limit` is that limit in seconds."""

    limit: float | None = None


class ConnectionError(KeepPoolError, builtins.ConnectionError):
    """No usable connection: in the pool, while dialling, or while it was used."""


class PoolError(ConnectionError):
    """The request never left the pool. Nothing was sent; repeating is safe."""

    origin: str = ""


class PoolTimeout(PoolError, Timeout):
    """No connection came free in time, or it was not the request's turn. The message says what the pool looked like."""

    in_use: int = 0
    waiting: int = 0
    waited: float = 0.0
    #: Connections held by responses whose body has not been read to its end, of those that were waited for.
    unread: int = 0
    #: The limit that has passed: "stall", "pool" or "total", as in `keeppool.Timeout`.
    limited_by: str = ""
    #: What was waited for: "connection", "fleet", "pace" or "retry-after"; see `keeppool.events.Room`.
    waits_for: str = "connection"


class PoolClosed(PoolError):
    """The pool was closed, before or during the wait."""


class QueueFull(PoolError):
    """As many callers as `Limits.waiting` allows already wait. Nothing was queued."""

    waiting: int = 0


class ConnectError(ConnectionError):
    """No connection could be opened. Nothing of the request was sent; repeating is safe."""

    origin: str = ""


class ResolveError(ConnectError):
    """The host's name has no address."""


class RefusedError(ConnectError):
    """The host refused the connection: nothing listens on that port."""


class ConnectTimeout(ConnectError, Timeout):
    """The host did not accept the connection, or finish the TLS handshake, in time."""


class SSLError(ConnectError):
    """The TLS handshake failed."""


class CertificateError(SSLError):
    """The server's certificate is not trusted, not for this host, or not the pinned one."""


class ProxyError(ConnectError):
    """The proxy could not be reached, or refused; `status` is its status for CONNECT, or a SOCKS reply code."""

    status: int | None = None


class ExchangeError(KeepPoolError):
    """A connection was used and the exchange failed. The connection is closed; the pool stays usable."""

    origin: str = ""
    #: Bytes of the request the operating system accepted, in all attempts. 0 is proof that the server saw nothing.
    sent: int = 0
    #: Bytes of the response that arrived, interim responses included.
    received: int = 0
    #: True if sending the same request again cannot apply it twice.
    retry_safe: bool = False


class ServerDisconnected(ExchangeError, ConnectionError):
    """The server closed the connection before one byte of its response."""


class SendError(ExchangeError, ConnectionError):
    """The socket failed while the request was written."""


class ReadError(ExchangeError, ConnectionError):
    """The socket failed while the response was read."""


class ReadTimeout(ExchangeError, Timeout):
    """The server was silent for longer than the read timeout."""


class RepeatedReadTimeout(ReadTimeout, ConnectionError):
    """The server was silent for longer than the read timeout, in the last of as many tries as `retries=` allows.

    A `ConnectionError` too, which is what requests makes of it: an `except` clause for either name matches.
    """

    #: How often the request was sent on purpose; the pool's own resending does not count.
    tries: int = 0


class WriteTimeout(ExchangeError, Timeout):
    """The server took no byte of the request for longer than the write timeout, or the read timeout if none is set."""


class TotalTimeout(ExchangeError, Timeout):
    """The whole exchange took longer than the total timeout."""


class BodyLengthError(ExchangeError, ValueError):
    """The caller's body is shorter or longer than the Content-Length that was sent."""

    expected: int = 0
    actual: int = 0


class ProtocolError(ExchangeError, ConnectionError):
    """The server broke HTTP/1.1's rules."""


class InvalidHead(ProtocolError):
    """The response's head is not HTTP; `line` is the offending line."""

    line: bytes = b""


class HeadTooLarge(ProtocolError):
    """The response's head has more bytes or fields than allowed; `limit` is the bound that was passed."""

    limit: int = 0


class TruncatedHead(ProtocolError):
    """The connection closed in the middle of the response's head."""


class InvalidLength(ProtocolError):
    """The response's Content-Length is no number, or it states several different ones."""

    value: bytes = b""


class ChunkedEncodingError(ExchangeError):
    """The body broke off or its framing is malformed (requests' name for both)."""


class InvalidChunk(ChunkedEncodingError):
    """A chunk's size line or end is malformed; `line` is the offending bytes."""

    line: bytes = b""


class IncompleteBody(ChunkedEncodingError):
    """The connection closed before the body's end; `expected` is None where the length was not stated."""

    expected: int | None = None
    actual: int = 0


class ContentDecodingError(ExchangeError):
    """The body's content coding (gzip, deflate, br, zstd) is damaged or not known."""

    coding: str = ""


class HTTPError(KeepPoolError):
    """A complete response with a status of 400 or above, raised by `raise_for_status`."""


class TooManyRedirects(KeepPoolError):
    """More redirects than allowed; `response` is the last one."""


class RetryError(KeepPoolError):
    """Tried as often as `retries=` allows, and each response had a status of its list; `response` is the last."""

    #: How often the request was sent on purpose; the pool's own resending does not count.
    tries: int = 0


class StreamConsumedError(KeepPoolError, TypeError):
    """The body was already consumed as a stream and was not kept."""


class LoopError(KeepPoolError, RuntimeError):
    """A pool for tasks, or a response over its connections, was used on another event loop. Nothing was done.

    It stays usable on its own. Once that loop is closed, all that is left to do is to close the pool.
    Also: the event loop cannot watch sockets, as Windows' ProactorEventLoop.
    """


class UnrewindableBodyError(KeepPoolError):
    """The body has to be sent again and cannot be rewound to where it stood."""
