"""What follows a response that says "elsewhere": pure, from a request and its response to the next request.

Decides: which responses are followed, what becomes of method, body and fields on the way.
Knows: requests' rules, and where they would do harm: where a 301 keeps the method PUT, PATCH or DELETE it keeps the
    body too. requests sends such a PUT without one, which empties the resource it was to fill.
Does not know: who sends the next request, cookies of the session.

Source: RFC 9110 §15.4 (redirection), §10.2.2 (Location); for what browsers do with POST: WHATWG Fetch, HTTP-redirect
    fetch, steps 12 to 14.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Protocol

from keeppool.client.request.prepared import PreparedRequest
from keeppool.client.request.urls import resolved, text_of_field
from keeppool.config import Timeout
from keeppool.errors import InvalidURL, TotalTimeout
from keeppool.hosts import DEFAULT_PORTS
from keeppool.urls.address import Address, addressed, is_same_origin
from keeppool.urls.reference import resolve

#: The statuses that are followed if they say where to. 300 and 304 to 306 are none of them: a choice to make, no
#: change, and history.
STATUSES: Final = frozenset({301, 302, 303, 307, 308})
PERMANENT: Final = frozenset({301, 308})

#: 302 and 303 never take the body along, 301 only with a method it does not change.
_KEEPS_BODY: Final = frozenset({301, 307, 308})
#: What describes the body, and goes with it.
_OF_THE_BODY: Final = frozenset(
    b"content-length content-type content-encoding content-language content-location transfer-encoding".split()
)
#: What is meant for one server only.
_OF_THE_ORIGIN: Final = frozenset((b"host",))
_AUTHORIZATION: Final = frozenset((b"authorization",))
#: What is always made anew: Cookie from the jar, Proxy-Authorization from the next proxy's own URL. Even the same host
#: may be reached without a proxy next, and would read what was meant for one.
_MADE_ANEW: Final = frozenset((b"cookie", b"proxy-authorization"))


class Leading(Protocol):
    """A response that may lead elsewhere."""

    @property
    def status_code(self) -> int:
        """Its status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Its fields, found in any case."""


def is_redirect(response: Leading) -> bool:
    """Tell whether a response is one that is followed. An empty Location leads nowhere."""
    return response.status_code in STATUSES and bool(response.headers.get("location"))


def target_of(response: Leading) -> str | None:
    """Return where a response leads if it is one that is followed, else `None`.

    Raises:
        InvalidURL: It has several Location fields that say different things (RFC 9110 §10.2.2: there is one).
    """
    if not is_redirect(response):
        return None
    headers = response.headers
    location = headers["location"]
    several = set(headers.getlist("location")) if hasattr(headers, "getlist") else ()
    if len(several) > 1:
        raise InvalidURL(f"the redirect leads to {len(several)} different places", url=location)
    try:
        return text_of_field(location.encode("latin-1"))
    except UnicodeEncodeError:  # Set by hand.
        return location


def next_request(
    request: PreparedRequest, status: int, location: str | bytes, method: bytes | None = None
) -> PreparedRequest:
    """Make the request that a redirect asks for.

    The body is taken along as it is: whoever sends it again rewinds it. So is an Authorization field: `unsigned` takes
    it off.

    Args:
        request: The request that was answered.
        status: The response's status, one of `STATUSES`.
        location: Its Location field.
        method: The next method, where somebody has decided it; else it follows from the status.

    Raises:
        InvalidSchema, InvalidURL: The location leads to nothing that can be requested.

    Source: RFC 9110 §15.4.2 to §15.4.9.
    """
    address = _where(request.address, location)
    method = method or method_after(status, request.verb)
    keeps_body = status in _KEEPS_BODY and method == request.verb
    stays = is_same_origin(request.address, address)
    dropped = _MADE_ANEW | (frozenset() if keeps_body else _OF_THE_BODY) | (frozenset() if stays else _OF_THE_ORIGIN)
    jar = request.jar
    if jar is not None and not stays:
        # Imported late: there are cookies, so the module is loaded already.
        from keeppool.client.cookies import without_strays

        jar = without_strays(jar)
    following = PreparedRequest(
        method,
        address,
        request.fields.without(dropped),
        request.payload if keeps_body else None,
        request.body if keeps_body else None,
        jar,
    )
    if request.answer_hooks:
        following.prepare_hooks(request.hooks)
    following.auth = request.auth
    return following


def _where(base: Address, location: str | bytes) -> Address:
    """Find where a redirect leads: to http or https, or on within the scheme of an adapter that a program has mounted.

    Never from http into such a scheme: it may be one of files on this machine.
    """
    text = text_of_field(location) if isinstance(location, bytes) else location
    if base.scheme not in DEFAULT_PORTS:
        joined = resolve(base.url, text)
        if joined.partition(":")[0].lower() == base.scheme:
            return addressed(joined)
    return resolved(base, text)


def unsigned(request: PreparedRequest) -> PreparedRequest:
    """Take off what authenticates a request, and the scheme that could do it again."""
    made = request.with_fields(request.fields.without(_AUTHORIZATION))
    made.auth = None
    return made


def method_after(status: int, method: bytes) -> bytes:
    """Tell the method a redirect is followed with.

    303 asks for GET; 302 is taken for 303, and 301 too where the method was POST: that is what clients have always
    done (RFC 9110 §15.4.2, note). 307 and 308 were made to forbid it.
    """
    if status in (302, 303):
        return method if method == b"HEAD" else b"GET"
    return b"GET" if status == 301 and method == b"POST" else method


def left_of(limit: Timeout | None, total: float | None, used: float) -> Timeout | None:
    """Take the seconds a call has used off its total timeout: that is meant for the whole chain.

    Args:
        limit: The waits of the next request; `None` leaves them to its host's configuration.
        total: Seconds the whole call may take, `None` for no limit.
        used: Seconds it has taken so far.

    Raises:
        TotalTimeout: Nothing is left.
    """
    if total is not None and used >= total:
        raise TotalTimeout(f"following redirects took longer than {total:g} s", limit=total)
    if limit is None or total is None:
        return limit
    return replace(limit, total=total - used)
