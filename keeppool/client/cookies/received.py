"""From what a server says to a cookie that may be kept, or to the reason why not.

Decides: whose cookie it is, how long it lives, and which cookies are refused.
Knows: Set-Cookie, and where it came from.
Does not know: the cookies that are there already; that a Secure one is not covered by another, the jar sees to.

Source: RFC 6265bis §5.7 (the storage model), §4.1.3 (prefixes).
"""

from __future__ import annotations

from http.cookiejar import Cookie
from typing import Final

from keeppool.client.cookies.matching import Place, default_path, domain_matches, is_address
from keeppool.client.cookies.parse import SetCookie
from keeppool.client.cookies.suffixes import is_public_suffix

#: Longest life of a received cookie, in seconds: 400 days (RFC 6265bis §5.6.1 and §5.6.2; Chrome's number as well).
LONGEST_LIFE: Final = 400 * 24 * 3600
#: When a cookie ends that a server wants gone: in the past for every clock.
_GONE: Final = 0


def cookie_of(said: SetCookie, place: Place, now: int) -> Cookie:
    """Make the cookie that a Set-Cookie field asks for. Whether it is kept is another question.

    A cookie for the host alone has `domain_specified` false; one for a domain has a domain with a dot in front, as
    http.cookiejar has them.
    """
    domain = said.domain
    if domain == place.host and (is_address(domain) or is_public_suffix(domain)):
        domain = None
    expires = _end_of(said, now)
    rest: dict[str, str | None] = {**said.others}
    if said.http_only:
        rest["HttpOnly"] = None
    if said.same_site is not None:
        rest["SameSite"] = said.same_site
    return Cookie(
        version=0,
        name=said.name,
        value=said.value,
        port=None,
        port_specified=False,
        domain=place.host if domain is None else f".{domain}",
        domain_specified=domain is not None,
        domain_initial_dot=domain is not None and said.initial_dot,
        path=default_path(place.path) if said.path is None else said.path,
        path_specified=said.has_path,
        secure=said.secure,
        expires=expires,
        discard=expires is None,
        comment=None,
        comment_url=None,
        rest=rest,  # type: ignore[arg-type]  # A flag such as HttpOnly has no value; http.cookiejar says None too.
    )


def why_refused(cookie: Cookie, place: Place) -> str | None:
    """Say why a cookie is not taken from where it came; `None` if it may be.

    Source: RFC 6265bis §5.7, steps 8 to 10, 13, 19 to 22.
    """
    return _of_its_domain(cookie, place) or _of_its_flags(cookie, place) or _of_its_prefix(cookie)


def is_for_host_only(cookie: Cookie) -> bool:
    """Tell whether a cookie is for one host, not for the hosts below it."""
    return not cookie.domain_specified and not cookie.domain.startswith(".")


def _end_of(said: SetCookie, now: int) -> int | None:
    """Tell when a cookie ends, in seconds since 1970; `None` for the end of the session."""
    if said.max_age is not None:
        return now + min(said.max_age, LONGEST_LIFE) if said.max_age > 0 else _GONE
    return None if said.expires is None else min(said.expires, now + LONGEST_LIFE)


def _of_its_domain(cookie: Cookie, place: Place) -> str | None:
    domain = cookie.domain.removeprefix(".")
    if is_for_host_only(cookie):
        # http.cookiejar, whose jars may ask too, adds `.local` to a name without a dot.
        return None if domain in (place.host, f"{place.host}.local") else "it is for another host"
    if not domain.isascii():
        return "its domain is not in A-labels"
    if domain == place.host:
        return None
    if not domain_matches(place.host, domain):
        return "the host is not in its domain"
    return "its domain is a public suffix" if is_public_suffix(domain) else None


def _of_its_flags(cookie: Cookie, place: Place) -> str | None:
    if cookie.secure:
        return None if place.secure else "it is Secure and the connection is not"
    return "it is SameSite=None and not Secure" if cookie.get_nonstandard_attr("SameSite") == "None" else None


def _of_its_prefix(cookie: Cookie) -> str | None:
    """Hold a name to what its prefix promises; a value without a name must not look like one."""
    name = cookie.name.lower()
    if not name:
        value = (cookie.value or "").lower()
        return "it has no name and poses as a prefix" if value.startswith(("__secure-", "__host-")) else None
    if name.startswith(("__secure-", "__host-")) and not cookie.secure:
        return "its prefix asks for Secure"
    if name.startswith("__host-"):
        if not is_for_host_only(cookie):
            return "its prefix allows no Domain"
        if not cookie.path_specified or cookie.path != "/":
            return "its prefix asks for Path=/"
    return None
