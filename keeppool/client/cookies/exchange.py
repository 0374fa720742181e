"""Cookies of one exchange: what goes with a request of ours, what is kept of its response.

Decides: what becomes of a session's cookies and a call's own that are the same.
Knows: how http.cookiejar, whose jars a session may be given too, wants to see a request and a response.
Does not know: which cookies are taken and sent; the jar does.

Source: RFC 6265bis §5.7, §5.8.3.
"""

from __future__ import annotations

import http.cookiejar
from typing import Any, Protocol, Self, TypeVar, cast
from urllib.parse import urlsplit

from keeppool.client.arguments import CookiesArgument
from keeppool.client.cookies.jar import CookieJar, cookie_line
from keeppool.client.cookies.made import copied
from keeppool.client.cookies.matching import SECURE, Place, canonical, is_loopback
from keeppool.client.cookies.parse import CONTROL
from keeppool.client.cookies.store import key_of
from keeppool.urls.address import Address
from keeppool.wire.fields import FieldBlock, field_block
from keeppool.wire.head import ResponseHead


class CookieRequest(Protocol):
    """What is needed of a request."""

    jar: CookieJar | None

    @property
    def address(self) -> Address:
        """Where it goes."""

    @property
    def fields(self) -> FieldBlock:
        """Its header fields."""

    def with_fields(self, fields: FieldBlock) -> Self:
        """Make the same request with other header fields."""


_Request = TypeVar("_Request", bound=CookieRequest)


def jar_of(cookies: CookiesArgument) -> CookieJar:
    """Make a jar of its own from one call's cookies.

    Raises:
        InvalidRequest: Neither a mapping nor a jar.
        InvalidHeader: A name or value cannot be a cookie's.
    """
    jar = CookieJar()
    jar.update(cookies)
    return jar


def with_cookies(request: _Request, jar: http.cookiejar.CookieJar | None) -> _Request:
    """Add the Cookie header that a session's jar and the call's own cookies make; a Cookie header given stays.

    Source: RFC 6265bis §5.8.3.
    """
    if b"cookie" in request.fields.names:
        return request
    line = _line(_RequestView(request), request.jar, jar)
    if not line:
        return request
    return request.with_fields(request.fields.joined(field_block([("Cookie", line)])))


def keep_cookies(jar: http.cookiejar.CookieJar, request: CookieRequest, head: ResponseHead) -> None:
    """Put into `jar` what a response's Set-Cookie fields say, as far as it may be kept.

    Source: RFC 6265bis §5.6, §5.7.
    """
    keep_lines(jar, request, [value.decode("latin-1") for value in head.get_all(b"set-cookie")])


def keep_lines(jar: http.cookiejar.CookieJar, request: CookieRequest, lines: list[str]) -> None:
    """Put into `jar` what Set-Cookie fields in response to a request say, one character for each octet."""
    # One with a control character could not be sent back: of jars that are not ours it is kept away.
    kept = [line for line in lines if not CONTROL.search(line)]
    jar.extract_cookies(cast("Any", _ResponseView(kept)), cast("Any", _RequestView(request)))


def without_strays(jar: http.cookiejar.CookieJar) -> CookieJar:
    """Copy a jar without the cookies that belong to no domain."""
    kept = CookieJar()
    for cookie in jar:
        if cookie.domain:
            kept.set_cookie(copied(cookie))
    return kept


def _line(view: _RequestView, own: CookieJar | None, jar: http.cookiejar.CookieJar | None) -> str | None:
    """Write the Cookie field; a call's own cookie stands in place of the session's with the same name and home."""
    if own is None:
        if jar is not None:
            jar.add_cookie_header(cast("Any", view))
        return view.cookie
    if jar is not None and not isinstance(jar, CookieJar):
        # Such a jar can only be asked as a whole.
        both = http.cookiejar.CookieJar(cast("Any", jar)._policy)
        for cookie in (*jar, *own):
            both.set_cookie(copied(cookie))
        both.add_cookie_header(cast("Any", view))
        return view.cookie
    lent = own.cookies_for(cast("Any", view), None if jar is None else jar.get_policy())
    kept = [] if jar is None else jar.cookies_for(cast("Any", view))
    taken = {key_of(cookie) for cookie in lent}
    return cookie_line([*(cookie for cookie in kept if key_of(cookie) not in taken), *lent])


class _RequestView:
    """A request as http.cookiejar wants to see it (the part of urllib.request.Request that it uses)."""

    def __init__(self, request: CookieRequest) -> None:
        self.address = address = request.address
        self.type = address.scheme
        self.origin_req_host = host = address.host
        self.unverifiable = False
        self.cookie: str | None = None
        secure = address.scheme in SECURE or is_loopback(host)
        # A Host header given by hand names the site that is meant, whatever address is dialled.
        self._own_host = request.fields.get(b"host")
        if self._own_host is not None:
            host = _host_in(self.host)
            secure = address.scheme in SECURE or (secure and is_loopback(host))
        self.place = Place(address.scheme, host, str(address.port), address.target.partition("?")[0], secure)

    @property
    def host(self) -> str:
        return self.address.authority if self._own_host is None else self._own_host.decode("latin-1")

    def get_full_url(self) -> str:
        return f"{self.type}://{self.host}{self.address.target}"

    def has_header(self, name: str) -> bool:
        return name == "Cookie" and self.cookie is not None

    def get_header(self, _name: str, default: str | None = None) -> str | None:
        return default

    def add_unredirected_header(self, name: str, value: str) -> None:
        if name == "Cookie":
            self.cookie = value


class _ResponseView:
    """A response as http.cookiejar wants to see it: `info().get_all(name)`."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def info(self) -> Self:
        return self

    def get_all(self, name: str, default: list[str]) -> list[str]:
        # RFC 6265 §9.4 has done away with Set-Cookie2, for which the standard library still asks.
        return self._lines if name == "Set-Cookie" else default


def _host_in(authority: str) -> str:
    """Read the host of a Host header that was written by hand, and may be anything."""
    try:
        return canonical(urlsplit(f"//{authority}").hostname or "")
    except ValueError:
        return authority.lower()
