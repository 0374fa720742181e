"""Tools that fake or record responses in tests: which of them is active now, as it says itself.

Decides: that a tool counts as active only where a function or an attribute of its own says so; and what is refused, or
    warned of, because the tool would not see it.
Knows: what each tool puts in the place of requests' and urllib3's parts, and the names it does so under.
Does not know: what is done then. Nothing here imports a tool: one that nobody has imported is not active.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from keeppool.checks import bad

#: What replaces a method of requests, by the module its replacement is from.
_FAKERS: Final = (("responses", "responses"), ("requests_mock", "requests_mock.mocker"))

#: A tool has been asked about the request that is under way.
_is_seen: ContextVar[bool] = ContextVar("keeppool request seen", default=False)


class UnseenWarning(UserWarning):
    """A request goes to the network while a tool is active that is to keep it from there, and does not see it."""


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


@contextmanager
def seen() -> Iterator[None]:
    """Send what a tool has been asked about, and has let pass."""
    token = _is_seen.set(True)
    try:
        yield
    finally:
        _is_seen.reset(token)


def watch_dial(host: str) -> None:
    """Say that a connection is about to be opened that an active tool would not see.

    A server on this machine is a test's own, and nothing is said of it.

    Args:
        host: Where to.

    Raises:
        ConfigError: As `refuse_httpretty`.
        UnseenWarning: If warnings are errors.
    """
    refuse_httpretty()
    if _is_seen.get() or _is_here(host):
        return
    tool = "vcrpy" if cassette() is not None else faker()
    if tool is not None:
        text = f"{tool} is active and does not see this request to {host}, which goes to the network"
        warnings.warn(f"{text}: keeppool.testing.Replay sees it", UnseenWarning, stacklevel=2)


def _is_here(host: str) -> bool:
    is_named = host in ("localhost", "::1") or host.endswith(".localhost")
    return is_named or (host.startswith("127.") and host.replace(".", "").isdigit())
