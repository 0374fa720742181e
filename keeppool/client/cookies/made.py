"""Cookies made by hand: what they may be called and hold, and what they get where nothing is said.

Decides: which names and values are refused. They would end a cookie, or the header field it stands in.
Does not know: where a cookie is kept.

Source: RFC 6265bis §4.2.1 (what a Cookie field is made of).
"""

from __future__ import annotations

import re
from http.cookiejar import Cookie
from typing import Any, Final

from keeppool.client.cookies.matching import canonical
from keeppool.errors import InvalidHeader, quoted

_BAD_IN_NAME: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f;=]")
_BAD_IN_VALUE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f;]")


def made_cookie(name: str, value: str, **attributes: Any) -> Cookie:
    """Make a cookie from what is given; without a domain it is sent everywhere, without `expires` it lasts for now.

    Args:
        name: Its name; empty for a value alone.
        value: Its value.
        **attributes: As in `http.cookiejar.Cookie`. One with a `domain` is sent to the hosts below it too.

    Raises:
        InvalidHeader: Name or value is no text, or holds what would end it: a control character, a semicolon, in a name
            an equals sign; or both are empty.
        TypeError: An attribute no cookie has.
    """
    _check(name, value)
    facts: dict[str, Any] = {"version": 0, "port": None, "domain": "", "path": "/", "secure": False, "expires": None}
    facts |= {"discard": True, "comment": None, "comment_url": None, "rest": {}, "rfc2109": False} | attributes
    facts["domain"] = canonical(facts["domain"])
    return Cookie(
        name=name,
        value=value,
        port_specified=bool(facts["port"]),
        domain_specified=bool(facts["domain"]),
        domain_initial_dot=facts["domain"].startswith("."),
        path_specified=bool(facts["path"]),
        **facts,
    )


def copied(cookie: Cookie) -> Cookie:
    """Make a cookie of its own with everything another one has."""
    made = Cookie.__new__(Cookie)
    made.__dict__.update(cookie.__dict__)
    return made


def _check(name: object, value: object) -> None:
    # The value is shown in no error: it is a secret more often than not.
    if not isinstance(name, str) or not isinstance(value, str):
        raise InvalidHeader(f"cookie {quoted(name)}: name and value must be text", name=name)
    if not name and not value:
        raise InvalidHeader("a cookie needs a name or a value, and both are empty", name=name)
    if found := _BAD_IN_NAME.search(name):
        raise InvalidHeader(f"cookie {quoted(name)}: no name can hold {found[0]!r}", name=name)
    if found := _BAD_IN_VALUE.search(value):
        raise InvalidHeader(f"cookie {quoted(name)}: no value can hold {found[0]!r}", name=name)
