"""`PreparedRequest`: what is sent, byte for byte; afterwards the record of it in `response.request`.

Decides: what its parts become when one of them is changed: a new body has a new length.
Knows: the parts as the wire takes them, and how to show them. Nothing is built to be shown before somebody looks.
Does not know: where the parts come from, and when it is sent.

The file is long, because each part can be looked at and changed as requests' programs do it.

Source: RFC 9110 §9 (methods), §8.6 (Content-Length); RFC 9112 §3 (request line).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from keeppool.client.arguments import (
    AuthArgument,
    CookiesArgument,
    DataArgument,
    FilesArgument,
    HeadersArgument,
    Hook,
    HooksArgument,
    ParamsArgument,
)
from keeppool.client.request.encode import basic_of_any, check_auth, encoded_body, encoded_query
from keeppool.client.request.headers import Headers, merged, shown_fields
from keeppool.client.request.hooks import Hooked, default_hooks, hooks_of
from keeppool.client.request.urls import text_of
from keeppool.errors import UnrewindableBodyError
from keeppool.forks import undivided
from keeppool.pools.request import FRAMES_BODY, check_framing, prepare_body, reframed
from keeppool.urls.address import Address, addressed
from keeppool.wire.body import RequestBody
from keeppool.wire.fields import EMPTY, FieldBlock
from keeppool.wire.request import check_method

if TYPE_CHECKING:
    from keeppool.client.cookies import CookieJar

#: What a session's plain call sends, last its body as people read it. A request is made of it only for somebody who
#: looks at `response.request`.
Parts = tuple[bytes, Address, FieldBlock, RequestBody | None, Any]

#: Where a request goes that has no URL yet.
_NOWHERE = Address("")


class PreparedRequest(Hooked):
    """One request, ready to be sent by `Session.send`.

    Pickled, it keeps its body only if that is bytes or text, and no hooks.

    Attributes:
        verb: The method as it goes on the wire.
        address: Where to.
        auth: What signs it and may answer a challenge; an object as in `keeppool.auth`.
        jar: The call's own cookies, which are not the session's; `None` for none.

    Thread safety: one thread at a time.
    """

    # What most requests never have; as attributes of the class they cost them nothing.
    auth: Any = None
    jar: CookieJar | None = None
    _body: Any = None
    #: The fields as somebody was shown them, and their state at that time; from then on they are the truth.
    _headers: Headers | None = None
    _shown: object = None
    _hooks: dict[str, list[Hook]] | None = None

    def __init__(
        self,
        verb: bytes = b"",
        address: Address = _NOWHERE,
        fields: FieldBlock = EMPTY,
        payload: RequestBody | None = None,
        body: Any = None,
        jar: CookieJar | None = None,
    ) -> None:
        self.verb = verb
        self.address = address
        self._fields = fields
        self._payload = payload
        if body is not None:
            self._body = body
        if jar is not None:
            self.jar = jar

    # As the wire takes it

    def parts(self) -> tuple[bytes, Address, FieldBlock, RequestBody | None]:
        """Give what a pool takes, all at once.

        Raises:
            InvalidMethod: The method was set to no token.
            InvalidHeader, BodyLengthError: A field cannot be sent, or not exactly one tells truly where the body ends.
            UnrewindableBodyError: It was sent already, from an iterator that cannot be had again: it would be empty.
        """
        fields, payload = self.fields, self.payload
        check_framing(fields, payload)
        if payload is not None and not payload.may_replay():
            raise UnrewindableBodyError("the body was sent already, and cannot be read again", request=self)
        return check_method(self.verb), self.address, fields, payload

    @property
    def fields(self) -> FieldBlock:
        """The header fields; those that frame the body only if somebody wrote or was shown them.

        Raises:
            InvalidHeader: Somebody set one that cannot be sent.
        """
        headers = self._headers
        if headers is None or headers.revision is self._shown:
            return self._fields
        return headers.block()

    @property
    def payload(self) -> RequestBody | None:
        """The body, framed as the fields say.

        Raises:
            InvalidHeader: The fields contradict each other, or the body.
            BodyLengthError: The body in memory is not as long as they say.
        """
        headers = self._headers
        if self._payload is not None and (headers is None or headers.revision is self._shown):
            return self._payload
        return reframed(self._payload, self.fields, self.verb)

    @payload.setter
    def payload(self, payload: RequestBody | None) -> None:
        self._payload = payload

    def with_fields(self, fields: FieldBlock) -> PreparedRequest:
        """Make the same request with other header fields; body, hooks and what signs it are shared."""
        made = PreparedRequest(self.verb, self.address, fields, self.payload, self._body, self.jar)
        made._hooks, made.auth = self._hooks, self.auth
        return made

    # As people read and write it

    @property
    def method(self) -> str | None:
        """The method; `None` before it is known."""
        return self.verb.decode("ascii") or None

    @method.setter
    def method(self, method: str | None) -> None:
        self.verb = b"" if method is None else check_method(method)

    @property
    def url(self) -> str | None:
        """The URL, fragment included, credentials not; `None` before it is known.

        Setting it takes what `Session.get` takes.
        """
        return self.address.url or None

    @url.setter
    def url(self, url: str | bytes | None) -> None:
        self.address = _NOWHERE if url is None else addressed(text_of(url))

    @property
    def path_url(self) -> str:
        """Path and query: what stands in the request line."""
        return self.address.target

    @property
    def headers(self) -> Headers:
        """The fields, those that frame the body included, those the pool adds (Host, Connection) not.

        What is changed here is sent.
        """
        if self._headers is None:
            self._headers = shown_fields(self._framed_fields())
            self._shown = self._headers.revision
        return self._headers

    @headers.setter
    def headers(self, headers: HeadersArgument | None) -> None:
        self._headers = headers if isinstance(headers, Headers) else Headers(headers or ())
        self._shown = None

    @property
    def body(self) -> Any:
        """The body as bytes where the client encoded it, else as it was passed; set, it gets a length of its own."""
        return self._body

    @body.setter
    def body(self, body: Any) -> None:
        self._payload, self._body = prepare_body(body, EMPTY, self.verb), body
        self._frame_anew()

    @property
    def hooks(self) -> dict[str, list[Hook]]:
        """The functions that see the response, by event."""
        if self._hooks is None:
            self._hooks = default_hooks()
        return self._hooks

    @hooks.setter
    def hooks(self, hooks: HooksArgument) -> None:
        self._hooks = {"response": hooks_of(hooks)}

    @property
    def answer_hooks(self) -> list[Hook]:
        """The functions that see the response; no table is made for a request that has none."""
        return [] if self._hooks is None else self._hooks["response"]

    @property
    def _cookies(self) -> CookieJar:
        """The call's own cookies, by the name under which authentication schemes written for requests look for them."""
        if self.jar is None:
            with undivided:
                from keeppool.client.cookies import CookieJar

            self.jar = CookieJar()
        return self.jar

    # Preparing, step by step

    def prepare(
        self,
        method: str | None = None,
        url: str | bytes | None = None,
        headers: HeadersArgument | None = None,
        files: FilesArgument = None,
        data: DataArgument = None,
        params: ParamsArgument = None,
        auth: AuthArgument = None,
        cookies: CookiesArgument | None = None,
        hooks: HooksArgument = None,
        json: object = None,
    ) -> None:
        """Prepare everything, in the order in which one part may look at another; arguments as in `Request`.

        Raises:
            InvalidRequest: One of its children: something cannot be put into HTTP.
        """
        self.prepare_method(method)
        self.prepare_url(url, params)
        self.prepare_headers(headers)
        self.prepare_cookies(cookies)
        self.prepare_body(data, files, json)
        # Last, so that a scheme may sign all of it; hooks after it, because a scheme may add its own.
        self.prepare_auth(auth, url)
        self.prepare_hooks(hooks)

    def prepare_method(self, method: str | None) -> None:
        """Set the method, in upper case."""
        self.method = None if method is None else method.upper()

    def prepare_url(self, url: str | bytes | None, params: ParamsArgument) -> None:
        """Set the URL and add parameters to its query string.

        Raises:
            InvalidURL, MissingSchema: It is no URL. A scheme other than http and https is left to whoever sends it.
        """
        self.address = addressed(text_of(url)).with_query(encoded_query(None, params))

    def prepare_headers(self, headers: HeadersArgument | None) -> None:
        """Set the header fields; those that frame the body stay, unless they are among the new ones.

        Raises:
            InvalidHeader: One of them cannot be sent.
        """
        self.headers = Headers(merged(Headers(), headers))
        if FRAMES_BODY.isdisjoint(self.fields.names):
            self._frame_anew()

    def prepare_body(self, data: DataArgument, files: FilesArgument, json: object = None) -> None:
        """Set the body, and the fields that say what it is and how long.

        Where there was no body before, a Content-Length or Transfer-Encoding that is there already is meant for this
        one; else it was the old one's, and goes.

        Raises:
            InvalidBody, InvalidJSONError, InvalidHeader, BodyLengthError: It cannot be sent.
        """
        body, content_type = encoded_body(data, json, files)
        if self._payload is not None:
            self.body = body
        if content_type is not None and "Content-Type" not in self.headers:
            self.headers["Content-Type"] = content_type.decode("latin-1")
        if self._payload is None:
            self._payload, self._body = prepare_body(body, self.headers.block(), self.verb), body
            self._show_framing()

    def prepare_content_length(self, body: Any) -> None:
        """State how long a body is; `None` is empty, which GET and HEAD need not say."""
        payload = prepare_body(body, EMPTY, self.verb)
        if payload is not None and payload.length is not None:
            self.headers["Content-Length"] = str(payload.length)
        elif payload is None and self.verb not in (b"GET", b"HEAD") and "Content-Length" not in self.headers:
            self.headers["Content-Length"] = "0"

    def prepare_auth(self, auth: AuthArgument, url: str | bytes | None = "") -> None:
        """Let an authentication scheme sign the request as it stands.

        Args:
            auth: A (user, password) pair for Basic, or a function from prepared request to prepared request; `None`
                takes the credentials in the URL, if there are any.
            url: The URL as it was given, which may hold credentials.

        Raises:
            InvalidRequest: `auth` is neither.
        """
        credentials = addressed(text_of(url)).credentials if url else self.address.credentials
        scheme = auth if auth is not None else credentials
        if not scheme:  # As in requests, what is empty asks for no signature.
            return
        if isinstance(scheme, (tuple, list)) and len(scheme) == 2:
            self.headers["Authorization"] = basic_of_any(*scheme).decode("ascii")
            return
        check_auth(scheme)
        framed = self._framed()
        signed = scheme(self)
        if signed is not self and isinstance(signed, PreparedRequest):
            self.become(signed)
        if self._framed() != framed:
            # As in requests, a scheme need not know how long the body is that it has written.
            self._frame_anew()
        if hasattr(scheme, "answered"):
            self.auth = scheme

    def prepare_cookies(self, cookies: CookiesArgument | None) -> None:
        """Add the Cookie field that these cookies make for this URL; one that is there stays."""
        if cookies is None:
            return
        with undivided:
            from keeppool.client.cookies import jar_of, with_cookies

        self.jar = jar_of(cookies)
        made = with_cookies(self, None).fields.get(b"cookie")
        if made is not None:
            self.headers["Cookie"] = made.decode("latin-1")

    def prepare_hooks(self, hooks: HooksArgument) -> None:
        """Add functions that see the response."""
        for hook in hooks_of(hooks):
            self.register_hook("response", hook)

    def copy(self) -> Self:
        """Make an independent request; the body itself and the functions in `hooks` are shared."""
        made = type(self)()
        made.become(self)
        return made

    def become(self, other: PreparedRequest) -> None:
        """Take over everything from another request."""
        if other is self:
            return
        self.verb, self.address, self.auth = other.verb, other.address, other.auth
        self._fields, self._payload, self._body = other._fields, other._payload, other._body
        self.jar = None if other.jar is None else other.jar.copy()
        self._headers, self._shown = None, None
        if other._headers is not None:
            self._headers = other._headers.copy()
            self._shown = self._headers.revision if other._headers.revision is other._shown else None
        self._hooks = None if other._hooks is None else {event: [*found] for event, found in other._hooks.items()}

    def _framed(self) -> tuple[object, ...]:
        """Tell what somebody would change who changes the body or how it is framed."""
        return self._payload, self.headers.get("Content-Length"), self.headers.get("Transfer-Encoding")

    def _framed_fields(self) -> tuple[tuple[bytes, bytes], ...]:
        """List the fields, those that frame the body included."""
        return self._fields.pairs if self._payload is None else (*self._fields.pairs, *self._payload.framing.pairs)

    def _frame_anew(self) -> None:
        """Frame the body as it is by itself, and let the fields say nothing else."""
        if self._payload is not None:
            self._payload = self._payload.framed(None, chunked=False, method=self.verb)
        if self._headers is not None or not FRAMES_BODY.isdisjoint(self._fields.names):
            for name in ("Content-Length", "Transfer-Encoding"):
                self.headers.pop(name, None)
        self._show_framing()

    def _show_framing(self) -> None:
        """Let fields that somebody has been shown say how the body is framed now."""
        if self._headers is not None and self._payload is not None:
            for name, value in self._payload.framing.pairs:
                self._headers[name.decode()] = value.decode()

    def __reduce__(self) -> tuple[Any, ...]:
        fields = shown_fields(self._framed_fields()).block() if self._headers is None else self._headers.block()
        body = self._body if isinstance(self._body, (bytes, str)) else None
        return _rebuilt, (self.verb, self.address, fields, body)

    def __repr__(self) -> str:
        return f"<PreparedRequest [{self.method}]>"


def request_of(request: PreparedRequest | Parts) -> PreparedRequest:
    """Make a request of its parts, for somebody who wants to look at it."""
    return PreparedRequest(*request) if isinstance(request, tuple) else request


def _rebuilt(verb: bytes, address: Address, fields: FieldBlock, body: Any) -> PreparedRequest:
    """Build a pickled request again; without its body it is a record, and cannot be sent."""
    made = PreparedRequest(verb, address, fields, None, body)
    if body is not None:
        made.payload = prepare_body(body, fields, verb)
    return made
