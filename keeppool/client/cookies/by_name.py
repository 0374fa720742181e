"""The jar as a dictionary from names to values, with the methods of requests' jar.

Decides: what a look-up by name means where several cookies have it, what a value of `None` does.
Does not know: which cookies are taken and sent, and where they lie; `jar.py` does.
"""

from __future__ import annotations

import http.cookiejar
import threading
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from http.cookiejar import Cookie
from typing import Any

from keeppool.client.arguments import CookiesArgument
from keeppool.client.cookies.made import copied, made_cookie
from keeppool.client.cookies.matching import canonical
from keeppool.client.cookies.store import Key, key_of
from keeppool.errors import InvalidRequest


class CookieConflictError(LookupError, RuntimeError):
    """A name by which several cookies are known."""


class NamedCookies(http.cookiejar.CookieJar):
    """A jar's cookies by their names. Iteration gives the cookies themselves, `keys` and `items` their names."""

    #: The standard library's own; typeshed does not know it.
    _cookies_lock: threading.RLock

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NamedCookies | dict):
            return NotImplemented
        return dict(self.items()) == dict(other.items())

    __hash__ = None  # type: ignore[assignment]

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
            name: Its name; empty for a value alone.
            value: Its value.
            **attributes: As in `http.cookiejar.Cookie`: `domain` (it is sent to the hosts below it too), `path`,
                `secure`, `expires` (seconds since 1970), `port`, `discard`, `rest`.

        Raises:
            InvalidHeader: Name or value is no text, or holds what a cookie cannot hold; nothing was set.
            TypeError: An attribute no cookie has.
        """
        if value is None:
            self._remove(name, attributes.get("domain"), attributes.get("path"))
            return None
        cookie = made_cookie(name, value, **attributes)
        self.set_cookie(cookie)
        return cookie

    def update(self, other: CookiesArgument) -> None:
        """Add the cookies of another jar, or set them from a mapping.

        Raises:
            InvalidRequest: It is neither.
            InvalidHeader: One of the mapping's names or values cannot be a cookie's; none was set.
        """
        if isinstance(other, http.cookiejar.CookieJar):
            for cookie in [copied(cookie) for cookie in other]:
                self.set_cookie(cookie)
        elif isinstance(other, Mapping):
            made = {name: None if value is None else made_cookie(name, value) for name, value in other.items()}
            for name, cookie in made.items():
                if cookie is None:
                    self.set(name, None)
                else:
                    self.set_cookie(cookie)
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
        with self._cookies_lock:
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

    def list_domains(self) -> list[str]:
        """Return the domains that have a cookie, each once; one with a dot holds for the hosts below it too."""
        return list(dict.fromkeys(cookie.domain for cookie in self))

    def list_paths(self) -> list[str]:
        """Return the paths that have a cookie, each once."""
        return list(dict.fromkeys(cookie.path for cookie in self))

    def multiple_domains(self) -> bool:
        """Tell whether there are cookies of more than one domain."""
        return len([domain for domain in self.list_domains() if domain]) > 1

    def get_dict(self, domain: str | None = None, path: str | None = None) -> dict[str, str | None]:
        """Return names and values as a dictionary, those of one domain or path if given."""
        return {cookie.name: cookie.value for cookie in self._at(domain, path)}

    def _clear_those(self, keys: Iterable[Key]) -> None:
        raise NotImplementedError

    def _at(self, domain: str | None, path: str | None) -> list[Cookie]:
        at = None if domain is None else canonical(domain)
        return [cookie for cookie in self if at in (None, cookie.domain) and path in (None, cookie.path)]

    def _one(self, name: str, domain: str | None, path: str | None) -> Cookie:
        found = [cookie for cookie in self._at(domain, path) if cookie.name == name]
        if not found:
            raise KeyError(name)
        if len(found) > 1:
            where = ", ".join(f"{cookie.domain}{cookie.path}" for cookie in found)
            raise CookieConflictError(f"{len(found)} cookies are called {name!r} ({where}): say domain= or path=")
        return found[0]

    def _remove(self, name: str, domain: str | None, path: str | None) -> None:
        with self._cookies_lock:
            self._clear_those([key_of(cookie) for cookie in self._at(domain, path) if cookie.name == name])


# By its methods it is one, but for iteration; requests' jar is one by inheritance.
MutableMapping.register(NamedCookies)
