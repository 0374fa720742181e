"""What to write for an argument that a session does not have: a limit, a wait, an attribute, or a misspelt one.

Decides: the words of a `TypeError` that Python would raise anyway.
Knows: what can be set elsewhere: `Limits`, `Timeout`, `HostConfig`, and the session's own attributes.
Does not know: sessions. Asked only once an argument was refused.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Container, Iterable
from dataclasses import fields

from keeppool.config import HOST_FIELDS, Limits, Timeout

#: What requests and httpx have as an attribute or an argument, and is an attribute here.
_ATTRIBUTES = ("max_redirects", "proxies", "stream", "trust_env")
#: What people give to sessions of other libraries that limit or retry.
_OTHERWISE = {
    "max_retries": "retries=3",
    "pool_connections": "Limits(total=…)",
    "pool_maxsize": "Limits(per_host=…)",
    "max_connections": "Limits(total=…, per_host=…)",
    "max_keepalive_connections": "Limits(total=…, per_host=…)",
    "keepalive_expiry": "Limits(idle_timeout=…)",
    "follow": "follow_redirects=True",
    "allow_redirects": "follow_redirects=True",
    "event_hooks": "hooks= of a call, or session.hooks of a keeppool.requests.Session",
    "mounts": "mount() of a keeppool.requests.Session",
    "transport": "mount() of a keeppool.requests.Session",
}


def refused(error: TypeError, cls: type, named: Container[str]) -> str | None:
    """Say which argument a class does not have, and what to write instead; `None` if the error is another one.

    Args:
        error: What was raised, in the frame that called the class or further inside.
        cls: What was called.
        named: The keyword arguments it was called with.
    """
    match = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    is_inside = error.__traceback__ is not None and error.__traceback__.tb_next is not None
    if match is None or is_inside or match[1] not in named:
        return None
    # Not of the class itself: of that only its metaclass is seen.
    known = inspect.signature(getattr(cls, "__init__")).parameters  # noqa: B009  # mypy forbids the plain way.
    return f"{cls.__name__}() has no argument {match[1]!r}{advice(match[1], known)}"


def advice(name: str, known: Iterable[str]) -> str:
    """Say what to write in the place of an argument; empty if nothing is like it.

    Args:
        name: The argument.
        known: Those there are.
    """
    if name in _OTHERWISE:
        return f": it is {_OTHERWISE[name]}"
    if name in _ATTRIBUTES:
        return f": set it on the session, session.{name} = …"
    for kind, way in ((Limits, "Limits({}=…), the first argument"), (Timeout, "timeout=Timeout({}=…)")):
        if name in [field.name for field in fields(kind)]:
            return f": it is {way.format(name)}"
    if name in HOST_FIELDS:
        return f": it is defaults=HostConfig({name}=…), or hosts= for some hosts"
    alike = difflib.get_close_matches(name, list(known), n=1)
    return f": {alike[0]} perhaps" if alike else ""
