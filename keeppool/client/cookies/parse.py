"""Set-Cookie, taken apart: name, value and attributes, as far as they can be read.

Decides: which attributes count (the last of those that repeat), which fields are no cookies at all.
Knows: the grammar that browsers read, which is wider than the one servers are told to write.
Does not know: who sent it, so whether it is taken; `received.py` does.

Source: RFC 6265bis §5.6.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from keeppool.client.cookies.dates import seconds_of

#: Octets of name and value together (RFC 6265bis §5.6, step 5); browsers hold to the same number.
LONGEST_PAIR: Final = 4096
#: Octets of an attribute's value; a longer attribute does not count (RFC 6265bis §5.6, step 6 of the attributes).
LONGEST_ATTRIBUTE: Final = 1024
#: The controls that make a field no cookie; a tab is none of them.
CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_WHITE: Final = " \t"
_SECONDS: Final = re.compile(r"-?[0-9]+")
_SAME_SITE: Final = {"strict": "Strict", "lax": "Lax", "none": "None"}


@dataclass(slots=True)
class SetCookie:
    """What one Set-Cookie field says.

    Attributes:
        name: Empty where there is no `=`.
        value: As it stands, quotes included.
        domain: The Domain attribute, in lower case and without its first dot; `None` if it is empty or did not come.
        initial_dot: It was written with a dot in front.
        path: The Path attribute; `None` where the request's own path counts instead.
        has_path: A Path attribute came, whatever its value.
        expires: Seconds since 1970.
        max_age: Seconds from now.
        secure: Only for secure connections.
        http_only: Not for scripts; kept and shown.
        same_site: "Strict", "Lax" or "None"; `None` where nothing known was said.
        others: Attributes that mean nothing here, as written.
    """

    name: str
    value: str
    domain: str | None = None
    initial_dot: bool = False
    path: str | None = None
    has_path: bool = False
    expires: int | None = None
    max_age: int | None = None
    secure: bool = False
    http_only: bool = False
    same_site: str | None = None
    others: dict[str, str] = field(default_factory=dict)


def parse_set_cookie(text: str) -> SetCookie | None:
    """Read one Set-Cookie field.

    Args:
        text: Its value, one character for each octet (ISO 8859-1).

    Returns:
        What it says; `None` if it holds a control character, is too long, or has neither name nor value.

    Source: RFC 6265bis §5.6, and §5.7 steps 2 to 4.
    """
    if CONTROL.search(text):
        return None
    pair, *attributes = text.split(";")
    name, equals, value = pair.partition("=")
    if not equals:
        name, value = "", pair
    name, value = name.strip(_WHITE), value.strip(_WHITE)
    if not (name or value) or len(name) + len(value) > LONGEST_PAIR:
        return None
    said = SetCookie(name, value)
    for attribute in attributes:
        key, _, content = attribute.partition("=")
        content = content.strip(_WHITE)
        if len(content) <= LONGEST_ATTRIBUTE:
            _read(said, key.strip(_WHITE), content)
    return said


def _read(said: SetCookie, key: str, content: str) -> None:
    """Note an attribute; one that came before it under the same name is forgotten."""
    match key.lower():
        case "expires":
            when = seconds_of(content)
            said.expires = said.expires if when is None else when
        case "max-age":
            if _SECONDS.fullmatch(content):
                said.max_age = int(content)
        case "domain":
            said.initial_dot = content.startswith(".")
            said.domain = content.removeprefix(".").lower() or None
        case "path":
            said.has_path = True
            said.path = content if content.startswith("/") else None
        case "secure":
            said.secure = True
        case "httponly":
            said.http_only = True
        case "samesite":
            said.same_site = _SAME_SITE.get(content.lower())
        case "":
            pass
        case _:
            said.others[key] = content
