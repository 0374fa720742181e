"""The names of `requests.cookies`: the jar, and what makes and merges cookies."""

from __future__ import annotations

from collections.abc import Mapping
from http.cookiejar import CookieJar as StandardCookieJar

from keeppool.client.arguments import CookiesArgument
from keeppool.client.cookies import CookieConflictError, CookieJar
from keeppool.client.cookies import made_cookie as create_cookie

RequestsCookieJar = CookieJar


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


__all__ = ["CookieConflictError", "RequestsCookieJar", "cookiejar_from_dict", "create_cookie", "merge_cookies"]
