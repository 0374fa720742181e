"""Public suffixes: domains under which strangers have names, so that none may set a cookie for all of them.

Decides: what is refused without the list of them.
Knows: the package `publicsuffixlist` (extra `cookies`), which ships the list in a file of its own; nothing is fetched.
Does not know: cookies.

The file is read here, not by the package's class: reading it into a set of lines takes 4 ms, where the class takes 32
and would hold up an event loop. What the rules mean is the same, and a test holds the two together.

Source: RFC 6265bis §5.7 step 9; https://publicsuffix.org/list/ (the format and the rules).
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Final

from keeppool.forks import undivided

#: Suffixes of two labels in a country's domain that cannot be mistaken: 892 suffixes of the list of 2026-10 are of this
#: form. As names of somebody's own they are hardly found, because registries keep them back.
_BELOW_COUNTRIES: Final = frozenset(("ac", "co", "com", "edu", "gov", "mil", "net", "org"))
#: Domains remembered; servers name the same few again and again.
_REMEMBERED: Final = 1024


@functools.lru_cache(_REMEMBERED)
def is_public_suffix(domain: str) -> bool:
    """Tell whether strangers have names under a domain.

    Args:
        domain: In lower case and A-labels, without a first dot.

    Returns:
        True for a single label, and for what the list names. Without the list: for `co.uk` and its like too, that is
        ac, co, com, edu, gov, mil, net and org in a domain of two letters.
    """
    name = domain.strip(".")
    first, dot, rest = name.partition(".")
    if not dot:
        return True
    rules = _rules()
    if rules is None:
        return first in _BELOW_COUNTRIES and len(rest) == 2
    name, rest = _in_its_script(name), _in_its_script(rest)
    # Where all names below one are suffixes, so is that one: what is set for it goes to all of them.
    return f"!{name}" not in rules and not rules.isdisjoint((name, f"*.{rest}", f"*.{name}"))


@functools.cache
def _rules() -> frozenset[str] | None:
    """Read the list, once; `None` if the package is not installed."""
    try:
        with undivided:
            from publicsuffixlist import PSLFILE
    except ImportError:
        return None
    # Comments stay among them: no domain begins with a slash.
    return frozenset(Path(PSLFILE).read_text(encoding="utf-8").split("\n"))


def _in_its_script(name: str) -> str:
    """Write A-labels as the list does."""
    if "xn--" not in name:
        return name
    try:
        return name.encode("ascii").decode("idna")
    except UnicodeError:
        return name
