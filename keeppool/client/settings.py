"""The settings of a session for all its requests: headers, cookies, authentication, and what follows a redirect.

Decides: what a request takes from its session; by which way it goes, `routing.py` decides.
Knows: requests' attributes and their meaning.
Does not know: how anything is sent. `Session` and `AsyncSession` are built on this.

Source: RFC 9110 §15.4 (following redirects), RFC 6265bis §5 (keeping cookies).
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from keeppool.checks import bad
from keeppool.client.arguments import (
    AuthArgument,
    CertArgument,
    DataArgument,
    FilesArgument,
    HeadersArgument,
    ParamsArgument,
)
from keeppool.client.auth.netrc import Netrc
from keeppool.client.environment import Environment
from keeppool.client.request.encode import check_auth, encoded_query
from keeppool.client.request.headers import Headers, pairs_of, text_name
from keeppool.client.request.hooks import hooks_of
from keeppool.client.request.prepare import authenticated, prepare
from keeppool.client.request.prepared import PreparedRequest
from keeppool.client.request.urls import text_of
from keeppool.client.response import redirect
from keeppool.client.retries import RetriesArgument, retrying_of
from keeppool.client.routing import Routing
from keeppool.config import HostConfig, Inherit, Timeout, TimeoutArgument
from keeppool.deferred import Deferred
from keeppool.forks import undivided
from keeppool.pools.request import default_fields
from keeppool.urls.address import Address, addressed, is_same_origin
from keeppool.wire.fields import FieldBlock
from keeppool.wire.request import check_method

if TYPE_CHECKING:
    from http.cookiejar import CookieJar as StandardCookieJar

    from keeppool.client import base_url as base_urls
    from keeppool.client.arguments import CookiesArgument, HooksArgument
    from keeppool.client.cookies import CookieJar
    from keeppool.client.request.request import Request
    from keeppool.client.response.base import BaseResponse
    from keeppool.client.retries.retrying import Retrying
else:
    # For those who set one.
    base_urls = Deferred("keeppool.client.base_url")

#: requests' figure. Browsers give up after 20, curl after 50.
MAX_REDIRECTS = 30
#: Timeouts, TLS settings and proxies a program passes by hand are a handful.
_REMEMBERED = 64

#: What a session makes for itself wherever it is.
_MADE_ANEW = frozenset(("_environment", "_making", "_netrc", "_standing"))


class SessionSettings(Routing):
    """The settings of a session, and what follows from them for one request.

    Attributes:
        auth: Signs every request that brings no `auth` of its own: a (user, password) pair or a function.
        max_redirects: How many redirects one call follows.
        params: Query parameters of every request.
        follow_redirects: Whether calls follow redirects that do not say themselves.
    """

    def __init__(self, retries: RetriesArgument) -> None:
        Routing.__init__(self)
        self.follow_redirects = True
        self._base: base_urls.BaseUrl | None = None
        self.auth: AuthArgument = None
        self.max_redirects = MAX_REDIRECTS
        self.params: ParamsArgument = {}
        self._headers = Headers((name.decode(), value.decode()) for name, value in default_fields().pairs)
        self._headers["Accept"] = "*/*"
        self._jar: StandardCookieJar | None = None
        self._netrc = Netrc()
        self.retries = retries
        #: Guards the first making of `_jar`.
        self._making = threading.Lock()

    @property
    def base_url(self) -> str | None:
        """What relative URLs are appended to, with the `/` at its end; `None` for nothing. May be set."""
        return None if self._base is None else self._base.url

    @base_url.setter
    def base_url(self, base_url: str | None) -> None:
        self._base = None if base_url is None or base_url == "" else base_urls.BaseUrl(base_url)

    def _begin_with(
        self,
        headers: HeadersArgument | None,
        params: ParamsArgument,
        cookies: CookiesArgument | None,
        auth: AuthArgument,
        verify: bool | str | None,
        cert: CertArgument,
        proxy: str | None,
        follow_redirects: bool,
    ) -> None:
        """Take what a session's maker gives; `None` leaves it as it is.

        Raises:
            ConfigError, InvalidRequest: One of them is of the wrong type or out of range.
        """
        check_auth(auth)
        self.auth = auth
        for name, value in pairs_of(headers or ()):
            self._headers[text_name(name)] = value
        self._headers.block()  # Checks them.
        if params:
            self.params = _own(params)
            encoded_query(self.params, None)  # Checks them.
        if cookies is not None:
            self.cookies = cookies
        if verify is not None:
            self.verify = verify
        if cert is not None:
            self.cert = cert
        if proxy is not None:
            HostConfig(proxy=proxy)  # Checks it.
            self.proxies = {"all": proxy}
        if not isinstance(follow_redirects, bool):
            raise bad("follow_redirects", follow_redirects, "must be True or False")
        self.follow_redirects = follow_redirects

    @property
    def headers(self) -> Headers:
        """Header fields of every request; change them or assign a mapping. `None` as a value sends none."""
        return self._headers

    @headers.setter
    def headers(self, headers: HeadersArgument) -> None:
        self._headers = headers if isinstance(headers, Headers) else Headers(headers)

    @property
    def cookies(self) -> CookieJar:
        """The cookies kept from responses, and sent. Any `http.cookiejar` jar, or a mapping, may be set."""
        if self._jar is None:
            with undivided:
                from keeppool.client.cookies import CookieJar

            with self._making:
                if self._jar is None:
                    self._jar = CookieJar()
        return self._jar  # type: ignore[return-value]  # whoever sets another kind of jar gets that

    @cookies.setter
    def cookies(self, cookies: CookiesArgument) -> None:
        with undivided:
            from http.cookiejar import CookieJar as StandardCookieJar

            from keeppool.client.cookies import jar_of

        self._jar = cookies if isinstance(cookies, StandardCookieJar) else jar_of(cookies)

    @property
    def retries(self) -> Retrying | None:
        """How calls are tried again; a number or a `urllib3.util.Retry` may be set, `None` or 0 for not at all."""
        return self._retrying

    @retries.setter
    def retries(self, retries: RetriesArgument) -> None:
        self._retrying = retrying_of(retries)

    # From arguments to a request

    def prepare_request(self, request: Request) -> PreparedRequest:
        """Make a request ready to be sent, with everything this session adds to it.

        Args:
            request: As its caller wrote it.

        Returns:
            The request, to be looked at, changed, and given to `send`.

        Raises:
            InvalidRequest: One of its children: something cannot be put into HTTP. Nothing was sent.
        """
        method = check_method((request.method or "").upper())
        url = text_of(request.url)
        address = addressed(url if self._base is None else self._base.joined(url))
        return self._prepared(
            method,
            address,
            request.params or None,
            request.data,
            request.json,
            request.headers or None,
            request.cookies,
            request.files,
            request.auth,
            request.hooks,
        )

    def _prepared(
        self,
        method: bytes,
        address: Address,
        params: ParamsArgument,
        data: DataArgument,
        json: object,
        headers: HeadersArgument | None,
        cookies: CookiesArgument | None,
        files: FilesArgument,
        auth: AuthArgument,
        hooks: HooksArgument,
    ) -> PreparedRequest:
        request = prepare(method, address, self._headers, headers, self.params, params, data, json, files)
        if cookies is not None:
            with undivided:
                from keeppool.client.cookies import jar_of

            request.jar = jar_of(cookies)
        request = self.with_cookies(request)
        request = self._signed(request, auth)
        # Last, because a scheme may have hooks of its own, that answer a challenge.
        if found := hooks_of(hooks):
            request.prepare_hooks({"response": found})
        return request

    def _signed(self, request: PreparedRequest, auth: AuthArgument) -> PreparedRequest:
        """Sign a request: what the call says wins over what the session, the netrc file and the URL say, in this order.

        What is empty, such as `()`, asks for no signature; as in requests, only the netrc file does not care.
        """
        signer = self.auth if auth is None else auth
        if signer:
            return authenticated(request, signer)
        signed = request if self.auth else self.signed_by_netrc(request)
        credentials = request.address.credentials
        if signed is request and signer is None and credentials is not None:
            return authenticated(request, credentials)
        return signed

    def with_cookies(self, request: PreparedRequest) -> PreparedRequest:
        """Add the Cookie header, if there are cookies at all."""
        if request.jar is None and not self._jar:
            return request
        from keeppool.client.cookies import with_cookies

        return with_cookies(request, self._jar)

    def _may_have_cookies(self, address: Address, fields: FieldBlock) -> bool:
        """Tell whether a request may carry cookies. Those of other hosts cost it nothing, however many there are."""
        # A jar that is not ours can only be asked for all it has; a Host header by hand is the cookies' host.
        asks = getattr(self._jar, "may_hold_for", None)
        return bool(self._jar) if asks is None or b"host" in fields.names else bool(asks(address.host))

    def keep_cookies(self, response: BaseResponse) -> None:
        """Put the cookies a response sets into the jar, and let it know whose it is: they count for what comes next."""
        response.belongs_to(self)
        head = response.raw.head
        if b"set-cookie" in head.index:
            with undivided:
                from keeppool.client.cookies import keep_cookies

            keep_cookies(self._jar_for(response), response.request, head)

    def _jar_for(self, response: BaseResponse) -> StandardCookieJar:
        """Find the jar that keeps what a response sets."""
        return self.cookies

    def signed_by_netrc(self, request: PreparedRequest) -> PreparedRequest:
        """Add the credentials the netrc file has for a host, unless the request brings a header of its own."""
        if not self.trust_env or b"authorization" in request.fields.names:
            return request
        settings = self._environment.read()
        netrc = None if settings is None else settings.netrc
        if not self._netrc.is_there(netrc):
            return request
        credentials = self._netrc.credentials_for(request.address.host, netrc)
        return request if credentials is None else authenticated(request, credentials)

    def next_request(self, response: BaseResponse, location: str, *, is_sent: bool = False) -> PreparedRequest:
        """Make the request that follows a redirect. Its body is at its start, if that can be had again.

        Args:
            response: The redirect.
            location: Where it leads.
            is_sent: It is sent now, so a body that cannot be had again is an error.

        Raises:
            InvalidURL: It leads to nothing that can be requested.
            UnrewindableBodyError: See `is_sent`.
        """
        first = response.request
        request = redirect.next_request(first.copy(), response.status_code, location)
        rewind_for(request, is_sent)
        self._sign_again(request, is_same_origin(first.address, request.address))
        return self.with_cookies(request)

    def _sign_again(self, request: PreparedRequest, stays: bool) -> None:
        """Take off credentials that are not for where a redirect leads, and put on those that are.

        A scheme that signs each request by itself, such as Digest, signs anew; the netrc file may know the new host.

        Args:
            request: The request that follows, with the redirected one's Authorization field.
            stays: What authenticates the one may authenticate the other.
        """
        if not stays:
            request.become(redirect.unsigned(request))
        elif request.auth is not None:
            request.become(request.auth(request))
            # Whether there is a proxy on this way, and which, the scheme cannot know.
            request.headers.pop("Proxy-Authorization", None)
        request.become(self.signed_by_netrc(request))

    # From a request to where and how it is sent

    def timeout_for(self, address: Address, override: HostConfig | None) -> Timeout:
        """Tell which waits hold for a request that brings none of its own."""
        return self.pool.timeout_for(address, override)

    def _limit(self, timeout: TimeoutArgument | Inherit) -> Timeout | None:
        if isinstance(timeout, Inherit):
            return None
        if isinstance(timeout, Timeout):
            return timeout
        base = self.pool.config.timeout
        try:
            return _timeout_of(timeout, base)
        except TypeError:  # Not hashable, so none of the forms; the error for that comes from there.
            return Timeout.of(timeout, base)

    def __getstate__(self) -> dict[str, Any]:
        # The lock cannot be pickled, and another process has an environment of its own: its proxies, with the passwords
        # in their URLs, do not travel. The pool knows for itself what of it does.
        return {name: value for name, value in self.__dict__.items() if name not in _MADE_ANEW}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _making=threading.Lock(), _environment=Environment(), _netrc=Netrc())
        self._standing = (None, {})


def _own(params: ParamsArgument) -> ParamsArgument:
    """Copy what its giver may go on to change; an iterator can be read once only."""
    if isinstance(params, Mapping):
        return dict(params)
    return list(params) if isinstance(params, (list, Iterator)) else params


def rewind_for(request: PreparedRequest, is_sent: bool) -> None:
    """Put a body back to its start before the request is signed: a signature may cover it."""
    if request.payload is not None and (is_sent or request.payload.may_replay()):
        request.payload.rewind()


@functools.lru_cache(maxsize=_REMEMBERED, typed=True)
def _timeout_of(value: TimeoutArgument, base: Timeout) -> Timeout:
    return Timeout.of(value, base)
