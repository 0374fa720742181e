"""`CookieJar`: http.cookiejar's interface over RFC 6265bis, with a dictionary's methods.

Decides: that a Secure cookie is not covered from an insecure place, and who is asked about each cookie.
Knows: http.cookiejar's interfaces, which other libraries call.
Does not know: when cookies are looked for; the session asks only if there are any.

Importing http.cookiejar costs more than the rest of the client: only who has a cookie imports this room.

Source: RFC 6265bis §5.7 (storage), §5.8.3 (the Cookie field).
"""

from __future__ import annotations

import http.cookiejar
import threading
import time
from collections.abc import Iterable, Iterator
from http.cookiejar import Cookie
from typing import TYPE_CHECKING, Any, Self

from keeppool.client.cookies.by_name import NamedCookies
from keeppool.client.cookies.made import copied
from keeppool.client.cookies.matching import Place, canonical, domains_of, path_matches, place_of
from keeppool.client.cookies.parse import parse_set_cookie
from keeppool.client.cookies.policy import (
    CookiePolicy,
    asks_for_domains,
    is_domain_open,
    is_path_open,
    is_plain,
    may_be_sent,
    may_be_set,
)
from keeppool.client.cookies.received import cookie_of, is_for_host_only
from keeppool.client.cookies.store import Key, Store, key_of

if TYPE_CHECKING:
    from http.client import HTTPResponse
    from urllib.request import Request


class CookieJar(NamedCookies):
    """Cookies by domain, path and name, with the conveniences of a dictionary from name to value.

    Iteration gives `http.cookiejar.Cookie` objects; `keys`, `values`, `items` and `dict(jar)` give names and values.
    A cookie set by name alone belongs to no domain and is sent everywhere: say `domain=` for a secret.

    Args:
        policy: Is asked besides RFC 6265bis; see `keeppool.cookies.CookiePolicy`.

    Thread safety: any thread.
    """

    #: The standard library's own; typeshed does not know them.
    _policy: http.cookiejar.CookiePolicy
    _now: int

    def __init__(self, policy: http.cookiejar.CookiePolicy | None = None) -> None:
        # By name: between the two may be a jar with files, whose first argument is another one.
        http.cookiejar.CookieJar.__init__(self, CookiePolicy() if policy is None else policy)

    @property
    def _cookies(self) -> dict[str, dict[str, dict[str, Cookie]]]:
        # Under its name in http.cookiejar: that is where programs look, and its own loading and reverting set it.
        return self._store.nested

    @_cookies.setter
    def _cookies(self, cookies: dict[str, dict[str, dict[str, Cookie]]]) -> None:
        self._store = Store(cookies)

    def __bool__(self) -> bool:
        return self._store.count > 0

    def __len__(self) -> int:
        return self._store.count

    def __iter__(self) -> Iterator[Cookie]:
        # The inherited one looks while others write; this one gives what was there when it was asked.
        with self._cookies_lock:
            return iter([self._found(key) for key in self._keys()])

    def copy(self) -> Self:
        """Make an independent jar with the same cookies and policy."""
        made = type(self).__new__(type(self))
        with self._cookies_lock:
            made.__setstate__(self.__getstate__())
        return made

    # As http.cookiejar has it

    def get_policy(self) -> http.cookiejar.CookiePolicy:
        """Return what is asked which cookies are taken and sent; `set_policy` replaces it."""
        return self._policy

    def set_cookie(self, cookie: Cookie) -> None:
        """Keep a cookie, whatever a policy says; a domain in another spelling than URLs have is brought into theirs."""
        domain = canonical(cookie.domain)
        if domain != cookie.domain:
            cookie = copied(cookie)
            cookie.domain = domain
        with self._cookies_lock:
            if domain and cookie.domain_specified:
                # With a dot or without, by hand or from a server: for the RFC one domain, and one cookie.
                twin = (domain.removeprefix(".") if domain.startswith(".") else f".{domain}", cookie.path, cookie.name)
                other = self._store.find(twin)
                if other is not None and other.domain_specified:
                    self._store.drop(twin)
            self._store.put(cookie)

    def set_cookie_if_ok(self, cookie: Cookie, request: Request) -> None:
        """Keep a cookie if it may be set from where a request went."""
        with self._cookies_lock:
            self._policy._now = self._now = int(time.time())  # type: ignore[attr-defined]  # http.cookiejar's way.
            self._take(cookie, place_of(request), request)

    def make_cookies(self, response: HTTPResponse, request: Request) -> list[Cookie]:
        """Read the cookies a response sets, those that may not be kept and those that have ended included."""
        place, now = place_of(request), int(time.time())
        lines = response.info().get_all("Set-Cookie", [])
        return [cookie_of(said, place, now) for said in map(parse_set_cookie, lines) if said is not None]

    def extract_cookies(self, response: HTTPResponse, request: Request) -> None:
        """Keep the cookies a response sets, as far as the RFC and the policy allow it."""
        with self._cookies_lock:
            if not getattr(self._policy, "netscape", True):
                return  # http.cookiejar's word for all cookies of Set-Cookie.
            self._store.take_out_ended(int(time.time()))
            for cookie in self.make_cookies(response, request):
                self.set_cookie_if_ok(cookie, request)

    def add_cookie_header(self, request: Request) -> None:
        """Add the Cookie field to a request, if it has none and there are cookies for it."""
        line = cookie_line(self._cookies_for_request(request))
        if line and not request.has_header("Cookie"):
            request.add_unredirected_header("Cookie", line)

    def cookies_for(self, request: Request, policy: http.cookiejar.CookiePolicy | None = None) -> list[Cookie]:
        """List the cookies that go with a request, the oldest first.

        Args:
            request: As those of `urllib.request`.
            policy: Asked in place of the jar's own.

        Source: RFC 6265bis §5.8.3.
        """
        place, now = place_of(request), int(time.time())
        with self._cookies_lock:
            policy = policy or self._policy
            policy._now = self._now = now  # type: ignore[attr-defined]  # http.cookiejar's way.
            self._store.take_out_ended(now)
            if isinstance(policy, CookiePolicy) and is_plain(policy):
                found = [cookie for cookie in self._near(place) if policy.sends(cookie, place, now)]
            else:
                found = self._allowed(policy, place, request, now)
            for cookie in found:
                self._store.use(key_of(cookie))
            return sorted(found, key=self._store.order_of)

    _cookies_for_request = cookies_for

    def may_hold_for(self, host: str) -> bool:
        """Tell whether there may be cookies for a host, at the cost of its labels alone.

        Args:
            host: As an `Address` has it.
        """
        nested = self._store.nested
        if not nested or nested.keys().isdisjoint(domains_of(host)):
            return bool(nested) and asks_for_domains(self._policy)
        return True

    def clear(self, domain: str | None = None, path: str | None = None, name: str | None = None) -> None:
        """Remove all cookies, or those of a domain, of a path there, or one by its name.

        Raises:
            KeyError: There is none.
            ValueError: A path without its domain, or a name without either.
        """
        if (name is not None and path is None) or (path is not None and domain is None):
            raise ValueError("a name needs its domain and path, and a path its domain")
        with self._cookies_lock:
            if domain is None:
                self._cookies = {}
                return
            at = domain if domain in self._cookies else canonical(domain)
            by_path = self._cookies[at]
            paths = list(by_path) if path is None else [path]
            keys = [(at, each, key) for each in paths for key in by_path[each] if name is None or key == name]
            if not keys:
                raise KeyError(name)
            for key in keys:
                self._store.drop(key)

    def clear_session_cookies(self) -> None:
        """Remove the cookies that end with the session."""
        self._clear_those([key for key in self._keys() if self._found(key).discard])

    def clear_expired_cookies(self) -> None:
        """Remove the cookies that have ended; a few of them go with each request in any case."""
        now = int(time.time())
        self._clear_those([key for key in self._keys() if self._found(key).is_expired(now)])

    def __getstate__(self) -> dict[str, Any]:
        # The lock cannot be pickled, and the store is made anew of the cookies.
        with self._cookies_lock:
            state = {name: value for name, value in self.__dict__.items() if name not in ("_cookies_lock", "_store")}
            nested = {
                domain: {path: {name: copied(by_name[name]) for name in by_name} for path, by_name in by_path.items()}
                for domain, by_path in self._cookies.items()
            }
            return state | {"_cookies": nested, "_received": self._store.received()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        kept = dict(state)
        nested, received = kept.pop("_cookies", {}), kept.pop("_received", ())
        self.__dict__.update(kept, _cookies_lock=threading.RLock(), _store=Store(nested, received))

    # Inside

    def _take(self, cookie: Cookie, place: Place, request: Request) -> None:
        """Keep a cookie that may be kept, or take out the one that it ends."""
        if not may_be_set(self._policy, cookie, request) or self._covers_secure(cookie, place):
            return
        if cookie.is_expired(self._now):
            self._store.drop(key_of(cookie))
            return
        self.set_cookie(cookie)
        # A jar of a program's own may have kept another one, or none.
        if self._store.find(key_of(cookie)) is not None:
            self._store.receive(key_of(cookie))

    def _covers_secure(self, cookie: Cookie, place: Place) -> bool:
        """Tell whether a cookie from an insecure place would stand before or in the place of a Secure one.

        Source: RFC 6265bis §5.7, step 16.
        """
        if cookie.secure or place.secure:
            return False
        domain = cookie.domain.removeprefix(".")
        if self._store.has_secure_below(domain, cookie.name, cookie.path):
            return True
        for parent in domains_of(domain)[2:]:
            for path, by_name in self._cookies.get(parent, {}).items():
                other = by_name.get(cookie.name) if parent and path_matches(cookie.path, path) else None
                if other is not None and other.secure and not other.is_expired(self._now):
                    return True
        return False

    def _near(self, place: Place) -> Iterator[Cookie]:
        """Go through the cookies of a host and of the domains it is in, whose path is the request's."""
        for domain in domains_of(place.host):
            for path, by_name in self._cookies.get(domain, {}).items():
                if path_matches(place.path, path):
                    yield from by_name.values()

    def _allowed(self, policy: http.cookiejar.CookiePolicy, place: Place, request: Request, now: int) -> list[Cookie]:
        """List what a policy of a program's own lets go; if it judges domains itself, all of them are shown to it."""
        judges = asks_for_domains(policy)
        found: list[Cookie] = []
        for domain in list(self._cookies) if judges else domains_of(place.host):
            if domain not in self._cookies or not is_domain_open(policy, domain, request):
                continue
            for path, by_name in self._cookies[domain].items():
                if is_path_open(policy, path, place, request):
                    found += [
                        cookie
                        for cookie in by_name.values()
                        if (judges or domain == place.host or not is_for_host_only(cookie) or not domain)
                        and may_be_sent(policy, cookie, request, now)
                    ]
        return found

    def _keys(self) -> list[Key]:
        with self._cookies_lock:
            return [
                (domain, path, name)
                for domain, by_path in self._cookies.items()
                for path, by_name in by_path.items()
                for name in by_name
            ]

    def _found(self, key: Key) -> Cookie:
        domain, path, name = key
        return self._cookies[domain][path][name]

    def _clear_those(self, keys: Iterable[Key]) -> None:
        with self._cookies_lock:
            for key in keys:
                self._store.drop(key)


def cookie_line(cookies: Iterable[Cookie]) -> str:
    """Write a Cookie field: longer paths first, and of equal ones the one that is given first.

    Source: RFC 6265bis §5.8.3, steps 2 and 4.
    """
    ordered = sorted(cookies, key=lambda cookie: -len(cookie.path))
    return "; ".join(map(_pair, ordered))


def _pair(cookie: Cookie) -> str:
    if cookie.value is None:  # http.cookiejar's way to write a cookie without a name.
        return cookie.name
    return f"{cookie.name}={cookie.value}" if cookie.name else cookie.value
