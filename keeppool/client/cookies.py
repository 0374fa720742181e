"""`CookieJar`: the standard library's jar that behaves like a dictionary, and its view of our requests and responses.

Decides: which of several settings a cookie made by hand gets, what a look-up by name means.
Knows: http.cookiejar's interfaces. Whether a cookie is taken or sent is that module's policy's to decide.
Does not know: when cookies are looked for; the session asks only if there are any.

Importing http.cookiejar costs more than the rest of the client: only who has a cookie imports this module.

Source: RFC 6265 §5.3 (storage), §5.4 (the Cookie header), by way of http.cookiejar's Netscape rules.
"""

from __future__ import annotations

import http.cookiejar
import re
import threading
from collections.abc import Iterator, Mapping, MutableMapping
from http.cookiejar import Cookie
from typing import Any, Protocol, Self, TypeVar, cast

from keeppool.client.arguments import CookiesArgument
from keeppool.errors import (
    InvalidHeader,
    InvalidRequest,
    quoted,
)
from keeppool.urls.address import Address
from keeppool.wire.fields import FieldBlock, field_block
from keeppool.wire.head import ResponseHead

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

_Jar = TypeVar("_Jar", bound="CookieJar")


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


class CookieConflictError(LookupError, RuntimeError):
    """A name by which several cookies are known."""


class CookieJar(http.cookiejar.CookieJar):
    """Cookies by domain, path and name, with the conveniences of a dictionary from name to value.

    Iteration gives `http.cookiejar.Cookie` objects; `keys`, `values`, `items` and `dict(jar)` give names and values.
    A cookie set by name alone belongs to no domain and is sent everywhere: say `domain=` for a secret.

    Thread safety: any thread.
    """

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CookieJar | dict):
            return NotImplemented
        return dict(self.items()) == dict(other.items())

    __hash__ = None  # type: ignore[assignment]

    #: The standard library's own; typeshed does not know it.
    _cookies_lock: threading.RLock

    def __bool__(self) -> bool:
        with self._cookies_lock:
            return next(super().__iter__(), None) is not None

    def __iter__(self) -> Iterator[Cookie]:
        # The inherited one looks while others write; this one gives what was there when it was called.
        with self._cookies_lock:
            return iter(list(super().__iter__()))

    def __contains__(self, name: object) -> bool:
        return any(cookie.name == name for cookie in self)

    def __getitem__(self, name: str) -> str | None:
        return self._one(name, None, None).value

    def __setitem__(self, name: str, value: str | None) -> None:
        self.set(name, value)

    def __delitem__(self, name: str) -> None:
        self._one(name, None, None)
        self.set(name, None)

    def get(
        self, name: str, default: str | None = None, domain: str | None = None, path: str | None = None
    ) -> str | None:
        """Return the value of the cookie called `name`, or `default`.

        Raises:
            CookieConflictError: Several domains or paths have one: say which.
        """
        try:
            return self._one(name, domain, path).value
        except KeyError:
            return default

    def set(self, name: str, value: str | None, **attributes: Any) -> Cookie | None:
        """Set a cookie by hand; `None` as its value removes it.

        Args:
            name: Its name.
            value: Its value.
            **attributes: As in `http.cookiejar.Cookie`: `domain`, `path`, `secure`, `expires` (seconds since 1970),
                `port`, `discard`, `rest`.

        Raises:
            InvalidHeader: Name or value is no text.
            TypeError: An attribute no cookie has.
        """
        if value is None:
            self._remove(name, attributes.get("domain"), attributes.get("path"))
            return None
        cookie = made_cookie(name, value, **attributes)
        self.set_cookie(cookie)
        return cookie

    def update(self, other: CookiesArgument) -> None:
        """Add the cookies of another jar, or set them from a mapping."""
        if isinstance(other, http.cookiejar.CookieJar):
            for cookie in other:
                self.set_cookie(_copied(cookie))
        elif isinstance(other, Mapping):
            for name, value in other.items():
                self.set(name, value)
        else:
            raise InvalidRequest(f"cookies must be a mapping or a CookieJar, not {type(other).__name__}")

    def keys(self) -> list[str]:
        """Return the names, one for each cookie."""
        return [cookie.name for cookie in self]

    def values(self) -> list[str | None]:
        """Return the values, in the order of `keys`."""
        return [cookie.value for cookie in self]

    def items(self) -> list[tuple[str, str | None]]:
        """Return names and values."""
        return [(cookie.name, cookie.value) for cookie in self]

    def pop(self, name: str, *default: str | None) -> str | None:
        """Take a cookie out and return its value, or `default` if there is none.

        Raises:
            KeyError: There is none, and no `default`.
            CookieConflictError: There are several.
        """
        if default and name not in self:
            return default[0]
        value = self[name]
        del self[name]
        return value

    def iterkeys(self) -> Iterator[str]:
        """Go through the names."""
        return iter(self.keys())

    def itervalues(self) -> Iterator[str | None]:
        """Go through the values."""
        return iter(self.values())

    def iteritems(self) -> Iterator[tuple[str, str | None]]:
        """Go through names and values."""
        return iter(self.items())

    def set_cookie(self, cookie: Cookie) -> None:
        """Keep a cookie. Quotes that a server has escaped inside a quoted value are taken out, as requests does."""
        value = cookie.value
        if value is not None and value.startswith('"') and value.endswith('"'):
            cookie.value = value.replace('\\"', "")
        super().set_cookie(cookie)

    def clear(self, domain: str | None = None, path: str | None = None, name: str | None = None) -> None:
        """Remove all cookies, or those of a domain, of a path there, or one by its name.

        Raises:
            KeyError: There is none.
            ValueError: A path without its domain, or a name without either.
        """
        # The inherited one does so without the lock, under the hands of threads that look for a request's cookies.
        with self._cookies_lock:
            super().clear(domain, path, name)

    def list_domains(self) -> list[str]:
        """Return the domains that have a cookie, each once."""
        return list(dict.fromkeys(cookie.domain for cookie in self))

    def list_paths(self) -> list[str]:
        """Return the paths that have a cookie, each once."""
        return list(dict.fromkeys(cookie.path for cookie in self))

    def multiple_domains(self) -> bool:
        """Tell whether there are cookies of more than one domain."""
        return len([domain for domain in self.list_domains() if domain]) > 1

    def get_policy(self) -> http.cookiejar.CookiePolicy:
        """Return what decides which cookies are taken and sent; `set_policy` replaces it."""
        return _policy_of(self)

    def get_dict(self, domain: str | None = None, path: str | None = None) -> dict[str, str | None]:
        """Return names and values as a dictionary, those of one domain or path if given."""
        return {cookie.name: cookie.value for cookie in self if _is_at(cookie, domain, path)}

    def copy(self) -> Self:
        """Make an independent jar with the same cookies and policy."""
        return _copy_of(self, type(self))

    def __getstate__(self) -> dict[str, Any]:
        # The lock cannot be pickled; everything else can.
        return {name: value for name, value in self.__dict__.items() if name != "_cookies_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _cookies_lock=threading.RLock())

    def _one(self, name: str, domain: str | None, path: str | None) -> Cookie:
        found = [cookie for cookie in self if cookie.name == name and _is_at(cookie, domain, path)]
        if not found:
            raise KeyError(name)
        if len(found) > 1:
            where = ", ".join(f"{cookie.domain}{cookie.path}" for cookie in found)
            raise CookieConflictError(f"{len(found)} cookies are called {name!r} ({where}): say domain= or path=")
        return found[0]

    def _remove(self, name: str, domain: str | None, path: str | None) -> None:
        with self._cookies_lock:
            for cookie in self:
                if cookie.name == name and _is_at(cookie, domain, path):
                    self.clear(cookie.domain, cookie.path, cookie.name)


def made_cookie(name: str, value: str, **attributes: Any) -> Cookie:
    """Make a cookie from what is given; without a domain it is sent everywhere, without `expires` it lasts for now."""
    if not isinstance(name, str) or not isinstance(value, str):
        raise InvalidHeader(f"cookie {quoted(name)}: name and value must be text", name=name)
    facts: dict[str, Any] = {"version": 0, "port": None, "domain": "", "path": "/", "secure": False, "expires": None}
    facts |= {"discard": True, "comment": None, "comment_url": None, "rest": {}, "rfc2109": False} | attributes
    return Cookie(
        name=name,
        value=value,
        port_specified=bool(facts["port"]),
        domain_specified=bool(facts["domain"]),
        domain_initial_dot=facts["domain"].startswith("."),
        path_specified=bool(facts["path"]),
        **facts,
    )


def jar_of(cookies: CookiesArgument) -> CookieJar:
    """Make a jar of its own from one call's cookies.

    Raises:
        InvalidRequest: Neither a mapping nor a jar.
    """
    jar = CookieJar()
    jar.update(cookies)
    return jar


def with_cookies(request: _Request, jar: http.cookiejar.CookieJar | None) -> _Request:
    """Add the Cookie header that a session's jar and the call's own cookies make; a Cookie header given stays.

    Source: RFC 6265 §5.4.
    """
    if b"cookie" in request.fields.names:
        return request
    if request.jar is not None:
        both = CookieJar() if jar is None else _copy_of(jar, CookieJar)
        both.update(request.jar)
        jar = both
    if jar is None:
        return request
    view = _RequestView(request)
    jar.add_cookie_header(cast("Any", view))
    if view.cookie is None:
        return request
    return request.with_fields(request.fields.joined(field_block([("Cookie", view.cookie)])))


def keep_cookies(jar: http.cookiejar.CookieJar, request: CookieRequest, head: ResponseHead) -> None:
    """Put into `jar` what a response's Set-Cookie fields say, as far as the jar's policy takes it.

    Source: RFC 6265 §5.2, §5.3.
    """
    keep_lines(jar, request, [value.decode("latin-1") for value in head.get_all(b"set-cookie")])


def keep_lines(jar: http.cookiejar.CookieJar, request: CookieRequest, lines: list[str]) -> None:
    """Put into `jar` what Set-Cookie fields in response to a request say."""
    # One with a control character could not be sent back (RFC 6265bis §5.6: ignored as a whole).
    lines = [line for line in lines if not _CONTROL.search(line)]
    jar.extract_cookies(cast("Any", _ResponseView(lines)), cast("Any", _RequestView(request)))


def without_strays(jar: http.cookiejar.CookieJar) -> CookieJar:
    """Copy a jar without the cookies that belong to no domain."""
    kept = CookieJar()
    for cookie in jar:
        if cookie.domain:
            kept.set_cookie(_copied(cookie))
    return kept


# By its methods it is one, but for iteration; requests' jar is one by inheritance.
MutableMapping.register(CookieJar)


class _RequestView:
    """A request as http.cookiejar wants to see it (the part of urllib.request.Request that it uses)."""

    def __init__(self, request: CookieRequest) -> None:
        address = request.address
        self.type = address.scheme
        # A Host header given by hand names the site that is meant, whatever address is dialled.
        own_host = request.fields.get(b"host")
        self.host = address.authority if own_host is None else own_host.decode("latin-1")
        self._url = f"{address.scheme}://{self.host}{address.target}"
        self.origin_req_host = address.host
        self.unverifiable = False
        self.cookie: str | None = None

    def get_full_url(self) -> str:
        return self._url

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


def _copy_of(jar: http.cookiejar.CookieJar, kind: type[_Jar]) -> _Jar:
    made = kind(_policy_of(jar))
    made.update(jar)
    return made


def _policy_of(jar: http.cookiejar.CookieJar) -> http.cookiejar.CookiePolicy:
    # http.cookiejar has no getter for the policy it was given.
    policy: http.cookiejar.CookiePolicy = cast("Any", jar)._policy
    return policy


def _is_at(cookie: Cookie, domain: str | None, path: str | None) -> bool:
    return (domain is None or cookie.domain == domain) and (path is None or cookie.path == path)


def _copied(cookie: Cookie) -> Cookie:
    made = Cookie.__new__(Cookie)
    made.__dict__.update(cookie.__dict__)
    return made
