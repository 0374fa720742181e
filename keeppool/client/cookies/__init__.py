"""Cookies by RFC 6265bis: taken from responses, kept, sent; the door of the room.

Imported only by who has a cookie, and late: http.cookiejar alone costs more than the rest of the client.
"""

from __future__ import annotations

from keeppool.client.cookies.by_name import CookieConflictError
from keeppool.client.cookies.exchange import jar_of, keep_cookies, keep_lines, with_cookies, without_strays
from keeppool.client.cookies.jar import CookieJar
from keeppool.client.cookies.made import made_cookie

__all__ = [
    "CookieConflictError",
    "CookieJar",
    "jar_of",
    "keep_cookies",
    "keep_lines",
    "made_cookie",
    "with_cookies",
    "without_strays",
]
