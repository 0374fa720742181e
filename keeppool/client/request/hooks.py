"""Hooks: the caller's functions that see each response first.

Decides: in which order they run, and that one may put another response in the place of what it was given.
Knows: the one event there is, `response`, and requests' ways of writing hooks down.
Does not know: who calls them; the flow does, after authentication and before redirects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from keeppool.client.arguments import Hook, HooksArgument
from keeppool.errors import InvalidRequest

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
        InvalidRequest: No mapping, or a value that cannot be called.
        ValueError: There is no such event.
    """
    if not hooks:
        return []
    if not isinstance(hooks, Mapping):
        raise InvalidRequest(f"hooks must be a mapping such as {{'response': function}}, not {hooks!r}")
    for event in hooks:
        if event not in EVENTS:
            raise _unknown(event)
    found = hooks.get("response") or []
    listed = list(found) if isinstance(found, Iterable) and not callable(found) else [found]
    for hook in listed:
        if not callable(hook):
            raise InvalidRequest(f"hook {hook!r} cannot be called")
    return listed


def _unknown(event: str) -> ValueError:
    return ValueError(f"there is no event {event!r}; hooks may be registered for {', '.join(EVENTS)}")


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
            ValueError: There is no such event.
        """
        if event not in self.hooks:
            raise _unknown(event)
        if callable(hook):
            self.hooks[event].append(hook)
        else:
            self.hooks[event].extend(one for one in hook if callable(one))

    def deregister_hook(self, event: str, hook: Hook) -> bool:
        """Take a function out; False if it was not there."""
        try:
            self.hooks[event].remove(hook)
        except ValueError:
            return False
        return True
