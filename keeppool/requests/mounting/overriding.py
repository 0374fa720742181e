"""What a program may do in a way of its own, and how a session finds out that it does.

Decides: which methods those are. A subclass or a mixin may have its own, and so may a session, or a class that somebody
    has patched: it is looked for at each call, in the class as it is then.
Knows: that the verbs of such a session go through its `request`, with the arguments they were given, as in requests.
    The verbs that everybody else uses (`verbs.py`) spare themselves the detour.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Any, Final

from keeppool.config import INHERIT

#: What each call would go through, besides `hooks` and the adapter's own, which tests and tracers patch.
_AT_CALLS: Final = (
    *("request", "prepare_request", "send", "get_adapter"),
    *("merge_environment_settings", "get_redirect_target"),
)
#: What following a redirect would go through; nobody else has to look for these.
AT_REDIRECTS: Final = ("send", "resolve_redirects", "rebuild_proxies")
#: All of them.
NAMES: Final = frozenset((*_AT_CALLS, *AT_REDIRECTS))

#: What of an adapter's class a program may patch.
OF_ADAPTERS: Final = ("send", "add_headers")

#: Takes the ways of a class, to be compared with those it had when it was made: one call in C for all of them costs
#: 0.09 µs, as many comparisons in Python twice that (Python 3.11).
ways_of: Final = attrgetter(*_AT_CALLS, "hooks", *(f"_adapter_kind.{name}" for name in OF_ADAPTERS))

#: What the arguments of a call are that nobody has given.
_DEFAULTS: Final[Mapping[str, object]] = {
    **dict.fromkeys(("params", "data", "json", "headers", "cookies", "files", "auth", "proxies", "hooks")),
    **dict.fromkeys(("stream", "verify", "cert", "content", "allow_redirects", "follow_redirects")),
    "timeout": INHERIT,
    "retries": INHERIT,
}
#: The names of all arguments a call takes.
TAKEN: Final = _DEFAULTS.keys()
#: The arguments that a request is made of; all others are for `send`.
OF_REQUESTS: Final = ("headers", "files", "data", "params", "auth", "cookies", "hooks", "json")


def given_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Take the arguments of a call that are not at their defaults; a method of the program's own gets no others."""
    return {name: value for name, value in arguments.items() if name not in _DEFAULTS or value is not _DEFAULTS[name]}


def changed(own: Mapping[str, Any], plain: Mapping[str, Any]) -> dict[str, Any]:
    """Take from the settings a program has made those that are not what the session would have made of it.

    The others are left out, so that what is configured for a host goes on to count. Proxies that were taken out are
    not to be used: `None` goes direct.
    """
    found = {name: value for name, value in own.items() if name not in plain or value != plain[name]}
    if "proxies" in found:
        found["proxies"] = {**dict.fromkeys(plain["proxies"]), **(found["proxies"] or {})}
    return found


class ThroughRequest:
    """Stands in for the verbs of `Verbs`, with their signatures."""

    __slots__ = ()

    request: Any

    def get(self, url: str | bytes, params: Any = None, **options: Any) -> Any:
        """Send a GET request; see `request`."""
        return self.request("GET", url, params=params, **options)

    def options(self, url: str | bytes, **options: Any) -> Any:
        """Send an OPTIONS request; see `request`."""
        return self.request("OPTIONS", url, **options)

    def head(self, url: str | bytes, **options: Any) -> Any:
        """Send a HEAD request; see `request`. Redirects are not followed unless asked for."""
        return self.request("HEAD", url, **options)

    def post(self, url: str | bytes, data: Any = None, json: Any = None, **options: Any) -> Any:
        """Send a POST request; see `request`."""
        return self.request("POST", url, data=data, json=json, **options)

    def put(self, url: str | bytes, data: Any = None, **options: Any) -> Any:
        """Send a PUT request; see `request`."""
        return self.request("PUT", url, data=data, **options)

    def patch(self, url: str | bytes, data: Any = None, **options: Any) -> Any:
        """Send a PATCH request; see `request`."""
        return self.request("PATCH", url, data=data, **options)

    def delete(self, url: str | bytes, **options: Any) -> Any:
        """Send a DELETE request; see `request`."""
        return self.request("DELETE", url, **options)
