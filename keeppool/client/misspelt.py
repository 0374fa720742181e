"""What to write for a name that is not there: an argument of a session, or an attribute of it or of a response.

Decides: the words of a `TypeError` or `AttributeError` that Python would raise anyway.
Knows: what can be set elsewhere: `Limits`, `Timeout`, `HostConfig`, and the session's own attributes; and what httpx,
    urllib3 and aiohttp call otherwise.
Does not know: sessions. Asked only once a name was refused.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
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
    "http2": "nothing here: keeppool speaks HTTP/1.1",
    "http1": "nothing here: keeppool speaks HTTP/1.1",
    "default_encoding": "response.encoding = …, of each response",
    "preset": "the first argument, such as keeppool.presets.CHROME",
    "connector": "Limits(total=…, per_host=…), the first argument",
    "app": "keeppool.testing.Site, a server on loopback",
    "raise_for_status": "response.raise_for_status(), of each response",
}


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


#: What httpx, urllib3 and aiohttp have on a response, and what is written here.
_OF_RESPONSES = {
    "is_success": "ok",
    "is_error": "not ok",
    "is_client_error": "status_code",
    "is_server_error": "status_code",
    "has_redirect_location": "is_redirect",
    "next_request": "next",
    "reason_phrase": "reason",
    "http_version": "raw.version, 10 or 11",
    "charset_encoding": "encoding",
    "default_encoding": "encoding",
    "charset": "encoding",
    "num_bytes_downloaded": "raw.tell()",
    "iter_raw": "raw.stream(65536, decode_content=False)",
    "aiter_raw": "raw.stream(65536, decode_content=False)",
    "status": "status_code",
    "data": "content",
    "body": "content",
    "getheader": "headers.get(name)",
    "getheaders": "headers",
    "geturl": "url",
    "get_encoding": "encoding",
    "content_type": 'headers.get("Content-Type")',
}
#: What only the twin has, and what stands in its place: for threads, and for tasks.
_FOR_THREADS = {
    "aclose": "close()",
    "aread": "read()",
    "release_conn": "close()",
    "release": "close()",
    **{f"aiter_{what}": f"iter_{what}()" for what in ("bytes", "text", "lines")},
}
_FOR_TASKS = {
    "close": "await aclose()",
    "aread": "await read()",
    "release_conn": "await aclose()",
    "release": "await aclose()",
    **{f"iter_{what}": f"aiter_{what}(), with async for" for what in ("bytes", "text")},
}
_OF_SESSIONS = {
    "build_request": "prepare_request(keeppool.Request(method, url))",
    "event_hooks": _OTHERWISE["event_hooks"],
    "mounts": _OTHERWISE["mounts"],
    "ws_connect": "nothing here: keeppool speaks HTTP alone",
}
#: What a session is given where it is made, and never looks for afterwards.
_GIVEN = ("limits", "timeout", "hosts", "defaults", "resolver", "fleet", "config", "on_event", "proxy")


def elsewhere(owner: object, name: str) -> str:
    """Say what to write in the place of an attribute that a response or session does not have; empty if nothing is.

    Args:
        owner: Which does not have it. For tasks if it can be awaited to close.
        name: The attribute.
    """
    is_session = hasattr(type(owner), "prepare_request")
    twins = _FOR_TASKS if hasattr(type(owner), "aclose") else _FOR_THREADS
    if is_session and name in _GIVEN:
        return f": {_given(owner, name)}"
    closing = {way: twins[way] for way in ("close", "aclose") if way in twins}
    known = _OF_SESSIONS | closing if is_session else _OF_RESPONSES | twins
    return f": here it is {known[name]}" if name in known else ""


def never_seen(owner: object, name: str) -> str:
    """Say why an attribute that is set on a session would do nothing."""
    way = f"it is {_OF_SESSIONS[name]}" if name in _OF_SESSIONS else _given(owner, name)
    return f"{name!r} would do nothing here: {way}"


def _given(owner: object, name: str) -> str:
    way = f"it is given where a session is made, {type(owner).__name__}({name}=…)"
    if name == "proxy":
        return f'{way}; session.proxies = {{"all": …}} may be set'
    return f"{way}, or to a call" if name == "timeout" else way
