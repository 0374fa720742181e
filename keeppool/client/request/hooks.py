"""Hooks: the caller's functions that see each response first.

Decides: in which order they run, and that one may put another response in the place of what it was given.
Knows: the one event there is, `response`, and requests' ways of writing hooks down.
Does not know: who calls them; the flow does, after authentication and before redirects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from keeppool.client.arguments import Hook, HooksArgument
from keeppool.errors import InvalidRequest, quoted

#: The events a hook may be registered for.
EVENTS = ("response",)


def default_hooks() -> dict[str, list[Hook]]:
    """Make an empty table: one list for each event."""
    return {event: [] for event in EVENTS}


def hooks_of(hooks: HooksArgument) -> list[Hook]:
    """List the functions registered for `response`, in the order they run.

    Args:
        hooks: A mapping from event to one function or several; `None` for none.

    Raises:
        InvalidRequest: No mapping, an event there is not, or a value that cannot be called.
    """
    if not hooks:
        return []
    if not isinstance(hooks, Mapping):
        raise InvalidRequest(f"hooks must be a mapping such as {{'response': function}}, not {quoted(hooks)}")
    for event in hooks:
        if event not in EVENTS:
            raise _unknown(event)
    found: Any = hooks.get("response") or []
    # A text is one hook that cannot be called, and not its letters.
    one = callable(found) or isinstance(found, (str, bytes)) or not isinstance(found, Iterable)
    listed: list[Any] = [found] if one else list(found)
    for hook in listed:
        if not callable(hook):
            raise InvalidRequest(f"hooks: {quoted(hook)} cannot be called")
    return listed


def _unknown(event: object) -> InvalidRequest:
    return InvalidRequest(f"there is no event {quoted(event)}; hooks may be registered for {', '.join(EVENTS)}")


class Hooked:
    """What a request and a request to be have in common: a table of hooks.

    Attributes:
        hooks: By event; today `response` alone. Each function is called with the response and the settings of its
            sending (`timeout`, `verify`, `cert`, `proxies`, `stream`); what it returns replaces the response, unless it
            is `None`.
    """

    __slots__ = ()

    hooks: dict[str, list[Hook]]

    def register_hook(self, event: str, hook: Hook | Iterable[Hook]) -> None:
        """Add one function or several; what cannot be called is left out.

        Raises:
            InvalidRequest: There is no such event, or `hook` is neither a function nor several.
        """
        if event not in EVENTS:
            raise _unknown(event)
        if callable(hook):
            self.hooks[event].append(hook)
        elif isinstance(hook, Iterable):
            self.hooks[event].extend(one for one in hook if callable(one))
        else:
            raise InvalidRequest(f"hooks: {quoted(hook)} cannot be called")

    def deregister_hook(self, event: str, hook: Hook) -> bool:
        """Take a function out; False if it was not there."""
        try:
            self.hooks[event].remove(hook)
        except ValueError:
            return False
        return True
