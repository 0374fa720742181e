"""`CookiePolicy`: RFC 6265bis as http.cookiejar asks for it, and how a policy of a program's own is heard.

Decides: which cookies are sent with a request; with `received.py`, which are taken.
Knows: http.cookiejar's policies, and what they call a host without a dot (`localhost.local`).
Does not know: where cookies lie.

The rules of the RFC hold, and a policy is asked besides. Where a policy's class has code of its own for a question, its
code alone decides it, as in http.cookiejar: a program may have its reasons to allow what the RFC refuses.

Source: RFC 6265bis §5.8.3 (retrieval).
"""

from __future__ import annotations

import time
from http.cookiejar import Cookie, DefaultCookiePolicy
from http.cookiejar import CookiePolicy as StandardPolicy
from typing import TYPE_CHECKING, Final

from keeppool.client.cookies.made import copied
from keeppool.client.cookies.matching import SECURE, Place, domain_matches, path_matches, place_of
from keeppool.client.cookies.received import is_for_host_only, why_refused

if TYPE_CHECKING:
    from urllib.request import Request


_QUESTIONS: Final = ("set_ok", "return_ok", "domain_return_ok", "path_return_ok")
#: With the parts in which `DefaultCookiePolicy` asks itself whether a cookie may be set.
_SETTING: Final = (
    "set_ok",
    *(f"set_ok_{part}" for part in ("version", "verifiability", "name", "path", "domain", "port")),
)


class CookiePolicy(DefaultCookiePolicy):
    """What a jar of keeppool's goes by where nothing else is set. Subclass it to refuse more.

    Arguments and methods are `http.cookiejar.DefaultCookiePolicy`'s. Of the arguments `blocked_domains`,
    `allowed_domains` and `secure_protocols` count; what the others ask for is the RFC's to say.

    Thread safety: as the jar's that asks it.
    """

    def set_ok(self, cookie: Cookie, request: Request) -> bool:
        """Tell whether a cookie is taken from where a request went."""
        return why_refused(cookie, place_of(request)) is None and not self._shuts_out(cookie.domain)

    def return_ok(self, cookie: Cookie, request: Request) -> bool:
        """Tell whether a cookie is sent with a request."""
        return self.sends(cookie, place_of(request), int(time.time()))

    def domain_return_ok(self, domain: str, request: Request) -> bool:
        """Tell whether any cookie of a domain may be sent with a request."""
        host, bare = place_of(request).host, domain.removeprefix(".")
        belongs = not bare or domain_matches(host, bare) or _is_standard_name(bare, host)
        return belongs and not self._shuts_out(domain)

    def path_return_ok(self, path: str, request: Request) -> bool:
        """Tell whether any cookie of a path may be sent with a request."""
        return path_matches(place_of(request).path, path)

    def sends(self, cookie: Cookie, place: Place, now: int) -> bool:
        """Tell whether a cookie is sent to a place."""
        return is_sent(cookie, place, now, self) and not self._shuts_out(cookie.domain)

    def _shuts_out(self, domain: str) -> bool:
        return self.is_blocked(domain) or self.is_not_allowed(domain)


def is_sent(cookie: Cookie, place: Place, now: int, policy: StandardPolicy) -> bool:
    """Tell whether the RFC lets a cookie be sent; of the policy only its `secure_protocols` count.

    Source: RFC 6265bis §5.8.3, step 1.
    """
    if cookie.is_expired(now):
        return False
    if cookie.secure and not place.secure and place.scheme not in getattr(policy, "secure_protocols", SECURE):
        return False
    if cookie.port is not None and place.port not in cookie.port.split(","):
        return False  # Set by hand: the RFC has done away with it.
    domain = cookie.domain.removeprefix(".")
    if not domain:
        return True
    if is_for_host_only(cookie):
        return domain == place.host or _is_standard_name(domain, place.host)
    return domain_matches(place.host, domain)


def is_plain(policy: StandardPolicy) -> bool:
    """Tell whether a policy is the RFC and nothing else, so that nobody need be asked."""
    return type(policy) is CookiePolicy and policy.__dict__.keys().isdisjoint(_QUESTIONS)


def asks_for_domains(policy: StandardPolicy) -> bool:
    """Tell whether a policy has its own code to say which domains' cookies may be sent."""
    return not is_plain(policy) and _has_own(policy, ("domain_return_ok",))


def may_be_sent(policy: StandardPolicy, cookie: Cookie, request: Request, now: int) -> bool:
    """Ask a policy of a program's own whether a cookie is sent."""
    return not cookie.is_expired(now) and bool(policy.return_ok(_shown(policy, cookie), request))


def is_path_open(policy: StandardPolicy, path: str, place: Place, request: Request) -> bool:
    """Ask a policy whether a path's cookies may be sent; only its own code need be asked."""
    if _has_own(policy, ("path_return_ok",)):
        return bool(policy.path_return_ok(path, request))
    return path_matches(place.path, path)


def is_domain_open(policy: StandardPolicy, domain: str, request: Request) -> bool:
    """Ask a policy whether a domain's cookies may be sent."""
    return bool(policy.domain_return_ok(_standard_name(policy, domain), request))


def may_be_set(policy: StandardPolicy, cookie: Cookie, request: Request) -> bool:
    """Ask a policy, and the RFC, whether a cookie is taken."""
    if isinstance(policy, CookiePolicy):
        return bool(policy.set_ok(cookie, request))
    if not (_has_own(policy, _SETTING) or why_refused(cookie, place_of(request)) is None):
        return False
    return bool(policy.set_ok(_shown(policy, cookie), request))


def _has_own(policy: StandardPolicy, names: tuple[str, ...]) -> bool:
    """Tell whether a policy answers one of these questions by code of its own."""
    kind = type(policy)
    for name in names:
        written = getattr(kind, name, None)
        known = (getattr(DefaultCookiePolicy, name, None), getattr(CookiePolicy, name, None))
        if name in policy.__dict__ or written not in known:
            return True
    return False


def _shown(policy: StandardPolicy, cookie: Cookie) -> Cookie:
    """Show a cookie to a policy, under the name of its domain that the policy knows."""
    domain = _standard_name(policy, cookie.domain)
    if domain == cookie.domain:
        return cookie
    shown = copied(cookie)
    shown.domain = domain
    return shown


def _standard_name(policy: StandardPolicy, domain: str) -> str:
    """Name a domain as http.cookiejar does, whose policies know no host without a dot."""
    if isinstance(policy, CookiePolicy) or not domain or "." in domain:
        return domain
    return f"[{domain}].local" if ":" in domain else f"{domain}.local"


def _is_standard_name(domain: str, host: str) -> bool:
    return "." not in host and domain == f"{host}.local"
