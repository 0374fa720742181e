"""The names of `requests.hooks`: functions that see responses."""

from __future__ import annotations

from typing import Any

from keeppool.client.arguments import HooksArgument
from keeppool.client.request.hooks import EVENTS, default_hooks, hooks_of

HOOKS = list(EVENTS)


def dispatch_hook(key: str, hooks: HooksArgument, hook_data: Any, **kwargs: Any) -> Any:
    """Show something to each hook of an event; what one returns, unless it is `None`, goes on to the next.

    Args:
        key: The event.
        hooks: By event.
        hook_data: What is shown.
        **kwargs: Told to each hook as well.
    """
    for hook in hooks_of({"response": (hooks or {}).get(key, ())}):
        shown = hook(hook_data, **kwargs)
        hook_data = hook_data if shown is None else shown
    return hook_data


__all__ = ["HOOKS", "default_hooks", "dispatch_hook"]
