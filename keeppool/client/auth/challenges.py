"""What a WWW-Authenticate field asks for, as data: pure, and without an error for anything a server may send.

Decides: what of a malformed field is still believed: as much as can be read in one way only.
Knows: the grammar of challenges, where a comma ends a parameter or a challenge.
Does not know: any scheme.

Source: RFC 9110 §11.2 (parameters), §11.3, §11.6.1 (several challenges in one field), §5.6.4 (quoted strings).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
# Possessive throughout: a field of 64 KiB is read in linear time.
_SKIP: Final = re.compile(r"[,\s]*+")
_PARAMETER: Final = re.compile(rf'({_TOKEN})\s*+=\s*+(?:"((?:[^"\\]++|\\.)*+)"|([^\s,"]++))', re.DOTALL)
_SCHEME: Final = re.compile(rf"{_TOKEN}(?=[\s,]|\Z)")
_TOKEN68: Final = re.compile(r"[ \t]++([A-Za-z0-9\-._~+/]++=*+)[ \t]*+(?=,|\Z)")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


class Challenge(NamedTuple):
    """One way to authenticate that a server offers.

    Attributes:
        scheme: Its name, lower case.
        parameters: By name, lower case; quotes and escapes undone. Of a repeated one the first.
        token: What some schemes have instead of parameters (Negotiate); `None` for most.
    """

    scheme: str
    parameters: dict[str, str]
    token: str | None = None


def parse_challenges(field: str) -> list[Challenge]:
    """Read the challenges of a WWW-Authenticate or Proxy-Authenticate field; Authorization is read the same way.

    Args:
        field: The value; several fields' values are joined by commas.

    Returns:
        The challenges in order. What is none is left out; nothing is an error.

    Source: RFC 9110 §11.6.1.
    """
    challenges: list[Challenge] = []
    position = 0
    while (position := _end(_SKIP.match(field, position), position)) < len(field):
        if parameter := _PARAMETER.match(field, position):
            position = parameter.end()
            if challenges:
                challenges[-1].parameters.setdefault(parameter[1].lower(), _value(parameter))
        elif scheme := _SCHEME.match(field, position):
            token = _TOKEN68.match(field, scheme.end())
            position = _end(token, scheme.end())
            challenges.append(Challenge(scheme[0].lower(), {}, token and token[1]))
        else:
            comma = field.find(",", position)
            position = len(field) if comma < 0 else comma
    return challenges


def parse_parameters(field: str) -> dict[str, str]:
    """Read a field that holds parameters alone, such as Authentication-Info.

    Source: RFC 9110 §11.6.3.
    """
    # The comma keeps an `=` at the field's start from making a parameter of the name in front.
    return parse_challenges(f"Info, {field}")[0].parameters


def quoted(value: bytes) -> bytes:
    """Write a value as a quoted string."""
    return b'"%b"' % value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def _value(parameter: re.Match[str]) -> str:
    return parameter[3] if parameter[2] is None else _ESCAPED.sub(r"\1", parameter[2])


def _end(match: re.Match[str] | None, position: int) -> int:
    return position if match is None else match.end()
