"""What a listener that passes events on to another one asks of its pool for that other's sake.

Decides: which events both together want, and whether the other is shown requests before they are sent.
Knows: what a listener may have (`keeppool.events`). Does not know: what either does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keeppool.events import Event
from keeppool.pools.outgoing import BeforeSend

Also = Callable[[Event], object] | None


def wanted_by_both(own: frozenset[type[Any]], also: Also) -> frozenset[type[Any]] | None:
    """Give the events that a listener and the one behind it want; `None` for all."""
    if also is None:
        return own
    others = getattr(also, "wants", None)
    return None if others is None else own | frozenset(others)


def before_send_of(also: Also) -> BeforeSend | None:
    """Give what the listener behind wants called with each request before it is sent."""
    before_send: BeforeSend | None = getattr(also, "before_send", None)
    return before_send
