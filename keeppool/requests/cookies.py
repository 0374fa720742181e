"""The names of `requests.cookies`: the jar, and what makes and merges cookies."""

from __future__ import annotations

import calendar
import time
from collections.abc import Mapping
from http.cookiejar import Cookie
from http.cookiejar import CookieJar as StandardCookieJar
from http.cookies import Morsel
from typing import Any, Final

from keeppool.client.arguments import CookiesArgument
from keeppool.client.cookies import CookieConflictError, CookieJar, keep_cookies, keep_lines, with_cookies
from keeppool.client.cookies import made_cookie as create_cookie
from keeppool.client.request.prepared import PreparedRequest

RequestsCookieJar = CookieJar

#: How `http.cookies` writes a date.
_MORSELS_DATE: Final = "%a, %d-%b-%Y %H:%M:%S GMT"


def cookiejar_from_dict(
    cookie_dict: Mapping[str, str] | None, cookiejar: StandardCookieJar | None = None, overwrite: bool = True
) -> StandardCookieJar:
    """Put cookies into a jar, by default a new one.

    Args:
        cookie_dict: Values by name.
        cookiejar: Where to put them.
        overwrite: Replace those whose name the jar has already.

    Raises:
        InvalidHeader: A name or value cannot be a cookie's; none was put there.
    """
    jar = CookieJar() if cookiejar is None else cookiejar
    names = {cookie.name for cookie in jar}
    made = [create_cookie(name, value) for name, value in (cookie_dict or {}).items() if overwrite or name not in names]
    for cookie in made:
        jar.set_cookie(cookie)
    return jar


def merge_cookies(cookiejar: StandardCookieJar, cookies: CookiesArgument) -> StandardCookieJar:
    """Put the cookies of a mapping, which do not replace any, or of another jar into this one.

    Raises:
        ValueError: `cookiejar` is none.
    """
    if not isinstance(cookiejar, StandardCookieJar):
        raise ValueError(f"cookies can be merged into a CookieJar only, not {type(cookiejar).__name__}")
    if isinstance(cookies, StandardCookieJar):
        for cookie in cookies:
            cookiejar.set_cookie(cookie)
        return cookiejar
    return cookiejar_from_dict(cookies, cookiejar, overwrite=False)


def extract_cookies_to_jar(jar: StandardCookieJar, request: PreparedRequest, response: Any) -> None:
    """Put into a jar the cookies that a response sets, as far as they may be kept.

    Args:
        jar: Where to put them.
        request: What the response is to.
        response: The `raw` of a response: the pool's, or urllib3's of an adapter written for requests.
    """
    original = getattr(response, "_original_response", None)
    if (head := getattr(response, "head", None)) is not None:
        keep_cookies(jar, request, head)
    elif original is not None:
        keep_lines(jar, request, original.msg.get_all("Set-Cookie", []))


def get_cookie_header(jar: StandardCookieJar, request: PreparedRequest) -> str | None:
    """Write the Cookie field that a jar's cookies make for a request; `None` if they make none, or it has one."""
    bare = PreparedRequest(request.verb, request.address, request.fields)
    made = with_cookies(bare, jar)
    return None if made is bare else made.headers["Cookie"]  # type: ignore[return-value]  # it was made of text


def morsel_to_cookie(morsel: Morsel[Any]) -> Cookie:
    """Make a cookie of a morsel of `http.cookies`.

    Raises:
        TypeError: Its max-age is no number.
        ValueError: Its date is not as `http.cookies` writes dates.
        InvalidHeader: Its name or value cannot be a cookie's.
    """
    expires = None
    if morsel["max-age"]:
        try:
            expires = int(time.time() + int(morsel["max-age"]))
        except ValueError:
            raise TypeError(f"max-age: {morsel['max-age']} must be integer") from None
    elif morsel["expires"]:
        expires = calendar.timegm(time.strptime(morsel["expires"], _MORSELS_DATE))
    is_blank = morsel.key is None and morsel.value is None
    cookie = create_cookie(
        "blank" if is_blank else morsel.key,
        morsel.value or "",
        comment=morsel["comment"],
        comment_url=bool(morsel["comment"]),
        discard=False,
        domain=morsel["domain"],
        expires=expires,
        path=morsel["path"],
        rest={"HttpOnly": morsel["httponly"]},
        secure=bool(morsel["secure"]),
        version=morsel["version"] or 0,
    )
    if is_blank:
        # Nobody has filled the morsel. As in requests it makes a cookie all the same, for no site.
        cookie.name, cookie.value = morsel.key, morsel.value
    return cookie


__all__ = [
    "CookieConflictError",
    "RequestsCookieJar",
    "cookiejar_from_dict",
    "create_cookie",
    "extract_cookies_to_jar",
    "get_cookie_header",
    "merge_cookies",
    "morsel_to_cookie",
]
