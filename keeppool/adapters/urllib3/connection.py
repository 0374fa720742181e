"""urllib3's connections, talking faster: one send for head and small body, and our parser for the response's head.

Decides: when that is possible. Whatever is unusual (a header urllib3 would refuse, a body in pieces, somebody's own
    `putheader`, a patched http.client, debug output) goes urllib3's own way, byte for byte what it would be.
Knows: what urllib3 and http.client put on the wire, and in which order.
Does not know: the pool. A connection that was not lent by one is exactly urllib3's.

A response our parser refuses is read once more by http.client's, which is lenient; its connection is never used again.

Source: RFC 9112 §3 (request line), §6.3 (framing); RFC 9110 §8.6 (Content-Length).

The file is long, because one class of urllib3's is replaced whole.
"""

from __future__ import annotations

import errno
import http.client
import os
import re
import ssl
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import urllib3
import urllib3.connection
from urllib3.connection import _ResponseOptions
from urllib3.util import SKIP_HEADER, SKIPPABLE_HEADERS

from keeppool.adapters.urllib3.bounded import BoundedSocket, wait_until
from keeppool.adapters.urllib3.pooled import PooledResponse
from keeppool.adapters.urllib3.response import ResponseFile
from keeppool.clock import clock
from keeppool.core.keepalive import connection_options
from keeppool.errors import ProtocolError
from keeppool.net.stream import TLS_RECORD
from keeppool.pools.send import RECEIVE
from keeppool.reasons import Why
from keeppool.wire.body import WHOLE_SIZE
from keeppool.wire.fields import CONTROL_CHARS, TOKEN_CHARS
from keeppool.wire.message import BodyReader

if TYPE_CHECKING:
    import socket

    from keeppool.adapters.urllib3.lending import Borrowing

_USER_AGENT = f"python-urllib3/{urllib3.__version__}"  # type: ignore[attr-defined]  # not in its __all__
_Std = http.client.HTTPConnection
_URLLIB3S = urllib3.connection.HTTPConnection
#: What writes a request in http.client. Tracing libraries put their own functions in the place of these.
_PATCHABLE: Final = ("putrequest", "putheader", "endheaders", "send", "getresponse")
_ORIGINALS: Final = tuple(getattr(_Std, name) for name in _PATCHABLE)
#: What a class may override to have a say in how requests are written and responses read.
_TALK: Final = (
    "putrequest", "putheader", "endheaders", "send", "response_class", "_output", "_send_output", "_encode_request",
    "_validate_method", "_validate_path", "_http_vsn", "_http_vsn_str", "is_connected",
)  # fmt: skip

_TOKEN = re.compile(TOKEN_CHARS.decode("latin-1").join(("[", "]+")))
_VALUE = re.compile(f"[^{CONTROL_CHARS.decode('latin-1')}\u0100-\U0010ffff]*")
_TARGET = re.compile(r"[!-~]+")
#: A host that needs neither brackets nor IDNA.
_PLAIN_HOST = re.compile(r"[0-9A-Za-z._-]+")
#: What only a proxy may read. In the head of a request it is one's if the target is a whole URL (RFC 9112 §3.2.2).
_PROXYS: Final = "proxy-authorization"
_ABSOLUTE: Final = ("http://", "https://")
#: Methods that urllib3 sends without `Content-Length: 0` when there is no body.
_BODILESS: Final = frozenset(("GET", "HEAD", "DELETE", "TRACE", "OPTIONS", "CONNECT"))
#: RequestFields that may stand once; a second one is for urllib3 to deal with.
_ONCE: Final = frozenset(("host", "content-length", "transfer-encoding"))
#: What http.client calls its states; a connection is put back to the first when we have read in its place.
_IDLE, _REQUEST_SENT = "Idle", "Request-sent"


class RequestFields(NamedTuple):
    """A request's own header fields, checked and rendered.

    Attributes:
        pairs: What they were made of.
        names: In lower case.
        before: Lines that urllib3 puts before the framing field.
        after: Those it puts behind.
        length: Value of Content-Length, if there is one.
        closes: They say `Connection: close`.
        has_key: They have an Idempotency-Key.
    """

    pairs: list[tuple[str, str]]
    names: frozenset[str]
    before: bytes
    after: bytes
    length: str | None
    closes: bool
    has_key: bool


class LeanConnection(urllib3.connection.HTTPConnection):
    """What makes any of urllib3's connection classes lean; see `lean_class`."""

    #: What was borrowed to be used by this connection, set by its pool.
    borrowing: Borrowing | None = None
    #: The fields of the last request: the next one's are mostly the same.
    _fields: RequestFields | None = None
    _hosted: tuple[str, bytes | None] = ("", None)

    def request(  # type: ignore[override]  # as urllib3's
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        chunked: bool = False,
        preload_content: bool = True,
        decode_content: bool = True,
        enforce_content_length: bool = True,
    ) -> None:
        """Send a request; see urllib3."""
        borrowing = self.borrowing
        data = None
        if borrowing is not None and borrowing.has_begun:
            fields = self._note(borrowing, headers)
            if (
                headers
                and (fields is None or _PROXYS in fields.names)
                and borrowing.hides_credentials
                and not url.startswith(_ABSOLUTE)
            ):
                headers = _for_origin(headers)
                fields = self._note(borrowing, headers)
            if fields is not None and not chunked and self.is_lean:
                data = self._render(borrowing, fields, method, url, body)
        if borrowing is None or data is None:
            self._request_urllib3s_way(
                borrowing, method, url, body, headers,
                chunked=chunked, preload_content=preload_content, decode_content=decode_content,
                enforce_content_length=enforce_content_length,
            )  # fmt: skip
            return
        self.sock.settimeout(self.timeout)
        self._method = method
        self._response_options = _ResponseOptions(method, url, preload_content, decode_content, enforce_content_length)
        self._send_at_once(borrowing, self.sock, data)

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # as urllib3's
        """Read a response's head; see urllib3."""
        borrowing, options = self.borrowing, self._response_options
        if borrowing is None or options is None or not borrowing.has_begun or not self.is_lean:
            return super().getresponse()
        sock = self.sock
        sock.settimeout(self.timeout)
        self._response_options = None
        reader = self._read_head(borrowing, sock)
        if isinstance(reader, bytes):
            self._response_options = options
            return self._read_again(borrowing, sock, reader)
        # http.client does not know that we have sent or read in its place.
        self._HTTPConnection__state = _IDLE
        return _response(ResponseFile(borrowing, sock, reader, options.request_method), options, self)

    @property
    def is_lean(self) -> bool:
        """True if nobody has a say in how this connection talks, and there is a socket to talk on."""
        return (
            self.sock is not None
            and self.debuglevel == 0
            and hasattr(self.sock, "send")
            and _is_untouched(type(self))
            and _Std.putrequest is _ORIGINALS[0]
            and _Std.putheader is _ORIGINALS[1]
            and _Std.endheaders is _ORIGINALS[2]
            and _Std.send is _ORIGINALS[3]
            and _Std.getresponse is _ORIGINALS[4]
        )

    def _note(self, borrowing: Borrowing, headers: Mapping[str, str] | None) -> RequestFields | None:
        """Render the fields, unless urllib3 has to; tell the borrowing what they say."""
        pairs = [] if headers is None else [pair for pair in headers.items()]  # noqa: C416  # a view's len() walks it
        fields = self._fields
        if fields is None or fields.pairs != pairs:
            fields = self._fields = _rendered(pairs)
        if fields is None:
            borrowing.says(**facts_of(pairs))
        else:
            borrowing.says(closes=fields.closes, has_key=fields.has_key)
        return fields

    def _render(self, borrowing: Borrowing, fields: RequestFields, method: str, url: str, body: Any) -> bytes | None:
        """Render a request; `None` if urllib3 has to do it."""
        data = _whole(body)
        if data is not None and fields.length not in (None, str(len(data))):
            # urllib3 sends it as it was given; the server's idea of where the next request begins is not ours.
            borrowing.why = Why.REQUEST_UNSENT
        if data is None or not _TOKEN.fullmatch(method) or not _TARGET.fullmatch(url):
            return None
        host_line = b"" if "host" in fields.names else self._host_line(url)
        framing = _framing(fields, method, body, data)
        if host_line is None or framing is None:
            return None
        line = f"{method} {url} HTTP/1.1\r\n".encode()
        return b"".join((line, host_line, fields.before, framing, fields.after, b"\r\n", data))

    def _host_line(self, url: str) -> bytes | None:
        """Render Host as http.client does; `None` where that takes more than the plain case."""
        host, port = (self._tunnel_host, self._tunnel_port) if self._tunnel_host else (self.host, self.port)
        if url.startswith("http") or not _PLAIN_HOST.fullmatch(host):
            return None
        return b"Host: %b\r\n" % (host if port == self.default_port else f"{host}:{port}").encode()

    def _request_urllib3s_way(self, borrowing: Borrowing | None, *request: Any, **options: Any) -> None:
        if borrowing is not None:
            # How much the kernel has taken is not known from here on: enough to be seen.
            borrowing.sent = 1
        try:
            super().request(*request, **options)
        except ssl.SSLEOFError as error:
            if borrowing is None:
                raise
            # By this urllib3 knows that the server may have responded before it closed; without TLS it comes by itself.
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from error
        if borrowing is not None:
            borrowing.request_sent = True

    @staticmethod
    def _send_at_once(borrowing: Borrowing, sock: socket.socket, data: bytes) -> None:
        """Send everything, and count what the kernel takes: 0 is proof that the server saw nothing."""
        size = len(data)
        if size <= TLS_RECORD:
            sent = borrowing.sent = sock.send(data)
            if sent == size:
                borrowing.request_sent = True
                if borrowing.timeline is not None:
                    borrowing.timeline.sent()
                return
        view = memoryview(data)
        while borrowing.sent < size:
            borrowing.sent += sock.send(view[borrowing.sent : borrowing.sent + TLS_RECORD])
        borrowing.request_sent = True
        if borrowing.timeline is not None:
            borrowing.timeline.sent()

    def _tunnel(self) -> None:
        """Have the proxy open a tunnel, within `timeout` from now and within bounds; see http.client."""
        borrowing, sock = self.borrowing, self.sock
        if borrowing is None:
            super()._tunnel()
            return
        patience = urllib3.Timeout.resolve_default_timeout(self.timeout)
        bounded = BoundedSocket(sock, patience, None if patience is None else clock() + patience)
        self.sock = bounded  # duck-typed, for http.client
        try:
            super()._tunnel()
        finally:
            if self.sock is bounded:
                self.sock = sock
            bounded.release()

    def _read_head(self, borrowing: Borrowing, sock: socket.socket) -> BodyReader | bytes:
        """Read up to the end of the final head, and give the reader for its body; all bytes if the head is refused."""
        seen = b""
        patience = None if borrowing.deadline is None else urllib3.Timeout.resolve_default_timeout(self.timeout)
        while True:
            if borrowing.deadline is not None:
                wait_until(sock, borrowing.deadline, patience)
            data = sock.recv(RECEIVE)
            if not data and seen:
                # http.client takes what there is for the whole head, and so for a response without a body.
                raise http.client.IncompleteRead(seen)
            if not data:
                raise http.client.RemoteDisconnected("Remote end closed connection without response")
            seen = seen + data if seen else data
            try:
                if borrowing.take(data) is not None:
                    if borrowing.deadline is not None:
                        sock.settimeout(patience)
                    return borrowing.open_body()
            except ProtocolError:
                return seen

    def _read_again(self, borrowing: Borrowing, sock: socket.socket, seen: bytes) -> urllib3.HTTPResponse:
        """Let http.client read what our parser refused, and never use the connection again.

        What is still to come of such a head gets one read timeout in all.
        """
        borrowing.why = Why.AMBIGUOUS_FRAMING
        borrowing.answer = None
        self._HTTPConnection__state = _REQUEST_SENT
        patience = urllib3.Timeout.resolve_default_timeout(self.timeout)
        deadlines = [] if patience is None else [clock() + patience]
        deadlines += [] if borrowing.deadline is None else [borrowing.deadline]
        bounded = BoundedSocket(sock, patience, min(deadlines, default=None), seen)
        self.sock = bounded  # duck-typed, for http.client
        try:
            return super().getresponse()
        finally:
            if self.sock is bounded:
                self.sock = sock
            bounded.release()


class LeanHTTPSConnection(LeanConnection, urllib3.connection.HTTPSConnection):
    """The same over TLS."""


#: The lean kind of each class that was asked for.
_lean: dict[type[Any], type[Any]] = {
    _URLLIB3S: LeanConnection,
    urllib3.connection.HTTPSConnection: LeanHTTPSConnection,
}
#: Whether a class talks as urllib3's does.
_untouched: dict[type[Any], bool] = {}


def lean_class(cls: type[Any]) -> type[Any]:
    """Give the lean kind of a connection class; the class itself if it talks in a way of its own."""
    if issubclass(cls, LeanConnection) or not issubclass(cls, _URLLIB3S) or not _is_untouched(cls):
        return cls
    if cls.request is not _URLLIB3S.request or cls.getresponse is not _URLLIB3S.getresponse:
        return cls
    if cls not in _lean:
        _lean[cls] = type(f"Lean{cls.__name__}", (LeanConnection, cls), {"__doc__": cls.__doc__})
    return _lean[cls]


def _is_untouched(cls: type[Any]) -> bool:
    known = _untouched.get(cls)
    if known is None:
        known = _untouched[cls] = all(getattr(cls, name) is getattr(_URLLIB3S, name) for name in _TALK)
    return known


def facts_of(pairs: Iterable[tuple[Any, Any]]) -> dict[str, bool]:
    """Tell what header fields say about closing and about repeating, however odd the rest of them is."""
    given = {str(name).lower(): str(value) for name, value in pairs}
    options = connection_options(given.get("connection", "").encode("latin-1", "replace"))
    return {"closes": b"close" in options, "has_key": "idempotency-key" in given}


def _for_origin(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Leave out what a proxy is told about the caller: an origin, also at the end of a tunnel, must not read it."""
    names: Iterable[str | bytes] = headers
    if _PROXYS not in [(name.decode("latin-1") if isinstance(name, bytes) else str(name)).lower() for name in names]:
        return headers
    kept = urllib3.HTTPHeaderDict(headers)
    kept.discard(_PROXYS)
    return kept


def _rendered(pairs: list[tuple[str, str]]) -> RequestFields | None:
    """Check and render header fields; `None` if urllib3 has to look at them."""
    lines, names = [], []
    for name, value in pairs:
        if not isinstance(name, str) or not isinstance(value, str) or not _TOKEN.fullmatch(name):
            return None
        lower = name.lower()
        names.append(lower)
        if value == SKIP_HEADER and lower in SKIPPABLE_HEADERS:
            continue
        if value == SKIP_HEADER or not _VALUE.fullmatch(value):
            return None
        lines.append(f"{name}: {value}\r\n")
    given = frozenset(names)
    if len(given) < len(names) and any(names.count(name) > 1 for name in _ONCE):
        return None
    own = "" if "user-agent" in given else f"User-Agent: {_USER_AGENT}\r\n"
    before = b"" if "accept-encoding" in given else b"Accept-Encoding: identity\r\n"
    after = (own + "".join(lines)).encode("latin-1")
    length = next((value for name, value in pairs if name.lower() == "content-length"), None)
    return RequestFields(pairs, given, before, after, length, **facts_of(pairs))


def _framing(fields: RequestFields, method: str, body: Any, data: bytes) -> bytes | None:
    """Render the field that tells the body's length, as urllib3 chooses it; `None` if it has to choose itself."""
    if "transfer-encoding" in fields.names:
        return None
    if fields.length is not None:
        return b"" if fields.length == str(len(data)) else None
    if body is None and method.upper() in _BODILESS:
        return b""
    return b"Content-Length: %d\r\n" % len(data)


def _whole(body: Any) -> bytes | None:
    """Give a small body in memory as bytes; `None` for any other."""
    if body is None:
        return b""
    if isinstance(body, str):
        body = body.encode("utf-8")
    return body if type(body) is bytes and len(body) <= WHOLE_SIZE else None


def _response(answer: ResponseFile, options: _ResponseOptions, conn: LeanConnection) -> PooledResponse:
    head = answer.head
    pairs = zip(head.names, head.values, strict=True)
    shutdown: Callable[[int], None] | None = getattr(conn.sock, "shutdown", None)
    return PooledResponse(
        body=answer,  # type: ignore[arg-type]  # duck-typed, as urllib3 takes it
        headers=urllib3.HTTPHeaderDict([(name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs]),
        status=head.status,
        version=head.version,
        version_string=getattr(conn, "_http_vsn_str", "HTTP/?"),
        reason=head.reason,
        preload_content=options.preload_content,
        decode_content=options.decode_content,
        original_response=answer,  # type: ignore[arg-type]
        enforce_content_length=options.enforce_content_length,
        request_method=options.request_method,
        request_url=options.request_url,
        sock_shutdown=shutdown,
    )
