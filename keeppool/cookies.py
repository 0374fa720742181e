"""Cookies: the jar of a session, jars with files, and the policy they go by.

    session.cookies = keeppool.cookies.MozillaCookieJar("cookies.txt")
    session.cookies.load(ignore_discard=True)

Any `http.cookiejar` jar can be a session's as well; it then goes by its own rules.
"""

from __future__ import annotations

from keeppool.client.cookies.by_name import CookieConflictError
from keeppool.client.cookies.files import LWPCookieJar, MozillaCookieJar
from keeppool.client.cookies.jar import CookieJar
from keeppool.client.cookies.policy import CookiePolicy

__all__ = ["CookieConflictError", "CookieJar", "CookiePolicy", "LWPCookieJar", "MozillaCookieJar"]
