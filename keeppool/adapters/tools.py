"""Tools that fake or record responses in tests: which of them is active now, as it says itself.

Decides: that a tool counts as active only where a function or an attribute of its own says so; and what is refused
    because the tool would not see it.
Knows: what each tool puts in the place of requests' and urllib3's parts, and the names it does so under.
Does not know: what is done then. Nothing here imports a tool: one that nobody has imported is not active.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from keeppool.config import bad

#: What replaces a method of requests, by the module its replacement is from.
_FAKERS: Final = (("responses", "responses"), ("requests_mock", "requests_mock.mocker"))


def cassette() -> Any | None:
    """Find the cassette of vcrpy that is in use, which its class of urllib3's connections has; `None` if none is."""
    if "vcr.cassette" not in sys.modules:
        return None
    from urllib3.connectionpool import HTTPConnectionPool

    found = getattr(HTTPConnectionPool.ConnectionCls, "cassette", None)
    return found if isinstance(found, sys.modules["vcr.cassette"].Cassette) else None


def faker() -> str | None:
    """Name what has replaced a method of requests by its own: "responses" or "requests_mock"; `None` if neither has."""
    requests = sys.modules.get("requests")
    if requests is None or not any(name in sys.modules for name, _ in _FAKERS):
        return None
    replaced = requests.adapters.HTTPAdapter.send, requests.Session.send
    for name, module in _FAKERS:
        if name in sys.modules and module in [getattr(method, "__module__", None) for method in replaced]:
            return name
    return None


def is_any_active() -> bool:
    """Tell whether one of them is, so that a request has to go another way than usual, or nowhere."""
    return ("vcr" in sys.modules and cassette() is not None) or faker() is not None or _is_httpretty()


def refuse_httpretty() -> None:
    """Refuse to send while httpretty is enabled.

    It puts sockets of its own in the place of Python's, and these cannot be waited for without blocking, as every
    connection here is.

    Raises:
        ConfigError: It is enabled.
    """
    if _is_httpretty():
        rule = "its sockets cannot carry this request: use keeppool.testing.Replay, or a keeppool.testing.Site"
        raise bad("httpretty.is_enabled()", True, rule)


def _is_httpretty() -> bool:
    httpretty = sys.modules.get("httpretty")
    return httpretty is not None and httpretty.is_enabled()
